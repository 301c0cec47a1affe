//! What became of an input.

use std::fmt;

use super::finding::Finding;
use crate::backtrace::{Backtrace, Report};
use crate::end::{End, Limit};
use crate::program::Program;
use crate::sandbox::error::ProtocolError;
use crate::sandbox::fuzzed::Came;
use crate::signal::Signal;
use crate::site::Site;
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
    site: Site,
    stderr: String,
    program: Program,
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
    /// The target is called, so that an exit is no way to answer.
    pub(super) is_called: bool,
    pub(super) was_short_of_memory: bool,
    pub(super) site: Site,
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
            Came::Panicked { message, location } => {
                CrashCause::Panicked { message: printable(&message), location: printable(&location) }
            }
            Came::Broke(error) => CrashCause::Protocol(ProtocolError::to_string(&error)),
        };
        let Circumstances { program, site, finding, stderr, .. } = of;
        Some(Self::Crash(Box::new(Crash { cause, finding, site, stderr, program: program.clone() })))
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

/// What a target said, without what a terminal would obey.
pub(super) fn printable(text: &str) -> String {
    let changes_direction =
        |character| matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|&character| !character.is_control() && !changes_direction(character)).collect()
}

impl PartialEq for Crash {
    /// True for the same end at the same place.
    fn eq(&self, other: &Self) -> bool {
        self.cause == other.cause && self.finding == other.finding && self.registers() == other.registers()
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
        self.site.registers()
    }

    /// Where it ended, and the memory around.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// The report: backtrace, instructions, registers, memory. Reads the program's debug information when it is first asked for.
    #[must_use]
    pub fn report(&self) -> Report {
        let (program, signal, site) = (&self.program, self.signal(), &self.site);
        match (&self.finding, &self.cause) {
            (Some(finding), _) => Report::of_finding(program, &finding.to_string(), signal, site),
            (None, CrashCause::End(End::Trap(trap))) => {
                Report::of(program, &format!("{}: {}", trap.signal(), trap.meaning()), signal, site)
            }
            (None, cause) => Report::of(program, &cause.to_string(), signal, site),
        }
    }

    /// What this crash has in common with every other of the same bug, in a line: how it ended, what the target's own checks found, and the functions
    /// that led there.
    #[must_use]
    pub fn key(&self) -> String {
        let how = match (&self.cause, self.signal()) {
            (CrashCause::Panicked { location, .. }, _) => format!("panic at {location}"),
            (CrashCause::Protocol(_), _) => "ran wild".to_owned(),
            (_, Some(signal)) => signal.to_string(),
            (cause, None) => cause.to_string(),
        };
        let found = self.finding.as_ref().map(|finding| format!(", {}", finding.kind())).unwrap_or_default();
        let backtrace = self.site.backtrace(&self.program);
        let backtrace = if self.finding.is_some() { backtrace.behind_checks() } else { backtrace };
        format!("{how}{found} in {}", backtrace.key())
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
        write!(f, "crash: {}", self.report())?;
        if let Some(finding) = &self.finding {
            for (what, addresses) in [("allocated", finding.allocated_at()), ("freed", finding.freed_at())] {
                if !addresses.is_empty() {
                    let calls = Backtrace::returning_to(&self.program, self.site.bias(), addresses);
                    write!(f, "\nthe block was {what}\n{calls}")?;
                }
            }
        }
        Ok(())
    }
}
