//! Packages that embed a guest, each in a directory of its own and built by a cargo of its own, without network: what users have.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests"
)]

mod c;
mod callers;
mod crates;
mod project;
mod published;
