//! Cancelling a run from another thread, and calling it out of the guest for a moment.
//!
//! A token is sticky and belongs to the runs it was given to: cancelled before, it ends the run at once; cancelled after, it hits
//! nothing. The kick is sent while the list of watchers is locked, and a run leaves the list before it ends, so a late cancel cannot
//! reach whatever the thread does next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

use super::kick;

/// Ends the runs that it was given to, from any thread.
///
/// ```
/// let token = ampoule::CancelToken::new();
/// let other = token.clone();
/// std::thread::spawn(move || other.cancel()).join().unwrap();
/// assert!(token.is_cancelled());
/// ```
#[derive(Debug, Clone, Default)]
pub struct CancelToken {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    cancelled: AtomicBool,
    watchers: Watchers,
    wakers: Mutex<Wakers>,
}

/// The tasks that want to be woken.
#[derive(Debug, Default)]
struct Wakers {
    next: u64,
    by_number: BTreeMap<u64, Waker>,
}

/// A task that a cancel wakes; dropping it takes that back.
#[derive(Debug)]
pub(crate) struct OnCancel {
    token: CancelToken,
    number: u64,
}

impl Drop for OnCancel {
    fn drop(&mut self) {
        let waker = self.token.shared.wakers.lock().by_number.remove(&self.number);
        // Somebody else's code, which may come here.
        drop(waker);
    }
}

/// The threads whose runs want to be kicked.
#[derive(Debug, Default)]
struct Watchers(Mutex<Vec<kick::ThreadId>>);

impl Watchers {
    fn kick(&self) {
        for &thread in self.0.lock().iter() {
            kick::send(thread);
        }
    }

    fn add(&self, thread: kick::ThreadId) {
        self.0.lock().push(thread);
    }

    /// Undoes one `add`. No kick is sent after this returns.
    fn remove(&self, thread: kick::ThreadId) {
        let mut watchers = self.0.lock();
        if let Some(position) = watchers.iter().position(|&watcher| watcher == thread) {
            watchers.swap_remove(position);
        }
    }
}

/// Makes the runs that know it come out of the guest for a moment, so that what they posted is seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nudge(Arc<Watchers>);

impl Nudge {
    /// Kicks them all.
    pub(crate) fn nudge(&self) {
        self.0.kick();
    }

    pub(super) fn watch(&self, thread: kick::ThreadId) {
        self.0.add(thread);
    }

    pub(super) fn unwatch(&self, thread: kick::ThreadId) {
        self.0.remove(thread);
    }
}

impl CancelToken {
    /// A token that is not cancelled yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends every run that has this token, now and in the future, with [`End::Cancelled`](crate::End::Cancelled).
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::SeqCst);
        self.shared.watchers.kick();
        let wakers = std::mem::take(&mut self.shared.wakers.lock().by_number);
        wakers.into_values().for_each(Waker::wake);
    }

    /// True once [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Ordering::SeqCst)
    }

    /// From now on a cancel wakes the task. One that came before does not: look again afterwards.
    pub(crate) fn on_cancel(&self, waker: Waker) -> OnCancel {
        let mut wakers = self.shared.wakers.lock();
        let number = wakers.next;
        wakers.next += 1;
        wakers.by_number.insert(number, waker);
        drop(wakers);
        OnCancel { token: self.clone(), number }
    }

    /// From now on `thread` is kicked by a cancel.
    pub(super) fn watch(&self, thread: kick::ThreadId) {
        self.shared.watchers.add(thread);
    }

    /// Undoes one `watch`. No kick is sent after this returns.
    pub(super) fn unwatch(&self, thread: kick::ThreadId) {
        self.shared.watchers.remove(thread);
    }
}
