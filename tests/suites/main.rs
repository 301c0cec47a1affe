//! The promises that cross Ampoule's crates, one sentence a test. `alone.rs` holds those that need a process of their own.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is tests; clippy knows only the functions that are marked so, not their helpers"
)]

mod abi_document;
mod async_calls;
mod async_waits;
mod attributions;
mod awaited_commands;
mod bug_classes;
mod crash_reports;
mod doorbells;
mod events;
mod exact;
mod executors;
mod fuzz_batches;
mod fuzz_edges;
mod fuzz_hostile;
mod fuzz_plain;
mod fuzz_stability;
mod fuzz_state;
mod fuzz_threads;
mod fuzz_trees;
mod fuzz_verdicts;
mod fuzz_windows;
mod honest;
mod host_dirs;
mod hostile_calls;
mod hostile_dirs;
mod hostile_instructions;
mod hostile_plugins;
mod hostile_programs;
mod imports;
mod isolation;
mod limits;
mod live;
mod live_endings;
mod live_hostile;
mod live_threads;
mod logs;
mod memory;
mod pools;
mod regions;
mod resume;
mod sandbox_states;
mod sandboxes;
mod signals;
mod snapshot_files;
mod snapshots;
mod sources;
mod stdio;
mod threat_model;
mod vdso;
mod warm;
