//! A whole process as bytes and back.

mod example;
mod forgeries;

use std::sync::Arc;

use ampoule_kernel::layout::{PAGE_SIZE, USER_END, USER_START};

use super::super::files::Quota;
use super::super::memory::{STACK_BYTES, STACK_TOP};
use super::super::signals::{Action, AlternateStack, Information};
use super::super::sources::Sources;
use super::sound::{NO_LIMIT, OPEN_FILES, read, written};
use super::*;
use crate::machine::load::Loaded;
use crate::machine::paging::Access;
use crate::signal::Signal;

const TEXT: u64 = 0x40_0000;

/// A process with one segment, a stack, the root directory and the three streams.
fn small() -> Process {
    let segments = vec![(TEXT..TEXT + PAGE_SIZE, Access { read: true, write: false, execute: true })];
    let end = TEXT + PAGE_SIZE;
    let loaded = Loaded { bias: 0, entry: TEXT, headers: None, segments, end };
    Process {
        memory: Memory::new(&loaded).unwrap(),
        files: Files::new(Quota { bytes: 0, inodes: 0 }, OPEN_FILES),
        signals: Signals::new(),
        supply: Supply::new(Sources::Real),
        counts: Counts::new(),
        name: b"p".to_vec(),
        executable: b"/p".to_vec(),
        arguments: Arc::default(),
        environment: Arc::default(),
        open_files: OPEN_FILES,
        bias: 0,
        waited: false,
        waits_until: None,
    }
}

/// One with something in every list.
fn full() -> Process {
    let mut process = small();
    process.name = "naïve".into();
    process.executable = "/naïve".into();
    process.bias = 0x5555_4000_0000;
    process.arguments = (*b"na\0-x\0").into();
    process.environment = (*b"A=1\0").into();
    process.waited = true;
    process.files = Files::new(Quota { bytes: 68, inodes: 9 }, OPEN_FILES);
    process.files.insert(b"/tmp/f", b"contents".to_vec(), 0o644).unwrap();
    process.files.chdir(b"/tmp").unwrap();
    process.signals = some_signals();
    process.supply = Supply::new(Sources::Deterministic(7));
    process.supply.fill(&mut [0; 70]).unwrap();
    process.supply.read();
    process.supply.slept(5);
    process
}

/// Signals with two actions, five pending, an alternate stack and a mask to return to.
fn some_signals() -> Signals {
    let mut signals = Signals::new();
    let action = Action { handler: 0x40_0123, flags: 0x0400_0004, restorer: 0x40_0456, mask: 1 << 13 };
    signals.set_action(Signal::USR1, action);
    signals.set_action(Signal::new(64).unwrap(), Action { handler: 1, ..Action::default() });
    signals.set_blocked(u64::MAX);
    for (number, code) in [(10, 0), (34, -6), (34, 0), (9, 0), (12, -6)] {
        let signal = Signal::new(number).unwrap();
        signals.send(Information { signal, code, value: 100 | 1000 << 32 }).unwrap();
    }
    signals.alternate = AlternateStack { start: 0x7000, size: 8192, flags: 1 << 31 };
    signals.suspended = Some(1 << 2);
    signals.states |= 1 << 2;
    signals
}

#[test]
fn a_process_is_the_same_after_the_way_through_bytes() {
    small().assert_survives_a_file();
    full().assert_survives_a_file();
}

#[test]
fn statistics_stay_behind() {
    let mut process = full();
    process.counts.count(1);
    process.assert_survives_a_file();
    assert!(read(&written(&process)).unwrap().counts.list().is_empty());
}

#[test]
fn real_time_signals_come_in_the_order_in_which_they_were_sent() {
    let mut signals = read(&written(&full())).unwrap().signals;
    signals.blocked = 0;
    let order = std::iter::from_fn(|| signals.take_due()).map(|one| (one.signal.number(), one.code));
    assert_eq!(order.collect::<Vec<_>>(), [(9, 0), (10, 0), (12, -6), (34, -6), (34, 0)]);
}

#[test]
fn time_and_randomness_go_on_where_they_were() {
    for sources in [Sources::Frozen, Sources::Deterministic(0), Sources::Deterministic(u64::MAX)] {
        let mut process = Process { supply: Supply::new(sources), ..small() };
        process.supply.fill(&mut [0; 100]).unwrap();
        process.supply.slept(1 << 40);
        process.supply.read();
        process.assert_survives_a_file();
        let mut again = read(&written(&process)).unwrap();
        assert_eq!(again.supply.read(), process.supply.read());
        assert_eq!(again.random::<100>().unwrap(), process.random::<100>().unwrap());
    }
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = written(&full());
    for length in 0..bytes.len() {
        let error = read(&bytes[..length]).unwrap_err();
        assert!(matches!(error, StateError::Wire(_)), "{length}: {error}");
    }
}

#[test]
fn every_flipped_bit_is_an_error_or_makes_another_process_that_is_as_sound() {
    let mut bytes = written(&full());
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(process) = read(&bytes) {
            assert_eq!(written(&process), bytes, "bit {bit}");
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn bytes_after_a_process_are_left_to_who_reads_on() {
    let mut bytes = written(&full());
    bytes.push(7);
    let mut reader = Reader::new(&bytes);
    assert!(Process::decode(&mut reader, NO_LIMIT, OPEN_FILES).is_ok());
    assert_eq!(reader.u8("next"), Ok(7));
}

proptest::proptest! {
    #[test]
    fn bytes_that_are_no_process_are_refused_whatever_they_are(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400),
    ) {
        if let Ok(process) = read(&bytes) {
            assert_eq!(written(&process), bytes);
        }
    }
}
