//! Wakes tasks at points in time: one thread for the whole process, started when the first alarm is set, asleep when there is none.
//!
//! A call that waits for a host function's future holds no thread, so somebody else has to see that its time is over.

use std::collections::BTreeMap;
use std::io;
use std::task::Waker;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::vm::clock::{self, Nanos};

/// When, and which of those at that time.
type Key = (Nanos, u64);

struct Alarms {
    queue: Mutex<Queue>,
    changed: Condvar,
}

struct Queue {
    wakers: BTreeMap<Key, Waker>,
    next: u64,
    /// The thread is there.
    started: bool,
}

static ALARMS: Alarms =
    Alarms { queue: Mutex::new(Queue { wakers: BTreeMap::new(), next: 0, started: false }), changed: Condvar::new() };

/// An alarm that is set; dropping it takes it back.
#[derive(Debug)]
pub(super) struct Alarm(Key);

impl Alarm {
    /// Wakes `waker` at `at` on `CLOCK_MONOTONIC`.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(super) fn set(at: Nanos, waker: Waker) -> io::Result<Self> {
        let mut queue = ALARMS.queue.lock();
        if !queue.started {
            std::thread::Builder::new().name("ampoule-alarm".to_owned()).spawn(run)?;
            queue.started = true;
        }
        let key = (at, queue.next);
        queue.next += 1;
        let is_first = queue.wakers.first_key_value().is_none_or(|(first, _)| key < *first);
        queue.wakers.insert(key, waker);
        drop(queue);
        if is_first {
            ALARMS.changed.notify_one();
        }
        Ok(Self(key))
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        ALARMS.queue.lock().wakers.remove(&self.0);
    }
}

fn run() {
    let mut queue = ALARMS.queue.lock();
    loop {
        let Some((&(at, _), _)) = queue.wakers.first_key_value() else {
            ALARMS.changed.wait(&mut queue);
            continue;
        };
        let now = clock::monotonic();
        if at > now {
            ALARMS.changed.wait_for(&mut queue, Duration::from_nanos(at - now));
            continue;
        }
        if let Some((_, waker)) = queue.wakers.pop_first() {
            // Whoever it wakes may set another alarm at once.
            parking_lot::MutexGuard::unlocked(&mut queue, || waker.wake());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;
    use std::task::Wake;

    use super::*;

    struct Ring(mpsc::Sender<u32>, u32);

    impl Wake for Ring {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(self.1);
        }
    }

    #[test]
    fn alarms_ring_in_their_order_whatever_the_order_they_were_set_in() {
        let (sender, rings) = mpsc::channel();
        let now = clock::monotonic();
        let set = |number: u32| {
            let waker = Waker::from(Arc::new(Ring(sender.clone(), number)));
            Alarm::set(now + u64::from(number) * 20_000_000, waker).unwrap()
        };
        let alarms = [set(3), set(1), set(2)];
        assert_eq!([rings.recv().unwrap(), rings.recv().unwrap(), rings.recv().unwrap()], [1, 2, 3]);
        drop(alarms);
    }

    #[test]
    fn an_alarm_that_was_taken_back_does_not_ring() {
        let (sender, rings) = mpsc::channel();
        drop(Alarm::set(clock::monotonic() + 10_000_000, Waker::from(Arc::new(Ring(sender, 1)))).unwrap());
        // The waker, and the sender with it, is gone.
        assert_eq!(rings.recv(), Err(mpsc::RecvError));
    }
}
