//! The CPU time of this thread, for an account that is kept at every call.
//!
//! Asking the kernel costs half a microsecond, which a call of thirty feels. So a reading is good for a while: until then the thread is taken
//! to have run all the time. Whoever knows that it did not, because it slept, says so.

use std::cell::Cell;

use super::clock::{self, Nanos};

/// How long a reading is good: what an account can be wrong by.
const GOOD: Nanos = 250_000;

/// CPU time, and when that was.
#[derive(Debug, Clone, Copy)]
struct Reading {
    cpu: Nanos,
    at: Nanos,
}

thread_local! {
    static LAST: Cell<Option<Reading>> = const { Cell::new(None) };
}

/// CPU time at `now` on `CLOCK_MONOTONIC`: of the last reading while it is good, and exactly otherwise.
pub(super) fn at(now: Nanos) -> Nanos {
    match LAST.get() {
        Some(Reading { cpu, at }) if now.saturating_sub(at) < GOOD => cpu.saturating_add(now.saturating_sub(at)),
        _ => exactly(),
    }
}

/// CPU time now.
pub(super) fn exactly() -> Nanos {
    let cpu = clock::thread_cpu();
    LAST.set(Some(Reading { cpu, at: clock::monotonic() }));
    cpu
}

/// The thread may have slept since the last reading, which says nothing any more.
pub(super) fn slept() {
    LAST.set(None);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_good_for_a_while_and_not_after_a_sleep() {
        let cpu = exactly();
        let Some(Reading { at: read, .. }) = LAST.get() else { panic!() };
        assert_eq!(at(read + GOOD - 1), cpu + GOOD - 1);
        // Exactly again: much less than the thread would have used by then.
        assert!(at(read + 1_000 * GOOD) < cpu + 1_000 * GOOD);
        slept();
        assert!(LAST.get().is_none());
        assert!(at(read) >= cpu);
    }
}
