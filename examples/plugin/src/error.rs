//! Why the host gives up. What a plugin does wrong is none of these unless the host depends on it.

use std::io;
use std::path::PathBuf;

use ampoule::{CallError, FuncError, Incompatible, InterfaceError, ProgramError, SandboxError};

use crate::outcome::in_a_line;

/// See the module's documentation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read {path:?}: {source}; name a CSV file, or none to have records generated")]
    Read { path: PathBuf, source: io::Error },
    #[error("no line of the file could be scored: see --sample for what records look like")]
    NoRecords,
    #[error("plugin {plugin} cannot be loaded: {source}; was the host built with AMPOULE_BUILD_SKIP? build it without")]
    Load { plugin: &'static str, source: ProgramError },
    #[error("plugin {plugin} and its host do not fit: {source}; build both from the same source")]
    Function { plugin: &'static str, source: FuncError },
    #[error("the interface of plugin {plugin} cannot be read: {source}")]
    Interface { plugin: &'static str, source: InterfaceError },
    #[error("plugin {plugin} cannot be started: {source}; `ampoule doctor` tells whether this machine can run plugins")]
    Start { plugin: &'static str, source: SandboxError },
    #[error("plugin {plugin} failed: {}", in_a_line(source))]
    Call { plugin: &'static str, source: CallError },
    #[error("plugin {plugin} answered {got} where {expected} was right")]
    Answer { plugin: &'static str, got: String, expected: String },
    #[error("a new version was refused that should have been taken: {source}")]
    Refused { source: Incompatible },
    #[error("{what} was not contained: {ending}")]
    NotContained { what: &'static str, ending: String },
    #[error("the climate table cannot be shared: {source}")]
    Share { source: io::Error },
    #[error("a thread could not be started: {source}; raise the limit on processes (ulimit -u)")]
    Thread { source: io::Error },
    #[error("cannot print: {source}")]
    Print { source: io::Error },
}
