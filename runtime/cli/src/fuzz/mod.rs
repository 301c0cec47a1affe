//! `ampoule fuzz`: a fuzzer over `ampoule::fuzz`, of LibAFL's parts.
//!
//! ```text
//! main thread    opens files, draws, writes fuzzer_stats ◄─── figures, events ───┐
//! core 0         harness ◄─ judge ◄─ LibAFL's fuzzer ─► queue ─► out/default/     │ each
//! core 1         harness ◄─ judge ◄─ LibAFL's fuzzer ─► queue ─► out/core1/       │ thread
//!                    └──── finds of one are tried by the others, in memory ────┘
//! ```
//! Cores are threads of one process: virtual machines do not survive a fork, and a crash of the target's is a value here, so that there is nothing to
//! keep apart. Each has a harness, a seed and a directory of its own.

mod campaign;
mod engine;
mod finds;
mod inputs;
mod journal;
mod judge;
mod out;
mod queue;
mod replay;
mod shared;
mod show;
mod stability;
mod stats;
mod target;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use crate::{confine, units};

/// Exit status: something crashed.
const CRASHED: u8 = 1;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_precedence_over_arg = true, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Subcommands>,
    #[command(flatten)]
    campaign: Campaign,
}

#[derive(Debug, clap::Subcommand)]
enum Subcommands {
    /// Run inputs again, and print the full report of each
    Replay(replay::Arguments),
    /// Run each input of a corpus several times, and tell which edges and verdicts are not the same each time
    Stability(stability::Arguments),
}

/// A run of the fuzzer.
#[derive(Debug, Clone, clap::Args)]
struct Campaign {
    #[command(flatten)]
    target: target::TargetArguments,
    /// Inputs to start from: a directory, whose files are read beneath it, or a file; `-` goes on with OUT [default: a few trivial ones]
    #[arg(short = 'i', long = "input", value_name = "CORPUS")]
    input: Option<PathBuf>,
    /// Where everything is written, in AFL's layout. What is there from an earlier run is gone on with
    #[arg(short = 'o', long = "output", value_name = "OUT", default_value = "out")]
    output: PathBuf,
    /// Threads that fuzz, each with a harness of its own
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    cores: u16,
    /// Ends after this time [default: at Ctrl-C]
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    time: Option<Duration>,
    /// Ends after so many executions, by all cores together
    #[arg(long, value_name = "COUNT")]
    executions: Option<u64>,
    /// Ends when something has crashed that had not before
    #[arg(long)]
    until_crash: bool,
    /// Longest input that is made [default: 4096, or the longest of CORPUS if that is longer]
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    max_len: Option<u64>,
    /// A dictionary in AFL's format: lines of name="value", with \xNN
    #[arg(short = 'x', long, value_name = "FILE")]
    dict: Option<PathBuf>,
    /// What the random numbers start from. With the same seed, one core and --executions, an empty OUT comes to hold the same inputs again
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Print a JSON object in a line on stdout for every crash and hang, now and then for the figures, and for the end
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    confine: confine::Rights,
    #[command(flatten)]
    own: target::OwnArguments,
}

const EXAMPLES: &str =
    "TARGET has LLVMFuzzerTestOneInput and is linked with sdk/c/fuzz.c, or reads stdin, or a file: docs/fuzzing.md.
A file in the current directory that is called replay or stability is ./replay.

Exit status: 0 nothing in OUT crashes; 1 OUT has crashes; 125 Ampoule's own failure. Hangs are no crashes.

Examples:
  ampoule fuzz ./parser                                       from nothing, into ./out
  ampoule fuzz ./parser -i corpus -o out --cores 8 --time 1h
  ampoule fuzz -i corpus -o out -- ./program --decode @@      as with AFL: @@ is the input's path
  ampoule fuzz ./parser -i - -o out                           goes on
  ampoule fuzz replay ./parser out/default/crashes            what it found
  ampoule fuzz stability ./parser -i out/default/queue";

pub(crate) fn run(arguments: Arguments) -> Result<u8, Box<dyn Error>> {
    match arguments.command {
        None => campaign::run(&arguments.campaign),
        Some(Subcommands::Replay(replay)) => replay::run(&replay),
        Some(Subcommands::Stability(stability)) => stability::run(&stability),
    }
}
