//! What a target's own checks found: `sdk/c/fuzz.c` has them, and says it by a record.

use std::fmt;

use ampoule_kernel::fuzz::finding;

use super::verdict::printable;
use crate::sandbox::fuzz_target::word;

/// An error that the target's own checks found: an access that its compiler had checked, a wrong `free`.
///
/// The target says so itself, and its memory may be damaged: addresses and sizes are what it says, and nothing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    kind: FindingKind,
    access: Option<Access>,
    address: u64,
    size: u64,
    block: Option<(u64, u64)>,
    allocated: Vec<u64>,
    freed: Vec<u64>,
    text: String,
}

/// The kinds of errors that a target's own checks find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// An access behind or before a block of the heap.
    HeapOverflow,
    /// An access behind or before a variable on the stack.
    StackOverflow,
    /// An access behind or before a global variable.
    GlobalOverflow,
    /// An access to a block that was freed.
    UseAfterFree,
    /// An access to a variable whose scope is over.
    UseAfterScope,
    /// A block was freed twice.
    DoubleFree,
    /// What was freed is no block.
    BadFree,
    /// An access behind the input's end.
    InputOverflow,
    /// An access to memory that is not the target's to touch.
    InvalidAccess,
    /// One that this version does not know.
    Other,
}

/// What was done to memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Access {
    /// It was read.
    Read,
    /// It was written.
    Write,
}

impl Finding {
    /// What a record says.
    pub(super) fn parse(record: &[u8], text: String) -> Self {
        let frames = |offset: usize| -> Vec<u64> {
            let words = (0..finding::FRAMES).map(|index| word(record, offset + index * 8));
            words.take_while(|&address| address != 0).collect()
        };
        let block = word(record, finding::BLOCK);
        Self {
            kind: kind(word(record, finding::KIND)),
            access: match word(record, finding::ACCESS) {
                1 => Some(Access::Read),
                2 => Some(Access::Write),
                _ => None,
            },
            address: word(record, finding::ADDRESS),
            size: word(record, finding::SIZE),
            block: (block != 0).then(|| (block, word(record, finding::BLOCK_SIZE))),
            allocated: frames(finding::ALLOCATED),
            freed: frames(finding::FREED),
            // It is printed, and the target chose it.
            text: printable(&text),
        }
    }

    /// What kind of error.
    #[must_use]
    pub fn kind(&self) -> FindingKind {
        self.kind
    }

    /// What was done; none for a wrong `free`.
    #[must_use]
    pub fn access(&self) -> Option<Access> {
        self.access
    }

    /// The address that was accessed, or freed.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Bytes accessed.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The block of memory that the address is in or near: its address and its bytes.
    #[must_use]
    pub fn block(&self) -> Option<(u64, u64)> {
        self.block
    }

    /// Where the block was allocated: return addresses, the innermost first.
    #[must_use]
    pub fn allocated_at(&self) -> &[u64] {
        &self.allocated
    }

    /// Where it was freed.
    #[must_use]
    pub fn freed_at(&self) -> &[u64] {
        &self.freed
    }

    /// What more the target said, such as a variable's name.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn kind(number: u64) -> FindingKind {
    match number {
        finding::HEAP_OVERFLOW => FindingKind::HeapOverflow,
        finding::STACK_OVERFLOW => FindingKind::StackOverflow,
        finding::GLOBAL_OVERFLOW => FindingKind::GlobalOverflow,
        finding::USE_AFTER_FREE => FindingKind::UseAfterFree,
        finding::USE_AFTER_SCOPE => FindingKind::UseAfterScope,
        finding::DOUBLE_FREE => FindingKind::DoubleFree,
        finding::BAD_FREE => FindingKind::BadFree,
        finding::INPUT_OVERFLOW => FindingKind::InputOverflow,
        finding::INVALID_ACCESS => FindingKind::InvalidAccess,
        _ => FindingKind::Other,
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HeapOverflow => "heap buffer overflow",
            Self::StackOverflow => "stack buffer overflow",
            Self::GlobalOverflow => "global buffer overflow",
            Self::UseAfterFree => "use after free",
            Self::UseAfterScope => "use after scope",
            Self::DoubleFree => "double free",
            Self::BadFree => "free of what is no block",
            Self::InputOverflow => "access behind the input's end",
            Self::InvalidAccess => "invalid access",
            Self::Other => "error",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        match self.access {
            Some(Access::Read) => write!(f, ": read of {} bytes", self.size)?,
            Some(Access::Write) => write!(f, ": write of {} bytes", self.size)?,
            None => {}
        }
        write!(f, " at {:#x}", self.address)?;
        if let Some((block, bytes)) = self.block {
            let (distance, side) = match self.address.checked_sub(block) {
                None => (block - self.address, "before"),
                Some(inside) if inside < bytes => (inside, "into"),
                Some(inside) => (inside - bytes, "behind"),
            };
            write!(f, ", {distance} bytes {side} a block of {bytes} bytes")?;
        }
        if !self.text.is_empty() {
            write!(f, " ({})", self.text)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(words: &[(usize, u64)]) -> Vec<u8> {
        let mut record = vec![0; finding::BYTES];
        for &(offset, word) in words {
            record[offset..offset + 8].copy_from_slice(&word.to_le_bytes());
        }
        record
    }

    #[test]
    fn a_record_reads_as_a_sentence() {
        let record = record(&[
            (finding::KIND, finding::HEAP_OVERFLOW),
            (finding::ACCESS, 2),
            (finding::ADDRESS, 0x1010),
            (finding::SIZE, 4),
            (finding::BLOCK, 0x1000),
            (finding::BLOCK_SIZE, 12),
            (finding::ALLOCATED, 0x40_1000),
        ]);
        let finding = Finding::parse(&record, "x\n\u{1b}[31m".to_owned());
        let text = "heap buffer overflow: write of 4 bytes at 0x1010, 4 bytes behind a block of 12 bytes (x[31m)";
        assert_eq!(finding.to_string(), text);
        assert_eq!(finding.allocated_at(), [0x40_1000]);
    }

    proptest! {
        #[test]
        fn any_record_can_be_shown(record in proptest::collection::vec(any::<u8>(), 0..=finding::BYTES), text: String) {
            prop_assert!(!Finding::parse(&record, text).to_string().is_empty());
        }
    }
}
