//! What can go wrong around snapshots.

use crate::sandbox::State;
use crate::sandbox::core::RestoreError;
use crate::sandbox::error::ProtocolError;
use crate::vm::error::HostError;

/// Why there is no snapshot, or no way back to one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The sandbox's guest has ended, or nothing is known of it.
    #[error("a sandbox that is {0} has no state to keep: restore it to an earlier snapshot")]
    State(State),
    /// The guest waits for an async host function, whose future cannot be kept.
    #[error("the guest waits for the host's function `{name}`: let the call come to its end first")]
    Waits {
        /// The function's name.
        name: String,
    },
    /// The snapshot is one of another program.
    #[error("this sandbox runs {sandbox:?}, and the snapshot is one of {snapshot:?}: spawn a sandbox from it instead")]
    OtherProgram {
        /// The sandbox's program.
        sandbox: String,
        /// The snapshot's.
        snapshot: String,
    },
    /// The snapshot is one of a command's program, which nobody calls.
    #[error("the snapshot is one of a program that nobody calls: let it go on by Snapshot::command")]
    NoCalls,
    /// The snapshot is one of a sandbox's guest, which waits for calls or is in one.
    #[error("the snapshot is one of a sandbox, whose guest is called: spawn a sandbox from it")]
    IsCalled,
    /// The snapshot's guest imports what this sandbox's host does not offer.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The host failed.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl From<RestoreError> for SnapshotError {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Protocol(error) => Self::Protocol(error),
            RestoreError::Host(error) => Self::Host(error),
        }
    }
}
