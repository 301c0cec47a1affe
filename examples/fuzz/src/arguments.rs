//! The command line.

use std::path::PathBuf;
use std::time::Duration;

/// Fuzz a parser until its bugs are found, and replay them
#[derive(Debug, clap::Parser)]
#[command(version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// zlib, planted, or a static program that was linked with sdk/c/fuzz.c
    #[arg(default_value = "zlib")]
    pub(crate) target: String,
    /// The same seed finds the same inputs after the same number of executions
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Different bugs to find; unless said otherwise those that are known, and 1 in a target of your own
    #[arg(long, value_name = "COUNT")]
    pub(crate) bugs: Option<usize>,
    /// Most executions
    #[arg(long, value_name = "COUNT", default_value_t = 10_000_000)]
    pub(crate) executions: u64,
    /// How often each bug is replayed
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub(crate) replays: u32,
    /// Start from the inputs in this directory, and not from nothing
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) corpus: Option<PathBuf>,
    /// Write the inputs that find bugs, and their reports, to this directory
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) out: Option<PathBuf>,
    /// Time for an input, in milliseconds
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    timeout_ms: u64,
    /// Memory of the target, in MiB: unless said otherwise 16 for those that are brought along, and 64 for one of your own
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(16..=262_144))]
    memory_mib: Option<u64>,
}

const EXAMPLES: &str = "Exit code: 0 if the bugs were found and every replay was the same, 1 if not.

Examples:
  fuzz                               CVE-2022-37434 in zlib 1.2.11, from an empty corpus
  fuzz --seed 7 --out crashes        by another way; the input and its report are kept
  fuzz planted                       one bug of each kind in a small format
  fuzz ./parser --corpus samples     your own target";

impl Arguments {
    /// Time for an input.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// Bytes of memory that the target may have, if somebody said.
    pub(crate) fn memory(&self) -> Option<u64> {
        self.memory_mib.map(|count| count << 20)
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
