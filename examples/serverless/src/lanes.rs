//! Where a call's guest runs: what is short, on the threads of whoever serves it; what is long, on threads that give way to them.
//!
//! ```text
//! a call ── polled by the server's own threads ── done within SHORT ────────────────► answer
//!                                              └─ longer: moves, as it is ─┐
//! calls of a function that are often longer ───────────────────────────────┴─► background threads, nice: answer
//! ```
//! A guest computes in slices of some milliseconds, so one that spins would take most of a thread from functions that need some microseconds each:
//! whoever takes turns gets as much as its turns are long. The scheduler of the host is the one who can share by time, so it is told.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};

/// Computing that a call does among the others. Far more than a short call takes, far less than a client notices.
const SHORT: Duration = Duration::from_millis(1);
/// What a long call weighs against short ones: of a function that stays with the others at most one call in five is long.
const LONG: u32 = 4;
/// From this weight on, calls begin in the background.
const HEAVY: u32 = 2 * LONG;
/// Whatever a function did, so many short calls bring it back.
const MOST: u32 = HEAVY + 2 * LONG;

/// The lanes of a server.
#[derive(Debug, Clone)]
pub(crate) struct Lanes {
    background: Handle,
}

/// Which lane a function's calls begin in: the weight of its long calls, of which each short one takes 1 away.
#[derive(Debug, Default)]
pub(crate) struct History(AtomicU32);

impl History {
    /// A call took long, or did what costs the host more than an answer.
    pub(crate) fn was_long(&self) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |weight| Some((weight + LONG).min(MOST)));
    }

    fn was_short(&self) {
        // Not written where nothing changes: every call of the function on every core reads it.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |weight| weight.checked_sub(1));
    }

    fn is_heavy(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= HEAVY
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
        if !history.is_heavy() {
            if let Some(done) = begin(history, call.as_mut()).await {
                return Ok(done);
            }
            return AbortOnDrop(self.background.spawn(call)).await;
        }
        let history = Arc::clone(history);
        let here = async move {
            match begin(&history, call.as_mut()).await {
                Some(done) => done,
                None => call.await,
            }
        };
        AbortOnDrop(self.background.spawn(here)).await
    }
}

/// Polls until the call is done or is a long one, and notes which. What counts is the thread's own time: that it had to wait for a processor is not
/// the call's doing, and happens most when the machine is busy.
async fn begin<F: Future>(history: &History, mut call: Pin<&mut F>) -> Option<F::Output> {
    let mut used = Duration::ZERO;
    poll_fn(|task| {
        let began = computed();
        let polled = call.as_mut().poll(task);
        used += computed().saturating_sub(began);
        match polled {
            _ if used >= SHORT => history.was_long(),
            Poll::Ready(_) => history.was_short(),
            Poll::Pending => return Poll::Pending,
        }
        // A long one can be done as well: it had time up to the end of its slice.
        match polled {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => Poll::Ready(None),
        }
    })
    .await
}

/// How long this thread has computed since it began.
fn computed() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
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

    fn heavy() -> Arc<History> {
        let history = Arc::new(History::default());
        history.was_long();
        history.was_long();
        history
    }

    async fn computes(time: Duration) -> ThreadId {
        let began = computed();
        while computed() - began < time {}
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
        assert_eq!(run(Duration::ZERO), here, "one long call is not its function's habit");
        assert_ne!(run(SHORT * 2), here);
        assert_ne!(run(SHORT * 2), here);
        assert_ne!(run(Duration::ZERO), here, "two are: the next one begins there");
        while run(Duration::ZERO) != here {}
    }

    #[test]
    fn calls_that_are_long_and_done_in_one_turn_move_too() {
        let background = background();
        let lanes = Lanes::new(background.handle().clone());
        let front = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let here = std::thread::current().id();
        let history = Arc::new(History::default());
        let one_turn = || async {
            let began = computed();
            while computed() - began < SHORT {}
            std::thread::current().id()
        };
        let ran: Vec<bool> = (0..4).map(|_| front.block_on(lanes.run(&history, one_turn())).unwrap() == here).collect();
        assert_eq!(ran, [true, true, false, false]);
    }

    #[test]
    fn a_call_that_waits_for_a_processor_is_not_long() {
        let background = background();
        let lanes = Lanes::new(background.handle().clone());
        let front = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let here = std::thread::current().id();
        let waits = async {
            std::thread::sleep(SHORT * 4);
            tokio::task::yield_now().await;
            std::thread::current().id()
        };
        assert_eq!(front.block_on(lanes.run(&Arc::default(), waits)).unwrap(), here);
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
        let history = heavy();
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
