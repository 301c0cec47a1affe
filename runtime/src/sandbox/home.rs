//! Where a sandbox's guest is: in a machine, or in none.
//!
//! ```text
//! Parked ── first call ──► Awake ── dropped ──► its machine is lent to others
//!    ▲                       │
//!    └──────── park ─────────┘
//! ```
//! A virtual machine taxes its process for as long as it lives, so a sandbox has one only from its first call on, and can do without between
//! calls.

use std::sync::Arc;

use super::core::{Core, Life, Outside};
use super::error::ProtocolError;
use super::imports::{Import, Imports};
use super::saved::Saved;
use super::session::Used;
use crate::linux::streams::SharedTail;
use crate::machine::shells;
use crate::program::Program;
use crate::site::Site;
use crate::stats::Stats;
use crate::vm::error::HostError;

/// See the module's documentation.
pub(crate) struct Home<T>(Place<T>);

enum Place<T> {
    Awake(Box<Core<T>>),
    Parked(Box<Parked<T>>),
    /// Somebody took it.
    Gone,
}

/// A guest without a machine.
pub(crate) struct Parked<T> {
    pub(crate) saved: Arc<Saved>,
    /// What it had of the host's.
    pub(crate) outside: Outside<T>,
    pub(crate) bound: Vec<Arc<Import<T>>>,
    /// Its life goes on; otherwise it is a twin, and a new one begins.
    pub(crate) life: Option<Life>,
    pub(crate) stats: Stats,
}

impl<T> Home<T> {
    pub(super) fn awake(core: Box<Core<T>>) -> Self {
        Self(Place::Awake(core))
    }

    pub(crate) fn parked(parked: Parked<T>) -> Self {
        Self(Place::Parked(Box::new(parked)))
    }

    /// The guest in its machine, which it gets if it has none.
    #[inline]
    pub(crate) fn core(&mut self) -> Result<&mut Core<T>, HostError> {
        if !matches!(self.0, Place::Awake(_)) {
            self.wake()?;
        }
        match &mut self.0 {
            Place::Awake(core) => Ok(core),
            Place::Parked(_) | Place::Gone => Err(HostError::NoGuest),
        }
    }

    /// True if its guest is one of this program, with these functions of the host's.
    pub(crate) fn is_of(&self, program: &Program, imports: &Imports<T>) -> bool {
        match &self.0 {
            Place::Awake(core) => core.program.is(program) && core.imports.is(imports),
            Place::Parked(parked) => parked.saved.program.is(program) && parked.outside.imports.is(imports),
            Place::Gone => false,
        }
    }

    /// True if it has a machine.
    pub(crate) fn is_awake(&self) -> bool {
        matches!(self.0, Place::Awake(_))
    }

    /// True if its guest waits for a host function.
    pub(crate) fn awaits_host(&self) -> bool {
        matches!(&self.0, Place::Awake(core) if core.waiting.is_some())
    }

    /// What a guest without a machine is.
    pub(crate) fn if_parked(&mut self) -> Option<&mut Parked<T>> {
        match &mut self.0 {
            Place::Parked(parked) => Some(parked),
            Place::Awake(_) | Place::Gone => None,
        }
    }

    #[cold]
    fn wake(&mut self) -> Result<(), HostError> {
        let Place::Parked(parked) = &mut self.0 else { return Err(HostError::NoGuest) };
        let Saved { fittings, machine, .. } = &*parked.saved;
        // The regions fitted when the snapshot's own sandbox was made.
        let machine = shells::lend(fittings, machine)?.map_err(|_| HostError::NoGuest)?;
        let (is_twin, stats, saved) = (parked.life.is_none(), parked.stats.clone(), Arc::clone(&parked.saved));
        let Place::Parked(parked) = std::mem::replace(&mut self.0, Place::Gone) else { return Err(HostError::NoGuest) };
        let mut core = Box::new(Core::wake(*parked, machine));
        let told = if is_twin { core.begin_life() } else { core.tell_life() };
        if told.is_ok() {
            self.0 = Place::Awake(core);
        } else {
            // A guest that was not told its life must not run.
            let mut parked = core.park(saved, Used::default());
            parked.stats = stats;
            if is_twin {
                parked.life = None;
            }
            self.0 = Place::Parked(Box::new(parked));
        }
        told
    }

    /// Takes the guest out, wherever it is.
    pub(crate) fn move_out(&mut self) -> Self {
        Self(std::mem::replace(&mut self.0, Place::Gone))
    }

    /// The end of its stderr.
    pub(crate) fn tail(&self) -> SharedTail {
        let streams = match &self.0 {
            Place::Awake(core) => &core.streams,
            Place::Parked(parked) => &parked.outside.streams,
            Place::Gone => return SharedTail::default(),
        };
        streams.tail.clone().unwrap_or_default()
    }

    /// What the last call did and what it cost.
    pub(super) fn stats(&self, used: Used) -> Stats {
        match &self.0 {
            Place::Awake(core) => core.stats(used),
            Place::Parked(parked) => parked.stats.clone(),
            Place::Gone => Stats::default(),
        }
    }

    /// Where the guest stands, if it is in a machine.
    pub(super) fn site(&self) -> Option<Site> {
        match &self.0 {
            Place::Awake(core) => Some(core.process.site(&core.machine, None)),
            Place::Parked(_) | Place::Gone => None,
        }
    }

    /// Takes the guest out, in a machine.
    pub(super) fn take(mut self) -> Result<Box<Core<T>>, HostError> {
        self.core()?;
        match std::mem::replace(&mut self.0, Place::Gone) {
            Place::Awake(core) => Ok(core),
            Place::Parked(_) | Place::Gone => Err(HostError::NoGuest),
        }
    }

    /// Gives the machine back, once its guest is saved.
    pub(crate) fn park(&mut self, saved: Arc<Saved>, used: Used) {
        if let Place::Awake(core) = std::mem::replace(&mut self.0, Place::Gone) {
            self.0 = Place::Parked(Box::new(core.park(saved, used)));
        }
    }
}

impl<T> Parked<T> {
    /// Makes it a twin of what was saved, of the same program.
    pub(crate) fn become_twin(&mut self, saved: &Arc<Saved>) -> Result<(), ProtocolError> {
        if let Some(table) = &saved.channel.table {
            self.bound = self.outside.imports.bind(table)?;
        }
        (self.saved, self.life) = (Arc::clone(saved), None);
        Ok(())
    }
}

impl<T> Drop for Home<T> {
    fn drop(&mut self) {
        if let Place::Awake(core) = std::mem::replace(&mut self.0, Place::Gone) {
            core.leave();
        }
    }
}
