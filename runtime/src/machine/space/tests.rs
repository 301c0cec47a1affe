//! Ranges of pages against a page-by-page model, with as little memory and as few tables as make every step scarce.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use ampoule_kernel::layout::{USER_END, USER_START};
use proptest::prelude::*;

use super::*;
use crate::vm::fake::FakeVcpu;
use crate::vm::watch::Budget;

const READ_ONLY: Access = Access { read: true, write: false, execute: false };

fn machine(pages: u64) -> Machine {
    Machine::fake(Box::new(FakeVcpu::new([])), pages).unwrap()
}

fn watch() -> Watch {
    Watch::begin(Budget {
        wall: u64::MAX,
        cpu: u64::MAX,
        cancel: [None, None],
        nudge: None,
        pipes: true,
        tick: None,
        slice: None,
    })
    .unwrap()
}

/// Mapped pages with what they allow. Checks the account on the way.
fn mapped(machine: &Machine) -> BTreeMap<u64, Access> {
    let mut pages = BTreeMap::new();
    let mut frames = BTreeSet::new();
    let mut at = USER_START;
    while let Some(page) = machine.tables.next_mapped(at, USER_END) {
        let found = machine.tables.lookup(page).unwrap();
        assert!(frames.insert(found.frame), "one frame at two places");
        pages.insert(page.address(), found.access);
        at = page.address() + PAGE_SIZE;
    }
    assert_eq!(machine.frames.used(), pages.len() as u64 + machine.tables.count());
    assert!(machine.frames.used() <= machine.frames.total());
    pages
}

#[test]
fn a_range_as_large_as_what_is_left_is_refused_if_its_tables_do_not_fit_too() {
    let mut watch = watch();
    for used in [0, 5] {
        let mut machine = machine(600);
        machine.populate(USER_START..USER_START + used * PAGE_SIZE, Access::READ_WRITE, &mut watch).unwrap().unwrap();
        let left = machine.frames.left();
        let before = mapped(&machine);
        let start = 0x5000_0000_0000;
        for pages in (left - 8..left + 3).rev() {
            let end = start + pages * PAGE_SIZE;
            let done = machine.populate(start..end, Access::READ_WRITE, &mut watch).unwrap();
            // One PDPT, one PD, and a PT for every 512 pages.
            assert_eq!(done.is_ok(), pages + 2 + pages.div_ceil(512) <= left, "{pages} of {left}");
            if done.is_ok() {
                assert_eq!(mapped(&machine).len() as u64, used + pages);
                machine.release(start..end, &mut watch).unwrap();
            }
            assert_eq!(mapped(&machine), before);
        }
    }
}

#[test]
fn tables_that_map_nothing_any_more_make_room_for_others() {
    let (mut machine, mut watch) = (machine(1024), watch());
    let place = |index: u64| (index << 39)..(index << 39) + PAGE_SIZE;
    for round in 0..20 {
        let mut made = 0;
        for index in 1..100 {
            if machine.populate(place(index), Access::READ_WRITE, &mut watch).unwrap().is_err() {
                break;
            }
            made += 1;
        }
        // 72 tables: the root, the gate's three, and two or three for each place (the first 512 GiB are nobody's).
        assert!(made >= 22, "round {round}: {made}");
        for index in 1..=made {
            machine.release(place(index), &mut watch).unwrap();
        }
        // A range across two tables, and its move to another two, when all tables were in use.
        let (from, to) = ((100 << 39) - 2 * PAGE_SIZE, (90 << 39) - 2 * PAGE_SIZE);
        machine.populate(from..from + 4 * PAGE_SIZE, Access::READ_WRITE, &mut watch).unwrap().unwrap();
        assert_eq!(mapped(&machine).len(), 4);
        machine.relocate(from..from + 4 * PAGE_SIZE, to, &mut watch).unwrap().unwrap();
        assert_eq!(mapped(&machine).keys().next(), Some(&to));
        machine.release(to..to + 4 * PAGE_SIZE, &mut watch).unwrap();
        assert!(mapped(&machine).is_empty());
    }
}

#[cfg(feature = "fuzz")]
#[test]
fn memory_is_short_once_something_was_refused_and_not_when_empty_tables_made_room() {
    let place = |index: u64| (index << 39)..(index << 39) + PAGE_SIZE;
    for pages in 60..70 {
        let (mut machine, mut watch) = (machine(pages), watch());
        let mut made = 0;
        while machine.populate(place(made + 1), Access::READ_WRITE, &mut watch).unwrap().is_ok() {
            made += 1;
        }
        assert!(machine.frames.was_short(), "{pages}");
        machine.frames.forget_shortage();
        for index in 1..=made {
            machine.release(place(index), &mut watch).unwrap();
        }
        for index in made + 1..=2 * made {
            machine.populate(place(index), Access::READ_WRITE, &mut watch).unwrap().unwrap();
        }
        assert!(!machine.frames.was_short(), "{pages}");
    }
}

#[test]
fn a_reservation_moves_without_tables_for_what_it_does_not_hold() {
    let (mut machine, mut watch) = (machine(256), watch());
    let (from, to, length) = (1 << 40, 1 << 45, 1 << 42);
    machine.populate(from + PAGE_SIZE..from + 2 * PAGE_SIZE, READ_ONLY, &mut watch).unwrap().unwrap();
    machine.relocate(from..from + length, to, &mut watch).unwrap().unwrap();
    assert_eq!(mapped(&machine), BTreeMap::from([(to + PAGE_SIZE, READ_ONLY)]));
}

#[test]
fn a_range_that_can_never_fit_is_refused_at_once_and_takes_no_table() {
    let (mut machine, mut watch) = (machine(256), watch());
    let before = machine.frames.used();
    let began = std::time::Instant::now();
    for _ in 0..100 {
        assert!(machine.populate(1 << 40..1 << 46, Access::READ_WRITE, &mut watch).unwrap().is_err());
    }
    assert_eq!(machine.frames.used(), before);
    assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
}

#[derive(Debug, Clone)]
enum Step {
    Populate(u64, u64),
    Release(u64, u64),
    Protect(u64, u64, bool),
    Relocate(u64, u64, u64),
    Clear(u64, u64),
}

/// The nth place: ends of tables at every level, so that most ranges take tables of their own.
fn place(index: u64) -> u64 {
    let bases = [1 << 21, 1 << 30, 1 << 39, 3 << 39, 0x7f00_0000_0000, (5 << 39) + (1 << 30), 6 << 34, 7 << 34];
    bases[usize::try_from(index / 4).unwrap() % bases.len()] + (index % 4) * 8 * PAGE_SIZE - 16 * PAGE_SIZE
}

fn step() -> impl Strategy<Value = Step> {
    let pages = prop_oneof![6 => 1_u64..24, 1 => 1_u64..1200];
    let at = 0_u64..32;
    prop_oneof![
        4 => (at.clone(), pages.clone()).prop_map(|(at, pages)| Step::Populate(at, pages)),
        2 => (at.clone(), pages.clone()).prop_map(|(at, pages)| Step::Release(at, pages)),
        2 => (at.clone(), pages.clone(), any::<bool>()).prop_map(|(at, pages, some)| Step::Protect(at, pages, some)),
        3 => (at.clone(), pages.clone(), at.clone()).prop_map(|(at, pages, to)| Step::Relocate(at, pages, to)),
        1 => (at, pages).prop_map(|(at, pages)| Step::Clear(at, pages)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_step_is_done_whole_or_not_at_all(
        pages in prop_oneof![64_u64..128, 1000_u64..1400],
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let (mut machine, mut watch) = (machine(pages), watch());
        let mut model: BTreeMap<u64, (Access, u64)> = BTreeMap::new();
        let mut stamp = 0_u64;
        let range = |at: u64, pages: u64| place(at)..place(at) + pages * PAGE_SIZE;
        for step in steps {
            match step {
                Step::Populate(at, pages) => {
                    if machine.populate(range(at, pages), Access::READ_WRITE, &mut watch).unwrap().is_ok() {
                        for page in range(at, pages).step_by(PAGE_STEP) {
                            if let Entry::Vacant(vacant) = model.entry(page) {
                                let mut word = [0; 8];
                                prop_assert_eq!(machine.copy_out(page, &mut word).unwrap(), 8);
                                prop_assert_eq!(word, [0; 8], "a new page is zero");
                                stamp += 1;
                                prop_assert_eq!(machine.copy_in(page, &stamp.to_le_bytes()).unwrap(), 8);
                                vacant.insert((Access::READ_WRITE, stamp));
                            }
                        }
                    }
                }
                Step::Release(at, pages) => {
                    machine.release(range(at, pages), &mut watch).unwrap();
                    model.retain(|page, _| !range(at, pages).contains(page));
                }
                Step::Protect(at, pages, some) => {
                    let access = if some { READ_ONLY } else { Access::default() };
                    machine.protect(range(at, pages), access, &mut watch).unwrap();
                    model.range_mut(range(at, pages)).for_each(|(_, page)| page.0 = access);
                }
                Step::Clear(at, pages) => {
                    machine.clear(range(at, pages), &mut watch).unwrap();
                    model.range_mut(range(at, pages)).for_each(|(_, page)| page.1 = 0);
                }
                Step::Relocate(at, pages, to) => {
                    let (from, target) = (range(at, pages), range(to, pages));
                    if (from.start < target.end && target.start < from.end) || model.range(target).next().is_some() {
                        continue;
                    }
                    if machine.relocate(from.clone(), place(to), &mut watch).unwrap().is_ok() {
                        let moved: Vec<_> = model.range(from.clone()).map(|(page, what)| (*page, *what)).collect();
                        model.retain(|page, _| !from.contains(page));
                        model.extend(moved.into_iter().map(|(page, what)| (page - from.start + place(to), what)));
                    }
                }
            }
            let expected: BTreeMap<_, _> = model.iter().map(|(&page, &(access, _))| (page, access)).collect();
            prop_assert_eq!(mapped(&machine), expected);
        }
        for (page, (access, stamp)) in model {
            let mut word = [0; 8];
            if machine.copy_out(page, &mut word).unwrap() == 8 {
                prop_assert_eq!(u64::from_le_bytes(word), stamp, "{:#x}", page);
            } else {
                prop_assert!(!access.read);
            }
        }
    }
}
