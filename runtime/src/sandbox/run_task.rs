//! A program's run as a task of any executor: in slices on whatever thread polls, and on none while the program waits.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::course::{Course, Pass};
use super::rest::{Rest, SLICE};
use super::run::{Job, Outcome, budget};
use super::session::Used;
use crate::error::RunError;
use crate::linux::reply::Refusal;
use crate::linux::streams::Streams;
use crate::vm::clock::{self, Nanos};
use crate::vm::watch::{Budget, Slice, Watch};

/// See the module's documentation. Dropping it ends the run.
#[derive(Debug)]
pub(crate) struct RunTask<C> {
    job: Job,
    pub(crate) streams: Streams,
    close: C,
    course: Course,
    began: Nanos,
    /// It waits.
    rest: Option<Rest>,
}

impl<C> RunTask<C> {
    /// The run's time begins. `close` is as in [`run`](super::run::run), and may be asked again while it waits.
    pub(crate) fn new(job: Job, streams: Streams, close: C) -> Result<Self, RunError> {
        let course = Course::new()?;
        Ok(Self { job, streams, close, course, began: clock::monotonic(), rest: None })
    }
}

impl<C: FnMut(&mut Streams, &mut Watch) -> Result<(), Refusal> + Unpin> Future for RunTask<C> {
    type Output = Result<Outcome, RunError>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().go_on(task)
    }
}

impl<C: FnMut(&mut Streams, &mut Watch) -> Result<(), Refusal>> RunTask<C> {
    fn go_on(&mut self, task: &Context<'_>) -> Poll<Result<Outcome, RunError>> {
        let Self { job, streams, close, course, began, rest } = self;
        if let Some(resting) = rest {
            if !resting.is_over(task.waker()) {
                return Poll::Pending;
            }
            course.used.add(resting.used());
            *rest = None;
        }
        let whole = budget(job);
        let (now, deadline) = (clock::monotonic(), began.saturating_add(whole.wall));
        // The turns of others are in it.
        course.used.wall = now.saturating_sub(*began);
        let spent = course.used.cpu;
        let tokens = whole.cancel.clone();
        let mut watch = Watch::begin(Budget {
            wall: deadline.saturating_sub(now),
            cpu: whole.cpu.saturating_sub(spent),
            tick: Some(SLICE),
            slice: Some(Slice { spent }),
            ..whole
        })?;
        let parked = match course.go_on(job, streams, &mut watch, now.saturating_add(SLICE), close)? {
            Pass::Over(outcome) => return Poll::Ready(Ok(*outcome)),
            Pass::Later(parked) => parked,
        };
        course.used.add(Used::of_slice(&watch, spent));
        drop(watch);
        match parked {
            Some(parked) => *rest = Some(Rest::begin(parked, deadline, tokens, task.waker())?),
            None => task.waker().wake_by_ref(),
        }
        Poll::Pending
    }
}
