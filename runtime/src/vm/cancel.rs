//! Cancelling a run from another thread.
//!
//! A token is sticky and belongs to the runs it was given to: cancelled before, it ends the run at once; cancelled after, it hits
//! nothing. The kick is sent while the list of watchers is locked, and a run leaves the list before it ends, so a late cancel cannot
//! reach whatever the thread does next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    watchers: Mutex<Vec<kick::ThreadId>>,
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
        for &thread in self.shared.watchers.lock().iter() {
            kick::send(thread);
        }
    }

    /// True once [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Ordering::SeqCst)
    }

    /// From now on `thread` is kicked by a cancel.
    pub(super) fn watch(&self, thread: kick::ThreadId) {
        self.shared.watchers.lock().push(thread);
    }

    /// Undoes one `watch`. No kick is sent after this returns.
    pub(super) fn unwatch(&self, thread: kick::ThreadId) {
        let mut watchers = self.shared.watchers.lock();
        if let Some(position) = watchers.iter().position(|&watcher| watcher == thread) {
            watchers.swap_remove(position);
        }
    }
}
