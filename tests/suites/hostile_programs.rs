//! Files that are no programs, or lie about what they are. Each is refused with a reason, without KVM and without a panic.

use ampoule::{Call, Command, Program};
use ampoule_tests::{guest, run_hello, scale};
use std::time::Duration;

/// Offsets in the ELF header and in a program header (elf(5)).
mod at {
    pub(super) const CLASS: usize = 4;
    pub(super) const BYTE_ORDER: usize = 5;
    pub(super) const TYPE: usize = 16;
    pub(super) const MACHINE: usize = 18;
    pub(super) const ENTRY: usize = 24;
    pub(super) const HEADERS: usize = 32;
    pub(super) const HEADER_SIZE: usize = 54;
    pub(super) const HEADER_COUNT: usize = 56;
    pub(super) const KIND: usize = 0;
    pub(super) const FLAGS: usize = 4;
    pub(super) const OFFSET: usize = 8;
    pub(super) const ADDRESS: usize = 16;
    pub(super) const FILE_SIZE: usize = 32;
    pub(super) const MEMORY_SIZE: usize = 40;
    pub(super) const ALIGNMENT: usize = 48;
}

const LOAD: u32 = 1;
const INTERPRETER: u32 = 3;
const HEADER_BYTES: usize = 56;

fn number<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + N].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// The file offsets of the program headers of one kind.
fn headers(bytes: &[u8], kind: Option<u32>) -> Vec<usize> {
    let first = usize::try_from(number::<8>(bytes, at::HEADERS)).expect("a small file");
    let count = usize::try_from(number::<2>(bytes, at::HEADER_COUNT)).expect("a small number");
    let all = (0..count).map(|index| first + index * HEADER_BYTES);
    all.filter(|header| kind.is_none_or(|kind| number::<4>(bytes, header + at::KIND) == u64::from(kind))).collect()
}

/// Hello with a change.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = guest("hello").to_vec();
    change(&mut bytes);
    bytes
}

/// Hello with its loadable segments changed.
fn with_segments(change: impl FnOnce(&mut Vec<u8>, &[usize])) -> Vec<u8> {
    changed(|bytes| {
        let segments = headers(bytes, Some(LOAD));
        assert!(segments.len() >= 2);
        change(bytes, &segments);
    })
}

fn refused(what: &str, bytes: Vec<u8>) -> String {
    match Program::from_bytes(bytes) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{what} was taken for a program"),
    }
}

#[test]
fn what_is_not_an_elf_file_is_refused() {
    for (what, bytes) in [
        ("nothing", &b""[..]),
        ("one byte", b"\x7f"),
        ("the magic alone", b"\x7fELF"),
        ("a script", b"#!/bin/sh\necho hello\n"),
        ("zeros", &[0; 4096]),
        ("ones", &[0xff; 4096]),
    ] {
        assert!(!refused(what, bytes.to_vec()).is_empty());
    }
}

#[test]
fn a_file_cut_anywhere_is_refused_or_still_whole() {
    let whole = guest("hello");
    let needed = headers(whole, Some(LOAD)).into_iter();
    let needed =
        needed.map(|header| number::<8>(whole, header + at::OFFSET) + number::<8>(whole, header + at::FILE_SIZE));
    let needed = usize::try_from(needed.max().expect("a segment")).expect("a small file");
    for length in (0..whole.len()).step_by(61) {
        let result = Program::from_bytes(whole[..length].to_vec());
        assert!(result.is_err() || length >= needed, "{length} bytes of {needed} were taken for a program");
    }
}

#[test]
fn another_kind_of_elf_file_is_refused() {
    for (what, offset, value) in [
        ("32 bits", at::CLASS, &[1][..]),
        ("big endian", at::BYTE_ORDER, &[2]),
        ("an object file", at::TYPE, &[1, 0]),
        ("a core dump", at::TYPE, &[4, 0]),
        ("no type", at::TYPE, &[0, 0]),
        ("AArch64", at::MACHINE, &[183, 0]),
        ("i386", at::MACHINE, &[3, 0]),
        ("headers of another size", at::HEADER_SIZE, &[32, 0]),
        ("headers past the end", at::HEADERS, &[0xff; 8]),
        ("no segments", at::HEADER_COUNT, &[0, 0]),
        ("65,535 segments", at::HEADER_COUNT, &[0xff, 0xff]),
        ("an entry at zero", at::ENTRY, &[0; 8]),
        ("an entry in the kernel", at::ENTRY, &[0, 0, 0, 0, 0, 0x80, 0xff, 0xff]),
    ] {
        refused(what, changed(|bytes| put(bytes, offset, value)));
    }
}

#[test]
fn segments_that_overlap_wrap_or_lie_outside_are_refused() {
    let page = 4096u64;
    refused(
        "a segment over another",
        with_segments(|bytes, segments| {
            let first = number::<8>(bytes, segments[0] + at::ADDRESS) & !(page - 1);
            let inside = number::<8>(bytes, segments[1] + at::ADDRESS) & (page - 1);
            put(bytes, segments[1] + at::ADDRESS, &(first + inside).to_le_bytes());
        }),
    );
    refused(
        "a segment that wraps",
        with_segments(|bytes, segments| {
            let last = segments[segments.len() - 1];
            let inside = number::<8>(bytes, last + at::ADDRESS) & (page - 1);
            put(bytes, last + at::ADDRESS, &(0u64.wrapping_sub(page) + inside).to_le_bytes());
        }),
    );
    for size in [u64::MAX, 1 << 63, 1 << 47, 1 << 46] {
        refused(
            "a segment larger than memory",
            with_segments(|bytes, segments| {
                put(bytes, segments[segments.len() - 1] + at::MEMORY_SIZE, &size.to_le_bytes());
            }),
        );
    }
    refused(
        "more in the file than in memory",
        with_segments(|bytes, segments| {
            put(bytes, segments[0] + at::MEMORY_SIZE, &1u64.to_le_bytes());
        }),
    );
    for offset in [!(page - 1), 1 << 40] {
        refused(
            "bytes past the end of the file",
            with_segments(|bytes, segments| {
                put(bytes, segments[0] + at::OFFSET, &offset.to_le_bytes());
            }),
        );
    }
    for address in [0u64, 0xffff_8000_0000_0000, 0x7fff_ffff_f000, 0x0000_8000_0000_0000] {
        refused(
            "a segment where no program may lie",
            with_segments(|bytes, segments| {
                put(bytes, segments[0] + at::ADDRESS, &address.to_le_bytes());
            }),
        );
    }
    for alignment in [3u64, u64::MAX, 1 << 63] {
        refused(
            "an alignment that is none",
            with_segments(|bytes, segments| {
                put(bytes, segments[0] + at::ALIGNMENT, &alignment.to_le_bytes());
            }),
        );
    }
}

#[test]
fn a_segment_that_can_be_written_and_executed_is_refused() {
    let message = refused(
        "W+X",
        with_segments(|bytes, segments| {
            for segment in segments {
                put(bytes, segment + at::FLAGS, &7u32.to_le_bytes());
            }
        }),
    );
    assert!(message.contains("writable and executable"), "{message}");
}

#[test]
fn a_dynamic_program_is_refused_with_the_flags_that_make_it_static() {
    let message = refused(
        "an interpreter",
        changed(|bytes| {
            let other = headers(bytes, None)
                .into_iter()
                .find(|header| number::<4>(bytes, header + at::KIND) != u64::from(LOAD));
            put(bytes, other.expect("a header that loads nothing") + at::KIND, &INTERPRETER.to_le_bytes());
        }),
    );
    for part in ["-static", "crt-static"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn no_change_to_the_headers_makes_the_host_fail() {
    // What still counts as a program is run for a moment: whatever it does, its ending has a name.
    let mut state = 1u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).expect("31 bits") % below
    };
    let mut to_run = scale(30);
    for _ in 0..scale(3000) {
        let bytes = changed(|bytes| {
            let end = headers(bytes, None).last().expect("a header") + HEADER_BYTES;
            for _ in 0..1 + next(3) {
                let at = next(end);
                let odd = [0, 1, 0x7f, 0x80, 0xff, 0x10];
                bytes[at] = if next(2) == 0 { odd[next(odd.len())] } else { bytes[at] ^ 1 << next(8) };
            }
        });
        if let Ok(program) = Program::from_bytes(bytes)
            && to_run > 0
        {
            to_run -= 1;
            let call = Call::new().wall(Duration::from_secs(5));
            // A program that does not fit into its memory is an error with a reason; a panic would fail the test.
            if let Err(error) = Command::new(&program).call(call).output() {
                assert!(!error.to_string().is_empty());
            }
        }
    }
    run_hello();
}
