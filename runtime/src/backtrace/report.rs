//! Everything that is known of a crash, for people and as data.

use std::fmt;

use serde::Serialize;

use super::{Backtrace, Instruction, disassembly};
use crate::end::End;
use crate::program::Program;
use crate::signal::Signal;
use crate::site::{Mapping, Site, Surroundings};
use crate::trap::{Trap, TrapRegisters};

/// A crash: what happened, where, how the program came there, and what the memory around is.
///
/// Its `Display` is for people; as data it serializes.
///
/// ```no_run
/// use ampoule::{Command, Program, Report};
///
/// let program = Program::from_file("prog")?;
/// let output = Command::new(&program).output()?;
/// if let Some(report) = Report::new(&program, &output.end, output.site()) {
///     eprintln!("{report}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What happened, in one line.
    pub headline: String,
    /// The signal that Linux would have ended the program with.
    pub signal: Option<u8>,
    /// The address that could not be accessed, if that was the reason.
    pub fault_address: Option<u64>,
    /// What that address is in or near.
    pub surroundings: Option<Surroundings>,
    /// What tells this crash from others: [`Backtrace::key`].
    pub key: String,
    /// How the program came there.
    pub backtrace: Backtrace,
    /// The instructions around the one that it stopped at.
    pub instructions: Vec<Instruction>,
    /// The general registers.
    pub registers: TrapRegisters,
    /// The mappings around.
    pub mappings: Vec<Mapping>,
}

impl Report {
    /// The report of a run of `program` that ended so; none if that was no crash. `site` is where it stopped, if that is known: a trap
    /// knows by itself, and for a signal it is [`Output::site`](crate::Output::site), [`Status::site`](crate::Status::site) or
    /// [`Sandbox::site`](crate::Sandbox::site).
    #[must_use]
    pub fn new(program: &Program, end: &End, site: Option<&Site>) -> Option<Self> {
        match end {
            End::Trap(trap) => Some(Self::of_trap(program, trap)),
            End::Signaled(signal) => {
                Some(Self::of(program, &format!("{signal}, which it sent to itself"), Some(*signal), site?))
            }
            _ => None,
        }
    }

    /// The report of what a program's own checks found: its backtrace begins behind them.
    #[cfg(feature = "fuzz")]
    pub(crate) fn of_finding(program: &Program, what: &str, signal: Option<Signal>, site: &Site) -> Self {
        let report = Self::of(program, what, signal, site);
        let backtrace = report.backtrace.behind_checks();
        // The instructions are those of the call that tells the host.
        Self { key: backtrace.key(), backtrace, instructions: Vec::new(), ..report }
    }

    fn of_trap(program: &Program, trap: &Trap) -> Self {
        let what = match trap.vector() {
            Some(_) => format!("{}: {}", trap.signal(), trap.meaning()),
            None => format!("{}: {}: {}", trap.signal(), trap.meaning(), trap.cause()),
        };
        Self::of(program, &what, Some(trap.signal()), trap.site())
    }

    /// The report of whatever else stopped a program, in the words of who stopped it.
    #[must_use]
    pub fn of(program: &Program, what: &str, signal: Option<Signal>, site: &Site) -> Self {
        let fault_address = site.fault_address();
        let surroundings = fault_address.map(|address| site.surroundings(address));
        let headline = match fault_address {
            Some(address) => {
                let jumped = if address == site.registers().rip { ", where it jumped to" } else { "" };
                format!("{what} at {address:#x}, {}{jumped}", site.describe(address))
            }
            None => what.to_owned(),
        };
        let backtrace = site.backtrace(program);
        Self {
            headline,
            signal: signal.map(Signal::number),
            fault_address,
            surroundings,
            key: backtrace.key(),
            backtrace,
            instructions: disassembly::around(site, program),
            registers: *site.registers(),
            mappings: site.mappings().to_vec(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.headline)?;
        writeln!(f, "backtrace\n{}", self.backtrace)?;
        if !self.instructions.is_empty() {
            writeln!(f, "instructions")?;
            for instruction in &self.instructions {
                writeln!(f, "  {instruction}")?;
            }
        }
        write!(f, "registers\n{}\nmemory", self.registers)?;
        for mapping in &self.mappings {
            write!(f, "\n  {mapping}")?;
        }
        Ok(())
    }
}
