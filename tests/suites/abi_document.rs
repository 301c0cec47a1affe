//! The document of the guest ABI, the C headers and the host have the same numbers: none differs, and none is left out.

use ampoule_kernel::ring::{self, Kind};
use ampoule_kernel::{call, fuzz, layout, note};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};

const DOCUMENT: &str = include_str!("../../docs/abi.md");
const HEADER: &str = include_str!("../../sdk/c/ampoule_abi.h");

/// Each number: as the document names it, as the C header does (if it has it), as the host has it.
fn numbers() -> Vec<(&'static str, &'static str, u64)> {
    let [to_guest, to_host] = [directions(ring::TO_GUEST), directions(ring::TO_HOST)];
    let mut numbers = vec![
        ("CALL_BASE", "", call::CALL_BASE),
        ("CALL_GATE", "GATE_ADDRESS", layout::CALL_GATE),
        ("ATTACH", "CALL_ATTACH", call::ATTACH),
        ("NEXT", "CALL_NEXT", call::NEXT),
        ("IMPORT", "CALL_IMPORT", call::IMPORT),
        ("FETCH", "CALL_FETCH", call::FETCH),
        ("LOG", "CALL_LOG", call::LOG),
        ("REGION", "CALL_REGION", call::REGION),
        ("PARK", "CALL_PARK", call::PARK),
        ("FUZZ", "CALL_FUZZ", call::FUZZ),
        ("ABI_MAJOR", "ABI_MAJOR", call::ABI_MAJOR.into()),
        ("ABI_MINOR", "ABI_MINOR", call::ABI_MINOR.into()),
        ("FEATURE_RING", "FEATURE_RING", call::FEATURE_RING),
        ("TABLE_MAX_BYTES", "TABLE_MAX_BYTES", call::TABLE_MAX_BYTES as u64),
        ("NAME_MAX_BYTES", "NAME_MAX_BYTES", call::NAME_MAX_BYTES as u64),
        ("LOG_MAX_BYTES", "LOG_MAX_BYTES", call::LOG_MAX_BYTES as u64),
        ("OUTCOME_NONE", "OUTCOME_NONE", call::OUTCOME_NONE),
        ("OUTCOME_RETURNED", "OUTCOME_RETURNED", call::OUTCOME_RETURNED),
        ("OUTCOME_PANICKED", "OUTCOME_PANICKED", call::OUTCOME_PANICKED),
        ("OUTCOME_BAD_ARGUMENTS", "OUTCOME_BAD_ARGUMENTS", call::OUTCOME_BAD_ARGUMENTS),
        ("SWITCH_TO_RING", "SWITCH_TO_RING", call::SWITCH_TO_RING),
        ("INFO", "INFO_ADDRESS", layout::INFO),
        ("info::VERSION", "INFO_VERSION", call::info::VERSION),
        ("info::GENERATION", "INFO_GENERATION", call::info::GENERATION),
        ("info::DEADLINE", "INFO_DEADLINE", call::info::DEADLINE),
        ("info::LOG_LEVEL", "INFO_LOG_LEVEL", call::info::LOG_LEVEL),
        ("info::IDLE", "INFO_IDLE", call::info::IDLE),
        ("info::TICKS", "INFO_TICKS", call::info::TICKS),
        ("info::EVENTS", "INFO_EVENTS", call::info::EVENTS),
        ("info::SEED", "INFO_SEED", call::info::SEED),
        ("EVENTS", "EVENTS_ADDRESS", layout::EVENTS),
        ("REGIONS", "", layout::REGIONS),
        ("REGION_ALIGN", "", layout::REGION_ALIGN),
        ("REGIONS_MAX_BYTES", "", layout::REGIONS_MAX_BYTES),
        ("USER_END", "", layout::USER_END),
        ("RING", "RING_ADDRESS", layout::RING),
        ("RING_BYTES", "RING_BYTES", ring::RING_BYTES),
        ("CONTROL_BYTES", "", ring::CONTROL_BYTES),
        ("CELLS", "RING_CELLS", ring::CELLS),
        ("CELL_BYTES", "RING_CELL_BYTES", ring::CELL_BYTES),
        ("INLINE_BYTES", "RING_INLINE_BYTES", ring::INLINE_BYTES as u64),
        ("PIECE_BYTES", "RING_PIECE_BYTES", ring::PIECE_BYTES as u64),
        ("TO_GUEST.consumed", "RING_TO_GUEST_CONSUMED", to_guest[0]),
        ("TO_GUEST.cells", "RING_TO_GUEST_CELLS", to_guest[1]),
        ("TO_GUEST.bulk", "RING_TO_GUEST_BULK", to_guest[2]),
        ("TO_HOST.consumed", "RING_TO_HOST_CONSUMED", to_host[0]),
        ("TO_HOST.cells", "RING_TO_HOST_CELLS", to_host[1]),
        ("TO_HOST.bulk", "RING_TO_HOST_BULK", to_host[2]),
        ("Kind::Call", "RING_CALL", Kind::Call as u64),
        ("Kind::Reply", "RING_REPLY", Kind::Reply as u64),
        ("Kind::Import", "RING_IMPORT", Kind::Import as u64),
        ("Kind::ImportReply", "RING_IMPORT_REPLY", Kind::ImportReply as u64),
        ("Kind::Leave", "RING_LEAVE", Kind::Leave as u64),
        ("note::EXPORT", "", note::EXPORT.into()),
        ("note::IMPORT", "", note::IMPORT.into()),
        ("VERSION_BYTES", "", note::VERSION_BYTES as u64),
        ("TEXT_MAX_BYTES", "", note::TEXT_MAX_BYTES as u64),
    ];
    numbers.extend(fuzzing());
    numbers
}

/// The numbers of fuzz targets.
fn fuzzing() -> Vec<(&'static str, &'static str, u64)> {
    use fuzz::{comparisons, finding, plan, window};
    let sizes = |name, header, size: usize| (name, header, size as u64);
    vec![
        ("fuzz::COUNTERS", "FUZZ_COUNTERS", fuzz::COUNTERS),
        ("fuzz::PROGRAM_COUNTERS", "FUZZ_PROGRAM_COUNTERS", fuzz::PROGRAM_COUNTERS),
        ("fuzz::START", "FUZZ_START", fuzz::START),
        ("fuzz::WINDOW", "FUZZ_WINDOW", fuzz::WINDOW),
        ("fuzz::FINDING", "FUZZ_FINDING", fuzz::FINDING),
        ("PROGRAM_COUNTER_BYTES", "", fuzz::PROGRAM_COUNTER_BYTES),
        ("MAX_COUNTERS", "", fuzz::MAX_COUNTERS),
        sizes("MAX_RANGES", "", fuzz::MAX_RANGES),
        sizes("finding::KIND", "FINDING_KIND", finding::KIND),
        sizes("finding::ACCESS", "FINDING_ACCESS", finding::ACCESS),
        sizes("finding::ADDRESS", "FINDING_ADDRESS", finding::ADDRESS),
        sizes("finding::SIZE", "FINDING_SIZE", finding::SIZE),
        sizes("finding::BLOCK", "FINDING_BLOCK", finding::BLOCK),
        sizes("finding::BLOCK_SIZE", "FINDING_BLOCK_SIZE", finding::BLOCK_SIZE),
        sizes("finding::ALLOCATED", "FINDING_ALLOCATED", finding::ALLOCATED),
        sizes("finding::FREED", "FINDING_FREED", finding::FREED),
        sizes("finding::FRAMES", "FINDING_FRAMES", finding::FRAMES),
        sizes("finding::TEXT", "FINDING_TEXT", finding::TEXT),
        sizes("finding::TEXT_SIZE", "FINDING_TEXT_SIZE", finding::TEXT_SIZE),
        sizes("finding::TEXT_MAX_BYTES", "", finding::TEXT_MAX_BYTES),
        sizes("finding::BYTES", "FINDING_BYTES", finding::BYTES),
        ("finding::HEAP_OVERFLOW", "HEAP_OVERFLOW", finding::HEAP_OVERFLOW),
        ("finding::STACK_OVERFLOW", "STACK_OVERFLOW", finding::STACK_OVERFLOW),
        ("finding::GLOBAL_OVERFLOW", "GLOBAL_OVERFLOW", finding::GLOBAL_OVERFLOW),
        ("finding::USE_AFTER_FREE", "USE_AFTER_FREE", finding::USE_AFTER_FREE),
        ("finding::USE_AFTER_SCOPE", "USE_AFTER_SCOPE", finding::USE_AFTER_SCOPE),
        ("finding::DOUBLE_FREE", "DOUBLE_FREE", finding::DOUBLE_FREE),
        ("finding::BAD_FREE", "BAD_FREE", finding::BAD_FREE),
        ("finding::INPUT_OVERFLOW", "INPUT_OVERFLOW", finding::INPUT_OVERFLOW),
        ("finding::INVALID_ACCESS", "INVALID_ACCESS", finding::INVALID_ACCESS),
        sizes("comparisons::HEADER_BYTES", "COMPARISONS_HEADER_BYTES", comparisons::HEADER_BYTES),
        sizes("comparisons::UNWANTED", "COMPARISONS_UNWANTED", comparisons::UNWANTED),
        sizes("comparisons::ENTRY_BYTES", "COMPARISONS_ENTRY_BYTES", comparisons::ENTRY_BYTES),
        sizes("comparisons::ADDRESS", "COMPARISONS_ADDRESS", comparisons::ADDRESS),
        sizes("comparisons::KIND", "COMPARISONS_KIND", comparisons::KIND),
        sizes("comparisons::LEFT", "COMPARISONS_LEFT", comparisons::LEFT),
        sizes("comparisons::RIGHT", "COMPARISONS_RIGHT", comparisons::RIGHT),
        ("BATCH_GATE", "BATCH_GATE_ADDRESS", layout::BATCH_GATE),
        ("WINDOWS", "", layout::WINDOWS),
        ("window::INDEX", "", window::INDEX),
        ("window::INPUT", "", window::INPUT),
        ("window::RESULTS", "", window::RESULTS),
        ("window::RESULTS_BYTES", "", window::RESULTS_BYTES),
        ("window::OWN", "", window::OWN),
        ("window::OWN_BYTES", "", window::OWN_BYTES),
        ("WINDOWS_BYTES", "", layout::WINDOWS_BYTES),
        ("PLAN", "", layout::PLAN),
        ("plan::COUNT", "", plan::COUNT),
        ("plan::BUFFER", "", plan::BUFFER),
        ("plan::BUFFER_BYTES", "", plan::BUFFER_BYTES),
        ("plan::INPUTS", "", plan::INPUTS),
        ("plan::SPANS", "", plan::SPANS),
        ("plan::SPAN_ENTRIES", "", plan::SPAN_ENTRIES),
        ("plan::RANGES", "", plan::RANGES),
        ("plan::RANGE_ENTRIES", "", plan::RANGE_ENTRIES),
        ("plan::STRIDE", "", plan::STRIDE),
        ("plan::RIP", "", plan::RIP),
        ("plan::RCX", "", plan::RCX),
        ("plan::RSI", "", plan::RSI),
        ("plan::RDI", "", plan::RDI),
        ("plan::RFLAGS", "", plan::RFLAGS),
        ("plan::RSP", "", plan::RSP),
        ("plan::RBP", "", plan::RBP),
        ("plan::R8", "", plan::R8),
        ("plan::DATA", "", plan::DATA),
        ("PLAN_BYTES", "", layout::PLAN_BYTES),
    ]
}

/// A direction's offsets, which only its `Debug` shows.
fn directions(direction: ring::Direction) -> [u64; 3] {
    let text = format!("{direction:?}");
    ["consumed", "cells", "bulk"].map(|field| {
        let (_, rest) = text.split_once(&format!("{field}: ")).expect("a field");
        rest.split([',', ' ']).next().and_then(|number| number.parse().ok()).expect("a number")
    })
}

fn parse(number: &str) -> Option<u64> {
    match number.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => number.parse().ok(),
    }
}

/// Every name in backquotes that is followed by a number in backquotes, in the rows of tables.
fn rows() -> Vec<(&'static str, u64)> {
    let mut rows = Vec::new();
    for line in DOCUMENT.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().strip_prefix('`')?.strip_suffix('`')).collect();
        for pair in cells.windows(2) {
            if let [Some(name), Some(number)] = pair
                && number.starts_with("0x")
            {
                rows.push((*name, parse(number).expect("a number")));
            }
        }
    }
    rows
}

#[test]
fn every_number_of_the_document_is_the_hosts() {
    let known: BTreeMap<_, _> = numbers().into_iter().map(|(name, _, value)| (name, value)).collect();
    let rows = rows();
    for (name, value) in &rows {
        let host = known.get(name).unwrap_or_else(|| panic!("`{name}` is in the document: add it to this test"));
        assert_eq!(value, host, "{name}");
    }
    let documented: BTreeSet<_> = rows.iter().map(|(name, _)| *name).collect();
    let missing: Vec<_> = known.keys().filter(|name| !documented.contains(*name)).collect();
    assert!(missing.is_empty(), "not in the document: {missing:?}");
    assert_eq!(documented.len(), rows.len(), "each stands in one place");
}

#[test]
fn every_number_of_the_c_header_is_the_hosts() {
    let known: BTreeMap<_, _> = numbers().into_iter().map(|(_, name, value)| (name, value)).collect();
    let mut seen = BTreeSet::new();
    for line in HEADER.lines() {
        let mut words = line.split_whitespace();
        let (Some("#define"), Some(name), Some(value)) = (words.next(), words.next(), words.next()) else { continue };
        let (Some(name), Some(value)) = (name.strip_prefix("AMPOULE_"), parse(value)) else {
            assert!(name.contains('('), "{line}");
            continue;
        };
        match errors().get(name) {
            Some(&errno) => assert_eq!(value, errno, "{name}"),
            None => assert_eq!(Some(&value), known.get(name), "AMPOULE_{name}"),
        }
        seen.insert(name);
    }
    let missing: Vec<_> = known.keys().filter(|name| !name.is_empty() && !seen.contains(*name)).collect();
    assert!(missing.is_empty(), "not in the header: {missing:?}");
}

fn errors() -> BTreeMap<&'static str, u64> {
    [
        ("ENOENT", Errno::NOENT),
        ("ENOMEM", Errno::NOMEM),
        ("EFAULT", Errno::FAULT),
        ("EBUSY", Errno::BUSY),
        ("EINVAL", Errno::INVAL),
        ("ENOSYS", Errno::NOSYS),
        ("ENOMSG", Errno::NOMSG),
        ("EPROTO", Errno::PROTO),
        ("EBADMSG", Errno::BADMSG),
        ("EMSGSIZE", Errno::MSGSIZE),
        ("EREMOTEIO", Errno::REMOTEIO),
    ]
    .into_iter()
    .map(|(name, errno)| (name, errno.raw_os_error().unsigned_abs().into()))
    .collect()
}

#[test]
fn every_error_number_of_the_document_is_linuxs() {
    let mut seen = 0;
    for line in DOCUMENT.lines().filter(|line| line.starts_with("| E") || line.starts_with("| | ")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        for pair in cells.windows(2) {
            if let ([name, number], Some(errno)) = (pair, errors().get(pair[0]))
                && let Ok(number) = number.parse::<u64>()
            {
                assert_eq!(number, *errno, "{name}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 9);
}

/// The names of a module's public constants that are numbers, from its source.
fn constants(source: &'static str) -> impl Iterator<Item = &'static str> {
    source.lines().filter_map(|line| {
        let (name, rest) = line.trim_start().strip_prefix("pub const ")?.split_once(':')?;
        let (ty, _) = rest.trim_start().split_once(' ')?;
        ["u16", "u32", "u64", "usize"].contains(&ty).then_some(name)
    })
}

#[test]
fn every_number_of_the_contract_is_in_the_document() {
    let documented: BTreeSet<_> = rows().into_iter().map(|(name, _)| name).collect();
    for (module, source) in [
        ("call", include_str!("../../guest-kernel/src/call.rs")),
        ("fuzz", include_str!("../../guest-kernel/src/fuzz.rs")),
        ("note", include_str!("../../guest-kernel/src/note.rs")),
        ("ring", include_str!("../../guest-kernel/src/ring.rs")),
    ] {
        let mut count = 0;
        for name in constants(source) {
            let qualified =
                [module, "info", "finding", "comparisons", "window", "plan"].map(|of| format!("{of}::{name}"));
            assert!(
                qualified.iter().map(String::as_str).chain([name]).any(|name| documented.contains(name)),
                "{module}::{name}"
            );
            count += 1;
        }
        assert!(count >= 4, "{module}: {count}");
    }
}

#[test]
fn the_text_of_the_note_is_in_the_document() {
    assert!(DOCUMENT.contains(note::SECTION) && DOCUMENT.contains(note::BYTES_SIGNATURE));
    assert_eq!(note::NAME, *b"Ampoule\0");
    assert!(DOCUMENT.contains("\"Ampoule\""));
}
