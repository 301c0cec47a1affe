//! A pristine machine for every input.
//!
//! A [`Harness`] boots a program up to where it waits for an input, keeps that state, and runs one input after the other from there: memory, registers,
//! files and clocks are put back to the byte after each, so that nothing leaks from one to the next; what hangs is ended, and what crashes comes with a
//! report. What a program is compiled with, and which checks it can bring along, is in `docs/fuzzing.md`.
//!
//! ```no_run
//! use std::time::Duration;
//! use ampoule::Program;
//! use ampoule::fuzz::{Harness, Verdict};
//!
//! let program = Program::from_file("parser")?;
//! let mut harness = Harness::builder(&program).timeout(Duration::from_millis(20)).build()?;
//! for input in [&b"{}"[..], b"[1, 2", b"\xff"] {
//!     match harness.run(input)? {
//!         Verdict::Ok => println!("{} edges", harness.counters().iter().filter(|&&count| count > 0).count()),
//!         Verdict::Crash(crash) => println!("{crash}"),
//!         verdict => println!("{verdict}"),
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a target is
//!
//! | the program | inputs come | it waits in |
//! |---|---|---|
//! | has `LLVMFuzzerTestOneInput`, and is linked with `sdk/c/fuzz.c` | as the function's argument | the driver's loop |
//! | is a plugin that exports a function of bytes | as the function's argument: [`HarnessBuilder::function`] | `serve()` |
//! | reads stdin | on stdin | its first read of it, or `poll` for it |
//! | reads a file | as that file: [`HarnessBuilder::file`] | its first look at it |
//!
//! A program with `fuzz.c` in it tells where its counters of edges are, and logs what it compares.
//!
//! # What is put back, and what is not
//!
//! Everything that a program can see but the processor's own counters: `rdtsc` and `rdrand` cannot be hidden on every host, so that a program that uses
//! them may take another way the next time; [`Harness::stability`] finds out. Clocks and random bytes are
//! [deterministic](crate::Sources::Deterministic) unless said otherwise. *Windows*, which a target asks for by a name, are left as they are:
//! [`Harness::read_window`].

mod batch;
mod builder;
mod coverage;
mod error;
mod finding;
mod harness;
mod stability;
mod verdict;

pub use builder::HarnessBuilder;
pub use coverage::{Comparison, Comparisons, Edge};
pub use error::FuzzError;
pub use finding::{Access, Finding, FindingKind};
pub use harness::{Checkpoint, Harness, RunStats};
pub use stability::{Stability, UnstableEdge};
pub use verdict::{Crash, CrashCause, Verdict};
