//! What a sandbox is made with.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::sync::Arc;

use ampoule_kernel::call;

use super::core::{Answer, Core, Driven, MappedRegion, Outside, Parts};
use super::entry;
use super::error::SandboxError;
use super::halt::Halt;
use super::imports::Imports;
use super::instance::Sandbox;
use super::log::{LogLevel, LogRecord, LogSink};
use super::region::Region;
use super::run;
use super::saved::Position;
use super::session::{Session, Used};
use crate::channel::posted::{EventQueue, Events, Overflow, queue};
use crate::command::Command;
use crate::error::RunError;
use crate::limits::{Call, Limits};
use crate::linux::files::HostDir;
use crate::linux::sources::Sources;
use crate::linux::streams::SharedTail;
use crate::machine::Machine;
use crate::machine::load::Loaded;
use crate::machine::probe::HostProbe;
use crate::machine::shared::NoRoom;
use crate::machine::shells::Fittings;
use crate::program::Program;
use crate::stdio::Stdio;
use crate::vm::watch::Watch;

/// What a [`Sandbox`] is made with: [`Sandbox::builder`].
///
/// Streams are null unless said otherwise, and everything else is as for a [`Command`].
#[derive(Debug)]
pub struct SandboxBuilder<T> {
    program: Program,
    imports: Imports<T>,
    command: Command,
    regions: BTreeMap<String, Region>,
    events: Option<EventQueue>,
    log: LogSink,
}

impl<T> SandboxBuilder<T> {
    pub(super) fn new(program: &Program, imports: &Imports<T>) -> Self {
        Self {
            program: program.clone(),
            imports: imports.clone(),
            command: Command::new(program),
            regions: BTreeMap::new(),
            events: None,
            log: LogSink::default(),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Puts a file into the program's in-memory file system.
    #[must_use]
    pub fn file(mut self, path: impl AsRef<OsStr>, content: impl Into<Vec<u8>>) -> Self {
        self.command.file(path, content);
        self
    }

    /// Puts a directory of the host's into the program's file system, as [`Command::dir`](crate::Command::dir) does. Snapshots of the sandbox share
    /// it, and what is open in it: what was written there stays when they are restored. They cannot be saved to files.
    #[must_use]
    pub fn dir(mut self, path: impl AsRef<OsStr>, directory: &HostDir) -> Self {
        self.command.dir(path, directory);
        self
    }

    /// Sets the directory that the program starts in: `/` unless said otherwise.
    #[must_use]
    pub fn current_dir(mut self, path: impl AsRef<OsStr>) -> Self {
        self.command.current_dir(path);
        self
    }

    /// What stdin is.
    #[must_use]
    pub fn stdin(mut self, stdin: Stdio) -> Self {
        self.command.stdin(stdin);
        self
    }

    /// What stdout is. [`Stdio::piped`] is null here: give the writing end of a pipe of your own.
    #[must_use]
    pub fn stdout(mut self, stdout: Stdio) -> Self {
        self.command.stdout(stdout);
        self
    }

    /// What stderr is, as [`stdout`](Self::stdout). Its last 4 KiB are kept for error messages in any case.
    #[must_use]
    pub fn stderr(mut self, stderr: Stdio) -> Self {
        self.command.stderr(stderr);
        self
    }

    /// What the program may hold.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.command.limits(limits);
        self
    }

    /// What the run to the program's `serve` may use.
    #[must_use]
    pub fn call(mut self, call: Call) -> Self {
        self.command.call(call);
        self
    }

    /// Where the program's time and randomness come from: the host unless said otherwise.
    #[must_use]
    pub fn sources(mut self, sources: Sources) -> Self {
        self.command.sources(sources);
        self
    }

    /// Shares a region with the program, under a name.
    #[must_use]
    pub fn region(mut self, name: &str, region: &Region) -> Self {
        self.regions.insert(name.to_owned(), region.clone());
        self
    }

    /// Opens the event page: the program can post events, and `capacity` of them wait to be taken. Without this there is no such page, and a
    /// program that posts is ended by a trap.
    #[must_use]
    pub fn events(mut self, capacity: usize, overflow: Overflow) -> (Self, Events) {
        let (queue, events) = queue(capacity, overflow);
        self.events = Some(queue);
        (self, events)
    }

    /// Which log records are listened to: `Info` and above unless said otherwise. Others cost the guest nothing.
    #[must_use]
    pub fn log_level(mut self, level: Option<LogLevel>) -> Self {
        self.log.level = level;
        self
    }

    /// Where log records go, instead of to the `log` crate. At most some thousand a second come; the others are dropped and counted.
    #[must_use]
    pub fn log(mut self, listener: impl Fn(&LogRecord<'_>) + Send + Sync + 'static) -> Self {
        self.log.listen(listener);
        self
    }

    /// Boots the program and runs it until it waits for its first call.
    ///
    /// # Errors
    /// [`SandboxError`] if the host cannot, if program and imports do not fit, or if the program ends before it can be called.
    pub fn build(mut self, data: T) -> Result<Sandbox<T>, SandboxError> {
        check_imports(&self.program, &self.imports)?;
        let (job, mut streams) = self.command.prepare_sandbox()?;
        let tail = streams.keep_tail();
        let mut watch = Watch::begin(run::budget(&job)).map_err(RunError::from)?;
        let (fittings, regions) = self.fittings(&job)?;
        let lent = match entry::load(&job, &fittings, &mut watch) {
            Ok(lent) => lent,
            Err(not_started) => return Err(failure(not_started.into_halt(&job.limits)?, &tail)),
        };
        let loaded = lent.map_err(|NoRoom| SandboxError::Region {
            name: self.regions.keys().next_back().cloned().unwrap_or_default(),
            reason: "all regions together are larger than Region::MAX_BYTES",
        })?;
        let mut data = data;
        let outside = Outside { streams, imports: self.imports, events: self.events, log: self.log };
        let mut core = begin(&job, loaded, fittings, regions, outside, &mut watch)?;
        loop {
            match core.drive(&mut data, &mut watch) {
                Ok(Driven::Answered(Answer::Ready)) => {
                    let used = Used::of(&watch);
                    let session = Session::new(&self.program, data, tail, used, Position::ready());
                    return Ok(Sandbox::ready(core, session));
                }
                // Nothing was asked, so nothing else can be answered: the core has said so.
                Ok(Driven::Answered(_) | Driven::Yielded) => {}
                Ok(Driven::Waiting) => {
                    super::instance::wait(&mut core, &mut watch).map_err(|halt| failure(halt, &tail))?;
                }
                Err(halt) => return Err(failure(halt, &tail)),
            }
        }
    }

    /// What the program shares with the host, and where it finds it.
    fn fittings(&self, job: &run::Job) -> Result<(Fittings, HashMap<Box<str>, MappedRegion>), SandboxError> {
        if let Some(name) = self.regions.keys().find(|name| !call::is_name(name.as_bytes())) {
            let reason = "a name is 1 to 255 graphic ASCII characters, without ( and )";
            return Err(SandboxError::Region { name: name.clone(), reason });
        }
        let regions = self.regions.values().map(|region| Arc::clone(&region.0)).collect();
        let fittings = Fittings::new(job.limits.pages(), job.doorbell).with(self.events.is_some(), regions);
        let mapped = self
            .regions
            .iter()
            .zip(fittings.addresses())
            .map(|((name, region), address)| (name.as_str().into(), MappedRegion { address, bytes: region.len() }));
        let mapped = mapped.collect();
        Ok((fittings, mapped))
    }
}

/// A guest of a program that was loaded, before its first instruction.
pub(super) fn begin<T>(
    job: &run::Job,
    (mut machine, loaded): (Machine, Loaded),
    fittings: Fittings,
    regions: HashMap<Box<str>, MappedRegion>,
    mut outside: Outside<T>,
    watch: &mut Watch,
) -> Result<Box<Core<T>>, SandboxError> {
    let features = HostProbe::get().map_err(RunError::from)?.features();
    machine.attach(watch.mask_inside()).map_err(RunError::from)?;
    let process = match run::start(job, &loaded, features, &mut machine, watch, &mut outside.streams) {
        Ok(process) => process,
        Err(not_started) => return Err(failure(not_started.into_halt(&job.limits)?, &SharedTail::default())),
    };
    let mut core = Box::new(Core::new(Parts {
        program: job.program.clone(),
        limits: job.limits.clone(),
        machine,
        fittings,
        process,
        outside,
        regions: Arc::new(regions),
        host_calls: job.call.host_call_count(),
    }));
    core.begin_life().and_then(|()| core.tell_deadline(watch)).map_err(RunError::from)?;
    Ok(core)
}

/// Compares what the program's note says that it imports with what there is.
pub(crate) fn check_imports<T>(program: &Program, imports: &Imports<T>) -> Result<(), SandboxError> {
    for wanted in program.interface()?.imports() {
        let (name, guest) = (wanted.name(), wanted.signature());
        let Some(import) = imports.get(name) else {
            return Err(SandboxError::MissingImport { name: name.to_owned(), signature: guest.clone() });
        };
        if let Some(what) = &import.unbounded {
            return Err(SandboxError::Unbounded { name: name.to_owned(), what: what.clone() });
        }
        if import.signature != *guest {
            return Err(SandboxError::ImportMismatch {
                name: name.to_owned(),
                guest: Box::new(guest.clone()),
                host: Box::new(import.signature.clone()),
            });
        }
    }
    Ok(())
}

/// Why a program never came to wait for a call.
pub(super) fn failure(halt: Halt, tail: &SharedTail) -> SandboxError {
    match halt {
        Halt::End(end, _) => SandboxError::Ended { end, stderr: tail.text() },
        Halt::Protocol(error) => error.into(),
        Halt::Host(error) => RunError::from(error).into(),
        Halt::Errno(errno) => RunError::Setup { source: errno.into() }.into(),
        Halt::Parked(_) => RunError::from(Halt::nobody_waits()).into(),
        Halt::Panic(panic) => std::panic::resume_unwind(panic),
    }
}
