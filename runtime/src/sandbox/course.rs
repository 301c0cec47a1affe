//! A run, as far as it is: from nothing to its outcome, in one go or in slices.
//!
//! ```text
//! New ── begin ──► Runs ── the program ends ──► Closes ── its streams are closed ──► Over
//!    │            └─◄──┘ a slice is over, or it waits  └─◄──┘ a writer is behind
//!    └── never started ──────────────────────────►
//! ```

use std::time::Duration;

use rustix::io::Errno;

use super::entry;
use super::halt::{Halt, Pause};
use super::run::{Job, Outcome, fittings, save, start, stats};
use super::saved::Saved;
use super::session::Used;
use super::step::{Meter, Rules, serve_again, step};
use crate::end::End;
use crate::error::RunError;
use crate::linux::reply::Refusal;
use crate::linux::streams::Streams;
use crate::linux::{Kernel, NotStarted, Process};
use crate::machine::Machine;
use crate::machine::load::Loaded;
use crate::machine::probe::HostProbe;
use crate::machine::shared::NoRoom;
use crate::machine::shells::{self, Fittings};
use crate::site::Site;
use crate::stats::Stats;
use crate::vm::clock::{self, Nanos};
use crate::vm::device::Features;
use crate::vm::error::HostError;
use crate::vm::parked::Parked;
use crate::vm::watch::Watch;

/// A machine that is lent, for as long as this is there.
#[derive(Debug)]
pub(super) struct Lent {
    /// None once it is given back.
    pub(super) machine: Option<Machine>,
    /// A machine without is nobody else's, and is destroyed.
    pub(super) fittings: Option<Fittings>,
}

/// A run, as far as it is. Dropping it ends it, and others may have its machine.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) stage: Stage,
    pub(super) meter: Meter,
    /// What its earlier slices used.
    pub(super) used: Used,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// Nothing has happened.
    New,
    /// The program is in its machine.
    Runs(Box<Runs>),
    /// It has ended, and its streams are to be closed.
    Closes(Box<Closes>),
    /// The outcome is told.
    Over,
}

#[derive(Debug)]
pub(super) struct Runs {
    lent: Lent,
    process: Process,
    /// Where it goes on.
    pause: Pause,
}

#[derive(Debug)]
pub(super) struct Closes {
    end: End,
    site: Option<Box<Site>>,
    saved: Option<Box<Saved>>,
    /// None of a program that was never in its machine.
    lent: Option<Lent>,
    /// None of one that was never started.
    process: Option<Process>,
}

/// What came of going on.
#[derive(Debug)]
pub(super) enum Pass {
    /// It is over.
    Over(Box<Outcome>),
    /// It goes on later: when what it waits for is there, or at once.
    Later(Option<Parked>),
}

impl Course {
    pub(super) fn new() -> Result<Self, RunError> {
        // It takes its time once, which is nobody's.
        HostProbe::get()?;
        Ok(Self { stage: Stage::New, meter: Meter::default(), used: Used::default() })
    }

    /// Goes on until the run is over or waits, or until `end` on `CLOCK_MONOTONIC` and for two entries at least: the first one on another thread
    /// than before can take longer than there is time (`docs/kvm.md`). `close` may be asked again while it waits.
    pub(super) fn go_on(
        &mut self,
        job: &Job,
        streams: &mut Streams,
        watch: &mut Watch,
        end: Nanos,
        close: &mut impl FnMut(&mut Streams, &mut Watch) -> Result<(), Refusal>,
    ) -> Result<Pass, RunError> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::New => self.stage = begin(job, streams, watch)?,
                Stage::Runs(mut runs) => match runs.serve(job, streams, &mut self.meter, watch, end) {
                    Ok(()) => {
                        self.stage = Stage::Runs(runs);
                        return Ok(Pass::Later(None));
                    }
                    Err(Halt::Parked(parked)) => {
                        runs.pause = Pause::Syscall;
                        self.stage = Stage::Runs(runs);
                        return Ok(Pass::Later(Some(parked)));
                    }
                    Err(halt) => self.stage = Stage::Closes(Box::new(runs.end(job, halt)?)),
                },
                Stage::Closes(mut closes) => {
                    match close(streams, watch) {
                        Ok(()) | Err(Refusal::Errno(_)) => {}
                        // A writer that does not take what was printed in time: the run is over by its limit, unless it was over anyhow.
                        Err(Refusal::End(late)) => {
                            if matches!(closes.end, End::Exited(_)) {
                                closes.end = late;
                            }
                        }
                        Err(Refusal::Host(error)) => return Err(error.into()),
                        Err(Refusal::Parked(parked)) => {
                            self.stage = Stage::Closes(closes);
                            return Ok(Pass::Later(Some(parked)));
                        }
                    }
                    self.used.add(Used::of(watch));
                    return Ok(Pass::Over(Box::new(closes.outcome(self.used, streams, &self.meter))));
                }
                Stage::Over => return Err(HostError::NoGuest.into()),
            }
        }
    }
}

/// Puts the program into a machine, and what it starts with.
fn begin(job: &Job, streams: &mut Streams, watch: &mut Watch) -> Result<Stage, RunError> {
    let fittings = fittings(job);
    if let Some(saved) = &job.from {
        let machine = shells::lend(&fittings, &saved.machine)?.map_err(|NoRoom| HostError::NoGuest)?;
        let lent = Lent { machine: Some(machine), fittings: Some(fittings) };
        let pause = saved.position.pause.filter(|pause| *pause == Pause::Syscall).unwrap_or(Pause::Between);
        return Ok(Stage::Runs(Box::new(Runs { lent, process: saved.process.clone(), pause })));
    }
    let (lent, loaded) = match entry::load(job, &fittings, watch) {
        Ok(Ok((machine, loaded))) => (Lent { machine: Some(machine), fittings: Some(fittings) }, loaded),
        // Without regions there is always room for them.
        Ok(Err(NoRoom)) => return Err(HostError::NoGuest.into()),
        Err(not_started) => return not_started.closes(job, None),
    };
    begin_in(job, lent, &loaded, HostProbe::get()?.features(), streams, watch)
}

/// Lays out what a program that was loaded starts with.
pub(super) fn begin_in(
    job: &Job,
    mut lent: Lent,
    loaded: &Loaded,
    features: Features,
    streams: &mut Streams,
    watch: &mut Watch,
) -> Result<Stage, RunError> {
    let machine = lent.machine()?;
    machine.attach(watch.mask_inside())?;
    match start(job, loaded, features, machine, watch, streams) {
        Ok(process) => Ok(Stage::Runs(Box::new(Runs { lent, process, pause: Pause::Between }))),
        Err(not_started) => not_started.closes(job, Some(lent)),
    }
}

impl Runs {
    /// Serves the program: until `end`, or until something ends it or makes it wait.
    fn serve(
        &mut self,
        job: &Job,
        streams: &mut Streams,
        meter: &mut Meter,
        watch: &mut Watch,
        end: Nanos,
    ) -> Result<(), Halt> {
        let Self { lent, process, pause } = self;
        let pause = std::mem::replace(pause, Pause::Between);
        watch.check().map_err(|stop| Halt::stopped(stop, pause))?;
        let machine = lent.machine()?;
        machine.attach(watch.mask_inside())?;
        let mut kernel = Kernel { process, machine, watch, streams };
        if pause == Pause::Syscall {
            serve_again(&mut kernel, meter)?;
        }
        let mut has_entered = false;
        loop {
            step(&mut kernel, &job.program, meter, Rules::default())?;
            if end < Nanos::MAX && has_entered && clock::monotonic() >= end {
                return Ok(());
            }
            has_entered = true;
        }
    }

    /// What is left of a program that does not go on.
    fn end(mut self, job: &Job, halt: Halt) -> Result<Closes, RunError> {
        let machine = self.lent.machine()?;
        let saved = match halt {
            Halt::End(_, pause @ (Pause::Between | Pause::Syscall)) if job.keeps_state => {
                Some(Box::new(save(job, machine, &self.process, pause)?))
            }
            _ => None,
        };
        let end = ended(halt)?;
        let site = match end {
            End::Signaled(_) => Some(Box::new(self.process.site(machine, None))),
            _ => None,
        };
        Ok(Closes { end, site, saved, lent: Some(self.lent), process: Some(self.process) })
    }
}

impl Closes {
    fn outcome(self, used: Used, streams: &Streams, meter: &Meter) -> Outcome {
        let counts = self.process.as_ref().map(|process| &process.counts);
        let stats = match self.lent.as_ref().and_then(|lent| lent.machine.as_ref()) {
            Some(machine) => stats(machine, used, streams, meter, counts),
            None => Stats { wall: Duration::from_nanos(used.wall), ..Stats::default() },
        };
        Outcome { end: self.end, stats, site: self.site, saved: self.saved }
    }
}

impl Lent {
    fn machine(&mut self) -> Result<&mut Machine, HostError> {
        self.machine.as_mut().ok_or(HostError::NoGuest)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(machine), Some(fittings)) = (self.machine.take(), self.fittings.take()) {
            shells::give(machine, fittings);
        }
    }
}

/// How a run ended that does not go on.
fn ended(halt: Halt) -> Result<End, RunError> {
    match halt {
        Halt::End(end, _) => Ok(end),
        Halt::Host(error) => Err(error.into()),
        // An errno belongs to a system call, and there is none: the host's own set-up failed.
        Halt::Errno(errno) => Err(RunError::Setup { source: errno.into() }),
        Halt::Parked(_) => Err(Halt::nobody_waits().into()),
        // Nobody calls into the program, and it calls nobody.
        Halt::Protocol(_) | Halt::Panic(_) => Err(RunError::Setup { source: Errno::PROTO.into() }),
    }
}

impl NotStarted {
    /// What is left of a program that was never started.
    fn closes(self, job: &Job, lent: Option<Lent>) -> Result<Stage, RunError> {
        let end = ended(self.into_halt(&job.limits)?)?;
        Ok(Stage::Closes(Box::new(Closes { end, site: None, saved: None, lent, process: None })))
    }
}
