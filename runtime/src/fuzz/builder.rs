//! What a harness is made with.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use ampoule_kernel::fuzz::ENTRY;

use super::error::FuzzError;
use super::harness::Harness;
use crate::command::Command;
use crate::limits::{Call, Limits};
use crate::linux::sources::Sources;
use crate::linux::streams::Output;
use crate::program::Program;
use crate::sandbox::fuzzed::{Boot, Fuzzed};
use crate::vm::cancel::CancelToken;

/// What a [`Harness`] is made with: [`Harness::builder`].
///
/// Clocks and randomness are deterministic, output is thrown away, and limits are [`Limits`]' own, unless said otherwise.
#[derive(Debug)]
pub struct HarnessBuilder {
    command: Command,
    function: String,
    file: Option<Vec<u8>>,
    timeout: Duration,
    boot: Call,
    output: u64,
    keeps_output: bool,
    cancel: Option<CancelToken>,
}

impl HarnessBuilder {
    /// Time for an input unless said otherwise.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_millis(100);
    /// Output of an input unless said otherwise: 1 MiB.
    pub const DEFAULT_OUTPUT: u64 = 1 << 20;

    pub(super) fn new(program: &Program) -> Self {
        let mut command = Command::new(program);
        command.sources(Sources::Deterministic(0));
        Self {
            command,
            function: ENTRY.to_owned(),
            file: None,
            timeout: Self::DEFAULT_TIMEOUT,
            boot: Call::new(),
            output: Self::DEFAULT_OUTPUT,
            keeps_output: false,
            cancel: None,
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

    /// Puts a file that is the same for every input into the program's in-memory file system.
    #[must_use]
    pub fn place(mut self, path: impl AsRef<OsStr>, content: impl Into<Vec<u8>>) -> Self {
        self.command.file(path, content);
        self
    }

    /// The exported function that takes inputs, if the program is called: `LLVMFuzzerTestOneInput` unless said otherwise.
    #[must_use]
    pub fn function(mut self, name: &str) -> Self {
        name.clone_into(&mut self.function);
        self
    }

    /// The inputs are the file of this name, as the program names it, and not stdin. The program is put back to where it first names it
    /// in a system call: opens it, or asks whether it is there and how large it is.
    #[must_use]
    pub fn file(mut self, path: impl AsRef<OsStr>) -> Self {
        self.file = Some(path.as_ref().as_bytes().to_vec());
        self
    }

    /// Wall time that an input may take, to the microsecond: 100 ms unless said otherwise. The CPU time is the same.
    #[must_use]
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    /// What the run up to the first input may use.
    #[must_use]
    pub fn boot(mut self, call: Call) -> Self {
        self.boot = call;
        self
    }

    /// What the program may hold.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.command.limits(limits);
        self
    }

    /// Where the program's time and randomness come from.
    #[must_use]
    pub fn sources(mut self, sources: Sources) -> Self {
        self.command.sources(sources);
        self
    }

    /// Keeps what each input makes the program print, `bytes` at most: [`Harness::stdout`]. An input that prints more is a hang.
    #[must_use]
    pub fn output(mut self, bytes: u64) -> Self {
        (self.output, self.keeps_output) = (bytes, true);
        self
    }

    /// Lets `token` end a run from another thread, with [`FuzzError::Cancelled`].
    #[must_use]
    pub fn cancel(mut self, token: &CancelToken) -> Self {
        self.cancel = Some(token.clone());
        self
    }

    /// Boots the program and runs it until it waits for an input.
    ///
    /// # Errors
    /// [`FuzzError`] if the host cannot, or if the program does not ask for input within what [`boot`](Self::boot) allows.
    pub fn build(mut self) -> Result<Harness, FuzzError> {
        let mut boot = self.boot.clone();
        let mut call = Call::new().wall(self.timeout).cpu(self.timeout).output(self.output);
        if let Some(token) = &self.cancel {
            (boot, call) = (boot.cancel(token), call.cancel(token));
        }
        self.command.call(boot);
        let (job, mut streams) = self.command.prepare_sandbox()?;
        if self.keeps_output {
            (streams.output, streams.error) = (Output::Capture(Vec::new()), Output::Capture(Vec::new()));
        }
        let boot = Boot { job: &job, streams, function: &self.function, file: self.file };
        let guest = Fuzzed::boot(boot).map_err(|reason| FuzzError::not_waiting(reason, &self.function))?;
        Harness::new(guest, call)
    }
}
