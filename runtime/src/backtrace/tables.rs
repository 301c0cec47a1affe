//! Where a program's file keeps what backtraces need, found once for a program: sections, unwind entries and debug units by address.
//!
//! A program's file is hostile. Sections are cut to [`MAX_SECTION_BYTES`], entries are counted, and what makes no sense is skipped.

use std::ops::Range;

use gimli::{Dwarf, EndianSlice, LittleEndian, SectionId};

use super::budget::Budget;
use super::cfi::{Cfi, Fde};
use super::units::{self, Units};
use crate::program::Program;

/// How gimli reads the file: where it lies.
pub(super) type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// A longer section is as good as none: programs with more debug information than that have 1 GiB.
const MAX_SECTION_BYTES: usize = 256 << 20;

/// Steps for the table of debug units.
const UNITS_BUDGET: u64 = 1 << 24;

/// What is kept with a program.
#[derive(Debug, Default)]
pub(super) struct Tables {
    sections: Vec<(SectionId, Range<usize>)>,
    /// Address of the unwind information, as linked.
    eh_frame_address: u64,
    fdes: Vec<Fde>,
    units: Units,
}

/// The tables, and the file that they are of.
pub(super) struct Information<'a> {
    pub(super) program: &'a Program,
    pub(super) cfi: Cfi<'a>,
    pub(super) dwarf: Dwarf<Bytes<'a>>,
    pub(super) units: &'a Units,
}

impl Tables {
    fn read(program: &Program) -> Self {
        let mut tables = Self::default();
        let wanted = [
            SectionId::EhFrame,
            SectionId::DebugAbbrev,
            SectionId::DebugAddr,
            SectionId::DebugInfo,
            SectionId::DebugLine,
            SectionId::DebugLineStr,
            SectionId::DebugRanges,
            SectionId::DebugRngLists,
            SectionId::DebugStr,
            SectionId::DebugStrOffsets,
        ];
        for id in wanted {
            let Some((address, range)) = program.section(id.name()) else { continue };
            if range.len() <= MAX_SECTION_BYTES {
                tables.sections.push((id, range));
                if id == SectionId::EhFrame {
                    tables.eh_frame_address = address;
                }
            }
        }
        let fdes = tables.cfi(program).index();
        let units = units::read(&tables.dwarf(program), &mut Budget::new(UNITS_BUDGET));
        Self { fdes, units, ..tables }
    }

    fn section<'a>(&self, program: &'a Program, id: SectionId) -> Bytes<'a> {
        let range = self.sections.iter().find(|(found, _)| *found == id).map(|(_, range)| range.clone());
        let bytes = range.and_then(|range| program.file().get(range)).unwrap_or_default();
        EndianSlice::new(bytes, LittleEndian)
    }

    fn cfi<'a>(&'a self, program: &'a Program) -> Cfi<'a> {
        Cfi::new(self.section(program, SectionId::EhFrame).slice(), self.eh_frame_address, &self.fdes)
    }

    fn dwarf<'a>(&self, program: &'a Program) -> Dwarf<Bytes<'a>> {
        let load = |id| Ok::<_, std::convert::Infallible>(self.section(program, id));
        match Dwarf::load(load) {
            Ok(dwarf) => dwarf,
            Err(never) => match never {},
        }
    }
}

impl<'a> Information<'a> {
    /// The program's tables, which the first call makes.
    pub(super) fn of(program: &'a Program) -> Option<Self> {
        let tables: &Tables = program.debug_memo(Tables::read)?;
        Some(Self { program, cfi: tables.cfi(program), dwarf: tables.dwarf(program), units: &tables.units })
    }
}
