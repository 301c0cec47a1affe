//! How a run ended. One type for every kind of run: a program, a call into a plugin, a fuzzing input.

use std::fmt;

use crate::signal::Signal;
use crate::site::Site;
use crate::trap::Trap;

/// How a run ended. Whatever the guest did is one of these; an `Err` is the host's failure or a misuse.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// It exited with this status, 0–255.
    Exited(i32),
    /// A signal that it sent to itself ended it: `abort()` is [`Signal::ABRT`].
    Signaled(Signal),
    /// It reached a limit.
    Limit(Limit),
    /// It did something that the processor refuses, and had no handler for it.
    Trap(Box<Trap>),
    /// It waits for something that nobody can send.
    Deadlock,
    /// Its cancel token was cancelled, or its [`Child`](crate::Child) was killed.
    Cancelled,
    /// It asked for input, where it was to be stopped: [`Command::stop_at_input`](crate::Command::stop_at_input). No other run ends so.
    AtInput,
}

/// A limit that a run reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// Wall time: [`Call::wall`](crate::Call::wall).
    Wall,
    /// CPU time: [`Call::cpu`](crate::Call::cpu).
    Cpu,
    /// Memory: [`Limits::memory`](crate::Limits::memory).
    Memory,
    /// Output: [`Call::output`](crate::Call::output).
    Output,
    /// Calls of the host's functions: [`Call::host_calls`](crate::Call::host_calls).
    HostCalls,
    /// Events that nobody took, where none may be dropped: [`Overflow::Stop`](crate::Overflow::Stop).
    Events,
}

impl End {
    /// True for [`End::Exited`] with status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        matches!(self, Self::Exited(0))
    }

    /// Where a trap happened.
    pub(crate) fn site(&self) -> Option<&Site> {
        match self {
            Self::Trap(trap) => Some(trap.site()),
            _ => None,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exited with status {status}"),
            Self::Signaled(signal) => write!(f, "ended by {signal}"),
            Self::Limit(limit) => limit.fmt(f),
            Self::Trap(trap) => trap.fmt(f),
            Self::Deadlock => f.write_str("deadlock: it waits for something that nobody can send"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::AtInput => f.write_str("stopped where it asks for input"),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wall => "reached its wall-time limit",
            Self::Cpu => "reached its CPU-time limit",
            Self::Memory => "reached its memory limit",
            Self::Output => "reached its output limit",
            Self::HostCalls => "reached its limit of host calls",
            Self::Events => "posted more events than were taken",
        })
    }
}
