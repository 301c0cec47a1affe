//! A guest that can be called: the machine with everything around it, and how Ampoule's own calls are served.
//!
//! ```text
//!          deliver arguments ──► drive ─┬─ step ── Linux's calls, faults, limits
//!                                      ├─ ATTACH, IMPORT, FETCH, LOG, REGION: served, on to the next step
//!                                      └─ NEXT: the guest has answered, and waits for the next call
//! ```
//! A message of the guest's is copied out once, into a buffer of ours that is used again, and parsed from there.

mod life;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ampoule_kernel::call;
use rustix::io::Errno;

pub(crate) use self::life::{Life, RestoreError};
use super::context::Context;
use super::error::{CallError, ProtocolError};
#[cfg(feature = "fuzz")]
use super::fuzz_target::FuzzTarget;
use super::halt::{Halt, Pause};
use super::imports::{BoxError, Import, ImportFailure, Imports, Later, Served};
use super::log::LogSink;
use super::saved::Channel;
use super::step::{Meter, Progress, Rules, serve_again, step};
use crate::channel::hypercall::{Hypercall, failed, failure};
use crate::channel::posted::EventQueue;
use crate::channel::table::{Table, TableError};
use crate::end::{End, Limit};
use crate::limits::Limits;
use crate::linux::reply::Refusal;
use crate::linux::streams::Streams;
use crate::linux::user::Span;
use crate::linux::{Kernel, Process};
use crate::machine::Machine;
use crate::machine::shells::Fittings;
use crate::program::Program;
use crate::vm::clock::{self, Nanos};
use crate::vm::watch::Watch;

/// A region as the guest finds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MappedRegion {
    pub(super) address: u64,
    pub(super) bytes: u64,
}

/// How the guest answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It had nothing to answer: it is ready for its first call.
    Ready,
    /// With a result, in [`Core::reply`].
    Returned,
    /// With a panic: its message, NUL, its location.
    Panicked,
    /// It could not decode the arguments.
    BadArguments,
    /// With more bytes than a message may have.
    TooLong(u64),
}

/// What came of driving the guest.
pub(super) enum Driven {
    /// It waits for the next call.
    Answered(Answer),
    /// It waits for a host function, whose future is in [`Core::waiting`].
    Waiting,
    /// It is not done, and the time that it was given is over.
    Yielded,
}

/// A host function's future, and where its result goes.
pub(super) struct Waiting {
    pub(super) name: Box<str>,
    buffer: Span,
    pub(super) future: Later,
}

/// See the module's documentation.
pub(crate) struct Core<T> {
    pub(super) program: Program,
    pub(super) limits: Limits,
    pub(super) machine: Machine,
    fittings: Fittings,
    pub(super) process: Process,
    pub(super) streams: Streams,
    pub(super) meter: Meter,
    pub(super) imports: Imports<T>,
    pub(super) events: Option<EventQueue>,
    pub(super) log: LogSink,
    pub(super) regions: Arc<HashMap<Box<str>, MappedRegion>>,
    pub(super) channel: Channel,
    /// The functions that it imports, by ordinal.
    pub(super) bound: Vec<Arc<Import<T>>>,
    /// What tells this life of the guest's from others of the same snapshot: its number, and a seed.
    life: Life,
    /// The last reply.
    pub(super) reply: Vec<u8>,
    /// Arguments for a host function, and its reply.
    arguments: Vec<u8>,
    result: Vec<u8>,
    /// Calls of host functions that are left.
    pub(super) host_calls: u64,
    /// The host function that failed last in this call.
    pub(super) failed: Option<(Box<str>, BoxError)>,
    pub(super) waiting: Option<Waiting>,
    /// What it told as a fuzz target; only a harness has one.
    #[cfg(feature = "fuzz")]
    pub(crate) target: Option<Box<FuzzTarget>>,
}

/// What a new [`Core`] is made of.
pub(super) struct Parts<T> {
    pub(super) program: Program,
    pub(super) limits: Limits,
    pub(super) machine: Machine,
    pub(super) fittings: Fittings,
    pub(super) process: Process,
    pub(super) outside: Outside<T>,
    pub(super) regions: Arc<HashMap<Box<str>, MappedRegion>>,
    pub(super) host_calls: u64,
}

/// What a guest has of the host's.
pub(crate) struct Outside<T> {
    pub(crate) streams: Streams,
    pub(crate) imports: Imports<T>,
    pub(crate) events: Option<EventQueue>,
    pub(crate) log: LogSink,
}

impl<T> Core<T> {
    pub(super) fn new(parts: Parts<T>) -> Self {
        let Outside { streams, imports, events, log } = parts.outside;
        Self {
            program: parts.program,
            limits: parts.limits,
            machine: parts.machine,
            fittings: parts.fittings,
            process: parts.process,
            streams,
            meter: Meter::default(),
            imports,
            channel: Channel { events: events.as_ref().map(EventQueue::kind), ..Channel::default() },
            events,
            log,
            regions: parts.regions,
            bound: Vec::new(),
            life: life::NONE,
            reply: Vec::new(),
            arguments: Vec::new(),
            result: Vec::new(),
            host_calls: parts.host_calls,
            failed: None,
            waiting: None,
            #[cfg(feature = "fuzz")]
            target: None,
        }
    }

    /// The ordinal of an export.
    pub(super) fn export(&self, name: &str) -> Option<u32> {
        self.channel.table.as_ref()?.exports.get(name).copied()
    }

    /// # Errors
    /// [`CallError::TooLong`] if a message may not be so long.
    pub(super) fn check_length(&self, message: &[u8]) -> Result<(), CallError> {
        let (bytes, max) = (message.len(), self.limits.message());
        if bytes > max { Err(CallError::TooLong { bytes: bytes as u64, max }) } else { Ok(()) }
    }

    /// Hands the guest, which waits, a call.
    pub(super) fn deliver(&mut self, ordinal: u64, arguments: &[u8], watch: &mut Watch) -> Result<(), Halt> {
        watch.check().map_err(|stop| Halt::stopped(stop, Pause::Before))?;
        let Some(buffer) = self.channel.buffer.take() else {
            return Err(ProtocolError::NotAttached.into());
        };
        self.channel.outstanding = true;
        self.failed = None;
        let [rax, _, rsi] = self.hand_over(arguments, buffer, watch)?;
        if rax == failure(Errno::FAULT) {
            return Err(ProtocolError::Address { address: buffer.address, bytes: arguments.len() as u64 }.into());
        }
        self.machine.set_results([rax, ordinal, rsi]);
        Ok(())
    }

    /// Sends the guest, which waits for a call, into the ring.
    pub(super) fn enter_ring(&mut self) {
        self.channel.buffer = None;
        self.machine.set_results([0, call::SWITCH_TO_RING, 0]);
    }

    /// The guest is back from the ring and waits for a call.
    pub(super) fn left_ring(&mut self, buffer: Span) {
        self.channel.buffer = Some(buffer);
    }

    /// Serves one of the calls that are the same in the ring as outside.
    pub(super) fn serve_in_ring(&mut self, hypercall: Hypercall, watch: &mut Watch) -> Result<(), Halt> {
        let results = match hypercall {
            Hypercall::Fetch { buffer } => self.fetch(buffer, watch)?,
            Hypercall::Log { level, record } => self.log(level, record, watch)?,
            Hypercall::Region { name } => self.region(name, watch)?,
            _ => failed(Errno::NOSYS, 0),
        };
        self.machine.set_results(results);
        Ok(())
    }

    /// Goes on where the guest was stopped.
    pub(super) fn go_on(&mut self, pause: Pause, data: &mut T, watch: &mut Watch) -> Result<Driven, Halt> {
        self.go_on_until(pause, data, watch, Nanos::MAX)
    }

    /// The same until `end` on `CLOCK_MONOTONIC`.
    pub(super) fn go_on_until(
        &mut self,
        pause: Pause,
        data: &mut T,
        watch: &mut Watch,
        end: Nanos,
    ) -> Result<Driven, Halt> {
        match pause {
            Pause::Between => {}
            Pause::Syscall => {
                let Self { machine, process, streams, meter, .. } = self;
                serve_again(&mut Kernel { process, machine, watch, streams }, meter)?;
            }
            Pause::Hypercall | Pause::Before | Pause::Never => {
                if let Some(hypercall) = Hypercall::decode(self.machine.registers())
                    && let Some(driven) = self.serve(hypercall, data, watch)?
                {
                    return Ok(driven);
                }
            }
        }
        self.drive_until(data, watch, end)
    }

    /// Runs the guest until it waits for a call, or for a host function.
    pub(super) fn drive(&mut self, data: &mut T, watch: &mut Watch) -> Result<Driven, Halt> {
        self.drive_until(data, watch, Nanos::MAX)
    }

    /// The same until `end` on `CLOCK_MONOTONIC`, or when the guest comes out next after that; but not before its second exit. The first entry
    /// on another thread than before can take longer than there was time (`docs/kvm.md`): the guest would never run.
    pub(super) fn drive_until(&mut self, data: &mut T, watch: &mut Watch, end: Nanos) -> Result<Driven, Halt> {
        let mut has_entered = false;
        loop {
            let Self { machine, process, streams, program, meter, events, .. } = self;
            let mut kernel = Kernel { process, machine, watch, streams };
            let rules = Rules { hypercalls: true, events: events.as_ref() };
            match step(&mut kernel, program, meter, rules)? {
                Progress::Served => {}
                Progress::Hypercall(hypercall) => {
                    if let Some(driven) = self.serve(hypercall, data, watch)? {
                        return Ok(driven);
                    }
                }
            }
            if end < Nanos::MAX && has_entered && clock::monotonic() >= end {
                return Ok(Driven::Yielded);
            }
            has_entered = true;
        }
    }

    /// Runs the guest until it waits for a call, and no longer than until its first exit of another kind: [`Driven::Yielded`].
    #[cfg(feature = "fuzz")]
    pub(super) fn drive_alone(&mut self, data: &mut T, watch: &mut Watch) -> Result<Driven, Halt> {
        loop {
            let Self { machine, process, streams, program, meter, events, .. } = self;
            let mut kernel = Kernel { process, machine, watch, streams };
            let rules = Rules { hypercalls: true, events: events.as_ref() };
            match step(&mut kernel, program, meter, rules)? {
                Progress::Served if self.meter.was_only_interrupted() => {}
                Progress::Hypercall(hypercall @ (Hypercall::Next { .. } | Hypercall::Fuzz { .. })) => {
                    return Ok(self.serve(hypercall, data, watch)?.unwrap_or(Driven::Yielded));
                }
                Progress::Served | Progress::Hypercall(_) => return Ok(Driven::Yielded),
            }
        }
    }

    pub(super) fn kernel<'a>(&'a mut self, watch: &'a mut Watch) -> Kernel<'a> {
        Kernel { process: &mut self.process, machine: &mut self.machine, watch, streams: &mut self.streams }
    }

    fn serve(&mut self, hypercall: Hypercall, data: &mut T, watch: &mut Watch) -> Result<Option<Driven>, Halt> {
        let results = match hypercall {
            Hypercall::Attach { version, table, features } => self.attach(version, table, features, watch)?,
            Hypercall::Next { outcome, reply, buffer } => {
                let answer = self.next(outcome, reply, watch)?;
                self.channel.buffer = Some(buffer);
                return Ok(Some(Driven::Answered(answer)));
            }
            Hypercall::Import { ordinal, arguments, buffer } => {
                match self.import(ordinal, arguments, buffer, data, watch)? {
                    Some(results) => results,
                    None => return Ok(Some(Driven::Waiting)),
                }
            }
            Hypercall::Fetch { buffer } => self.fetch(buffer, watch)?,
            Hypercall::Log { level, record } => self.log(level, record, watch)?,
            Hypercall::Region { name } => self.region(name, watch)?,
            Hypercall::Park => failed(Errno::INVAL, 0),
            #[cfg(feature = "fuzz")]
            Hypercall::Fuzz { what, arguments } => match self.fuzz(what, arguments, watch)? {
                Ok(results) => results,
                Err(driven) => return Ok(Some(driven)),
            },
            #[cfg(not(feature = "fuzz"))]
            Hypercall::Fuzz { .. } => failed(Errno::NOSYS, 0),
            Hypercall::Unknown => failed(Errno::NOSYS, 0),
        };
        self.machine.set_results(results);
        Ok(None)
    }

    fn attach(&mut self, version: u64, table: Span, features: u64, watch: &mut Watch) -> Result<[u64; 3], Halt> {
        let (major, minor) = (version >> 16, version & 0xffff);
        if major != u64::from(call::ABI_MAJOR) {
            return Err(ProtocolError::Version { major, minor }.into());
        }
        if self.channel.table.is_some() {
            return Err(ProtocolError::AttachedTwice.into());
        }
        let length = usize::try_from(table.length).ok().filter(|&length| length <= call::TABLE_MAX_BYTES);
        let Some(length) = length else {
            return Err(ProtocolError::from(TableError::TooLong { bytes: table.length }).into());
        };
        let mut bytes = vec![0; length];
        self.read_message(table, &mut bytes, watch)?;
        let table = Table::parse(&bytes).map_err(ProtocolError::from)?;
        if let Ok(interface) = self.program.interface()
            && let Some(missing) = interface.exports().iter().find(|it| !table.exports.contains_key(it.name()))
        {
            return Err(ProtocolError::NotInTable { name: missing.name().to_owned() }.into());
        }
        self.bound = self.imports.bind(&table)?;
        self.channel.table = Some(Arc::new(table));
        self.channel.ring = features & call::FEATURE_RING != 0;
        Ok([0; 3])
    }

    fn next(&mut self, outcome: u64, reply: Span, watch: &mut Watch) -> Result<Answer, Halt> {
        if self.channel.table.is_none() {
            return Err(ProtocolError::NotAttached.into());
        }
        let answer = match (self.channel.outstanding, outcome) {
            (false, call::OUTCOME_NONE) => return Ok(Answer::Ready),
            (false, _) => return Err(ProtocolError::UnexpectedReply.into()),
            (true, call::OUTCOME_NONE) => return Err(ProtocolError::NoReply.into()),
            (true, call::OUTCOME_RETURNED) => Answer::Returned,
            (true, call::OUTCOME_PANICKED) => Answer::Panicked,
            (true, call::OUTCOME_BAD_ARGUMENTS) => Answer::BadArguments,
            (true, outcome) => return Err(ProtocolError::Outcome { outcome }.into()),
        };
        if answer == Answer::BadArguments {
            self.channel.outstanding = false;
            return Ok(answer);
        }
        let Some(length) = self.accepted(reply) else {
            self.channel.outstanding = false;
            return Ok(Answer::TooLong(reply.length));
        };
        let mut bytes = std::mem::take(&mut self.reply);
        let read = self.read_message(reply, sized(&mut bytes, length), watch);
        self.reply = bytes;
        read?;
        self.channel.outstanding = false;
        Ok(answer)
    }

    fn import(
        &mut self,
        ordinal: u64,
        arguments: Span,
        buffer: Span,
        data: &mut T,
        watch: &mut Watch,
    ) -> Result<Option<[u64; 3]>, Halt> {
        if self.host_calls == 0 {
            return Err(Halt::End(End::Limit(Limit::HostCalls), Pause::Hypercall));
        }
        self.host_calls -= 1;
        let Some(import) = usize::try_from(ordinal).ok().and_then(|it| self.bound.get(it)).map(Arc::clone) else {
            return Ok(Some(failed(Errno::NOENT, 0)));
        };
        let Some(length) = self.accepted(arguments) else {
            let reason = format!("{} bytes of arguments, and the limit is {}", arguments.length, self.limits.message());
            return self.import_failed(&import.name, ImportFailure::Failed(reason.into())).map(Some);
        };
        let mut bytes = std::mem::take(&mut self.arguments);
        let mut result = std::mem::take(&mut self.result);
        let read = self.read_message(arguments, sized(&mut bytes, length), watch);
        let served = read.and_then(|()| {
            let mut kernel = self.kernel(watch);
            let mut context = Context::new(data, &mut kernel);
            catch_unwind(AssertUnwindSafe(|| (import.body)(&mut context, &bytes, &mut result))).map_err(Halt::Panic)
        });
        self.arguments = bytes;
        let results = match served {
            Ok(Ok(Served::Now)) => self.hand_result(&import.name, &result, buffer, watch).map(Some),
            Ok(Ok(Served::Later(future))) => {
                self.waiting = Some(Waiting { name: import.name.clone(), buffer, future });
                Ok(None)
            }
            Ok(Err(failure)) => self.import_failed(&import.name, failure).map(Some),
            Err(Halt::Protocol(ProtocolError::Address { .. })) => Ok(Some(failed(Errno::FAULT, 0))),
            Err(halt) => Err(halt),
        };
        self.result = result;
        results
    }

    /// Gives the guest what it waited for.
    pub(super) fn finish_waiting(
        &mut self,
        waiting: &Waiting,
        result: Result<Vec<u8>, ImportFailure>,
        watch: &mut Watch,
    ) -> Result<(), Halt> {
        let results = match result {
            Ok(reply) => self.hand_result(&waiting.name, &reply, waiting.buffer, watch)?,
            Err(failure) => self.import_failed(&waiting.name, failure)?,
        };
        self.machine.set_results(results);
        Ok(())
    }

    /// Gives the guest a host function's result, if messages may be so long.
    fn hand_result(&mut self, name: &str, result: &[u8], buffer: Span, watch: &mut Watch) -> Result<[u64; 3], Halt> {
        let (bytes, max) = (result.len(), self.limits.message());
        if bytes > max {
            let reason = format!("{bytes} bytes of reply, and the limit is {max}");
            return self.import_failed(name, ImportFailure::Failed(reason.into()));
        }
        self.hand_over(result, buffer, watch)
    }

    fn import_failed(&mut self, name: &str, failure: ImportFailure) -> Result<[u64; 3], Halt> {
        Ok(match failure {
            ImportFailure::Arguments => failed(Errno::BADMSG, 0),
            ImportFailure::Failed(error) => {
                let reason = error.to_string().into_bytes();
                let results = failed(Errno::REMOTEIO, reason.len() as u64);
                self.channel.undelivered = Some(reason);
                self.failed = Some((name.into(), error));
                results
            }
        })
    }

    fn fetch(&mut self, buffer: Span, watch: &mut Watch) -> Result<[u64; 3], Halt> {
        let Some(message) = self.channel.undelivered.take() else { return Ok(failed(Errno::NOMSG, 0)) };
        if message.len() as u64 > buffer.length {
            let length = message.len() as u64;
            self.channel.undelivered = Some(message);
            return Ok(failed(Errno::MSGSIZE, length));
        }
        let [rax, rdi, rsi] = self.hand_over(&message, buffer, watch)?;
        if rax == failure(Errno::FAULT) {
            self.channel.undelivered = Some(message);
        }
        Ok([rax, rdi, rsi])
    }

    fn log(&mut self, level: u64, record: Span, watch: &mut Watch) -> Result<[u64; 3], Halt> {
        let Some(listening) = self.log.admit(level) else { return Ok([0; 3]) };
        let mut bytes = [0; call::LOG_MAX_BYTES];
        let length = usize::try_from(record.length).unwrap_or(usize::MAX).min(bytes.len());
        let Some(bytes) = bytes.get_mut(..length) else { return Ok([0; 3]) };
        match self.kernel(watch).read_exact(record.address, bytes) {
            Ok(()) => listening.write(self.program.name(), bytes),
            Err(Refusal::Errno(errno)) => return Ok(failed(errno, 0)),
            Err(refusal) => return Err(Halt::refused(refusal, Pause::Hypercall)),
        }
        Ok([0; 3])
    }

    fn region(&mut self, name: Span, watch: &mut Watch) -> Result<[u64; 3], Halt> {
        let mut bytes = [0; call::NAME_MAX_BYTES];
        let name_bytes = usize::try_from(name.length).ok().and_then(|length| bytes.get_mut(..length));
        let Some(name_bytes) = name_bytes else { return Ok(failed(Errno::NOENT, 0)) };
        match self.kernel(watch).read_exact(name.address, name_bytes) {
            Ok(()) => {}
            Err(Refusal::Errno(errno)) => return Ok(failed(errno, 0)),
            Err(refusal) => return Err(Halt::refused(refusal, Pause::Hypercall)),
        }
        let found = str::from_utf8(name_bytes).ok().and_then(|name| self.regions.get(name));
        Ok(found.map_or(failed(Errno::NOENT, 0), |region| [region.bytes, region.address, 0]))
    }

    /// A message's length, if messages may be so long.
    fn accepted(&self, message: Span) -> Option<usize> {
        usize::try_from(message.length).ok().filter(|&length| length <= self.limits.message())
    }

    fn read_message(&mut self, from: Span, to: &mut [u8], watch: &mut Watch) -> Result<(), Halt> {
        self.kernel(watch).read_exact(from.address, to).map_err(|refusal| match refusal {
            Refusal::Errno(_) => ProtocolError::Address { address: from.address, bytes: from.length }.into(),
            refusal => Halt::refused(refusal, Pause::Hypercall),
        })
    }

    /// Puts a message into the guest's buffer, or keeps it until the guest fetches it; returns what the guest is told.
    fn hand_over(&mut self, message: &[u8], buffer: Span, watch: &mut Watch) -> Result<[u64; 3], Halt> {
        let length = message.len() as u64;
        if length > buffer.length {
            self.channel.undelivered = Some(message.to_vec());
            return Ok(failed(Errno::MSGSIZE, length));
        }
        match self.kernel(watch).write_all(buffer.address, message) {
            Ok(()) => Ok([length, 0, 0]),
            Err(Refusal::Errno(errno)) => Ok(failed(errno, 0)),
            Err(refusal) => Err(Halt::refused(refusal, Pause::Never)),
        }
    }
}

/// `buffer` made `length` bytes long; only what it grows by is cleared.
fn sized(buffer: &mut Vec<u8>, length: usize) -> &mut [u8] {
    buffer.resize(length, 0);
    buffer
}
