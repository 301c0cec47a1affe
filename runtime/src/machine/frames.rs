//! Which pages of the payload's memory are in use: the memory limit, in one place.
//!
//! A page is fresh (never used, still zero) or recycled (zeroed when it is handed out again). Page-table pages are charged to
//! the same limit, so a guest cannot use more by spreading its mappings thin.

use ampoule_kernel::layout;

/// A page of the payload slot, by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Frame(u32);

impl Frame {
    /// Its guest-physical address.
    pub(crate) fn physical(self) -> u64 {
        layout::PAYLOAD_BASE + u64::from(self.0) * layout::PAGE_SIZE
    }

    /// The frame at a guest-physical address of the payload slot.
    pub(super) fn containing(physical: u64) -> Option<Self> {
        let index = physical.checked_sub(layout::PAYLOAD_BASE)? / layout::PAGE_SIZE;
        u32::try_from(index).ok().map(Self)
    }
}

/// A frame that was handed out, and whether it must be zeroed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allocated {
    pub(crate) frame: Frame,
    pub(crate) recycled: bool,
}

/// The limit and what is used of it.
#[derive(Debug, Clone)]
pub(crate) struct Frames {
    total: u32,
    /// Frames from here on were never used.
    fresh: u32,
    recycled: Vec<Frame>,
    /// Page-table pages in use, charged to the limit.
    tables: u32,
    peak: u32,
    /// There were too few at some time.
    short: bool,
}

impl Frames {
    /// A limit of `pages` pages, none used.
    pub(crate) fn new(pages: u64) -> Self {
        let total = u32::try_from(pages).unwrap_or(u32::MAX);
        Self { total, fresh: 0, recycled: Vec::new(), tables: 0, peak: 0, short: false }
    }

    /// Pages in use, page tables included.
    pub(crate) fn used(&self) -> u64 {
        let recycled = u32::try_from(self.recycled.len()).unwrap_or(u32::MAX);
        u64::from(self.fresh.saturating_sub(recycled)) + u64::from(self.tables)
    }

    /// The most that were in use at once.
    pub(crate) fn peak(&self) -> u64 {
        u64::from(self.peak)
    }

    /// The limit in pages.
    pub(crate) fn total(&self) -> u64 {
        u64::from(self.total)
    }

    /// Pages that are left.
    pub(crate) fn left(&self) -> u64 {
        self.total().saturating_sub(self.used())
    }

    /// True if `count` are left. If not, that is remembered.
    pub(crate) fn has(&mut self, count: u64) -> bool {
        let has = self.left() >= count;
        self.short |= !has;
        has
    }

    /// Remembers that something else there was no room for.
    pub(super) fn note_shortage(&mut self) {
        self.short = true;
    }

    /// True if there were too few at some time.
    #[cfg(feature = "fuzz")]
    pub(crate) fn was_short(&self) -> bool {
        self.short
    }

    /// Forgets whether there were.
    #[cfg(feature = "fuzz")]
    pub(crate) fn forget_shortage(&mut self) {
        self.short = false;
    }

    /// Hands out a frame; none if the limit is reached.
    pub(crate) fn allocate(&mut self) -> Option<Allocated> {
        if !self.has(1) {
            return None;
        }
        let allocated = match self.recycled.pop() {
            Some(frame) => Allocated { frame, recycled: true },
            None if self.fresh < self.total => {
                let frame = Frame(self.fresh);
                self.fresh += 1;
                Allocated { frame, recycled: false }
            }
            None => return None,
        };
        self.note_peak();
        Some(allocated)
    }

    /// Takes a frame back.
    pub(crate) fn release(&mut self, frame: Frame) {
        self.recycled.push(frame);
    }

    /// Charges one page-table page; false if the limit is reached.
    pub(super) fn charge_table(&mut self) -> bool {
        if self.left() == 0 {
            return false;
        }
        self.tables += 1;
        self.note_peak();
        true
    }

    /// Gives page-table pages back.
    pub(super) fn release_tables(&mut self, count: u32) {
        self.tables = self.tables.saturating_sub(count);
    }

    fn note_peak(&mut self) {
        self.peak = self.peak.max(u32::try_from(self.used()).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_frames_share_one_limit() {
        let mut frames = Frames::new(3);
        assert!(frames.charge_table());
        assert!(frames.allocate().is_some());
        let last = frames.allocate().unwrap();
        assert_eq!((frames.left(), frames.allocate(), frames.charge_table()), (0, None, false));
        frames.release(last.frame);
        assert!(frames.charge_table());
        assert_eq!((frames.left(), frames.allocate(), frames.peak()), (0, None, 3));
    }

    #[test]
    fn a_frame_that_was_used_is_known_as_recycled() {
        let mut frames = Frames::new(2);
        let first = frames.allocate().unwrap();
        assert!(!first.recycled);
        frames.release(first.frame);
        assert_eq!(frames.allocate(), Some(Allocated { frame: first.frame, recycled: true }));
        assert!(!frames.allocate().unwrap().recycled);
    }
}
