//! A machine's state out of its parts, and the parts of one: what of it is the payload's own, by the addresses that the payload has it at.
//!
//! ```text
//! MachineState ── AddressSpace::of ──► page after page ── a file ──► AddressSpace::empty, add, add, … ──► MachineState
//! ```
//! Page tables and the places of pages are made anew: they are nothing that a payload sees, and nothing that a file could be trusted with. No
//! virtual machine is needed for that.

use std::sync::Arc;

use ampoule_kernel::layout::{self, PAGE_SIZE, USER_END, USER_START};

use super::super::arena;
use super::super::clock::Times;
use super::super::frames::{Frame, Frames};
use super::super::image::{CHUNK_PAGES, Image, PageContent};
use super::super::paging::{Access, Arena, Page, PageTables};
use super::super::space::OutOfMemory;
use super::super::{FIXED_FLAGS, USER_FLAGS};
use super::{ExtendedState, MachineState, Reload, Segments, next_family};
use crate::vm::error::HostError;
use crate::vm::memory::{Geometry, GuestMemory, PAGE_BYTES, ZEROS};
use crate::vm::vcpu::Registers;

/// What a payload has in its registers.
#[derive(Debug, Clone)]
pub(crate) struct PayloadRegisters {
    pub(crate) general: Registers,
    pub(crate) segments: Segments,
    pub(crate) extended: Arc<ExtendedState>,
}

/// A flags register as a payload can have it.
pub(crate) fn payload_flags(flags: u64) -> u64 {
    flags & USER_FLAGS | FIXED_FLAGS
}

/// A payload's pages.
#[derive(Debug)]
pub(crate) struct AddressSpace {
    tables: PageTables,
    /// Only page tables are in it.
    memory: GuestMemory,
    frames: Frames,
    image: Image,
}

impl AddressSpace {
    /// Nothing, with a memory limit in pages.
    pub(crate) fn empty(pages: u64, no_execute: bool) -> Result<Self, HostError> {
        let program_pages = arena(pages).program_pages;
        let arena = Arena { program_pages, pages: program_pages };
        let mut memory = GuestMemory::new(Geometry { payload_pages: 0, table_pages: arena.pages })?;
        let tables = PageTables::new(&mut memory, arena, no_execute)?;
        Ok(Self { tables, memory, frames: Frames::new(pages), image: Image::default() })
    }

    /// What a state has.
    pub(crate) fn of(state: &MachineState) -> Result<Self, HostError> {
        let mut space = Self::empty(state.frames.total(), true)?;
        space.tables.reset(&mut space.memory, &state.tables)?;
        space.frames.clone_from(&state.frames);
        space.image.clone_from(&state.image);
        Ok(space)
    }

    /// Pages that are left of the limit.
    pub(crate) fn left(&self) -> u64 {
        self.frames.left()
    }

    /// Adds a page; no content is zeros.
    pub(crate) fn add(
        &mut self,
        page: Page,
        access: Access,
        content: Option<&[u8; PAGE_BYTES]>,
    ) -> Result<Result<(), OutOfMemory>, HostError> {
        let Self { tables, memory, frames, image } = self;
        if tables.prepare(memory, frames, page)?.is_err() {
            return Ok(Err(OutOfMemory));
        }
        let Some(allocated) = frames.allocate() else { return Ok(Err(OutOfMemory)) };
        if tables.map(memory, page, allocated.frame, access)?.is_err() {
            return Ok(Err(OutOfMemory));
        }
        if let (Some(content), Some((chunk, index))) = (content, place(allocated.frame)) {
            image.set(chunk, index, Some(Arc::new(PageContent(*content))));
        }
        Ok(Ok(()))
    }

    /// All pages in ascending order, each with its content; none is zeros.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (u64, Option<&[u8; PAGE_BYTES]>)> + '_ {
        let mut at = USER_START;
        std::iter::from_fn(move || {
            let page = self.tables.next_mapped(at, USER_END)?;
            at = page.address() + PAGE_SIZE;
            let (chunk, index) = place(self.tables.lookup(page)?.frame)?;
            Some((page.address(), self.image.page(chunk, index).filter(|content| **content != ZEROS)))
        })
    }

    /// The state of a machine that has these pages, and whose payload has these registers.
    pub(crate) fn into_state(self, registers: PayloadRegisters) -> MachineState {
        let PayloadRegisters { general, segments, extended } = registers;
        MachineState {
            image: self.image,
            tables: self.tables.save(),
            frames: self.frames,
            registers: general,
            reload: Reload { extended, segments },
            family: next_family(),
            told: Times::default(),
        }
    }
}

impl MachineState {
    /// What its payload has in its registers.
    pub(crate) fn payload_registers(&self) -> PayloadRegisters {
        let Reload { extended, segments } = &self.reload;
        PayloadRegisters { general: self.registers, segments: *segments, extended: Arc::clone(extended) }
    }
}

/// Where an image has a frame's content.
fn place(frame: Frame) -> Option<(usize, usize)> {
    let index = usize::try_from((frame.physical() - layout::PAYLOAD_BASE) / PAGE_SIZE).ok()?;
    Some((index / CHUNK_PAGES, index % CHUNK_PAGES))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: Access = Access::READ_WRITE;

    fn page(address: u64) -> Page {
        Page::containing(address).unwrap()
    }

    #[test]
    fn pages_come_out_as_they_went_in_through_a_state() {
        let mut space = AddressSpace::empty(64, true).unwrap();
        let sevens = [7; PAGE_BYTES];
        assert_eq!(space.add(page(0x7000_0000_0000), Access::default(), None).unwrap(), Ok(()));
        assert_eq!(space.add(page(0x40_0000), DATA, Some(&sevens)).unwrap(), Ok(()));
        let registers = MachineState::empty(64).payload_registers();
        let state = space.into_state(registers);
        let again = AddressSpace::of(&state).unwrap();
        assert_eq!(again.pages().collect::<Vec<_>>(), [(0x40_0000, Some(&sevens)), (0x7000_0000_0000, None)]);
        let held = again.tables.lookup(page(0x7000_0000_0000)).map(|mapped| mapped.access);
        assert_eq!(held, Some(Access::default()));
    }

    #[test]
    fn pages_and_their_tables_are_charged_to_the_limit() {
        let mut space = AddressSpace::empty(5, true).unwrap();
        assert_eq!(space.add(page(0x40_0000), DATA, None).unwrap(), Ok(()));
        assert_eq!(space.left(), 1);
        assert_eq!(space.add(page(0x7000_0000_0000), DATA, None).unwrap(), Err(OutOfMemory));
    }
}
