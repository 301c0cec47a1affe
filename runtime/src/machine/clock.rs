//! The clock that a program reads without asking: the record in the clock page (`ampoule_kernel::vdso`), written before the guest is entered.
//!
//! ```text
//! time │            ╱ ← the kernel's clock
//!      │          ╱┌─ a new record begins where the kernel's clock is, or where the old one has come to, if that is later
//!      │       ╱ ╱
//!      │    ╱ ╱ ← a record: it runs at a rate that is a little too low, and for at most a tenth of a second
//!      └─────────────── counter
//! ```
//! Three rules make that one clock, whatever a program reads it by:
//! - A record never begins before the one that it follows has come to. It is ahead of the kernel's clock only after that was slowed down; then it
//!   runs so much slower that the kernel's clock has caught up when it ends.
//! - A system call that tells the time tells no less than the record does at that moment, and is followed by a new record, which begins no
//!   earlier than the kernel's clock then: whatever a program was told or slept, its next reading is not before that.
//! - A snapshot knows what its program may have read. Wherever it goes on, the first record begins no earlier.
//!
//! The wall clock can be set. It goes back then, but not by what a record was ahead.

use ampoule_kernel::layout;
use ampoule_kernel::vdso::record;

use super::Machine;
use crate::vm::clock::{self, Nanos};
use crate::vm::error::HostError;
use crate::vm::tsc::{self, Reading};

/// A record is followed by another at the first entry after so long.
const REFRESH: Nanos = 10_000_000;
/// A record does not hold for longer.
const SPAN: Nanos = 100_000_000;
/// What a record may be ahead of the kernel's clock. Slewing does not get that far: the counter or the clock was changed.
const MOST_AHEAD: Nanos = 10_000_000;
/// What two clocks that are read one after the other may seem to be apart. A wall clock that was set back by less stands still instead.
const SET_BACK: Nanos = 1_000;

/// `CLOCK_REALTIME` and `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Times {
    pub(crate) realtime: Nanos,
    pub(crate) monotonic: Nanos,
}

impl Times {
    fn of(reading: &Reading) -> Self {
        Self { realtime: reading.realtime, monotonic: reading.monotonic }
    }

    /// The later of both, clock by clock. Slowing one clock down slows the other down as much: if what was told is further ahead on the wall
    /// clock, that was set back.
    fn not_before(self, told: Self) -> Self {
        let ahead = |told: Nanos, now: Nanos| told.saturating_sub(now);
        let was_set = ahead(told.realtime, self.realtime) > ahead(told.monotonic, self.monotonic) + SET_BACK;
        Self {
            realtime: if was_set { self.realtime } else { self.realtime.max(told.realtime) },
            monotonic: self.monotonic.max(told.monotonic),
        }
    }
}

/// What is in the clock page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    base: u64,
    span: u64,
    multiplier: u64,
    times: Times,
}

impl Record {
    /// The record that follows one by which a program may have been told `told`; `rate` is nanoseconds of a tick times 2^32. None if nothing
    /// sensible can.
    fn following(told: Times, now: &Reading, rate: u64) -> Option<Self> {
        let host = Times::of(now);
        let times = host.not_before(told);
        let ahead = (times.monotonic - host.monotonic).max(times.realtime - host.realtime);
        if ahead > MOST_AHEAD {
            return None;
        }
        let span = u64::try_from((u128::from(SPAN) << 32) / u128::from(rate)).ok()?;
        // Less than the rate, since MOST_AHEAD is less than SPAN.
        let given_back = u64::try_from(u128::from(rate) * u128::from(ahead) / u128::from(SPAN)).ok()?;
        Some(Self { base: now.after, span, multiplier: rate - given_back, times })
    }

    /// The latest that a program with this record may have read when the counter shows `ticks`.
    fn at(&self, ticks: u64) -> Times {
        // A counter that went back is as one that went far: nobody knows what it showed between.
        let passed = self.passed(ticks.wrapping_sub(self.base).min(self.span));
        Times {
            realtime: self.times.realtime.saturating_add(passed),
            monotonic: self.times.monotonic.saturating_add(passed),
        }
    }

    /// Nanoseconds of no more ticks than the record holds for.
    fn passed(&self, ticks: u64) -> Nanos {
        // At most SPAN times 2^32.
        ticks.wrapping_mul(self.multiplier) >> 32
    }

    fn bytes(&self, sequence: u64) -> [u8; RECORD_BYTES] {
        const SECOND: Nanos = 1_000_000_000;
        let Times { realtime, monotonic } = self.times;
        let mut bytes = [0; RECORD_BYTES];
        for (offset, word) in [
            (record::SEQUENCE, sequence),
            (record::BASE, self.base),
            (record::SPAN, self.span),
            (record::MULTIPLIER, self.multiplier),
            (record::REALTIME, realtime / SECOND),
            (record::REALTIME + 8, realtime % SECOND),
            (record::MONOTONIC, monotonic / SECOND),
            (record::MONOTONIC + 8, monotonic % SECOND),
        ] {
            let to = usize::try_from(offset).ok().and_then(|offset| bytes.get_mut(offset..offset + 8));
            if let Some(to) = to {
                to.copy_from_slice(&word.to_le_bytes());
            }
        }
        bytes
    }
}

/// As an array wants it.
const RECORD_BYTES: usize = 64;
const _: () = assert!(RECORD_BYTES as u64 == record::BYTES, "the record has another size");

/// A machine's clock.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// Guests of this machine see the host's counter, and that is a clock.
    pub(super) is_possible: bool,
    record: Option<Record>,
    /// What programs may have been told by other means than the record.
    told: Times,
    /// When the record was written.
    written: Nanos,
    /// The next entry needs a new one, however young it is.
    is_due: bool,
    sequence: u64,
}

impl Clock {
    /// The latest that the program may have been told when the counter shows `ticks`.
    fn told(&self, ticks: u64) -> Times {
        let Some(record) = &self.record else { return self.told };
        let read = record.at(ticks);
        Times { realtime: read.realtime.max(self.told.realtime), monotonic: read.monotonic.max(self.told.monotonic) }
    }

    /// What a system call tells, with the host's clocks at `now` and the counter at `ticks`.
    fn tell(&mut self, now: Times, ticks: u64) -> Times {
        self.is_due = true;
        self.told = now.not_before(self.told(ticks));
        self.told
    }

    /// True if the next entry needs no other record, at `now` on `CLOCK_MONOTONIC`.
    #[inline]
    fn is_good(&self, now: Nanos) -> bool {
        self.record.is_some() && !self.is_due && now.saturating_sub(self.written) < REFRESH
    }

    /// The program is another, which may have been told `told` elsewhere.
    fn take_over(&mut self, told: Times) {
        self.is_due |= self.record.is_some_and(|record| record.times.monotonic < told.monotonic);
        self.told = told;
    }

    /// The record that follows.
    fn follow(&mut self, now: &Reading, rate: Option<u64>) -> Option<Record> {
        let told = self.told(now.after);
        self.record = rate.and_then(|rate| Record::following(told, now, rate));
        self.told = Times::of(now).not_before(told);
        self.written = now.monotonic;
        self.is_due = self.record.is_none();
        self.sequence = self.sequence.wrapping_add(1);
        self.record
    }
}

impl Machine {
    /// Before each entry, at `now` on `CLOCK_MONOTONIC`: lets the program read the host's clocks without asking, or nothing of the kind.
    #[inline]
    pub(crate) fn show_clock(&mut self, is_hosts: bool, now: Nanos) -> Result<(), HostError> {
        if !self.clock.is_possible || (is_hosts && self.clock.is_good(now)) {
            return Ok(());
        }
        if is_hosts {
            self.refresh_clock()
        } else if self.clock.record.is_some() {
            self.clock.record = None;
            self.write_clock(&[0; RECORD_BYTES])
        } else {
            Ok(())
        }
    }

    fn refresh_clock(&mut self) -> Result<(), HostError> {
        let now = Reading::now();
        match self.clock.follow(&now, tsc::rate(&now)) {
            Some(record) => self.write_clock(&record.bytes(self.clock.sequence)),
            None => self.write_clock(&[0; RECORD_BYTES]),
        }
    }

    fn write_clock(&mut self, record: &[u8; RECORD_BYTES]) -> Result<(), HostError> {
        self.shell.memory.write(layout::kernel_physical(layout::CLOCK_PAGE), record)
    }

    /// What a system call tells of both clocks.
    pub(crate) fn tell_time(&mut self) -> Times {
        let now = Times { realtime: clock::realtime(), monotonic: clock::monotonic() };
        if self.clock.is_possible { self.clock.tell(now, tsc::ticks()) } else { now }
    }

    /// The program waited for a point in time: what it reads next is not before that.
    pub(crate) fn clock_was_waited_for(&mut self) {
        self.clock.is_due = true;
    }

    /// The latest that the program may have been told.
    pub(super) fn told(&self) -> Times {
        self.clock.told(tsc::ticks())
    }

    /// The program is another, which may have been told `told` elsewhere.
    pub(super) fn take_clock_over(&mut self, told: Times) {
        self.clock.take_over(told);
    }
}

#[cfg(test)]
mod tests;
