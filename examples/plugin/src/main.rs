//! A plugin host to start from.
//!
//! ```text
//! sample, stations     the data, and what the host knows       plugins     what is embedded, with typed handles
//! job, progress        lines ─► normaliser (C) ─► record ─► scoring (Rust) ─► score, with events as progress
//! live                 the same calls without exits            hostile     a plugin that means harm, and every way it ends
//! reload               a new version replaces the old under load
//! latencies            what calls cost                         report      text or JSON;  outcome, error   what went wrong, in a line
//! ```
#![deny(unsafe_code)]

mod arguments;
mod error;
mod hostile;
mod job;
mod latencies;
mod live;
mod outcome;
mod plugins;
mod progress;
mod reload;
mod report;
mod sample;
mod stations;

use std::io::Write;
use std::process::ExitCode;

use arguments::Arguments;
use clap::Parser;
use error::Error;
use latencies::Latencies;
use plugins::Plugins;
use report::Report;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough.
        Err(Error::Print { source }) if source.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ampoule-example-plugin: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    let file = arguments.read()?;
    if arguments.sample {
        return std::io::stdout().lock().write_all(&file).map_err(|source| Error::Print { source });
    }
    let plugins = Plugins::load()?;
    let mut latencies = Latencies::default();
    let mut report = Report::new(arguments.json);
    report.section("plugins", &plugins.describe()?)?;

    let (job, done) = job::run(&plugins, &file, &mut latencies)?;
    report.section("job", &job)?;
    report.section("hostile", &hostile::run(&plugins)?)?;
    report.section("reload", &reload::run(&plugins, arguments.workers)?)?;

    live::run(&plugins, &done, &mut latencies)?;
    report.section("latencies", &latencies.table())?;
    report.finish()
}
