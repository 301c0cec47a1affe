//! A run that goes on later: whom to wake then, and what it waits for until then.

use std::task::Waker;

use super::alarm::Alarm;
use super::session::Used;
use crate::vm::cancel::{CancelToken, OnCancel};
use crate::vm::clock::{self, Nanos};
use crate::vm::error::HostError;
use crate::vm::parked::Parked;

/// How long a guest runs until others get their turn.
pub(super) const SLICE: Nanos = 5_000_000;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Rest {
    since: Nanos,
    until: Nanos,
    /// None if it neither has an end nor waits for a descriptor.
    alarm: Option<Alarm>,
    tokens: [Option<CancelToken>; 2],
    cancels: [Option<OnCancel>; 2],
    waker: Waker,
}

impl Rest {
    /// From now on `waker` is woken as soon as what the guest waits for is there, at `deadline`, and by each of the tokens.
    ///
    /// # Errors
    /// If thread or descriptors cannot be had.
    pub(super) fn begin(
        parked: Parked,
        deadline: Nanos,
        tokens: [Option<CancelToken>; 2],
        waker: &Waker,
    ) -> Result<Self, HostError> {
        let until = parked.until.unwrap_or(Nanos::MAX).min(deadline);
        let alarm = if until == Nanos::MAX && parked.files.is_empty() {
            None
        } else {
            Some(Alarm::set(until, parked.files, waker.clone())?)
        };
        let since = clock::monotonic();
        let mut rest = Self { since, until, alarm, tokens, cancels: [None, None], waker: waker.clone() };
        rest.watch_tokens();
        Ok(rest)
    }

    /// Must the run go on? If not, whoever asks is woken when it must.
    pub(super) fn is_over(&mut self, waker: &Waker) -> bool {
        if self.is_cancelled() || clock::monotonic() >= self.until {
            return true;
        }
        if self.alarm.as_ref().is_some_and(|alarm| !alarm.wakes(waker)) {
            return true;
        }
        if !self.waker.will_wake(waker) {
            self.waker.clone_from(waker);
            self.watch_tokens();
        }
        false
    }

    /// What it was good for.
    pub(super) fn used(&self) -> Used {
        Used::parked(clock::monotonic().saturating_sub(self.since))
    }

    fn is_cancelled(&self) -> bool {
        self.tokens.iter().flatten().any(CancelToken::is_cancelled)
    }

    fn watch_tokens(&mut self) {
        for (token, cancel) in self.tokens.iter().zip(&mut self.cancels) {
            *cancel = token.as_ref().map(|token| token.on_cancel(self.waker.clone()));
        }
        // A cancel that came before wakes nobody.
        if self.is_cancelled() {
            self.waker.wake_by_ref();
        }
    }
}
