//! A program that runs on a thread of its own.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::panic;
use std::thread::JoinHandle;

use crate::command::{Ends, Output, Run, Status};
use crate::error::RunError;
use crate::vm::cancel::CancelToken;

/// A running program: `std::process::Child`'s shape. Dropping it kills the program and waits until it is gone.
#[derive(Debug)]
pub struct Child {
    /// The other end of stdin, if that was [`Stdio::piped`](crate::Stdio::piped).
    pub stdin: Option<PipeWriter>,
    /// The other end of stdout, if that was piped.
    pub stdout: Option<PipeReader>,
    /// The other end of stderr, if that was piped.
    pub stderr: Option<PipeReader>,
    kill: CancelToken,
    thread: Option<JoinHandle<Result<Status, RunError>>>,
    status: Option<Status>,
}

impl Child {
    pub(crate) fn start(mut run: Run, ends: Ends) -> Result<Self, RunError> {
        let kill = CancelToken::new();
        run.job.kill = Some(kill.clone());
        let thread = std::thread::Builder::new()
            .name("ampoule-child".to_owned())
            .spawn(move || run.finish().map(Status::from))
            .map_err(|source| RunError::Setup { source })?;
        Ok(Self {
            stdin: ends.stdin,
            stdout: ends.stdout,
            stderr: ends.stderr,
            kill,
            thread: Some(thread),
            status: None,
        })
    }

    /// Ends the program with [`End::Cancelled`](crate::End::Cancelled), whatever it is doing. Does not wait for it.
    pub fn kill(&self) {
        self.kill.cancel();
    }

    /// Closes stdin and waits until the program has ended.
    ///
    /// # Errors
    /// [`RunError`] if the run could not be made.
    pub fn wait(mut self) -> Result<Status, RunError> {
        drop(self.stdin.take());
        self.join()
    }

    /// The status if the program has ended, without waiting.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn try_wait(&mut self) -> Result<Option<Status>, RunError> {
        match &self.thread {
            Some(thread) if !thread.is_finished() => Ok(None),
            _ => self.join().map(Some),
        }
    }

    /// Closes stdin, reads what is piped, and waits until the program has ended.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and if a pipe cannot be read.
    pub fn wait_with_output(mut self) -> Result<Output, RunError> {
        drop(self.stdin.take());
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let collect = |pipe: Option<PipeReader>| -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                pipe.read_to_end(&mut bytes)?;
            }
            Ok(bytes)
        };
        // Both at once: a program that fills one pipe while nobody reads it would never end the other.
        let setup = |source| RunError::Setup { source };
        let (stdout, stderr) = std::thread::scope(|scope| {
            let other = std::thread::Builder::new().spawn_scoped(scope, || collect(stderr))?;
            let stdout = collect(stdout);
            let stderr = other.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
            Ok((stdout, stderr))
        })
        .map_err(setup)?;
        let status = self.join()?;
        let (stdout, stderr) = (stdout.map_err(setup)?, stderr.map_err(setup)?);
        Ok(Output { end: status.end, stdout, stderr, stats: status.stats, site: status.site })
    }

    fn join(&mut self) -> Result<Status, RunError> {
        if let Some(thread) = self.thread.take() {
            self.status = Some(thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic))?);
        }
        self.status.clone().ok_or(RunError::AlreadyWaited)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.kill.cancel();
            let _ = thread.join();
        }
    }
}
