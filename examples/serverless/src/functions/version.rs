//! One version of a function, ready to be invoked.
//!
//! ```text
//! exports handle       boot to `serve` ─ snapshot ─ Pool       invocation: take ─ call ─ give back, which restores the snapshot
//! asks for its input   start to the asking ─ snapshot          invocation: a run from there to its end, the body as stdin
//! asks for nothing     Program                                 invocation: a run from its start
//! a snapshot           is where it is                          invocation: the same, from there
//! ```

use std::io;
use std::path::Path;
use std::sync::Arc;

use ampoule::{
    Call, CallError, Command, End, Function as Export, Imports, InterfaceError, Output, Pool, PoolError, PoolStats,
    Program, ProgramError, RunError, Sandbox, SandboxError, Snapshot, SnapshotError, SnapshotFileError, State, Stdio,
};
use bytes::Bytes;
use serde_json::{Value, json};

use super::admission::Admission;
use super::failure::Failure;
use super::name::Name;
use super::reports::Reports;
use super::settings::Settings;
use super::store::Manifest;

/// What is called in a function that has the SDK.
const HANDLE: &str = "handle";
/// How an ELF begins; a file of a snapshot begins otherwise.
const ELF: &[u8] = b"\x7fELF";

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) name: Name,
    pub(crate) number: u64,
    pub(crate) manifest: Manifest,
    pub(crate) admission: Admission,
    bytes: usize,
    program: Program,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// It waits for calls.
    Handler(Pool<()>, Snapshot),
    /// It is run from there.
    Stopped(Snapshot),
    /// It is run from its start.
    Program,
}

/// Why a file is no function.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoFunction {
    #[error("it is no program: {0}")]
    Program(#[from] ProgramError),
    #[error("it is neither an ELF nor a snapshot of this host's: {0}")]
    SnapshotFile(#[from] SnapshotFileError),
    #[error("its interface cannot be read: {0}")]
    Interface(#[from] InterfaceError),
    #[error("it exports {exports}, and a function is called as `handle(bytes) -> bytes`: export that, or nothing")]
    NoHandle { exports: String },
    #[error("it cannot be started: {0}")]
    Start(#[from] SandboxError),
    #[error("it cannot be snapshotted: {0}")]
    Snapshot(#[from] SnapshotError),
    #[error("it cannot be run: {0}")]
    Run(#[from] RunError),
    #[error("it ended before it asked for its input: {0}")]
    Ended(End),
    #[error("it gets no pool: {0}")]
    Pool(#[from] PoolError),
    #[error("the snapshot is of a sandbox that is {state}: take one of a sandbox that waits for its next call")]
    NotReady { state: State },
    #[error("the snapshot's memory is {mib} MiB, and the setting memory_mib allows {most}")]
    Memory { mib: u64, most: u32 },
    #[error("a function that exports `handle` takes whole bodies: only programs that read stdin can be streaming")]
    NoStream,
}

impl Version {
    /// Makes a function ready; `warm` is its state when it was made ready before. Takes as long as the function needs to boot.
    ///
    /// # Errors
    /// [`NoFunction`].
    pub(crate) fn prepare(
        (name, number): (&Name, u64),
        manifest: Manifest,
        image: Vec<u8>,
        warm: Option<&Path>,
    ) -> Result<Self, NoFunction> {
        let settings = &manifest.settings;
        let bytes = image.len();
        let kept = warm.and_then(|path| Snapshot::options().limits(settings.limits()).load(path).ok());
        let (program, kind) = if let Some(snapshot) = kept {
            (snapshot.program().clone(), Kind::at(snapshot, settings)?)
        } else if image.starts_with(ELF) {
            let program = Program::options().name(name.as_str()).from_bytes(image)?;
            (program.clone(), Kind::of(&program, settings)?)
        } else {
            let snapshot = Snapshot::options().limits(settings.limits()).from_bytes(&image)?;
            (snapshot.program().clone(), Kind::at(snapshot, settings)?)
        };
        if settings.streaming && matches!(kind, Kind::Handler(..)) {
            return Err(NoFunction::NoStream);
        }
        let admission = Admission::new(settings);
        Ok(Self { name: name.clone(), number, manifest, admission, bytes, program, kind })
    }

    /// Keeps the state in which it is ready, if it has one.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        match &self.kind {
            Kind::Handler(_, snapshot) | Kind::Stopped(snapshot) => snapshot.save(path).map_err(io::Error::other),
            Kind::Program => Ok(()),
        }
    }

    /// Answers a request. Dropping the future stops the guest.
    pub(crate) async fn answer(self: Arc<Self>, reports: Arc<Reports>, body: Bytes) -> Result<Vec<u8>, Failure> {
        #[cfg(feature = "baseline")]
        if let Some(native) = super::native::find(self.name.as_str()) {
            return Ok(native(&body));
        }
        match &self.kind {
            Kind::Handler(pool, _) => self.call(pool, &reports, &body).await,
            Kind::Stopped(_) | Kind::Program => self.run(&reports, body).await,
        }
    }

    /// Calls `handle` in a sandbox that is as the snapshot says, and is made so again when it is dropped.
    async fn call(&self, pool: &Pool<()>, reports: &Reports, body: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut sandbox = pool.take_async(()).await?;
        let mut reply = Vec::new();
        let call = self.manifest.settings.call();
        if let Err(error) = sandbox.call_bytes_async(HANDLE, body, &mut reply, &call).await {
            // A trap has its own.
            let site = matches!(error, CallError::Ended(End::Signaled(_))).then(|| sandbox.site()).flatten();
            let report = |end: &_| {
                reports.of((&self.name, self.number), &self.manifest.sha256, &self.program, end, site.as_ref())
            };
            return Err(Failure::of_call(error, report));
        }
        if reply.len() > self.manifest.settings.reply_bytes() {
            let detail = format!("the answer has {} bytes: more than reply_kib allows", reply.len());
            return Err(Failure::new(super::failure::Kind::ReplyTooLong, detail));
        }
        Ok(reply)
    }

    /// Runs a program to its end.
    async fn run(&self, reports: &Reports, body: Bytes) -> Result<Vec<u8>, Failure> {
        let mut command = self.command(self.manifest.settings.call())?;
        let output = command.stdin(Stdio::bytes(body)).output_async().await?;
        self.ended_well(&output, reports)?;
        Ok(output.stdout)
    }

    /// # Errors
    /// What is told of a run that did not end with status 0.
    pub(super) fn ended_well(&self, output: &Output, reports: &Reports) -> Result<(), Failure> {
        if output.end.success() {
            return Ok(());
        }
        let report =
            reports.of((&self.name, self.number), &self.manifest.sha256, &self.program, &output.end, output.site());
        Err(Failure::ended(&output.end, &String::from_utf8_lossy(&output.stderr), report))
    }

    /// A run of the program, with streams that are still to be set.
    pub(super) fn command(&self, call: Call) -> Result<Command, Failure> {
        let mut command = match &self.kind {
            Kind::Handler(_, snapshot) | Kind::Stopped(snapshot) => {
                snapshot.command().map_err(|error| Failure::new(super::failure::Kind::Host, error.to_string()))?
            }
            Kind::Program => Command::new(&self.program),
        };
        command.limits(self.manifest.settings.limits()).call(call);
        Ok(command)
    }

    /// Its pool, if it has one.
    pub(crate) fn pool(&self) -> Option<PoolStats> {
        match &self.kind {
            Kind::Handler(pool, _) => Some(pool.stats()),
            Kind::Stopped(_) | Kind::Program => None,
        }
    }

    /// What it is and what it does at the moment.
    pub(crate) fn describe(&self) -> Value {
        let pool = self.pool().map(
            |stats| json!({ "idle": stats.idle, "taken": stats.taken, "made": stats.made, "replaced": stats.replaced }),
        );
        json!({
            "name": self.name.as_str(),
            "kind": if pool.is_some() { "handler" } else { "program" },
            "version": self.number,
            "bytes": self.bytes,
            "deployed": self.manifest.deployed,
            "settings": self.manifest.settings,
            "running": self.admission.running(),
            "waiting": self.admission.waiting(),
            "pool": pool,
        })
    }
}

impl Kind {
    /// Boots the program, if it waits to be called.
    fn of(program: &Program, settings: &Settings) -> Result<Self, NoFunction> {
        let interface = program.interface()?;
        match interface.export(HANDLE) {
            Some(handle) if handle.signature().is_bytes() => {
                let builder = Sandbox::builder(program, &Imports::new()).limits(settings.limits());
                let mut sandbox = builder.call(settings.call()).build(())?;
                let ready = sandbox.snapshot()?;
                Ok(Self::Handler(pool(&ready, settings)?, ready))
            }
            None if interface.is_empty() && settings.cold => Ok(Self::Program),
            None if interface.is_empty() => Self::warm(program, settings),
            _ => Err(NoFunction::NoHandle { exports: list(interface.exports()) }),
        }
    }

    /// Starts the program, up to where it asks for its input.
    fn warm(program: &Program, settings: &Settings) -> Result<Self, NoFunction> {
        let mut command = Command::new(program);
        command.limits(settings.limits()).call(settings.call()).stdout(Stdio::null()).stderr(Stdio::null());
        let stopped = command.stop_at_input()?;
        match (stopped.snapshot, stopped.end) {
            // What it wrote before belongs to every answer, and it writes that only when it starts.
            (Some(snapshot), _) if stopped.stats.bytes_out == 0 => Ok(Self::Stopped(snapshot)),
            (Some(_), _) | (None, End::Exited(0)) => Ok(Self::Program),
            (None, end) => Err(NoFunction::Ended(end)),
        }
    }

    fn at(snapshot: Snapshot, settings: &Settings) -> Result<Self, NoFunction> {
        let mib = snapshot.limits().memory_bytes() >> 20;
        if mib > settings.memory_mib.into() {
            return Err(NoFunction::Memory { mib, most: settings.memory_mib });
        }
        if !snapshot.is_called() {
            return Ok(Self::Stopped(snapshot));
        }
        let interface = snapshot.program().interface()?;
        if !interface.export(HANDLE).is_some_and(|handle| handle.signature().is_bytes()) {
            return Err(NoFunction::NoHandle { exports: list(interface.exports()) });
        }
        if snapshot.state() != State::Ready {
            return Err(NoFunction::NotReady { state: snapshot.state() });
        }
        Ok(Self::Handler(pool(&snapshot, settings)?, snapshot))
    }
}

/// Sandboxes stay for a while after an invocation. A function that nobody invokes has none: a host may have a thousand of them, and each machine
/// makes the others' changes of memory slower.
fn pool(ready: &Snapshot, settings: &Settings) -> Result<Pool<()>, PoolError> {
    let most = usize::try_from(settings.concurrency).unwrap_or(usize::MAX);
    Pool::builder(ready, &Imports::new()).warm(0).max(most).build()
}

fn list(exports: &[Export]) -> String {
    if exports.is_empty() {
        return "nothing".to_owned();
    }
    exports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
