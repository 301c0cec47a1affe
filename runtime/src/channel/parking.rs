//! Where a vCPU's thread sleeps while its guest has nothing to do, and how a caller wakes it for the price of one atomic operation if it
//! does not sleep.
//!
//! ```text
//! caller                                 vCPU's thread
//! message into the ring                  the guest said that it is idle
//! post():  count a request  ──┐     ┌──  park: mark as parked, then look whether a request is outstanding
//!          parked? then wake  │     │          no: sleep
//! …the reply arrives…         └─one─┘
//! done():  it was answered     word
//! ```
//!
//! The count of requests and the mark of the sleeper share one word, and both sides change it in one step: whoever comes second sees what
//! the first one did, so a request is either seen by the one who goes to sleep or sees that he sleeps. How many were answered is a word of
//! its own that only the caller writes, and a plain store: seen too late it costs a round through the guest, never a wake-up.
//!
//! The word lies in a cache line that the vCPU's thread touches only when its guest has stopped, so it stays with the caller.

use std::sync::PoisonError;
use std::time::Instant;

use sync::{AtomicU64, Condvar, Mutex, MutexGuard, Ordering};

mod sync {
    #[cfg(all(test, loom))]
    pub(super) use loom::sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    };
    #[cfg(not(all(test, loom)))]
    pub(super) use std::sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    };
}

/// The vCPU's thread sleeps, or is about to.
const PARKED: u64 = 1;
/// The vCPU's thread has to leave. It stays set.
const STOP: u64 = 2;
/// One request; the bits from here on count them.
const REQUEST: u64 = 4;

/// Why the vCPU's thread goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The guest has something to do.
    Outstanding,
    /// [`Parking::stop`] was called.
    Stopping,
    /// It is as late as it was told to sleep.
    Deadline,
}

/// What the caller writes at every call. Two lines, because processors fetch them in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Requests {
    /// [`PARKED`], [`STOP`] and the count of requests.
    state: AtomicU64,
    /// `state` without its flags, at the last time when nothing was outstanding.
    answered: AtomicU64,
}

/// The meeting point of one vCPU's thread and one caller at a time.
#[derive(Debug)]
pub(crate) struct Parking {
    requests: Requests,
    /// Held by the vCPU's thread from its mark until it sleeps, so that nobody rings while it falls asleep.
    falling_asleep: Mutex<()>,
    bell: Condvar,
}

impl Parking {
    /// Nothing is outstanding.
    pub(crate) fn new() -> Self {
        Self {
            requests: Requests { state: AtomicU64::new(0), answered: AtomicU64::new(0) },
            falling_asleep: Mutex::new(()),
            bell: Condvar::new(),
        }
    }

    /// The guest has something to do: a request, or the reply to one of its own, is in the ring. Comes after the message, which is what a
    /// woken guest looks for, and once before the next [`done`](Self::done).
    #[inline]
    pub(crate) fn post(&self) {
        if self.requests.state.fetch_add(REQUEST, Ordering::AcqRel) & PARKED != 0 {
            self.ring();
        }
    }

    /// The guest has nothing to do: its reply, or a request of its own, was taken.
    #[inline]
    pub(crate) fn done(&self) {
        let requests = self.requests.state.load(Ordering::Relaxed) & !(PARKED | STOP);
        self.requests.answered.store(requests, Ordering::Relaxed);
    }

    /// Asks the vCPU's thread to leave, from any thread and for good. It is woken if it sleeps; a kick gets it out of its guest.
    pub(crate) fn stop(&self) {
        if self.requests.state.fetch_or(STOP, Ordering::AcqRel) & PARKED != 0 {
            self.ring();
        }
    }

    /// How often something was posted.
    pub(crate) fn posted(&self) -> u64 {
        self.requests.state.load(Ordering::Relaxed) / REQUEST
    }

    /// True if the guest has something to do.
    pub(crate) fn is_outstanding(&self) -> bool {
        let state = self.requests.state.load(Ordering::Acquire);
        state & !(PARKED | STOP) != self.requests.answered.load(Ordering::Relaxed)
    }

    /// Sleeps until the guest has something to do, if it has nothing now. Only the vCPU's thread calls this.
    ///
    /// [`Woken::Outstanding`] can come once although the reply was taken a moment ago: then the guest finds nothing and says so.
    pub(crate) fn park_unless_outstanding(&self, deadline: Option<Instant>) -> Woken {
        let mut guard = self.falling_asleep.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.requests.state.fetch_or(PARKED, Ordering::AcqRel);
        let woken = loop {
            if let Some(reason) = self.reason(state) {
                break reason;
            }
            let Some(slept) = self.sleep(guard, deadline) else {
                break Woken::Deadline;
            };
            guard = slept;
            state = self.requests.state.load(Ordering::Acquire);
        };
        self.requests.state.fetch_and(!PARKED, Ordering::Relaxed);
        woken
    }

    fn reason(&self, state: u64) -> Option<Woken> {
        if state & STOP != 0 {
            Some(Woken::Stopping)
        } else if state & !(PARKED | STOP) != self.requests.answered.load(Ordering::Relaxed) {
            Some(Woken::Outstanding)
        } else {
            None
        }
    }

    /// Sleeps once, for whatever reason it ends; `None` if the deadline is over.
    fn sleep<'a>(&self, guard: MutexGuard<'a, ()>, deadline: Option<Instant>) -> Option<MutexGuard<'a, ()>> {
        Some(match deadline {
            None => self.bell.wait(guard).unwrap_or_else(PoisonError::into_inner),
            Some(deadline) => {
                let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
                self.bell.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0
            }
        })
    }

    #[cold]
    fn ring(&self) {
        // Whoever marked himself as parked under the lock sleeps once it is free.
        drop(self.falling_asleep.lock().unwrap_or_else(PoisonError::into_inner));
        self.bell.notify_one();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::thread;

    use super::*;

    fn past() -> Option<Instant> {
        Some(Instant::now())
    }

    fn until_parked(parking: &Parking) {
        while parking.requests.state.load(Ordering::Acquire) & PARKED == 0 {
            thread::yield_now();
        }
    }

    #[test]
    fn nobody_sleeps_while_a_request_is_outstanding() {
        let parking = Parking::new();
        for _ in 0..3 {
            parking.post();
            assert_eq!(parking.park_unless_outstanding(None), Woken::Outstanding);
            assert_eq!(parking.park_unless_outstanding(None), Woken::Outstanding);
            parking.done();
            assert_eq!(parking.park_unless_outstanding(past()), Woken::Deadline);
        }
    }

    #[test]
    fn a_deadline_that_is_over_does_not_hide_a_request_or_a_stop() {
        let parking = Parking::new();
        parking.post();
        assert_eq!(parking.park_unless_outstanding(past()), Woken::Outstanding);
        parking.stop();
        assert_eq!(parking.park_unless_outstanding(past()), Woken::Stopping);
    }

    #[test]
    fn a_sleep_ends_at_its_deadline() {
        let parking = Parking::new();
        let deadline = Instant::now() + std::time::Duration::from_millis(2);
        assert_eq!(parking.park_unless_outstanding(Some(deadline)), Woken::Deadline);
        assert!(Instant::now() >= deadline);
    }

    #[test]
    fn a_sleeper_is_woken_by_a_request_and_by_a_stop() {
        let parking = &Parking::new();
        for (wake, woken) in
            [(Parking::post as fn(&Parking), Woken::Outstanding), (Parking::stop as fn(&Parking), Woken::Stopping)]
        {
            thread::scope(|scope| {
                let sleeper = scope.spawn(|| parking.park_unless_outstanding(None));
                until_parked(parking);
                wake(parking);
                assert_eq!(sleeper.join().unwrap(), woken);
                parking.done();
            });
        }
    }

    #[test]
    fn a_stop_is_for_good() {
        let parking = Parking::new();
        parking.stop();
        parking.post();
        parking.done();
        assert_eq!(parking.park_unless_outstanding(None), Woken::Stopping);
        assert_eq!(parking.park_unless_outstanding(None), Woken::Stopping);
    }

    #[test]
    fn a_thread_that_parks_whenever_it_can_serves_every_request() {
        const REQUESTS: u64 = if cfg!(miri) { 50 } else { 5_000 };
        let parking = &Parking::new();
        let (request, reply) = (&AtomicU64::new(0), &AtomicU64::new(0));
        thread::scope(|scope| {
            scope.spawn(move || {
                while parking.park_unless_outstanding(None) != Woken::Stopping {
                    reply.store(request.load(Ordering::Relaxed), Ordering::Release);
                }
            });
            for number in 1..=REQUESTS {
                request.store(number, Ordering::Relaxed);
                parking.post();
                while reply.load(Ordering::Acquire) != number {
                    thread::yield_now();
                }
                parking.done();
            }
            parking.stop();
        });
    }
}

/// RUSTFLAGS="--cfg loom" cargo test -p ampoule --release --lib parking_loom. A wake-up that is lost is a deadlock, which loom reports.
#[cfg(all(test, loom))]
mod parking_loom {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    #[test]
    fn a_request_is_seen_by_whoever_goes_to_sleep_or_wakes_him() {
        loom::model(|| {
            let parking = Arc::new(Parking::new());
            let message = Arc::new(AtomicU64::new(0));
            let vcpu = thread::spawn({
                let (parking, message) = (parking.clone(), message.clone());
                move || {
                    assert_eq!(parking.park_unless_outstanding(None), Woken::Outstanding);
                    assert_eq!(
                        message.load(Ordering::Relaxed),
                        1,
                        "the message is there before the request is counted"
                    );
                }
            });
            message.store(1, Ordering::Relaxed);
            parking.post();
            vcpu.join().unwrap();
        });
    }

    #[test]
    fn a_stop_ends_every_sleep_even_beside_a_request() {
        loom::model(|| {
            let parking = Arc::new(Parking::new());
            let vcpu = thread::spawn({
                let parking = parking.clone();
                move || {
                    while parking.park_unless_outstanding(None) != Woken::Stopping {
                        thread::yield_now();
                    }
                }
            });
            let stopper = thread::spawn({
                let parking = parking.clone();
                move || parking.stop()
            });
            parking.post();
            parking.done();
            vcpu.join().unwrap();
            stopper.join().unwrap();
        });
    }

    #[test]
    fn every_request_is_served_by_a_thread_that_parks_whenever_it_can() {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(|| {
            let parking = Arc::new(Parking::new());
            let messages = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
            let vcpu = thread::spawn({
                let (parking, messages) = (parking.clone(), messages.clone());
                move || {
                    let mut served = 0;
                    while parking.park_unless_outstanding(None) != Woken::Stopping {
                        let request = messages.0.load(Ordering::Acquire);
                        if request == served {
                            // The reply was taken a moment ago, or is about to be.
                            thread::yield_now();
                        } else {
                            served = request;
                            messages.1.store(request, Ordering::Release);
                        }
                    }
                }
            });
            for number in 1..=2 {
                messages.0.store(number, Ordering::Release);
                parking.post();
                while messages.1.load(Ordering::Acquire) != number {
                    thread::yield_now();
                }
                parking.done();
            }
            parking.stop();
            vcpu.join().unwrap();
        });
    }
}
