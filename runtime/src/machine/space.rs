//! The payload's address space as ranges of pages: give them memory, take it away, change what they allow, copy across them.
//!
//! Walks over pages look at the run's limits every [`PACE`] of them.
//!
//! The page tables and the frames are changed together here and nowhere else, so that a page is in use exactly as long as it is
//! mapped. Nothing here knows why a range exists: that is the personality's business.

use std::ops::Range;

use ampoule_kernel::layout::{PAGE_SIZE, TABLE_SPAN};

use super::Machine;
use super::paging::{Access, Page};
use crate::vm::error::HostError;
use crate::vm::watch::{Halted, Stop, Watch};

/// The memory limit is reached, or no page table is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfMemory;

/// The payload's own address is not mapped, or does not allow the access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The first address that could not be accessed.
    pub(crate) address: u64,
}

/// [`PAGE_SIZE`] as iterators want it.
const PAGE_STEP: usize = 4096;
const _: () = assert!(PAGE_STEP as u64 == PAGE_SIZE, "the page size changed");

/// Pages between two looks at the run's limits: zeroing so many takes some 10 µs, and up to 300 if the host has to find them first.
const PACE: u32 = 64;

/// Looks at the run's limits every now and then.
#[derive(Debug, Default)]
struct Pace {
    pages: u32,
}

impl Pace {
    fn step(&mut self, watch: &mut Watch) -> Result<(), Stop> {
        self.pages = self.pages.wrapping_add(1);
        if self.pages.is_multiple_of(PACE) {
            watch.check()?;
        }
        Ok(())
    }
}

/// Apart from the run's end and the host's own failures.
pub(crate) type Populated = Result<(), OutOfMemory>;

impl Machine {
    /// Gives every page of `range` that has none a frame of zeros, with `access`; all of them or none.
    pub(crate) fn populate(
        &mut self,
        range: Range<u64>,
        access: Access,
        watch: &mut Watch,
    ) -> Result<Populated, Halted> {
        let mut pace = Pace::default();
        let mut missing = range.end.saturating_sub(range.start) / PAGE_SIZE;
        let mut at = range.start;
        while let Some(page) = self.tables.next_mapped(at, range.end) {
            pace.step(watch)?;
            missing = missing.saturating_sub(1);
            at = page.address() + PAGE_SIZE;
        }
        // Before the tables, so that a range that can never fit takes none; and after them, because they are charged too.
        if !self.has_room(missing, &range)? {
            return Ok(Err(OutOfMemory));
        }
        let mut at = range.start;
        while let Some(page) = Page::containing(at).filter(|_| at < range.end) {
            pace.step(watch)?;
            if self.prepare(page, &range)?.is_err() {
                return Ok(Err(OutOfMemory));
            }
            at = (at & !(TABLE_SPAN - 1)) + TABLE_SPAN;
        }
        if !self.has_room(missing, &range)? {
            return Ok(Err(OutOfMemory));
        }
        let (tables, frames, memory) = self.space();
        for page in pages(&range) {
            pace.step(watch)?;
            if tables.lookup(page).is_some() {
                continue;
            }
            let Some(allocated) = frames.allocate() else {
                return Ok(Err(OutOfMemory));
            };
            if allocated.recycled {
                memory.zero_page(allocated.frame.physical())?;
            }
            if tables.map(memory, page, allocated.frame, access)?.is_err() {
                frames.release(allocated.frame);
                return Ok(Err(OutOfMemory));
            }
        }
        Ok(Ok(()))
    }

    /// True if `count` frames are left, perhaps once the tables that map nothing are given back; those of `keep` stay.
    fn has_room(&mut self, count: u64, keep: &Range<u64>) -> Result<bool, HostError> {
        let (tables, frames, memory) = self.space();
        if frames.left() < count {
            tables.reclaim(memory, frames, keep)?;
        }
        Ok(frames.has(count))
    }

    /// Makes the tables for `page`, out of tables that map nothing if need be; those of `keep` stay.
    fn prepare(&mut self, page: Page, keep: &Range<u64>) -> Result<Populated, HostError> {
        let (tables, frames, memory) = self.space();
        if tables.prepare(memory, frames, page)?.is_ok() {
            return Ok(Ok(()));
        }
        tables.reclaim(memory, frames, keep)?;
        let prepared = tables.prepare(memory, frames, page)?;
        if prepared.is_err() {
            frames.note_shortage();
        }
        Ok(prepared.map_err(|_| OutOfMemory))
    }

    /// Unmaps `range` and gives its frames back.
    pub(crate) fn release(&mut self, range: Range<u64>, watch: &mut Watch) -> Result<(), Halted> {
        let (tables, frames, memory) = self.space();
        let mut pace = Pace::default();
        let mut at = range.start;
        while let Some(page) = tables.next_mapped(at, range.end) {
            pace.step(watch)?;
            if let Some(frame) = tables.unmap(memory, page)? {
                frames.release(frame);
            }
            at = page.address() + PAGE_SIZE;
        }
        Ok(())
    }

    /// Changes what the mapped pages of `range` allow.
    pub(crate) fn protect(&mut self, range: Range<u64>, access: Access, watch: &mut Watch) -> Result<(), Halted> {
        let (tables, _, memory) = self.space();
        let mut pace = Pace::default();
        let mut at = range.start;
        while let Some(page) = tables.next_mapped(at, range.end) {
            pace.step(watch)?;
            tables.protect(memory, page, access)?;
            at = page.address() + PAGE_SIZE;
        }
        Ok(())
    }

    /// Moves the frames of `range` to `to`, which must be unmapped. Fails before anything moved.
    pub(crate) fn relocate(&mut self, range: Range<u64>, to: u64, watch: &mut Watch) -> Result<Populated, Halted> {
        let mut pace = Pace::default();
        let target = to..to.saturating_add(range.end.saturating_sub(range.start));
        let moved = |page: Page| Page::containing(to.saturating_add(page.address() - range.start));
        let mut at = range.start;
        while let Some(page) = self.tables.next_mapped(at, range.end) {
            pace.step(watch)?;
            match moved(page) {
                Some(page) if self.prepare(page, &target)?.is_ok() => {}
                _ => return Ok(Err(OutOfMemory)),
            }
            at = page.address() + PAGE_SIZE;
        }
        let (tables, _, memory) = self.space();
        let mut at = range.start;
        while let Some(page) = tables.next_mapped(at, range.end) {
            pace.step(watch)?;
            at = page.address() + PAGE_SIZE;
            let (Some(mapped), Some(target)) = (tables.lookup(page), moved(page)) else { continue };
            tables.unmap(memory, page)?;
            // Its table was prepared above, and unmapping reclaims none.
            let _ = tables.map(memory, target, mapped.frame, mapped.access)?;
        }
        Ok(Ok(()))
    }

    /// Fills the mapped pages of `range` with zeros.
    pub(crate) fn clear(&mut self, range: Range<u64>, watch: &mut Watch) -> Result<(), Halted> {
        let (tables, _, memory) = self.space();
        let mut pace = Pace::default();
        let mut at = range.start;
        while let Some(page) = tables.next_mapped(at, range.end) {
            pace.step(watch)?;
            if let Some(mapped) = tables.lookup(page) {
                memory.zero_page(mapped.frame.physical())?;
            }
            at = page.address() + PAGE_SIZE;
        }
        Ok(())
    }

    /// Copies out of the payload's memory, as far as its pages can be read.
    ///
    /// Returns the number of bytes copied; fewer than asked for means that the next one cannot be read.
    pub(crate) fn copy_out(&self, address: u64, buf: &mut [u8]) -> Result<usize, HostError> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = address.wrapping_add(done as u64);
            let Some((physical, inside)) = self.translate(at, |access| access.read) else {
                break;
            };
            let count = inside.min(rest.len());
            let Some(piece) = rest.get_mut(..count) else { break };
            self.memory().read(physical, piece)?;
            done += count;
        }
        Ok(done)
    }

    /// Copies into the payload's memory, as far as its pages can be written. Returns the number of bytes copied.
    pub(crate) fn copy_in(&mut self, address: u64, bytes: &[u8]) -> Result<usize, HostError> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let at = address.wrapping_add(done as u64);
            let Some((physical, inside)) = self.translate(at, |access| access.write) else {
                break;
            };
            let count = inside.min(rest.len());
            let Some(piece) = rest.get(..count) else { break };
            let (_, _, memory) = self.space();
            memory.write(physical, piece)?;
            done += count;
        }
        Ok(done)
    }

    /// Writes what a program starts with, whatever its pages will allow: the loader's privilege.
    pub(crate) fn load(&mut self, address: u64, bytes: &[u8]) -> Result<Result<(), Fault>, HostError> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let at = address.wrapping_add(done as u64);
            let Some((physical, inside)) = self.translate(at, |_| true) else {
                return Ok(Err(Fault { address: at }));
            };
            let Some(piece) = rest.get(..inside.min(rest.len())) else {
                break;
            };
            let (_, _, memory) = self.space();
            memory.write(physical, piece)?;
            done += piece.len();
        }
        Ok(Ok(()))
    }

    /// True if the page of `address` has a frame.
    pub(crate) fn is_mapped(&self, address: u64) -> bool {
        Page::containing(address).is_some_and(|page| self.tables.lookup(page).is_some())
    }

    /// The physical address behind `address` and how many bytes are left in its page, if the page allows it.
    fn translate(&self, address: u64, allowed: impl Fn(Access) -> bool) -> Option<(u64, usize)> {
        if let Some(physical) = self.shared.readable(address) {
            let inside = PAGE_SIZE - address % PAGE_SIZE;
            let access = Access { read: true, write: false, execute: false };
            return allowed(access).then_some((physical, usize::try_from(inside).ok()?));
        }
        let page = Page::containing(address)?;
        let mapped = self.tables.lookup(page).filter(|mapped| allowed(mapped.access))?;
        let offset = address - page.address();
        Some((mapped.frame.physical() + offset, usize::try_from(PAGE_SIZE - offset).ok()?))
    }
}

/// The pages of a range that lie in the payload's half.
fn pages(range: &Range<u64>) -> impl Iterator<Item = Page> + use<> {
    range.clone().step_by(PAGE_STEP).filter_map(Page::containing)
}

#[cfg(test)]
mod tests;
