//! Why a process or a thread is not confined.

use std::io;
use std::path::PathBuf;

use crate::vm::error::HostError;

/// Why a process or a thread is not confined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfineError {
    /// `/dev/kvm` is opened before everything else is shut, and could not be.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A path that was to be allowed cannot be opened.
    #[error("cannot allow {path}: {source}", path = path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Landlock confines the calling thread and those that it starts, so that the others would stay free.
    #[error(
        "this process has {count} threads, and all but one would stay unconfined: confine it before it starts threads"
    )]
    Threads {
        /// How many there are.
        count: usize,
    },
    /// This process's threads cannot be counted.
    #[error("cannot count this process's threads in /proc/self/task: {source}")]
    Uncounted {
        /// The operating system's reason.
        source: io::Error,
    },
    /// Landlock is there, but the kernel refused what was asked of it.
    #[error("landlock refused: {reason}")]
    Landlock {
        /// What it said.
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The kernel refused the filter: it has no seccomp, or the thread has too many filters already.
    #[error("seccomp refused: {reason}")]
    Seccomp {
        /// What it said.
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
}
