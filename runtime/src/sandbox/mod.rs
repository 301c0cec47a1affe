//! Runs and sandboxes: a program in a machine, under limits.
//!
//! ```text
//! entry     programs, loaded, or as they were then
//! run       a Command's run, start to end         course    how far it is
//! step      enter, serve, look at the limits      halt      why it does not go on
//! instance  Sandbox: a guest that is called       builder   what it is made with
//! core      the guest, and its own calls served   session   what its caller keeps of it
//! home      where it is: in a machine or in none  saved     what it needs to go on
//! func      a typed handle on an export           imports   the host's functions; context: what they see
//! future    calls for tasks of an executor        run_task  runs for them; rest: what they wait for; alarm: wakes them
//! live      Live: called through the ring         link      its caller's ends of it; pace: its limits; vcpu_thread: the other side
//! codec     values as messages                    region    memory that many guests read; log: what guests say
//! ```

mod alarm;
pub(crate) mod builder;
mod codec;
pub(crate) mod context;
pub(crate) mod core;
mod course;
mod entry;
pub(crate) mod error;
pub(crate) mod func;
mod future;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz_target;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzzed;
pub(crate) mod halt;
pub(crate) mod home;
pub(crate) mod imports;
pub(crate) mod instance;
mod link;
pub(crate) mod live;
pub(crate) mod log;
mod pace;
pub(crate) mod region;
mod rest;
pub(crate) mod run;
pub(crate) mod run_task;
pub(crate) mod saved;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod script;
pub(crate) mod session;
mod step;
mod vcpu_thread;

use std::fmt;

/// What can be done with a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// It waits for a call.
    Ready,
    /// A limit or a token stopped it in the middle of a call: [`resume`](crate::Sandbox::resume) goes on.
    Stopped,
    /// Its program has ended, or broke the protocol: it cannot be called any more, unless it is [restored](crate::Sandbox::restore).
    Ended,
    /// The host failed, or a host function panicked, while it ran: nothing is known of its state, until it is
    /// [restored](crate::Sandbox::restore).
    Poisoned,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready for a call",
            Self::Stopped => "stopped in the middle of a call: resume it first",
            Self::Ended => "ended: restore it to a snapshot, or make another",
            Self::Poisoned => "poisoned by a failure of the host's: restore it to a snapshot, or make another",
        })
    }
}
