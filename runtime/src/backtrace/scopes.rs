//! Which functions an address is in, the inlined ones too, and at which lines: from the program's debug information.
//!
//! ```text
//! subprogram main                     ranges have the address
//!   inlined subroutine parse          ranges have the address    called at main.c:12
//!     inlined subroutine digit        ranges have the address    called at main.c:7
//! table of lines: the address is of main.c:3                     digit at main.c:3, parse at main.c:7, main at main.c:12
//! ```

use gimli::{
    AttributeValue, ColumnType, DebugInfoOffset, DebuggingInformationEntry, Dwarf, IncompleteLineProgram,
    LineProgramHeader, LineRow, LineRows, Unit, UnitOffset, constants,
};

use super::budget::Budget;
use super::names;
use super::tables::{Bytes, Information};
use super::units::{self, Opened, Units};

/// Functions inlined into each other.
const MAX_INLINED: usize = 32;
/// Entries between a function and its name.
const MAX_REFERENCES: usize = 8;
/// Bytes of a path.
const MAX_PATH_BYTES: usize = 4096;

/// A function that an address is in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Scope {
    pub(super) function: Option<String>,
    pub(super) place: Place,
}

/// A place in a source file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Place {
    pub(super) file: Option<String>,
    pub(super) line: Option<u32>,
    pub(super) column: Option<u32>,
}

/// A function's entry, and where it was inlined to.
struct Found<'a> {
    entry: DebuggingInformationEntry<Bytes<'a>>,
    depth: isize,
}

impl<'a> Information<'a> {
    /// The functions that `address` is in, as linked, innermost first; none without debug information.
    pub(super) fn scopes(&self, address: u64, budget: &mut Budget) -> Vec<Scope> {
        self.units.at(address).find_map(|offset| self.scopes_in(offset, address, budget)).unwrap_or_default()
    }

    fn scopes_in(&self, offset: usize, address: u64, budget: &mut Budget) -> Option<Vec<Scope>> {
        let dwarf = &self.dwarf;
        let opened = Opened::at(dwarf, offset, budget)?;
        let functions = functions_at(dwarf, &opened.unit, address, budget);
        let mut rows = opened.lines(dwarf, budget).map(|lines| lines.rows());
        let row = rows.as_mut().and_then(|rows| row_of(rows, address));
        let files = Files { dwarf, opened: &opened, header: rows.as_ref().map(LineRows::header) };
        let mut place = row.map(|row| files.place(&row)).unwrap_or_default();
        if functions.is_empty() && place == Place::default() {
            return None;
        }
        let mut scopes = Vec::new();
        for Found { entry, .. } in functions.iter().rev() {
            let function = name_of(dwarf, self.units, &opened.unit, entry, budget);
            let caller = files.called_at(entry);
            scopes.push(Scope { function, place: std::mem::replace(&mut place, caller) });
        }
        if scopes.is_empty() {
            scopes.push(Scope { function: None, place });
        }
        Some(scopes)
    }
}

/// The function that has the address, and what is inlined there; outermost first.
fn functions_at<'a>(
    dwarf: &Dwarf<Bytes<'a>>,
    unit: &Unit<Bytes<'a>>,
    address: u64,
    budget: &mut Budget,
) -> Vec<Found<'a>> {
    let mut found: Vec<Found<'a>> = Vec::new();
    let Ok(mut entries) = unit.entries_raw(None) else { return found };
    let mut entry = DebuggingInformationEntry::null();
    // What is below an entry that does not have the address does not have it either.
    let mut without = isize::MAX;
    while !entries.is_empty() {
        let depth = entries.next_depth();
        if found.first().is_some_and(|first| depth <= first.depth) {
            break;
        }
        let Some(is_entry) = units::read_into(&mut entry, unit, &mut entries, budget) else { break };
        if !is_entry || depth > without {
            continue;
        }
        without = isize::MAX;
        let is_function = match entry.tag() {
            constants::DW_TAG_subprogram => found.is_empty(),
            constants::DW_TAG_inlined_subroutine => !found.is_empty(),
            _ => false,
        };
        if !is_function {
            continue;
        }
        let has_address = units::each_range(dwarf, unit, &entry, budget, |start, end| (start..end).contains(&address));
        if has_address && found.len() < MAX_INLINED {
            found.push(Found { entry: entry.clone(), depth });
        } else if entry.tag() == constants::DW_TAG_inlined_subroutine {
            without = depth;
        }
    }
    found
}

/// What a function is called: by its own entry, or the one that this refers to.
fn name_of<'a>(
    dwarf: &Dwarf<Bytes<'a>>,
    units: &Units,
    unit: &Unit<Bytes<'a>>,
    entry: &DebuggingInformationEntry<Bytes<'a>>,
    budget: &mut Budget,
) -> Option<String> {
    let mut entry = entry.clone();
    let mut other: Option<Opened<'a>> = None;
    let mut plain = None;
    for _ in 0..MAX_REFERENCES {
        let unit = other.as_ref().map_or(unit, |opened| &opened.unit);
        for attribute in [constants::DW_AT_linkage_name, constants::DW_AT_MIPS_linkage_name] {
            if let Some(name) = entry.attr_value(attribute).and_then(|value| units::text(dwarf, unit, value)) {
                return Some(names::demangle(name));
            }
        }
        plain = plain.or_else(|| units::text(dwarf, unit, entry.attr_value(constants::DW_AT_name)?));
        let reference = [constants::DW_AT_abstract_origin, constants::DW_AT_specification];
        let Some(reference) = reference.into_iter().find_map(|attribute| entry.attr_value(attribute)) else { break };
        match reference {
            AttributeValue::UnitRef(offset) => entry = entry_at(unit, offset, budget)?,
            AttributeValue::DebugInfoRef(offset) => {
                let (opened, inside) = opened_at(dwarf, units, offset, budget)?;
                entry = entry_at(&opened.unit, inside, budget)?;
                other = Some(opened);
            }
            _ => break,
        }
    }
    plain.map(names::cut)
}

fn entry_at<'a>(
    unit: &Unit<Bytes<'a>>,
    offset: UnitOffset,
    budget: &mut Budget,
) -> Option<DebuggingInformationEntry<Bytes<'a>>> {
    let mut entries = unit.entries_raw(Some(offset)).ok()?;
    units::read_entry(unit, &mut entries, budget)
}

fn opened_at<'a>(
    dwarf: &Dwarf<Bytes<'a>>,
    units: &Units,
    offset: DebugInfoOffset,
    budget: &mut Budget,
) -> Option<(Opened<'a>, UnitOffset)> {
    let opened = Opened::at(dwarf, units.holding(offset.0)?, budget)?;
    let inside = offset.to_unit_offset(&opened.unit.header)?;
    Some((opened, inside))
}

/// Where a unit's files are called what they are.
struct Files<'a, 'b> {
    dwarf: &'b Dwarf<Bytes<'a>>,
    opened: &'b Opened<'a>,
    header: Option<&'b LineProgramHeader<Bytes<'a>>>,
}

impl<'a> Files<'a, '_> {
    /// Where an inlined function was called.
    fn called_at(&self, entry: &DebuggingInformationEntry<Bytes<'a>>) -> Place {
        let number = |attribute| entry.attr_value(attribute).and_then(|value| value.udata_value());
        let file = match entry.attr_value(constants::DW_AT_call_file) {
            Some(AttributeValue::FileIndex(index)) => Some(index),
            value => value.and_then(|value| value.udata_value()),
        };
        Place {
            file: file.and_then(|index| self.path(index)),
            line: number(constants::DW_AT_call_line).and_then(some_number),
            column: number(constants::DW_AT_call_column).and_then(some_number),
        }
    }

    fn place(&self, row: &LineRow) -> Place {
        Place {
            file: self.path(row.file_index()),
            line: row.line().and_then(|line| some_number(line.get())),
            column: match row.column() {
                ColumnType::Column(column) => some_number(column.get()),
                ColumnType::LeftEdge => None,
            },
        }
    }

    /// The path of a file by its number.
    fn path(&self, index: u64) -> Option<String> {
        let header = self.header?;
        let text = |value| units::text(self.dwarf, &self.opened.unit, value);
        if index == 0 && header.version() <= 4 {
            return self.opened.name(self.dwarf).map(str::to_owned);
        }
        let file = header.file(index)?;
        let mut path = text(file.path_name())?.to_owned();
        let directory = match file.directory_index() {
            0 if header.version() <= 4 => None,
            index => header.directory(index).and_then(text),
        };
        for directory in [directory, self.opened.directory(self.dwarf)].into_iter().flatten() {
            if !path.starts_with('/') && path.len() + directory.len() < MAX_PATH_BYTES {
                path = format!("{}/{path}", directory.trim_end_matches('/'));
            }
        }
        Some(path)
    }
}

/// A table of lines in the making.
type Rows<'a> = LineRows<Bytes<'a>, IncompleteLineProgram<Bytes<'a>>>;

/// The row of a table of lines that an address is in.
fn row_of(rows: &mut Rows<'_>, address: u64) -> Option<LineRow> {
    let mut before: Option<LineRow> = None;
    // As long as its program, which was paid for: each row takes at least one byte of it.
    while let Ok(Some((_, row))) = rows.next_row() {
        if let Some(before) = before
            && (before.address()..row.address()).contains(&address)
        {
            return Some(before);
        }
        before = (!row.end_sequence()).then_some(*row);
    }
    None
}

fn some_number(number: u64) -> Option<u32> {
    u32::try_from(number).ok().filter(|&number| number > 0)
}
