//! Page tables as they were: what a snapshot keeps of them, and how a machine gets back to it.
//!
//! ```text
//! the same program    entries that differ are put back one by one, as any other change; a table that the snapshot does not have is
//!                     emptied and stays as a spare
//! another program     all tables are written anew, into pages of the arena that were no tables since the slot was toggled
//! ```
//! A spare makes no difference that a program could see: a page without a table and a page without an entry fault alike. Taking it
//! away would cost an entry of the editor's, and its page could not be used again before a toggle.

use std::sync::Arc;

use ampoule_kernel::layout::PAGE_SIZE;

use super::{PRESENT, PageTables, TABLES_BASE, Table};
use crate::vm::error::HostError;
use crate::vm::memory::GuestMemory;

/// The tables of a snapshot.
#[derive(Debug, Clone)]
pub(crate) struct SavedTables {
    tables: Vec<Option<Arc<Table>>>,
    /// What the program may use.
    program_pages: u64,
}

impl SavedTables {
    /// Those of a program that has nothing.
    pub(crate) fn empty(program_pages: u64) -> Self {
        Self { tables: vec![Some(Arc::new(Table::root()))], program_pages }
    }
}

/// The root is elsewhere now: CR3 has to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moved;

impl PageTables {
    /// The tables as they are, without the spares.
    pub(crate) fn save(&self) -> SavedTables {
        let mut tables = self.tables.clone();
        if self.spare.is_empty() {
            return SavedTables { tables, program_pages: self.arena.program_pages };
        }
        let is_spare =
            |entry: u64| entry & PRESENT != 0 && Self::arena_page(entry).is_some_and(|page| self.spare.contains(&page));
        for (page, place) in (0..).zip(&mut tables) {
            if self.spare.contains(&page) {
                *place = None;
            } else if let Some(table) = place
                && table.level > 0
                && table.entries.iter().any(|&entry| is_spare(entry))
            {
                let table = Arc::make_mut(table);
                for entry in table.entries.iter_mut().filter(|entry| is_spare(**entry)) {
                    *entry = 0;
                    table.used -= 1;
                }
            }
        }
        while tables.last().is_some_and(Option::is_none) {
            tables.pop();
        }
        SavedTables { tables, program_pages: self.arena.program_pages }
    }

    /// Makes the tables those that were saved, of this program or of any other.
    pub(crate) fn reset(&mut self, memory: &mut GuestMemory, saved: &SavedTables) -> Result<Option<Moved>, HostError> {
        // What the editor was told, but may not have written yet.
        for physical in std::mem::take(&mut self.in_flight) {
            self.edits.insert(physical, None);
        }
        self.arena.program_pages = saved.program_pages;
        if self.edits.is_empty() && self.spare.is_empty() && self.is(saved) {
            return Ok(None);
        }
        if self.origin + saved.program_pages > self.arena.pages || !self.leads_to(saved) {
            self.write_anew(memory, saved)?;
            return Ok(Some(Moved));
        }
        for page in (self.tables.len()..saved.tables.len()).map(|page| page as u64) {
            self.tables.push(None);
            self.note_use(page);
        }
        for index in 0..self.tables.len() {
            let page = index as u64;
            let ours = self.tables.get(index).and_then(Clone::clone);
            let theirs = saved.tables.get(index).and_then(Option::as_ref);
            match (ours, theirs) {
                (None, None) => {}
                (Some(ours), Some(theirs)) if Arc::ptr_eq(&ours, theirs) => {
                    self.spare.remove(&page);
                }
                (None, Some(theirs)) => self.write_table(memory, page, theirs)?,
                (Some(ours), None) => {
                    self.put_back(memory, page, &ours, &Table::empty(ours.level))?;
                    self.spare.insert(page);
                }
                (Some(ours), Some(theirs)) => {
                    self.spare.remove(&page);
                    self.put_back(memory, page, &ours, theirs)?;
                    drop(ours);
                    self.share(index, theirs);
                }
            }
        }
        Ok(None)
    }

    /// True if these are the saved tables, shared with them: what a run that maps nothing leaves.
    fn is(&self, saved: &SavedTables) -> bool {
        self.tables.len() == saved.tables.len()
            && self.tables.iter().zip(&saved.tables).all(|tables| match tables {
                (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
                (None, None) => true,
                _ => false,
            })
    }

    /// True if the saved tables can be reached by changing entries: every table that both have is in the same place.
    fn leads_to(&self, saved: &SavedTables) -> bool {
        let has = |tables: &[Option<Arc<Table>>], entry: u64| {
            Self::arena_page(entry)
                .and_then(|page| usize::try_from(page).ok())
                .is_some_and(|page| tables.get(page).is_some_and(Option::is_some))
        };
        (0..self.tables.len().max(saved.tables.len())).all(|index| {
            let [ours, theirs] = [&self.tables, &saved.tables].map(|tables| tables.get(index).and_then(Option::as_ref));
            match (ours, theirs) {
                (None, None) => true,
                // A page that was a table once cannot become one again just so.
                (None, Some(_)) => index >= self.tables.len(),
                (Some(ours), None) => {
                    ours.level == 0
                        || !ours.entries.iter().any(|&entry| entry & PRESENT != 0 && has(&saved.tables, entry))
                }
                (Some(ours), Some(theirs)) if Arc::ptr_eq(ours, theirs) => true,
                (Some(ours), Some(theirs)) if ours.level == 0 => theirs.level == 0,
                (Some(ours), Some(theirs)) => {
                    ours.level == theirs.level
                        && ours.entries.iter().zip(&theirs.entries).all(|(&ours, &theirs)| {
                            ours == theirs
                                || (theirs == 0 && !has(&saved.tables, ours))
                                || (ours == 0 && !has(&self.tables, theirs))
                        })
                }
            }
        })
    }

    /// Makes the entries of `ours` those of `theirs`. Links to tables that `theirs` has not stay: those are spares now.
    fn put_back(&mut self, memory: &mut GuestMemory, page: u64, ours: &Table, theirs: &Table) -> Result<(), HostError> {
        for (index, (&ours_entry, &entry)) in (0..).zip(ours.entries.iter().zip(&theirs.entries)) {
            if ours_entry != entry && (ours.level == 0 || ours_entry == 0) {
                self.set(memory, page, index, entry)?;
            }
        }
        Ok(())
    }

    /// From now on shares a table that has become equal to a saved one.
    fn share(&mut self, index: usize, theirs: &Arc<Table>) {
        if let Some(Some(ours)) = self.tables.get_mut(index)
            && **ours == **theirs
        {
            *ours = Arc::clone(theirs);
        }
    }

    /// Writes all tables into pages that KVM derived nothing from since the slot was toggled.
    fn write_anew(&mut self, memory: &mut GuestMemory, saved: &SavedTables) -> Result<(), HostError> {
        if self.derived + self.arena.program_pages <= self.arena.pages {
            self.origin = self.derived;
        } else {
            self.origin = 0;
            self.toggle = true;
        }
        self.edits.clear();
        self.spare.clear();
        self.retired.clear();
        self.tables = vec![None; saved.tables.len()];
        for (page, theirs) in (0..).zip(&saved.tables) {
            match theirs {
                Some(theirs) => self.write_table(memory, page, theirs)?,
                None => self.retired.push(page),
            }
            self.note_use(page);
        }
        self.write_root(memory)
    }

    /// Writes a table into a page that is none yet.
    fn write_table(&mut self, memory: &mut GuestMemory, page: u64, table: &Arc<Table>) -> Result<(), HostError> {
        let bytes: Vec<u8> =
            table.entries.iter().flat_map(|&entry| self.placed(Self::visible(entry)).to_le_bytes()).collect();
        memory.write(self.place(TABLES_BASE + page * PAGE_SIZE), &bytes)?;
        if let Some(place) = usize::try_from(page).ok().and_then(|page| self.tables.get_mut(page)) {
            *place = Some(Arc::clone(table));
        }
        Ok(())
    }
}
