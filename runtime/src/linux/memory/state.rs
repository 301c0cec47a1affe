//! Mappings and heap as bytes.

use ampoule_kernel::layout::{PAGE_SIZE, USER_END, USER_START};

use super::{MAPPING_TOP, Memory};
use crate::linux::areas::Areas;
use crate::linux::state::StateError;
use crate::wire::{Reader, Writer};

impl Memory {
    pub(in crate::linux) fn encode(&self, writer: &mut Writer) {
        writer.u64(self.heap_start);
        writer.u64(self.heap_end);
        self.areas.encode(writer);
    }

    pub(in crate::linux) fn decode(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let (start, end) = (reader.u64("start of the heap")?, reader.u64("end of the heap")?);
        // A program may end above the mappings; its heap then stays empty.
        let reachable = end == start || (start..=MAPPING_TOP).contains(&end);
        if !start.is_multiple_of(PAGE_SIZE) || !(USER_START..=USER_END).contains(&start) || !reachable {
            return Err(StateError::Heap { start, end });
        }
        Ok(Self { areas: Areas::decode(reader)?, heap_start: start, heap_end: end })
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(in crate::linux) fn heap(&self) -> std::ops::Range<u64> {
        self.heap_start..self.heap_end
    }
}
