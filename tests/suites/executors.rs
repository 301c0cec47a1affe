//! Executors of which a test knows everything: one future on one thread, one that is on another thread at each poll, many tasks on as many
//! threads as one likes; and a gate for futures to wait at.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs one future on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

/// Runs one future, each poll on a thread that did not exist before. Says how many there were.
pub(crate) fn block_on_many_threads<F: Future<Output: Send> + Send>(future: F) -> (F::Output, usize) {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut polls = 0;
    loop {
        polls += 1;
        let poll = || future.as_mut().poll(&mut Context::from_waker(&waker));
        if let Poll::Ready(output) = std::thread::scope(|scope| scope.spawn(poll).join()).expect("no panic") {
            return (output, polls);
        }
        std::thread::park();
    }
}

type Body = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tasks of which as many run at once as there are threads in [`run`](Self::run).
#[derive(Default)]
pub(crate) struct Tasks {
    ready: Mutex<VecDeque<Arc<Task>>>,
    changed: Condvar,
    unfinished: AtomicUsize,
}

struct Task {
    /// None once it is done.
    body: Mutex<Option<Body>>,
    /// It is in the queue.
    queued: AtomicBool,
    tasks: Arc<Tasks>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            let tasks = Arc::clone(&self.tasks);
            tasks.ready.lock().expect("a lock").push_back(self);
            tasks.changed.notify_all();
        }
    }
}

impl Tasks {
    /// Adds a task, which begins in [`run`](Self::run).
    pub(crate) fn spawn(self: &Arc<Self>, body: impl Future<Output = ()> + Send + 'static) {
        self.unfinished.fetch_add(1, Ordering::SeqCst);
        let body: Body = Box::pin(body);
        Arc::new(Task { body: Mutex::new(Some(body)), queued: AtomicBool::new(false), tasks: Arc::clone(self) }).wake();
    }

    /// Runs one task as far as it goes.
    fn turn(&self, task: &Arc<Task>) {
        task.queued.store(false, Ordering::SeqCst);
        let mut body = task.body.lock().expect("a lock");
        let waker = Waker::from(Arc::clone(task));
        let done = body.as_mut().is_some_and(|body| body.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        if done {
            *body = None;
            self.unfinished.fetch_sub(1, Ordering::SeqCst);
            drop(self.ready.lock().expect("a lock"));
            self.changed.notify_all();
        }
    }

    /// Runs all tasks until each waits for something, or is done.
    pub(crate) fn run_until_they_wait(&self) {
        while let Some(task) = { self.ready.lock().expect("a lock").pop_front() } {
            self.turn(&task);
        }
    }

    /// Runs all tasks to their end; several threads may do so at once.
    pub(crate) fn run(&self) {
        let mut ready = self.ready.lock().expect("a lock");
        while self.unfinished.load(Ordering::SeqCst) != 0 {
            if let Some(task) = ready.pop_front() {
                drop(ready);
                self.turn(&task);
                ready = self.ready.lock().expect("a lock");
            } else {
                ready = self.changed.wait(ready).expect("a lock");
            }
        }
    }
}

/// What host functions wait for.
#[derive(Default)]
pub(crate) struct Gate(Mutex<(bool, Vec<Waker>)>);

impl Gate {
    /// How many wait, or have waited, since it was closed.
    pub(crate) fn waiting(&self) -> usize {
        self.0.lock().expect("a lock").1.len()
    }

    /// Whoever comes next waits again.
    pub(crate) fn close(&self) {
        *self.0.lock().expect("a lock") = (false, Vec::new());
    }

    /// Lets everybody through.
    pub(crate) fn open(&self) {
        let mut state = self.0.lock().expect("a lock");
        state.0 = true;
        state.1.drain(..).for_each(Waker::wake);
    }

    /// Waits until it is open.
    pub(crate) async fn wait(&self) {
        std::future::poll_fn(|task| {
            let mut state = self.0.lock().expect("a lock");
            if state.0 {
                return Poll::Ready(());
            }
            state.1.push(task.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
