//! The limits of one run: a wall deadline, a CPU budget and a cancel token, enforced by the host alone.
//!
//! ```text
//! begin ── block the kick ── register with the token ──┐
//!    ┌────────────────────────────────────────────────┘
//!    ├─ enter: arm the timer ── KVM_RUN ── interrupted? decide from the clocks and the token, never from EINTR
//!    ├─ check: between exits and inside long host work
//!    ├─ wait:  ppoll on a descriptor and on the kick
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

    /// Waits until `fd` is ready, until the point in time `until`, or until the run must end.
    pub(crate) fn wait(&mut self, fds: &[(BorrowedFd<'_>, PollFlags)], until: Option<Nanos>) -> Result<Woken, Halted> {
        let from = clock::monotonic();
        let result = self.wait_until(fds, until);
        cpu::slept();
        self.waited = self.waited.saturating_add(clock::monotonic().saturating_sub(from));
        result
    }

    fn wait_until(&mut self, fds: &[(BorrowedFd<'_>, PollFlags)], until: Option<Nanos>) -> Result<Woken, Halted> {
        let timer = Rc::clone(&self.timer);
        loop {
            self.check()?;
            let now = clock::monotonic();
            if until.is_some_and(|until| now >= until) {
                return Ok(Woken::TimedOut);
            }
            let wake = until.unwrap_or(Nanos::MAX).min(self.wall_deadline);
            let timeout = clock::timespec(wake.saturating_sub(now));
            let mut polled = Vec::with_capacity(fds.len() + 1);
            polled.push(PollFd::from_borrowed_fd(timer.notices()?, PollFlags::IN));
            polled.extend(fds.iter().map(|&(fd, events)| PollFd::from_borrowed_fd(fd, events)));
            match seam::raw(HostCall::Poll, || Ok(rustix::event::poll(&mut polled, Some(&timeout))?)) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => continue,
                Err(source) => {
                    return Err(HostError::Call { call: HostCall::Poll, source }.into());
                }
            }
            let mut polled = polled.iter();
            if polled.next().is_some_and(|notice| !notice.revents().is_empty()) {
                self.blocked.drain();
                // The timer may have been what we took: it has to stand again before the next entry.
                self.timer.forget();
            }
            if polled.any(|fd| !fd.revents().is_empty()) {
                return Ok(Woken::Ready);
            }
        }
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

    /// CPU time of this thread since the run began: what the program is told, and never less than before.
    pub(crate) fn cpu_used_exactly(&self) -> Nanos {
        cpu::exactly().saturating_sub(self.cpu_began)
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
mod tests {
    use super::*;

    const FOREVER: Nanos = Nanos::MAX;

    fn budget(wall: Nanos, cpu: Nanos, cancel: Option<&CancelToken>) -> Budget {
        Budget { wall, cpu, cancel: [cancel.cloned(), None], nudge: None, pipes: true, tick: None }
    }

    #[test]
    fn a_wait_ends_at_the_wall_deadline() {
        let mut watch = Watch::begin(budget(1_000_000, FOREVER, None)).unwrap();
        assert!(matches!(watch.wait(&[], None), Err(Halted::Stop(Stop::Wall))));
    }

    #[test]
    fn a_wait_ends_at_the_time_asked_for_and_is_accounted() {
        let mut watch = Watch::begin(budget(FOREVER, FOREVER, None)).unwrap();
        let until = clock::monotonic() + 1_000_000;
        assert_eq!(watch.wait(&[], Some(until)).unwrap(), Woken::TimedOut);
        assert!(clock::monotonic() >= until);
        assert!(watch.waited() > 0 && watch.wall_used() >= watch.waited());
    }

    #[test]
    fn a_cancel_from_another_thread_ends_a_wait_without_end() {
        let token = CancelToken::new();
        let mut watch = Watch::begin(budget(FOREVER, FOREVER, Some(&token))).unwrap();
        let other = std::thread::spawn(move || token.cancel());
        assert!(matches!(watch.wait(&[], None), Err(Halted::Stop(Stop::Cancelled))));
        other.join().unwrap();
    }

    #[test]
    fn a_cancelled_token_ends_the_next_run_too_and_another_token_does_not() {
        let token = CancelToken::new();
        token.cancel();
        for _ in 0..2 {
            assert_eq!(Watch::begin(budget(FOREVER, FOREVER, Some(&token))).unwrap().check(), Err(Stop::Cancelled));
        }
        assert_eq!(Watch::begin(budget(FOREVER, FOREVER, Some(&CancelToken::new()))).unwrap().check(), Ok(()));
    }

    #[test]
    fn spinning_ends_by_the_cpu_budget_and_waiting_does_not_use_it() {
        let mut watch = Watch::begin(budget(FOREVER, 2_000_000, None)).unwrap();
        let until = clock::monotonic() + 4_000_000;
        assert_eq!(watch.wait(&[], Some(until)).unwrap(), Woken::TimedOut);
        assert_eq!(watch.check(), Ok(()));
        let stop = loop {
            if let Err(stop) = watch.check() {
                break stop;
            }
        };
        assert_eq!(stop, Stop::Cpu);
        assert!(watch.cpu_used() >= 2_000_000);
    }

    #[test]
    fn a_run_inside_a_run_takes_the_timer_and_the_outer_one_arms_it_again() {
        let outer = Watch::begin(budget(FOREVER, FOREVER, None)).unwrap();
        outer.enter().unwrap();
        {
            let inner = Watch::begin(budget(1, FOREVER, None)).unwrap();
            inner.enter().unwrap();
            assert!(!outer.timer.is_armed_by(outer.run));
        }
        assert!(!outer.timer.is_armed_by(outer.run));
        outer.enter().unwrap();
        assert!(outer.timer.is_armed_by(outer.run));
    }

    #[test]
    fn a_timer_that_stands_from_an_earlier_run_strikes_nothing_between_and_no_later_deadline_is_missed() {
        for between in [0, 3_000_000] {
            let watch = Watch::begin(budget(2_000_000, FOREVER, None)).unwrap();
            watch.enter().unwrap();
            let standing = watch.wall_deadline();
            drop(watch);
            let until = clock::monotonic() + between;
            while clock::monotonic() < until {}
            let mut next = Watch::begin(budget(20_000_000, FOREVER, None)).unwrap();
            next.enter().unwrap();
            // What interrupts it first is the timer that stood, if that has not fired yet, and then its own.
            loop {
                while !next.blocked.drain() {
                    let late = clock::monotonic().saturating_sub(next.wall_deadline());
                    assert!(late < 10_000_000_000, "no timer stands for the run");
                }
                assert!(clock::monotonic() >= standing.min(next.wall_deadline()));
                match next.interrupted() {
                    Ok(()) => {}
                    Err(Halted::Stop(stop)) => break assert_eq!(stop, Stop::Wall),
                    Err(Halted::Host(error)) => panic!("{error}"),
                }
            }
            assert!(clock::monotonic() >= next.wall_deadline());
        }
    }

    #[test]
    fn entries_that_others_signals_cut_short_are_followed_by_one_that_only_the_kick_ends() {
        let mut watch = Watch::begin(budget(FOREVER, FOREVER, None)).unwrap();
        let open = watch.mask_inside();
        for _ in 0..PATIENCE {
            assert_eq!(watch.mask_inside(), open);
            watch.interrupted().unwrap();
        }
        assert_eq!(watch.mask_inside(), !watch.blocked.kick_bit());
        // The slice's timer fires; that kick is ours.
        watch.arm().unwrap();
        while !watch.blocked.drain() {}
    }

    #[test]
    fn the_mask_inside_lets_the_kick_in_and_nothing_else() {
        let watch = Watch::begin(budget(FOREVER, FOREVER, None)).unwrap();
        let inner = Watch::begin(budget(FOREVER, FOREVER, None)).unwrap();
        assert_eq!(watch.mask_inside(), inner.mask_inside());
    }
}
