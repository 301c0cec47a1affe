//! `ampoule`: run a static Linux program in a microVM, and see what this machine can do.
#![deny(unsafe_code)]

mod confine;
mod doctor;
#[cfg(feature = "fuzz")]
mod fuzz;
mod inspect;
mod report;
mod run;
mod snapshot;
mod units;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Ampoule's own failure: no KVM, no such file, not a program.
const OWN_FAILURE: u8 = 125;

#[derive(Debug, Parser)]
#[command(version, about = "Run untrusted machine code in microVMs", max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

const EXAMPLES: &str = "Examples:
  ampoule doctor                                      can this machine run Ampoule, and how well
  ampoule run ./prog arg                              as if the shell had run it, but sealed
  ampoule run --memory 128M --cpu 2s ./prog < input   with limits
  ampoule run --stats ./prog                          and what it cost
  ampoule inspect ./plugin                            what a program is, exports and imports
  ampoule snapshot save ./plugin -o plugin.amp        a program that has started, in a file";

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Run a static Linux x86-64 program in a microVM
    Run(run::Arguments),
    /// Tell what a program is, exports and imports, without running it
    Inspect(inspect::Arguments),
    /// Write a running program to a file, and tell what is in one
    Snapshot(snapshot::Arguments),
    /// Fuzz a target, each input on a machine that is put back to the byte
    #[cfg(feature = "fuzz")]
    Fuzz(Box<fuzz::Arguments>),
    /// Tell whether this machine can run Ampoule, and how well
    Doctor(doctor::Arguments),
}

fn main() -> ExitCode {
    let code = match Arguments::parse().command {
        Subcommands::Run(arguments) => run::run(arguments),
        Subcommands::Inspect(arguments) => inspect::run(&arguments),
        Subcommands::Snapshot(arguments) => snapshot::run(arguments),
        #[cfg(feature = "fuzz")]
        Subcommands::Fuzz(arguments) => fuzz::run(*arguments),
        Subcommands::Doctor(arguments) => doctor::run(&arguments),
    };
    ExitCode::from(code.unwrap_or_else(|error| {
        report::failure(error.as_ref());
        OWN_FAILURE
    }))
}
