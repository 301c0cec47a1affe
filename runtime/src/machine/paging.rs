//! The guest's page tables: a mirror on the host's side, and the rules by which a change reaches the guest.
//!
//! ```text
//!                     entry was not present ── the host writes it, seen at once
//! a change ──────────┤
//!                     entry was present ────── few: the guest's editor writes them on the way back (`EditList`)
//!                                              many: the host writes all, and the slot is toggled
//! ```
//!
//! A shadow-paging KVM derives its own tables from the guest's and learns of a changed entry only from the guest's own write
//! (`docs/kvm.md`), which is why the host may not just write. Accessed and dirty bits are set from the start, so that the CPU never
//! writes table pages. The mirror is plain data and authoritative: the guest's copy is never read.
//!
//! The mirror counts table pages from its root. Where that is in the arena is its `origin`, so that it can be written anew elsewhere: a
//! program that follows another one in a machine gets table pages that no program had before.

mod reset;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use ampoule_kernel::layout::{
    self, ARENA_PD_PAGE, EDIT_WORDS, KERNEL_PD_PAGE, KERNEL_PDPT_PAGE, KERNEL_PT_PAGE, PAGE_SIZE, SHARED_PDPT_PAGE,
    TABLES_BASE, TABLES_VIRTUAL, USER_END, USER_START, kernel_physical,
};

pub(crate) use self::reset::SavedTables;
use super::frames::{Frame, Frames};
use crate::vm::error::HostError;
use crate::vm::memory::GuestMemory;

/// Present.
pub(super) const PRESENT: u64 = 1;
/// Writable.
pub(super) const WRITE: u64 = 1 << 1;
/// Accessible at CPL3.
pub(super) const USER: u64 = 1 << 2;
/// Accessed and dirty, set by us so that nobody else has to.
pub(super) const ACCESSED_DIRTY: u64 = 1 << 5 | 1 << 6;
/// A large page.
pub(super) const LARGE: u64 = 1 << 7;
/// No execute. Reserved where the CPU has none.
pub(super) const NO_EXECUTE: u64 = 1 << 63;
/// Where the frame number is.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// An entry that leads to a table.
pub(super) const TABLE: u64 = PRESENT | WRITE | USER | ACCESSED_DIRTY;
/// In the mirror only: the page has a frame although no access is allowed (`PROT_NONE`).
const HELD: u64 = 1 << 9;

/// Most present entries that the editor changes in one visit; beyond, toggling the slot is quicker (`docs/kvm.md`).
const MAX_EDITS: usize = 192;

const _: () = assert!(MAX_EDITS as u64 * 3 <= EDIT_WORDS, "each edit may be a span of its own: two words more");

/// What a page allows at CPL3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Access {
    /// Reads. On x86, writing or executing implies it.
    pub(crate) read: bool,
    /// Writes.
    pub(crate) write: bool,
    /// Instruction fetches.
    pub(crate) execute: bool,
}

impl Access {
    /// Reads and writes.
    pub(crate) const READ_WRITE: Self = Self { read: true, write: true, execute: false };

    fn allows_any(self) -> bool {
        self.read || self.write || self.execute
    }
}

/// The address of a page in the payload's half: page-aligned and in range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Page(u64);

impl Page {
    /// The page that contains `address`, if it is in the payload's half.
    pub(crate) fn containing(address: u64) -> Option<Self> {
        (USER_START..USER_END).contains(&address).then_some(Self(address & !(PAGE_SIZE - 1)))
    }

    /// Its first address.
    pub(crate) fn address(self) -> u64 {
        self.0
    }

    fn index(self, level: u32) -> u64 {
        self.0 >> (12 + 9 * level) & 511
    }
}

/// A mapped page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mapped {
    pub(crate) frame: Frame,
    pub(crate) access: Access,
}

/// No page-table page is left, in the arena or under the memory limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfTables;

/// One table of the mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Table {
    entries: [u64; 512],
    used: u16,
    /// 0 for one whose entries are pages.
    level: u8,
}

impl Table {
    fn empty(level: u8) -> Self {
        Self { entries: [0; 512], used: 0, level }
    }

    fn root() -> Self {
        // What the host maps counts as one entry: the root is never given back.
        Self { used: 1, ..Self::empty(3) }
    }
}

/// A table and where what it maps starts.
#[derive(Debug, Clone, Copy)]
struct Span {
    table: u64,
    level: u32,
    start: u64,
}

/// How many pages the arena has for tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arena {
    /// What one program may use.
    pub(crate) program_pages: u64,
    /// All of them.
    pub(crate) pages: u64,
}

/// The page tables of one program.
#[derive(Debug, Clone)]
pub(crate) struct PageTables {
    /// By their page, counted from the root, which is page 0. Shared with the snapshots that have the same.
    tables: Vec<Option<Arc<Table>>>,
    arena: Arena,
    /// The root's page in the arena.
    origin: u64,
    /// Arena pages that were tables since the slot was toggled: those before this one.
    derived: u64,
    /// Arena pages that were ever written: those before this one.
    written: u64,
    /// Pages that were tables once: KVM may still hold what it derived from them, until the slot is toggled.
    retired: Vec<u64>,
    /// Tables that map nothing, are charged to nobody, and are there because taking them away would cost more: a reset left them.
    spare: BTreeSet<u64>,
    /// Addresses of changed entries that the guest has otherwise, with what it has; none is not known. As if the origin were 0.
    edits: BTreeMap<u64, Option<u64>>,
    /// Entries that the editor is about to write.
    in_flight: Vec<u64>,
    /// Everything is written by the host until the slot is toggled, or until the first run.
    toggle: bool,
    no_execute: u64,
}

impl PageTables {
    /// An empty address space with the kernel's half in place, and with what [`shared`](super::shared) maps.
    pub(crate) fn new(memory: &mut GuestMemory, arena: Arena, nx: bool) -> Result<Self, HostError> {
        let no_execute = if nx { NO_EXECUTE } else { 0 };
        let tables = Self {
            tables: vec![Some(Arc::new(Table::root()))],
            arena,
            origin: 0,
            derived: 1,
            written: 1,
            retired: Vec::new(),
            spare: BTreeSet::new(),
            edits: BTreeMap::new(),
            in_flight: Vec::new(),
            toggle: true,
            no_execute,
        };
        tables.write_kernel_half(memory)?;
        Ok(tables)
    }

    /// CR3.
    pub(crate) fn root(&self) -> u64 {
        self.place(TABLES_BASE)
    }

    /// Where something is that the mirror has at `address`.
    fn place(&self, address: u64) -> u64 {
        address + self.origin * PAGE_SIZE
    }

    /// What the guest's copy of an entry holds.
    fn placed(&self, entry: u64) -> u64 {
        if entry & PRESENT != 0 && entry & ADDRESS < layout::PAYLOAD_BASE { self.place(entry) } else { entry }
    }

    fn write_kernel_half(&self, memory: &mut GuestMemory) -> Result<(), HostError> {
        const SUPERVISOR: u64 = PRESENT | ACCESSED_DIRTY;
        let table = |page| kernel_physical(page) | TABLE;
        self.write_root(memory)?;
        memory.write_u64(kernel_physical(KERNEL_PDPT_PAGE), table(KERNEL_PD_PAGE))?;
        memory.write_u64(kernel_physical(KERNEL_PDPT_PAGE) + 8, table(ARENA_PD_PAGE))?;
        memory.write_u64(kernel_physical(KERNEL_PD_PAGE), table(KERNEL_PT_PAGE))?;
        let code = SUPERVISOR;
        let data = SUPERVISOR | WRITE | self.no_execute;
        let entries =
            [(layout::DESCRIPTORS_PAGE, data), (layout::SUPERVISOR_CODE_PAGE, code), (layout::STACKS_PAGE, data)];
        let edit_pages = (layout::EDITS_PAGE..layout::EDITS_PAGE + layout::EDITS_PAGES).map(|page| (page, data));
        for (page, flags) in entries.into_iter().chain(edit_pages) {
            memory.write_u64(kernel_physical(KERNEL_PT_PAGE) + page * 8, kernel_physical(page) | flags)?;
        }
        let large_pages = (self.arena.pages * PAGE_SIZE).div_ceil(layout::TABLE_SPAN);
        for index in 0..large_pages {
            let entry = (TABLES_BASE + index * layout::TABLE_SPAN) | data | LARGE;
            memory.write_u64(kernel_physical(ARENA_PD_PAGE) + index * 8, entry)?;
        }
        Ok(())
    }

    /// What every root has of the host's.
    fn write_root(&self, memory: &mut GuestMemory) -> Result<(), HostError> {
        memory.write_u64(self.root() + 255 * 8, kernel_physical(SHARED_PDPT_PAGE) | TABLE)?;
        memory.write_u64(self.root() + 256 * 8, kernel_physical(KERNEL_PDPT_PAGE) | TABLE)
    }

    /// What is at `page`; a page without access may still hold its frame.
    pub(crate) fn lookup(&self, page: Page) -> Option<Mapped> {
        let entry = self.entry(self.leaf(page)?, page.index(0))?;
        let frame = Frame::containing(entry & ADDRESS)?;
        let present = entry & PRESENT != 0;
        let access = Access {
            read: present,
            write: present && entry & WRITE != 0,
            execute: present && (entry & NO_EXECUTE == 0),
        };
        (present || entry & HELD != 0).then_some(Mapped { frame, access })
    }

    /// The first page at or after `from` and before `end` that is mapped, skipping whole tables that do not exist.
    pub(crate) fn next_mapped(&self, from: u64, end: u64) -> Option<Page> {
        let mut at = from;
        while at < end {
            let page = Page::containing(at)?;
            let mut table = 0;
            let mut step = PAGE_SIZE;
            for level in (1..4).rev() {
                match self.entry(table, page.index(level)).filter(|entry| entry & PRESENT != 0) {
                    Some(entry) => table = Self::arena_page(entry)?,
                    None => {
                        step = PAGE_SIZE << (9 * level);
                        break;
                    }
                }
            }
            if step == PAGE_SIZE && self.entry(table, page.index(0)).is_some_and(|entry| entry != 0) {
                return Some(page);
            }
            at = (at & !(step - 1)).checked_add(step)?;
        }
        None
    }

    /// Makes sure that the tables for `page` exist, so that mapping it cannot fail. Takes no table from elsewhere: where this fails,
    /// [`reclaim`](Self::reclaim) may help. What it made before it failed stays, empty.
    pub(crate) fn prepare(
        &mut self,
        memory: &mut GuestMemory,
        frames: &mut Frames,
        page: Page,
    ) -> Result<Prepared, HostError> {
        let mut table = 0;
        for level in (0..3).rev() {
            let index = page.index(u32::from(level) + 1);
            let entry = self.entry(table, index).unwrap_or(0);
            table = if entry & PRESENT != 0 {
                let Some(page) = Self::arena_page(entry) else { return Ok(Err(OutOfTables)) };
                if self.spare.contains(&page) {
                    if !frames.charge_table() {
                        return Ok(Err(OutOfTables));
                    }
                    self.spare.remove(&page);
                }
                page
            } else {
                let Some(new) = self.allocate(memory, frames, level)? else {
                    return Ok(Err(OutOfTables));
                };
                self.set(memory, table, index, (TABLES_BASE + new * PAGE_SIZE) | TABLE)?;
                new
            };
        }
        Ok(Ok(()))
    }

    /// Maps `page` to `frame`, replacing what was there. [`prepare`](Self::prepare) must have succeeded for the page.
    pub(crate) fn map(
        &mut self,
        memory: &mut GuestMemory,
        page: Page,
        frame: Frame,
        access: Access,
    ) -> Result<Prepared, HostError> {
        let Some(table) = self.leaf(page) else {
            return Ok(Err(OutOfTables));
        };
        let entry = self.encode(frame, access);
        self.set(memory, table, page.index(0), entry)?;
        Ok(Ok(()))
    }

    /// Unmaps `page`; its frame is the caller's.
    pub(crate) fn unmap(&mut self, memory: &mut GuestMemory, page: Page) -> Result<Option<Frame>, HostError> {
        let (Some(mapped), Some(table)) = (self.lookup(page), self.leaf(page)) else {
            return Ok(None);
        };
        self.set(memory, table, page.index(0), 0)?;
        Ok(Some(mapped.frame))
    }

    /// Changes what a mapped page allows; one that is not mapped stays so.
    pub(crate) fn protect(&mut self, memory: &mut GuestMemory, page: Page, access: Access) -> Result<(), HostError> {
        let (Some(mapped), Some(table)) = (self.lookup(page), self.leaf(page)) else {
            return Ok(());
        };
        let entry = self.encode(mapped.frame, access);
        self.set(memory, table, page.index(0), entry)
    }

    /// Gives back the tables that map nothing, but for those of `keep`, which somebody has prepared and is about to fill. They may be
    /// used again only after a toggle, which this asks for.
    pub(crate) fn reclaim(
        &mut self,
        memory: &mut GuestMemory,
        frames: &mut Frames,
        keep: &Range<u64>,
    ) -> Result<(), HostError> {
        let (before, spare) = (self.retired.len(), self.spare.len());
        self.reclaim_below(memory, Span { table: 0, level: 3, start: 0 }, keep)?;
        let retired = self.retired.len() - before;
        let charged = retired - (spare - self.spare.len());
        frames.release_tables(u32::try_from(charged).unwrap_or(u32::MAX));
        if retired > 0 {
            self.write_all(memory)?;
        }
        Ok(())
    }

    fn reclaim_below(&mut self, memory: &mut GuestMemory, above: Span, keep: &Range<u64>) -> Result<(), HostError> {
        let Span { table, level, start } = above;
        if level == 0 {
            return Ok(());
        }
        for index in 0..512 {
            let Some(child) = self.entry(table, index).filter(|entry| entry & PRESENT != 0).and_then(Self::arena_page)
            else {
                continue;
            };
            let bytes = PAGE_SIZE << (9 * level);
            let start = start + index * bytes;
            self.reclaim_below(memory, Span { table: child, level: level - 1, start }, keep)?;
            let kept = start < keep.end && keep.start < start + bytes;
            if !kept && self.table(child).is_some_and(|table| table.used == 0) {
                self.set(memory, table, index, 0)?;
                if let Some(slot) = usize::try_from(child).ok().and_then(|child| self.tables.get_mut(child)) {
                    *slot = None;
                }
                self.spare.remove(&child);
                self.retired.push(child);
            }
        }
        Ok(())
    }

    /// What has to happen before the guest runs on. The list is empty afterwards.
    pub(crate) fn take_changes(&mut self) -> Changes {
        if std::mem::take(&mut self.toggle) {
            self.derived = self.origin + self.tables.len() as u64;
            self.in_flight.clear();
            return Changes::Toggle;
        }
        if self.edits.is_empty() {
            return Changes::None;
        }
        let mut words: Vec<u64> = Vec::with_capacity(self.edits.len() * 3);
        let mut spans = 0;
        let mut span: Option<(usize, u64)> = None;
        for physical in std::mem::take(&mut self.edits).into_keys() {
            let value = self.hardware(physical);
            self.in_flight.push(physical);
            match span {
                Some((count_at, next)) if next == physical && physical % PAGE_SIZE != 0 => {
                    if let Some(count) = words.get_mut(count_at) {
                        *count += 1;
                    }
                    span = Some((count_at, physical + 8));
                }
                _ => {
                    spans += 1;
                    words.push(self.place(physical) - TABLES_BASE + TABLES_VIRTUAL);
                    span = Some((words.len(), physical + 8));
                    words.push(1);
                }
            }
            words.push(value);
        }
        Changes::Edits(EditList { spans, words })
    }

    /// The editor may not have written yet what it was told.
    pub(super) fn are_edits_in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// The editor has written what [`take_changes`](Self::take_changes) gave it.
    pub(crate) fn edits_arrived(&mut self) {
        self.in_flight.clear();
    }

    fn allocate(&mut self, memory: &mut GuestMemory, frames: &mut Frames, level: u8) -> Result<Option<u64>, HostError> {
        let fresh = self.tables.len() as u64;
        let page = if fresh < self.arena.program_pages {
            if !frames.charge_table() {
                return Ok(None);
            }
            if self.origin + fresh < self.written {
                memory.zero_page(self.place(TABLES_BASE + fresh * PAGE_SIZE))?;
            }
            self.tables.push(None);
            self.note_use(fresh);
            fresh
        } else {
            let Some(page) = self.retired.pop() else {
                return Ok(None);
            };
            if !frames.charge_table() {
                self.retired.push(page);
                return Ok(None);
            }
            self.write_all(memory)?;
            memory.zero_page(self.place(TABLES_BASE + page * PAGE_SIZE))?;
            page
        };
        if let Some(slot) = usize::try_from(page).ok().and_then(|page| self.tables.get_mut(page)) {
            *slot = Some(Arc::new(Table::empty(level)));
        }
        Ok(Some(page))
    }

    fn note_use(&mut self, page: u64) {
        let end = self.origin + page + 1;
        self.derived = self.derived.max(end);
        self.written = self.written.max(end);
    }

    /// Whatever there is to change goes by a toggle, not through the editor.
    pub(crate) fn avoid_editor(&mut self, memory: &mut GuestMemory) -> Result<(), HostError> {
        if self.edits.is_empty() { Ok(()) } else { self.write_all(memory) }
    }

    /// Asks for a toggle whatever there is to change, so that the probe can see it work.
    pub(super) fn force_toggle(&mut self, memory: &mut GuestMemory) -> Result<(), HostError> {
        self.write_all(memory)
    }

    /// From now until the toggle the host writes every entry itself.
    fn write_all(&mut self, memory: &mut GuestMemory) -> Result<(), HostError> {
        self.toggle = true;
        // What the editor was about to write it may not have written yet.
        let in_flight = std::mem::take(&mut self.in_flight);
        for physical in std::mem::take(&mut self.edits).into_keys().chain(in_flight) {
            memory.write_u64(self.place(physical), self.hardware(physical))?;
        }
        Ok(())
    }

    fn set(&mut self, memory: &mut GuestMemory, table: u64, index: u64, entry: u64) -> Result<(), HostError> {
        let physical = TABLES_BASE + table * PAGE_SIZE + index * 8;
        let Some(slot) = usize::try_from(table).ok().and_then(|table| self.tables.get_mut(table)?.as_mut()) else {
            return Ok(());
        };
        let slot = Arc::make_mut(slot);
        let Some(place) = usize::try_from(index).ok().and_then(|index| slot.entries.get_mut(index)) else {
            return Ok(());
        };
        let before = std::mem::replace(place, entry);
        slot.used = slot.used + u16::from(entry != 0) - u16::from(before != 0);
        self.show(memory, physical, Self::visible(before), Self::visible(entry))
    }

    /// Brings a change to the guest's copy, or notes it down for the editor.
    fn show(&mut self, memory: &mut GuestMemory, physical: u64, before: u64, after: u64) -> Result<(), HostError> {
        match self.edits.get(&physical) {
            // It is back at what the guest has.
            Some(&Some(has)) if has == after => {
                self.edits.remove(&physical);
            }
            Some(_) => {}
            None if before == after => {}
            None if self.toggle || before & PRESENT == 0 => {
                memory.write_u64(self.place(physical), self.placed(after))?;
            }
            None => {
                self.edits.insert(physical, Some(before));
                if self.edits.len() > MAX_EDITS {
                    self.write_all(memory)?;
                }
            }
        }
        Ok(())
    }

    fn encode(&self, frame: Frame, access: Access) -> u64 {
        let physical = frame.physical();
        if !access.allows_any() {
            return physical | HELD;
        }
        let write = if access.write { WRITE } else { 0 };
        let no_execute = if access.execute { 0 } else { self.no_execute };
        physical | PRESENT | USER | ACCESSED_DIRTY | write | no_execute
    }

    /// The form of an entry that the guest gets to see.
    fn visible(entry: u64) -> u64 {
        if entry & PRESENT == 0 { 0 } else { entry }
    }

    fn hardware(&self, physical: u64) -> u64 {
        let offset = physical.saturating_sub(TABLES_BASE);
        self.placed(Self::visible(self.entry(offset / PAGE_SIZE, offset % PAGE_SIZE / 8).unwrap_or(0)))
    }

    /// Tables in use, the root aside: what is charged.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn count(&self) -> u64 {
        self.tables.iter().flatten().count() as u64 - 1 - self.spare.len() as u64
    }

    fn table(&self, page: u64) -> Option<&Table> {
        self.tables.get(usize::try_from(page).ok()?)?.as_deref()
    }

    fn entry(&self, table: u64, index: u64) -> Option<u64> {
        self.table(table)?.entries.get(usize::try_from(index).ok()?).copied()
    }

    fn arena_page(entry: u64) -> Option<u64> {
        (entry & ADDRESS).checked_sub(TABLES_BASE).map(|offset| offset / PAGE_SIZE)
    }

    fn leaf(&self, page: Page) -> Option<u64> {
        let mut table = 0;
        for level in (1..4).rev() {
            let entry = self.entry(table, page.index(level)).filter(|entry| entry & PRESENT != 0)?;
            table = Self::arena_page(entry)?;
        }
        Some(table)
    }
}

/// Whether tables could be had; apart from the host's own failures.
pub(crate) type Prepared = Result<(), OutOfTables>;

/// What the editor has to write, as `ampoule_kernel::layout::EDIT_WORDS` describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EditList {
    /// How many spans there are.
    pub(crate) spans: u64,
    /// Destination and count of the first, which do not lie in memory, then everything else.
    pub(crate) words: Vec<u64>,
}

/// How the guest gets to see what changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Changes {
    /// Nothing is left to do.
    None,
    /// The editor has to write these entries.
    Edits(EditList),
    /// The slot has to be toggled.
    Toggle,
}

#[cfg(test)]
mod tests;
