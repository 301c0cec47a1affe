//! The Linux personality: what a program's system calls do, decided in the host. Deny by default: what is not here is `ENOSYS`, and
//! counted.
//!
//! ```text
//! dispatch      number → function; reply: value, errno or end; user: checked copies; counts, names: for statistics
//! files         the tree, host directories, descriptors, pipes, sockets, counters, epoll sets: all that a call on files changes
//! paths, naming, attributes, space, locks, ioctl, proc         system calls about files and names
//! io, copying, pipes, counters, sockets, streams               bytes; streams are the host's ends of stdin, stdout, stderr
//! poll, select, epoll                                          waiting for several things
//! areas, memory, mapped_files, locked_memory, site             mappings, brk, page faults that are no errors; what is kept of a crash
//! signals, sigframe                                            what the program wants, and how it is told
//! time, timers, futex, scheduling, identity, random            one process, one thread, one user
//! sources       where time and randomness come from; chacha, a stream of it
//! state         a process as bytes; rig: one on a fake vCPU, for tests and fuzzing
//! ```
//!
//! [`Process`] is a program's whole state on the host's side and plain data: cloning it is what a snapshot does. [`Kernel`] lends it
//! together with the machine, the run's limits and the host's ends of the streams for the time of one run.

mod areas;
mod attributes;
mod chacha;
mod copying;
mod counters;
pub(crate) mod counts;
mod dispatch;
mod epoll;
pub(crate) mod files;
mod futex;
mod identity;
mod io;
mod ioctl;
mod locked_memory;
mod locks;
mod mapped_files;
mod memory;
mod names;
mod naming;
mod paths;
mod pipes;
mod poll;
mod proc;
pub(crate) mod random;
pub(crate) mod reply;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod rig;
mod scheduling;
mod select;
mod sigframe;
mod signals;
mod site;
mod sockets;
pub(crate) mod sources;
mod space;
pub(crate) mod state;
pub(crate) mod streams;
#[cfg(test)]
mod tests;
mod time;
mod timers;
pub(crate) mod user;

use std::sync::Arc;

use self::counts::Counts;
use self::files::{Files, InsertError, Quota};
use self::memory::Memory;
use self::reply::Refusal;
use self::signals::Signals;
use self::sources::{Sources, Supply};
use self::streams::Streams;
use crate::machine::Machine;
use crate::machine::load::Loaded;
use crate::machine::space::OutOfMemory;
use crate::machine::stack::{self, Auxiliary, TooLarge};
use crate::program::Program;
use crate::trap::Place;
use crate::vm::clock::Nanos;
use crate::vm::device::Features;
use crate::vm::error::HostError;
use crate::vm::seam::HostCall;
use crate::vm::watch::Watch;

pub(crate) use self::memory::prepare_stack;
pub(crate) use self::sigframe::Handled;

/// Arguments and environment may take a quarter of the stack, as in Linux.
const MAX_ARGUMENTS: u64 = memory::STACK_BYTES / 4;

/// A program's state on the host's side.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    memory: Memory,
    pub(crate) files: Files,
    signals: Signals,
    supply: Supply,
    pub(crate) counts: Counts,
    /// What it is called.
    name: Vec<u8>,
    /// What `/proc/self/exe` says.
    executable: Vec<u8>,
    /// What it was started with: strings, each with its NUL.
    arguments: Arc<[u8]>,
    environment: Arc<[u8]>,
    open_files: u16,
    bias: u64,
    /// The last system call was cut short before it had done anything.
    waited: bool,
    /// When the wait of the last system call is over, on the host's `CLOCK_MONOTONIC`: served again, it does not begin anew. No file has this.
    waits_until: Option<Nanos>,
}

/// What a process starts with.
#[derive(Debug, Clone)]
pub(crate) struct Start<'a> {
    pub(crate) program: &'a Program,
    pub(crate) arguments: &'a [Vec<u8>],
    pub(crate) environment: &'a [Vec<u8>],
    pub(crate) open_files: u16,
    pub(crate) quota: Quota,
    pub(crate) sources: Sources,
    pub(crate) features: Features,
}

/// Why a process could not be started.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// Program and stack need more than the memory limit.
    OutOfMemory,
    /// Arguments and environment.
    TooLarge(TooLarge),
    /// A file that was to be in its file system.
    File(InsertError),
    /// The run is over before it began, or the host failed.
    Refused(Refusal),
}

impl<T: Into<Refusal>> From<T> for NotStarted {
    fn from(refusal: T) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<OutOfMemory> for NotStarted {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// A process with everything that a system call needs.
#[derive(Debug)]
pub(crate) struct Kernel<'a> {
    pub(crate) process: &'a mut Process,
    pub(crate) machine: &'a mut Machine,
    pub(crate) watch: &'a mut Watch,
    pub(crate) streams: &'a mut Streams,
}

impl Process {
    /// A process over a program that was just loaded.
    pub(crate) fn new(loaded: &Loaded, start: &Start<'_>) -> Result<Self, NotStarted> {
        let name = start.program.name().as_bytes().to_vec();
        let supply = Supply::new(start.sources);
        let mut files = Files::new(start.quota, start.open_files);
        files.begin(attributes::file_time(&supply));
        Ok(Self {
            // A program has at most some dozens of segments.
            memory: Memory::new(loaded).map_err(|_| NotStarted::OutOfMemory)?,
            files,
            signals: Signals::new(),
            supply,
            counts: Counts::new(),
            executable: executable(&name),
            name,
            arguments: strings(start.arguments).into(),
            environment: strings(start.environment).into(),
            open_files: start.open_files,
            bias: loaded.bias,
            waited: false,
            waits_until: None,
        })
    }

    /// Makes it what it was, but for what was counted. What is the same already is not copied: a restore that undoes no more than memory allocates
    /// nothing.
    pub(crate) fn restore(&mut self, saved: &Self) {
        let Self { memory, files, signals, supply, counts: _, name, executable, arguments, environment, .. } = saved;
        let Self { open_files, bias, waited, waits_until, .. } = *saved;
        put_back(&mut self.memory, memory);
        self.files.restore(files);
        put_back(&mut self.signals, signals);
        self.supply.clone_from(supply);
        put_back(&mut self.name, name);
        put_back(&mut self.executable, executable);
        self.arguments.clone_from(arguments);
        self.environment.clone_from(environment);
        (self.open_files, self.bias, self.waited) = (open_files, bias, waited);
        self.waits_until = waits_until;
    }

    /// What is at an address, for a report.
    pub(crate) fn place(&self, address: u64) -> Place {
        self.memory.place(address)
    }

    /// What was added to the addresses as linked.
    pub(crate) fn bias(&self) -> u64 {
        self.bias
    }

    /// Random bytes that the program is given before it asks: `AT_RANDOM`, and the seed in the info page, another for every life.
    pub(crate) fn random<const N: usize>(&mut self) -> Result<[u8; N], HostError> {
        let mut bytes = [0; N];
        let filled = self.supply.fill_small(&mut bytes);
        filled.map_err(|errno| HostError::Call { call: HostCall::Random, source: errno.into() })?;
        Ok(bytes)
    }

    /// What the program is told of a deadline on the host's `CLOCK_MONOTONIC`: the same on its own, or none.
    pub(crate) fn deadline(&self, at: Nanos) -> Nanos {
        self.supply.deadline(at)
    }
}

/// Comparing is quicker than copying what allocates.
fn put_back<T: Clone + PartialEq>(ours: &mut T, saved: &T) {
    if ours != saved {
        ours.clone_from(saved);
    }
}

impl Kernel<'_> {
    /// Lays the stack out and points the registers at the program's entry.
    pub(crate) fn start(&mut self, loaded: &Loaded, start: &Start<'_>) -> Result<(), NotStarted> {
        let random = self.process.random()?;
        let headers = start.program.program_headers();
        let auxiliary = Auxiliary {
            entry: loaded.entry,
            headers: loaded.headers,
            header_bytes: headers.entry_size,
            header_count: headers.count,
            hardware: start.features.leaf1_edx,
            fsgsbase: start.features.fsgsbase,
            user: identity::USER,
            random,
            signal_stack: sigframe::MAX_FRAME,
        };
        let executable = self.process.executable.clone();
        let stack = stack::lay_out(
            memory::STACK_TOP,
            MAX_ARGUMENTS,
            start.arguments,
            start.environment,
            &executable,
            &auxiliary,
        )
        .map_err(NotStarted::TooLarge)?;
        prepare_stack(self.machine, stack.bytes.len() as u64, self.watch)??;
        self.write_all(stack.pointer, &stack.bytes)?;
        let mut registers = *self.machine.registers();
        registers.rip = loaded.entry;
        registers.rsp = stack.pointer;
        // A program's entry lies inside one of its segments, which the payload's half contains.
        self.machine.set_registers(&registers).map_err(|_| NotStarted::OutOfMemory)
    }
}

/// Where a program of this name finds itself.
fn executable(name: &[u8]) -> Vec<u8> {
    [b"/", name].concat()
}

/// Strings as `/proc` shows them. More than a program can be started with are not kept: it is not started.
fn strings(list: &[Vec<u8>]) -> Vec<u8> {
    let bytes = list.iter().flat_map(|string| string.iter().copied().chain([0]));
    bytes.take(usize::try_from(MAX_ARGUMENTS).unwrap_or(0)).collect()
}

/// A register as an `int`: descriptors, process numbers, time-outs.
fn descriptor(register: u64) -> i32 {
    let [a, b, c, d, ..] = register.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}
