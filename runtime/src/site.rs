//! Where a program stopped: what is copied out of a guest at the moment of a crash, while its memory is still there.
//!
//! The copy is bounded whatever the guest did: registers, the bytes at RIP, at most 64 KiB of stack, and a handful of mappings. It is plain
//! data that outlives the guest; feature `backtrace` makes functions, lines and instructions of it and of the program's file.
//!
//! ```text
//!  ┌─ bytes at RIP      ┌─ stack: from RSP upwards, or from the first readable byte above it
//!  registers            mappings: those that RIP, RSP and the address that faulted are in, or the next ones below and above
//! ```

use std::fmt;

use ampoule_kernel::layout::{USER_END, USER_START};

use crate::trap::TrapRegisters;

/// Where a program stopped, and the memory around.
#[derive(Clone, PartialEq, Eq)]
pub struct Site {
    registers: TrapRegisters,
    fault_address: Option<u64>,
    bias: u64,
    code: Vec<u8>,
    stack_start: u64,
    stack: Vec<u8>,
    mappings: Vec<Mapping>,
}

/// What a [`Site`] is made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Captured {
    pub(crate) registers: TrapRegisters,
    pub(crate) fault_address: Option<u64>,
    pub(crate) bias: u64,
    pub(crate) code: Vec<u8>,
    pub(crate) stack_start: u64,
    pub(crate) stack: Vec<u8>,
    pub(crate) mappings: Vec<Mapping>,
}

/// A range of the program's address space that is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "backtrace", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Mapping {
    /// Its first byte.
    pub start: u64,
    /// The byte after its last.
    pub end: u64,
    /// The program may read it.
    pub read: bool,
    /// The program may write it.
    pub write: bool,
    /// The program may execute it.
    pub execute: bool,
    /// What it is for.
    pub kind: MappingKind,
}

/// What a mapping is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "backtrace", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum MappingKind {
    /// A segment of the program.
    Program,
    /// The heap that `brk` moves.
    Heap,
    /// The stack that the program was started with.
    Stack,
    /// `mmap` without a file.
    Anonymous,
    /// `mmap` of a file.
    File,
}

/// What an address is in, or near.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "backtrace", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Surroundings {
    /// In the first 64 KiB, where nothing is ever mapped.
    NullArea,
    /// In a mapping.
    Inside(Mapping),
    /// In the gap below the stack that is kept free.
    StackGuard {
        /// The stack.
        stack: Mapping,
    },
    /// In no mapping.
    Between {
        /// The next one below.
        below: Option<Mapping>,
        /// The next one above.
        above: Option<Mapping>,
    },
    /// Where only the host maps anything.
    Host,
}

/// An address with what it is near: its `Display` is a half-sentence for people.
#[derive(Debug, Clone, Copy)]
struct Described {
    address: u64,
    surroundings: Surroundings,
}

impl Site {
    /// Most bytes of stack that are kept.
    pub const MAX_STACK_BYTES: usize = 64 << 10;

    /// Nothing is mapped so close below the stack: Linux's `stack_guard_gap`, 256 pages.
    pub(crate) const STACK_GUARD_BYTES: u64 = 1 << 20;

    pub(crate) fn new(captured: Captured) -> Self {
        let Captured { registers, fault_address, bias, code, stack_start, stack, mappings } = captured;
        Self { registers, fault_address, bias, code, stack_start, stack, mappings }
    }

    /// The general registers.
    #[must_use]
    pub fn registers(&self) -> &TrapRegisters {
        &self.registers
    }

    /// The address that could not be accessed, if that was the reason.
    #[must_use]
    pub fn fault_address(&self) -> Option<u64> {
        self.fault_address
    }

    /// What was added to the program's addresses as linked.
    #[must_use]
    pub fn bias(&self) -> u64 {
        self.bias
    }

    /// The bytes at RIP: up to 16, fewer where they cannot be read.
    #[must_use]
    pub fn code(&self) -> &[u8] {
        &self.code
    }

    /// The stack's copy and the address of its first byte: RSP, or the first byte above it that can be read.
    #[must_use]
    pub fn stack(&self) -> (u64, &[u8]) {
        (self.stack_start, &self.stack)
    }

    /// The mappings that RIP, RSP and the address that faulted are in or near, in ascending order.
    #[must_use]
    pub fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }

    /// What an address is in or near, as far as [`mappings`](Self::mappings) tell.
    #[must_use]
    pub fn surroundings(&self, address: u64) -> Surroundings {
        if address < USER_START {
            return Surroundings::NullArea;
        }
        if address >= USER_END {
            return Surroundings::Host;
        }
        let below = self.mappings.iter().rfind(|mapping| mapping.start <= address).copied();
        let above = self.mappings.iter().find(|mapping| mapping.start > address).copied();
        match (below, above) {
            (Some(mapping), _) if address < mapping.end => Surroundings::Inside(mapping),
            (_, Some(stack))
                if stack.kind == MappingKind::Stack && stack.start - address <= Self::STACK_GUARD_BYTES =>
            {
                Surroundings::StackGuard { stack }
            }
            (below, above) => Surroundings::Between { below, above },
        }
    }

    /// The same in words: `12 bytes behind the end of the heap (0x4c8000-0x4ea000 rw-)`.
    #[must_use]
    pub fn describe(&self, address: u64) -> String {
        Described { address, surroundings: self.surroundings(address) }.to_string()
    }

    /// The word at an address, if it was copied.
    #[cfg(any(test, feature = "backtrace"))]
    pub(crate) fn stack_word(&self, address: u64) -> Option<u64> {
        let offset = usize::try_from(address.checked_sub(self.stack_start)?).ok()?;
        let word = self.stack.get(offset..offset.checked_add(8)?)?;
        word.try_into().ok().map(u64::from_le_bytes)
    }

    /// True if the stack has more above than was copied.
    #[cfg(any(test, feature = "backtrace"))]
    pub(crate) fn stack_goes_on(&self) -> bool {
        let end = self.stack_start.saturating_add(self.stack.len() as u64);
        let is_in = |mapping: &Mapping| mapping.read && mapping.start <= end && end < mapping.end;
        self.mappings.iter().any(is_in)
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("registers", &self.registers)
            .field("fault_address", &self.fault_address)
            .field("bias", &self.bias)
            .field("code", &self.code)
            .field("stack", &format_args!("{} bytes at {:#x}", self.stack.len(), self.stack_start))
            .field("mappings", &self.mappings)
            .finish()
    }
}

impl fmt::Display for MappingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Program => "the program",
            Self::Heap => "the heap",
            Self::Stack => "the stack",
            Self::Anonymous => "a mapping",
            Self::File => "a mapping of a file",
        })
    }
}

impl fmt::Display for Mapping {
    /// `the heap (0x4c8000-0x4ea000 rw-)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |allowed: bool, letter: char| if allowed { letter } else { '-' };
        let (read, write, execute) = (letter(self.read, 'r'), letter(self.write, 'w'), letter(self.execute, 'x'));
        write!(f, "{} ({:#x}-{:#x} {read}{write}{execute})", self.kind, self.start, self.end)
    }
}

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address;
        match self.surroundings {
            Surroundings::NullArea if address == 0 => f.write_str("null itself"),
            Surroundings::NullArea => write!(f, "{} from null", Bytes(address)),
            Surroundings::Host => f.write_str("where only the host maps memory"),
            Surroundings::Inside(mapping) => {
                write!(
                    f,
                    "{} into {mapping}, {} before its end",
                    Bytes(address - mapping.start),
                    Bytes(mapping.end - address)
                )
            }
            Surroundings::StackGuard { stack } => {
                write!(f, "{} below {stack}, in its guard area", Bytes(stack.start - address))
            }
            Surroundings::Between { below, above } => {
                let behind = below.map(|mapping| (address - mapping.end, mapping));
                let before = above.map(|mapping| (mapping.start - address, mapping));
                match (behind, before) {
                    (Some((0, mapping)), _) => write!(f, "just behind the end of {mapping}"),
                    (Some((behind, mapping)), before) if before.is_none_or(|(before, _)| behind <= before) => {
                        write!(f, "{} behind the end of {mapping}", Bytes(behind))
                    }
                    (_, Some((before, mapping))) => write!(f, "{} before the start of {mapping}", Bytes(before)),
                    (_, None) => f.write_str("where nothing is mapped"),
                }
            }
        }
    }
}

/// A distance for people.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 byte"),
            few @ ..=0xffff => write!(f, "{few} bytes"),
            many => write!(f, "{many:#x} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(start: u64, end: u64, kind: MappingKind) -> Mapping {
        Mapping { start, end, read: true, write: true, execute: false, kind }
    }

    fn site() -> Site {
        let (heap, stack) =
            (mapping(0x50_0000, 0x51_0000, MappingKind::Heap), mapping(0x7000_0000, 0x7080_0000, MappingKind::Stack));
        let (stack_start, words) = (0x7000_1000, [1_u64, 2]);
        Site::new(Captured {
            stack_start,
            stack: words.map(u64::to_le_bytes).concat(),
            mappings: vec![heap, stack],
            ..Captured::default()
        })
    }

    fn told(address: u64) -> String {
        site().describe(address)
    }

    #[test]
    fn an_address_is_told_by_what_it_is_in_or_near() {
        assert_eq!(told(0), "null itself");
        assert_eq!(told(8), "8 bytes from null");
        assert_eq!(told(0x51_0000), "just behind the end of the heap (0x500000-0x510000 rw-)");
        assert_eq!(told(0x51_000c), "12 bytes behind the end of the heap (0x500000-0x510000 rw-)");
        assert_eq!(told(0x4f_ffff), "1 byte before the start of the heap (0x500000-0x510000 rw-)");
        assert_eq!(told(0x50_0010), "16 bytes into the heap (0x500000-0x510000 rw-), 65520 bytes before its end");
        assert_eq!(told(0x6fff_fff8), "8 bytes below the stack (0x70000000-0x70800000 rw-), in its guard area");
        assert_eq!(told(1 << 47), "where only the host maps memory");
    }

    #[test]
    fn the_stack_is_read_where_it_was_copied_and_nowhere_else() {
        let site = site();
        assert_eq!(site.stack_word(0x7000_1000), Some(1));
        assert_eq!(site.stack_word(0x7000_1008), Some(2));
        for outside in [0, 0x7000_0fff, 0x7000_1009, 0x7000_1010, u64::MAX] {
            assert_eq!(site.stack_word(outside), None, "{outside:#x}");
        }
        assert!(site.stack_goes_on());
    }
}
