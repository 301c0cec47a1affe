//! Posted events: what a guest stores to its event page, in the order in which it did, for whoever listens.
//!
//! A store costs the guest a ninth of an exit, and once posted it cannot be changed any more. The host takes them at every exit, before
//! it serves what the exit is about: an event that was posted before a call of the host's function is in [`Events`] before that
//! function runs. A listener that cannot wait for the next exit calls the guest out for a moment.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ampoule_kernel::layout;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};

use crate::vm::cancel::Nudge;
use crate::vm::posted::Posted;

/// What a guest posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Event {
    /// Which event, 0–511: the guest's choice.
    pub id: u16,
    /// Its value.
    pub value: u64,
}

/// What happens to an event for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// The oldest makes room, and is counted: see [`Events::dropped`].
    #[default]
    DropOldest,
    /// The guest is stopped, with [`Limit::Events`](crate::Limit::Events).
    Stop,
}

/// The events that a sandbox's guest posts; for any thread.
///
/// ```no_run
/// use std::time::Duration;
/// use ampoule::{Imports, Overflow, Program, Sandbox};
///
/// let program = Program::from_file("plugin")?;
/// let (builder, events) = Sandbox::builder(&program, &Imports::<()>::new()).events(1024, Overflow::DropOldest);
/// let mut plugin = builder.build(())?;
/// std::thread::spawn(move || {
///     while let Some(event) = events.next(Duration::from_secs(1)) {
///         println!("{} is at {}", event.id, event.value);
///     }
/// });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Events {
    receiver: Receiver<Event>,
    dropped: Arc<AtomicU64>,
    nudge: Nudge,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("waiting", &self.receiver.len()).finish_non_exhaustive()
    }
}

/// How often a listener with nothing to do calls a running guest out.
const NUDGE_EVERY: Duration = Duration::from_millis(10);

impl Events {
    /// The oldest event, if one has arrived. Does not disturb the guest: what it posted since its last exit is still on its way.
    #[must_use]
    pub fn try_next(&self) -> Option<Event> {
        self.receiver.try_recv().ok()
    }

    /// Waits at most `time` for an event. A guest that runs all the while is called out every 10 ms, so that what it posted is seen; that costs
    /// it an exit each.
    ///
    /// None if there was none in time, or if the sandbox is gone and all its events were taken.
    #[must_use]
    pub fn next(&self, time: Duration) -> Option<Event> {
        let until = Instant::now().checked_add(time);
        loop {
            if let Some(event) = self.try_next() {
                return Some(event);
            }
            let left = until.map_or(NUDGE_EVERY, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return None;
            }
            self.nudge.nudge();
            match self.receiver.recv_timeout(left.min(NUDGE_EVERY)) {
                Ok(event) => return Some(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Events that were dropped so far because nobody took them in time.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The sandbox's end.
#[derive(Debug)]
pub(crate) struct EventQueue {
    sender: Sender<Event>,
    /// To make room.
    oldest: Receiver<Event>,
    dropped: Arc<AtomicU64>,
    overflow: Overflow,
    nudge: Nudge,
}

/// Why a store is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotPosted {
    /// It is not eight aligned bytes.
    Misuse {
        /// Where in the page.
        offset: u64,
        /// Bytes stored.
        bytes: u32,
    },
    /// There is no room, and nothing may be dropped.
    NoRoom,
}

/// A queue for at least one event, and a listener's end of it.
pub(crate) fn queue(capacity: usize, overflow: Overflow) -> (EventQueue, Events) {
    let (sender, receiver) = crossbeam_channel::bounded(capacity.max(1));
    let (dropped, nudge) = (Arc::new(AtomicU64::new(0)), Nudge::default());
    let events = Events { receiver: receiver.clone(), dropped: Arc::clone(&dropped), nudge: nudge.clone() };
    (EventQueue { sender, oldest: receiver, dropped, overflow, nudge }, events)
}

impl EventQueue {
    /// What another queue of the same kind is made with.
    pub(crate) fn kind(&self) -> (usize, Overflow) {
        (self.sender.capacity().unwrap_or(1), self.overflow)
    }

    /// What interrupts a run so that its events are taken.
    pub(crate) fn nudge(&self) -> &Nudge {
        &self.nudge
    }

    /// Passes a store on.
    pub(crate) fn post(&self, posted: Posted) -> Result<(), NotPosted> {
        let offset = posted.address.wrapping_sub(layout::EVENTS_BASE);
        let id = u16::try_from(offset / 8).ok().filter(|_| posted.len == 8 && offset.is_multiple_of(8));
        let Some(id) = id else {
            return Err(NotPosted::Misuse { offset, bytes: posted.len });
        };
        let mut event = Event { id, value: u64::from_le_bytes(posted.data) };
        loop {
            match self.sender.try_send(event) {
                Ok(()) | Err(TrySendError::Disconnected(_)) => return Ok(()),
                Err(TrySendError::Full(_)) if self.overflow == Overflow::Stop => return Err(NotPosted::NoRoom),
                Err(TrySendError::Full(back)) => event = back,
            }
            if self.oldest.try_recv().is_ok() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(offset: u64, len: u32, value: u64) -> Posted {
        Posted { address: layout::EVENTS_BASE + offset, len, data: value.to_le_bytes() }
    }

    #[test]
    fn events_arrive_in_order_with_the_id_that_their_address_says() {
        let (queue, events) = queue(4, Overflow::Stop);
        queue.post(store(0, 8, 7)).unwrap();
        queue.post(store(511 * 8, 8, u64::MAX)).unwrap();
        assert_eq!(events.try_next(), Some(Event { id: 0, value: 7 }));
        assert_eq!(events.next(Duration::ZERO), Some(Event { id: 511, value: u64::MAX }));
        assert_eq!((events.try_next(), events.next(Duration::ZERO)), (None, None));
    }

    #[test]
    fn a_store_that_is_not_eight_aligned_bytes_is_no_event() {
        let (queue, events) = queue(4, Overflow::Stop);
        for (offset, bytes) in [(0, 4), (4, 8), (1, 8), (0, 1), (0, 16)] {
            assert_eq!(queue.post(store(offset, bytes, 1)), Err(NotPosted::Misuse { offset, bytes }));
        }
        assert_eq!(events.try_next(), None);
    }

    #[test]
    fn the_oldest_makes_room_and_is_counted() {
        let (queue, events) = queue(2, Overflow::DropOldest);
        for value in 0..5 {
            queue.post(store(8, 8, value)).unwrap();
        }
        assert_eq!(events.dropped(), 3);
        assert_eq!(events.try_next(), Some(Event { id: 1, value: 3 }));
    }

    #[test]
    fn a_full_queue_that_drops_nothing_says_so() {
        let (queue, events) = queue(1, Overflow::Stop);
        queue.post(store(0, 8, 1)).unwrap();
        assert_eq!(queue.post(store(0, 8, 2)), Err(NotPosted::NoRoom));
        assert_eq!((events.dropped(), events.try_next()), (0, Some(Event { id: 0, value: 1 })));
    }

    #[test]
    fn a_listener_learns_that_the_sandbox_is_gone() {
        let (queue, events) = queue(1, Overflow::Stop);
        queue.post(store(0, 8, 1)).unwrap();
        drop(queue);
        assert!(events.next(Duration::MAX).is_some());
        assert_eq!(events.next(Duration::MAX), None);
    }
}
