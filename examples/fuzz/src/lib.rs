//! A fuzzer to start from: its parts, which [`main`](../src/main.rs) puts together and `tests/whole.rs` too.
//!
//! ```text
//! target    what is fuzzed: embedded, or a file         campaign   the search: begin here
//! minimise  a bug's input without what it does not need replay     is it the same every time?
//! speed     what an input costs                         live, hex  what is shown;  error  why it gives up
//! ```
#![deny(unsafe_code)]

pub mod campaign;
pub mod error;
pub mod hex;
pub mod live;
pub mod minimise;
pub mod replay;
pub mod speed;
pub mod target;
