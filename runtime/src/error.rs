//! Why a run could not be made. What the *guest* does is never one of these: that is an [`End`](crate::End).

use std::io;

use crate::vm::error::HostError;

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The host cannot run guests, or failed while it ran this one.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The memory limit has no room for the program itself.
    #[error("the program does not fit into {limit} bytes of memory: raise Limits::memory")]
    TooLittleMemory {
        /// The limit in bytes.
        limit: u64,
    },
    /// Arguments and environment are larger than Linux allows.
    #[error(
        "arguments and environment take {bytes} bytes, and a program gets at most {max}: pass less, or through stdin or a file"
    )]
    TooManyArguments {
        /// Bytes that they take.
        bytes: u64,
        /// Bytes that they may take.
        max: u64,
    },
    /// An argument or an environment variable contains a NUL byte.
    #[error("{what} contains a NUL byte: a C string cannot")]
    Nul {
        /// Which one.
        what: String,
    },
    /// A file cannot be put into the program's file system.
    #[error("{reason}")]
    File {
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// The child's run could not be made, and [`Child::try_wait`](crate::Child::try_wait) has said why.
    #[error("the child's run could not be made: try_wait has returned the reason before")]
    AlreadyWaited,
    /// A stream or a thread could not be set up.
    #[error("cannot set up the run: {source}")]
    Setup {
        /// The operating system's reason.
        source: io::Error,
    },
}
