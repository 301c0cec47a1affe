//! The thread that keeps enough sandboxes ready in the background, and destroys those that nobody wanted for a while.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::{Idle, Inner};
use crate::vm::error::HostError;
use crate::vm::seam::HostCall;

/// How the thread is called.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    called: Mutex<Called>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Called {
    /// There may be something to do.
    now: bool,
    /// The pool is gone.
    over: bool,
}

impl Keeper {
    /// Something has changed: there may be too few.
    pub(super) fn call(&self) {
        self.called.lock().now = true;
        self.bell.notify_one();
    }

    /// The thread ends.
    pub(super) fn end(&self) {
        self.called.lock().over = true;
        self.bell.notify_one();
    }

    /// Waits until it is called or `time` is over; false if the pool is gone.
    fn wait(&self, time: Duration) -> bool {
        let mut called = self.called.lock();
        if !called.now && !called.over {
            self.bell.wait_for(&mut called, time);
        }
        called.now = false;
        !called.over
    }
}

/// Starts the thread of a pool.
pub(super) fn start<T: Send + 'static>(inner: &Arc<Inner<T>>) -> Result<(), HostError> {
    let (pool, keeper) = (Arc::downgrade(inner), Arc::clone(&inner.keeper));
    // Twice in the time that a sandbox may be idle: it goes after at most one and a half of it.
    let pace = (inner.idle_time / 2).max(Duration::from_millis(1));
    std::thread::Builder::new()
        .name("ampoule-pool".to_owned())
        .spawn(move || while keeper.wait(pace) && keep(&pool).is_some() {})
        .map_err(|source| HostError::Call { call: HostCall::Thread, source })?;
    Ok(())
}

/// Makes what is missing and destroys what is too much; none if the pool is gone.
fn keep<T: Send>(pool: &Weak<Inner<T>>) -> Option<()> {
    let inner = pool.upgrade()?;
    while inner.idle() < inner.warm && inner.admit() {
        let made = inner.current().and_then(|(snapshot, epoch)| Some((inner.make(&snapshot).ok()?, epoch)));
        let Some((home, epoch)) = made else {
            // Whoever takes one is told why; and somebody may wait for this one.
            inner.count.fetch_sub(1, Ordering::AcqRel);
            inner.waiting.wake_one();
            break;
        };
        inner.alive.fetch_add(1, Ordering::SeqCst);
        inner.put(home, epoch);
    }
    let mut surplus = inner.idle().saturating_sub(inner.warm);
    for shard in &inner.shards {
        let mut old = Vec::new();
        {
            let mut shard = shard.lock();
            // The oldest are first.
            while surplus > 0 && shard.idle.first().is_some_and(|idle| idle.since.elapsed() >= inner.idle_time) {
                old.push(shard.idle.remove(0));
                surplus -= 1;
            }
        }
        for Idle { home, .. } in old {
            drop(home);
            inner.dismiss();
            // For its place, or its memory.
            inner.waiting.wake_one();
        }
    }
    Some(())
}
