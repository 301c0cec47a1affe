//! Why the server does not start, or does not go on. What a function does wrong later is a [`Failure`](crate::failure::Failure).

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use ampoule::{InterfaceError, PoolError, ProgramError, SandboxError, SnapshotError};

/// See the module's documentation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{path:?} is no function: {source}")]
    Load { path: PathBuf, source: ProgramError },
    #[error(
        "the server's own function {name} cannot be loaded: {source}; was it built with AMPOULE_BUILD_SKIP? build it without"
    )]
    LoadOwn { name: &'static str, source: ProgramError },
    #[error("two functions are called {name:?}: rename one of the files")]
    Twice { name: String },
    #[error("the interface of {name:?} cannot be read: {source}")]
    Interface { name: String, source: InterfaceError },
    #[error(
        "{name:?} exports {exports}, and a function is called as `handle(bytes) -> bytes`: export that, or nothing"
    )]
    NoHandle { name: String, exports: String },
    #[error("{name:?} cannot be started: {source}; `ampoule doctor` tells whether this machine can run functions")]
    Start { name: String, source: SandboxError },
    #[error("{name:?} cannot be snapshotted: {source}")]
    Snapshot { name: String, source: SnapshotError },
    #[error("{name:?} gets no pool: {source}")]
    Pool { name: String, source: PoolError },
    #[error("threads cannot be started: {source}; raise the limit on processes (ulimit -u) or lower --sandboxes")]
    Runtime { source: io::Error },
    #[error("cannot listen on {address}: {source}; choose another --address")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot print: {source}")]
    Print { source: io::Error },
    #[error("cannot serve: {source}")]
    Serve { source: io::Error },
}
