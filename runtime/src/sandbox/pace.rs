//! The limits of a live call, looked at by the thread that waits for its answer: it spins, and reads a clock only now and then.

use std::hint;
use std::time::Duration;

use super::vcpu_thread::Leg;
use crate::end::{End, Limit};
use crate::limits::Call;
use crate::vm::cancel::CancelToken;
use crate::vm::clock::{self, Nanos};

/// Why the waiting is over without an answer.
#[derive(Debug)]
pub(super) enum Paced {
    /// The guest has stopped by itself.
    Over,
    /// It has to be stopped: this is how its call ended.
    Stop(End),
}

/// Polls between two looks at the clock. An answer that comes at once costs no clock.
const POLLS: u32 = 64;
/// Whoever has waited so long lets others run who want the core…
const PATIENT: Nanos = 20_000;
/// …and after so long sleeps, whether they want it or not.
const SPIN: Nanos = 200_000;
/// For about so long at a time.
const NAP: Duration = Duration::from_micros(20);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Pace {
    wall: Nanos,
    cpu: Nanos,
    cancel: Option<CancelToken>,
    host_calls: u64,
    polls: u32,
    /// When the clock was first looked at. The limits count from there: some hundred nanoseconds after the call began.
    began: Option<Nanos>,
    /// What the guest's thread had used when it was first asked.
    cpu_began: Option<Nanos>,
    /// The CPU time cannot be over before.
    cpu_check: Nanos,
}

impl Pace {
    pub(super) fn begin(call: &Call) -> Self {
        let (wall, cpu) = call.times();
        Self {
            wall: clock::from_duration(wall),
            cpu: clock::from_duration(cpu),
            cancel: call.token().cloned(),
            host_calls: call.host_call_count(),
            polls: 0,
            began: None,
            cpu_began: None,
            cpu_check: 0,
        }
    }

    /// Is it over before it begins? Costs no clock.
    pub(super) fn begun(&self) -> Result<(), End> {
        if self.is_cancelled() {
            return Err(End::Cancelled);
        }
        for (left, limit) in [(self.wall, Limit::Wall), (self.cpu, Limit::Cpu)] {
            if left == 0 {
                return Err(End::Limit(limit));
            }
        }
        Ok(())
    }

    /// Waits a moment.
    #[inline]
    pub(super) fn wait<T>(&mut self, leg: &Leg<T>) -> Result<(), Paced> {
        self.polls = self.polls.wrapping_add(1);
        if self.polls.is_multiple_of(POLLS) {
            return self.rest(leg);
        }
        hint::spin_loop();
        Ok(())
    }

    #[cold]
    fn rest<T>(&mut self, leg: &Leg<T>) -> Result<(), Paced> {
        let waited = self.look(leg)?;
        if waited >= SPIN {
            std::thread::sleep(NAP);
        } else if waited >= PATIENT {
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Looks at the limits; returns how long the call has taken.
    pub(super) fn look<T>(&mut self, leg: &Leg<T>) -> Result<Nanos, Paced> {
        if leg.is_over() {
            return Err(Paced::Over);
        }
        let (now, taken) = self.look_at_time()?;
        let cpu_began = *self.cpu_began.get_or_insert_with(|| leg.cpu_used());
        if taken >= self.cpu && now >= self.cpu_check {
            let left = self.cpu.saturating_sub(leg.cpu_used().saturating_sub(cpu_began));
            if left == 0 {
                return Err(Paced::Stop(End::Limit(Limit::Cpu)));
            }
            self.cpu_check = now.saturating_add(left);
        }
        Ok(taken)
    }

    /// Looks at what costs no system call: token and wall time. Returns the time, and how long the call has taken.
    pub(super) fn look_at_time(&mut self) -> Result<(Nanos, Nanos), Paced> {
        if self.is_cancelled() {
            return Err(Paced::Stop(End::Cancelled));
        }
        let now = clock::monotonic();
        let taken = now.saturating_sub(*self.began.get_or_insert(now));
        if taken >= self.wall { Err(Paced::Stop(End::Limit(Limit::Wall))) } else { Ok((now, taken)) }
    }

    /// Counts a call of a host function. A guest that always has one more would keep its caller from ever waiting, so the time is looked at.
    pub(super) fn host_call(&mut self) -> Result<(), Paced> {
        self.host_calls = self.host_calls.checked_sub(1).ok_or(Paced::Stop(End::Limit(Limit::HostCalls)))?;
        self.look_at_time().map(drop)
    }

    pub(super) fn remaining(&self) -> Duration {
        let taken = self.began.map_or(0, |began| clock::monotonic().saturating_sub(began));
        Duration::from_nanos(self.wall.saturating_sub(taken))
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.as_ref().is_some_and(CancelToken::is_cancelled)
    }
}
