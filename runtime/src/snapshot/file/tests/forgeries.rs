//! Files that are damaged, and files that were made to be taken for what they are not.

use super::*;
use crate::limits::Limits;
use crate::wire::WireError;

use super::SnapshotFileError as E;

/// Where the chapters of the example begin.
const LIMITS: usize = PROGRAM_AT + 128;
const POSITION: usize = LIMITS + 8 + 4 + 8 + 8 + 8;
const TABLE: usize = POSITION + 1 + 16;
const REGISTERS: usize = TABLE + 8 + 3;
const RIP: usize = REGISTERS + 16 * 8;
const SELECTORS: usize = RIP + 16;
const BASES: usize = SELECTORS + 16;
const STATES: usize = BASES + 16;
const PERSONALITY: usize = STATES + 8 + 4;
const PAGES: usize = PERSONALITY + 333;
const RUN: usize = PAGES + 8;
const LAST_RUN: usize = RUN + 17 + PAGE_BYTES;

/// The example with other bytes somewhere, and an honest length and checksum.
fn forged(at: usize, with: &[u8]) -> Result<Snapshot, E> {
    let mut bytes = example();
    bytes[at..at + with.len()].copy_from_slice(with);
    Snapshot::from_bytes(&sealed(bytes))
}

/// The example with bytes more.
fn with_inserted(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = example();
    file.splice(at..at, bytes.iter().copied());
    file
}

fn word(value: u64) -> [u8; 8] {
    value.to_le_bytes()
}

#[test]
fn the_chapters_are_where_these_tests_take_them_to_be() {
    let bytes = example();
    assert_eq!(bytes[RIP..RIP + 8], word(0x40_007f));
    assert_eq!(bytes[PERSONALITY..PERSONALITY + 9], [1, 0, 0, 0, 0, 0, 0, 0, b'p']);
    assert_eq!(bytes[RUN..RUN + 8], word(0x40_0000));
    assert_eq!(bytes[LAST_RUN..LAST_RUN + 8], word(0x7f7f_fffe_f000));
    assert_eq!(bytes.len(), LAST_RUN + 17 + 4);
}

#[test]
fn a_file_that_ends_early_is_refused_wherever_it_ends() {
    let whole = example();
    for length in 0..whole.len() {
        let error = Snapshot::from_bytes(&whole[..length]).unwrap_err();
        assert!(matches!(error, E::Wire(WireError::Truncated { .. }) | E::Length { .. }), "{length}: {error}");
        if length >= 24 {
            // And if it claims to be whole.
            assert!(Snapshot::from_bytes(&sealed(whole[..length].to_vec())).is_err(), "{length}");
        }
    }
}

#[test]
fn a_file_with_more_behind_it_is_refused() {
    let longer = [&example()[..], b"more"].concat();
    assert!(matches!(Snapshot::from_bytes(&longer), Err(E::Length { .. })));
    assert!(matches!(Snapshot::from_bytes(&sealed(longer)), Err(E::Wire(WireError::Trailing { .. }))));
}

#[test]
fn every_flipped_bit_is_found() {
    let mut bytes = example();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let error = Snapshot::from_bytes(&bytes).unwrap_err();
        let expected = match bit / 8 {
            0..8 => matches!(error, E::Magic { .. }),
            8..12 => matches!(error, E::Version { .. }),
            12..20 => matches!(error, E::Length { .. }),
            _ => matches!(error, E::Checksum { .. }),
        };
        assert!(expected, "{bit}: {error}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn a_flipped_bit_with_an_honest_checksum_is_an_error_or_another_snapshot_in_its_one_form() {
    let whole = example();
    // Of the page, some bits: they are all alike.
    let bits = (0..whole.len() * 8).filter(|bit| !(RUN + 17 + 16..LAST_RUN).contains(&(bit / 8)));
    for bit in bits {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        load_anything(&sealed(bytes));
    }
}

#[test]
fn other_files_versions_and_abis_are_named() {
    assert!(matches!(Snapshot::from_bytes(b"\x7fELF\x02\x01\x01\0more"), Err(E::Magic { .. })));
    assert!(matches!(forged(8, &2_u32.to_le_bytes()), Err(E::Version { version: 2, known: 1 })));
    assert!(matches!(forged(20, &word(2 << 16)), Err(E::Abi { major: 2, minor: 0, .. })));
    assert!(matches!(forged(20, &word(1 << 16 | 9)), Err(E::Abi { major: 1, minor: 9, .. })));
    assert!(matches!(forged(28, &word(1 << 63)), Err(E::UnknownFeatures { bits }) if bits == 1 << 63));
    // No processor has AMD's and Intel's own ones at once: XOP, and what came to Intel's long after AMD had dropped it.
    let error = forged(28, &word(1 << 53 | 1 << 42)).unwrap_err();
    assert!(matches!(error, E::MissingFeature { .. }), "{error}");
}

#[test]
fn a_file_gets_no_more_than_its_loader_grants() {
    for (at, with, option) in [
        (LIMITS, word(Limits::DEFAULT_MEMORY + 4096), "limits"),
        (LIMITS + 12, word(Limits::DEFAULT_FILE_BYTES as u64 + 1), "limits"),
        (LIMITS + 20, word(u64::MAX), "limits"),
        (LIMITS + 28, word(Limits::DEFAULT_MESSAGE_BYTES as u64 + 1), "limits"),
    ] {
        let error = forged(at, &with).unwrap_err();
        assert!(matches!(error, E::NotGranted { option: it, .. } if it == option), "{error}");
    }
    assert!(matches!(forged(LIMITS + 8, &257_u32.to_le_bytes()), Err(E::NotGranted { needed: 257, .. })));
    assert!(matches!(forged(LIMITS, &word(4096)), Err(E::Limit { .. })));
    assert!(matches!(forged(LIMITS, &word(Limits::MIN_MEMORY + 1)), Err(E::Limit { .. })));
    let mut large = example();
    large[LIMITS..LIMITS + 8].copy_from_slice(&word(1 << 30));
    let large = sealed(large);
    let options = Snapshot::options().limits(Limits::new().memory(1 << 30));
    assert_eq!(written(&options.from_bytes(&large).unwrap()), large);
}

#[test]
fn a_queue_of_events_has_a_bound() {
    let with_events = |capacity: u64| {
        let mut file = with_inserted(REGISTERS, &[&word(capacity)[..], &[1]].concat());
        file[REGISTERS - 1] = 1;
        sealed(file)
    };
    let most = SnapshotOptions::DEFAULT_EVENTS as u64;
    assert_eq!(written(&Snapshot::from_bytes(&with_events(most)).unwrap()), with_events(most));
    assert!(matches!(Snapshot::from_bytes(&with_events(0)), Err(E::Limit { value: 0, .. })));
    for capacity in [most + 1, u64::MAX] {
        let error = Snapshot::from_bytes(&with_events(capacity)).unwrap_err();
        assert!(matches!(error, E::NotGranted { option: "events", .. }), "{error}");
    }
    assert!(Snapshot::options().events(1 << 17).from_bytes(&with_events(most + 1)).is_ok());
}

#[test]
fn what_is_no_program_is_no_snapshot() {
    assert!(matches!(forged(PROGRAM_AT, &[0]), Err(E::Program(_))));
    let error = forged(PERSONALITY + 9, &word(0x5555_4000_0000)).unwrap_err();
    assert!(matches!(error, E::Bias { stored: 0x5555_4000_0000, expected: 0 }), "{error}");
}

#[test]
fn a_guest_is_where_guests_come_to() {
    // Stopped in a call of a function that there is none of.
    let mut call = example();
    call.splice(POSITION..TABLE, [1, 0, 0, 0, 0, 0]);
    assert!(matches!(Snapshot::from_bytes(&sealed(call.clone())), Err(E::Position { .. })));
    let table = b"export f\n";
    call.splice(POSITION + 6..POSITION + 14, [&word(9)[..], table].concat());
    let snapshot = Snapshot::from_bytes(&sealed(call.clone())).unwrap();
    assert_eq!(snapshot.state(), crate::sandbox::State::Stopped);
    // In a system call that is made again, which the personality knows nothing of.
    call[POSITION + 1] = 1;
    assert!(matches!(Snapshot::from_bytes(&sealed(call)), Err(E::Position { .. })));
    for kind in [3, 255] {
        assert!(matches!(forged(POSITION, &[kind]), Err(E::Wire(WireError::OutOfRange { .. }))));
    }
    let unordered = with_inserted(TABLE + 8, b"import f\nexport f\n");
    let mut unordered = unordered;
    unordered[TABLE] = 18;
    assert!(matches!(Snapshot::from_bytes(&sealed(unordered)), Err(E::Position { .. })));
}

#[test]
fn registers_hold_what_a_program_can_have_in_them() {
    for (at, value, name) in [
        (RIP, 0x7f80_0000_0000, "RIP"),
        (RIP, 0xffff_8000_0000_0000, "RIP"),
        (RIP, 0x7fff_ffff_d100, "RIP"),
        (RIP + 8, 0x2, "RFLAGS"),
        (RIP + 8, 0x3202, "RFLAGS"),
        (RIP + 8, 0x2_0202, "RFLAGS"),
        (BASES, 0x8000_0000_0000, "the base of FS"),
        (BASES + 8, 0xffff_0000_0000_0000, "the base of GS"),
        (STATES, 1 << 63, "XSTATE_BV"),
        (STATES, 1 << 18, "XSTATE_BV"),
    ] {
        let error = forged(at, &word(value)).unwrap_err();
        assert!(matches!(error, E::Register { register, value: it } if (register, it) == (name, value)), "{error}");
    }
    for (place, selector) in [(0, 0x10), (1, 0x18), (2, 0x33 + 8), (3, 0x2f), (0, 4)] {
        let error = forged(SELECTORS + place * 4, &u32::to_le_bytes(selector)).unwrap_err();
        assert!(matches!(error, E::Register { .. }), "{error}");
    }
    for selector in [0_u32, 3, 0x28, 0x2b, 0x30, 0x33] {
        assert!(forged(SELECTORS, &selector.to_le_bytes()).is_ok(), "{selector:#x}");
    }
    assert!(forged(RIP, &word(0x7fff_ffff_d000)).is_ok());
    assert!(forged(BASES, &word(0xffff_ffff_ffff_f000)).is_ok());
    assert!(matches!(forged(STATES + 8, &0x1_1f80_u32.to_le_bytes()), Err(E::Wire(_))));
}

#[test]
fn extended_states_are_as_long_as_they_are() {
    let mut file = with_inserted(STATES + 12, &[7; 24 + 128 + 256]);
    file[STATES] = 0b11;
    let file = sealed(file);
    let snapshot = Snapshot::from_bytes(&file).unwrap();
    assert_eq!(written(&snapshot), file);
    let extended = snapshot.0.machine.payload_registers().extended;
    assert_eq!(
        (&extended[..24], &extended[24..28], extended[415], extended[416]),
        (&[7; 24][..], &[0x80, 0x1f, 0, 0][..], 7, 0)
    );
}

#[test]
fn pages_agree_with_what_is_mapped() {
    for (at, value) in [(RUN, 0x40_1000), (RUN, 0x3f_f000), (RUN + 8, 2), (LAST_RUN, 0x7f7f_ffff_0000)] {
        let error = forged(at, &word(value)).unwrap_err();
        assert!(matches!(error, E::Pages { .. } | E::MissingPages { .. }), "{value:#x}: {error}");
    }
    for (at, value) in [(RUN, 0x40_0001), (RUN, 0), (RUN + 8, 0), (LAST_RUN, 0x40_0000), (LAST_RUN, u64::MAX - 4095)] {
        let error = forged(at, &word(value)).unwrap_err();
        assert!(matches!(error, E::Pages { .. }), "{value:#x}: {error}");
    }
    // The code's one page is not there.
    let mut without = example();
    without.drain(RUN..LAST_RUN);
    without[PAGES] = 1;
    assert!(matches!(Snapshot::from_bytes(&sealed(without)), Err(E::MissingPages { missing: 1 })));
    // Content that is none.
    assert!(matches!(forged(RUN + 17, &[0; 128]), Err(E::Pages { address: 0x40_0000, .. })));
    // Two runs that are one.
    let twice = [&word(0x7f7f_fffe_e000)[..], &word(1), &[0]].concat();
    let mut twice = with_inserted(LAST_RUN, &twice);
    twice[PAGES] = 3;
    assert!(matches!(Snapshot::from_bytes(&sealed(twice)), Err(E::Pages { address: 0x7f7f_fffe_f000, .. })));
}

#[test]
fn pages_beyond_the_memory_limit_are_refused_before_they_are_made() {
    for count in [65, 1 << 20, 1 << 52, u64::MAX] {
        assert!(matches!(forged(LAST_RUN + 8, &word(count)), Err(E::Memory { limit: 0x4_0000 })));
    }
    // They would fit without their page tables.
    let mut file = example();
    file[LAST_RUN..LAST_RUN + 16].copy_from_slice(&[word(0x7f7f_fffb_5000), word(59)].concat());
    assert!(matches!(Snapshot::from_bytes(&sealed(file)), Err(E::Memory { limit: 0x4_0000 })));
}
