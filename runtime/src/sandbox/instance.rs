//! A sandbox: a guest that waits to be called.

use std::fmt;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};

use ampoule_kernel::call::info;
use rustix::event::PollFlags;
use rustix::fd::{AsFd, OwnedFd};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::State;
use super::builder::SandboxBuilder;
use super::core::{Answer, Core, Driven};
use super::error::{CallError, SandboxError};
use super::func::Func;
use super::halt::{Halt, Pause};
use super::home::Home;
use super::imports::{Imports, poll};
use super::session::{Session, Used, decoded};
use super::step::Meter;
use crate::limits::Call;
use crate::program::Program;
use crate::site::Site;
use crate::stats::Stats;
use crate::vm::clock;
use crate::vm::watch::{Budget, Watch};

/// A program in a machine of its own, that the host calls into. `T` is data that the host's functions see.
///
/// The program is an ordinary one that calls `ampoule_guest::serve()` when it is ready. A call runs on the calling thread, within the
/// limits of its [`Call`], and costs one exit of the virtual machine: some microseconds.
///
/// ```no_run
/// use std::time::Duration;
/// use ampoule::{Call, CallError, End, Imports, Limit, Program, Sandbox};
///
/// let program = Program::from_file("plugin")?;
/// let score = program.func::<(String, u32), f64>("score")?;
/// let imports = Imports::<()>::new().func("lookup", |_, (key,): (String,)| -> Option<String> { Some(key) });
///
/// let mut plugin = Sandbox::new(&program, &imports, ())?;
/// println!("{}", plugin.call(&score, ("alice".to_owned(), 3))?);
///
/// let short = Call::new().wall(Duration::from_millis(5));
/// match plugin.call_with(&score, ("bob".to_owned(), 1_000_000), &short) {
///     Err(CallError::Ended(End::Limit(Limit::Wall))) => println!("{}", plugin.resume(&score, &Call::new())?),
///     result => println!("{}", result?),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sandbox<T> {
    pub(crate) home: Home<T>,
    pub(crate) session: Session<T>,
}

impl<T: fmt::Debug> fmt::Debug for Sandbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("program", &self.session.program)
            .field("state", &self.session.state)
            .field("data", &self.session.data)
            .finish_non_exhaustive()
    }
}

impl<T> Sandbox<T> {
    /// Boots `program` and runs it until it waits for its first call, with the default limits.
    ///
    /// # Errors
    /// [`SandboxError`] if the host cannot, if program and imports do not fit, or if the program ends before it can be called.
    pub fn new(program: &Program, imports: &Imports<T>, data: T) -> Result<Self, SandboxError> {
        Self::builder(program, imports).build(data)
    }

    /// The same with limits, streams, regions and events of one's own.
    #[must_use]
    pub fn builder(program: &Program, imports: &Imports<T>) -> SandboxBuilder<T> {
        SandboxBuilder::new(program, imports)
    }

    pub(super) fn ready(core: Box<Core<T>>, session: Session<T>) -> Self {
        Self { home: Home::awake(core), session }
    }

    /// Calls a function with the default limits.
    ///
    /// A call whose time is over, or whose token is cancelled, before it begins is [`CallError::Ended`] and changes nothing.
    ///
    /// # Errors
    /// [`CallError`]; whether the sandbox can be called again is its [`state`](Self::state).
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
        let Self { home, session } = self;
        let result = home.core().map_err(CallError::from).and_then(|core| {
            let ordinal = session.call(&func.name, |name| core.export(name))?;
            start(core, session, ordinal, &encoded, call)?;
            decoded(func, &core.reply)
        });
        self.session.arguments = encoded;
        result
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
        self.with_reply(reply, |core, session| {
            let ordinal = session.call_by_name(name, |name| core.export(name))?;
            start(core, session, ordinal, arguments, call)
        })
    }

    /// Goes on with the call of `func` that a limit or a token stopped, within new limits.
    ///
    /// # Errors
    /// As [`call`](Self::call), and [`CallError::State`] if no call was stopped.
    pub fn resume<A, R: DeserializeOwned>(&mut self, func: &Func<A, R>, call: &Call) -> Result<R, CallError> {
        if self.session.state != State::Stopped {
            return Err(CallError::State(self.session.state));
        }
        if !func.program.is(&self.session.program) || func.name != self.session.calling {
            return Err(CallError::NotStopped { name: func.name().to_owned() });
        }
        let core = self.home.core()?;
        go_on(core, &mut self.session, call)?;
        decoded(func, &core.reply)
    }

    /// Goes on with the bytes call that a limit or a token stopped, within new limits.
    ///
    /// # Errors
    /// As [`resume`](Self::resume).
    pub fn resume_bytes(&mut self, reply: &mut Vec<u8>, call: &Call) -> Result<(), CallError> {
        self.with_reply(reply, |core, session| go_on(core, session, call))
    }

    /// What can be done with it.
    #[must_use]
    pub fn state(&self) -> State {
        self.session.state
    }

    /// The program that it was made of.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.session.program
    }

    /// What the last call did and what it cost; after [`new`](Self::new), the run up to the first.
    #[must_use]
    pub fn last_stats(&self) -> Stats {
        self.home.stats(self.session.used)
    }

    /// Where the guest stopped, if it ended or was stopped in the middle of a call: in a crash, in a loop that its limits ended, or where it
    /// exited. Taken now, so that it costs nothing before. An [`End::Trap`](crate::End::Trap) has one of its own, which knows the address that
    /// faulted.
    #[must_use]
    pub fn site(&self) -> Option<Site> {
        if matches!(self.session.state, State::Ended | State::Stopped) { self.home.site() } else { None }
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

    /// Ends the sandbox and hands its data back.
    #[must_use]
    pub fn into_data(self) -> T {
        self.session.data
    }

    /// The reply goes straight into the caller's buffer.
    fn with_reply(
        &mut self,
        reply: &mut Vec<u8>,
        make: impl FnOnce(&mut Core<T>, &mut Session<T>) -> Result<(), CallError>,
    ) -> Result<(), CallError> {
        let result = self.home.core().map_err(CallError::from).and_then(|core| {
            std::mem::swap(&mut core.reply, reply);
            let result = make(core, &mut self.session);
            std::mem::swap(&mut core.reply, reply);
            result
        });
        if result.is_err() {
            reply.clear();
        }
        result
    }
}

fn start<T>(
    core: &mut Core<T>,
    session: &mut Session<T>,
    ordinal: u32,
    arguments: &[u8],
    call: &Call,
) -> Result<(), CallError> {
    core.check_length(arguments)?;
    run(core, session, call, |core, data, watch| {
        core.deliver(ordinal.into(), arguments, watch)?;
        core.drive(data, watch)
    })
}

fn go_on<T>(core: &mut Core<T>, session: &mut Session<T>, call: &Call) -> Result<(), CallError> {
    let pause = match (session.state, session.pause.take()) {
        (State::Stopped, Some(pause)) => pause,
        (state, _) => return Err(CallError::State(state)),
    };
    run(
        core,
        session,
        call,
        |core, data, watch| {
            if core.waiting.is_some() { Ok(Driven::Waiting) } else { core.go_on(pause, data, watch) }
        },
    )
}

/// Runs a call, or the rest of one, to its answer.
fn run<T>(
    core: &mut Core<T>,
    session: &mut Session<T>,
    call: &Call,
    first: impl FnOnce(&mut Core<T>, &mut T, &mut Watch) -> Result<Driven, Halt>,
) -> Result<(), CallError> {
    let budget = budget(core, call);
    // What unwinds from here, out of a future or a listener, leaves it in the middle of a call.
    session.state = State::Poisoned;
    let answer = match Watch::begin(budget) {
        Ok(mut watch) => {
            let data = &mut session.data;
            let driven = prepare(core, call, &watch).and_then(|()| first(core, data, &mut watch));
            let answer = driven.and_then(|driven| finish(core, data, driven, &mut watch));
            session.used = Used::of(&watch);
            answer
        }
        Err(error) => Err(error.into()),
    };
    match answer {
        Ok(answer) => session.answered(answer, &core.reply, core.failed.take(), core.limits.message()),
        Err(halt) => Err(session.halted(halt)),
    }
}

pub(super) fn budget<T>(core: &Core<T>, call: &Call) -> Budget {
    let (wall, cpu) = call.times();
    Budget {
        wall: clock::from_duration(wall),
        cpu: clock::from_duration(cpu),
        cancel: [call.token().cloned(), None],
        nudge: core.events.as_ref().map(|events| events.nudge().clone()),
        pipes: core.streams.has_files(),
        tick: None,
        slice: None,
    }
}

/// What a run begins with.
pub(super) fn prepare<T>(core: &mut Core<T>, call: &Call, watch: &Watch) -> Result<(), Halt> {
    core.machine.attach(watch.mask_inside())?;
    core.machine.write_info(info::DEADLINE, &core.process.deadline(watch.wall_deadline()).to_le_bytes())?;
    core.meter = Meter::default();
    core.process.counts.clear();
    core.streams.begin(call.output_bytes());
    core.host_calls = call.host_call_count();
    Ok(())
}

/// Goes on until the guest has answered.
fn finish<T>(core: &mut Core<T>, data: &mut T, driven: Driven, watch: &mut Watch) -> Result<Answer, Halt> {
    let mut driven = driven;
    loop {
        match driven {
            Driven::Answered(answer) => return Ok(answer),
            Driven::Waiting => {
                wait(core, watch)?;
                driven = core.drive(data, watch)?;
            }
            Driven::Yielded => driven = core.drive(data, watch)?,
        }
    }
}

/// Wakes a thread that waits for a descriptor.
#[derive(Debug)]
struct WakeByDescriptor(OwnedFd);

impl Wake for WakeByDescriptor {
    fn wake(self: Arc<Self>) {
        // The counter is full when it was woken 2^64 - 2 times: it is awake then.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

/// Waits on this thread for the host function's future, within the run's limits.
pub(super) fn wait<T>(core: &mut Core<T>, watch: &mut Watch) -> Result<(), Halt> {
    let Some(mut waiting) = core.waiting.take() else { return Ok(()) };
    let descriptor =
        rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK)
            .map_err(Halt::Errno)?;
    let wake = Arc::new(WakeByDescriptor(descriptor));
    let waker = Waker::from(Arc::clone(&wake));
    let mut task = TaskContext::from_waker(&waker);
    loop {
        match poll(&mut waiting.future, &mut task)? {
            Poll::Ready(result) => return core.finish_waiting(&waiting, result, watch),
            Poll::Pending => {}
        }
        if let Err(halted) = watch.wait(&[(wake.0.as_fd(), PollFlags::IN)], None) {
            core.waiting = Some(waiting);
            return Err(Halt::halted(halted, Pause::Between));
        }
        let mut count = [0; 8];
        let _ = rustix::io::read(&wake.0, &mut count);
    }
}

#[cfg(test)]
#[path = "instance_tests.rs"]
pub(crate) mod tests;
