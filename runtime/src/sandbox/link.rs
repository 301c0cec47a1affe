//! This side's ends of the ring: a call into a live guest as messages, and the guest's own calls served while its caller waits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use ampoule_kernel::call;
use ampoule_kernel::ring::{Consumer, Header, Kind, Malformed, Piece, Producer, TO_GUEST, TO_HOST};
use rustix::io::Errno;

use super::context::{Context, MemoryError, RunAccess};
use super::core::Answer;
use super::error::ProtocolError;
use super::halt::Halt;
use super::imports::{BoxError, ImportFailure, Later, Outcome, Served, poll};
use super::pace::{Pace, Paced};
use super::vcpu_thread::Leg;
use crate::vm::shared::RingMemory;

/// This side's ends of the ring.
pub(super) struct Link {
    pub(super) ring: Arc<RingMemory>,
    pub(super) to_guest: Producer,
    to_host: Consumer,
    /// The call that is being made.
    pub(super) number: u32,
    /// Most bytes of a message.
    pub(super) max: usize,
    /// The last reply, and what was read of one that is still arriving.
    pub(super) reply: Vec<u8>,
    arguments: Vec<u8>,
    result: Vec<u8>,
}

/// Why a call has no answer.
pub(super) enum Interrupted {
    Paced(Paced),
    Halt(Halt),
}

impl From<Paced> for Interrupted {
    fn from(paced: Paced) -> Self {
        Self::Paced(paced)
    }
}

impl From<Malformed> for Interrupted {
    fn from(malformed: Malformed) -> Self {
        Self::protocol(format!("{malformed:?}"))
    }
}

impl Interrupted {
    fn protocol(what: impl Into<String>) -> Self {
        Self::Halt(ProtocolError::Ring { what: what.into() }.into())
    }
}

impl Link {
    /// Both ends of a ring that is empty; messages have at most `max` bytes.
    pub(super) fn new(ring: Arc<RingMemory>, max: usize) -> Self {
        Self {
            ring,
            to_guest: Producer::new(TO_GUEST),
            to_host: Consumer::new(TO_HOST),
            number: 0,
            max,
            reply: Vec::new(),
            arguments: Vec::new(),
            result: Vec::new(),
        }
    }

    /// Sends a message, and sees that the guest is awake to take it.
    pub(super) fn send<T>(
        &mut self,
        leg: &Leg<T>,
        header: &Header,
        payload: &[u8],
        pace: &mut Pace,
    ) -> Result<(), Interrupted> {
        let Self { ring, to_guest, .. } = self;
        // A guest that sleeps must wake to take the first piece, or a long message would never find room.
        let mut posted = false;
        to_guest.send(&**ring, header, payload, || {
            if !posted {
                posted = true;
                leg.post();
            }
            pace.wait(leg)
        })?;
        if !posted {
            leg.post();
        }
        Ok(())
    }

    /// Waits for the answer to the call, and serves the guest's calls meanwhile.
    pub(super) fn answer<T>(
        &mut self,
        leg: &Leg<T>,
        data: &mut T,
        pace: &mut Pace,
        failed: &mut Option<(Box<str>, BoxError)>,
    ) -> Result<Answer, Interrupted> {
        loop {
            let piece = self.next(leg, pace)?;
            match piece.header.kind {
                Kind::Reply if piece.header.number == self.number => {
                    let answer = match u64::from(piece.header.outcome) {
                        call::OUTCOME_RETURNED => Answer::Returned,
                        call::OUTCOME_PANICKED => Answer::Panicked,
                        call::OUTCOME_BAD_ARGUMENTS => Answer::BadArguments,
                        outcome => return Err(Interrupted::Halt(ProtocolError::Outcome { outcome }.into())),
                    };
                    let mut reply = std::mem::take(&mut self.reply);
                    let taken = self.take(piece, &mut reply, leg, pace);
                    self.reply = reply;
                    let fits = taken?;
                    leg.done();
                    return Ok(if fits { answer } else { Answer::TooLong(piece.header.length) });
                }
                Kind::Import if piece.header.number == self.number => {
                    let mut arguments = std::mem::take(&mut self.arguments);
                    let taken = self.take(piece, &mut arguments, leg, pace);
                    leg.done();
                    let served = taken.and_then(|fits| {
                        self.import(piece.header.ordinal, fits.then_some(&*arguments), leg, data, pace, failed)
                    });
                    self.arguments = arguments;
                    served?;
                }
                Kind::Reply | Kind::Import => {
                    return Err(Interrupted::protocol(format!("a message of call {}", piece.header.number)));
                }
                kind => return Err(Interrupted::protocol(format!("{kind:?} from the guest"))),
            }
        }
    }

    /// The next piece that the guest wrote.
    #[inline]
    fn next<T>(&self, leg: &Leg<T>, pace: &mut Pace) -> Result<Piece, Interrupted> {
        loop {
            if let Some(piece) = self.to_host.poll(&*self.ring)? {
                return Ok(piece);
            }
            pace.wait(leg)?;
        }
    }

    /// Takes a whole message, of which `first` has arrived; false if it is too long, and then it was thrown away.
    fn take<T>(
        &mut self,
        first: Piece,
        into: &mut Vec<u8>,
        leg: &Leg<T>,
        pace: &mut Pace,
    ) -> Result<bool, Interrupted> {
        let fits = usize::try_from(first.header.length).ok().filter(|&length| length <= self.max);
        // What is not kept is taken all the same, a piece at a time, so that the ring goes on.
        into.resize(fits.unwrap_or(first.length), 0);
        let mut piece = first;
        loop {
            let offset = if fits.is_some() { usize::try_from(piece.offset).unwrap_or(usize::MAX) } else { 0 };
            let to = into.get_mut(offset..).unwrap_or_default();
            self.to_host.take(&*self.ring, &piece, to);
            if piece.is_last() {
                return Ok(fits.is_some());
            }
            // A guest that always has one more would keep its caller from ever waiting.
            pace.look(leg)?;
            piece = self.next(leg, pace)?;
        }
    }

    fn import<T>(
        &mut self,
        ordinal: u32,
        arguments: Option<&[u8]>,
        leg: &Leg<T>,
        data: &mut T,
        pace: &mut Pace,
        failed: &mut Option<(Box<str>, BoxError)>,
    ) -> Result<(), Interrupted> {
        pace.host_call()?;
        let mut result = std::mem::take(&mut self.result);
        let served = match (leg.import(ordinal), arguments) {
            (None, _) => Err((Errno::NOENT, None)),
            (Some(import), arguments) => {
                let served = match arguments {
                    Some(arguments) => {
                        let mut run = LiveRun { pace };
                        let mut context = Context::new(data, &mut run);
                        let body = AssertUnwindSafe(|| (import.body)(&mut context, arguments, &mut result));
                        catch_unwind(body).map_err(|panic| Interrupted::Halt(Halt::Panic(panic)))?
                    }
                    None => Err(too_long("the arguments are", self.max)),
                };
                let served = match served {
                    Ok(Served::Later(future)) => wait(future, leg, pace)?.map(|reply| result = reply),
                    Ok(Served::Now) => Ok(()),
                    Err(failure) => Err(failure),
                };
                pace.look_at_time()?;
                let fits = result.len() <= self.max;
                served
                    .and_then(|()| if fits { Ok(()) } else { Err(too_long("its result is", self.max)) })
                    .map_err(|failure| match failure {
                        ImportFailure::Arguments => (Errno::BADMSG, None),
                        ImportFailure::Failed(error) => (Errno::REMOTEIO, Some((import.name.clone(), error))),
                    })
                    .map_err(|(errno, error)| {
                        let reason = error.map(|(name, error)| {
                            let reason = error.to_string();
                            *failed = Some((name, error));
                            reason
                        });
                        (errno, reason)
                    })
            }
        };
        let errno = match served {
            Ok(()) => 0,
            Err((errno, reason)) => {
                result.clear();
                result.extend(reason.unwrap_or_default().into_bytes());
                errno.raw_os_error()
            }
        };
        // The four that there are: all below 256.
        let outcome = u8::try_from(errno).unwrap_or(u8::MAX);
        let header = Header { kind: Kind::ImportReply, outcome, ordinal: 0, number: self.number, length: 0 };
        let sent = self.send(leg, &header, &result, pace);
        self.result = result;
        sent
    }
}

fn too_long(what: &str, max: usize) -> ImportFailure {
    ImportFailure::Failed(format!("{what} longer than {max} bytes, which is the limit of a message").into())
}

/// Wakes a thread that waits for a future.
struct WakeThread(Thread);

impl Wake for WakeThread {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// How long a thread that waits for a future sleeps before it looks at the limits.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Waits for a host function's future, within the call's limits.
fn wait<T>(mut future: Later, leg: &Leg<T>, pace: &mut Pace) -> Result<Outcome, Interrupted> {
    let waker = Waker::from(Arc::new(WakeThread(std::thread::current())));
    let mut task = TaskContext::from_waker(&waker);
    loop {
        if let Poll::Ready(result) = poll(&mut future, &mut task).map_err(Interrupted::Halt)? {
            return Ok(result);
        }
        pace.look(leg)?;
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// A live call, as a host function sees it.
#[derive(Debug)]
struct LiveRun<'a> {
    pace: &'a Pace,
}

impl RunAccess for LiveRun<'_> {
    fn remaining(&self) -> Duration {
        self.pace.remaining()
    }

    fn is_cancelled(&self) -> bool {
        self.pace.is_cancelled()
    }

    fn read(&mut self, _: u64, _: &mut [u8]) -> Result<(), MemoryError> {
        Err(MemoryError::Live)
    }

    fn write(&mut self, _: u64, _: &[u8]) -> Result<(), MemoryError> {
        Err(MemoryError::Live)
    }
}
