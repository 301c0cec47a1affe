//! Write Ampoule guests in Rust: offer functions to the host, call the host's.
//!
//! A guest is an ordinary static program. Its `main` prepares what it needs and ends in [`serve()`]; from then on the host calls it.
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//!
//! /// What a score is made of.
//! #[derive(Serialize, Deserialize, ampoule_guest::Schema)]
//! struct Weights {
//!     length: f64,
//!     bonus: f64,
//! }
//!
//! ampoule_guest::import! {
//!     /// The host's dictionary.
//!     fn lookup(key: &str) -> Option<String>;
//! }
//!
//! #[ampoule_guest::export]
//! fn score(name: &str, weights: Weights) -> Result<f64, String> {
//!     let text = lookup(name).ok_or_else(|| format!("nobody is called {name}"))?;
//!     Ok(text.chars().map(|_| weights.length).sum::<f64>() + weights.bonus)
//! }
//!
//! #[ampoule_guest::export(bytes)]
//! fn reverse(input: &[u8], reply: &mut ampoule_guest::Reply) {
//!     reply.extend_from_slice(input);
//!     reply.as_mut_slice().reverse();
//! }
//!
//! fn main() {
//!     ampoule_guest::serve()
//! }
//! ```
//!
//! It is linked statically: `rustc -C target-feature=+crt-static --target x86_64-unknown-linux-gnu`. Functions may live in any crate that the
//! binary uses, if only by `use plugin_functions as _;`. What a guest offers and needs can be read from its notes without running it
//! (`readelf --notes`); started outside Ampoule it says so and exits with status 2.
//!
//! # Tests
//!
//! Exports are plain functions. An import is answered by a mock where there is no host:
//!
//! ```
//! ampoule_guest::import! {
//!     fn lookup(key: &str) -> Option<String>;
//! }
//!
//! let _mock = lookup::mock(|key| (key == "alice").then(|| "Alice".to_owned()));
//! assert_eq!(lookup("alice").as_deref(), Some("Alice"));
//! ```
//!
//! # Panics
//!
//! A panic in an export ends that call: the host gets its message and location, and can call again. With `panic = "abort"` it ends the guest.
//!
//! # Threads
//!
//! Exports are called on the thread that called [`serve()`]. Imports can be called on every thread.
//!
//! # Without `std`
//!
//! `default-features = false` gives a crate for programs without an allocator: typed and bytes exports, bytes imports with a slice for the
//! reply, and `serve_with` over buffers of the caller's. The feature `alloc` adds what grows: `serve`, typed imports. In both a panic
//! is the panic handler's, and there are no mocks. Without an allocator the functions that replace `memcpy` and its like have to be the
//! program's own: those of a static C library want a start-up code that is not there.
//!
//! # `unsafe`
//!
//! The macros put items into sections of the executable, which Rust calls unsafe; they are sound for every use that compiles. Crates with
//! `#![deny(unsafe_code)]`, and with `#![forbid(unsafe_code)]`, can use them: the lint does not look into what a macro of another crate
//! wrote.
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(unsafe_code)]

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!(
    "Ampoule's guests are Linux programs for x86-64: build with `--target x86_64-unknown-linux-gnu` or `-musl`"
);

#[cfg(feature = "alloc")]
extern crate alloc;

mod attach;
mod describe;
mod errno;
#[allow(unsafe_code, reason = "the way to the host")]
mod gate;
mod host;
mod import;
mod input;
mod local;
mod logger;
#[cfg(feature = "std")]
mod mock;
#[cfg(feature = "std")]
mod panics;
mod patience;
#[doc(hidden)]
pub mod private;
mod reply;
mod ring;
mod serve;
mod table;

#[doc(hidden)]
pub use crate::private as __private;

pub use ampoule_kernel::schema::Schema;
pub use ampoule_macros::{Schema, export, import};

#[cfg(feature = "alloc")]
pub use crate::attach::attach;
pub use crate::attach::{AttachError, attach_with};
pub use crate::errno::Errno;
pub use crate::host::{entropy, event, generation, is_attached, region, remaining};
pub use crate::import::{ImportError, Reason, ReplyBuffer};
pub use crate::logger::{Logger, init_logger};
#[cfg(feature = "std")]
pub use crate::mock::{Mock, mock_region};
pub use crate::reply::Reply;
#[cfg(feature = "alloc")]
pub use crate::serve::serve;
pub use crate::serve::serve_with;
