//! Those who wait for a sandbox: threads and tasks alike, in the order in which they came.
//!
//! Whoever waits puts itself on the list *before* it looks once more; whoever gives something back puts it down *before* it looks at the
//! list. So one of the two sees the other. Whoever is woken and does not want it any more wakes the next.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::task::{Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Instant;

use parking_lot::Mutex;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    list: Mutex<VecDeque<Arc<Waiter>>>,
    /// Its length, to be read without the lock.
    count: AtomicUsize,
}

/// How to look for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Not where somebody else looks at the moment.
    Quickly,
    /// Whoever waits afterwards must not have missed anything.
    Everywhere,
}

#[derive(Debug)]
struct Waiter {
    waker: Mutex<Waker>,
    woken: AtomicBool,
}

/// A place on the list, left on drop.
struct Place<'a> {
    waiting: &'a Waiting,
    waiter: Arc<Waiter>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut list = self.waiting.list.lock();
        if let Some(at) = list.iter().position(|waiter| Arc::ptr_eq(waiter, &self.waiter)) {
            list.remove(at);
            self.waiting.count.store(list.len(), Ordering::SeqCst);
        }
        drop(list);
        // It was woken for something that it did not take, or took: then the next finds nothing, and waits on.
        if self.waiter.woken.load(Ordering::SeqCst) {
            self.waiting.wake_one();
        }
    }
}

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Waiting {
    /// How many wait.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Something was put down.
    pub(super) fn wake_one(&self) {
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let first = {
            let mut list = self.list.lock();
            let first = list.pop_front();
            self.count.store(list.len(), Ordering::SeqCst);
            first
        };
        if let Some(first) = first {
            first.woken.store(true, Ordering::SeqCst);
            first.waker.lock().wake_by_ref();
        }
    }

    /// Everything is different.
    pub(super) fn wake_all(&self) {
        for _ in 0..self.count() {
            self.wake_one();
        }
    }

    fn enter(&self, waker: Waker) -> Place<'_> {
        let waiter = Arc::new(Waiter { waker: Mutex::new(waker), woken: AtomicBool::new(false) });
        let mut list = self.list.lock();
        list.push_back(Arc::clone(&waiter));
        self.count.store(list.len(), Ordering::SeqCst);
        drop(list);
        fence(Ordering::SeqCst);
        Place { waiting: self, waiter }
    }

    /// Waits on this thread until `find` finds something, or fails; none once `end` is over.
    pub(super) fn block_until<F, E>(
        &self,
        mut find: impl FnMut(Look) -> Result<Option<F>, E>,
        end: Option<Instant>,
    ) -> Result<Option<F>, E> {
        if let Some(found) = find(Look::Quickly)? {
            return Ok(Some(found));
        }
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        loop {
            let place = self.enter(waker.clone());
            if let Some(found) = find(Look::Everywhere)? {
                return Ok(Some(found));
            }
            while !place.waiter.woken.load(Ordering::SeqCst) {
                let Some(end) = end else {
                    std::thread::park();
                    continue;
                };
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(None);
                }
                std::thread::park_timeout(left);
            }
            // What was put down is this one's: nobody else is woken for it.
            place.waiter.woken.store(false, Ordering::SeqCst);
            if let Some(found) = find(Look::Everywhere)? {
                return Ok(Some(found));
            }
        }
    }

    /// Waits as a task until `find` finds something, or fails.
    pub(super) async fn until<F, E>(&self, mut find: impl FnMut(Look) -> Result<Option<F>, E>) -> Result<F, E> {
        if let Some(found) = find(Look::Quickly)? {
            return Ok(found);
        }
        let mut place: Option<Place<'_>> = None;
        poll_fn(move |task| {
            if let Some(place) = &place {
                if !place.waiter.woken.swap(false, Ordering::SeqCst) {
                    task.waker().clone_into(&mut *place.waiter.waker.lock());
                    // Woken between the look and the new waker: the old one was called.
                    if !place.waiter.woken.swap(false, Ordering::SeqCst) {
                        return Poll::Pending;
                    }
                }
                match find(Look::Everywhere) {
                    Ok(None) => {}
                    Ok(Some(found)) => return Poll::Ready(Ok(found)),
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            place = Some(self.enter(task.waker().clone()));
            match find(Look::Everywhere) {
                Ok(None) => Poll::Pending,
                Ok(Some(found)) => Poll::Ready(Ok(found)),
                Err(error) => Poll::Ready(Err(error)),
            }
        })
        .await
    }
}
