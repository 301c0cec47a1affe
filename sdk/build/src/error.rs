//! What can go wrong, each with what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why there is no guest.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A variable that cargo sets for build scripts is not set: this is none.
    NotABuildScript {
        /// The variable.
        variable: &'static str,
    },
    /// The directory holds no crate.
    NoManifest {
        /// The directory.
        directory: PathBuf,
    },
    /// A guest's name is empty, or has a character that a file's name cannot have.
    BadName {
        /// The name.
        name: String,
    },
    /// Two guests of one build script have the same variable: one would be embedded twice.
    SameName {
        /// The second guest's name.
        name: String,
        /// The variable of both.
        variable: String,
    },
    /// The compiler, or cargo, ended without the guest. What it said went to the standard error of the build script.
    Compile {
        /// The guest's name.
        guest: String,
        /// How the compiler ended.
        status: ExitStatus,
        /// What is missing on this machine, if that can be told.
        missing: Option<Missing>,
    },
    /// The C compiler is not installed.
    CompilerMissing {
        /// The compiler, as it was asked for.
        compiler: String,
    },
    /// The package has no binary.
    NoBinary {
        /// The guest's name.
        guest: String,
    },
    /// The package has several binaries and none was chosen.
    SeveralBinaries {
        /// The guest's name.
        guest: String,
        /// The binaries' names.
        binaries: Vec<String>,
    },
    /// What was built asks for a dynamic linker, which a guest does not have.
    NotStatic {
        /// The guest's name.
        guest: String,
    },
    /// What was built is not an x86-64 ELF.
    NotX86_64 {
        /// The guest's name.
        guest: String,
    },
    /// A program could not be started.
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be read or written.
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a machine lacks for a guest to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// The standard library of a Rust target.
    Target {
        /// The target.
        target: String,
        /// The rustup toolchain that lacks it, if rustup is in use.
        toolchain: Option<String>,
    },
    /// The C library to link statically.
    StaticLibc,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target { target, toolchain: Some(toolchain) } => write!(
                f,
                "the Rust target {target} is not installed: run `rustup target add --toolchain {toolchain} {target}`"
            ),
            Self::Target { target, toolchain: None } => write!(
                f,
                "the Rust target {target} is not installed: run `rustup target add {target}`, or install the standard \
                 library for it in the way that rustc was installed"
            ),
            Self::StaticLibc => f.write_str(
                "libc.a is not installed, and a guest links it statically: install libc6-dev (Debian, Ubuntu) or \
                 glibc-static (Fedora)",
            ),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotABuildScript { variable } => {
                write!(f, "{variable} is not set: ampoule-build is for build scripts, which cargo runs")
            }
            Self::NoManifest { directory } => write!(
                f,
                "there is neither Cargo.toml nor Cargo.guest.toml in {}: name the directory of the guest's crate, \
                 relative to this package (`cargo package` leaves directories with a Cargo.toml out: rename it to \
                 Cargo.guest.toml)",
                directory.display()
            ),
            Self::BadName { name } => write!(f, "a guest cannot be called {name:?}: choose another with `.name(…)`"),
            Self::SameName { name, variable } => write!(
                f,
                "the guest `{name}` has the same variable as another one, {variable}: give it a name of its own with \
                 `.name(…)`"
            ),
            Self::Compile { guest, status, missing } => {
                write!(f, "the guest `{guest}` could not be built ({status})")?;
                match missing {
                    Some(missing) => write!(f, ": {missing}"),
                    None => f.write_str("; what its compiler said is under `--- stderr`"),
                }
            }
            Self::CompilerMissing { compiler } => {
                write!(f, "{compiler} is not installed: ")?;
                match compiler.as_str() {
                    "musl-gcc" => f.write_str(
                        "run `apt-get install musl-tools` (Fedora: `dnf install musl-gcc`), or choose another compiler \
                         with `.compiler(\"gcc\")`",
                    ),
                    "gcc" | "cc" => f.write_str("run `apt-get install gcc libc6-dev`"),
                    "g++" | "c++" => f.write_str("run `apt-get install g++`"),
                    "clang" => f.write_str("run `apt-get install clang libc6-dev`"),
                    _ => f.write_str("install it, or choose another compiler with `.compiler(…)`"),
                }
            }
            Self::NoBinary { guest } => {
                write!(f, "the guest `{guest}` has no binary: it needs a src/main.rs, or a `[[bin]]`")
            }
            Self::SeveralBinaries { guest, binaries } => {
                write!(
                    f,
                    "the guest `{guest}` has several binaries: choose one of {} with `.bin(…)`",
                    binaries.join(", ")
                )
            }
            Self::NotStatic { guest } => write!(
                f,
                "the guest `{guest}` is linked dynamically: something asked its linker for a shared library, or the \
                 compiler does not know -static-pie (musl-gcc does not: use gcc, or no `.pie(true)`)"
            ),
            Self::NotX86_64 { guest } => write!(
                f,
                "the guest `{guest}` is not an x86-64 ELF: choose a compiler for x86-64 Linux, or its flags accordingly"
            ),
            Self::Start { program, source } => write!(f, "{} could not be started: {source}", program.display()),
            Self::File { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start { source, .. } | Self::File { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Says which file an I/O error is about.
pub(crate) trait About<T> {
    /// Turns the error into [`Error::File`].
    fn about(self, path: &std::path::Path) -> Result<T, Error>;
}

impl<T> About<T> for io::Result<T> {
    fn about(self, path: &std::path::Path) -> Result<T, Error> {
        self.map_err(|source| Error::File { path: path.to_owned(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_with_the_command_that_installs_it() {
        let compiler = |compiler: &str| Error::CompilerMissing { compiler: compiler.into() }.to_string();
        assert!(compiler("musl-gcc").contains("`apt-get install musl-tools`"));
        assert!(compiler("gcc").contains("`apt-get install gcc libc6-dev`"));
        let target = Missing::Target { target: "a-b-c".into(), toolchain: Some("stable".into()) }.to_string();
        assert!(target.contains("`rustup target add --toolchain stable a-b-c`"));
    }
}
