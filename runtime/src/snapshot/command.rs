//! Snapshots of programs that nobody calls: a command that is stopped in the middle, or where it asks for input, and goes on from there.

use std::sync::Arc;

use super::{Snapshot, SnapshotError};
use crate::command::Command;
use crate::end::End;
use crate::error::RunError;
use crate::sandbox::run::Outcome;
use crate::stats::Stats;

/// What became of a [`Command`] that was to be stopped: after [some time](Command::stop), or [where it asks for input](Command::stop_at_input).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stopped {
    /// How the run ended: what stopped it ([`End::AtInput`] if it asked for input), or how the program ended before.
    pub end: End,
    /// What it did and what it cost.
    pub stats: Stats,
    /// The program's state. None if it ended by itself, or was stopped where it cannot go on: in the middle of writing to a stream. Of
    /// [`Command::stop_at_input`] there is one exactly if the end is [`End::AtInput`].
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
        Ok(self.run_until_stopped()?.into())
    }

    /// Runs the program on this thread until it asks for something from stdin, and keeps the state that it is in then: warmed up once, it can be run
    /// from there for every request, each time with an input of its own.
    ///
    /// ```no_run
    /// use ampoule::{Command, Program, Stdio};
    ///
    /// let program = Program::from_file("starts-slowly")?;
    /// let stopped = Command::new(&program).stop_at_input()?;
    /// let warm = stopped.snapshot.ok_or("it asks for no input")?;
    /// for request in ["first", "second"] {
    ///     let output = warm.command()?.stdin(Stdio::bytes(request)).output()?;
    ///     println!("{}", String::from_utf8_lossy(&output.stdout));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// It asks when the answer depends on the input, by whatever descriptor of stdin: it reads (`read`, `readv`, `sendfile`), wants to know how much there is
    /// (`FIONREAD`) or whether there is any (`poll`, `select`, `epoll`, with or without a time-out), or waits for the other end to hang up. Nothing of
    /// that system call has happened: whoever goes on makes it, with their input. What asks for nothing goes on as usual: `dup`, `fcntl`,
    /// `close`, `epoll_ctl`, a read of no bytes, and a `poll` of no events that does not wait, which Rust's programs make before `main`.
    ///
    /// So inputs may be of any kind, whatever was there when the program was stopped: a program cannot tell them apart. To `fstat`, `lseek`, `mmap` and
    /// `isatty` stdin is always a pipe, and what a C library has made of that – how it buffers – holds for all of them. The stdin of this
    /// command is not looked at, and stays for its other runs.
    ///
    /// What all that go on have in common is what the program did and knows already:
    ///
    /// - What it wrote before went to this command's streams, once. What it has in its buffers, everyone will write.
    /// - Random numbers that it drew are theirs all: `AT_RANDOM` and the stack canary, the keys of its hash tables, the state of a generator that
    ///   was seeded. What it asks the system for from now on is new for each of them, as time goes on for each; with
    ///   [`Sources::Deterministic`](crate::Sources::Deterministic) or `Frozen` it is the same for all. A program whose inputs come from
    ///   strangers must seed after it has read, or accept that who knows one run's hash keys knows the others'.
    /// - Times that it read are those of the warm-up, and its clocks jump to the present when it goes on.
    /// - Its files in memory are as it left them, and each has copies of its own; files of a host directory are those of the host.
    ///
    /// A program that ends without having asked has no snapshot and its real [`end`](Stopped::end), and so has one that a limit or the token
    /// stopped before.
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub fn stop_at_input(&mut self) -> Result<Stopped, RunError> {
        let stopped = Stopped::from(self.run_until_input()?);
        // A limit may have stopped it elsewhere.
        let snapshot = stopped.snapshot.filter(|_| stopped.end == End::AtInput);
        Ok(Stopped { snapshot, ..stopped })
    }
}

impl From<Outcome> for Stopped {
    fn from(outcome: Outcome) -> Self {
        let snapshot = outcome.saved.map(|saved| Snapshot(Arc::from(saved)));
        Self { end: outcome.end, stats: outcome.stats, snapshot }
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
