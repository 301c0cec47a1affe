//! The promises that cross Ampoule's crates, one sentence a test. `alone.rs` holds those that need a process of their own.

mod honest;
mod hostile_calls;
mod hostile_instructions;
mod hostile_programs;
mod isolation;
mod limits;
mod memory;
mod signals;
mod stdio;
