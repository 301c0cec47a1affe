//! Whether a process is one that running code can have made, and survives the way through bytes: what tests and fuzzing ask after each call.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "checks for tests and fuzzing, which end by a panic"
)]

use ampoule_kernel::layout::{PAGE_SIZE, USER_END, USER_START};

use super::super::files::Quota;
use super::super::memory::{STACK_BYTES, STACK_TOP};
use super::*;
use crate::signal::Signal;

/// What nothing needs more of.
pub(super) const NO_LIMIT: Quota = Quota { bytes: usize::MAX, inodes: usize::MAX };
/// As many files as the processes may have open that are read here.
pub(super) const OPEN_FILES: u16 = 32;

/// Its bytes.
pub(super) fn written(process: &Process) -> Vec<u8> {
    let mut writer = Writer::new();
    process.encode(&mut writer);
    writer.into_bytes()
}

/// A process out of bytes, which is sound.
pub(super) fn read(bytes: &[u8]) -> Result<Process, StateError> {
    let mut reader = Reader::new(bytes);
    let process = Process::decode(&mut reader, NO_LIMIT, OPEN_FILES)?;
    reader.finish()?;
    process.assert_sound();
    Ok(process)
}

impl Process {
    /// What the running code takes for granted, looked at from outside.
    fn assert_sound(&self) {
        let mut before = None;
        for (range, attributes) in self.memory.areas.iter() {
            assert!(USER_START <= range.start && range.start < range.end && range.end <= USER_END, "{range:x?}");
            assert!(range.start.is_multiple_of(PAGE_SIZE) && range.end.is_multiple_of(PAGE_SIZE), "{range:x?}");
            if let Some((end, like)) = before.replace((range.end, attributes)) {
                assert!(end < range.start || end == range.start && like != attributes, "{range:x?}");
            }
        }
        assert!(self.memory.areas.iter().count() <= 65_530);
        let heap = self.memory.heap();
        assert!(heap.start.is_multiple_of(PAGE_SIZE) && heap.start <= heap.end);
        assert!(heap.is_empty() || heap.end <= STACK_TOP - STACK_BYTES);
        self.files.assert_sound();
        self.assert_signals();
        assert_eq!(self.executable, [b"/", &self.name[..]].concat());
        assert!(self.bias < USER_END);
        assert!(self.counts.list().is_empty());
    }

    fn assert_signals(&self) {
        const UNSTOPPABLE: u64 = 1 << 8 | 1 << 18;
        let mut signals = self.signals.clone();
        let masks = (1..=64).map(|number| signals.action(Signal::new(number).unwrap()).mask);
        for mask in masks.chain([signals.blocked]).chain(signals.suspended) {
            assert_eq!(mask & UNSTOPPABLE, 0);
        }
        for signal in [Signal::KILL, Signal::STOP] {
            assert_eq!(signals.action(signal), Default::default());
        }
        let mut pending = [0; 65];
        signals.blocked = 0;
        while let Some(information) = signals.take_due() {
            pending[usize::from(information.signal.number())] += 1;
        }
        assert!(pending[..32].iter().all(|&count| count <= 1), "{pending:?}");
        assert!(pending[32..].iter().sum::<u32>() <= 1024, "{pending:?}");
    }

    /// That its bytes are a process again, with the same bytes.
    pub(in crate::linux) fn assert_survives_a_file(&self) {
        let bytes = written(self);
        let again = read(&bytes).unwrap();
        assert_eq!(written(&again), bytes);
        assert_eq!((&again.memory, &again.signals), (&self.memory, &self.signals));
        assert_eq!(again.supply, self.supply);
        assert_eq!((&again.name, &again.executable, again.bias), (&self.name, &self.executable, self.bias));
        assert_eq!(again.waited, self.waited);
    }
}
