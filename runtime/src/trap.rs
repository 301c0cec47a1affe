//! A trap: what the processor refused, and where.

use std::fmt;

use crate::machine::event::Exception;
use crate::program::Program;
use crate::signal::Signal;
use crate::site::Site;
use crate::vm::exit::Exit;
use crate::vm::vcpu::Registers;

/// The program did something that the processor refuses, and had no handler for it.
///
/// Its `Display` is a report of several lines for people.
#[derive(Debug, Clone)]
pub struct Trap {
    cause: TrapCause,
    meaning: TrapMeaning,
    symbol: Option<(String, u64)>,
    site: Site,
}

/// What stopped the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrapCause {
    /// A processor exception.
    Exception {
        /// Its vector, 0–31 (Intel SDM vol. 3, table 6-1).
        vector: u8,
        /// Its error code; 0 where it has none.
        error_code: u64,
        /// The address that could not be accessed, for page faults.
        address: Option<u64>,
    },
    /// An instruction that this KVM cannot carry out.
    Emulation {
        /// `KVM_EXIT_INTERNAL_ERROR`'s suberror.
        suberror: u32,
    },
    /// The virtual processor shut down (a triple fault).
    Shutdown,
    /// A store to the event page that is not eight aligned bytes. It was posted: the registers are those of a later moment.
    EventPage {
        /// Where in the page.
        offset: u64,
        /// Bytes stored.
        bytes: u32,
    },
}

/// What a trap means in plain words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TrapMeaning {
    /// An access within the first 64 KiB.
    NullDereference,
    /// An access below the stack's lower end.
    StackOverflow,
    /// A write where only reading is allowed.
    WriteToReadOnly,
    /// A jump to where nothing may be executed.
    ExecuteData,
    /// An access to memory that is mapped without any permission.
    NoAccess,
    /// An access to where nothing is mapped.
    Unmapped,
    /// An access to the kernel's half of the address space.
    KernelAddress,
    /// Integer division by zero, or its result does not fit.
    DivideError,
    /// A floating-point exception that the program unmasked.
    FloatingPoint,
    /// `ud2`, or bytes that are no instruction.
    IllegalInstruction,
    /// An instruction that a program may not execute, a segment that it may not load, or an address that is not canonical.
    Privileged,
    /// A breakpoint.
    Breakpoint,
    /// A single step.
    SingleStep,
    /// An access that is not aligned although the program asked for the check.
    Misaligned,
    /// Anything else.
    Other,
}

/// General registers at a trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "backtrace", derive(serde::Serialize))]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the register of that name")]
pub struct TrapRegisters {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rsp: u64,
    pub rbp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rip: u64,
    pub rflags: u64,
}

impl From<&Registers> for TrapRegisters {
    fn from(from: &Registers) -> Self {
        Self {
            rax: from.rax,
            rbx: from.rbx,
            rcx: from.rcx,
            rdx: from.rdx,
            rsi: from.rsi,
            rdi: from.rdi,
            rsp: from.rsp,
            rbp: from.rbp,
            r8: from.r8,
            r9: from.r9,
            r10: from.r10,
            r11: from.r11,
            r12: from.r12,
            r13: from.r13,
            r14: from.r14,
            r15: from.r15,
            rip: from.rip,
            rflags: from.rflags,
        }
    }
}

/// What the personality knows of the address that faulted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing is mapped there.
    Unmapped,
    /// Just below the stack.
    BelowStack,
    /// Mapped, with these permissions.
    Mapped { any: bool },
}

/// Error code of a page fault: there is a page, and it does not allow the access.
const FAULT_PRESENT: u64 = 1;
/// Error code of a page fault: the access was a write.
const FAULT_WRITE: u64 = 1 << 1;
/// Error code of a page fault: the access was an instruction fetch.
const FAULT_FETCH: u64 = 1 << 4;

impl PartialEq for Trap {
    /// True for the same trap at the same place with the same registers; the memory around is not compared.
    fn eq(&self, other: &Self) -> bool {
        let place = |trap: &Self| (*trap.registers(), trap.site.bias(), trap.cause, trap.meaning);
        place(self) == place(other) && self.bytes() == other.bytes() && self.symbol == other.symbol
    }
}

impl Eq for Trap {}

impl Trap {
    pub(crate) fn exception(exception: Exception, place: Place, site: Site) -> Self {
        let Exception { vector, error_code, address } = exception;
        let cause = TrapCause::Exception { vector, error_code, address };
        Self::new(cause, meaning(&exception, place, site.registers().rip), site)
    }

    pub(crate) fn crash(exit: Exit, site: Site) -> Self {
        let cause = match exit {
            Exit::InternalError { suberror, .. } => TrapCause::Emulation { suberror },
            _ => TrapCause::Shutdown,
        };
        Self::new(cause, TrapMeaning::Other, site)
    }

    pub(crate) fn event_page(offset: u64, bytes: u32, site: Site) -> Self {
        Self::new(TrapCause::EventPage { offset, bytes }, TrapMeaning::Misaligned, site)
    }

    fn new(cause: TrapCause, meaning: TrapMeaning, site: Site) -> Self {
        Self { cause, meaning, symbol: None, site }
    }

    /// Names the function that RIP is in.
    pub(crate) fn symbolise(&mut self, program: &Program) {
        self.symbol = self
            .rip()
            .checked_sub(self.site.bias())
            .and_then(|address| program.symbol_at(address))
            .map(|symbol| (symbol.name.to_string(), symbol.offset));
    }

    /// What stopped the program.
    #[must_use]
    pub fn cause(&self) -> TrapCause {
        self.cause
    }

    /// The exception's vector, if it was one.
    #[must_use]
    pub fn vector(&self) -> Option<u8> {
        match self.cause {
            TrapCause::Exception { vector, .. } => Some(vector),
            _ => None,
        }
    }

    /// What it means in plain words.
    #[must_use]
    pub fn meaning(&self) -> TrapMeaning {
        self.meaning
    }

    /// The signal that Linux would have ended the program with.
    #[must_use]
    pub fn signal(&self) -> Signal {
        self.vector().map_or(Signal::SEGV, signal_of)
    }

    /// Address of the instruction.
    #[must_use]
    pub fn rip(&self) -> u64 {
        self.site.registers().rip
    }

    /// The function that the instruction is in, and how many bytes into it; none if the program was stripped.
    #[must_use]
    pub fn symbol(&self) -> Option<(&str, u64)> {
        self.symbol.as_ref().map(|(name, offset)| (name.as_str(), *offset))
    }

    /// The address that could not be accessed, if that was the reason.
    #[must_use]
    pub fn fault_address(&self) -> Option<u64> {
        match self.cause {
            TrapCause::Exception { address, .. } => address,
            _ => None,
        }
    }

    /// The general registers.
    #[must_use]
    pub fn registers(&self) -> &TrapRegisters {
        self.site.registers()
    }

    /// The bytes at RIP: up to 16, fewer where they cannot be read.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.site.code()
    }

    /// Where the program stopped, and the memory around.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }
}

/// The signal for an exception, as Linux x86-64 has it (`arch/x86/kernel/traps.c`).
pub(crate) fn signal_of(vector: u8) -> Signal {
    match vector {
        0 | 16 | 19 => Signal::FPE,
        1 | 3 => Signal::TRAP,
        6 => Signal::ILL,
        11 | 12 | 17 => Signal::BUS,
        _ => Signal::SEGV,
    }
}

fn meaning(exception: &Exception, place: Place, rip: u64) -> TrapMeaning {
    match exception.vector {
        0 => TrapMeaning::DivideError,
        1 => TrapMeaning::SingleStep,
        3 => TrapMeaning::Breakpoint,
        6 => TrapMeaning::IllegalInstruction,
        11..=13 => TrapMeaning::Privileged,
        14 => fault_meaning(exception, place, rip),
        16 | 19 => TrapMeaning::FloatingPoint,
        17 => TrapMeaning::Misaligned,
        _ => TrapMeaning::Other,
    }
}

fn fault_meaning(exception: &Exception, place: Place, rip: u64) -> TrapMeaning {
    let address = exception.address.unwrap_or(0);
    let place = if place == Place::Unmapped && exception.error_code & FAULT_PRESENT != 0 {
        Place::Mapped { any: true }
    } else {
        place
    };
    let fetch = exception.error_code & FAULT_FETCH != 0 || address == rip;
    match place {
        _ if address < ampoule_kernel::layout::USER_START => TrapMeaning::NullDereference,
        _ if address >= 1 << 47 => TrapMeaning::KernelAddress,
        Place::BelowStack if !fetch => TrapMeaning::StackOverflow,
        Place::Mapped { any: false } => TrapMeaning::NoAccess,
        Place::Mapped { .. } if fetch => TrapMeaning::ExecuteData,
        Place::Mapped { .. } if exception.error_code & FAULT_WRITE != 0 => TrapMeaning::WriteToReadOnly,
        Place::Unmapped | Place::BelowStack | Place::Mapped { .. } => TrapMeaning::Unmapped,
    }
}

impl fmt::Display for TrapMeaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NullDereference => "null dereference",
            Self::StackOverflow => "stack overflow",
            Self::WriteToReadOnly => "write to read-only memory",
            Self::ExecuteData => "jump to memory that is not executable",
            Self::NoAccess => "access to memory without permissions (a guard page?)",
            Self::Unmapped => "access to memory that is not mapped",
            Self::KernelAddress => "access to the kernel's half of the address space",
            Self::DivideError => "division by zero or overflow of a division",
            Self::FloatingPoint => "floating-point exception",
            Self::IllegalInstruction => "illegal instruction",
            Self::Privileged => "privileged instruction, forbidden segment or non-canonical address",
            Self::Breakpoint => "breakpoint",
            Self::SingleStep => "single step",
            Self::Misaligned => "misaligned access",
            Self::Other => "the processor refused to go on",
        })
    }
}

impl fmt::Display for TrapCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 20] = [
            "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "9", "#TS", "#NP", "#SS", "#GP", "#PF",
            "15", "#MF", "#AC", "#MC", "#XM",
        ];
        match self {
            Self::Exception { vector, error_code, .. } => match NAMES.get(usize::from(*vector)) {
                Some(name) => write!(f, "{name}, error code {error_code:#x}"),
                None => write!(f, "exception {vector}, error code {error_code:#x}"),
            },
            Self::Emulation { suberror } => write!(f, "KVM cannot emulate it, suberror {suberror}"),
            Self::Shutdown => f.write_str("triple fault"),
            Self::EventPage { offset, bytes } => {
                write!(f, "a store of {bytes} bytes at {offset:#x} of the event page, which takes 8 aligned ones")
            }
        }
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trap: {} ({}, {})", self.meaning, self.cause, self.signal())?;
        if let Some(address) = self.fault_address() {
            write!(f, " at address {address:#x}")?;
        }
        write!(f, "\n  at {:#x}", self.rip())?;
        if let Some((name, offset)) = self.symbol() {
            write!(f, " in {name}+{offset:#x}")?;
        }
        if self.site.bias() != 0 {
            write!(f, " (linked at {:#x})", self.rip().wrapping_sub(self.site.bias()))?;
        }
        if !self.bytes().is_empty() {
            f.write_str("\n  bytes")?;
            for byte in self.bytes() {
                write!(f, " {byte:02x}")?;
            }
        }
        write!(f, "\n{}", self.registers())
    }
}

impl fmt::Display for TrapRegisters {
    /// Five lines, indented by two.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = self;
        write!(f, "  rax {:016x} rbx {:016x} rcx {:016x} rdx {:016x}", r.rax, r.rbx, r.rcx, r.rdx)?;
        write!(f, "\n  rsi {:016x} rdi {:016x} rbp {:016x} rsp {:016x}", r.rsi, r.rdi, r.rbp, r.rsp)?;
        write!(f, "\n  r8  {:016x} r9  {:016x} r10 {:016x} r11 {:016x}", r.r8, r.r9, r.r10, r.r11)?;
        write!(f, "\n  r12 {:016x} r13 {:016x} r14 {:016x} r15 {:016x}", r.r12, r.r13, r.r14, r.r15)?;
        write!(f, "\n  rip {:016x} rflags {:08x}", r.rip, r.rflags)
    }
}
