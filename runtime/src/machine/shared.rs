//! What the host maps for the payload: the gate, the info page, the event page, the vDSO and its clock, the ring, shared regions.
//!
//! All of it lies in the last entry of the lower half's root table, which no page of the payload's own can be in: no system call changes
//! it, and none of it is charged to the memory limit. Its tables are pages of the kernel slot.
//!
//! ```text
//! SHARED_PDPT [0..16] ─► a PD for each GiB of regions ─► large pages, read-only
//!             [511]  ─► SHARED_PD [494..510] ─► a fuzz target's windows and plan, large pages
//!                                 [510] ─► the ring, one large page
//!                                 [511] ─► SHARED_PT ─► clock, vDSO, restored state, event page, info page, gate
//! ```
//! An entry is written once, when it was not present, which every KVM notices; none is ever changed.

use ampoule_kernel::layout::{self, PAGE_SIZE, TABLE_SPAN, kernel_physical};

use super::paging::{ACCESSED_DIRTY, LARGE, NO_EXECUTE, PRESENT, TABLE, USER, WRITE};
use crate::vm::error::HostError;
use crate::vm::memory::GuestMemory;

/// Bits of an entry that the payload may read.
const READ: u64 = PRESENT | USER | ACCESSED_DIRTY;

/// What is mapped by now.
#[derive(Debug, Clone)]
pub(super) struct SharedMappings {
    no_execute: u64,
    /// Bytes of regions, each rounded up to [`layout::REGION_ALIGN`].
    region_bytes: u64,
}

/// The address space has no room for another region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl SharedMappings {
    /// Maps the gate, the vDSO with its clock, the info page and the restored state.
    pub(super) fn new(memory: &mut GuestMemory, nx: bool) -> Result<Self, HostError> {
        let no_execute = if nx { NO_EXECUTE } else { 0 };
        let table = |page| kernel_physical(page) | TABLE;
        entry(memory, layout::SHARED_PDPT_PAGE, layout::CALL_GATE >> 30, table(layout::SHARED_PD_PAGE))?;
        entry(memory, layout::SHARED_PD_PAGE, layout::CALL_GATE >> 21, table(layout::SHARED_PT_PAGE))?;
        for (page, address) in [(layout::USER_CODE_PAGE, layout::CALL_GATE), (layout::VDSO_PAGE, layout::VDSO)] {
            entry(memory, layout::SHARED_PT_PAGE, address >> 12, kernel_physical(page) | READ)?;
        }
        for (page, address) in [
            (layout::INFO_PAGE, layout::INFO),
            (layout::CLOCK_PAGE, layout::CLOCK),
            (layout::RESTORED_EXTENDED_PAGE, layout::RESTORED),
            (layout::RESTORED_REGISTERS_PAGE, layout::RESTORED + PAGE_SIZE),
        ] {
            entry(memory, layout::SHARED_PT_PAGE, address >> 12, kernel_physical(page) | READ | no_execute)?;
        }
        Ok(Self { no_execute, region_bytes: 0 })
    }

    /// Maps the event page.
    pub(super) fn open_events(&self, memory: &mut GuestMemory) -> Result<(), HostError> {
        let page = layout::EVENTS_BASE | READ | WRITE | self.no_execute;
        entry(memory, layout::SHARED_PT_PAGE, layout::EVENTS >> 12, page)
    }

    /// Maps the ring.
    pub(super) fn open_ring(&self, memory: &mut GuestMemory) -> Result<(), HostError> {
        let page = layout::RING_BASE | READ | WRITE | LARGE | self.no_execute;
        entry(memory, layout::SHARED_PD_PAGE, layout::RING >> 21, page)
    }

    /// Maps the windows of a fuzz target, which it can write, and the plan, which it cannot.
    #[cfg(feature = "fuzz")]
    pub(super) fn open_windows(&self, memory: &mut GuestMemory) -> Result<(), HostError> {
        for (start, bytes, access) in
            [(layout::WINDOWS, layout::WINDOWS_BYTES, READ | WRITE), (layout::PLAN, layout::PLAN_BYTES, READ)]
        {
            let mut at = start;
            while at < start + bytes {
                let page = (layout::WINDOWS_BASE + (at - layout::WINDOWS)) | access | LARGE | self.no_execute;
                entry(memory, layout::SHARED_PD_PAGE, at >> 21, page)?;
                at += TABLE_SPAN;
            }
        }
        Ok(())
    }

    /// Finds room for a region of `bytes` bytes: its offset from [`layout::REGIONS`] and [`layout::REGIONS_BASE`] alike.
    pub(super) fn place_region(&mut self, bytes: u64) -> Result<u64, NoRoom> {
        let offset = self.region_bytes;
        let end = bytes.checked_next_multiple_of(layout::REGION_ALIGN).and_then(|bytes| offset.checked_add(bytes));
        self.region_bytes = end.filter(|&end| end <= layout::REGIONS_MAX_BYTES).ok_or(NoRoom)?;
        Ok(offset)
    }

    /// The physical address behind an address in a region or in the vDSO: what a program may hand to a system call.
    pub(super) fn readable(&self, address: u64) -> Option<u64> {
        if let Some(inside) = address.checked_sub(layout::VDSO).filter(|&inside| inside < PAGE_SIZE) {
            return Some(kernel_physical(layout::VDSO_PAGE) + inside);
        }
        let offset = address.checked_sub(layout::REGIONS).filter(|&offset| offset < self.region_bytes)?;
        Some(layout::REGIONS_BASE + offset)
    }

    /// Maps the large pages of a region that [`place_region`](Self::place_region) placed.
    pub(super) fn map_region(&self, memory: &mut GuestMemory, offset: u64, bytes: u64) -> Result<(), HostError> {
        let mut at = offset;
        while at < offset + bytes {
            let directory = layout::REGION_PD_PAGE + (at >> 30);
            // The same entry again for every page of a GiB: nothing changes.
            entry(memory, layout::SHARED_PDPT_PAGE, (layout::REGIONS + at) >> 30, kernel_physical(directory) | TABLE)?;
            let page = (layout::REGIONS_BASE + at) | READ | LARGE | self.no_execute;
            entry(memory, directory, (layout::REGIONS + at) >> 21, page)?;
            at += TABLE_SPAN;
        }
        Ok(())
    }
}

/// Writes an entry of a table in the kernel slot; the low nine bits of `index` count.
fn entry(memory: &mut GuestMemory, table: u64, index: u64, value: u64) -> Result<(), HostError> {
    memory.write_u64(kernel_physical(table) + index % (PAGE_SIZE / 8) * 8, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::memory::Geometry;

    /// What the CPU would find at a virtual address of the shared part, starting from its PDPT.
    fn walk(memory: &GuestMemory, address: u64) -> Option<u64> {
        let mut table = kernel_physical(layout::SHARED_PDPT_PAGE);
        for shift in [30, 21, 12] {
            let mut bytes = [0; 8];
            memory.read(table + (address >> shift) % 512 * 8, &mut bytes).unwrap();
            let found = u64::from_le_bytes(bytes);
            if found & PRESENT == 0 {
                return None;
            }
            if shift == 12 || found & LARGE != 0 {
                return Some(found);
            }
            table = found & 0x000f_ffff_ffff_f000;
        }
        None
    }

    #[test]
    fn nothing_is_executable_but_gate_and_vdso_and_nothing_writable_but_events_and_ring() {
        let mut memory = GuestMemory::new(Geometry { payload_pages: 1, table_pages: 1 }).unwrap();
        let mut shared = SharedMappings::new(&mut memory, true).unwrap();
        assert_eq!(walk(&memory, layout::EVENTS).or(walk(&memory, layout::RING)), None);
        shared.open_events(&mut memory).unwrap();
        shared.open_ring(&mut memory).unwrap();
        let offset = shared.place_region(5 << 20).unwrap();
        shared.map_region(&mut memory, offset, 5 << 20).unwrap();
        #[cfg(feature = "fuzz")]
        {
            shared.open_windows(&mut memory).unwrap();
            for (address, physical, write) in [
                (layout::WINDOWS, layout::WINDOWS_BASE, true),
                (layout::PLAN - TABLE_SPAN, layout::WINDOWS_BASE + layout::WINDOWS_BYTES - TABLE_SPAN, true),
                (layout::PLAN, layout::WINDOWS_BASE + layout::WINDOWS_BYTES, false),
                (layout::RING - TABLE_SPAN, layout::WINDOWS_BASE + (30 << 20), false),
            ] {
                let entry = walk(&memory, address).unwrap();
                assert_eq!(entry & 0x000f_ffff_ffff_f000, physical, "{address:#x}");
                assert_eq!((entry & WRITE != 0, entry & NO_EXECUTE == 0), (write, false), "{address:#x}");
            }
            assert_eq!(walk(&memory, layout::WINDOWS - TABLE_SPAN), None);
        }
        for (address, physical, write, execute) in [
            (layout::CALL_GATE, kernel_physical(layout::USER_CODE_PAGE), false, true),
            (layout::VDSO, kernel_physical(layout::VDSO_PAGE), false, true),
            (layout::CLOCK, kernel_physical(layout::CLOCK_PAGE), false, false),
            (layout::INFO, kernel_physical(layout::INFO_PAGE), false, false),
            (layout::RESTORED, kernel_physical(layout::RESTORED_EXTENDED_PAGE), false, false),
            (layout::RESTORED + PAGE_SIZE, kernel_physical(layout::RESTORED_REGISTERS_PAGE), false, false),
            (layout::EVENTS, layout::EVENTS_BASE, true, false),
            (layout::RING, layout::RING_BASE, true, false),
            (layout::REGIONS, layout::REGIONS_BASE, false, false),
            (layout::REGIONS + (4 << 20), layout::REGIONS_BASE + (4 << 20), false, false),
        ] {
            let entry = walk(&memory, address).unwrap();
            assert_eq!(entry & 0x000f_ffff_ffff_f000, physical, "{address:#x}");
            assert_eq!((entry & WRITE != 0, entry & NO_EXECUTE == 0), (write, execute), "{address:#x}");
        }
        assert_eq!(walk(&memory, layout::REGIONS + (6 << 20)), None);
        let vdso = kernel_physical(layout::VDSO_PAGE);
        assert_eq!([layout::VDSO, layout::VDSO + 7].map(|at| shared.readable(at)), [Some(vdso), Some(vdso + 7)]);
        assert_eq!([layout::CLOCK, layout::VDSO + PAGE_SIZE, layout::INFO].map(|at| shared.readable(at)), [None; 3]);
    }

    #[test]
    fn regions_follow_each_other_until_there_is_no_room() {
        let mut memory = GuestMemory::new(Geometry { payload_pages: 1, table_pages: 1 }).unwrap();
        let mut shared = SharedMappings::new(&mut memory, true).unwrap();
        assert_eq!(shared.place_region(1), Ok(0));
        assert_eq!(shared.place_region(layout::REGION_ALIGN + 1), Ok(layout::REGION_ALIGN));
        assert_eq!(shared.place_region(u64::MAX), Err(NoRoom));
        assert_eq!(shared.place_region(layout::REGIONS_MAX_BYTES - 3 * layout::REGION_ALIGN + 1), Err(NoRoom));
        let last = layout::REGIONS_MAX_BYTES - layout::REGION_ALIGN;
        assert_eq!(shared.place_region(last - 3 * layout::REGION_ALIGN), Ok(3 * layout::REGION_ALIGN));
        let offset = shared.place_region(1 << 20).unwrap();
        shared.map_region(&mut memory, offset, 1 << 20).unwrap();
        assert_eq!(walk(&memory, layout::REGIONS + last).unwrap() & 0x000f_ffff_ffff_f000, layout::REGIONS_BASE + last);
    }
}
