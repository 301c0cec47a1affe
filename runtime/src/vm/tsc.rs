//! The time-stamp counter beside the kernel's clocks: both read at once, and how long a tick takes.
//!
//! ```text
//! Reading    before │ realtime │ monotonic │ after      the counter around both clocks
//! Rate       two readings, a second or two apart: what a tick takes at least
//! ```
//! The kernel's clocks are slewed, by some parts in a million as a rule, so the rate is measured all the time, and always rounded so that who
//! counts ticks lags behind the kernel's clock.

use std::arch::x86_64::{__cpuid, _mm_lfence, _rdtsc};
use std::sync::OnceLock;

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

use super::clock::{Nanos, nanos};

/// Ticks within which both clocks are read, unless somebody else was on the core meanwhile: a microsecond or two.
const UNDISTURBED: u64 = 4096;
/// How often a reading is tried.
const ATTEMPTS: usize = 3;

/// A span on which the rate can be told for the first time…
const FIRST_SPAN: Nanos = 1_000_000;
/// …and one that is better than what is known.
const GOOD_SPAN: Nanos = 100_000_000;
/// Readings that are this far apart are enough.
const ENOUGH: Nanos = 1_000_000_000;
/// In more time than this the machine may have slept.
const TOO_LONG: Nanos = 10_000_000_000;
/// What is not known of a span has to be this small a part of it.
const PRECISION: u64 = 1024;

/// The counter, read in the order of the program.
fn ticks_in_order() -> u64 {
    // SAFETY: SSE2 is a part of x86-64.
    unsafe { _mm_lfence() };
    ticks()
}

/// The counter.
pub(crate) fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has `rdtsc`. A process can deny itself to execute it (PR_SET_TSC), as it can deny itself anything.
    unsafe { _rdtsc() }
}

/// True if the counter is a clock: it runs at one rate, and the kernel takes its own time from it, which it does only as long as all
/// processors agree about it.
pub(crate) fn is_clock() -> bool {
    static IS_CLOCK: OnceLock<bool> = OnceLock::new();
    *IS_CLOCK.get_or_init(|| is_invariant() && is_kernels())
}

/// CPUID leaf 0x80000007, EDX bit 8 (Intel SDM vol. 3, "Invariant TSC").
fn is_invariant() -> bool {
    const LEAF: u32 = 0x8000_0007;
    __cpuid(0x8000_0000).eax >= LEAF && __cpuid(LEAF).edx >> 8 & 1 == 1
}

fn is_kernels() -> bool {
    let source = std::fs::read("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    source.is_ok_and(|source| source.trim_ascii() == b"tsc")
}

/// The clocks at one instant, or nearly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The counter before all.
    pub(crate) before: u64,
    pub(crate) monotonic: Nanos,
    /// Not later than `monotonic`.
    pub(crate) realtime: Nanos,
    /// The counter after all.
    pub(crate) after: u64,
}

impl Reading {
    /// The clocks now.
    pub(crate) fn now() -> Self {
        let mut best = Self::once();
        for _ in 1..ATTEMPTS {
            if best.doubt() <= UNDISTURBED {
                break;
            }
            let next = Self::once();
            // A later one, of the same doubt, is as good.
            if next.doubt() <= best.doubt() {
                best = next;
            }
        }
        best
    }

    fn once() -> Self {
        let before = ticks_in_order();
        let realtime = nanos(clock_gettime(ClockId::Realtime));
        let monotonic = nanos(clock_gettime(ClockId::Monotonic));
        let after = ticks_in_order();
        Self { before, monotonic, realtime, after }
    }

    /// Ticks between which the clocks were read.
    fn doubt(&self) -> u64 {
        self.after.wrapping_sub(self.before)
    }
}

/// How long a tick takes, as far as readings tell.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    /// The readings that the next one is compared with: this one, and later the other.
    older: Option<Reading>,
    newer: Option<Reading>,
    /// Nanoseconds of a tick, times 2^32.
    multiplier: Option<u64>,
}

impl Rate {
    const UNKNOWN: Self = Self { older: None, newer: None, multiplier: None };

    /// Takes another reading into account; returns what a tick takes at least, in nanoseconds times 2^32, if that is known by now.
    pub(crate) fn observe(&mut self, now: &Reading) -> Option<u64> {
        let (Some(older), Some(newer)) = (self.older, self.newer) else {
            (self.older, self.newer) = (Some(*now), Some(*now));
            return self.multiplier;
        };
        let span = now.monotonic.saturating_sub(older.monotonic);
        // Somebody disturbed the first one, and nothing is known yet.
        let is_better = self.multiplier.is_none() && now.doubt() < older.doubt() / 2;
        if span > TOO_LONG || now.after <= older.after || is_better {
            (self.older, self.newer) = (Some(*now), Some(*now));
            return self.multiplier;
        }
        let ticks = now.after.wrapping_sub(older.before);
        let doubt = older.doubt().saturating_add(now.doubt());
        let shortest = if self.multiplier.is_some() { GOOD_SPAN } else { FIRST_SPAN };
        if span >= shortest && doubt <= ticks / PRECISION {
            // Clocks show whole nanoseconds: the first may have been almost one later.
            let scaled = u128::from(span - 1) << 32;
            self.multiplier = u64::try_from(scaled / u128::from(ticks)).ok().filter(|&multiplier| multiplier > 0);
        }
        if now.monotonic.saturating_sub(newer.monotonic) >= ENOUGH {
            (self.older, self.newer) = (Some(newer), Some(*now));
        }
        self.multiplier
    }
}

/// The rate that this process has measured, with this reading too.
pub(crate) fn rate(now: &Reading) -> Option<u64> {
    static RATE: Mutex<Rate> = Mutex::new(Rate::UNKNOWN);
    RATE.lock().observe(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reading of a counter with `ticks` in a microsecond, `doubt` ticks long, the clock read at its start.
    fn reading(at: Nanos, ticks: u64, doubt: u64) -> Reading {
        let before = at * ticks / 1000;
        Reading { before, monotonic: at, realtime: at, after: before + doubt }
    }

    #[test]
    fn two_readings_follow_each_other_on_every_clock() {
        let (first, second) = (Reading::now(), Reading::now());
        assert!(first.before < first.after && first.after <= second.before);
        assert!(first.monotonic <= second.monotonic && ticks() >= second.after);
    }

    #[test]
    fn a_rate_is_known_after_a_millisecond_and_better_later_and_never_too_high() {
        const TICKS: u64 = 2_600;
        let exact = (1_000_u64 << 32) / TICKS;
        let mut rate = Rate::default();
        assert_eq!(rate.observe(&reading(5_000_000, TICKS, 200)), None);
        assert_eq!(rate.observe(&reading(5_900_000, TICKS, 200)), None);
        let mut error = exact / 1000;
        for at in [6_100_000, 105_100_000, 1_005_000_000, 2_005_000_000, 3_006_000_000] {
            let multiplier = rate.observe(&reading(at, TICKS, 200)).unwrap();
            assert!(multiplier <= exact, "{at}");
            assert!(exact - multiplier <= error, "{at}: {multiplier} of {exact}");
            error = exact - multiplier;
        }
        assert!(error < exact / 1_000_000, "a part in a million");
    }

    #[test]
    fn a_reading_that_somebody_disturbed_says_nothing_of_the_rate() {
        let mut rate = Rate::default();
        rate.observe(&reading(0, 3000, 200));
        assert_eq!(rate.observe(&reading(2_000_000, 3000, 1_000_000)), None);
        assert!(rate.observe(&reading(3_000_000, 3000, 200)).is_some());
        let mut rate = Rate::default();
        rate.observe(&reading(0, 3000, 1_000_000));
        assert_eq!(rate.observe(&reading(2_000_000, 3000, 200)), None, "the first is forgotten");
        assert!(rate.observe(&reading(4_000_000, 3000, 200)).is_some());
    }

    #[test]
    fn after_a_long_time_and_after_a_counter_that_went_back_measuring_begins_again() {
        let mut rate = Rate::default();
        rate.observe(&reading(1_000_000_000, 3000, 100));
        let known = rate.observe(&reading(1_200_000_000, 3000, 100));
        assert!(known.is_some());
        // Half a minute in which the counter stood still.
        let mut slept = reading(31_200_000_000, 3000, 100);
        (slept.before, slept.after) = (3_700_000_000, 3_700_000_100);
        assert_eq!(rate.observe(&slept), known);
        slept.before -= 2_000_000_000;
        slept.after -= 2_000_000_000;
        slept.monotonic += 1_000_000_000;
        assert_eq!(rate.observe(&slept), known);
    }
}
