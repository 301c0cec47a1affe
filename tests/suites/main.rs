//! The promises that cross Ampoule's crates, one sentence a test. `alone.rs` holds those that need a process of their own.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is tests; clippy knows only the functions that are marked so, not their helpers"
)]

mod doorbells;
mod honest;
mod hostile_calls;
mod hostile_instructions;
mod hostile_programs;
mod isolation;
mod limits;
mod memory;
mod signals;
mod stdio;
