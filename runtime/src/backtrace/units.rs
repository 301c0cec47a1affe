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
/// Attributes of one entry: compilers write two dozen, and those that take no bytes of the entry itself could be any number.
const MAX_ATTRIBUTES: usize = 256;
/// Bytes of an entry for a step: strings are searched for their ends.
const ENTRY_BYTES_PER_STEP: usize = 8;
/// Bytes of one unit's table of files. Its parser reserves some hundred for each.
const MAX_LINE_HEADER_BYTES: u64 = 1 << 20;
/// Bytes of one unit's table of lines. It can name files, too, each of which takes sixteen times as much memory.
const MAX_LINE_BYTES: u64 = 8 << 20;
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
    let root = read_entry(&opened.unit, &mut entries, budget)?;
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
        pay_for_abbreviations(abbreviations, budget)?;
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
            read_entry(&unit, &mut entries, budget)?
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
        let header_length = header.read_u32().ok()?;
        // The length is all ones in the 64-bit format, which files beyond 4 GiB need: that is refused, too.
        if u64::from(length) > MAX_LINE_BYTES || u64::from(header_length) > MAX_LINE_HEADER_BYTES {
            return None;
        }
        budget.pay(usize::try_from(length.max(header_length)).ok()?)?;
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
    unit: &Unit<Bytes<'a>>,
    entries: &mut gimli::EntriesRaw<'_, Bytes<'a>>,
    budget: &mut Budget,
) -> Option<DebuggingInformationEntry<Bytes<'a>>> {
    let mut entry = DebuggingInformationEntry::null();
    read_into(&mut entry, unit, entries, budget)?.then_some(entry)
}

/// Reads the next entry; false at the end of its siblings, none if there is nothing to read or to pay with.
pub(super) fn read_into<'a>(
    entry: &mut DebuggingInformationEntry<Bytes<'a>>,
    unit: &Unit<Bytes<'a>>,
    entries: &mut gimli::EntriesRaw<'_, Bytes<'a>>,
    budget: &mut Budget,
) -> Option<bool> {
    let start = entries.next_offset().0;
    let is_entry = entries.read_entry(entry);
    // A string without an end was searched for it to the end of the unit.
    let end = if is_entry.is_ok() { entries.next_offset().0 } else { unit.header.length_including_self() };
    budget.pay(1 + entry.attrs().len() + end.saturating_sub(start) / ENTRY_BYTES_PER_STEP)?;
    is_entry.ok()
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

/// Pays for the abbreviations that start here, for each of their bytes; none if they have no end, or one has too many attributes.
fn pay_for_abbreviations(section: Bytes<'_>, budget: &mut Budget) -> Option<()> {
    let bytes = section.slice();
    let mut rest = Bytes::new(bytes.get(..MAX_ABBREVIATION_BYTES).unwrap_or(bytes), section.endian());
    let whole = rest.len();
    let has_end = read_abbreviations(&mut rest);
    // Looking for an end that is not there is work as well.
    budget.pay(whole - rest.len())?;
    has_end
}

fn read_abbreviations(rest: &mut Bytes<'_>) -> Option<()> {
    while rest.read_uleb128().ok()? != 0 {
        rest.read_uleb128().ok()?;
        rest.read_u8().ok()?;
        for count in 0.. {
            let (attribute, form) = (rest.read_uleb128().ok()?, rest.read_uleb128().ok()?);
            if form == u64::from(constants::DW_FORM_implicit_const.0) {
                rest.read_sleb128().ok()?;
            }
            if (attribute, form) == (0, 0) {
                break;
            }
            if count >= MAX_ATTRIBUTES {
                return None;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use gimli::{LittleEndian, SectionId};

    use super::*;

    const STEPS: u64 = 1 << 30;

    /// What the abbreviations cost, and whether they are taken.
    fn cost(bytes: &[u8]) -> (u64, bool) {
        let mut budget = Budget::new(STEPS);
        let is_taken = pay_for_abbreviations(Bytes::new(bytes, LittleEndian), &mut budget).is_some();
        (STEPS - budget.left(), is_taken)
    }

    /// A program's debug information of these sections.
    fn dwarf<'a>(sections: &[(SectionId, &'a [u8])]) -> Dwarf<Bytes<'a>> {
        Dwarf::load(|id| {
            let bytes = sections.iter().find(|(of, _)| *of == id).map_or(&[][..], |(_, bytes)| bytes);
            Ok::<_, gimli::Error>(Bytes::new(bytes, LittleEndian))
        })
        .unwrap()
    }

    /// A unit of DWARF 4 with the abbreviations at the section's start.
    fn unit(entries: &[u8]) -> Vec<u8> {
        let length = u32::try_from(7 + entries.len()).unwrap();
        [&length.to_le_bytes()[..], &[4, 0, 0, 0, 0, 0, 8], entries].concat()
    }

    #[test]
    fn abbreviations_are_paid_for_to_their_end_and_no_further() {
        assert_eq!(cost(&[0, 1, 2]), (1, true));
        assert_eq!(cost(&[1, 0x11, 1, 3, 8, 0, 0, 0, 9, 9]), (8, true));
        // An implicit constant has a value in the abbreviation.
        assert_eq!(cost(&[1, 0x34, 0, 0x49, 0x21, 0x7f, 0, 0, 0]), (9, true));
    }

    #[test]
    fn abbreviations_without_an_end_are_refused_and_paid_for() {
        assert_eq!(cost(&[]), (0, false));
        assert_eq!(cost(&[1, 0x11, 1, 3, 8]), (5, false));
        let endless = [1, 1, 0, 0, 0].repeat(MAX_ABBREVIATION_BYTES);
        let (steps, is_taken) = cost(&endless);
        assert!(!is_taken && steps > MAX_ABBREVIATION_BYTES as u64 - 16, "{steps}");
    }

    #[test]
    fn an_entry_has_no_more_attributes_than_compilers_write() {
        let abbreviations = |count| [&[1, 0x2e, 0][..], &[0x3f, 0x19].repeat(count), &[0, 0, 0]].concat();
        assert!(cost(&abbreviations(MAX_ATTRIBUTES)).1);
        assert!(!cost(&abbreviations(MAX_ATTRIBUTES + 1)).1);
    }

    #[test]
    fn units_that_share_abbreviations_without_an_end_are_read_as_far_as_the_budget_goes() {
        let endless = [1, 1, 0, 0, 0].repeat(1000);
        let units = unit(&[1]).repeat(100);
        let dwarf = dwarf(&[(SectionId::DebugAbbrev, &endless), (SectionId::DebugInfo, &units)]);
        let found = read(&dwarf, &mut Budget::new(20_000));
        assert!(found.offsets.len() < 10, "{} units for 20000 steps", found.offsets.len());
    }

    #[test]
    fn a_string_is_paid_for_whether_it_has_an_end_or_not() {
        // A unit whose name is a string in place.
        let abbreviations = [1, 0x11, 0, 0x03, 0x08, 0, 0, 0];
        for end in [&[0][..], &[]] {
            let units = unit(&[&[1][..], &[b'x'; 80_000], end].concat());
            let dwarf = dwarf(&[(SectionId::DebugAbbrev, &abbreviations), (SectionId::DebugInfo, &units)]);
            let mut budget = Budget::new(STEPS);
            assert_eq!(Opened::at(&dwarf, 0, &mut budget).is_some(), !end.is_empty());
            assert!(STEPS - budget.left() > 10_000);
        }
    }

    #[test]
    fn a_table_of_lines_is_no_longer_than_its_limit() {
        let abbreviations = [1, 0x11, 0, 0x10, 0x17, 0, 0, 0];
        let units = unit(&[1, 0, 0, 0, 0]);
        // A header without files, and a program that is all padding.
        let lines = |program: usize| {
            let header = [1, 1, 1, 1, 1, 1, 0, 0];
            let length = u32::try_from(6 + header.len() + program).unwrap();
            [&length.to_le_bytes()[..], &[4, 0, 8, 0, 0, 0], &header, &vec![1; program]].concat()
        };
        for (program, is_read) in [(16, true), (usize::try_from(MAX_LINE_BYTES).unwrap(), false)] {
            let lines = lines(program);
            let dwarf = dwarf(&[
                (SectionId::DebugAbbrev, &abbreviations),
                (SectionId::DebugInfo, &units),
                (SectionId::DebugLine, &lines),
            ]);
            let mut budget = Budget::new(STEPS);
            let opened = Opened::at(&dwarf, 0, &mut budget).unwrap();
            assert_eq!(opened.lines(&dwarf, &mut budget).is_some(), is_read, "{program} bytes");
        }
    }
}
