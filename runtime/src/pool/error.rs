//! Why a pool has no sandbox.

use crate::sandbox::error::SandboxError;
use crate::vm::error::HostError;

/// Why a pool has no sandbox.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// All that there may be are taken.
    #[error("all {max} sandboxes of the pool are taken: wait for one, or allow more with PoolBuilder::max")]
    Exhausted {
        /// How many there may be.
        max: usize,
    },
    /// None was given back in time.
    #[error("none of the pool's {max} sandboxes was given back in time")]
    TimedOut {
        /// How many there may be.
        max: usize,
    },
    /// Program and imports do not fit.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The host cannot make another one.
    #[error(transparent)]
    Host(#[from] HostError),
}
