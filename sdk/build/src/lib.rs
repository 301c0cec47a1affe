//! Compile a guest from a build script and embed it.
//!
//! A guest is a static x86-64 Linux program, and the program that runs it is a Rust package. `ampoule-build` makes the one part of the
//! other: the build script compiles the guest, and its path is in a variable for `include_bytes!`.
//!
//! ```toml
//! # Cargo.toml
//! [dependencies]
//! ampoule = "0.1"
//!
//! [build-dependencies]
//! ampoule-build = "0.1"
//! ```
//! ```no_run
//! // build.rs
//! fn main() {
//!     ampoule_build::Crate::new("../plugin").build();
//!     ampoule_build::C::new("src/filter.c").define("LEVEL", "3").build();
//! }
//! ```
//! ```ignore
//! // src/main.rs; it does not compile here, where no build script has set the variables
//! use ampoule::{Command, End, Program};
//!
//! static PLUGIN: &[u8] = include_bytes!(env!("AMPOULE_GUEST_PLUGIN"));
//! static FILTER: &[u8] = include_bytes!(env!("AMPOULE_GUEST_FILTER"));
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     for image in [PLUGIN, FILTER] {
//!         let program = Program::from_bytes(image)?;
//!         let output = Command::new(&program).arg("--version").output()?;
//!         assert_eq!(output.end, End::Exited(0));
//!     }
//!     Ok(())
//! }
//! ```
//!
//! The variable is `AMPOULE_GUEST_` and the guest's name in capitals, with `_` for everything that is neither letter nor digit. The build
//! script runs again when a file changes that went into the guest: its sources, headers, manifests and lock file, those of the packages
//! around it included, as the compilers list them. Otherwise the package is fresh. What the guest's own build scripts read they have to
//! declare with `rerun-if-changed`, as for any package, and print it for the outer one too if it is not a source file; the same holds for
//! variables.
//!
//! # What a Rust guest is built with
//!
//! The same cargo and compiler as the package, and nothing else of it: not its profile, features, flags, wrappers (clippy's among them) or
//! target directory. Configuration files of cargo count as if you stood in the guest's directory, but for `rustflags`. The target is
//! `x86_64-unknown-linux-gnu`, linked statically, or with [`Crate::musl`] `x86_64-unknown-linux-musl`; the guest is the same whatever
//! the package is built for. Jobs of both builds together keep to the outer `-j`.
//!
//! `--locked`, `--offline` and `--frozen` hold for the guest as well. Cargo does not tell a build script about them, so they are read
//! from the arguments of the cargo that started it; an alias in which the option is hidden is not seen through. Variables are certain:
//!
//! | variable | |
//! |---|---|
//! | `CARGO_NET_OFFLINE=true` | cargo's own: no network, outside and inside |
//! | `AMPOULE_BUILD_LOCKED=1` | lock files of guests stay as they are |
//! | `AMPOULE_BUILD_SKIP=1` | no guest is compiled |
//! | `DOCS_RS=1` | the same; docs.rs sets it |
//! | `CARGO_TERM_COLOR=always` | cargo's own: compilers' messages in colour |
//!
//! Cargo keeps what a build script prints to itself unless the build fails: to see a guest's warnings, build it by itself or with
//! `cargo build -vv`.
//!
//! # Without the guest
//!
//! With `AMPOULE_BUILD_SKIP=1` every guest is a placeholder: a line of text instead of a program, which `ampoule` refuses to load
//! ([`Guest::is_placeholder`] tells). It is meant for what only looks at the package: editors, `cargo doc`, lints where no compiler for
//! the guest is installed. Changing the variable has the guest built or replaced the next time.
//!
//! rust-analyzer runs build scripts like any build and leaves no mark that could be relied on, so guests are built for it too; it finds
//! them fresh as long as nothing changed. If it should not, or a guest in the middle of being edited should not spoil the analysis of its
//! host, have it skip them, in a directory of its own, where its placeholders are not in the way of real builds:
//!
//! ```json
//! { "rust-analyzer.cargo.extraEnv": { "AMPOULE_BUILD_SKIP": "1" }, "rust-analyzer.cargo.targetDir": true }
//! ```
//!
//! # Publishing a package with its guest
//!
//! `cargo package` leaves out every directory that holds a `Cargo.toml`, so a guest inside the package would be missing from what is
//! published. Call its manifest `Cargo.guest.toml` instead, and include a `Cargo.lock` if it has dependencies. It then stands alone: it
//! is in no workspace, and its dependencies have versions, not paths.
//!
//! # Instead of artifact dependencies
//!
//! Cargo's artifact dependencies do the same with less, once they are stable; today they need a nightly compiler, and know no flags or
//! profile for the artifact, so that a static glibc guest cannot be asked for.

#![forbid(unsafe_code)]
#![allow(clippy::needless_doctest_main, reason = "a build script is its `main`")]

mod c;
mod caller;
mod depfile;
mod elf;
mod environment;
mod error;
mod manifest;
mod messages;
mod rust;
mod script;

use std::path::{Path, PathBuf};

pub use c::C;
pub use error::{Error, Missing};
pub use rust::Crate;

/// A guest that was compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    name: String,
    path: PathBuf,
    variable: String,
    placeholder: bool,
}

impl Guest {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is, below `OUT_DIR`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The variable that holds the path when the package is compiled.
    #[must_use]
    pub fn variable(&self) -> &str {
        &self.variable
    }

    /// True if guests are being skipped and this is none.
    #[must_use]
    pub fn is_placeholder(&self) -> bool {
        self.placeholder
    }
}
