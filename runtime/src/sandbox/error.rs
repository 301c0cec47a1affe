//! What can go wrong around a sandbox: making it, typing its functions, calling them.

use std::error::Error;
use std::fmt;

use super::State;
use super::log::clean;
use crate::channel::table::TableError;
use crate::end::End;
use crate::error::RunError;
use crate::program::{InterfaceError, Signature};
use crate::vm::error::HostError;

/// Why a sandbox could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The host cannot run guests, or what the sandbox was given is not usable.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The program's interface note cannot be read.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// The program imports a function that [`Imports`](crate::Imports) does not have.
    #[error("the program imports `{name}{signature}`, which the host does not offer: add it to Imports")]
    MissingImport {
        /// The function's name.
        name: String,
        /// How the program calls it.
        signature: Signature,
    },
    /// The program and the host disagree about a function that the program imports.
    #[error("the program imports `{name}{guest}`, and the host offers `{name}{host}`")]
    ImportMismatch {
        /// The function's name.
        name: String,
        /// How the program calls it.
        guest: Box<Signature>,
        /// How the host offers it.
        host: Box<Signature>,
    },
    /// A parameter of the host's function has parts that take no bytes, so that a message of a few bytes could hold any number of them.
    #[error("the host's function `{name}` would take {what}: a sequence of values that take no bytes has no bound")]
    Unbounded {
        /// The function's name.
        name: String,
        /// Which part.
        what: String,
    },
    /// The program ended before it could be called: it has to call `ampoule_guest::serve()`.
    #[error(
        "the program ended before it could be called ({end}): it must call `ampoule_guest::serve()`{}",
        tail(stderr)
    )]
    Ended {
        /// How.
        end: End,
        /// The end of what it wrote to stderr.
        stderr: String,
    },
    /// The program broke the rules of Ampoule's own calls.
    #[error("the program is no plugin that this Ampoule understands: {0}")]
    Protocol(#[from] ProtocolError),
    /// A region cannot be shared with the program.
    #[error("region {name:?} cannot be shared: {reason}")]
    Region {
        /// Its name.
        name: String,
        /// Why, and what to do.
        reason: &'static str,
    },
}

/// Why a function of a program cannot be called with these types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FuncError {
    /// The program's interface note cannot be read.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// The program exports no function of that name.
    #[error("the program exports no function `{name}`; it exports {}", list(exports))]
    Missing {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        exports: Vec<String>,
    },
    /// The program's function has another signature.
    #[error("the program exports `{name}{guest}`, and the host would call it as `{name}{host}`")]
    Mismatch {
        /// The function's name.
        name: String,
        /// As the program has it.
        guest: Box<Signature>,
        /// As the host would call it.
        host: Box<Signature>,
    },
    /// A type has parts that take no bytes, so that a message of a few bytes could hold any number of them.
    #[error("`{name}` would take or return {what}: a sequence of values that take no bytes has no bound")]
    Unbounded {
        /// The function's name.
        name: String,
        /// Which part.
        what: String,
    },
}

/// Why a call has no result.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The run ended, or a limit or a token stopped it: then the sandbox is [`State::Stopped`], and
    /// [`resume`](crate::Sandbox::resume) goes on.
    #[error("the call ended: {0}")]
    Ended(End),
    /// The function panicked, or failed in a way that its result cannot say. The sandbox can be called again.
    ///
    /// The fields are the guest's words as they came; this error's `Display` escapes their control characters.
    #[error("the guest failed: {}{}{}", line(message), at(location), tail(stderr))]
    Guest {
        /// What it said.
        message: String,
        /// Where in its source; empty if it did not say.
        location: String,
        /// The end of what it wrote to stderr.
        stderr: String,
    },
    /// A function of the host's failed, and the guest failed in turn. The sandbox can be called again.
    #[error("the host's function `{name}` failed: {source}")]
    Import {
        /// The function's name.
        name: String,
        /// What it returned.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The guest could not make sense of the arguments: host and guest were built for other signatures.
    #[error("the guest could not decode the arguments of `{name}`: was its interface note changed?")]
    Arguments {
        /// The function's name.
        name: String,
    },
    /// The host could not make sense of the result, or could not encode the arguments.
    #[error("cannot {action} of `{name}`: {reason}")]
    Encoding {
        /// The function's name.
        name: String,
        /// Which step.
        action: &'static str,
        /// What was wrong.
        reason: String,
    },
    /// A message is longer than [`Limits::message_bytes`](crate::Limits::message_bytes) allows.
    #[error("a message of {bytes} bytes, and the limit is {max}: raise Limits::message_bytes")]
    TooLong {
        /// Bytes that it has.
        bytes: u64,
        /// Bytes that it may have.
        max: usize,
    },
    /// The guest's SDK cannot serve the ring, which a live sandbox is called through.
    #[error("the guest cannot serve the ring: it has said so when it attached")]
    NoRing,
    /// The guest has no function of that name to call.
    #[error("the guest offers no function `{name}`")]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
    /// The function belongs to another program.
    #[error("`{name}` is a function of another program: get it from the program that the sandbox was made of")]
    OtherProgram {
        /// The function's name.
        name: String,
    },
    /// The guest broke the rules of Ampoule's own calls.
    #[error("the guest broke the protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// What was to be resumed is not the call that was stopped.
    #[error("no call of `{name}` was stopped")]
    NotStopped {
        /// The function's name.
        name: String,
    },
    /// The sandbox is not in a state in which it can be called.
    #[error("the sandbox is {0}")]
    State(State),
    /// The host failed. The sandbox is [`State::Poisoned`].
    #[error(transparent)]
    Host(#[from] HostError),
}

impl fmt::Debug for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What `unwrap` shows: the message says more than the fields.
        write!(f, "CallError({self})")
    }
}

/// How a guest broke the rules of Ampoule's own calls.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The table of exports and imports is bad.
    #[error("its table of functions is bad: {0}")]
    Table(#[from] TableError),
    /// It asks for another version of the ABI.
    #[error("it was built for ABI {major}.{minor}, and this host speaks {}", ampoule_kernel::call::ABI_MAJOR)]
    Version {
        /// Major version.
        major: u64,
        /// Minor version.
        minor: u64,
    },
    /// It attached twice.
    #[error("it attached twice")]
    AttachedTwice,
    /// It waited for a call without having attached.
    #[error("it waited for a call without having said what it exports")]
    NotAttached,
    /// Its table and its interface note differ.
    #[error("its interface note has `{name}`, and its table of functions has not")]
    NotInTable {
        /// The function's name.
        name: String,
    },
    /// It imports a function without saying so in its note, and the host has none of that name.
    #[error("it imports `{name}`, which the host does not offer")]
    UnknownImport {
        /// The function's name.
        name: String,
    },
    /// It imports, without saying so in its note, a function whose arguments have no bound.
    #[error("it imports `{name}`, which would take {what}: a sequence of values that take no bytes has no bound")]
    Unbounded {
        /// The function's name.
        name: String,
        /// Which part.
        what: String,
    },
    /// It answered although nobody had called.
    #[error("it answered a call that nobody made")]
    UnexpectedReply,
    /// It waited for the next call without answering the one that it had.
    #[error("it waited for the next call without answering this one")]
    NoReply,
    /// It answered with an outcome that does not exist.
    #[error("it answered with outcome {outcome}, which does not exist")]
    Outcome {
        /// What it said.
        outcome: u64,
    },
    /// A message of its lies where it has no memory.
    #[error("a message at {address:#x}, {bytes} bytes long, is not in its memory")]
    Address {
        /// Where.
        address: u64,
        /// How long.
        bytes: u64,
    },
    /// It wrote something into the ring that is no message, or one that does not belong there.
    #[error("what it wrote into the ring is no message that belongs there: {what}")]
    Ring {
        /// What it was.
        what: String,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn at(location: &str) -> String {
    if location.is_empty() { String::new() } else { format!(", at {}", line(location)) }
}

/// What a guest said, fit for a terminal.
fn line(text: &str) -> String {
    clean(text, &['\t'])
}

fn tail(stderr: &str) -> String {
    let stderr = stderr.trim_end();
    if stderr.is_empty() {
        return String::new();
    }
    format!("; its stderr ends with:\n{}", clean(stderr, &['\t', '\n']))
}
