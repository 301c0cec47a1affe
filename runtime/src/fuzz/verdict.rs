//! What became of an input.

use std::fmt;

use super::finding::Finding;
use crate::end::{End, Limit};
use crate::program::Program;
use crate::sandbox::error::ProtocolError;
use crate::sandbox::fuzzed::Came;
use crate::signal::Signal;
use crate::trap::TrapRegisters;

/// What became of an input.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// The target took it, and would take the next. A plain program has exited, with whatever status.
    Ok,
    /// The target did what it must not do.
    Crash(Box<Crash>),
    /// It was not done in time, waits for what nobody can send, or printed without end.
    Hang,
    /// It needs more memory than it was granted: its limit ended it, or an allocation was refused and it did not survive that.
    OutOfMemory,
}

/// What a target did that it must not do, and where.
///
/// `Display` is a report for people.
#[derive(Debug, Clone)]
pub struct Crash {
    cause: CrashCause,
    finding: Option<Finding>,
    registers: TrapRegisters,
    place: Option<(String, u64)>,
    stderr: String,
    program: Program,
    bias: u64,
}

/// How a target came to its end.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum CrashCause {
    /// A trap, a signal that it sent to itself (`abort`), or an exit in the middle of an input.
    End(End),
    /// Its function panicked.
    Panicked {
        /// The panic's message.
        message: String,
        /// File, line and column.
        location: String,
    },
    /// It broke the rules of Ampoule's own calls, as only a target that runs wild does.
    Protocol(String),
}

/// What a verdict is made of.
pub(super) struct Circumstances<'a> {
    pub(super) program: &'a Program,
    pub(super) bias: u64,
    /// The target is called, so that an exit is no way to answer.
    pub(super) is_called: bool,
    pub(super) was_short_of_memory: bool,
    pub(super) registers: TrapRegisters,
    pub(super) finding: Option<Finding>,
    pub(super) stderr: String,
}

impl Verdict {
    /// The verdict on what came of an input; none if somebody cancelled it.
    pub(super) fn of(came: Came, of: Circumstances<'_>) -> Option<Self> {
        let cause = match came {
            Came::Done => return Some(Self::Ok),
            Came::Ended(End::Cancelled) => return None,
            Came::Ended(End::Exited(_)) if !of.is_called => return Some(Self::Ok),
            Came::Ended(End::Limit(Limit::Memory)) => return Some(Self::OutOfMemory),
            Came::Ended(End::Limit(_) | End::Deadlock) => return Some(Self::Hang),
            Came::Ended(_) | Came::Panicked { .. } if of.was_short_of_memory && of.finding.is_none() => {
                return Some(Self::OutOfMemory);
            }
            Came::Ended(end) => CrashCause::End(end),
            Came::Panicked { message, location } => CrashCause::Panicked { message, location },
            Came::Broke(error) => CrashCause::Protocol(ProtocolError::to_string(&error)),
        };
        let Circumstances { program, bias, registers, finding, stderr, .. } = of;
        let place = registers.rip.checked_sub(bias).and_then(|address| program.symbol_at(address));
        let place = place.map(|symbol| (symbol.name.to_owned(), symbol.offset));
        let program = program.clone();
        Some(Self::Crash(Box::new(Crash { cause, finding, registers, place, stderr, program, bias })))
    }

    /// True for [`Verdict::Ok`].
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok)
    }

    /// The crash, if it is one.
    #[must_use]
    pub fn crash(&self) -> Option<&Crash> {
        match self {
            Self::Crash(crash) => Some(crash),
            _ => None,
        }
    }
}

impl PartialEq for Crash {
    /// True for the same end at the same place.
    fn eq(&self, other: &Self) -> bool {
        self.cause == other.cause && self.finding == other.finding && self.registers == other.registers
    }
}

impl Crash {
    /// How the target came to its end.
    #[must_use]
    pub fn cause(&self) -> &CrashCause {
        &self.cause
    }

    /// What the target's own checks found, if it was they that ended it.
    #[must_use]
    pub fn finding(&self) -> Option<&Finding> {
        self.finding.as_ref()
    }

    /// The general registers where it ended.
    #[must_use]
    pub fn registers(&self) -> &TrapRegisters {
        &self.registers
    }

    /// The function that it ended in, if the program has symbols.
    #[must_use]
    pub fn function(&self) -> Option<&str> {
        self.place.as_ref().map(|(name, _)| name.as_str())
    }

    /// The end of what it wrote to stderr during this input.
    #[must_use]
    pub fn stderr(&self) -> &str {
        &self.stderr
    }

    /// The signal that Linux would have ended it with, if any.
    #[must_use]
    pub fn signal(&self) -> Option<Signal> {
        match &self.cause {
            CrashCause::End(End::Signaled(signal)) => Some(*signal),
            CrashCause::End(End::Trap(trap)) => Some(trap.signal()),
            CrashCause::Panicked { .. } => Some(Signal::ABRT),
            _ => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Crash(crash) => crash.fmt(f),
            Self::Hang => f.write_str("hang: it was not done in time"),
            Self::OutOfMemory => f.write_str("out of memory: it needs more than its limit"),
        }
    }
}

impl fmt::Display for CrashCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End(end) => end.fmt(f),
            Self::Panicked { message, location } => write!(f, "panicked at {location}: {message}"),
            Self::Protocol(reason) => write!(f, "ran wild: {reason}"),
        }
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.finding {
            Some(finding) => write!(f, "crash: {finding}")?,
            None => write!(f, "crash: {}", self.cause)?,
        }
        if !matches!(self.cause, CrashCause::End(End::Trap(_))) {
            write!(f, "\n  at {:#x}", self.registers.rip)?;
            if let Some((name, offset)) = &self.place {
                write!(f, " in {name}+{offset:#x}")?;
            }
        }
        if let Some(finding) = &self.finding {
            finding.write_places(f, &self.program, self.bias)?;
        }
        Ok(())
    }
}
