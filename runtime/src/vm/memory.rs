//! Guest memory as the host may touch it: checked copies, never references.
//!
//! The guest's memory changes under the host's feet as soon as a vCPU runs, so a slice over it would be a data race and a
//! second read could see a second value. Everything goes through [`GuestMemory`]: one check of the whole range, one volatile
//! copy, and the caller parses the copy. It is also the one type that writes guest memory on the host's side, and it marks every
//! page it writes: the dirty log never sees those writes, and a reset needs the union.
//!
//! ```text
//! host mapping    ┌────────┬─────────────┬───────────────────────────┐   one anonymous mapping, one munmap
//!                 │ kernel │ page tables │ payload                   │   not inherited by fork, not in core dumps
//!                 └───┬────┴──────┬──────┴────────────┬──────────────┘
//! guest physical  KERNEL_BASE  TABLES_BASE       PAYLOAD_BASE             three slots: see ampoule_kernel::layout
//! ```

use std::io;
use std::sync::Arc;

use ampoule_kernel::layout;
use vm_memory::VolatileSlice;

use super::error::HostError;
use super::mapping::Mapping;
use super::seam::HostCall;
use super::shared::RegionMemory;

/// [`layout::PAGE_SIZE`] as arrays want it.
pub(crate) const PAGE_BYTES: usize = 4096;
const _: () = assert!(PAGE_BYTES as u64 == layout::PAGE_SIZE, "the page size changed");

/// A page that nobody wrote.
pub(crate) static ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// How large a guest's memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Geometry {
    /// Pages of the payload slot: the memory limit.
    pub(crate) payload_pages: u64,
    /// Pages of the page-table arena.
    pub(crate) table_pages: u64,
}

/// One memory slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    /// KVM's number for it.
    pub(crate) number: u32,
    /// First guest-physical byte.
    pub(crate) base: u64,
    /// Length in bytes.
    pub(crate) bytes: u64,
    /// Where it starts in the host's mapping.
    offset: usize,
}

/// The memory of one guest.
#[derive(Debug)]
pub(crate) struct GuestMemory {
    mapping: Mapping,
    slots: [Slot; 3],
    /// Read-only slots, each with where it starts.
    regions: Vec<(u64, Arc<RegionMemory>)>,
    /// One bit for each payload page that the host wrote.
    written: Vec<u64>,
}

impl GuestMemory {
    /// Reserves memory for all slots. Pages are zero, and cost nothing until they are touched.
    pub(crate) fn new(geometry: Geometry) -> Result<Self, HostError> {
        let sizes =
            [layout::KERNEL_PAGES, geometry.table_pages, geometry.payload_pages].map(|pages| pages * layout::PAGE_SIZE);
        let bases = [layout::KERNEL_BASE, layout::TABLES_BASE, layout::PAYLOAD_BASE];
        let too_large = || HostError::Call { call: HostCall::Map, source: io::Error::from_raw_os_error(libc::ENOMEM) };
        let mut offset = 0_usize;
        let mut slots = [Slot { number: 0, base: 0, bytes: 0, offset: 0 }; 3];
        for (number, ((slot, base), bytes)) in (0..).zip(slots.iter_mut().zip(bases).zip(sizes)) {
            *slot = Slot { number, base, bytes, offset };
            offset = usize::try_from(bytes).ok().and_then(|bytes| offset.checked_add(bytes)).ok_or_else(too_large)?;
        }
        let words = usize::try_from(geometry.payload_pages.div_ceil(64)).map_err(|_| too_large())?;
        Ok(Self { mapping: Mapping::anonymous(offset)?, slots, regions: Vec::new(), written: vec![0; words] })
    }

    /// The slots, for KVM.
    pub(crate) fn slots(&self) -> [Slot; 3] {
        self.slots
    }

    /// The slot of the page-table arena.
    pub(crate) fn table_slot(&self) -> Slot {
        let [_, tables, _] = self.slots;
        tables
    }

    /// The slot of the payload's memory.
    pub(super) fn payload_slot(&self) -> Slot {
        let [_, _, payload] = self.slots;
        payload
    }

    /// Where a slot lies in the host's address space.
    pub(super) fn host_address(&self, slot: &Slot) -> u64 {
        // A user-space address and an offset within one mapping: neither can exceed 47 bits.
        self.mapping.address().wrapping_add(slot.offset as u64)
    }

    /// Copies `buf.len()` bytes at guest-physical `start` out of the guest.
    ///
    /// # Errors
    /// [`HostError::OutOfRange`] if any byte lies outside the slot that holds the first one; `buf` is then unchanged.
    pub(crate) fn read(&self, start: u64, buf: &mut [u8]) -> Result<(), HostError> {
        match self.range(start, buf.len()) {
            Ok(slice) => slice.copy_to(buf),
            Err(error) => self.region_range(start, buf.len()).ok_or(error)?.copy_to(buf),
        };
        Ok(())
    }

    /// Copies `bytes` into the guest at guest-physical `start`.
    ///
    /// # Errors
    /// As [`read`](Self::read); guest memory is then unchanged.
    pub(crate) fn write(&mut self, start: u64, bytes: &[u8]) -> Result<(), HostError> {
        self.range(start, bytes.len())?.copy_from(bytes);
        self.mark(start, bytes.len());
        Ok(())
    }

    /// Writes one little-endian word: a page-table entry.
    pub(crate) fn write_u64(&mut self, start: u64, value: u64) -> Result<(), HostError> {
        self.write(start, &value.to_le_bytes())
    }

    /// Fills whole pages with zeros.
    pub(crate) fn zero_page(&mut self, start: u64) -> Result<(), HostError> {
        self.write(start, &ZEROS)
    }

    /// One bit for each payload page that the host wrote since [`forget_written`](Self::forget_written).
    pub(crate) fn written(&self) -> &[u64] {
        &self.written
    }

    /// The payload is what its base says: no page is marked any more.
    pub(crate) fn forget_written(&mut self) {
        self.written.fill(0);
    }

    /// True if a page holds something else.
    pub(crate) fn differs(&self, start: u64, page: &[u8; PAGE_BYTES]) -> Result<bool, HostError> {
        let mut content = [0; PAGE_BYTES];
        self.read(start, &mut content)?;
        Ok(content != *page)
    }

    /// Makes a payload page what its base says, without marking it; none is a page of zeros.
    pub(crate) fn put_back(&mut self, start: u64, page: Option<&[u8; PAGE_BYTES]>) -> Result<(), HostError> {
        self.range(start, PAGE_BYTES)?.copy_from(page.unwrap_or(&ZEROS));
        Ok(())
    }

    /// True if the host wrote this payload page (by its index in the slot).
    #[cfg(test)]
    pub(crate) fn is_marked(&self, page: u64) -> bool {
        usize::try_from(page / 64)
            .ok()
            .and_then(|word| self.written.get(word))
            .is_some_and(|word| word >> (page % 64) & 1 == 1)
    }

    /// Lets [`read`](Self::read) find a region that is a slot from `base` on.
    pub(super) fn attach_region(&mut self, base: u64, region: Arc<RegionMemory>) {
        self.regions.push((base, region));
    }

    /// Regions attached.
    pub(super) fn region_count(&self) -> usize {
        self.regions.len()
    }

    fn region_range(&self, start: u64, len: usize) -> Option<VolatileSlice<'_>> {
        self.regions.iter().find_map(|(base, region)| region.slice(start.checked_sub(*base)?, len))
    }

    fn range(&self, start: u64, len: usize) -> Result<VolatileSlice<'_>, HostError> {
        let out_of_range = HostError::OutOfRange { start, len };
        let bytes = len as u64;
        let Some((slot, inside)) = self.slots.iter().find_map(|slot| {
            let inside = start.checked_sub(slot.base)?;
            (inside <= slot.bytes && bytes <= slot.bytes - inside).then_some((slot, inside))
        }) else {
            return Err(out_of_range);
        };
        self.mapping.slice(slot.offset as u64 + inside, len).ok_or(out_of_range)
    }

    fn mark(&mut self, start: u64, len: usize) {
        let Some(inside) = start.checked_sub(layout::PAYLOAD_BASE) else {
            return;
        };
        if len == 0 {
            return;
        }
        let last = (inside + (len as u64 - 1)) / layout::PAGE_SIZE;
        for page in inside / layout::PAGE_SIZE..=last {
            if let Some(word) = usize::try_from(page / 64).ok().and_then(|word| self.written.get_mut(word)) {
                *word |= 1 << (page % 64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GEOMETRY: Geometry = Geometry { payload_pages: 16, table_pages: 8 };

    #[test]
    fn what_was_written_is_read_back_and_its_pages_are_marked() {
        let mut memory = GuestMemory::new(GEOMETRY).unwrap();
        memory.write(layout::PAYLOAD_BASE + 4090, b"straddles").unwrap();
        let mut back = [0; 9];
        memory.read(layout::PAYLOAD_BASE + 4090, &mut back).unwrap();
        assert_eq!(&back, b"straddles");
        assert_eq!((0..16).map(|page| memory.is_marked(page)).filter(|&marked| marked).count(), 2);
        assert!(memory.is_marked(0) && memory.is_marked(1));
    }

    #[test]
    fn a_range_that_starts_inside_and_ends_outside_is_refused_whole() {
        let mut memory = GuestMemory::new(GEOMETRY).unwrap();
        let end = layout::PAYLOAD_BASE + 16 * layout::PAGE_SIZE;
        assert!(matches!(memory.write(end - 4, b"12345"), Err(HostError::OutOfRange { len: 5, .. })));
        let mut untouched = [7; 4];
        memory.read(end - 4, &mut untouched).unwrap();
        assert_eq!(untouched, [0; 4]);
    }

    #[test]
    fn neighbouring_slots_of_the_host_mapping_are_not_neighbours_for_the_guest() {
        let memory = GuestMemory::new(GEOMETRY).unwrap();
        let kernel_end = layout::KERNEL_BASE + layout::KERNEL_PAGES * layout::PAGE_SIZE;
        assert!(memory.read(kernel_end - 1, &mut [0]).is_ok());
        assert!(memory.read(kernel_end - 1, &mut [0; 2]).is_err());
        assert!(memory.read(kernel_end + 1, &mut [0]).is_err());
    }

    proptest! {
        #[test]
        fn no_range_reaches_past_its_slot(start: u64, len in 0_usize..1 << 20) {
            let memory = GuestMemory::new(GEOMETRY).unwrap();
            let inside = memory.slots().iter().any(|slot| {
                start >= slot.base && u128::from(start) + len as u128 <= u128::from(slot.base + slot.bytes)
            });
            prop_assert_eq!(memory.read(start, &mut vec![0; len]).is_ok(), inside);
        }
    }
}
