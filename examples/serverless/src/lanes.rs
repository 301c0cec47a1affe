//! Where a call's guest runs: what is short, on the threads of whoever serves it; what is long, on threads that give way to them.
//!
//! ```text
//! a call ── polled by the server's own threads ── done within SHORT ────────────────► answer
//!                                              └─ longer: moves, as it is ─┐
//! the next calls of that function ─────────────────────────────────────────┴─► background threads, nice: answer
//! ```
//! A guest computes in slices of some milliseconds, so one that spins would take most of a thread from functions that need some microseconds each:
//! whoever takes turns gets as much as its turns are long. The scheduler of the host is the one who can share by time, so it is told.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};

/// Computing that a call does among the others. Far more than a short call takes, far less than a client notices.
const SHORT: Duration = Duration::from_millis(1);
/// How many short calls in a row show that a function is not long any more.
const TRUST: u32 = 16;

/// The lanes of a server.
#[derive(Debug, Clone)]
pub(crate) struct Lanes {
    background: Handle,
}

/// Which lane a function's calls begin in: not zero is the background's.
#[derive(Debug, Default)]
pub(crate) struct History(AtomicU32);

impl History {
    /// A call took long, or did what costs the host more than an answer.
    pub(crate) fn was_long(&self) {
        self.0.store(TRUST, Ordering::Relaxed);
    }

    fn was_short(&self) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    }

    fn is_long(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Lanes {
    /// `background` is a runtime whose threads give way ([`give_way`]).
    pub(crate) fn new(background: Handle) -> Self {
        Self { background }
    }

    /// Runs a call. Dropping the future drops the call, whichever lane it is in.
    ///
    /// # Errors
    /// If it panicked in the background, or the server ends.
    pub(crate) async fn run<F>(&self, history: &Arc<History>, call: F) -> Result<F::Output, JoinError>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let mut call = Box::pin(call);
        if !history.is_long() {
            if let Some(done) = until(SHORT, call.as_mut()).await {
                return Ok(done);
            }
            history.was_long();
        }
        let history = Arc::clone(history);
        let rest = async move {
            if let Some(done) = until(SHORT, call.as_mut()).await {
                history.was_short();
                return done;
            }
            history.was_long();
            call.await
        };
        AbortOnDrop(self.background.spawn(rest)).await
    }
}

/// Polls until it is done, or has computed for so long.
async fn until<F: Future>(most: Duration, mut future: Pin<&mut F>) -> Option<F::Output> {
    let mut used = Duration::ZERO;
    poll_fn(|task| {
        let began = Instant::now();
        match future.as_mut().poll(task) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => {
                used += began.elapsed();
                if used < most { Poll::Pending } else { Poll::Ready(None) }
            }
        }
    })
    .await
}

/// A task that ends when nobody waits for it any more.
pub(crate) struct AbortOnDrop<T>(pub(crate) JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(task)
    }
}

/// From now on this thread runs when others leave time. `nice` is setpriority(2)'s: 19 gives way most.
pub(crate) fn give_way(nice: i32) {
    // It only raises the number, which everybody may. Without it the server works all the same.
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), nice) {
        tracing::warn!(%error, nice, "a background thread does not give way");
    }
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;

    use super::*;

    async fn computes(time: Duration) -> ThreadId {
        let began = Instant::now();
        while began.elapsed() < time {}
        tokio::task::yield_now().await;
        std::thread::current().id()
    }

    fn background() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap()
    }

    #[test]
    fn long_calls_move_and_their_function_comes_back_when_it_is_short_again() {
        let background = background();
        let lanes = Lanes::new(background.handle().clone());
        let front = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let here = std::thread::current().id();
        let history = Arc::new(History::default());
        let run = |time| front.block_on(lanes.run(&history, computes(time))).unwrap();
        assert_ne!(run(SHORT * 2), here, "a long call moves");
        assert_ne!(run(Duration::ZERO), here, "the next one begins there");
        history.0.store(0, Ordering::Relaxed);
        // What is short is so only if the machine lets it: nothing is promised of how many it takes.
        while run(Duration::ZERO) != here {}
    }

    #[test]
    fn a_call_that_nobody_waits_for_is_dropped_in_the_background_too() {
        struct Tells(std::sync::mpsc::Sender<()>);
        impl Drop for Tells {
            fn drop(&mut self) {
                let _ = self.0.send(());
            }
        }
        let background = background();
        let lanes = Lanes::new(background.handle().clone());
        let (sender, dropped) = std::sync::mpsc::channel();
        let history = Arc::new(History::default());
        history.was_long();
        let tells = Tells(sender);
        let mut call = Box::pin(lanes.run(&history, async move {
            let _tells = tells;
            std::future::pending::<()>().await;
        }));
        assert!(call.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
        drop(call);
        dropped.recv().unwrap();
    }
}
