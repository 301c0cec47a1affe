//! Why a run does not go on, and whether it could.

use std::any::Any;
use std::fmt;

use rustix::io::Errno;

use super::error::ProtocolError;
use crate::end::{End, Limit};
use crate::linux::reply::Refusal;
use crate::vm::error::HostError;
use crate::vm::parked::Parked;
use crate::vm::seam::HostCall;
use crate::vm::watch::{Halted, Stop};

/// Where a run was stopped, and so how it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// Between two of its instructions: enter again.
    Between,
    /// In a system call that had done nothing yet: serve that again.
    Syscall,
    /// In one of Ampoule's own calls that had done nothing yet: serve that again.
    Hypercall,
    /// Before it had begun: nothing has happened.
    Before,
    /// In the middle of something that is half done: it cannot go on.
    Never,
}

/// Why a run does not go on.
pub(super) enum Halt {
    /// It is over, or stopped by a limit.
    End(End, Pause),
    /// The guest broke the rules of Ampoule's own calls.
    Protocol(ProtocolError),
    /// The host failed.
    Host(HostError),
    /// A host function panicked, with this.
    Panic(Box<dyn Any + Send>),
    /// The host's own set-up was refused by its kernel.
    Errno(Errno),
    /// The guest waits in a system call, which is served again, and nobody holds a thread for it. No limit was reached.
    Parked(Parked),
}

impl fmt::Debug for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End(end, pause) => f.debug_tuple("End").field(end).field(pause).finish(),
            Self::Protocol(error) => f.debug_tuple("Protocol").field(error).finish(),
            Self::Host(error) => f.debug_tuple("Host").field(error).finish(),
            Self::Panic(_) => f.write_str("Panic"),
            Self::Errno(errno) => f.debug_tuple("Errno").field(errno).finish(),
            Self::Parked(parked) => f.debug_tuple("Parked").field(parked).finish(),
        }
    }
}

impl Halt {
    pub(super) fn refused(refusal: Refusal, pause: Pause) -> Self {
        match refusal {
            Refusal::End(
                end @ (End::Limit(Limit::Wall | Limit::Cpu | Limit::HostCalls) | End::Cancelled | End::AtInput),
            ) => Self::End(end, pause),
            Refusal::End(end) => Self::End(end, Pause::Never),
            Refusal::Host(error) => Self::Host(error),
            Refusal::Errno(errno) => Self::Errno(errno),
            Refusal::Parked(parked) => Self::Parked(parked),
        }
    }

    /// What it means where a thread runs the guest, and waits for it: nothing parks it.
    pub(super) fn nobody_waits() -> HostError {
        HostError::Call { call: HostCall::Poll, source: Errno::AGAIN.into() }
    }

    pub(super) fn stopped(stop: Stop, pause: Pause) -> Self {
        Self::refused(stop.into(), pause)
    }

    pub(super) fn halted(halted: Halted, pause: Pause) -> Self {
        Self::refused(halted.into(), pause)
    }
}

impl From<End> for Halt {
    fn from(end: End) -> Self {
        Self::End(end, Pause::Never)
    }
}

impl From<HostError> for Halt {
    fn from(error: HostError) -> Self {
        Self::Host(error)
    }
}

impl From<ProtocolError> for Halt {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}
