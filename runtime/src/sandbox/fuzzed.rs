//! A guest that is run on one input after the other, each from the same state.
//!
//! ```text
//! boot ──► it waits for an input: in NEXT, in FUZZ START, where it asks for stdin or opens its file
//!            │ counters are cleared, the state is saved
//!            ▼
//!          the input is put where the guest finds it ──► it runs ──► what came of it ──► restore ──┐
//!            ▲                                                                                     │
//!            └─────────────────────────────────────────────────────────────────────────────────────┘
//! ```

pub(crate) mod batch;

use std::sync::Arc;

use ampoule_kernel::fuzz::comparisons;

use super::builder::{begin, check_imports, failure};
use super::core::{Answer, Core, Driven, Outside, RestoreError};
use super::entry;
use super::error::{ProtocolError, SandboxError};
use super::fuzz_target::FuzzTarget;
use super::halt::{Halt, Pause};
use super::imports::Imports;
use super::instance::{budget, prepare};
use super::log::LogSink;
use super::run::{self, Job};
use super::saved::{Position, Saved};
use super::session::Used;
use crate::end::{End, Limit};
use crate::error::RunError;
use crate::limits::Call;
use crate::linux::Process;
use crate::linux::streams::awaited::Awaited;
use crate::linux::streams::{Input, Output, SharedTail, Streams};
use crate::linux::user::Span;
use crate::machine::shared::NoRoom;
use crate::machine::shells::{self, Fittings};
use crate::program::Program;
use crate::site::Site;
use crate::stats::Stats;
use crate::vm::error::HostError;
use crate::vm::memory::ZEROS;
use crate::vm::seam::HostCall;
use crate::vm::shared::WindowMemory;
use crate::vm::watch::Watch;

/// How the guest gets an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// As the argument of a function of its own, by its ordinal.
    Called { ordinal: u32, buffer: Span },
    /// On stdin or as a file: it said where inputs begin.
    Started { file: Option<Vec<u8>> },
    /// On stdin, which it is about to read or to wait for.
    Stdin,
    /// As a file, which it is about to open.
    File(Vec<u8>),
}

/// What came of an input.
#[derive(Debug)]
pub(crate) enum Came {
    /// The guest waits for the next.
    Done,
    /// The function panicked: its message, and where.
    Panicked { message: String, location: String },
    /// It ended.
    Ended(End),
    /// It broke the rules of Ampoule's own calls.
    Broke(ProtocolError),
}

/// Why a program does not come to wait for inputs.
#[derive(Debug)]
pub(crate) enum NotWaiting {
    /// It could not be started, or ended before.
    Sandbox(SandboxError),
    /// It exports no function of that name, but these.
    NoFunction(Vec<String>),
}

/// See the module's documentation.
pub(crate) struct Fuzzed {
    core: Box<Core<()>>,
    way: Way,
    start: Arc<Saved>,
    memory: Arc<WindowMemory>,
    tail: SharedTail,
    used: Used,
}

/// What a guest is booted with.
pub(crate) struct Boot<'a> {
    pub(crate) job: &'a Job,
    pub(crate) streams: Streams,
    /// The function that takes inputs, if the guest is called.
    pub(crate) function: &'a str,
    /// The file that is its input.
    pub(crate) file: Option<Vec<u8>>,
}

impl Fuzzed {
    /// Runs the program until it waits for an input.
    pub(crate) fn boot(boot: Boot<'_>) -> Result<Self, NotWaiting> {
        let Boot { job, mut streams, function, file } = boot;
        let imports = Imports::<()>::new();
        check_imports(&job.program, &imports)?;
        streams.awaited = Some(file.map_or(Awaited::Stdin, Awaited::File));
        let asked_for = streams.awaited.clone();
        let memory = Arc::new(shells::with_room(WindowMemory::new).map_err(RunError::from)?);
        let mut watch = Watch::begin(run::budget(job)).map_err(RunError::from)?;
        let fittings = Fittings::new(job.limits.pages(), job.doorbell).with_windows(&memory);
        let tail = streams.keep_tail();
        let loaded = match entry::load(job, &fittings, &mut watch) {
            Ok(loaded) => loaded.map_err(|NoRoom| RunError::from(HostError::NoGuest))?,
            Err(not_started) => {
                let halt = not_started.into_halt(&job.limits).map_err(SandboxError::from)?;
                return Err(failure(halt, &tail).into());
            }
        };
        let outside = Outside { streams, imports, events: None, log: LogSink::default() };
        let mut core = begin(job, loaded, fittings, std::collections::HashMap::new(), outside, &mut watch)?;
        core.target = Some(Box::new(FuzzTarget::new()));
        let way = loop {
            match core.drive(&mut (), &mut watch) {
                Ok(Driven::Answered(Answer::Ready)) => break way_in(&core, function, asked_for)?,
                // Nothing was asked, and no function of the host's is there to wait for.
                Ok(Driven::Answered(_) | Driven::Yielded | Driven::Waiting) => {}
                Err(Halt::End(End::AtInput, Pause::Syscall)) => {
                    break match asked_for.and_then(Awaited::into_file) {
                        Some(path) => Way::File(located(&core.process, &path)?),
                        None => Way::Stdin,
                    };
                }
                Err(halt) => return Err(failure(halt, &tail).into()),
            }
        };
        let used = Used::of(&watch);
        core.streams.awaited = None;
        if let Some(target) = core.target.as_deref_mut() {
            target.is_sealed = true;
            target.has_asked = matches!(way, Way::Stdin | Way::File(_));
        }
        let start = save(&mut core).map_err(RunError::from)?;
        Ok(Self { core, way, start, memory, tail, used })
    }

    pub(crate) fn program(&self) -> &Program {
        &self.core.program
    }

    pub(crate) fn way(&self) -> &Way {
        &self.way
    }

    /// What was added to the program's addresses as linked.
    pub(crate) fn bias(&self) -> u64 {
        self.core.process.bias()
    }

    /// The state that inputs begin in.
    pub(crate) fn start(&self) -> &Arc<Saved> {
        &self.start
    }

    /// From now on they begin there. The guest has to be [reset](Self::reset) before the next.
    pub(crate) fn set_start(&mut self, start: &Arc<Saved>) {
        self.start = Arc::clone(start);
        self.find_buffer();
    }

    /// A guest may wait for each input with another buffer.
    fn find_buffer(&mut self) {
        if let (Way::Called { buffer, .. }, Some(present)) = (&mut self.way, self.start.channel.buffer) {
            *buffer = present;
        }
    }

    /// What the target told.
    pub(crate) fn target(&mut self) -> Option<&mut FuzzTarget> {
        self.core.target.as_deref_mut()
    }

    /// What is kept over inputs.
    pub(crate) fn memory(&self) -> &WindowMemory {
        &self.memory
    }

    /// Most bytes of an input.
    pub(crate) fn max_input(&self) -> usize {
        match self.way {
            Way::Called { buffer, .. } => {
                usize::try_from(buffer.length).unwrap_or(usize::MAX).min(self.core.limits.message())
            }
            Way::Started { file: None } | Way::Stdin => self.core.limits.message(),
            Way::Started { file: Some(_) } | Way::File(_) => self.core.limits.file_quota().0,
        }
    }

    /// Runs the guest on an input, from where it is.
    pub(crate) fn run(&mut self, input: &[u8], call: &Call) -> Result<Came, HostError> {
        let mut watch = Watch::begin(budget(&self.core, call))?;
        // The boot may have printed something, or a batch of which nothing was told.
        drop(self.take_output());
        if let Some(target) = self.core.target.as_deref_mut() {
            target.finding = None;
        }
        let driven = prepare(&mut self.core, call, &watch).and_then(|()| self.drive(input, &mut watch));
        self.used = Used::of(&watch);
        self.came(driven)
    }

    fn drive(&mut self, input: &[u8], watch: &mut Watch) -> Result<Driven, Halt> {
        let Self { core, way, .. } = self;
        match way {
            Way::Called { ordinal, .. } => {
                core.deliver(u64::from(*ordinal), input, watch)?;
                core.drive(&mut (), watch)
            }
            Way::Started { file } => {
                match file {
                    Some(path) => place(&mut core.process, path, input)?,
                    None => core.streams.input = bytes(input),
                }
                core.machine.set_results([0; 3]);
                core.drive(&mut (), watch)
            }
            Way::Stdin => {
                core.streams.input = bytes(input);
                core.go_on(Pause::Syscall, &mut (), watch)
            }
            Way::File(path) => {
                place(&mut core.process, path, input)?;
                core.go_on(Pause::Syscall, &mut (), watch)
            }
        }
    }

    fn came(&mut self, driven: Result<Driven, Halt>) -> Result<Came, HostError> {
        Ok(match driven {
            Ok(Driven::Answered(Answer::Panicked)) => {
                let text = String::from_utf8_lossy(&self.core.reply);
                let (message, location) = text.split_once('\0').unwrap_or((&text, ""));
                Came::Panicked { message: message.to_owned(), location: location.to_owned() }
            }
            Ok(Driven::Answered(_) | Driven::Waiting | Driven::Yielded) => Came::Done,
            Err(Halt::End(end, _)) => Came::Ended(end),
            Err(Halt::Protocol(error)) => Came::Broke(error),
            Err(Halt::Host(error)) => return Err(error),
            Err(Halt::Errno(errno)) => return Err(HostError::Call { call: HostCall::Run, source: errno.into() }),
            Err(Halt::Parked(_)) => return Err(Halt::nobody_waits()),
            Err(Halt::Panic(panic)) => std::panic::resume_unwind(panic),
        })
    }

    /// True if its wall time is over, and this thread had a processor for less than half of that without waiting for anything: it was the host
    /// that was busy.
    pub(crate) fn was_kept_waiting(&self, came: &Came) -> bool {
        let Used { wall, cpu, waited, .. } = self.used;
        matches!(came, Came::Ended(End::Limit(Limit::Wall))) && cpu.saturating_add(waited) < wall / 2
    }

    /// Puts the guest back to where inputs begin.
    pub(crate) fn reset(&mut self) -> Result<(), HostError> {
        self.core.restore(&self.start).map_err(|error| match error {
            RestoreError::Host(error) => error,
            // It was made with the same imports, none.
            RestoreError::Protocol(_) => HostError::NoGuest,
        })
    }

    /// From now on inputs begin where the guest is, which waits for one.
    pub(crate) fn advance(&mut self) -> Result<(), HostError> {
        self.start = save(&mut self.core)?;
        self.find_buffer();
        Ok(())
    }

    /// Copies the counters out, one range after the other.
    pub(crate) fn read_counters(&self, to: &mut [u8]) -> Result<(), HostError> {
        let mut rest = to;
        for range in self.core.target.as_deref().map_or(&[][..], |target| &target.counters) {
            let length = usize::try_from(range.length).unwrap_or(usize::MAX).min(rest.len());
            let (part, after) = rest.split_at_mut(length);
            let count = self.core.machine.copy_out(range.address, part)?;
            // A target can have unmapped its own counters.
            part.get_mut(count..).unwrap_or_default().fill(0);
            rest = after;
        }
        Ok(())
    }

    /// Tells the target whether anybody will look at what its inputs are compared with.
    pub(crate) fn want_comparisons(&mut self, wanted: bool) -> Result<(), HostError> {
        let window = self.core.target.as_deref().and_then(|target| target.windows.get(comparisons::NAME).copied());
        match window.filter(|window| window.bytes >= comparisons::HEADER_BYTES as u64) {
            Some(window) => self.memory.set_word(window.offset + comparisons::UNWANTED as u64, u64::from(!wanted)),
            None => Ok(()),
        }
    }

    /// Copies memory of the guest's out, as far as it can be read.
    pub(crate) fn read(&self, address: u64, to: &mut [u8]) -> Result<usize, HostError> {
        self.core.machine.copy_out(address, to)
    }

    /// Where it stopped; `fault` is what it could not access.
    pub(crate) fn site(&self, fault: Option<u64>) -> Site {
        self.core.process.site(&self.core.machine, fault)
    }

    /// True if an allocation was refused since the start because the memory limit was reached.
    pub(crate) fn was_short_of_memory(&self) -> bool {
        self.core.machine.frames.was_short()
    }

    /// Pages that the last reset copied.
    pub(crate) fn pages_reset(&self) -> u64 {
        self.core.machine.pages_written().iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// What the last input did and what it cost.
    pub(crate) fn stats(&self) -> Stats {
        self.core.stats(self.used)
    }

    /// Wall time of the last input in the guest, in nanoseconds.
    pub(crate) fn guest_time(&self) -> u64 {
        self.core.meter.guest
    }

    /// What was written to stdout and stderr since the last time, if it is collected.
    pub(crate) fn take_output(&mut self) -> [Vec<u8>; 2] {
        let Streams { output, error, .. } = &mut self.core.streams;
        [output, error].map(|stream| match stream {
            Output::Capture(bytes) => std::mem::take(bytes),
            Output::Discard | Output::File(_) => Vec::new(),
        })
    }

    /// The end of what it wrote to stderr during the last input.
    pub(crate) fn tail(&self) -> String {
        self.tail.text()
    }
}

/// How a guest that waits gets its inputs.
fn way_in(core: &Core<()>, function: &str, asked_for: Option<Awaited>) -> Result<Way, NotWaiting> {
    let (Some(table), Some(buffer)) = (&core.channel.table, core.channel.buffer) else {
        let file = asked_for.and_then(Awaited::into_file).map(|path| located(&core.process, &path)).transpose()?;
        return Ok(Way::Started { file });
    };
    match table.exports.get(function) {
        Some(&ordinal) => Ok(Way::Called { ordinal, buffer }),
        None => Err(NotWaiting::NoFunction(table.exports.keys().map(|name| name.to_string()).collect())),
    }
}

/// The state of a guest that waits for an input, with counters that are zero.
fn save(core: &mut Core<()>) -> Result<Arc<Saved>, HostError> {
    for range in core.target.as_deref().map(|target| target.counters.clone()).unwrap_or_default() {
        let mut done = 0;
        while done < range.length {
            let length = usize::try_from(range.length - done).unwrap_or(usize::MAX).min(ZEROS.len());
            let count = core.machine.copy_in(range.address + done, ZEROS.get(..length).unwrap_or_default())?;
            if count == 0 {
                break;
            }
            done += count as u64;
        }
    }
    core.machine.frames.forget_shortage();
    Ok(Arc::new(core.save(Position::ready())?))
}

/// Where the program looks for a file, from where it is; and there has to be a place for one.
fn located(process: &Process, path: &[u8]) -> Result<Vec<u8>, RunError> {
    let failed = |reason: String| RunError::File { reason };
    let mut whole = if path.starts_with(b"/") {
        Vec::new()
    } else {
        process.files.getcwd().map_err(|errno| failed(format!("the program's current directory: {errno}")))?
    };
    whole.push(b'/');
    whole.extend_from_slice(path);
    let mut names: Vec<&[u8]> = Vec::new();
    for name in whole.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    let found: Vec<u8> = names.iter().flat_map(|name| [b"/", *name].concat()).collect();
    process.files.clone().insert(&found, Vec::new(), 0o644).map_err(|error| failed(error.to_string()))?;
    Ok(found)
}

/// Puts the input where the program looks for it. If there is no room, it is the program that has filled it.
fn place(process: &mut Process, path: &[u8], input: &[u8]) -> Result<(), Halt> {
    process.files.insert(path, input.to_vec(), 0o644).map_err(|_| End::Limit(Limit::Memory).into())
}

fn bytes(input: &[u8]) -> Input {
    Input::Bytes { bytes: Arc::new(input.to_vec()), position: 0 }
}

impl From<SandboxError> for NotWaiting {
    fn from(error: SandboxError) -> Self {
        Self::Sandbox(error)
    }
}

impl From<RunError> for NotWaiting {
    fn from(error: RunError) -> Self {
        Self::Sandbox(error.into())
    }
}
