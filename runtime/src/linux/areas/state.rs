//! Areas as bytes: in ascending order, each as it can come from loading a program and from its system calls.

use super::{Area, Areas, Attributes, MAX_AREAS, Purpose, valid};
use crate::linux::state::StateError;
use crate::machine::paging::Access;
use crate::wire::{Reader, WireError, Writer};

const READ: u8 = 1;
const WRITE: u8 = 2;
const EXECUTE: u8 = 4;

/// Start, end, access, laziness, purpose.
const AREA_BYTES: u64 = 19;

impl Areas {
    pub(in crate::linux) fn encode(&self, writer: &mut Writer) {
        writer.count(self.areas.len());
        for (range, attributes) in self.iter() {
            writer.u64(range.start);
            writer.u64(range.end);
            attributes.encode(writer);
        }
    }

    pub(in crate::linux) fn decode(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let count = reader.count("areas", AREA_BYTES)?;
        if count > MAX_AREAS as u64 {
            return Err(StateError::AreaCount { count, max: MAX_AREAS as u64 });
        }
        let mut areas = Self::default();
        let mut previous = None;
        for _ in 0..count {
            let (start, end) = (reader.u64("start of an area")?, reader.u64("end of an area")?);
            let length = end.checked_sub(start).filter(|&length| length > 0);
            let range = length.and_then(|length| valid(start, length)).filter(|range| range.end == end);
            let range = range.ok_or(StateError::Area { start, end })?;
            let attributes = Attributes::decode(reader)?;
            if !attributes.are_possible() {
                return Err(StateError::AreaAttributes { start });
            }
            let area = Area { end: range.end, attributes };
            match previous.replace(area) {
                Some(Area { end: previous, .. }) if previous > start => {
                    return Err(StateError::AreaOrder { start, previous });
                }
                Some(before) if before.end == start && before.attributes == attributes => {
                    return Err(StateError::AreasAlike { start });
                }
                _ => areas.areas.insert(range.start, area),
            };
        }
        Ok(areas)
    }
}

impl Attributes {
    fn encode(&self, writer: &mut Writer) {
        let Access { read, write, execute } = self.access;
        let bit = |allowed: bool, bit: u8| if allowed { bit } else { 0 };
        writer.u8(bit(read, READ) | bit(write, WRITE) | bit(execute, EXECUTE));
        writer.flag(self.lazy);
        writer.u8(match self.purpose {
            Purpose::Program => 0,
            Purpose::Heap => 1,
            Purpose::Stack => 2,
            Purpose::Anonymous => 3,
            Purpose::File => 4,
        });
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let access = reader.u8_up_to("access of an area", READ | WRITE | EXECUTE)?;
        let access = Access { read: access & READ != 0, write: access & WRITE != 0, execute: access & EXECUTE != 0 };
        let lazy = reader.flag("laziness of an area")?;
        let purpose = match reader.u8_up_to("purpose of an area", 4)? {
            0 => Purpose::Program,
            1 => Purpose::Heap,
            2 => Purpose::Stack,
            3 => Purpose::Anonymous,
            _ => Purpose::File,
        };
        Ok(Self { access, lazy, purpose })
    }

    /// Whether an area can have come to these. Only a program's segments write or execute without reading.
    fn are_possible(&self) -> bool {
        let Access { read, write, execute } = self.access;
        match self.purpose {
            Purpose::Program => !self.lazy,
            Purpose::Heap => !self.lazy && (read || !write && !execute),
            Purpose::Stack => self.lazy && (read || !write && !execute),
            Purpose::Anonymous => read || !write && !execute,
            Purpose::File => !self.lazy && (read || !write && !execute),
        }
    }
}
