//! What a target's counters and comparisons are about.

use ampoule_kernel::fuzz::{MAX_COUNTERS, PROGRAM_COUNTER_BYTES, comparisons};

use crate::sandbox::fuzz_target::word;
use crate::sandbox::fuzzed::Fuzzed;
use crate::vm::error::HostError;

/// An edge of the target's control flow, which has one counter: [`Harness::edges`](super::Harness::edges).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Address of its block, as linked; none if the target did not tell.
    pub address: Option<u64>,
    /// It is a function's first.
    pub is_entry: bool,
}

/// Two numbers that an input made the target compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    /// Address behind the comparison.
    pub address: u64,
    /// Bytes of each operand: 1, 2, 4 or 8.
    pub size: u8,
    /// The left operand is a constant of the program's.
    pub is_constant: bool,
    /// The left operand.
    pub left: u64,
    /// The right operand.
    pub right: u64,
}

/// The comparisons of an input, in their order: [`Harness::comparisons`](super::Harness::comparisons).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparisons {
    /// Those that the window had room for.
    pub entries: Vec<Comparison>,
    /// How many there were.
    pub count: u64,
}

/// The edges of a target, as many as it has counters.
pub(super) fn edges(guest: &mut Fuzzed) -> Result<Vec<Edge>, HostError> {
    let bias = guest.bias();
    let Some(target) = guest.target() else { return Ok(Vec::new()) };
    let (tables, bytes) = (target.tables.clone(), target.counter_bytes());
    let count = usize::try_from(bytes.min(MAX_COUNTERS)).unwrap_or(0);
    let mut edges = Vec::with_capacity(count);
    let mut entry = [0; 16];
    const { assert!(PROGRAM_COUNTER_BYTES == 16, "an entry of the table changed") };
    for table in tables {
        for offset in (0..table.length).step_by(16) {
            if edges.len() == count || guest.read(table.address.wrapping_add(offset), &mut entry)? < entry.len() {
                break;
            }
            let address = word(&entry, 0).checked_sub(bias);
            edges.push(Edge { address, is_entry: word(&entry, 8) & 1 == 1 });
        }
    }
    edges.resize(count, Edge { address: None, is_entry: false });
    Ok(edges)
}

impl Comparisons {
    /// What a window holds.
    pub(super) fn parse(window: &[u8]) -> Self {
        let count = word(window, 0);
        let entries =
            window.get(comparisons::HEADER_BYTES..).unwrap_or_default().chunks_exact(comparisons::ENTRY_BYTES);
        let kept = usize::try_from(count).unwrap_or(usize::MAX);
        let entries = entries.take(kept).filter_map(|entry| {
            let kind = word(entry, comparisons::KIND);
            let size = u8::try_from(kind & 0xff).ok().filter(|size| [1, 2, 4, 8].contains(size))?;
            Some(Comparison {
                address: word(entry, comparisons::ADDRESS),
                size,
                is_constant: kind & 0x100 != 0,
                left: word(entry, comparisons::LEFT),
                right: word(entry, comparisons::RIGHT),
            })
        });
        Self { entries: entries.collect(), count }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_log_that_was_full_says_how_many_there_were() {
        let mut window = vec![0; comparisons::HEADER_BYTES + comparisons::ENTRY_BYTES];
        window[0] = 9;
        let entry = comparisons::HEADER_BYTES;
        window[entry + comparisons::ADDRESS] = 1;
        window[entry + comparisons::KIND..][..2].copy_from_slice(&[4, 1]);
        window[entry + comparisons::LEFT] = 2;
        window[entry + comparisons::RIGHT] = 3;
        let found = Comparisons::parse(&window);
        assert_eq!(found.count, 9);
        assert_eq!(found.entries, [Comparison { address: 1, size: 4, is_constant: true, left: 2, right: 3 }]);
    }

    proptest! {
        #[test]
        fn any_log_can_be_read(window in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Comparisons::parse(&window).entries.len() <= window.len() / comparisons::ENTRY_BYTES);
        }
    }
}
