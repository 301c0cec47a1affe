//! From where a program stopped to the calls that led there, with functions, inlined ones too, and lines.
//!
//! ```text
//! Site ──┬── walk ─────► addresses       cfi: the program's own unwind tables
//!        │                 │
//! Program┴── tables ──► scopes ─────────► Backtrace ─┬─► key: what tells one crash from another
//!            once a       names                      │
//!            program                    disassembly ─┴─► Report
//! ```
//! Everything here is made by the program: its file, its stack, its names. So every count has a limit, every loop that a file drives pays out of a
//! budget ([`budget`]), nothing is copied by a length that was read, and an answer that cannot be had is left out. What gimli, iced-x86,
//! rustc-demangle and cpp_demangle do is bounded by what they are given: see `units`, `cfi` and `names`.

mod budget;
mod cfi;
mod disassembly;
mod machinery;
mod names;
mod report;
mod scopes;
mod tables;
mod units;
mod walk;

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use self::budget::Budget;
pub use self::disassembly::Instruction;
use self::machinery::{is_machinery, is_start};
pub use self::report::Report;
use self::scopes::{Place, Scope};
use self::tables::Information;
use self::walk::{Last, Step, Walk};
use crate::program::Program;
#[cfg(feature = "fuzz")]
use crate::site::Captured;
use crate::site::Site;

/// Steps for the lines and inlined functions of one backtrace: about a second's work. What comes after that has no lines.
const SCOPES_BUDGET: u64 = 1 << 27;
/// Frames that tell one crash from another.
const KEY_FRAMES: usize = 5;

/// The calls that led to where a program stopped, innermost first.
///
/// ```no_run
/// use ampoule::{Command, Program};
///
/// let program = Program::from_file("prog")?;
/// let output = Command::new(&program).output()?;
/// if let Some(site) = output.site() {
///     println!("{}", site.backtrace(&program));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backtrace {
    frames: Vec<Frame>,
    ending: Ending,
}

/// A function that was being executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Frame {
    /// Where in memory: of the innermost frame the instruction that the program stopped at, of the others where a call returns to.
    pub address: u64,
    /// The same as linked.
    pub linked: u64,
    /// The function, as its language writes it; none if the program was stripped.
    pub function: Option<String>,
    /// Bytes from the start of the function that the compiler emitted, if the program has symbols.
    pub offset: Option<u64>,
    /// The source file, if the program has debug information.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<u32>,
    /// The column in the line.
    pub column: Option<u32>,
    /// It was inlined into the next frame, which has the same address.
    pub inlined: bool,
    /// It is in the program's code; otherwise it was jumped to by mistake, or is in the vDSO.
    pub in_program: bool,
    /// How it was found.
    pub found: Found,
}

/// How a frame was found, from certain to likely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Found {
    /// It is where the program stopped.
    Registers,
    /// By the program's unwind tables.
    UnwindTable,
    /// By a return address on the stack that follows a call of the frame before.
    ReturnAddress,
    /// By the frame pointer in RBP.
    FramePointer,
    /// By the first return address on the stack, which may be that of a call long over.
    Guess,
}

/// Why a backtrace ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ending {
    /// The program began there.
    Outermost,
    /// The stack goes on beyond what is kept of it.
    StackGoesOn,
    /// There are more frames than are shown.
    TooManyFrames,
    /// The stack makes no sense beyond.
    Lost,
}

impl Site {
    /// The calls that led here. `program` is the one that ran; with another the names mean nothing.
    ///
    /// The first call for a program reads its unwind tables and debug information, at most some seconds' work for the largest.
    #[must_use]
    pub fn backtrace(&self, program: &Program) -> Backtrace {
        let Some(information) = Information::of(program) else {
            return Backtrace { frames: Vec::new(), ending: Ending::Lost };
        };
        let walk = Walk { information: &information, site: self };
        let (steps, last) = walk.steps();
        let mut budget = Budget::new(SCOPES_BUDGET);
        // Recursion comes by the same addresses again and again.
        let mut known: HashMap<u64, Vec<Scope>> = HashMap::new();
        let mut frames = Vec::new();
        for Step { frame, found } in steps {
            let inside = walk.linked(frame.inside());
            let scopes = known.entry(inside).or_insert_with(|| information.scopes(inside, &mut budget));
            push_frames(&mut frames, program, &walk, frame.rip(), inside, found, scopes);
        }
        let ending = match last {
            Last::Outermost => Ending::Outermost,
            Last::StackGoesOn => Ending::StackGoesOn,
            Last::Limit => Ending::TooManyFrames,
            Last::Lost => Ending::Lost,
        };
        Backtrace { frames, ending }
    }
}

/// The frames of one step: those inlined there, and the function around them.
fn push_frames(
    frames: &mut Vec<Frame>,
    program: &Program,
    walk: &Walk<'_>,
    address: u64,
    inside: u64,
    found: Found,
    scopes: &[Scope],
) {
    let linked = walk.linked(address);
    let symbol = program.symbol_at(inside);
    let offset = symbol.map(|symbol| symbol.offset.saturating_add(linked.wrapping_sub(inside)));
    let in_program = walk.is_code(inside);
    let none = [Scope::default()];
    let scopes = if scopes.is_empty() { &none } else { scopes };
    for (index, Scope { function, place }) in scopes.iter().enumerate() {
        let inlined = index + 1 < scopes.len();
        let by_symbol = symbol.filter(|_| !inlined).map(|symbol| names::demangle(symbol.name));
        let Place { file, line, column } = place.clone();
        frames.push(Frame {
            address,
            linked,
            function: function.clone().or(by_symbol),
            offset: offset.filter(|_| !inlined),
            file,
            line,
            column,
            inlined,
            in_program,
            found,
        });
    }
}

impl Backtrace {
    /// Calls that return to these addresses, the innermost first: somebody else found them.
    #[cfg(feature = "fuzz")]
    pub(crate) fn returning_to(program: &Program, bias: u64, addresses: &[u64]) -> Self {
        let mut frames = Vec::new();
        if let Some(information) = Information::of(program) {
            let site = Site::new(Captured { bias, ..Captured::default() });
            let walk = Walk { information: &information, site: &site };
            let mut budget = Budget::new(SCOPES_BUDGET);
            for &address in addresses {
                let inside = walk.linked(address.wrapping_sub(1));
                let scopes = information.scopes(inside, &mut budget);
                push_frames(&mut frames, program, &walk, address, inside, Found::FramePointer, &scopes);
            }
        }
        Self { frames, ending: Ending::TooManyFrames }
    }

    /// Without the innermost frames, of the program's own checks: from the one on that what they found is about.
    #[cfg(feature = "fuzz")]
    pub(crate) fn behind_checks(mut self) -> Self {
        // What is further out than this was not called by a check.
        const DEEPEST: usize = 16;
        let is_checked = |frame: &Frame| frame.function.as_deref().is_some_and(machinery::is_checked);
        if let Some(last) = self.frames.iter().take(DEEPEST).rposition(is_checked)
            && last + 1 < self.frames.len()
        {
            self.frames.drain(..=last);
        }
        self
    }

    /// The frames, innermost first. There is at least one.
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Why there are no more frames.
    #[must_use]
    pub fn ending(&self) -> Ending {
        self.ending
    }

    /// What tells this crash from others: the functions of the five innermost frames that are the program's own, in a line.
    ///
    /// Frames of the machinery that reports a failure (`abort`, `raise`, panics, sanitizers) and of the C library's string functions are left
    /// out, and so is what comes before `main`; a function that calls itself counts once. No addresses are in it, unless the program has no
    /// symbols: then they are those of the file.
    #[must_use]
    pub fn key(&self) -> String {
        let own = |frame: &&Frame| frame.in_program && frame.function.as_deref().is_none_or(|name| !is_machinery(name));
        let mut names: Vec<String> = self
            .frames
            .iter()
            .take_while(|frame| !frame.function.as_deref().is_some_and(is_start))
            .filter(own)
            .map(|frame| frame.function.clone().unwrap_or_else(|| format!("{:#x}", frame.linked)))
            .collect();
        names.dedup();
        names.truncate(KEY_FRAMES);
        names.join(" < ")
    }

    /// [`key`](Self::key) as a number (FNV-1a, 64 bits): the same in every run and on every machine.
    #[must_use]
    pub fn hash(&self) -> u64 {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x100_0000_01b3;
        self.key().bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
    }
}

impl fmt::Display for Frame {
    /// `parse+0x1c at src/parse.c:12:5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.function, self.offset) {
            (Some(name), Some(offset)) => write!(f, "{name}+{offset:#x}")?,
            (Some(name), None) => f.write_str(name)?,
            (None, _) => write!(f, "{:#x}", self.linked)?,
        }
        if let Some(file) = &self.file {
            write!(f, " at {file}")?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
                if let Some(column) = self.column {
                    write!(f, ":{column}")?;
                }
            }
        }
        f.write_str(match (self.inlined, self.found) {
            (true, _) => " (inlined)",
            (false, Found::Guess) => " (a guess)",
            (false, _) => "",
        })
    }
}

impl fmt::Display for Backtrace {
    /// A line for each frame; repetitions of one are counted instead.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.frames.iter().enumerate().peekable();
        while let Some((index, frame)) = rest.next() {
            write!(f, "  {index:>3} {frame}")?;
            let mut repeated = 0_usize;
            while rest.next_if(|(_, next)| next.linked == frame.linked && next.function == frame.function).is_some() {
                repeated += 1;
            }
            if repeated > 0 {
                write!(f, ", and {repeated} more of the same")?;
            }
            if rest.peek().is_some() {
                writeln!(f)?;
            }
        }
        match self.ending {
            Ending::Outermost => Ok(()),
            Ending::StackGoesOn | Ending::TooManyFrames => f.write_str("\n      … the stack goes on"),
            Ending::Lost => f.write_str("\n      … and what called it is not known"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, address: u64) -> Frame {
        Frame {
            address,
            linked: address,
            function: Some(function.to_owned()).filter(|name| !name.is_empty()),
            offset: Some(4),
            file: Some("a.c".to_owned()),
            line: Some(7),
            column: None,
            inlined: false,
            in_program: true,
            found: Found::UnwindTable,
        }
    }

    fn backtrace(functions: &[&str]) -> Backtrace {
        let frames = functions.iter().zip(0x1000..).map(|(name, address)| frame(name, address)).collect();
        Backtrace { frames, ending: Ending::Outermost }
    }

    #[test]
    fn a_key_is_made_of_the_programs_own_functions_up_to_main() {
        let machinery = [
            "__pthread_kill_implementation.constprop.0",
            "gsignal",
            "abort",
            "__assert_fail",
            "__GI_raise",
            "raise.part.0",
            "__memmove_avx_unaligned_erms",
            "memcpy",
            "__asan_report_load",
            "std::panicking::begin_panic_handler",
            "core::panicking::panic_fmt",
            "std::terminate",
            "__cxa_throw",
            "__stack_chk_fail",
            "__restore_sigs",
        ];
        let mut functions = machinery.to_vec();
        functions.extend(["parse", "parse", "raise_price", "main", "__libc_start_call_main", "_start"]);
        assert_eq!(backtrace(&functions).key(), "parse < raise_price < main");
        assert_eq!(backtrace(&["a", "b", "c", "d", "e", "f"]).key(), "a < b < c < d < e");
        assert_eq!(backtrace(&["", "main"]).key(), "0x1000 < main");
        assert_eq!(backtrace(&[]).key(), "");
    }

    #[test]
    fn a_key_has_one_hash_everywhere() {
        assert_eq!(backtrace(&[]).hash(), 0xcbf2_9ce4_8422_2325);
        assert_eq!(backtrace(&["a"]).hash(), 0xaf63_dc4c_8601_ec8c);
    }

    #[test]
    fn repetitions_are_counted_and_the_end_is_told() {
        let repeated = vec![frame("f", 1), frame("f", 1), frame("f", 1), frame("main", 2)];
        let text = Backtrace { frames: repeated, ending: Ending::StackGoesOn }.to_string();
        assert_eq!(
            text,
            "    0 f+0x4 at a.c:7, and 2 more of the same\n    3 main+0x4 at a.c:7\n      … the stack goes on"
        );
    }
}
