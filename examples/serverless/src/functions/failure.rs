//! How an invocation fails, for whoever asked: a kind that programs can tell apart, and a line that no function can make anything else of.

use std::fmt::Write;
use std::io;
use std::time::Duration;

use ampoule::{CallError, End, HostError, Limit, PoolError, RunError, SandboxError, Trap};
use rustix::io::Errno;

use super::admission::Refused;
use super::reports::ReportId;

/// Most characters of a guest's own words in an answer.
const WORDS: usize = 500;

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) detail: String,
    /// Where more is told of it.
    pub(crate) report: Option<ReportId>,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// There is no function of that name.
    Unknown,
    /// The body is longer than the function's may be.
    BodyTooLong,
    /// As many invocations wait as may.
    QueueFull,
    /// Its turn did not come in time.
    WaitedTooLong,
    /// The wall time was over.
    WallTime,
    /// The CPU time was over.
    CpuTime,
    /// The memory was used up.
    Memory,
    /// The answer was longer than it may be.
    ReplyTooLong,
    /// It did what the processor refuses, or ended itself by a signal.
    Crash,
    /// It ended although it should have answered, or with another status than 0.
    Exit,
    /// It answered that it failed.
    Failed,
    /// The body did not come to its end.
    BodyLost,
    /// Whoever asked did not wait for the end.
    HungUp,
    /// The guests of this host have all the memory that they may have together, or there are no descriptors or threads for one more.
    HostFull,
    /// The server or its host failed.
    Host,
}

impl Kind {
    /// All of them; a kind's place is its number.
    pub(crate) const ALL: [Self; 15] = [
        Self::Unknown,
        Self::BodyTooLong,
        Self::QueueFull,
        Self::WaitedTooLong,
        Self::WallTime,
        Self::CpuTime,
        Self::Memory,
        Self::ReplyTooLong,
        Self::Crash,
        Self::Exit,
        Self::Failed,
        Self::BodyLost,
        Self::HungUp,
        Self::HostFull,
        Self::Host,
    ];

    /// Its name in answers and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown_function",
            Self::BodyTooLong => "body_too_long",
            Self::QueueFull => "queue_full",
            Self::WaitedTooLong => "waited_too_long",
            Self::WallTime => "wall_time",
            Self::CpuTime => "cpu_time",
            Self::Memory => "memory",
            Self::ReplyTooLong => "reply_too_long",
            Self::Crash => "crash",
            Self::Exit => "exit",
            Self::Failed => "failed",
            Self::BodyLost => "body_lost",
            Self::HungUp => "hung_up",
            Self::HostFull => "host_full",
            Self::Host => "host",
        }
    }

    /// True if another attempt can go well: nothing of the function has run.
    pub(crate) fn is_refusal(self) -> bool {
        matches!(self, Self::QueueFull | Self::WaitedTooLong | Self::HostFull)
    }

    /// True if what was used up or broken costs the host more than an answer does.
    pub(crate) fn is_costly(self) -> bool {
        matches!(self, Self::WallTime | Self::CpuTime | Self::Memory | Self::ReplyTooLong | Self::Crash)
    }
}

impl Failure {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), report: None }
    }

    /// There is no function of that name.
    pub(crate) fn unknown(name: &str) -> Self {
        Self::new(Kind::Unknown, format!("no function is called {}: see /functions", clean(name)))
    }

    /// A body is longer than it may be.
    pub(crate) fn body_too_long(most: usize) -> Self {
        Self::new(Kind::BodyTooLong, format!("the body is longer than {most} bytes, which is this function's limit"))
    }

    /// The server itself is wrong.
    pub(crate) fn panicked() -> Self {
        Self::new(Kind::Host, "the server failed: its log says how")
    }

    /// A function ended instead of answering.
    pub(crate) fn ended(end: &End, stderr: &str, report: Option<ReportId>) -> Self {
        let kind = match end {
            End::Limit(Limit::Wall) => Kind::WallTime,
            End::Limit(Limit::Cpu) => Kind::CpuTime,
            End::Limit(Limit::Memory) => Kind::Memory,
            End::Limit(Limit::Output) => Kind::ReplyTooLong,
            End::Trap(_) | End::Signaled(_) => Kind::Crash,
            _ => Kind::Exit,
        };
        let mut detail = match end {
            End::Trap(trap) => format!("the function ended: {}", trapped(trap)),
            End::Limit(limit) => format!("the function {limit}"),
            end => format!("the function ended: {end}"),
        };
        said(&mut detail, stderr);
        Self { kind, detail, report }
    }

    /// A call came to no answer; `report` tells where its crash, if it was one, is told of.
    pub(crate) fn of_call(error: CallError, report: impl FnOnce(&End) -> Option<ReportId>) -> Self {
        match error {
            CallError::Ended(end) => Self::ended(&end, "", report(&end)),
            CallError::Guest { message, location, stderr } => {
                let mut detail = format!("the function failed: {}", clean(&message));
                if !location.is_empty() {
                    // A `String` takes everything.
                    let _ = write!(detail, ", at {}", clean(&location));
                }
                said(&mut detail, &stderr);
                Self::new(Kind::Failed, detail)
            }
            error @ CallError::TooLong { .. } => Self::new(Kind::ReplyTooLong, clean(&error.to_string())),
            CallError::Host(error) => Self::new(of_host(&error), error.to_string()),
            error @ CallError::State(_) => Self::new(Kind::Host, error.to_string()),
            error => Self::new(Kind::Failed, clean(&error.to_string())),
        }
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        let kind = match &error {
            PoolError::Host(error) | PoolError::Sandbox(SandboxError::Run(RunError::Host(error))) => of_host(error),
            _ => Kind::Host,
        };
        Self::new(kind, error.to_string())
    }
}

/// A host that is full is not broken.
fn of_host(error: &HostError) -> Kind {
    if is_full(error) { Kind::HostFull } else { Kind::Host }
}

/// True if the host lacks what others use up: it may be there later.
pub(crate) fn is_full(error: &HostError) -> bool {
    match error {
        HostError::MemoryBudget { .. } | HostError::OutOfDescriptors { .. } => true,
        HostError::Call { source, .. } => is_used_up(source),
        _ => false,
    }
}

fn is_used_up(error: &io::Error) -> bool {
    let errors = [Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::NOSPC];
    errors.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let kind = match &error {
            RunError::TooLittleMemory { .. } => Kind::Memory,
            RunError::Host(error) => of_host(error),
            RunError::Setup { source } if is_used_up(source) => Kind::HostFull,
            _ => Kind::Host,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::QueueFull { queue } => Self::new(
                Kind::QueueFull,
                format!("the function serves as many requests as it may, and {queue} wait already: try again"),
            ),
            Refused::TimedOut { waited: Duration::ZERO } => {
                Self::new(Kind::WaitedTooLong, "the function serves as many requests as it may: try again")
            }
            Refused::TimedOut { waited } => Self::new(
                Kind::WaitedTooLong,
                format!(
                    "the function serves as many requests as it may, and was not free within {waited:?}: try again"
                ),
            ),
        }
    }
}

/// What a trap meant and where it was; [`Trap`]'s own text has the registers as well.
fn trapped(trap: &Trap) -> String {
    let place = match trap.symbol() {
        Some((name, offset)) => format!("in {}+{offset:#x}", clean(name)),
        None => format!("in code at {:#x}", trap.rip()),
    };
    format!("trap: {}, {place}", trap.meaning())
}

/// Adds the last line that a function wrote to stderr.
fn said(detail: &mut String, stderr: &str) {
    // Rust ends its first panic with a note about backtraces.
    let says = |line: &&str| !line.trim().is_empty() && !line.starts_with("note: ");
    if let Some(last) = stderr.lines().rfind(says) {
        // A `String` takes everything.
        let _ = write!(detail, "; stderr ends with: {}", clean(last));
    }
}

/// Somebody's text as one short line without control characters, which could take over a terminal.
pub(crate) fn clean(text: &str) -> String {
    let mut clean = String::new();
    for character in text.trim().chars().take(WORDS) {
        if character.is_control() { clean.extend(character.escape_default()) } else { clean.push(character) }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_of_a_function_has_its_kind() {
        for (end, kind) in [
            (End::Limit(Limit::Wall), Kind::WallTime),
            (End::Limit(Limit::Cpu), Kind::CpuTime),
            (End::Limit(Limit::Memory), Kind::Memory),
            (End::Limit(Limit::Output), Kind::ReplyTooLong),
            (End::Exited(1), Kind::Exit),
            (End::Deadlock, Kind::Exit),
        ] {
            assert_eq!(Failure::ended(&end, "", None).kind, kind, "{end}");
        }
    }

    #[test]
    fn a_guests_words_are_one_short_line_without_control_characters() {
        let (message, stderr) = ("no\x1b[31m luck\nat all".to_owned(), "first\nlast\nnote: more\n\n".to_owned());
        let error = CallError::Guest { message, location: "main.rs:3:5".to_owned(), stderr };
        assert_eq!(
            Failure::of_call(error, |_| None).detail,
            "the function failed: no\\u{1b}[31m luck\\nat all, at main.rs:3:5; stderr ends with: last"
        );
        assert!(Failure::ended(&End::Exited(1), &"a".repeat(100_000), None).detail.len() < 600);
    }

    #[test]
    fn a_kinds_place_is_its_number() {
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number, "{kind:?}");
        }
    }
}
