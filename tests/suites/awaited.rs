//! What guests that wait in awaited calls leave in their process: one thread that wakes tasks, however many there were, and what it waits with.

use ampoule::{CancelToken, Imports, Sandbox};
use ampoule_tests::{descriptors, honest_call, mappings, program, sandbox, scale, threads};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

fn sleep(sandbox: &mut Sandbox<()>) {
    let mut reply = Vec::new();
    block_on(sandbox.call_bytes_async("waits", b"nanosleep 1000000", &mut reply, &honest_call())).expect("it slept");
}

/// Waits for a time, for bytes that come and for bytes that do not, to the end and not.
fn waits(count: usize) {
    let program = program("waits");
    for _ in 0..count {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let token = CancelToken::new();
        let builder = Sandbox::builder(&program, &Imports::new()).stdin(reader.into());
        let mut sandbox = builder.build(()).expect("a sandbox");
        sleep(&mut sandbox);
        let (mut reply, call) = (Vec::new(), honest_call().cancel(&token));
        {
            let mut future = pin!(sandbox.call_bytes_async("listens", b"poll 3600000", &mut reply, &call));
            while future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                token.cancel();
            }
        }
        let mut rest = Vec::new();
        drop(writer);
        sandbox.resume_bytes(&mut rest, &honest_call()).expect("the end");
        let mut future = pin!(sandbox.call_bytes_async("waits", b"poll 3600000000000", &mut reply, &call));
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready(), "it is cancelled");
    }
}

pub(crate) fn waits_leak_nothing() {
    waits(3);
    let before = (descriptors(), threads(), mappings());
    waits(scale(20));
    assert_eq!((descriptors(), threads(), mappings()), before);
}

/// Every other thread sleeps: it holds no lock that the child of a fork would wait for.
fn all_others_sleep() -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").expect("the threads");
    let own = rustix::thread::gettid().as_raw_nonzero().to_string();
    tasks.map(|task| task.expect("a thread")).filter(|task| *task.file_name() != *own).all(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).expect("its state");
        stat.rsplit(") ").next().is_some_and(|state| state.starts_with('S'))
    })
}

pub(crate) fn a_fork_wakes_its_own() {
    let mut sandbox = sandbox(&program("waits"), &Imports::new());
    sleep(&mut sandbox);
    while !all_others_sleep() {
        std::thread::yield_now();
    }
    // SAFETY: all other threads of this process sleep, so that nothing is half done in its fork.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let right = std::panic::catch_unwind(|| waits(2));
        // SAFETY: ends this process; nothing of the parent's is run at its exit.
        unsafe { libc::_exit(i32::from(right.is_err())) };
    }
    let pid = rustix::process::Pid::from_raw(child).expect("a child");
    let (_, status) = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())
        .expect("the child's end")
        .expect("an end");
    assert_eq!(status.exit_status(), Some(0), "the child said why");
    sleep(&mut sandbox);
}
