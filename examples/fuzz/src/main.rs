//! Fuzzes a target until its bugs are found; then each is made small, told, and replayed.
#![deny(unsafe_code)]

mod arguments;

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use ampoule::fuzz::Harness;
use ampoule_example_fuzz::campaign::{Bug, Campaign, Found, key};
use ampoule_example_fuzz::error::Error;
use ampoule_example_fuzz::hex::Hex;
use ampoule_example_fuzz::live::{Live, per_second};
use ampoule_example_fuzz::minimise::minimise;
use ampoule_example_fuzz::replay::{Replays, replay};
use ampoule_example_fuzz::speed::Speed;
use ampoule_example_fuzz::target::Target;
use arguments::Arguments;
use clap::Parser;
use indicatif::HumanCount;

/// How often each input of the corpus is run to see whether it does the same.
const ROUNDS: u32 = 10;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough.
        Err(Error::Print { source }) if source.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fuzz: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    let target = Target::named(&arguments.target)?;
    let campaign = Campaign {
        seed: arguments.seed,
        executions: arguments.executions,
        bugs: arguments.bugs.unwrap_or(target.bugs),
        corpus: arguments.corpus.as_deref().map_or_else(|| Ok(Vec::new()), read)?,
    };
    let harness = || target.harness(arguments.timeout(), arguments.memory().unwrap_or(target.memory));
    // One machine searches, another looks at what was found.
    let (searching, mut judge) = (harness()?, harness()?);
    if searching.edges().is_empty() {
        return Err(Error::NoCounters { name: target.name });
    }
    let found = search(&target.name, &campaign, searching, &mut judge)?;
    for (number, bug) in found.bugs.iter().enumerate() {
        let input = tell(number + 1, bug, &mut judge)?;
        if let Some(directory) = &arguments.out {
            write(directory, number + 1, &input, &mut judge)?;
        }
        let Replays { all, same, other } = replay(&mut judge, &input, arguments.replays).map_err(failed)?;
        print(&format!("replayed: {same} of {all} times the same\n"))?;
        if let Some(other) = other {
            return Err(Error::NotTheSame { same, replays: all, other });
        }
    }
    judge_corpus(&found, &mut judge)?;
    let (found, wanted, executions) = (found.bugs.len(), campaign.bugs, found.executions);
    if found < wanted { Err(Error::TooFew { found, wanted, executions }) } else { Ok(()) }
}

/// Searches with a live line, and says what it took.
fn search(name: &str, campaign: &Campaign, searching: Harness, judge: &mut Harness) -> Result<Found, Error> {
    let edges = searching.edges().len();
    let from = match campaign.corpus.len() {
        0 => "an empty corpus".to_owned(),
        inputs => format!("{inputs} inputs"),
    };
    print(&format!("== {name}, {edges} edges, from {from}, seed {}", campaign.seed))?;
    let live = Live::start();
    let found = campaign.run(searching, judge, |now| {
        live.show(&now);
        ControlFlow::Continue(())
    });
    let time = live.finish();
    let found = found?;
    let (executions, rate) = (HumanCount(found.executions), HumanCount(per_second(found.executions, time)));
    let seconds = time.as_secs_f64();
    print(&format!(
        "{executions} executions in {seconds:.1} s ({rate}/s), {} of {edges} edges, {} inputs in the corpus, {} found\n",
        found.edges,
        found.corpus.len(),
        found.bugs.len()
    ))?;
    Ok(found)
}

/// Prints what is known of a bug; its smallest input.
fn tell(number: usize, bug: &Bug, judge: &mut Harness) -> Result<Vec<u8>, Error> {
    let input = minimise(judge, &bug.input).map_err(failed)?;
    let verdict = judge.run(&input).map_err(failed)?;
    let (before, after) = (bug.input.len(), input.len());
    let executions = HumanCount(bug.executions);
    print(&format!("== bug {number}: {}, within {executions} executions", bug.key))?;
    print(&format!("{verdict}\nits input, made smaller from {before} to {after} bytes:\n{}", Hex(&input)))?;
    Ok(input)
}

/// Keeps a bug's input and report.
fn write(directory: &Path, number: usize, input: &[u8], judge: &mut Harness) -> Result<(), Error> {
    let verdict = judge.run(input).map_err(failed)?;
    let report = format!("{}\n{verdict}\n", key(&verdict).unwrap_or_default());
    let put = |path: &Path, bytes: &[u8]| {
        std::fs::write(path, bytes).map_err(|source| Error::Write { path: path.to_owned(), source })
    };
    std::fs::create_dir_all(directory).map_err(|source| Error::Write { path: directory.to_owned(), source })?;
    put(&directory.join(format!("bug-{number}")), input)?;
    put(&directory.join(format!("bug-{number}.report.txt")), report.as_bytes())
}

/// Prints whether the inputs of the corpus do the same every time, and how fast they are.
fn judge_corpus(found: &Found, judge: &mut Harness) -> Result<(), Error> {
    let stability = judge.stability(&found.corpus, ROUNDS).map_err(failed)?;
    let (percent, edges, inputs) = (stability.score() * 100.0, stability.edges, found.corpus.len());
    print(&format!("== the corpus, each of its {inputs} inputs {ROUNDS} times"))?;
    print(&format!("stability {percent:.2} %: {} of {edges} edges unstable", stability.unstable.len()))?;
    for edge in &stability.unstable {
        let symbol = edge.symbol.as_deref().unwrap_or("a function without a name");
        print(&format!("  edge {} in {symbol}, for {} inputs", edge.index, edge.inputs))?;
    }
    let speed = Speed::measure(judge, &found.corpus).map_err(failed)?;
    print(&format!("singly     {:>9} executions/s", HumanCount(speed.singly).to_string()))?;
    print(&format!("in batches {:>9} executions/s", HumanCount(speed.in_batches).to_string()))
}

/// The files of a directory, in the order of their names.
fn read(directory: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let failed = |source| Error::Read { path: directory.to_owned(), source };
    let entries = std::fs::read_dir(directory).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    paths.into_iter().map(|path| std::fs::read(&path).map_err(|source| Error::Read { path, source })).collect()
}

fn failed(source: ampoule::fuzz::FuzzError) -> Error {
    Error::Run { source }
}

fn print(text: &str) -> Result<(), Error> {
    writeln!(std::io::stdout().lock(), "{text}").map_err(|source| Error::Print { source })
}
