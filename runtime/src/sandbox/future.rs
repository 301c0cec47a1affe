//! Calls that hold no thread while they wait: for a task of any executor.
//!
//! ```text
//! poll ── run the guest for a slice ── answered ──► ready
//!                                   ── slice over ► woken again at once: others get their turn
//!                                   ── host function pending ► woken by it, by the deadline, or by the cancel token
//!                                   ── guest waits ► woken when what it waits for is there, by the deadline, or by the token
//! ```
//! The guest runs on whatever thread polls, which is another each time if the executor likes; the limits are one account over all polls.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::State;
use super::core::{Answer, Driven};
use super::error::CallError;
use super::func::Func;
use super::halt::{Halt, Pause};
use super::imports::poll;
use super::instance::{Sandbox, prepare};
use super::rest::{Rest, SLICE};
use super::session::{Used, decoded};
use crate::limits::Call;
use crate::vm::clock::{self, Nanos};
use crate::vm::parked::Parked;
use crate::vm::watch::{Budget, Slice, Watch};

impl<T: Send> Sandbox<T> {
    /// Calls a function within limits, as a future: the guest runs while it is polled, a few milliseconds at a time. No thread waits for the
    /// host's [async functions](crate::Imports::async_func), nor for a guest that sleeps, that waits for a lock on a host's file, or that waits
    /// until one of its streams has something or takes something.
    ///
    /// The thread that polls does wait, until the end of its turn, for a sleep of less than a tenth of a millisecond; and for as long as it takes
    /// where a guest writes more to a pipe than the pipe takes and a part of it is written already, and in a `sendfile` to a stream that is full.
    ///
    /// Dropping it stops the call: the sandbox is then [`State::Stopped`], and [`resume`](Self::resume) goes on. A sleep that was stopped goes on with
    /// the rest.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_async<'a, A: Serialize, R: DeserializeOwned>(
        &'a mut self,
        func: &'a Func<A, R>,
        arguments: A,
        call: &Call,
    ) -> impl Future<Output = Result<R, CallError>> + Send + use<'a, T, A, R> {
        let begun = self.session.encoded(func, &arguments).and_then(|encoded| {
            let core = self.home.core()?;
            let ordinal = self.session.call(&func.name, |name| core.export(name))?;
            Ok((ordinal, encoded))
        });
        let running = begun.map(|(ordinal, encoded)| Running::new(self, ordinal, encoded, call.clone()));
        async move { decoded(func, &running?.await?.home.core()?.reply) }
    }

    /// The same for a function that takes and returns bytes as they are. The reply replaces what is in `reply`.
    ///
    /// # Errors
    /// As [`call`](Self::call); `reply` is then empty.
    pub fn call_bytes_async<'a>(
        &'a mut self,
        name: &str,
        arguments: &[u8],
        reply: &'a mut Vec<u8>,
        call: &Call,
    ) -> impl Future<Output = Result<(), CallError>> + Send + use<'a, T> {
        reply.clear();
        let mut copied = std::mem::take(&mut self.session.arguments);
        copied.clear();
        copied.extend_from_slice(arguments);
        let begun = self
            .home
            .core()
            .map_err(CallError::from)
            .and_then(|core| self.session.call_by_name(name, |name| core.export(name)));
        let running = begun.map(|ordinal| Running::new(self, ordinal, copied, call.clone()));
        async move {
            let sandbox = running?.await?;
            std::mem::swap(&mut sandbox.home.core()?.reply, reply);
            Ok(())
        }
    }
}

/// A call in progress.
struct Running<'a, T> {
    /// None once it is over.
    sandbox: Option<&'a mut Sandbox<T>>,
    ordinal: u32,
    /// Until it has begun.
    arguments: Option<Vec<u8>>,
    call: Call,
    deadline: Nanos,
    cpu_left: Nanos,
    /// It has returned [`Poll::Pending`] and waits.
    rest: Option<Rest>,
}

impl<'a, T> Running<'a, T> {
    fn new(sandbox: &'a mut Sandbox<T>, ordinal: u32, arguments: Vec<u8>, call: Call) -> Self {
        let (wall, cpu) = call.times();
        let deadline = clock::monotonic().saturating_add(clock::from_duration(wall));
        let cpu_left = clock::from_duration(cpu);
        let (sandbox, arguments) = (Some(sandbox), Some(arguments));
        Self { sandbox, ordinal, arguments, call, deadline, cpu_left, rest: None }
    }
}

/// What came of a poll.
enum Polled {
    Answered(Answer),
    /// Its slice is over.
    Yielded,
    /// It waits for a host function.
    Waiting,
    /// The guest waits.
    Parked(Parked),
}

impl<'a, T> Future for Running<'a, T> {
    type Output = Result<&'a mut Sandbox<T>, CallError>;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let running = self.get_mut();
        let Some(sandbox) = running.sandbox.take() else {
            // Polled again after it was ready, which futures need not allow.
            return Poll::Ready(Err(CallError::NotStopped { name: String::new() }));
        };
        if let Some(mut rest) = running.rest.take() {
            // A host function's future decides by itself.
            if !sandbox.home.awaits_host() && !rest.is_over(task.waker()) {
                (running.sandbox, running.rest) = (Some(sandbox), Some(rest));
                return Poll::Pending;
            }
            sandbox.session.used.add(rest.used());
        }
        if let Some(arguments) = running.arguments.take() {
            let begun = sandbox.home.core().map_err(CallError::from).and_then(|core| core.check_length(&arguments));
            sandbox.session.arguments = arguments;
            if let Err(error) = begun {
                return Poll::Ready(Err(error));
            }
            sandbox.session.used = Used::default();
        } else if sandbox.session.state != State::Stopped {
            return Poll::Ready(Err(CallError::State(sandbox.session.state)));
        }
        let polled = running.slice(sandbox, task);
        match polled {
            Ok(Polled::Answered(answer)) => {
                let Sandbox { home, session } = sandbox;
                let answered = home
                    .core()
                    .map_err(CallError::from)
                    .and_then(|core| session.answered(answer, &core.reply, core.failed.take(), core.limits.message()));
                Poll::Ready(answered.map(|()| sandbox))
            }
            Ok(Polled::Yielded) => {
                task.waker().wake_by_ref();
                running.sandbox = Some(sandbox);
                Poll::Pending
            }
            Ok(Polled::Waiting) => running.rest(sandbox, Parked { until: None, files: Vec::new() }, task),
            Ok(Polled::Parked(parked)) => running.rest(sandbox, parked, task),
            Err(halt) => Poll::Ready(Err(sandbox.session.halted(halt))),
        }
    }
}

impl<T> Drop for Running<'_, T> {
    fn drop(&mut self) {
        if let (Some(rest), Some(sandbox)) = (&self.rest, &mut self.sandbox) {
            sandbox.session.used.add(rest.used());
        }
    }
}

impl<'a, T> Running<'a, T> {
    /// Sees that the task is woken when it is time.
    fn rest(
        &mut self,
        sandbox: &'a mut Sandbox<T>,
        parked: Parked,
        task: &TaskContext<'_>,
    ) -> Poll<<Self as Future>::Output> {
        match Rest::begin(parked, self.deadline, [self.call.token().cloned(), None], task.waker()) {
            Ok(rest) => {
                (self.sandbox, self.rest) = (Some(sandbox), Some(rest));
                Poll::Pending
            }
            // The guest is as it was, and can be resumed.
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    /// Runs the guest for a slice.
    fn slice(&mut self, sandbox: &mut Sandbox<T>, task: &mut TaskContext<'_>) -> Result<Polled, Halt> {
        let Sandbox { home, session } = sandbox;
        let core = home.core()?;
        let now = clock::monotonic();
        let is_first = session.state == State::Ready;
        let pause = session.pause.replace(Pause::Between);
        // What unwinds from here, out of a listener, leaves it in the middle of a call.
        session.state = State::Poisoned;
        let mut watch = Watch::begin(Budget {
            wall: self.deadline.saturating_sub(now),
            cpu: self.cpu_left,
            cancel: [self.call.token().cloned(), None],
            nudge: core.events.as_ref().map(|events| events.nudge().clone()),
            pipes: core.streams.has_files(),
            tick: Some(SLICE),
            slice: Some(Slice { spent: if is_first { 0 } else { session.used.cpu } }),
        })?;
        let end = now.saturating_add(SLICE);
        let driven = if is_first {
            prepare(core, &self.call, &watch)
                .and_then(|()| core.deliver(self.ordinal.into(), &session.arguments, &mut watch))
                .and_then(|()| core.drive_until(&mut session.data, &mut watch, end))
        } else if let Err(stop) = watch.check() {
            Err(Halt::stopped(stop, pause.unwrap_or(Pause::Between)))
        } else if let Some(mut waiting) = core.waiting.take() {
            match poll(&mut waiting.future, task)? {
                Poll::Ready(result) => core
                    .machine
                    .attach(watch.mask_inside())
                    .map_err(Halt::from)
                    .and_then(|()| core.finish_waiting(&waiting, result, &mut watch))
                    .and_then(|()| core.drive_until(&mut session.data, &mut watch, end)),
                Poll::Pending => {
                    core.waiting = Some(waiting);
                    session.state = State::Stopped;
                    let over = watch.check().map_err(|stop| Halt::stopped(stop, Pause::Between));
                    return over.map(|()| Polled::Waiting);
                }
            }
        } else {
            core.machine
                .attach(watch.mask_inside())
                .map_err(Halt::from)
                .and_then(|()| core.go_on_until(pause.unwrap_or(Pause::Between), &mut session.data, &mut watch, end))
        };
        if !matches!(driven, Err(Halt::End(_, Pause::Before))) {
            // Whatever becomes of this future, the call has begun.
            session.state = State::Stopped;
        }
        let used = match driven {
            Ok(Driven::Answered(_)) => Used::of(&watch),
            _ => Used::of_slice(&watch, session.used.cpu),
        };
        self.cpu_left = self.cpu_left.saturating_sub(used.cpu);
        session.used.add(used);
        if let Err(Halt::Parked(parked)) = driven {
            session.pause = Some(Pause::Syscall);
            return Ok(Polled::Parked(parked));
        }
        match driven? {
            Driven::Answered(answer) => Ok(Polled::Answered(answer)),
            Driven::Yielded => Ok(Polled::Yielded),
            // It may be ready already, and it has to know whom to wake.
            Driven::Waiting => Ok(Polled::Yielded),
        }
    }
}
