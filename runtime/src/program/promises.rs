//! What everything that takes a [`Program`] relies on, looked at from outside: for tests and fuzzing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "checks for tests and fuzzing, which end by a panic"
)]

use ampoule_kernel::layout::{PAGE_SIZE, PAYLOAD_MAX_BYTES, USER_START};

use super::*;

/// Panics if the program breaks a promise.
pub(crate) fn keeps_its_promises(program: &Program, allow_write_execute: bool) {
    let segments = program.segments();
    assert!((1..=Program::MAX_SEGMENTS).contains(&segments.len()));
    let mut free = if program.kind() == Kind::Static { USER_START } else { 0 };
    let mut size = 0;
    for segment in segments {
        let (address, length) = (segment.address(), segment.memory_size());
        let pages = segment.pages();
        assert!(length > 0 && segment.data().len() as u64 <= length);
        assert!(pages.start.is_multiple_of(PAGE_SIZE) && pages.end.is_multiple_of(PAGE_SIZE));
        assert!(pages.start <= address && address.checked_add(length).unwrap() <= pages.end);
        assert!(free <= pages.start, "{segments:?}");
        let Protection { write, execute, .. } = segment.protection();
        assert!(allow_write_execute || !(write && execute));
        (free, size) = (pages.end, size + (pages.end - pages.start));
    }
    assert!(free <= 0x7f7f_0000_0000 && size <= PAYLOAD_MAX_BYTES);
    assert!(program.kind() == Kind::Static || free - segments[0].pages().start <= PAYLOAD_MAX_BYTES);
    assert!((free - PAGE_SIZE + 1..=free).contains(&program.highest_address()));
    assert!(
        program.alignment().is_power_of_two() && (PAGE_SIZE..=Program::MAX_ALIGNMENT).contains(&program.alignment())
    );
    let home = segments.iter().find(|segment| (segment.address()..segment.end()).contains(&program.entry())).unwrap();
    assert!(home.protection().execute && program.entry() - home.address() < home.data().len() as u64);
    let ProgramHeaders { address, count, entry_size } = program.program_headers();
    let table = u64::from(count) * u64::from(entry_size);
    assert!(count <= Program::MAX_PROGRAM_HEADERS);
    assert!(address.is_none_or(|start| {
        let holds = |segment: &Segment| {
            segment.address() <= start && start + table <= segment.address() + segment.data().len() as u64
        };
        segments.iter().any(holds)
    }));
    for address in [0, program.entry(), program.highest_address(), u64::MAX] {
        if let Some(symbol) = program.symbol_at(address) {
            assert!(symbol.offset <= address);
        }
    }
}
