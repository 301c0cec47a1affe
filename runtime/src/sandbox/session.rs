//! What a guest's caller keeps of it, whichever thread the guest itself runs on: its state, and what its answers mean.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::State;
use super::codec;
use super::core::Answer;
use super::error::CallError;
use super::func::Func;
use super::halt::{Halt, Pause};
use super::imports::BoxError;
use super::saved::Position;
use crate::linux::streams::SharedTail;
use crate::program::Program;
use crate::vm::clock::Nanos;
use crate::vm::error::HostError;
use crate::vm::seam::HostCall;
use crate::vm::watch::Watch;

/// The times of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    pub(super) wall: Nanos,
    pub(super) cpu: Nanos,
    /// Waiting on a thread.
    pub(super) waited: Nanos,
    /// Waiting without one.
    pub(super) parked: Nanos,
}

impl Used {
    pub(super) fn of(watch: &Watch) -> Self {
        Self { wall: watch.wall_used(), cpu: watch.cpu_used(), waited: watch.waited(), parked: 0 }
    }

    /// The same of a slice of a run that goes on, and has used so much CPU time before: exactly, as the program is told.
    pub(super) fn of_slice(watch: &Watch, spent: Nanos) -> Self {
        Self { cpu: watch.cpu_used_exactly().saturating_sub(spent), ..Self::of(watch) }
    }

    /// Without a thread.
    pub(super) fn parked(time: Nanos) -> Self {
        Self { wall: time, parked: time, ..Self::default() }
    }

    pub(super) fn add(&mut self, more: Self) {
        self.wall += more.wall;
        self.cpu += more.cpu;
        self.waited += more.waited;
        self.parked += more.parked;
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Session<T> {
    pub(super) program: Program,
    pub(super) data: T,
    pub(super) state: State,
    /// Where it was stopped.
    pub(super) pause: Option<Pause>,
    /// The function that is being called, or was last.
    pub(super) calling: Arc<str>,
    /// Its ordinal, if there is such a function.
    ordinal: Option<u32>,
    /// Arguments of typed calls, kept for their memory.
    pub(super) arguments: Vec<u8>,
    /// The end of its stderr.
    tail: SharedTail,
    pub(super) used: Used,
}

impl<T> Session<T> {
    /// A guest that was just booted, or one that goes on where it was saved.
    pub(crate) fn new(program: &Program, data: T, tail: SharedTail, used: Used, position: Position) -> Self {
        let Position { state, pause, calling, ordinal } = position;
        let program = program.clone();
        Self { program, data, state, pause, calling, ordinal, arguments: Vec::new(), tail, used }
    }

    /// Where it is.
    pub(crate) fn position(&self) -> Position {
        let Self { state, pause, ordinal, .. } = *self;
        Position { state, pause, calling: Arc::clone(&self.calling), ordinal }
    }

    /// From now on it is there.
    pub(crate) fn set_position(&mut self, position: &Position) {
        Position { state: self.state, pause: self.pause, calling: self.calling, ordinal: self.ordinal } =
            position.clone();
    }

    /// The times of the last run.
    pub(crate) fn used(&self) -> Used {
        self.used
    }

    /// From now on nothing is known of it.
    pub(crate) fn poison(&mut self) {
        self.state = State::Poisoned;
    }

    /// The arguments of a typed call as a message, in memory that [`arguments`](Self::arguments) takes back.
    ///
    /// # Errors
    /// [`CallError::OtherProgram`], and [`CallError::Encoding`] if a type's own serialization fails.
    pub(super) fn encoded<A: Serialize, R>(&mut self, func: &Func<A, R>, arguments: &A) -> Result<Vec<u8>, CallError> {
        if !func.program.is(&self.program) {
            return Err(CallError::OtherProgram { name: func.name().to_owned() });
        }
        let mut encoded = std::mem::take(&mut self.arguments);
        codec::encode(arguments, &mut encoded)
            .map_err(|error| encoding(func.name(), "encode the arguments", &error))
            .map(|()| encoded)
    }

    /// # Errors
    /// [`CallError::State`] if the sandbox cannot be called.
    pub(super) fn check_ready(&self) -> Result<(), CallError> {
        if self.state == State::Ready { Ok(()) } else { Err(CallError::State(self.state)) }
    }

    /// What is called next, by a name that is kept.
    ///
    /// # Errors
    /// As [`check_ready`](Self::check_ready); and [`CallError::Unknown`] if `find` finds no such function.
    pub(super) fn call(&mut self, name: &Arc<str>, find: impl FnOnce(&str) -> Option<u32>) -> Result<u32, CallError> {
        self.check_ready()?;
        if !Arc::ptr_eq(&self.calling, name) {
            self.calling = Arc::clone(name);
            self.ordinal = find(name);
        }
        self.ordinal()
    }

    /// The same by a name that is not.
    pub(super) fn call_by_name(
        &mut self,
        name: &str,
        find: impl FnOnce(&str) -> Option<u32>,
    ) -> Result<u32, CallError> {
        self.check_ready()?;
        if *self.calling != *name || self.ordinal.is_none() {
            self.calling = name.into();
            self.ordinal = find(name);
        }
        self.ordinal()
    }

    fn ordinal(&self) -> Result<u32, CallError> {
        self.ordinal.ok_or_else(|| CallError::Unknown { name: self.calling.to_string() })
    }

    /// What an answer means. `reply` came with it; `failed` is the host function that failed last in the call; `max` is what a message may
    /// have.
    pub(super) fn answered(
        &mut self,
        answer: Answer,
        reply: &[u8],
        failed: Option<(Box<str>, BoxError)>,
        max: usize,
    ) -> Result<(), CallError> {
        self.state = State::Ready;
        match answer {
            Answer::Returned => Ok(()),
            Answer::Panicked => {
                if let Some((name, source)) = failed {
                    return Err(CallError::Import { name: name.into(), source });
                }
                let text = String::from_utf8_lossy(reply);
                let (message, location) = text.split_once('\0').unwrap_or((&text, ""));
                let (message, location) = (message.to_owned(), location.to_owned());
                Err(CallError::Guest { message, location, stderr: self.tail.text() })
            }
            Answer::BadArguments => Err(CallError::Arguments { name: self.calling.to_string() }),
            Answer::TooLong(bytes) => Err(CallError::TooLong { bytes, max }),
            // The guest's core answers so only before the first call.
            Answer::Ready => Err(CallError::Unknown { name: self.calling.to_string() }),
        }
    }

    /// What it means that a call does not go on.
    pub(super) fn halted(&mut self, halt: Halt) -> CallError {
        match halt {
            Halt::End(end, Pause::Before) => {
                self.state = State::Ready;
                CallError::Ended(end)
            }
            Halt::End(end, Pause::Never) => {
                self.state = State::Ended;
                CallError::Ended(end)
            }
            Halt::End(end, pause) => {
                (self.state, self.pause) = (State::Stopped, Some(pause));
                CallError::Ended(end)
            }
            Halt::Protocol(error) => {
                self.state = State::Ended;
                error.into()
            }
            Halt::Host(error) => {
                self.state = State::Poisoned;
                error.into()
            }
            Halt::Errno(errno) => {
                self.state = State::Poisoned;
                HostError::Call { call: HostCall::Run, source: errno.into() }.into()
            }
            Halt::Parked(_) => {
                (self.state, self.pause) = (State::Stopped, Some(Pause::Syscall));
                Halt::nobody_waits().into()
            }
            Halt::Panic(panic) => {
                self.state = State::Poisoned;
                std::panic::resume_unwind(panic)
            }
        }
    }
}

/// The result of a typed call out of its reply.
pub(super) fn decoded<A, R: DeserializeOwned>(func: &Func<A, R>, reply: &[u8]) -> Result<R, CallError> {
    codec::decode(reply).map_err(|error| encoding(func.name(), "decode the result", &error))
}

fn encoding(name: &str, action: &'static str, error: &postcard::Error) -> CallError {
    CallError::Encoding { name: name.to_owned(), action, reason: error.to_string() }
}
