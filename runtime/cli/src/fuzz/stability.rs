//! `ampoule fuzz stability`: does the same input do the same each time?

use std::error::Error;
use std::path::PathBuf;

use ampoule::confine::Confinement;
use ampoule::fuzz::Stability;
use serde_json::json;

use super::{CRASHED, inputs, target};
use crate::confine;

#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Exit status: 0 everything was the same each time; 1 something was not; 125 Ampoule's own failure."
)]
pub(super) struct Arguments {
    #[command(flatten)]
    target: target::TargetArguments,
    /// Inputs: a file, or a directory, whose files are read beneath it
    #[arg(short = 'i', long = "input", value_name = "CORPUS")]
    input: PathBuf,
    /// How often each is run
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..))]
    times: u32,
    /// Print one JSON object on stdout
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    confine: confine::Rights,
    #[command(flatten)]
    own: target::OwnArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Box<dyn Error>> {
    let target = arguments.target.open(&arguments.own)?;
    let inputs = inputs::read(&arguments.input)
        .map_err(|error| format!("cannot read {}: {error}", arguments.input.display()))?;
    arguments.confine.apply(&Confinement::new())?;
    let mut harness = target.builder().build()?;
    let bytes: Vec<_> = inputs.iter().map(|input| &input.bytes).collect();
    let found = harness.stability(&bytes, arguments.times)?;
    let name = |index: &usize| inputs.get(*index).map(|input| input.name.as_str());
    let verdicts: Vec<_> = found.verdicts.iter().filter_map(name).collect();
    if arguments.json {
        println!("{}", describe(&found, inputs.len(), arguments.times, &verdicts));
    } else {
        println!(
            "{:.2} % stable: {} of {} edges are not the same in all of {} runs of {} inputs",
            100.0 * found.score(),
            found.unstable.len(),
            found.edges,
            arguments.times,
            inputs.len()
        );
        for edge in &found.unstable {
            let address = edge.edge.address.map_or_else(|| "?".to_owned(), |address| format!("{address:#x}"));
            let symbol = edge.symbol.as_deref().unwrap_or("?");
            println!("  edge {} at {address} in {symbol}, for {} inputs", edge.index, edge.inputs);
        }
        for input in &verdicts {
            println!("  {input}: not the same verdict each time");
        }
    }
    Ok(if found.is_perfect() { 0 } else { CRASHED })
}

fn describe(found: &Stability, inputs: usize, times: u32, verdicts: &[&str]) -> serde_json::Value {
    let unstable: Vec<_> = found
        .unstable
        .iter()
        .map(|edge| {
            json!({"edge": edge.index, "address": edge.edge.address, "symbol": edge.symbol, "inputs": edge.inputs})
        })
        .collect();
    json!({
        "score": found.score(),
        "edges": found.edges,
        "inputs": inputs,
        "times": times,
        "unstable": unstable,
        "verdicts": verdicts,
    })
}
