//! Snapshots: a running guest's state, kept apart from any machine, to go back to and to make twins of.
//!
//! ```text
//! Sandbox ── snapshot ──► Snapshot ── restore ──► the same sandbox, as it was
//!                            │  └──── spawn ────► twins, each in a machine from its first call on
//!                            ├──── save, load ──► a file, for other processes and hosts
//!                            └── snapshot of a sandbox that went on: shares the pages that are equal
//! ```

mod command;
mod error;
mod file;
mod spawn;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use command::Stopped;
pub use error::SnapshotError;
pub use file::{SnapshotFileError, SnapshotOptions};
pub use spawn::SpawnBuilder;

use crate::limits::Limits;
use crate::program::Program;
use crate::sandbox::State;
use crate::sandbox::error::SandboxError;
use crate::sandbox::home::Home;
use crate::sandbox::imports::Imports;
use crate::sandbox::instance::Sandbox;
use crate::sandbox::saved::Saved;
use crate::sandbox::session::{Session, Used};

/// The state of a sandbox's guest at one moment: it waits for a call, or a limit stopped it in the middle of one.
///
/// Immutable, cheap to clone, and for any thread. It holds the guest's memory, registers, files and descriptors, but none of the host's closures, data
/// or streams: whoever makes a sandbox of it brings those. What went through a stream before is not taken back by a restore.
///
/// Every restore and every spawn is a life of its own: `ampoule_guest::generation()` and `ampoule_guest::entropy()` give it another number and
/// another seed, before its next instruction. What a program drew from its randomness *before* the snapshot, every life has in common, as it has
/// `AT_RANDOM` and with that most C libraries' stack canary.
///
/// ```no_run
/// use ampoule::{Imports, Program, Sandbox};
///
/// let program = Program::from_file("plugin")?;
/// let imports = Imports::<()>::new();
/// let handle = program.func::<(String,), String>("handle")?;
///
/// let mut plugin = Sandbox::new(&program, &imports, ())?;
/// let ready = plugin.snapshot()?;
/// plugin.call(&handle, ("first".to_owned(),))?;
/// plugin.restore(&ready)?; // the first call never was
/// let mut twin = ready.spawn(&imports, ())?;
/// twin.call(&handle, ("second".to_owned(),))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Snapshot(pub(crate) Arc<Saved>);

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("program", &self.0.program)
            .field("state", &self.state())
            .field("memory", &self.memory())
            .finish_non_exhaustive()
    }
}

impl Snapshot {
    /// The program whose guest it is.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.0.program
    }

    /// What can be done with a sandbox in this state: it is ready, or stopped in the middle of a call.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.position.state
    }

    /// Bytes of the guest's memory that are not zeros. Snapshots of one sandbox share those that are equal.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.0.machine.image().count() * ampoule_kernel::layout::PAGE_SIZE
    }

    /// What its guest was granted, and what everyone that goes on from here is.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// The processor features that its guest may use, because it may have found them when it started; as `/proc/cpuinfo` calls them.
    #[must_use]
    pub fn processor_features(&self) -> Vec<&'static str> {
        self.0.features.names().collect()
    }

    /// Makes a sandbox in this state, with streams that are null. It gets a machine with its first call.
    ///
    /// # Errors
    /// [`SandboxError`] if program and imports do not fit.
    pub fn spawn<T>(&self, imports: &Imports<T>, data: T) -> Result<Sandbox<T>, SandboxError> {
        self.builder(imports).build(data)
    }

    /// A guest in this state, without anybody's data.
    pub(crate) fn home<T>(&self, imports: &Imports<T>) -> Result<Home<T>, SandboxError> {
        self.builder(imports).home()
    }

    /// A sandbox of such a guest.
    pub(crate) fn inhabit<T>(&self, home: Home<T>, data: T) -> Sandbox<T> {
        let tail = home.tail();
        let session = Session::new(&self.0.program, data, tail, Used::default(), self.0.position.clone());
        Sandbox { home, session }
    }

    /// Makes a guest what this says. After an error nothing is known of it.
    pub(crate) fn restore_home<T>(&self, home: &mut Home<T>) -> Result<(), SnapshotError> {
        if let Some(parked) = home.if_parked() {
            parked.become_twin(&self.0)?;
            return Ok(());
        }
        home.core()?.restore(&self.0)?;
        Ok(())
    }

    /// The same with streams, events and a log of one's own.
    #[must_use]
    pub fn builder<T>(&self, imports: &Imports<T>) -> SpawnBuilder<T> {
        SpawnBuilder::new(self, imports)
    }
}

impl<T> Sandbox<T> {
    /// The guest's state. The guest is not entered, and goes on as if nothing had been.
    ///
    /// Costs what was written since the last snapshot or restore, however large the guest is.
    ///
    /// # Errors
    /// [`SnapshotError::State`] if it is neither ready nor stopped, [`SnapshotError::Waits`] if it waits for a host function that is not done,
    /// [`SnapshotError::Host`] if the host fails, which poisons the sandbox.
    pub fn snapshot(&mut self) -> Result<Snapshot, SnapshotError> {
        Ok(Snapshot(self.save()?))
    }

    fn save(&mut self) -> Result<Arc<Saved>, SnapshotError> {
        let Self { home, session } = self;
        let position = session.position();
        if !matches!(position.state, State::Ready | State::Stopped) {
            return Err(SnapshotError::State(position.state));
        }
        if let Some(parked) = home.if_parked() {
            return Ok(Arc::clone(&parked.saved));
        }
        let core = home.core()?;
        if let Some(name) = core.waits_for_host() {
            return Err(SnapshotError::Waits { name: name.to_owned() });
        }
        let saved = core.save(position);
        if saved.is_err() {
            session.poison();
        }
        Ok(Arc::new(saved?))
    }

    /// Makes the guest what the snapshot says, whatever became of it since: it may have ended, and a call that was stopped is forgotten. The sandbox's
    /// data, streams and listeners stay as they are.
    ///
    /// # Errors
    /// [`SnapshotError::OtherProgram`] if the snapshot is one of another program: [`spawn`](Snapshot::spawn) it instead.
    /// [`SnapshotError::NoCalls`] if it is a command's.
    /// [`SnapshotError::Host`] if the host fails, which poisons the sandbox.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        let saved = &snapshot.0;
        if !saved.program.is(self.program()) {
            return Err(SnapshotError::OtherProgram {
                sandbox: self.program().name().to_owned(),
                snapshot: saved.program.name().to_owned(),
            });
        }
        if !snapshot.is_called() {
            return Err(SnapshotError::NoCalls);
        }
        if self.home.is_awake() {
            self.session.poison();
        }
        snapshot.restore_home(&mut self.home)?;
        self.session.set_position(&saved.position);
        Ok(())
    }

    /// Gives the guest's machine to others until the next call. A sandbox that is idle costs its private pages then, and the process nothing.
    ///
    /// The guest goes on as if nothing had been; its next call begins some ten microseconds later.
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot); the sandbox then keeps its machine.
    pub fn park(&mut self) -> Result<(), SnapshotError> {
        if !self.home.is_awake() {
            return Ok(());
        }
        let saved = self.save()?;
        self.home.park(saved, self.session.used());
        Ok(())
    }

    /// True if it has a machine at the moment: from its first call on, until it is [parked](Self::park).
    #[must_use]
    pub fn has_machine(&self) -> bool {
        self.home.is_awake()
    }
}
