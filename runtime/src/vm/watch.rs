//! The limits of one run: a wall deadline, a CPU budget and a cancel token, enforced by the host alone.
//!
//! ```text
//! begin ── block the kick ── register with the token ──┐
//!    ┌────────────────────────────────────────────────┘
//!    ├─ enter: arm the timer ── KVM_RUN ── interrupted? decide from the clocks and the token, never from EINTR
//!    ├─ check: between exits and inside long host work
//!    ├─ wait:  ppoll on a descriptor and on the kick; in a slice of a task's run, what the task has to wait for
//! drop ── unregister ── disarm ── drain ── restore the mask
//! ```
//!
//! CPU-clock timers fire milliseconds late (they are driven by the tick), so the timer runs on `CLOCK_MONOTONIC` for what is left
//! of the budget, and the thread's CPU clock is read when it fires.

use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use super::cancel::{CancelToken, Nudge};
use super::clock::{self, Nanos};
use super::cpu;
use super::error::HostError;
use super::kick::{Blocked, ThreadTimer};
use super::parked::{CutShort, Done, Parked};
use super::seam::{self, HostCall};

/// What a run may use.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    /// Wall time, from [`Watch::begin`] on.
    pub(crate) wall: Nanos,
    /// CPU time of the thread, from [`Watch::begin`] on.
    pub(crate) cpu: Nanos,
    /// Each of them ends the run from another thread.
    pub(crate) cancel: [Option<CancelToken>; 2],
    /// Interrupts it, and nothing more.
    pub(crate) nudge: Option<Nudge>,
    /// It may write to pipes, whose readers may be gone.
    pub(crate) pipes: bool,
    /// The guest is interrupted so often, whatever it does.
    pub(crate) tick: Option<Nanos>,
    /// It is a slice of a run that a task drives.
    pub(crate) slice: Option<Slice>,
}

/// A piece of a run that goes on later, perhaps on another thread: nobody holds a thread while its guest waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice {
    /// CPU time that the run has used before.
    pub(crate) spent: Nanos,
}

/// Why a run must end now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Its wall time is over.
    Wall,
    /// Its CPU time is over.
    Cpu,
    /// Its token was cancelled.
    Cancelled,
}

/// A run must end, or the host failed.
#[derive(Debug)]
pub(crate) enum Halted {
    /// A limit.
    Stop(Stop),
    /// The host.
    Host(HostError),
}

impl From<Stop> for Halted {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<HostError> for Halted {
    fn from(error: HostError) -> Self {
        Self::Host(error)
    }
}

/// Why a wait ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The descriptor is ready, or has an error to report.
    Ready,
    /// The time that was asked for is over.
    TimedOut,
}

/// The limits of the run in progress on this thread.
#[derive(Debug)]
pub(crate) struct Watch {
    timer: Rc<ThreadTimer>,
    /// Restores the signal mask; dropped after everything in `drop` below.
    blocked: Blocked,
    run: u64,
    budget: Budget,
    began: Nanos,
    cpu_began: Nanos,
    wall_deadline: Nanos,
    /// The CPU budget cannot be over before this point in wall time.
    cpu_check: Nanos,
    waited: Nanos,
    /// The signal mask for `KVM_RUN` that lets everybody's signals in.
    open_mask: u64,
    /// Entries in a row that somebody else's signal cut short.
    cut_short: u32,
}

/// Somebody who sends signals faster than the guest can be entered would keep it from running at all. After so many entries cut short…
const PATIENCE: u32 = 2;
/// …the next one lasts so long, with only the kick let in; the others' signals are delivered after it.
const SLICE: Nanos = 500_000;
/// What takes no longer the thread waits for by itself: to go away and to come back takes as long.
const BRIEF: Nanos = 100_000;

impl Watch {
    /// Begins a run on this thread.
    pub(crate) fn begin(budget: Budget) -> Result<Self, HostError> {
        static NEXT_RUN: AtomicU64 = AtomicU64::new(1);
        let timer = ThreadTimer::current()?;
        let blocked = Blocked::new(timer.id(), budget.pipes)?;
        for token in budget.cancel.iter().flatten() {
            token.watch(timer.id());
        }
        if let Some(nudge) = &budget.nudge {
            nudge.watch(timer.id());
        }
        let began = clock::monotonic();
        Ok(Self {
            open_mask: blocked.mask_inside(),
            cut_short: 0,
            blocked,
            run: NEXT_RUN.fetch_add(1, Ordering::Relaxed),
            began,
            cpu_began: cpu::at(began),
            wall_deadline: began.saturating_add(budget.wall),
            cpu_check: began.saturating_add(budget.cpu),
            waited: 0,
            timer,
            budget,
        })
    }

    /// The signal mask that the next `KVM_RUN` must have.
    pub(crate) fn mask_inside(&self) -> u64 {
        if self.cut_short < PATIENCE { self.open_mask } else { !self.blocked.kick_bit() }
    }

    /// Call before each `KVM_RUN`: makes sure that the timer stands for this run.
    pub(crate) fn enter(&self) -> Result<(), HostError> {
        if self.timer.is_armed_by(self.run) { Ok(()) } else { self.arm() }
    }

    /// Call when `KVM_RUN` was interrupted: takes the signal away and decides from the clocks and the token.
    pub(crate) fn interrupted(&mut self) -> Result<(), Halted> {
        self.cut_short = if self.blocked.drain() { 0 } else { self.cut_short.saturating_add(1) };
        self.timer.forget();
        self.check()?;
        Ok(self.arm()?)
    }

    /// Is it over? Some 50 ns; for every exit and for each bounded piece of long host work.
    pub(crate) fn check(&mut self) -> Result<(), Stop> {
        if self.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        let now = clock::monotonic();
        if now >= self.wall_deadline {
            return Err(Stop::Wall);
        }
        if now >= self.cpu_check {
            let left = self.budget.cpu.saturating_sub(cpu::exactly().saturating_sub(self.cpu_began));
            if left == 0 {
                return Err(Stop::Cpu);
            }
            self.cpu_check = now.saturating_add(left);
        }
        Ok(())
    }

    /// Waits until one of `fds` is ready, until the point in time `until`, or until the run must end.
    pub(crate) fn wait(&mut self, fds: &[(BorrowedFd<'_>, PollFlags)], until: Option<Nanos>) -> Result<Woken, Halted> {
        let from = clock::monotonic();
        let result = self.wait_until(fds, until);
        cpu::slept();
        self.waited = self.waited.saturating_add(clock::monotonic().saturating_sub(from));
        result
    }

    /// The same for a system call that has done so much. If that is nothing, and a task drives the run, the thread does not wait.
    pub(crate) fn wait_in_call(
        &mut self,
        done: Done,
        fds: &[(BorrowedFd<'_>, PollFlags)],
        until: Option<Nanos>,
    ) -> Result<Woken, CutShort> {
        let is_brief = |until: Nanos| until.saturating_sub(clock::monotonic()) <= BRIEF;
        if self.budget.slice.is_none() || done == Done::Something || until.is_some_and(is_brief) {
            return Ok(self.wait(fds, until)?);
        }
        self.check()?;
        if !fds.is_empty() && self.poll(fds, 0)? {
            return Ok(Woken::Ready);
        }
        Err(CutShort::Parked(Parked::new(fds, until)?))
    }

    fn wait_until(&mut self, fds: &[(BorrowedFd<'_>, PollFlags)], until: Option<Nanos>) -> Result<Woken, Halted> {
        loop {
            self.check()?;
            let now = clock::monotonic();
            if until.is_some_and(|until| now >= until) {
                return Ok(Woken::TimedOut);
            }
            let wake = until.unwrap_or(Nanos::MAX).min(self.wall_deadline);
            if self.poll(fds, wake.saturating_sub(now))? {
                return Ok(Woken::Ready);
            }
        }
    }

    /// Polls once, for so long at most: true if one of `fds` is ready. A kick ends it, too.
    fn poll(&mut self, fds: &[(BorrowedFd<'_>, PollFlags)], time: Nanos) -> Result<bool, HostError> {
        let timer = Rc::clone(&self.timer);
        let timeout = clock::timespec(time);
        let mut polled = Vec::with_capacity(fds.len() + 1);
        polled.push(PollFd::from_borrowed_fd(timer.notices()?, PollFlags::IN));
        polled.extend(fds.iter().map(|&(fd, events)| PollFd::from_borrowed_fd(fd, events)));
        match seam::raw(HostCall::Poll, || Ok(rustix::event::poll(&mut polled, Some(&timeout))?)) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => return Ok(false),
            Err(source) => return Err(HostError::Call { call: HostCall::Poll, source }),
        }
        let mut polled = polled.iter();
        if polled.next().is_some_and(|notice| !notice.revents().is_empty()) {
            self.blocked.drain();
            // The timer may have been what we took: it has to stand again before the next entry.
            self.timer.forget();
        }
        Ok(polled.any(|fd| !fd.revents().is_empty()))
    }

    /// Wall time that is left.
    pub(crate) fn wall_left(&self) -> Nanos {
        self.wall_deadline.saturating_sub(clock::monotonic())
    }

    /// When the wall time is over, on `CLOCK_MONOTONIC`.
    pub(crate) fn wall_deadline(&self) -> Nanos {
        self.wall_deadline
    }

    /// True once one of the run's tokens was cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.budget.cancel.iter().flatten().any(CancelToken::is_cancelled)
    }

    /// Wall time since the run began.
    pub(crate) fn wall_used(&self) -> Nanos {
        clock::monotonic().saturating_sub(self.began)
    }

    /// CPU time since the run began, earlier slices included: what the program is told, and never less than before.
    pub(crate) fn cpu_used_exactly(&self) -> Nanos {
        let spent = self.budget.slice.map_or(0, |slice| slice.spent);
        cpu::exactly().saturating_sub(self.cpu_began).saturating_add(spent)
    }

    /// CPU time of this thread since the run began, to a quarter of a millisecond.
    pub(crate) fn cpu_used(&self) -> Nanos {
        cpu::at(clock::monotonic()).saturating_sub(self.cpu_began)
    }

    /// Wall time spent waiting in the host.
    pub(crate) fn waited(&self) -> Nanos {
        self.waited
    }

    fn arm(&self) -> Result<(), HostError> {
        let mut at = self.wall_deadline.min(self.cpu_check);
        if let Some(tick) = self.budget.tick {
            at = at.min(clock::monotonic().saturating_add(tick));
        }
        if self.cut_short >= PATIENCE {
            at = at.min(clock::monotonic().saturating_add(SLICE));
        }
        self.timer.arm(self.run, at)?;
        // A cancel may have fired the timer just before (`kick::send`).
        if self.is_cancelled() { self.timer.arm(self.run, 0) } else { Ok(()) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for token in self.budget.cancel.iter().flatten() {
            token.unwatch(self.timer.id());
        }
        if let Some(nudge) = &self.budget.nudge {
            nudge.unwatch(self.timer.id());
        }
        // From here on nobody sends a kick. A cancel may have fired the timer although this run had not armed it (`kick::send`).
        if self.is_cancelled() {
            self.timer.stop();
        } else if self.budget.nudge.is_some() {
            // A nudge may have fired the timer as well: what it was armed for says nothing any more.
            self.timer.disarm(self.run);
        } else if self.timer.leave(self.run) {
            self.blocked.set_quiet();
        }
    }
}

#[cfg(test)]
mod tests;
