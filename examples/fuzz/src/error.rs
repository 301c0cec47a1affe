//! Why the fuzzer gives up. What a target does is none of these.

use std::io;
use std::path::PathBuf;

use ampoule::ProgramError;
use ampoule::fuzz::{FuzzError, Verdict};

/// See the module's documentation.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each says what it is")]
pub enum Error {
    #[error("{path:?} is no target: {source}; name `zlib`, `planted`, or a static program that was linked with fuzz.c")]
    Load { path: PathBuf, source: ProgramError },
    #[error("the target {name} cannot be loaded: {source}; was it built with AMPOULE_BUILD_SKIP? build it without")]
    LoadOwn { name: &'static str, source: ProgramError },
    #[error("{name} cannot be started: {source}; `ampoule doctor` tells whether this machine can run targets")]
    Start { name: String, source: FuzzError },
    #[error(
        "{name} has no counters of edges, so that nothing can be learned from an input; see docs/fuzzing-targets.md"
    )]
    NoCounters { name: String },
    #[error("an input cannot be run: {source}")]
    Run { source: FuzzError },
    #[error("the fuzzer failed: {source}")]
    Fuzz { source: libafl::Error },
    #[error("cannot read {path:?}: {source}; --corpus names a directory of inputs")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {path:?}: {source}; --out names a directory to write to")]
    Write { path: PathBuf, source: io::Error },
    #[error(
        "{found} of {wanted} bugs were found in {executions} executions; give it more --executions, or another --seed"
    )]
    TooFew { found: usize, wanted: usize, executions: u64 },
    #[error("{same} of {replays} replays did the same; the first that did not: {other}")]
    NotTheSame { same: u32, replays: u32, other: Verdict },
    #[error("cannot print: {source}")]
    Print { source: io::Error },
}
