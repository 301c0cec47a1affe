//! Snapshots of programs that nobody calls: a command that is stopped in the middle, and goes on from there.

use std::sync::Arc;

use super::{Snapshot, SnapshotError};
use crate::command::Command;
use crate::end::End;
use crate::error::RunError;
use crate::stats::Stats;

/// What became of a [`Command`] that was to be [stopped](Command::stop).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stopped {
    /// How the run ended: what stopped it, or how the program ended before.
    pub end: End,
    /// What it did and what it cost.
    pub stats: Stats,
    /// The program's state. None if it ended by itself, or was stopped where it cannot go on: in the middle of writing to a stream.
    pub snapshot: Option<Snapshot>,
}

impl Command {
    /// Runs the program on this thread until its [`Call`](crate::Call)'s wall time, CPU time or token stops it, and keeps the state that it is in then.
    ///
    /// What went through its streams before is done; whoever lets it go on brings streams of its own.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use ampoule::{Call, Command, Program};
    ///
    /// let program = Program::from_file("warms-up-slowly")?;
    /// let stopped = Command::new(&program).call(Call::new().wall(Duration::from_millis(100))).stop()?;
    /// if let Some(snapshot) = stopped.snapshot {
    ///     snapshot.save("warm.amp")?;
    ///     println!("{}", snapshot.command()?.status()?.end);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub fn stop(&mut self) -> Result<Stopped, RunError> {
        let outcome = self.run_until_stopped()?;
        let snapshot = outcome.saved.map(|saved| Snapshot(Arc::from(saved)));
        Ok(Stopped { end: outcome.end, stats: outcome.stats, snapshot })
    }
}

impl Snapshot {
    /// A command that goes on from here, with streams and a [`Call`](crate::Call) of its own. What a program starts with (arguments, environment, files,
    /// sources, limits) it has already: setting that again changes nothing.
    ///
    /// # Errors
    /// [`SnapshotError::IsCalled`] if it is a sandbox's.
    pub fn command(&self) -> Result<Command, SnapshotError> {
        if self.is_called() { Err(SnapshotError::IsCalled) } else { Ok(Command::going_on(&self.0)) }
    }

    /// True if it is a sandbox's, whose guest is [called](Snapshot::spawn); otherwise it is a [command](Self::command)'s.
    #[must_use]
    pub fn is_called(&self) -> bool {
        self.0.channel.table.is_some()
    }
}
