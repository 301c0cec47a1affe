//! A program's run, from its first instruction to its end: what a [`Command`](crate::Command) does.

use std::sync::Arc;
use std::time::Duration;

use super::State;
use super::course::{Course, Pass};
use super::halt::{Halt, Pause};
use super::saved::{Channel, Position, Saved};
use super::session::Used;
use super::step::Meter;
use crate::end::End;
use crate::error::RunError;
use crate::limits::{Call, Limits};
use crate::linux::counts::Counts;
use crate::linux::files::{HostDir, Quota};
use crate::linux::reply::Refusal;
use crate::linux::sources::Sources;
use crate::linux::streams::Streams;
use crate::linux::{Kernel, NotStarted, Process, Start};
use crate::machine::Machine;
use crate::machine::boot::Doorbell;
use crate::machine::load::Loaded;
use crate::machine::shells::Fittings;
use crate::program::Program;
use crate::site::Site;
use crate::stats::Stats;
use crate::vm::cancel::CancelToken;
use crate::vm::clock::{self, Nanos};
use crate::vm::device::Features;
use crate::vm::error::HostError;
use crate::vm::features::GuestFeatures;
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
    pub(crate) sources: Sources,
    /// Ends it as well as the call's own token: a child's.
    pub(crate) kill: Option<CancelToken>,
    /// It goes on from there, and the program, its arguments, files and limits are those.
    pub(crate) from: Option<Arc<Saved>>,
    /// Its state is wanted if it is stopped.
    pub(crate) keeps_state: bool,
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
    HostDir(HostDir),
    /// The directory that the program starts in.
    Current,
}

/// How it ended and what it cost.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) end: End,
    pub(crate) stats: Stats,
    /// Where a signal of its own ended it. A trap has its own.
    pub(crate) site: Option<Box<Site>>,
    /// Its state, if that was wanted and it could go on from there.
    pub(crate) saved: Option<Box<Saved>>,
}

/// Runs `job` to its end on this thread; `close` is what has to happen to its streams then, still within its limits.
pub(crate) fn run(
    job: &Job,
    streams: &mut Streams,
    mut close: impl FnMut(&mut Streams, &mut Watch) -> Result<(), Refusal>,
) -> Result<Outcome, RunError> {
    let mut course = Course::new()?;
    let mut watch = Watch::begin(budget(job))?;
    match course.go_on(job, streams, &mut watch, Nanos::MAX, &mut close)? {
        Pass::Over(outcome) => Ok(*outcome),
        // This thread waits, and until the end of time.
        Pass::Later(_) => Err(Halt::nobody_waits().into()),
    }
}

/// What `job` may use.
pub(super) fn budget(job: &Job) -> Budget {
    let (wall, cpu) = job.call.times();
    Budget {
        wall: clock::from_duration(wall),
        cpu: clock::from_duration(cpu),
        cancel: [job.call.token().cloned(), job.kill.clone()],
        nudge: None,
        pipes: true,
        tick: None,
        slice: None,
    }
}

/// What its machine is made with.
pub(super) fn fittings(job: &Job) -> Fittings {
    match &job.from {
        Some(saved) => saved.fittings.clone(),
        None => Fittings::new(job.limits.pages(), job.doorbell),
    }
}

/// The state of a program that was stopped.
pub(super) fn save(job: &Job, machine: &mut Machine, process: &Process, pause: Pause) -> Result<Saved, HostError> {
    Ok(Saved {
        program: job.program.clone(),
        limits: job.limits.clone(),
        fittings: fittings(job),
        regions: Arc::default(),
        machine: machine.save()?,
        process: process.clone(),
        channel: Channel::default(),
        position: Position { state: State::Stopped, pause: Some(pause), calling: Arc::from(""), ordinal: None },
        features: GuestFeatures::found(),
    })
}

/// What a run did and what it cost.
pub(super) fn stats(machine: &Machine, used: Used, streams: &Streams, meter: &Meter, counts: Option<&Counts>) -> Stats {
    Stats {
        wall: Duration::from_nanos(used.wall),
        cpu: Duration::from_nanos(used.cpu),
        guest: Duration::from_nanos(meter.guest),
        personality: Duration::from_nanos(meter.personality.saturating_sub(used.waited)),
        waited: Duration::from_nanos(used.waited.saturating_add(used.parked)),
        exits: meter.exits(),
        syscalls: counts.map(Counts::list).unwrap_or_default(),
        memory_peak: machine.frames.peak() * ampoule_kernel::layout::PAGE_SIZE,
        log_records_dropped: 0,
        bytes_in: streams.bytes_in,
        bytes_out: streams.bytes_out,
    }
}

impl NotStarted {
    /// The host's failure, or the end of a run that was over before it began.
    pub(super) fn into_halt(self, limits: &Limits) -> Result<Halt, RunError> {
        Err(match self {
            Self::OutOfMemory => RunError::TooLittleMemory { limit: limits.memory_bytes() },
            Self::TooLarge(size) => RunError::TooManyArguments { bytes: size.bytes, max: size.max },
            Self::File(error) => RunError::File { reason: error.to_string() },
            Self::Refused(refusal) => return Ok(refusal.into()),
        })
    }
}

/// Makes the process of a program that was loaded, and its stack.
pub(super) fn start(
    job: &Job,
    loaded: &Loaded,
    features: Features,
    machine: &mut Machine,
    watch: &mut Watch,
    streams: &mut Streams,
) -> Result<Process, NotStarted> {
    let (bytes, inodes) = job.limits.file_quota();
    let start = Start {
        program: &job.program,
        arguments: &job.arguments,
        environment: &job.environment,
        open_files: job.limits.descriptors(),
        quota: Quota { bytes, inodes },
        sources: job.sources,
        features,
    };
    let mut process = Process::new(loaded, &start)?;
    for Placed { path, content } in &job.files {
        match content {
            Content::File(bytes) => process.files.insert(path, bytes.clone(), 0o644),
            Content::Directory => process.files.insert_directory(path, 0o755),
            Content::Symlink(target) => process.files.insert_symlink(path, target),
            Content::HostDir(directory) => process.files.insert_mount(path, directory),
            Content::Current => process.files.start_in(path),
        }
        .map_err(NotStarted::File)?;
    }
    Kernel { process: &mut process, machine, watch, streams }.start(loaded, &start)?;
    Ok(process)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
