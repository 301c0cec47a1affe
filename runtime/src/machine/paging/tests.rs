//! The mirror against what a guest would see: a model of a shadow-paging KVM walks the *guest's copy* of the tables, remembers every
//! present entry that it met, and forgets one only when the guest's editor writes it or the slot is toggled.

use std::collections::BTreeMap;

use ampoule_kernel::layout::{EDITOR_OFFSET, TABLE_SPAN};
use proptest::prelude::*;

use super::*;
use crate::vm::memory::Geometry;

/// Pages at both ends of every kind of boundary, and a run that is longer than the editor's list.
fn universe() -> Vec<Page> {
    let bases = [
        USER_START,
        TABLE_SPAN - 2 * PAGE_SIZE,
        (1 << 30) - 2 * PAGE_SIZE,
        (1 << 39) - 2 * PAGE_SIZE,
        0x7f7f_0000_0000,
        USER_END - 4 * PAGE_SIZE,
    ];
    let sparse = (1..40).map(|index| index << 34);
    let run = (0..300).map(|index| 0x5000_0000_0000 + index * PAGE_SIZE);
    let near = bases.into_iter().flat_map(|base| (0..4).map(move |index| base + index * PAGE_SIZE));
    let addresses: BTreeSet<u64> = near.chain(sparse).chain(run).collect();
    addresses.into_iter().map(|address| Page::containing(address).unwrap()).collect()
}

/// A guest's memory with its page tables, as KVM sees them.
struct Guest {
    memory: GuestMemory,
    tables: PageTables,
    frames: Frames,
    /// What KVM derived from which entry.
    derived: BTreeMap<u64, u64>,
    /// What the editor had not written yet when a signal came.
    unwritten: Vec<(u64, u64)>,
}

/// What a snapshot has of a guest, as far as tables go.
#[derive(Clone)]
struct Saved {
    tables: SavedTables,
    frames: Frames,
    mapped: Vec<Option<Mapped>>,
}

impl Guest {
    fn new(pages: u64, arena: u64) -> Self {
        // Room for two programs, so that a third one needs a toggle.
        let arena = Arena { program_pages: arena, pages: arena * 2 };
        let mut memory = GuestMemory::new(Geometry { payload_pages: pages, table_pages: arena.pages }).unwrap();
        let frames = Frames::new(pages);
        let tables = PageTables::new(&mut memory, arena, true).unwrap();
        Self { memory, tables, frames, derived: BTreeMap::new(), unwritten: Vec::new() }
    }

    fn save(&self, universe: &[Page]) -> Saved {
        let mapped = universe.iter().map(|&page| self.tables.lookup(page)).collect();
        Saved { tables: self.tables.save(), frames: self.frames.clone(), mapped }
    }

    fn reset(&mut self, universe: &[Page], saved: &Saved) {
        self.unwritten.clear();
        self.tables.reset(&mut self.memory, &saved.tables).unwrap();
        self.frames.clone_from(&saved.frames);
        let mapped: Vec<_> = universe.iter().map(|&page| self.tables.lookup(page)).collect();
        assert_eq!(mapped, saved.mapped);
    }

    fn word(&self, physical: u64) -> u64 {
        let mut bytes = [0; 8];
        self.memory.read(physical, &mut bytes).unwrap();
        u64::from_le_bytes(bytes)
    }

    /// The entry as KVM uses it: what it derived before, stale or not.
    fn see(&mut self, physical: u64) -> u64 {
        let now = self.word(physical);
        let seen = *self.derived.entry(physical).or_insert(now);
        if seen & PRESENT == 0 {
            self.derived.insert(physical, now);
            return now;
        }
        seen
    }

    fn walk(&mut self, address: u64) -> Option<u64> {
        let mut table = self.tables.root();
        for level in (0..4).rev() {
            let entry = self.see(table + (address >> (12 + 9 * level) & 511) * 8);
            if entry & PRESENT == 0 {
                return None;
            }
            if level == 0 {
                return Some(entry);
            }
            assert_eq!(entry & TABLE, TABLE, "{address:#x}");
            table = entry & ADDRESS;
        }
        None
    }

    /// What happens between two runs of the payload.
    fn resume(&mut self) {
        self.resume_until(usize::MAX);
        self.go_on();
    }

    /// The same, but a signal comes when the editor has written so many entries.
    fn resume_until(&mut self, entries: usize) {
        match self.tables.take_changes() {
            Changes::None => {}
            Changes::Toggle => self.derived.clear(),
            Changes::Edits(list) => {
                let mut all = Self::decode(&list);
                self.unwritten = all.split_off(entries.min(all.len()));
                self.write(all);
            }
        }
        assert_eq!(self.tables.take_changes(), Changes::None);
    }

    /// The editor goes on where a signal came.
    fn go_on(&mut self) {
        let rest = std::mem::take(&mut self.unwritten);
        self.write(rest);
        self.tables.edits_arrived();
    }

    fn write(&mut self, entries: Vec<(u64, u64)>) {
        for (physical, entry) in entries {
            self.memory.write_u64(physical, entry).unwrap();
            self.derived.remove(&physical);
        }
    }

    /// The entries of an edit list.
    fn decode(list: &EditList) -> Vec<(u64, u64)> {
        let EditList { spans, words } = list;
        let mut entries = Vec::new();
        // Destination and count of the first span are in registers.
        assert!(words.len() as u64 <= EDIT_WORDS + 2);
        let mut words = words.iter().copied();
        for _ in 0..*spans {
            let destination = words.next().unwrap();
            let count = words.next().unwrap();
            for index in 0..count {
                let physical = destination - TABLES_VIRTUAL + TABLES_BASE + index * 8;
                assert_eq!(physical / PAGE_SIZE, (destination - TABLES_VIRTUAL + TABLES_BASE) / PAGE_SIZE);
                entries.push((physical, words.next().unwrap()));
            }
        }
        assert_eq!(words.next(), None);
        entries
    }

    /// Every page of the universe translates as the mirror says, and the account is right.
    fn check(&mut self, universe: &[Page]) {
        let mut mapped = 0;
        for &page in universe {
            let expected = self.tables.lookup(page);
            mapped += u64::from(expected.is_some());
            let entry = self.walk(page.address());
            match expected.filter(|mapped| mapped.access.read) {
                None => assert_eq!(entry, None, "{page:x?}"),
                Some(Mapped { frame, access }) => {
                    let entry = entry.unwrap_or_else(|| panic!("{page:x?} is not there"));
                    assert_eq!(entry & ADDRESS, frame.physical(), "{page:x?}");
                    assert_eq!(entry & !ADDRESS & !(WRITE | NO_EXECUTE), PRESENT | USER | ACCESSED_DIRTY, "{page:x?}");
                    assert_eq!(entry & WRITE != 0, access.write, "{page:x?}");
                    assert_eq!(entry & NO_EXECUTE == 0, access.execute, "{page:x?}");
                }
            }
        }
        assert_eq!(self.frames.used(), mapped + self.tables.count(), "pages and tables are what is charged");
        assert!(self.frames.used() <= self.frames.total());
        self.check_kernel_half();
    }

    /// No change of the payload's half reaches the kernel's.
    fn check_kernel_half(&mut self) {
        let code = self.walk(layout::kernel_virtual(layout::SUPERVISOR_CODE_PAGE) + EDITOR_OFFSET).unwrap();
        assert_eq!(code & ADDRESS, kernel_physical(layout::SUPERVISOR_CODE_PAGE));
        assert_eq!(code & (USER | WRITE), 0);
    }

    fn map(&mut self, page: Page, access: Access) {
        if self.tables.lookup(page).is_some() {
            return;
        }
        let Some(allocated) = self.frames.allocate() else { return };
        let (tables, frames, memory) = (&mut self.tables, &mut self.frames, &mut self.memory);
        if tables.prepare(memory, frames, page).unwrap().is_err() {
            frames.release(allocated.frame);
            return;
        }
        tables.map(memory, page, allocated.frame, access).unwrap().unwrap();
    }

    fn unmap(&mut self, page: Page) {
        if let Some(frame) = self.tables.unmap(&mut self.memory, page).unwrap() {
            self.frames.release(frame);
        }
    }
}

fn access(bits: u8) -> Access {
    // As the personality makes them: whatever is allowed, reading is.
    Access { read: bits & 7 != 0, write: bits & 2 != 0, execute: bits & 4 != 0 }
}

#[derive(Debug, Clone)]
enum Step {
    Map(usize, usize, u8),
    Unmap(usize, usize),
    Protect(usize, usize, u8),
    Reclaim,
    Toggle,
    Resume,
    /// A signal comes while the editor is at work.
    ResumeUntil(usize),
    Save,
    Reset(usize),
    /// Another program's, whose tables were made elsewhere.
    ResetToOther(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let count = prop_oneof![8 => 1_usize..8, 1 => 150_usize..400];
    prop_oneof![
        6 => (any::<usize>(), count.clone(), any::<u8>()).prop_map(|(at, count, bits)| Step::Map(at, count, bits)),
        4 => (any::<usize>(), count.clone()).prop_map(|(at, count)| Step::Unmap(at, count)),
        4 => (any::<usize>(), count, any::<u8>()).prop_map(|(at, count, bits)| Step::Protect(at, count, bits)),
        1 => Just(Step::Reclaim),
        1 => Just(Step::Toggle),
        4 => Just(Step::Resume),
        2 => (0_usize..200).prop_map(Step::ResumeUntil),
        2 => Just(Step::Save),
        4 => any::<usize>().prop_map(Step::Reset),
        1 => any::<usize>().prop_map(Step::ResetToOther),
    ]
}

fn play(pages: u64, arena: u64, steps: &[Step]) {
    let universe = universe();
    let mut guest = Guest::new(pages, arena);
    guest.resume();
    guest.check(&universe);
    let mut saved = vec![guest.save(&universe)];
    for step in steps {
        if !matches!(step, Step::Reset(_) | Step::ResetToOther(_)) {
            guest.go_on();
        }
        let range = |at: usize, count: usize| universe.iter().cycle().skip(at % universe.len()).take(count).copied();
        match *step {
            Step::Map(at, count, bits) => range(at, count).for_each(|page| guest.map(page, access(bits))),
            Step::Unmap(at, count) => range(at, count).for_each(|page| guest.unmap(page)),
            Step::Protect(at, count, bits) => {
                for page in range(at, count) {
                    guest.tables.protect(&mut guest.memory, page, access(bits)).unwrap();
                }
            }
            Step::Reclaim => guest.tables.reclaim(&mut guest.memory, &mut guest.frames, &(0..0)).unwrap(),
            Step::Toggle => guest.tables.force_toggle(&mut guest.memory).unwrap(),
            Step::Resume => {
                guest.resume();
                guest.check(&universe);
            }
            Step::ResumeUntil(entries) => guest.resume_until(entries),
            Step::Save => saved.push(guest.save(&universe)),
            Step::Reset(which) => {
                let which = saved[which % saved.len()].clone();
                guest.reset(&universe, &which);
                guest.resume();
                guest.check(&universe);
            }
            Step::ResetToOther(seed) => {
                let mut other = Guest::new(pages, arena);
                universe.iter().cycle().skip(seed % universe.len()).step_by(seed % 17 + 1).take(60).for_each(|&page| {
                    other.map(page, access(2));
                });
                guest.reset(&universe, &other.save(&universe));
            }
        }
    }
    guest.resume();
    guest.check(&universe);
    // Nothing is lost: taken apart, it costs what it cost when it was new.
    universe.iter().for_each(|&page| guest.unmap(page));
    guest.tables.reclaim(&mut guest.memory, &mut guest.frames, &(0..0)).unwrap();
    guest.resume();
    guest.check(&universe);
    assert_eq!(guest.frames.used(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_guest_sees_what_the_mirror_says(steps in prop::collection::vec(step(), 1..60)) {
        play(1024, 512, &steps);
    }

    #[test]
    fn a_guest_sees_what_the_mirror_says_when_the_arena_or_the_memory_is_exhausted_all_the_time(
        pages in 20_u64..200,
        arena in 6_u64..40,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        play(pages, arena, &steps);
    }
}

fn first() -> Page {
    Page::containing(0x5000_0000_0000).unwrap()
}

/// A guest that has seen one writable page.
fn guest_with_a_page() -> Guest {
    let mut guest = Guest::new(1024, 64);
    guest.map(first(), Access::READ_WRITE);
    guest.resume();
    guest.check(&universe());
    guest
}

#[test]
fn present_to_absent_to_present_in_one_stop_reaches_the_guest() {
    let mut guest = guest_with_a_page();
    let before = guest.walk(first().address());
    guest.unmap(first());
    // The frame that went is handed out again first: another page has it now.
    guest.map(Page::containing(USER_START).unwrap(), Access::READ_WRITE);
    guest.map(first(), Access { read: true, write: false, execute: true });
    guest.resume();
    guest.check(&universe());
    assert_ne!(guest.walk(first().address()), before);
}

#[test]
fn absent_to_present_to_absent_in_one_stop_leaves_nothing_behind() {
    let mut guest = guest_with_a_page();
    let page = Page::containing(first().address() + PAGE_SIZE).unwrap();
    guest.map(page, Access::READ_WRITE);
    guest.unmap(page);
    guest.resume();
    guest.check(&universe());
    assert_eq!(guest.walk(page.address()), None);
}

#[test]
fn a_page_without_access_keeps_its_frame_and_gets_it_back() {
    let mut guest = guest_with_a_page();
    let before = guest.walk(first().address());
    for (bits, seen) in [(0, false), (3, true), (0, false)] {
        guest.tables.protect(&mut guest.memory, first(), access(bits)).unwrap();
        guest.resume();
        guest.check(&universe());
        assert_eq!(guest.walk(first().address()), before.filter(|_| seen));
    }
}

#[test]
fn more_changes_than_the_editors_list_holds_become_one_toggle() {
    let mut guest = Guest::new(1024, 64);
    let run: Vec<_> = universe().into_iter().filter(|page| page.address() >> 44 == 5).collect();
    run.iter().for_each(|&page| guest.map(page, Access::READ_WRITE));
    guest.resume();
    guest.check(&universe());
    for &page in run.iter().take(MAX_EDITS) {
        guest.tables.protect(&mut guest.memory, page, access(1)).unwrap();
    }
    let mut full = guest.tables.clone();
    assert!(matches!(full.take_changes(), Changes::Edits(list) if list.words.len() as u64 <= EDIT_WORDS));
    for &page in run.iter().skip(MAX_EDITS) {
        guest.tables.protect(&mut guest.memory, page, access(1)).unwrap();
    }
    assert_eq!(guest.tables.clone().take_changes(), Changes::Toggle);
    guest.resume();
    guest.check(&universe());
}

#[test]
fn tables_are_charged_and_given_back_but_not_those_that_are_being_filled() {
    let mut guest = Guest::new(1024, 64);
    let before = guest.frames.used();
    let page = Page::containing(1 << 40).unwrap();
    guest.tables.prepare(&mut guest.memory, &mut guest.frames, page).unwrap().unwrap();
    assert_eq!(guest.frames.used(), before + 3);
    let keep = page.address()..page.address() + PAGE_SIZE;
    guest.tables.reclaim(&mut guest.memory, &mut guest.frames, &keep).unwrap();
    assert_eq!(guest.frames.used(), before + 3);
    guest.tables.reclaim(&mut guest.memory, &mut guest.frames, &(0..0)).unwrap();
    assert_eq!(guest.frames.used(), before);
}

#[test]
fn a_table_that_is_used_again_shows_nothing_of_what_it_was() {
    // Root, the gate's three, and three more: every other mapping takes the tables of the one before.
    let mut guest = Guest::new(64, 7);
    let universe = universe();
    for &page in universe.iter().filter(|page| page.address() < 1 << 46).step_by(3) {
        guest.tables.reclaim(&mut guest.memory, &mut guest.frames, &(0..0)).unwrap();
        guest.map(page, Access::READ_WRITE);
        assert!(guest.tables.lookup(page).is_some());
        guest.resume();
        guest.check(&universe);
        guest.unmap(page);
    }
}
