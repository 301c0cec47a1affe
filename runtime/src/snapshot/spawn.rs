//! What a twin is made with.

use super::Snapshot;
use crate::channel::posted::{EventQueue, Events, Overflow, queue};
use crate::command::Command;
use crate::sandbox::builder::check_imports;
use crate::sandbox::core::Outside;
use crate::sandbox::error::{ProtocolError, SandboxError};
use crate::sandbox::home::{Home, Parked};
use crate::sandbox::imports::Imports;
use crate::sandbox::instance::Sandbox;
use crate::sandbox::log::{LogLevel, LogRecord, LogSink};
use crate::stats::Stats;
use crate::stdio::Stdio;

/// What a [`Sandbox`] of a snapshot is made with: [`Snapshot::builder`].
///
/// Program, limits, files and regions are the snapshot's. Streams are null unless said otherwise.
#[derive(Debug)]
pub struct SpawnBuilder<T> {
    snapshot: Snapshot,
    imports: Imports<T>,
    command: Command,
    events: Option<EventQueue>,
    log: LogSink,
}

impl<T> SpawnBuilder<T> {
    pub(super) fn new(snapshot: &Snapshot, imports: &Imports<T>) -> Self {
        Self {
            snapshot: snapshot.clone(),
            imports: imports.clone(),
            command: Command::new(snapshot.program()),
            events: None,
            log: LogSink::default(),
        }
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

    /// Listens to the events that the guest posts, if the snapshot's sandbox was made with
    /// [events](crate::SandboxBuilder::events): in a queue of the same capacity. Nobody listens unless this is called, or if there are none.
    #[must_use]
    pub fn events(mut self) -> (Self, Option<Events>) {
        let Some((capacity, overflow)) = self.snapshot.0.channel.events else { return (self, None) };
        let (queue, events) = queue(capacity, overflow);
        self.events = Some(queue);
        (self, Some(events))
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

    /// Makes the sandbox.
    ///
    /// # Errors
    /// [`SandboxError`] if program and imports do not fit.
    pub fn build(self, data: T) -> Result<Sandbox<T>, SandboxError> {
        let snapshot = self.snapshot.clone();
        Ok(snapshot.inhabit(self.home()?, data))
    }

    /// Makes the guest alone, which nobody has data for yet.
    pub(crate) fn home(mut self) -> Result<Home<T>, SandboxError> {
        let saved = self.snapshot.0;
        check_imports(&saved.program, &self.imports)?;
        let bound = match &saved.channel.table {
            Some(table) => self.imports.bind(table)?,
            // A command's program: nobody can call it.
            None => return Err(ProtocolError::NotAttached.into()),
        };
        let (_, mut streams) = self.command.prepare_sandbox()?;
        streams.keep_tail();
        // Events that nobody listens to go nowhere: such a queue is never full.
        let unheard = || saved.channel.events.map(|_| queue(1, Overflow::DropOldest).0);
        let events = self.events.or_else(unheard);
        let outside = Outside { streams, imports: self.imports, events, log: self.log };
        Ok(Home::parked(Parked { saved, outside, bound, life: None, stats: Stats::default() }))
    }
}
