//! `ampoule doctor`.

use std::error::Error;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print a JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub fn run(_arguments: &Arguments) -> Result<u8, Box<dyn Error>> {
    let probe = ampoule::HostProbe::get()?;
    println!("{probe:#?}");
    Ok(0)
}
