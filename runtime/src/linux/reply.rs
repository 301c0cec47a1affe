//! What a system call comes to: a value, an errno, or the end of the run.

use rustix::io::Errno;

use crate::end::{End, Limit};
use crate::vm::error::HostError;
use crate::vm::parked::{CutShort, Parked};
use crate::vm::watch::{Halted, Stop};

/// The result of a system call.
pub(crate) type Reply = Result<u64, Refusal>;

/// Why a system call has no value.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The program is told.
    Errno(Errno),
    /// The run is over.
    End(End),
    /// The host failed.
    Host(HostError),
    /// Nobody holds a thread while the program waits: nothing was done, and the system call is served again.
    Parked(Parked),
}

/// Whether the program would be told of an errno. The end of the run, which nobody may swallow, passes through.
pub(crate) fn refused<T>(result: Result<T, Refusal>) -> Result<bool, Refusal> {
    match result {
        Ok(_) => Ok(false),
        Err(Refusal::Errno(_)) => Ok(true),
        Err(other) => Err(other),
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<End> for Refusal {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

impl From<HostError> for Refusal {
    fn from(error: HostError) -> Self {
        Self::Host(error)
    }
}

impl From<Stop> for Refusal {
    fn from(stop: Stop) -> Self {
        Self::End(match stop {
            Stop::Wall => End::Limit(Limit::Wall),
            Stop::Cpu => End::Limit(Limit::Cpu),
            Stop::Cancelled => End::Cancelled,
        })
    }
}

impl From<Halted> for Refusal {
    fn from(halted: Halted) -> Self {
        match halted {
            Halted::Stop(stop) => stop.into(),
            Halted::Host(error) => error.into(),
        }
    }
}

impl From<CutShort> for Refusal {
    fn from(cut: CutShort) -> Self {
        match cut {
            CutShort::Halted(halted) => halted.into(),
            CutShort::Parked(parked) => Self::Parked(parked),
        }
    }
}
