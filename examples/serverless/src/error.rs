//! Why the server does not start. What a function does wrong later is a [`Failure`](crate::functions::failure::Failure).

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::functions::NotDeployed;
use crate::functions::name::BadName;
use crate::functions::settings::BadSetting;
use crate::functions::store::StoreError;
use crate::http::NotListening;

/// See the module's documentation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read {path:?}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path:?} has no file name that can be a function's: {source}; rename it")]
    Name { path: PathBuf, source: BadName },
    #[error("two functions are called {name:?}: rename one of the files")]
    Twice { name: String },
    #[error("{name:?} is no function: {source}; `ampoule doctor` tells whether this machine can run any")]
    Deploy { name: String, source: NotDeployed },
    #[error("--{}: {source}", option(source))]
    Setting { source: BadSetting },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    NotListening(#[from] NotListening),
    #[cfg(feature = "nats")]
    #[error(transparent)]
    Worker(#[from] crate::worker::WorkerError),
    #[error("threads cannot be started: {source}; raise the limit on processes (ulimit -u)")]
    Runtime { source: io::Error },
    #[error("cannot listen on {address}: {source}; choose another --address")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot print: {source}")]
    Print { source: io::Error },
}

/// The option of the command line that a setting is.
fn option(error: &BadSetting) -> String {
    match error {
        BadSetting::Unknown { name, .. } | BadSetting::Type { name, .. } => name.replace('_', "-"),
        BadSetting::Range { name, .. } => name.replace('_', "-"),
    }
}
