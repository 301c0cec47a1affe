//! Signal numbers, as Linux x86-64 has them (signal(7)).

use std::fmt;

/// A signal's number, 1–64.
///
/// ```
/// use ampoule::Signal;
/// assert_eq!(Signal::SEGV.number(), 11);
/// assert_eq!(Signal::SEGV.to_string(), "SIGSEGV");
/// assert_eq!(Signal::new(65), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

/// Names of the standard signals, from 1 on.
const NAMES: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

impl Signal {
    /// Illegal instruction.
    pub const ILL: Self = Self(4);
    /// Breakpoint or single step.
    pub const TRAP: Self = Self(5);
    /// `abort()`.
    pub const ABRT: Self = Self(6);
    /// Bad memory access other than [`SEGV`](Self::SEGV).
    pub const BUS: Self = Self(7);
    /// Arithmetic error.
    pub const FPE: Self = Self(8);
    /// Cannot be caught.
    pub const KILL: Self = Self(9);
    /// User-defined.
    pub const USR1: Self = Self(10);
    /// Invalid memory access.
    pub const SEGV: Self = Self(11);
    /// User-defined.
    pub const USR2: Self = Self(12);
    /// Write to a pipe without a reader.
    pub const PIPE: Self = Self(13);
    /// Timer.
    pub const ALRM: Self = Self(14);
    /// Polite request to end.
    pub const TERM: Self = Self(15);
    /// Child ended.
    pub const CHLD: Self = Self(17);
    /// Go on.
    pub const CONT: Self = Self(18);
    /// Cannot be caught.
    pub const STOP: Self = Self(19);
    /// Bad system call.
    pub const SYS: Self = Self(31);

    /// The signal with this number; none outside 1–64.
    #[must_use]
    pub fn new(number: u8) -> Option<Self> {
        (1..=64).contains(&number).then_some(Self(number))
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// Its bit in a 64-bit signal set.
    pub(crate) fn bit(self) -> u64 {
        1 << (self.0 - 1)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.get(usize::from(self.0) - 1) {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}
