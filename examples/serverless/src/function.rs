//! A function, and what one request does with it.
//!
//! ```text
//! exports handle    boot to `serve` ─ snapshot ─ Pool      request: take ─ call ─ give back, which restores the snapshot
//! knows nothing     Program                                request: Command, with the body as stdin
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ampoule::{
    Call, CancelToken, Command, Function as Export, Imports, Limits, Pool, PoolStats, Program, Sandbox, Stdio,
};
use axum::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::error::Error;
use crate::failure::Failure;

/// What is called in a function that has the SDK.
const HANDLE: &str = "handle";

/// What functions and their requests may use.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    pub(crate) limits: Limits,
    pub(crate) call: Call,
    /// How long a request waits for its turn.
    pub(crate) wait: Duration,
    /// Requests that one function serves at once.
    pub(crate) sandboxes: usize,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Function {
    kind: Kind,
    bounds: Bounds,
}

#[derive(Debug)]
enum Kind {
    Handle(Pool<()>),
    /// A permit for each run.
    Plain(Program, Arc<Semaphore>),
}

impl Function {
    /// Boots the program, if it waits to be called.
    pub(crate) fn new(program: Program, bounds: &Bounds) -> Result<Self, Error> {
        let name = || program.name().to_owned();
        let interface = program.interface().map_err(|source| Error::Interface { name: name(), source })?;
        let kind = match interface.export(HANDLE) {
            Some(handle) if handle.signature().is_bytes() => Kind::Handle(pool(&program, bounds)?),
            None if interface.is_empty() => Kind::Plain(program, Arc::new(Semaphore::new(bounds.sandboxes))),
            _ => return Err(Error::NoHandle { name: name(), exports: list(interface.exports()) }),
        };
        Ok(Self { kind, bounds: bounds.clone() })
    }

    /// Answers a request. Dropping the future, because the client hung up, stops the guest.
    pub(crate) async fn invoke(&self, body: Bytes) -> Result<Vec<u8>, Failure> {
        let token = CancelToken::new();
        let _hang_up = CancelOnDrop(token.clone());
        let bounds = Bounds { call: self.bounds.call.clone().cancel(&token), ..self.bounds.clone() };
        match &self.kind {
            Kind::Handle(pool) => {
                // A task of its own: a guest that sleeps holds the thread that polls it, and the connection's task has others to wake.
                let answer = tokio::spawn(handle(pool.clone(), body, bounds)).await;
                answer.map_err(|_| Failure::panicked())?
            }
            Kind::Plain(program, free) => run(program.clone(), Arc::clone(free), body, bounds).await,
        }
    }

    /// Threads of the runtime that its guests can hold at once.
    pub(crate) fn threads(&self) -> usize {
        match &self.kind {
            Kind::Handle(_) => self.bounds.sandboxes,
            Kind::Plain(..) => 0,
        }
    }

    /// What it is and what it does at the moment.
    pub(crate) fn describe(&self, name: &str) -> Value {
        match &self.kind {
            Kind::Handle(pool) => {
                let PoolStats { idle, taken, waiting, made, replaced, .. } = pool.stats();
                let pool = json!({
                    "idle": idle, "taken": taken, "waiting": waiting, "made": made, "replaced": replaced,
                });
                json!({ "name": name, "kind": "handle", "pool": pool })
            }
            Kind::Plain(_, free) => {
                let running = self.bounds.sandboxes.saturating_sub(free.available_permits());
                json!({ "name": name, "kind": "program", "running": running })
            }
        }
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Handle(_) => "exports `handle`: restored for every request",
            Kind::Plain(..) => "a program: run for every request",
        })
    }
}

fn pool(program: &Program, bounds: &Bounds) -> Result<Pool<()>, Error> {
    let name = || program.name().to_owned();
    let imports = Imports::new();
    let builder = Sandbox::builder(program, &imports).limits(bounds.limits.clone());
    let mut sandbox = builder.build(()).map_err(|source| Error::Start { name: name(), source })?;
    let ready = sandbox.snapshot().map_err(|source| Error::Snapshot { name: name(), source })?;
    let pool = Pool::builder(&ready, &imports).max(bounds.sandboxes).build();
    pool.map_err(|source| Error::Pool { name: name(), source })
}

fn list(exports: &[Export]) -> String {
    if exports.is_empty() {
        return "nothing".to_owned();
    }
    exports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Calls `handle` in a sandbox that is as the snapshot says, and is made so again when it is dropped.
async fn handle(pool: Pool<()>, body: Bytes, bounds: Bounds) -> Result<Vec<u8>, Failure> {
    let taken = timeout(bounds.wait, pool.take_async(())).await;
    let mut sandbox = taken.map_err(|_| Failure::busy())??;
    let mut reply = Vec::new();
    sandbox.call_bytes_async(HANDLE, &body, &mut reply, &bounds.call).await?;
    Ok(reply)
}

/// Runs a program from its start to its end.
async fn run(program: Program, free: Arc<Semaphore>, body: Bytes, bounds: Bounds) -> Result<Vec<u8>, Failure> {
    let permit = timeout(bounds.wait, free.acquire_owned()).await.map_err(|_| Failure::busy())?;
    let run = move || {
        let _permit = permit;
        let mut command = Command::new(&program);
        command.stdin(Stdio::bytes(body)).limits(bounds.limits).call(bounds.call).output()
    };
    let output = spawn_blocking(run).await.map_err(|_| Failure::panicked())??;
    if output.end.success() { Ok(output.stdout) } else { Err(Failure::ended(&output.end, &output.stderr)) }
}

/// Stops a guest that nobody waits for any more.
#[derive(Debug)]
struct CancelOnDrop(CancelToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
