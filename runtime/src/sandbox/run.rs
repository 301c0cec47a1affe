//! The run loop: enter the guest, see why it stopped, serve it, look at the limits, enter again.
//!
//! ```text
//! system call ── the personality serves it ──────────── value or errno ──► enter again
//! exception ──── a lazy page, or a handler's signal ─── handled ─────────► enter again
//! signal ─────── clocks and token decide ────────────── not over ────────► enter again
//!                                            otherwise: an End, with what was printed and what it cost
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use crate::end::End;
use crate::error::RunError;
use crate::limits::{Call, Limits};
use crate::linux::files::Quota;
use crate::linux::reply::Refusal;
use crate::linux::streams::Streams;
use crate::linux::{Handled, Kernel, NotStarted, Process, Start};
use crate::machine::Machine;
use crate::machine::boot::Doorbell;
use crate::machine::event::{Event, Exception};
use crate::machine::load;
use crate::machine::probe::HostProbe;
use crate::program::Program;
use crate::stats::Stats;
use crate::trap::Trap;
use crate::vm::cancel::CancelToken;
use crate::vm::clock::{self, Nanos};
use crate::vm::device::{Device, Features};
use crate::vm::error::HostError;
use crate::vm::exit::ExitKind;
use crate::vm::watch::{Budget, Watch};

/// What a program is run with.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) program: Program,
    pub(crate) arguments: Vec<Vec<u8>>,
    pub(crate) environment: Vec<Vec<u8>>,
    pub(crate) files: Vec<Placed>,
    pub(crate) limits: Limits,
    pub(crate) call: Call,
    pub(crate) doorbell: Doorbell,
    /// Ends it as well as the call's own token: a child's.
    pub(crate) kill: Option<CancelToken>,
}

/// Something in the program's file system before it starts.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) path: Vec<u8>,
    pub(crate) content: Content,
}

/// What it is.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    File(Vec<u8>),
    Directory,
    Symlink(Vec<u8>),
}

/// How it ended and what it cost.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) end: End,
    pub(crate) stats: Stats,
}

/// Time and exits, as the loop counts them.
#[derive(Debug, Default)]
struct Meter {
    guest: Nanos,
    personality: Nanos,
    exits: BTreeMap<ExitKind, u64>,
}

/// Runs `job` to its end on this thread; `close` is what has to happen to its streams then, still within its limits.
pub(crate) fn run(
    job: &Job,
    streams: &mut Streams,
    close: impl FnOnce(&mut Streams, &mut Watch) -> Result<(), Refusal>,
) -> Result<Outcome, RunError> {
    let probe = HostProbe::get()?;
    let device = Device::get()?;
    let mut watch = Watch::begin(budget(job))?;
    let mut machine = Machine::new(device, probe, job.doorbell, job.limits.pages())?;
    run_in(&mut machine, &mut watch, probe.features(), job, streams, close)
}

fn budget(job: &Job) -> Budget {
    let (wall, cpu) = job.call.times();
    Budget {
        wall: clock::from_duration(wall),
        cpu: clock::from_duration(cpu),
        cancel: [job.call.token(), job.kill.as_ref()].into_iter().flatten().cloned().collect(),
    }
}

/// Runs `job` in a machine that nothing is loaded in yet.
fn run_in(
    machine: &mut Machine,
    watch: &mut Watch,
    features: Features,
    job: &Job,
    streams: &mut Streams,
    close: impl FnOnce(&mut Streams, &mut Watch) -> Result<(), Refusal>,
) -> Result<Outcome, RunError> {
    machine.attach(watch.mask_inside())?;
    let mut meter = Meter::default();
    let mut process = None;
    let refused = match start(job, features, machine, watch, streams) {
        Ok(started) => {
            let process = process.insert(started);
            let mut kernel = Kernel { process, machine: &mut *machine, watch: &mut *watch, streams };
            serve(&mut kernel, &job.program, &mut meter)
        }
        Err(NotStarted::OutOfMemory) => {
            return Err(RunError::TooLittleMemory { limit: job.limits.memory_bytes() });
        }
        Err(NotStarted::TooLarge(size)) => {
            return Err(RunError::TooManyArguments { bytes: size.bytes, max: size.max });
        }
        Err(NotStarted::File(error)) => {
            return Err(RunError::File { reason: error.to_string() });
        }
        Err(NotStarted::Refused(refusal)) => refusal,
    };
    let end = match refused {
        Refusal::End(end) => end,
        Refusal::Host(error) => return Err(error.into()),
        // An errno belongs to a system call, and there is none: the host's own set-up failed.
        Refusal::Errno(errno) => return Err(RunError::Setup { source: errno.into() }),
    };
    // A writer that does not take what was printed in time: the run is over by its limit, unless it was over anyhow.
    let end = match close(streams, watch) {
        Err(Refusal::End(late)) if matches!(end, End::Exited(_)) => late,
        Ok(()) | Err(Refusal::End(_) | Refusal::Errno(_)) => end,
        Err(Refusal::Host(error)) => return Err(error.into()),
    };
    let stats = Stats {
        wall: Duration::from_nanos(watch.wall_used()),
        cpu: Duration::from_nanos(watch.cpu_used()),
        guest: Duration::from_nanos(meter.guest),
        personality: Duration::from_nanos(meter.personality.saturating_sub(watch.waited())),
        waited: Duration::from_nanos(watch.waited()),
        exits: meter.exits,
        syscalls: process.map(|process: Process| process.counts.list()).unwrap_or_default(),
        memory_peak: machine.frames.peak() * ampoule_kernel::layout::PAGE_SIZE,
        bytes_in: streams.bytes_in,
        bytes_out: streams.bytes_out,
    };
    Ok(Outcome { end, stats })
}

fn start(
    job: &Job,
    features: Features,
    machine: &mut Machine,
    watch: &mut Watch,
    streams: &mut Streams,
) -> Result<Process, NotStarted> {
    watch.check()?;
    let loaded = load::load(machine, &job.program, watch)??;
    let (bytes, inodes) = job.limits.file_quota();
    let start = Start {
        program: &job.program,
        arguments: &job.arguments,
        environment: &job.environment,
        open_files: job.limits.descriptors(),
        quota: Quota { bytes, inodes },
        features,
    };
    let mut process = Process::new(&loaded, &start)?;
    for Placed { path, content } in &job.files {
        match content {
            Content::File(bytes) => process.files.insert(path, bytes.clone(), 0o644),
            Content::Directory => process.files.insert_directory(path, 0o755),
            Content::Symlink(target) => process.files.insert_symlink(path, target),
        }
        .map_err(NotStarted::File)?;
    }
    Kernel { process: &mut process, machine, watch, streams }.start(&loaded, &start)?;
    Ok(process)
}

/// Serves the program until something ends it; that is what is returned.
fn serve(kernel: &mut Kernel<'_>, program: &Program, meter: &mut Meter) -> Refusal {
    loop {
        if let Err(refusal) = step(kernel, program, meter) {
            return refusal;
        }
    }
}

fn step(kernel: &mut Kernel<'_>, program: &Program, meter: &mut Meter) -> Result<(), Refusal> {
    kernel.watch.enter()?;
    kernel.machine.set_signal_mask(kernel.watch.mask_inside())?;
    let entered = clock::monotonic();
    let event = kernel.machine.run();
    let left = clock::monotonic();
    meter.guest += left.saturating_sub(entered);
    let event = event?;
    *meter.exits.entry(kind(&event)).or_default() += 1;
    let result = match event {
        Event::Syscall => kernel.syscall(),
        Event::Exception(exception) => match kernel.exception(exception) {
            Ok(Handled::Yes) => Ok(()),
            Ok(Handled::No) => Err(trap(kernel, program, exception).into()),
            Err(refusal) => Err(refusal),
        },
        Event::Fatal(exception) => Err(trap(kernel, program, exception).into()),
        Event::Interrupted => kernel.watch.interrupted().map_err(Into::into),
        Event::Crashed(exit) => {
            let bytes = bytes_at_rip(kernel);
            let mut trap = Trap::crash(exit, kernel.machine.registers(), bytes);
            trap.symbolise(program, kernel.process.bias());
            Err(End::Trap(Box::new(trap)).into())
        }
        Event::KernelFault { vector, rip } => Err(HostError::KernelFault { vector, rip }.into()),
        Event::Broken(exit) => Err(HostError::Broken { exit: exit.to_string() }.into()),
    };
    meter.personality += clock::monotonic().saturating_sub(left);
    result?;
    Ok(kernel.watch.check()?)
}

fn kind(event: &Event) -> ExitKind {
    match event {
        Event::Syscall | Event::Exception(_) | Event::Fatal(_) | Event::KernelFault { .. } => ExitKind::Port,
        Event::Interrupted => ExitKind::Interrupted,
        Event::Crashed(exit) | Event::Broken(exit) => exit.kind(),
    }
}

fn trap(kernel: &mut Kernel<'_>, program: &Program, exception: Exception) -> End {
    let bytes = bytes_at_rip(kernel);
    let place = kernel.process.place(exception.address.unwrap_or(0));
    let mut trap = Trap::exception(exception, place, kernel.machine.registers(), bytes);
    trap.symbolise(program, kernel.process.bias());
    End::Trap(Box::new(trap))
}

/// As many of 16 bytes at RIP as can be read.
fn bytes_at_rip(kernel: &mut Kernel<'_>) -> Vec<u8> {
    let rip = kernel.machine.registers().rip;
    let mut bytes = [0; 16];
    let count = kernel.machine.copy_out(rip, &mut bytes).unwrap_or(0);
    bytes.get(..count).unwrap_or_default().to_vec()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
