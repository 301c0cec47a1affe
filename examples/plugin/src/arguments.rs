//! The command line.

use std::path::PathBuf;

use crate::error::Error;
use crate::sample;

/// Score weather records with plugins that nobody has to trust
#[derive(Debug, clap::Parser)]
#[command(version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Lines of station,time,temperature,wind,pressure,humidity; without it they are generated, always the same
    file: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// Records to generate
    #[arg(long, value_name = "COUNT", default_value_t = 20_000, conflicts_with = "file")]
    records: u32,
    /// Print the generated records and do nothing else
    #[arg(long, conflicts_with_all = ["file", "json"])]
    pub(crate) sample: bool,
    /// Threads that keep calling while a plugin is replaced
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) workers: u16,
}

const EXAMPLES: &str = "Exit code: 0 if all went as it should, 1 if not.

Examples:
  ampoule-example-plugin                              20,000 generated records, and all that is to be seen
  ampoule-example-plugin --json | jq .latencies       what calls cost on this machine
  ampoule-example-plugin --sample > weather.csv       a file to start from
  ampoule-example-plugin weather.csv                  your own records";

impl Arguments {
    /// The records' text.
    pub(crate) fn read(&self) -> Result<Vec<u8>, Error> {
        match &self.file {
            Some(path) => std::fs::read(path).map_err(|source| Error::Read { path: path.clone(), source }),
            None => Ok(sample::generate(self.records).into_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
