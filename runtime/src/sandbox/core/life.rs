//! Lives of a guest: where one begins, what it is told of it, and what is kept of it while it has no machine.

use std::sync::Arc;

use ampoule_kernel::call::{self, info};

use super::super::error::ProtocolError;
use super::super::home::Parked;
use super::super::run;
use super::super::saved::{Position, Saved};
use super::super::session::Used;
use super::{Core, Outside, Parts};
use crate::machine::Machine;
use crate::machine::shells;
use crate::stats::Stats;
use crate::vm::error::HostError;
use crate::vm::features::GuestFeatures;
use crate::vm::watch::Watch;

/// A life's number and seed.
pub(crate) type Life = [u8; LIFE_BYTES];
/// Their bytes.
const LIFE_BYTES: usize = 8 + 32;
/// Before it has begun.
pub(super) const NONE: Life = [0; LIFE_BYTES];

/// Why a guest cannot be made what was saved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    /// It imports what this host does not offer.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The host failed.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl<T> Core<T> {
    /// A guest that had no machine, in the one that has its state now.
    pub(in crate::sandbox) fn wake(parked: Parked<T>, machine: Machine) -> Self {
        let Parked { saved, outside, bound, life, .. } = parked;
        let mut core = Self::new(Parts {
            program: saved.program.clone(),
            limits: saved.limits.clone(),
            machine,
            fittings: saved.fittings.clone(),
            process: saved.process.clone(),
            outside,
            regions: Arc::clone(&saved.regions),
            host_calls: 0,
        });
        core.channel = saved.channel.clone();
        core.bound = bound;
        core.life = life.unwrap_or(core.life);
        core
    }

    /// What goes on without the machine, which others may have.
    pub(in crate::sandbox) fn park(self: Box<Self>, saved: Arc<Saved>, used: Used) -> Parked<T> {
        let stats = self.stats(used);
        let Self { machine, fittings, streams, imports, events, log, bound, life, .. } = *self;
        shells::give(machine, fittings);
        let outside = Outside { streams, imports, events, log };
        Parked { saved, outside, bound, life: Some(life), stats }
    }

    /// What the last call did and what it cost.
    pub(in crate::sandbox) fn stats(&self, used: Used) -> Stats {
        let stats = run::stats(&self.machine, used, &self.streams, &self.meter, Some(&self.process.counts));
        Stats { log_records_dropped: self.log.dropped, ..stats }
    }

    /// Ends the guest; others may have its machine.
    pub(in crate::sandbox) fn leave(self: Box<Self>) {
        let Self { machine, fittings, .. } = *self;
        shells::give(machine, fittings);
    }

    /// The guest's state. It is not entered.
    ///
    /// # Errors
    /// None is the host's doing but [`HostError`].
    pub(crate) fn save(&mut self, position: Position) -> Result<Saved, HostError> {
        Ok(Saved {
            program: self.program.clone(),
            limits: self.limits.clone(),
            fittings: self.fittings.clone(),
            regions: Arc::clone(&self.regions),
            machine: self.machine.save()?,
            process: self.process.clone(),
            channel: self.channel.clone(),
            position,
            features: GuestFeatures::found(),
        })
    }

    /// Makes the guest what was saved, of the same program. A new life begins.
    pub(crate) fn restore(&mut self, saved: &Saved) -> Result<(), RestoreError> {
        (self.waiting, self.failed) = (None, None);
        if let Some(table) = &saved.channel.table
            && !self.channel.table.as_ref().is_some_and(|ours| Arc::ptr_eq(ours, table))
        {
            self.bound = self.imports.bind(table)?;
        }
        if self.fittings == saved.fittings && self.machine.can_be_restored() {
            self.machine.restore(&saved.machine)?;
        } else {
            let machine = shells::lend(&saved.fittings, &saved.machine)?.map_err(|_| HostError::NoGuest)?;
            let before = std::mem::replace(&mut self.machine, machine);
            shells::give(before, std::mem::replace(&mut self.fittings, saved.fittings.clone()));
        }
        self.process.restore(&saved.process);
        self.channel.clone_from(&saved.channel);
        self.limits.clone_from(&saved.limits);
        self.regions = Arc::clone(&saved.regions);
        Ok(self.begin_life()?)
    }

    /// Another number and another seed than every guest of the same snapshot has; in the guest before its next instruction.
    pub(in crate::sandbox) fn begin_life(&mut self) -> Result<(), HostError> {
        self.life = self.process.random::<LIFE_BYTES>()?;
        self.tell_life()
    }

    /// Writes the info page, but for what each call writes.
    pub(in crate::sandbox) fn tell_life(&mut self) -> Result<(), HostError> {
        let level = self.log.level.map_or(0, |level| level as u64);
        for (offset, word) in [
            (info::VERSION, call::version(call::ABI_MAJOR, call::ABI_MINOR)),
            (info::LOG_LEVEL, level),
            (info::IDLE, 0),
            (info::TICKS, 0),
            (info::EVENTS, u64::from(self.channel.events.is_some())),
        ] {
            self.machine.write_info(offset, &word.to_le_bytes())?;
        }
        let (generation, seed) = self.life.split_at(8);
        self.machine.write_info(info::GENERATION, generation)?;
        self.machine.write_info(info::SEED, seed)
    }

    /// When the run in progress is over, on the guest's clock.
    pub(in crate::sandbox) fn tell_deadline(&mut self, watch: &Watch) -> Result<(), HostError> {
        let deadline = self.process.deadline(watch.wall_deadline());
        self.machine.write_info(info::DEADLINE, &deadline.to_le_bytes())
    }

    /// True if an async host function has to answer before the guest can go on.
    pub(crate) fn waits_for_host(&self) -> Option<&str> {
        self.waiting.as_ref().map(|waiting| &*waiting.name)
    }
}
