//! Who may come in: so many at once, and so many that wait for so long. Whoever is too many is told at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::settings::Settings;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Admission {
    permits: Arc<Semaphore>,
    concurrency: usize,
    waiting: AtomicUsize,
    queue: usize,
    wait: Duration,
}

/// Why somebody may not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many wait as may.
    QueueFull { queue: usize },
    /// Its turn did not come in time.
    TimedOut { waited: Duration },
}

/// One of those who are in, until it is dropped.
#[derive(Debug)]
pub(crate) struct Admitted(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl Admission {
    pub(crate) fn new(settings: &Settings) -> Self {
        let count = |setting| usize::try_from(setting).unwrap_or(Semaphore::MAX_PERMITS);
        let concurrency = count(settings.concurrency);
        Self {
            permits: Arc::new(Semaphore::new(concurrency)),
            concurrency,
            waiting: AtomicUsize::new(0),
            queue: count(settings.queue),
            wait: settings.wait(),
        }
    }

    pub(crate) async fn enter(&self) -> Result<Admitted, Refused> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(Admitted(permit));
        }
        let _place = Place::take(&self.waiting, self.queue).ok_or(Refused::QueueFull { queue: self.queue })?;
        match timeout(self.wait, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Admitted(permit)),
            // Nobody closes the semaphore: only the time can be over.
            Ok(Err(_)) | Err(_) => Err(Refused::TimedOut { waited: self.wait }),
        }
    }

    /// How many are in.
    pub(crate) fn running(&self) -> usize {
        self.concurrency.saturating_sub(self.permits.available_permits())
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// A place in the queue. It is left also by those who give up: their future is dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, queue: usize) -> Option<Self> {
        let one_more = |count: usize| (count < queue).then_some(count + 1);
        waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok().map(|_| Self(waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn admission(concurrency: usize, queue: usize) -> Admission {
        Admission {
            permits: Arc::new(Semaphore::new(concurrency)),
            concurrency,
            waiting: AtomicUsize::new(0),
            queue,
            wait: Duration::from_secs(3600),
        }
    }

    #[tokio::test]
    async fn who_is_too_many_is_told_at_once_and_a_place_is_left_by_who_gives_up() {
        let admission = admission(1, 1);
        let first = admission.enter().await.unwrap();
        let mut task = Context::from_waker(Waker::noop());
        {
            let mut second = pin!(admission.enter());
            assert!(second.as_mut().poll(&mut task).is_pending());
            assert_eq!((admission.running(), admission.waiting()), (1, 1));
            let third = pin!(admission.enter()).poll(&mut task);
            assert!(matches!(third, Poll::Ready(Err(Refused::QueueFull { queue: 1 }))));
        }
        assert_eq!(admission.waiting(), 0);
        drop(first);
        drop(admission.enter().await.unwrap());
        assert_eq!((admission.running(), admission.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn whose_turn_does_not_come_in_time_is_told_so() {
        let admission = Admission { wait: Duration::ZERO, ..admission(1, 1) };
        let _first = admission.enter().await.unwrap();
        assert!(matches!(admission.enter().await, Err(Refused::TimedOut { waited: Duration::ZERO })));
    }
}
