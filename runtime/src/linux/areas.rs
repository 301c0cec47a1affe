//! What the program mapped where: the ranges behind `mmap`, `munmap` and `mprotect`, as plain data.
//!
//! ```text
//! USER_START                                                                                 USER_END
//! │   ┌─────────┐┌──────┐                    ┌──────┐┌────────┐  ┌ guard gap ┐┌───────────────┐ │
//! │   │ program ││ heap │ →                ← │ mmap ││ mmap   │  │           ││ stack         │ │
//! │   └─────────┘└──────┘                    └──────┘└────────┘  └───────────┘└───────────────┘ │
//!               brk grows up        new mappings go below the old ones
//! ```
//!
//! Areas never overlap. Neighbours that are alike are one area, so that their number, which is limited, says something.

mod state;

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use ampoule_kernel::layout::{PAGE_SIZE, USER_END, USER_START};

use crate::machine::paging::Access;

/// Linux's default `vm.max_map_count`.
pub(crate) const MAX_AREAS: usize = 65_530;

/// What an area is for: shown in `/proc/self/maps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A segment of the program.
    Program,
    /// `brk`.
    Heap,
    /// The initial stack.
    Stack,
    /// `mmap`.
    Anonymous,
    /// `mmap` of a file: `MADV_DONTNEED` leaves it as it is, for it could not be read again.
    File,
}

/// What all pages of an area have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// What the program may do.
    pub(crate) access: Access,
    /// Pages get their frames when they are touched, instead of when they are mapped: the stack, and `MAP_NORESERVE`.
    pub(crate) lazy: bool,
    pub(crate) purpose: Purpose,
}

impl Attributes {
    /// Pages have frames from the start.
    pub(crate) fn is_backed(&self) -> bool {
        let Access { read, write, execute } = self.access;
        !self.lazy && (read || write || execute)
    }
}

/// One area: where it ends (it starts at its key) and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Area {
    end: u64,
    attributes: Attributes,
}

/// More areas than a program may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany;

/// All areas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Areas {
    areas: BTreeMap<u64, Area>,
}

impl Areas {
    /// The area that contains `address`.
    pub(crate) fn find(&self, address: u64) -> Option<(Range<u64>, Attributes)> {
        let (&start, area) = self.areas.range(..=address).next_back()?;
        (address < area.end).then_some((start..area.end, area.attributes))
    }

    /// The last area that begins at `address` or below, which may contain it, and the first that begins above.
    pub(crate) fn around(&self, address: u64) -> [Option<(Range<u64>, Attributes)>; 2] {
        let below = self.areas.range(..=address).next_back();
        let above = self.areas.range((Bound::Excluded(address), Bound::Unbounded)).next();
        [below, above].map(|area| area.map(|(&start, area)| (start..area.end, area.attributes)))
    }

    /// The parts of `range` that are mapped, in order.
    pub(crate) fn within(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, Attributes)> + '_ {
        let first = self.areas.range(..range.start).next_back().filter(|(_, area)| area.end > range.start);
        first
            .into_iter()
            .chain(self.areas.range(range.clone()))
            .map(move |(&start, area)| (start.max(range.start)..area.end.min(range.end), area.attributes))
    }

    /// All areas in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Range<u64>, Attributes)> + '_ {
        self.areas.iter().map(|(&start, area)| (start..area.end, area.attributes))
    }

    /// True if every byte of `range` is mapped.
    pub(crate) fn covers(&self, range: Range<u64>) -> bool {
        let mut at = range.start;
        for (part, _) in self.within(range.clone()) {
            if part.start != at {
                return false;
            }
            at = part.end;
        }
        at >= range.end
    }

    /// True if nothing of `range` is mapped.
    pub(crate) fn is_free(&self, range: Range<u64>) -> bool {
        self.within(range).next().is_none()
    }

    /// The highest free range of `length` bytes below `top`, a multiple of `align` long.
    pub(crate) fn highest_free(&self, length: u64, top: u64) -> Option<u64> {
        let mut end = top;
        for (&start, area) in self.areas.range(..top).rev() {
            if area.end <= end && end - area.end >= length {
                break;
            }
            end = end.min(start);
        }
        end.checked_sub(length).filter(|&start| start >= USER_START && self.is_free(start..end))
    }

    /// True if moving a mapping cannot fail for its areas: the new one, what it grows by, and a hole in the old one.
    pub(crate) fn can_move(&self) -> bool {
        self.areas.len() + 6 <= MAX_AREAS
    }

    /// Maps `range`, replacing what was there. The caller has checked it with [`valid`].
    pub(crate) fn insert(&mut self, range: Range<u64>, attributes: Attributes) -> Result<(), TooMany> {
        // A range in the middle of one area makes three.
        if self.areas.len() + 2 > MAX_AREAS {
            return Err(TooMany);
        }
        self.cut(range.clone());
        let mut merged = range;
        if let Some((&start, before)) = self.areas.range(..merged.start).next_back()
            && before.end == merged.start
            && before.attributes == attributes
        {
            merged.start = start;
        }
        if let Some(after) = self.areas.get(&merged.end).filter(|after| after.attributes == attributes).copied() {
            self.areas.remove(&merged.end);
            merged.end = after.end;
        }
        self.areas.insert(merged.start, Area { end: merged.end, attributes });
        Ok(())
    }

    /// Unmaps `range`.
    pub(crate) fn remove(&mut self, range: Range<u64>) -> Result<(), TooMany> {
        // Only a hole in the middle of one area makes more of them: giving back is possible however many there are.
        let hole = self.find(range.start).is_some_and(|(area, _)| area.start < range.start && range.end < area.end);
        if hole && self.areas.len() + 1 > MAX_AREAS {
            return Err(TooMany);
        }
        self.cut(range);
        Ok(())
    }

    /// Changes the access of `range`, all of which is mapped.
    pub(crate) fn protect(&mut self, range: Range<u64>, access: Access) -> Result<(), TooMany> {
        let parts: Vec<_> = self.within(range).collect();
        if self.areas.len() + 2 > MAX_AREAS {
            return Err(TooMany);
        }
        for (part, attributes) in parts {
            self.insert(part, Attributes { access, ..attributes })?;
        }
        Ok(())
    }

    fn cut(&mut self, range: Range<u64>) {
        if let Some((&start, area)) = self.areas.range(..range.start).next_back()
            && area.end > range.start
        {
            let area = *area;
            self.areas.insert(start, Area { end: range.start, ..area });
            if area.end > range.end {
                self.areas.insert(range.end, area);
            }
        }
        while let Some((&start, &area)) = self.areas.range(range.clone()).next() {
            self.areas.remove(&start);
            if area.end > range.end {
                self.areas.insert(range.end, area);
            }
        }
    }
}

/// The pages of `length` bytes at `start`, which must be page-aligned; none if they leave the payload's half.
pub(crate) fn valid(start: u64, length: u64) -> Option<Range<u64>> {
    let end = start.checked_add(length.checked_next_multiple_of(PAGE_SIZE)?)?;
    (start.is_multiple_of(PAGE_SIZE) && start >= USER_START && end <= USER_END).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: u64 = 0x10_0000;
    const RW: Attributes = Attributes { access: Access::READ_WRITE, lazy: false, purpose: Purpose::Anonymous };
    const NONE: Attributes = Attributes {
        access: Access { read: false, write: false, execute: false },
        lazy: false,
        purpose: Purpose::Anonymous,
    };

    fn pages(from: u64, to: u64) -> Range<u64> {
        BASE + from * PAGE_SIZE..BASE + to * PAGE_SIZE
    }

    #[test]
    fn neighbours_that_are_alike_become_one_area_and_others_do_not() {
        let mut areas = Areas::default();
        areas.insert(pages(0, 2), RW).unwrap();
        areas.insert(pages(4, 6), RW).unwrap();
        areas.insert(pages(2, 4), RW).unwrap();
        assert_eq!(areas.iter().collect::<Vec<_>>(), [(pages(0, 6), RW)]);
        areas.insert(pages(2, 3), NONE).unwrap();
        assert_eq!(areas.iter().count(), 3);
    }

    #[test]
    fn a_hole_in_the_middle_leaves_both_ends() {
        let mut areas = Areas::default();
        areas.insert(pages(0, 10), RW).unwrap();
        areas.remove(pages(3, 5)).unwrap();
        assert_eq!(areas.iter().map(|(range, _)| range).collect::<Vec<_>>(), [pages(0, 3), pages(5, 10)]);
        assert!(!areas.covers(pages(0, 10)) && areas.covers(pages(5, 10)) && areas.is_free(pages(3, 5)));
    }

    #[test]
    fn new_mappings_go_into_the_highest_gap_that_is_large_enough() {
        let mut areas = Areas::default();
        areas.insert(pages(90, 100), RW).unwrap();
        areas.insert(pages(80, 88), RW).unwrap();
        let top = pages(0, 100).end;
        assert_eq!(areas.highest_free(2 * PAGE_SIZE, top), Some(pages(88, 90).start));
        assert_eq!(areas.highest_free(3 * PAGE_SIZE, top), Some(pages(77, 80).start));
        assert_eq!(areas.highest_free(USER_END, top), None);
    }

    #[test]
    fn ranges_that_wrap_or_leave_the_payloads_half_are_not_valid() {
        for (start, length) in
            [(0, 1), (u64::MAX - 4095, 8192), (USER_END - 4096, 4097), (BASE + 1, 1), (BASE, u64::MAX)]
        {
            assert_eq!(valid(start, length), None, "{start:#x}+{length:#x}");
        }
        assert_eq!(valid(BASE, 1), Some(BASE..BASE + 4096));
    }

    proptest! {
        #[test]
        fn areas_say_what_a_page_by_page_model_says(
            steps in prop::collection::vec((0_u8..4, 0_u64..64, 1_u64..32), 1..60),
        ) {
            let mut areas = Areas::default();
            let mut model = vec![None; 128];
            for (what, from, length) in steps {
                let range = pages(from, from + length);
                let model_range = usize::try_from(from).unwrap()..usize::try_from(from + length).unwrap();
                match what {
                    0 => { areas.insert(range, RW).unwrap(); model[model_range].fill(Some(RW)); }
                    1 => { areas.insert(range, NONE).unwrap(); model[model_range].fill(Some(NONE)); }
                    2 => { areas.remove(range).unwrap(); model[model_range].fill(None); }
                    _ => {
                        areas.protect(range, RW.access).unwrap();
                        model[model_range].iter_mut().flatten().for_each(|attributes| attributes.access = RW.access);
                    }
                }
                for (page, expected) in (0..).zip(&model) {
                    prop_assert_eq!(areas.find(pages(page, page + 1).start).map(|found| found.1), *expected);
                }
            }
            // No two neighbours that could be one.
            let list: Vec<_> = areas.iter().collect();
            for pair in list.windows(2) {
                prop_assert!(pair[0].0.end < pair[1].0.start || pair[0].1 != pair[1].1);
            }
        }
    }
}
