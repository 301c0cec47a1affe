//! What Ampoule's suites share: the guests, carried in the test binary; a run of one outside, as the reference; a run of one inside.
//!
//! ```text
//! guests/honest/*    run outside and inside: every byte and the ending must be the same
//! guests/inside/*    run inside only: what they print must be what was promised
//! guests/hostile/*   run inside: every one must end in a way that Ampoule has a name for, within its limits
//! guests/crashes/*   run inside: reports must say where and why they crash
//! guests/plugins/*   called from outside: sandboxes, with and without misbehaviour
//! guests/fuzz/*      fuzzed: each input from the same state, with its verdict and its counters
//! suites/*           the promises, one sentence a test
//! ```
//! Nothing here depends on how fast the machine is: limits are generous where a guest should end by itself, and where a limit should end
//! it, only the kind of ending is looked at. `AMPOULE_TEST_SCALE` multiplies the rounds of the tests that repeat.

#![allow(clippy::expect_used, clippy::panic, reason = "a helper that fails is a test that fails")]

mod fuzzed;
mod guests;
mod native;
mod plugged;
mod process;
mod sealed;

pub use fuzzed::{PATIENCE, SOON, batch, fuzzing, harness, target, verdict};
pub use guests::{Guest, all_guests, guest, guests_of, variants_of};
pub use native::{Ending, Outcome, run_outside};
pub use plugged::{
    asked, call_an_honest_plugin, call_bytes, call_bytes_within, echoing, resume_bytes, sandbox, stop_in_the_middle,
    word,
};
pub use process::{descriptors, mappings, open_files, resident, threads, threads_settle_at};
pub use sealed::{ending, honest_call, program, run_hello, run_inside, scale};
