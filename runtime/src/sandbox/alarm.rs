//! Wakes tasks: at points in time, and when a descriptor is ready. One thread for the whole process, started when the first alarm is set, asleep
//! when there is nothing to do.
//!
//! ```text
//! set ── earlier than all others? ── the bell ──┐
//!                                               ▼
//!            the thread waits until the first alarm's time, for all alarms' descriptors, and for the bell
//! ```
//! A call whose guest waits, or that waits for a host function's future, holds no thread, so somebody else has to see that its time is over. To
//! set an alarm is a lock and two tables unless it is the earliest or has descriptors.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rustix::event::PollFlags;

use crate::vm::clock::{self, Nanos};
use crate::vm::error::HostError;
use crate::vm::readiness::Readiness;
use crate::vm::seam::HostCall;

/// After a failure of the host's the thread tries again so much later.
const RETRY: Duration = Duration::from_millis(1);

#[derive(Debug)]
struct Queue {
    wakers: BTreeMap<u64, (Nanos, Waker)>,
    /// The same by their times.
    times: BTreeSet<(Nanos, u64)>,
    next: u64,
    /// When the thread looks again by itself; 0 while it is awake.
    looks_at: Nanos,
    /// What the thread waits with, once it is there.
    started: Option<Arc<Readiness>>,
}

static ALARMS: Mutex<Queue> =
    Mutex::new(Queue { wakers: BTreeMap::new(), times: BTreeSet::new(), next: 0, looks_at: 0, started: None });

impl Queue {
    /// What the thread waits with, which is there from now on.
    fn readiness(&mut self) -> Result<Arc<Readiness>, HostError> {
        if let Some(readiness) = self.started.as_ref().filter(|readiness| readiness.is_ours()) {
            return Ok(Arc::clone(readiness));
        }
        let readiness = Arc::new(Readiness::new()?);
        let theirs = Arc::clone(&readiness);
        std::thread::Builder::new()
            .name("ampoule-alarm".to_owned())
            .spawn(move || run(&theirs))
            .map_err(|source| HostError::Call { call: HostCall::Thread, source })?;
        // A fork has left the thread behind, with those whom it would wake: they run in another process, and are not ours to drop.
        std::mem::forget(std::mem::take(&mut self.wakers));
        self.times.clear();
        (self.looks_at, self.started) = (0, Some(Arc::clone(&readiness)));
        Ok(readiness)
    }

    fn take(&mut self, number: u64) -> Option<Waker> {
        let (at, waker) = self.wakers.remove(&number)?;
        self.times.remove(&(at, number));
        Some(waker)
    }

    /// The waker of the first alarm whose time has come.
    fn take_due(&mut self, now: Nanos) -> Option<Waker> {
        let &(at, number) = self.times.first()?;
        if at <= now { self.take(number) } else { None }
    }
}

/// An alarm that is set; dropping it takes it back.
#[derive(Debug)]
pub(super) struct Alarm {
    number: u64,
    files: Vec<OwnedFd>,
    readiness: Arc<Readiness>,
}

impl Alarm {
    /// Wakes `waker`, once: at `at` on `CLOCK_MONOTONIC`, or when one of the descriptors is ready.
    ///
    /// # Errors
    /// If thread or descriptors cannot be had.
    pub(super) fn set(at: Nanos, files: Vec<(OwnedFd, PollFlags)>, waker: Waker) -> Result<Self, HostError> {
        let mut queue = ALARMS.lock();
        let readiness = queue.readiness()?;
        let number = queue.next;
        queue.next += 1;
        queue.wakers.insert(number, (at, waker));
        queue.times.insert((at, number));
        let is_earliest = at < queue.looks_at;
        if is_earliest {
            queue.looks_at = at;
        }
        drop(queue);
        if is_earliest {
            readiness.ring();
        }
        let mut alarm = Self { number, files: Vec::with_capacity(files.len()), readiness };
        for (file, events) in files {
            alarm.readiness.add(&file, events, number)?;
            alarm.files.push(file);
        }
        Ok(alarm)
    }

    /// From now on it wakes that one; false if it has rung already.
    pub(super) fn wakes(&self, waker: &Waker) -> bool {
        let mut queue = ALARMS.lock();
        let Some((_, known)) = queue.wakers.get_mut(&self.number) else { return false };
        if known.will_wake(waker) {
            return true;
        }
        let before = std::mem::replace(known, waker.clone());
        drop(queue);
        drop(before);
        true
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let waker = ALARMS.lock().take(self.number);
        // Somebody else's code, which may come here.
        drop(waker);
        for file in &self.files {
            self.readiness.remove(file);
        }
    }
}

fn run(readiness: &Readiness) {
    loop {
        let mut queue = ALARMS.lock();
        while let Some(waker) = queue.take_due(clock::monotonic()) {
            wake(&mut queue, waker);
        }
        queue.looks_at = queue.times.first().map_or(Nanos::MAX, |&(at, _)| at);
        let until = queue.looks_at;
        drop(queue);
        let Ok(ready) = readiness.wait(until) else {
            std::thread::sleep(RETRY);
            continue;
        };
        let mut queue = ALARMS.lock();
        queue.looks_at = 0;
        for number in ready {
            if let Some(waker) = queue.take(number) {
                wake(&mut queue, waker);
            }
        }
    }
}

/// Whoever is woken may set another alarm at once; and others' alarms ring even if it panics.
fn wake(queue: &mut MutexGuard<'_, Queue>, waker: Waker) {
    let woken = MutexGuard::unlocked(queue, || catch_unwind(AssertUnwindSafe(|| waker.wake())));
    drop(woken);
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc;
    use std::task::Wake;

    use super::*;

    const FOREVER: Nanos = Nanos::MAX;

    struct Ring(mpsc::Sender<u32>, u32);

    impl Wake for Ring {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(self.1);
            assert_ne!(self.1, PANICS, "as it should");
        }
    }

    const PANICS: u32 = 13;

    fn ring(sender: &mpsc::Sender<u32>, number: u32) -> Waker {
        Waker::from(Arc::new(Ring(sender.clone(), number)))
    }

    fn readable(file: &std::io::PipeReader) -> Vec<(OwnedFd, PollFlags)> {
        vec![(file.try_clone().unwrap().into(), PollFlags::IN)]
    }

    #[test]
    fn alarms_ring_in_their_order_whatever_the_order_they_were_set_in() {
        let (sender, rings) = mpsc::channel();
        let now = clock::monotonic();
        let set =
            |number: u32| Alarm::set(now + u64::from(number) * 20_000_000, Vec::new(), ring(&sender, number)).unwrap();
        let alarms = [set(3), set(1), set(2)];
        assert_eq!([rings.recv().unwrap(), rings.recv().unwrap(), rings.recv().unwrap()], [1, 2, 3]);
        assert!(alarms.iter().all(|alarm| !alarm.wakes(Waker::noop())), "each has rung");
    }

    #[test]
    fn an_alarm_that_was_taken_back_does_not_ring() {
        let (sender, rings) = mpsc::channel();
        drop(Alarm::set(clock::monotonic() + 10_000_000, Vec::new(), ring(&sender, 1)).unwrap());
        let (reader, mut writer) = std::io::pipe().unwrap();
        drop(Alarm::set(FOREVER, readable(&reader), ring(&sender, 2)).unwrap());
        writer.write_all(b"x").unwrap();
        drop(sender);
        // The wakers, and the senders with them, are gone.
        assert_eq!(rings.recv(), Err(mpsc::RecvError));
    }

    #[test]
    fn an_alarm_rings_once_by_its_descriptor_or_by_its_time_whichever_comes_first() {
        let (sender, rings) = mpsc::channel();
        let pipes = [std::io::pipe().unwrap(), std::io::pipe().unwrap()];
        let [(first, mut writer), (second, _open)] = pipes;
        let both = [readable(&first), readable(&second)].into_iter().flatten().collect();
        let by_file = Alarm::set(FOREVER, both, ring(&sender, 1)).unwrap();
        let by_time = Alarm::set(clock::monotonic() + 1_000_000, readable(&second), ring(&sender, 2)).unwrap();
        assert_eq!(rings.recv(), Ok(2));
        assert!(by_file.wakes(&ring(&sender, 3)));
        writer.write_all(b"x").unwrap();
        assert_eq!(rings.recv(), Ok(3), "the waker that it was told last");
        assert!(!by_file.wakes(Waker::noop()) && !by_time.wakes(Waker::noop()));
        drop((by_file, by_time, sender));
        assert_eq!(rings.recv(), Err(mpsc::RecvError), "nobody is woken twice");
    }

    #[test]
    fn a_description_that_somebody_else_has_can_be_waited_for_again_and_again() {
        let (sender, rings) = mpsc::channel();
        let (reader, mut writer) = std::io::pipe().unwrap();
        for number in 0..3 {
            let alarm = Alarm::set(FOREVER, readable(&reader), ring(&sender, number)).unwrap();
            let beside = Alarm::set(FOREVER, readable(&reader), ring(&sender, number)).unwrap();
            writer.write_all(b"x").unwrap();
            assert_eq!((rings.recv(), rings.recv()), (Ok(number), Ok(number)));
            drop((alarm, beside));
        }
    }

    #[test]
    fn a_waker_that_panics_takes_no_other_alarm_along() {
        let (sender, rings) = mpsc::channel();
        let now = clock::monotonic();
        let alarms = [
            Alarm::set(now + 1_000_000, Vec::new(), ring(&sender, PANICS)).unwrap(),
            Alarm::set(now + 2_000_000, Vec::new(), ring(&sender, 1)).unwrap(),
        ];
        assert_eq!((rings.recv(), rings.recv()), (Ok(PANICS), Ok(1)));
        drop(alarms);
    }
}
