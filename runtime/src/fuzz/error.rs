//! Why a harness cannot be made, or an input not be run. What a target does is never one of these.

use crate::end::End;
use crate::error::RunError;
use crate::sandbox::error::SandboxError;
use crate::sandbox::fuzzed::NotWaiting;
use crate::vm::error::HostError;

/// Why a harness could not be made, or an input could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FuzzError {
    /// The host cannot run guests, or failed. The harness puts the guest back before the next input, in another machine if need be.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The program could not be started as a target.
    #[error(transparent)]
    Target(SandboxError),
    /// The program ended before it asked for an input.
    #[error(
        "the program ended before it asked for an input ({end}): it must have LLVMFuzzerTestOneInput, read stdin, or open the file that was named{}",
        shown(stderr)
    )]
    NoInput {
        /// How it ended.
        end: End,
        /// The end of what it wrote to stderr.
        stderr: String,
    },
    /// The program is called, and exports no function of that name.
    #[error("the program exports no function `{name}` for inputs; it exports {}", list(exports))]
    NoFunction {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        exports: Vec<String>,
    },
    /// The input is longer than the target takes.
    #[error("the input has {bytes} bytes, and this target takes at most {max}")]
    TooLong {
        /// Bytes that it has.
        bytes: usize,
        /// Bytes that it may have.
        max: usize,
    },
    /// The token of [`HarnessBuilder::cancel`](super::HarnessBuilder::cancel) was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// A checkpoint of another harness's program.
    #[error("the checkpoint is of another harness: state is not carried from one to another")]
    OtherHarness,
}

impl From<HostError> for FuzzError {
    fn from(error: HostError) -> Self {
        Self::Run(error.into())
    }
}

impl FuzzError {
    pub(super) fn not_waiting(reason: NotWaiting, function: &str) -> Self {
        match reason {
            NotWaiting::NoFunction(exports) => Self::NoFunction { name: function.to_owned(), exports },
            NotWaiting::Sandbox(SandboxError::Ended { end, stderr }) => Self::NoInput { end, stderr },
            NotWaiting::Sandbox(SandboxError::Run(error)) => Self::Run(error),
            NotWaiting::Sandbox(error) => Self::Target(error),
        }
    }
}

fn shown(stderr: &str) -> String {
    let text = stderr.trim();
    if text.is_empty() { String::new() } else { format!("; it wrote: {text}") }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
