//! A live sandbox: its guest runs on a thread of its own and is called through shared memory, without an exit of the virtual machine.
//!
//! ```text
//! caller's thread                              vCPU's thread
//! call ── message into the ring ─────────────► the guest, spinning, serves it        (no exit, no system call)
//!      ◄─────────────────────── its reply ───
//!      ── import: runs here, the guest waits
//!      deadline, cancel ── stop ─────────────► kick: the guest comes out, and the thread hands its core back
//!                                              idle: the guest parks, or is made to; a request wakes it
//! ```
//! The ring's two ends and what has to be true of them are `ampoule_kernel::ring`'s; who sleeps and who wakes is
//! [`parking`](crate::channel::parking)'s. Everything that the guest writes is copied out once, checked, and within the limits.

use std::fmt;
use std::time::Duration;

use ampoule_kernel::ring::{Header, Kind};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::State;
use super::error::{CallError, ProtocolError};
use super::func::Func;
use super::halt::{Halt, Pause};
use super::instance::Sandbox;
use super::link::{Interrupted, Link};
use super::pace::{Pace, Paced};
use super::session::{Session, decoded};
use super::vcpu_thread::Leg;
use crate::limits::Call;

/// How long a live guest with nothing to do spins before it sleeps.
///
/// Spinning costs a core and answers at once; a guest that sleeps is woken in some ten microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Idle(Duration);

impl Idle {
    /// The longest idle spin: 1 s.
    pub const MAX: Duration = Duration::from_secs(1);

    /// Spins for this long, at most [`MAX`](Self::MAX).
    #[must_use]
    pub fn spin(time: Duration) -> Self {
        Self(time.min(Self::MAX))
    }

    pub(super) fn time(self) -> Duration {
        self.0
    }
}

/// A sandbox whose guest runs all the time, on a thread of its own: [`Sandbox::into_live`].
///
/// A call crosses through shared memory in a fraction of a microsecond while the guest spins. It costs a core: the guest's thread is
/// busy for as long as calls come, and for [`Idle`] after the last. The host's functions run on the thread that makes the call.
///
/// Limits are enforced as in a [`Sandbox`]; but a call that a limit or a token stops cannot be resumed: it leaves [`State::Ended`].
pub struct Live<T> {
    session: Session<T>,
    leg: Leg<T>,
    link: Link,
    idle: Idle,
}

/// What a live guest did since it was made live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LiveStats {
    /// Calls made.
    pub calls: u64,
    /// Times that the guest slept because it had nothing to do.
    pub parked: u64,
    /// Times that it had to be made to sleep: it did not by itself.
    pub made_to_park: u64,
    /// Time that it spun with nothing to do, to the tick of two milliseconds for a guest that does not park by itself.
    pub idle: Duration,
}

impl<T: fmt::Debug> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("program", &self.session.program)
            .field("state", &self.session.state)
            .field("data", &self.session.data)
            .finish_non_exhaustive()
    }
}

impl<T: 'static> Sandbox<T> {
    /// Lets the guest run on a thread of its own, to be called without exits.
    ///
    /// # Errors
    /// [`CallError::State`] if it is not ready, [`CallError::NoRing`] if its SDK cannot serve the ring, [`CallError::Host`] if there is no
    /// memory or no thread for it.
    pub fn into_live(self, idle: Idle) -> Result<Live<T>, CallError> {
        let Self { home, session } = self;
        session.check_ready()?;
        let mut core = home.take()?;
        if !core.channel.ring {
            return Err(CallError::NoRing);
        }
        let ring = core.machine.open_ring()?;
        let link = Link::new(ring, core.limits.message());
        Ok(Live { session, leg: Leg::start(core, idle)?, link, idle })
    }
}

impl<T: 'static> Live<T> {
    /// Calls a function with the default limits.
    ///
    /// # Errors
    /// [`CallError`], as [`Sandbox::call`].
    pub fn call<A: Serialize, R: DeserializeOwned>(&mut self, func: &Func<A, R>, arguments: A) -> Result<R, CallError> {
        self.call_with(func, arguments, &Call::new())
    }

    /// Calls a function within limits.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_with<A: Serialize, R: DeserializeOwned>(
        &mut self,
        func: &Func<A, R>,
        arguments: A,
        call: &Call,
    ) -> Result<R, CallError> {
        let encoded = self.session.encoded(func, &arguments)?;
        let called = self.session.call(&func.name, |name| self.leg.export(name));
        let result = called.and_then(|ordinal| self.exchange(ordinal, &encoded, call));
        self.session.arguments = encoded;
        result.and_then(|()| decoded(func, &self.link.reply))
    }

    /// Calls a function that takes and returns bytes as they are. The reply replaces what is in `reply`, whose memory is used again.
    ///
    /// # Errors
    /// As [`call`](Self::call); `reply` is then empty.
    pub fn call_bytes(
        &mut self,
        name: &str,
        arguments: &[u8],
        reply: &mut Vec<u8>,
        call: &Call,
    ) -> Result<(), CallError> {
        std::mem::swap(&mut self.link.reply, reply);
        let result = self
            .session
            .call_by_name(name, |name| self.leg.export(name))
            .and_then(|ordinal| self.exchange(ordinal, arguments, call));
        std::mem::swap(&mut self.link.reply, reply);
        if result.is_err() {
            reply.clear();
        }
        result
    }

    /// What can be done with it.
    #[must_use]
    pub fn state(&self) -> State {
        self.session.state
    }

    /// What it did since it was made live.
    #[must_use]
    pub fn stats(&self) -> LiveStats {
        LiveStats { calls: u64::from(self.link.number), ..self.leg.stats() }
    }

    /// How long it spins with nothing to do.
    #[must_use]
    pub fn idle(&self) -> Idle {
        self.idle
    }

    /// The data that the host's functions see.
    #[must_use]
    pub fn data(&self) -> &T {
        &self.session.data
    }

    /// The data that the host's functions see, to change.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.session.data
    }

    /// Brings the guest back to where it is called by exits, within the limits of `call`.
    ///
    /// # Errors
    /// [`CallError`] if it is not ready, or does not come back.
    pub fn into_sandbox(self, call: &Call) -> Result<Sandbox<T>, CallError> {
        let Self { mut session, leg, mut link, .. } = self;
        session.check_ready()?;
        leg.check_owner()?;
        let header = Header { kind: Kind::Leave, outcome: 0, ordinal: 0, number: link.number, length: 0 };
        let mut pace = Pace::begin(call);
        leg.leaving();
        let sent = link.to_guest.send(&*link.ring, &header, &[], || pace.wait(&leg));
        leg.post();
        let mut outcome = sent.map_err(Some);
        while outcome.is_ok() && !leg.is_over() {
            outcome = pace.wait(&leg).map_err(Some);
        }
        let paced = outcome.err().flatten();
        let (core, halt) = leg.end()?;
        match (halt, paced) {
            (None, _) => Ok(Sandbox::ready(core, session)),
            (Some(_), Some(Paced::Stop(end))) => Err(session.halted(Halt::End(end, Pause::Never))),
            (Some(halt), _) => Err(session.halted(halt)),
        }
    }

    /// One call, from the arguments to the answer.
    fn exchange(&mut self, ordinal: u32, arguments: &[u8], call: &Call) -> Result<(), CallError> {
        let Self { session, leg, link, .. } = self;
        leg.check_owner()?;
        if arguments.len() > link.max {
            return Err(CallError::TooLong { bytes: arguments.len() as u64, max: link.max });
        }
        let mut pace = Pace::begin(call);
        let mut failed = None;
        // Nothing has happened yet, and nothing will.
        if let Err(end) = pace.begun() {
            return Err(CallError::Ended(end));
        }
        link.number = link.number.wrapping_add(1);
        let header = Header { kind: Kind::Call, outcome: 0, ordinal, number: link.number, length: 0 };
        leg.begin(call.output_bytes());
        let answer = link
            .send(leg, &header, arguments, &mut pace)
            .and_then(|()| link.answer(leg, &mut session.data, &mut pace, &mut failed));
        match answer {
            Ok(answer) => session.answered(answer, &link.reply, failed, link.max),
            Err(interrupted) => Err(self.stop(interrupted)),
        }
    }

    /// Takes the guest out of its thread after a call that has no answer.
    fn stop(&mut self, interrupted: Interrupted) -> CallError {
        let (session, leg) = (&mut self.session, &mut self.leg);
        let thread = leg.stop();
        match (interrupted, thread) {
            // What the thread saw is why it did not answer, unless it was only told to stop.
            (Interrupted::Paced(Paced::Over), Ok(Some(halt))) => session.halted(halt),
            (Interrupted::Paced(Paced::Over), Ok(None)) => session.halted(ProtocolError::NoReply.into()),
            // Half a call may be in the ring: there is no way back into it.
            (Interrupted::Paced(Paced::Stop(end)), Ok(_)) => session.halted(Halt::End(end, Pause::Never)),
            (Interrupted::Halt(halt), Ok(_)) => session.halted(halt),
            (_, Err(error)) => session.halted(error.into()),
        }
    }
}
