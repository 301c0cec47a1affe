//! The program's debug units: which one an address is in, and how one is opened.
//!
//! gimli's own way of opening a unit reads strings, abbreviations and file tables of whatever length the file says, again for every unit that names
//! them. Here each of these is measured and paid for first, and strings are not read until one is shown.

use std::sync::Arc;

use gimli::{
    AttributeValue, DebugAddrBase, DebugInfoOffset, DebugLineOffset, DebugRngListsBase, DebugStrOffsetsBase,
    DebuggingInformationEntry, Dwarf, DwarfFileType, IncompleteLineProgram, Reader, Section, Unit, UnitHeader,
    constants,
};

use super::budget::Budget;
use super::names;
use super::tables::Bytes;

/// Bytes of one unit's abbreviations.
const MAX_ABBREVIATION_BYTES: usize = 1 << 20;
/// Bytes of one unit's table of files. Its parser reserves some hundred for each.
const MAX_LINE_HEADER_BYTES: u64 = 1 << 20;
/// Ranges of addresses kept.
const MAX_RANGES: usize = 1 << 20;
/// Units kept.
const MAX_UNITS: usize = 1 << 18;
/// Units that may claim one address.
const MAX_CLAIMS: usize = 4;

/// Where units are.
#[derive(Debug, Default)]
pub(super) struct Units {
    /// By their starts.
    ranges: Vec<UnitRange>,
    /// Offsets of all units, ascending.
    offsets: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
struct UnitRange {
    start: u64,
    end: u64,
    unit: usize,
}

/// A unit, and what its root entry says.
pub(super) struct Opened<'a> {
    pub(super) unit: Unit<Bytes<'a>>,
    directory: Option<AttributeValue<Bytes<'a>>>,
    name: Option<AttributeValue<Bytes<'a>>>,
    lines: Option<DebugLineOffset>,
}

/// Finds all units, as far as the budget goes.
pub(super) fn read(dwarf: &Dwarf<Bytes<'_>>, budget: &mut Budget) -> Units {
    let mut units = Units::default();
    let mut headers = dwarf.units();
    while let Ok(Some(header)) = headers.next()
        && units.offsets.len() < MAX_UNITS
    {
        let Some(offset) = header.debug_info_offset() else { continue };
        units.offsets.push(offset.0);
        if read_unit(dwarf, header, offset.0, &mut units.ranges, budget).is_none() && budget.pay(1).is_none() {
            break;
        }
    }
    units.ranges.sort_unstable_by_key(|range| range.start);
    units.ranges.shrink_to_fit();
    units
}

fn read_unit(
    dwarf: &Dwarf<Bytes<'_>>,
    header: UnitHeader<Bytes<'_>>,
    offset: usize,
    ranges: &mut Vec<UnitRange>,
    budget: &mut Budget,
) -> Option<()> {
    let opened = Opened::open(dwarf, header, budget)?;
    let mut entries = opened.unit.entries_raw(None).ok()?;
    let root = read_entry(&mut entries, budget)?;
    each_range(dwarf, &opened.unit, &root, budget, |start, end| {
        if start < end && ranges.len() < MAX_RANGES {
            ranges.push(UnitRange { start, end, unit: offset });
        }
        false
    });
    Some(())
}

impl Units {
    /// The units that claim `address`, the nearest first.
    pub(super) fn at(&self, address: u64) -> impl Iterator<Item = usize> + '_ {
        let after = self.ranges.partition_point(|range| range.start <= address);
        let before = self.ranges.get(..after).unwrap_or_default();
        before.iter().rev().take(MAX_CLAIMS).filter(move |range| address < range.end).map(|range| range.unit)
    }

    /// The unit that has what stands at `offset` of the section.
    pub(super) fn holding(&self, offset: usize) -> Option<usize> {
        let after = self.offsets.partition_point(|&unit| unit <= offset);
        self.offsets.get(after.checked_sub(1)?).copied()
    }
}

impl<'a> Opened<'a> {
    /// The unit at this offset of the section.
    pub(super) fn at(dwarf: &Dwarf<Bytes<'a>>, offset: usize, budget: &mut Budget) -> Option<Self> {
        Self::open(dwarf, dwarf.unit_header(DebugInfoOffset(offset)).ok()?, budget)
    }

    fn open(dwarf: &Dwarf<Bytes<'a>>, header: UnitHeader<Bytes<'a>>, budget: &mut Budget) -> Option<Self> {
        let encoding = header.encoding();
        if encoding.address_size != 8 {
            return None;
        }
        let from = header.debug_abbrev_offset();
        let mut abbreviations = *dwarf.debug_abbrev.reader();
        abbreviations.skip(from.0).ok()?;
        let length = abbreviation_bytes(abbreviations)?;
        budget.pay(length)?;
        let file_type = DwarfFileType::Main;
        let mut unit = Unit {
            abbreviations: Arc::new(header.abbreviations(&dwarf.debug_abbrev).ok()?),
            name: None,
            comp_dir: None,
            low_pc: 0,
            str_offsets_base: DebugStrOffsetsBase::default_for_encoding_and_file(encoding, file_type),
            addr_base: DebugAddrBase(0),
            loclists_base: gimli::DebugLocListsBase::default_for_encoding_and_file(encoding, file_type),
            rnglists_base: DebugRngListsBase::default_for_encoding_and_file(encoding, file_type),
            line_program: None,
            dwo_id: None,
            header,
        };
        let root = {
            let mut entries = unit.entries_raw(None).ok()?;
            read_entry(&mut entries, budget)?
        };
        for attribute in root.attrs() {
            match attribute.value() {
                AttributeValue::DebugStrOffsetsBase(base) => unit.str_offsets_base = base,
                AttributeValue::DebugAddrBase(base) => unit.addr_base = base,
                AttributeValue::DebugRngListsBase(base) => unit.rnglists_base = base,
                _ => {}
            }
        }
        if let Some(value) = root.attr_value(constants::DW_AT_low_pc) {
            unit.low_pc = dwarf.attr_address(&unit, value).ok().flatten().unwrap_or(0);
        }
        let lines = match root.attr_value(constants::DW_AT_stmt_list) {
            Some(AttributeValue::DebugLineRef(offset)) => Some(offset),
            _ => None,
        };
        let (directory, name) = (root.attr_value(constants::DW_AT_comp_dir), root.attr_value(constants::DW_AT_name));
        Some(Self { unit, directory, name, lines })
    }

    /// The program that makes the unit's table of lines, if it is no longer than what is left to spend.
    pub(super) fn lines(
        &self,
        dwarf: &Dwarf<Bytes<'a>>,
        budget: &mut Budget,
    ) -> Option<IncompleteLineProgram<Bytes<'a>>> {
        let offset = self.lines?;
        let mut header = *dwarf.debug_line.reader();
        header.skip(offset.0).ok()?;
        let length = header.read_u32().ok()?;
        let version = header.read_u16().ok()?;
        if version >= 5 {
            header.read_u16().ok()?;
        }
        // Those of the 64-bit format, which files beyond 4 GiB need, are refused.
        let header_length = header.read_u32().ok().map(u64::from).filter(|&it| it <= MAX_LINE_HEADER_BYTES)?;
        budget.pay(usize::try_from(u64::from(length).max(header_length)).ok()?)?;
        dwarf.debug_line.program(offset, 8, None, None).ok()
    }

    /// The directory that the compiler was started in.
    pub(super) fn directory(&self, dwarf: &Dwarf<Bytes<'a>>) -> Option<&'a str> {
        text(dwarf, &self.unit, self.directory?)
    }

    /// The file that was compiled.
    pub(super) fn name(&self, dwarf: &Dwarf<Bytes<'a>>) -> Option<&'a str> {
        text(dwarf, &self.unit, self.name?)
    }
}

/// The next entry, which is none at the end of its siblings.
pub(super) fn read_entry<'a>(
    entries: &mut gimli::EntriesRaw<'_, Bytes<'a>>,
    budget: &mut Budget,
) -> Option<DebuggingInformationEntry<Bytes<'a>>> {
    let mut entry = DebuggingInformationEntry::null();
    // An abbreviation has no more attributes than bytes, and those are paid for.
    if !entries.read_entry(&mut entry).ok()? {
        return None;
    }
    budget.pay(1 + entry.attrs().len())?;
    Some(entry)
}

/// Calls `visit` with the ranges of an entry until it says that it has seen enough; true if it did.
pub(super) fn each_range(
    dwarf: &Dwarf<Bytes<'_>>,
    unit: &Unit<Bytes<'_>>,
    entry: &DebuggingInformationEntry<Bytes<'_>>,
    budget: &mut Budget,
    mut visit: impl FnMut(u64, u64) -> bool,
) -> bool {
    if let Some(value) = entry.attr_value(constants::DW_AT_ranges)
        && let Ok(Some(mut list)) = dwarf.attr_ranges(unit, value)
    {
        // Read one by one: an entry that is empty is not returned by the iterator, and would not be paid for.
        while let Ok(Some(raw)) = list.next_raw() {
            if budget.pay(1).is_none() {
                return false;
            }
            if let Ok(Some(range)) = list.convert_raw(raw)
                && visit(range.begin, range.end)
            {
                return true;
            }
        }
        return false;
    }
    let address = |value| dwarf.attr_address(unit, value).ok().flatten();
    let Some(start) = entry.attr_value(constants::DW_AT_low_pc).and_then(address) else { return false };
    let end = match entry.attr_value(constants::DW_AT_high_pc) {
        Some(AttributeValue::Udata(size)) => start.checked_add(size),
        Some(value) => address(value),
        None => None,
    };
    end.is_some_and(|end| visit(start, end))
}

/// The string that an attribute is, cut where it becomes too long or is no text.
pub(super) fn text<'a>(
    dwarf: &Dwarf<Bytes<'a>>,
    unit: &Unit<Bytes<'a>>,
    value: AttributeValue<Bytes<'a>>,
) -> Option<&'a str> {
    let (section, offset) = match value {
        AttributeValue::String(string) => (string, 0),
        AttributeValue::DebugStrRef(offset) => (*dwarf.debug_str.reader(), offset.0),
        AttributeValue::DebugLineStrRef(offset) => (*dwarf.debug_line_str.reader(), offset.0),
        AttributeValue::DebugStrOffsetsIndex(index) => {
            (*dwarf.debug_str.reader(), dwarf.string_offset(unit, index).ok()?.0)
        }
        _ => return None,
    };
    let bytes = section.slice().get(offset..)?;
    let bytes = bytes.get(..names::MAX_NAME_BYTES).unwrap_or(bytes);
    let valid = bytes.utf8_chunks().next()?.valid();
    valid.split(char::is_control).next().filter(|text| !text.is_empty())
}

/// How long the abbreviations are that start here, if they have an end.
fn abbreviation_bytes(section: Bytes<'_>) -> Option<usize> {
    let bytes = section.slice();
    let mut rest = Bytes::new(bytes.get(..MAX_ABBREVIATION_BYTES).unwrap_or(bytes), section.endian());
    let whole = rest.len();
    while rest.read_uleb128().ok()? != 0 {
        rest.read_uleb128().ok()?;
        rest.read_u8().ok()?;
        loop {
            let (attribute, form) = (rest.read_uleb128().ok()?, rest.read_uleb128().ok()?);
            if form == u64::from(constants::DW_FORM_implicit_const.0) {
                rest.read_sleb128().ok()?;
            }
            if (attribute, form) == (0, 0) {
                break;
            }
        }
    }
    Some(whole - rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gimli::LittleEndian;

    fn length(bytes: &[u8]) -> Option<usize> {
        abbreviation_bytes(Bytes::new(bytes, LittleEndian))
    }

    #[test]
    fn abbreviations_are_measured_to_their_end_and_no_further() {
        assert_eq!(length(&[0, 1, 2]), Some(1));
        assert_eq!(length(&[1, 0x11, 1, 3, 8, 0, 0, 0, 9, 9]), Some(8));
        // An implicit constant has a value in the abbreviation.
        assert_eq!(length(&[1, 0x34, 0, 0x49, 0x21, 0x7f, 0, 0, 0]), Some(9));
    }

    #[test]
    fn abbreviations_without_an_end_are_refused() {
        assert_eq!(length(&[]), None);
        assert_eq!(length(&[1, 0x11, 1, 3, 8]), None);
        assert_eq!(length(&[1; 2 * MAX_ABBREVIATION_BYTES]), None);
    }
}
