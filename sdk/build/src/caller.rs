//! How cargo was called that runs this build script.
//!
//! `--locked`, `--offline` and `--frozen` are in no variable that a build script sees, and somebody who says `--offline` means the guest too.
//! But the build script's parent is that cargo, and Linux shows its arguments. This is a courtesy: where it fails (an alias that holds the
//! option, a cargo in between) the guest is built as if the option had not been given, and the options of [`Crate`](crate::Crate) remain.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What the outer cargo was told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    /// `--locked` or `--frozen`
    pub(crate) locked: bool,
    /// `--offline` or `--frozen`
    pub(crate) offline: bool,
}

impl Caller {
    /// Asks the parent process, if it is the cargo at `cargo`.
    pub(crate) fn ask(cargo: &OsStr) -> Self {
        let process = Path::new("/proc").join(std::os::unix::process::parent_id().to_string());
        let is_cargo = match (std::fs::read_link(process.join("exe")), std::fs::canonicalize(cargo)) {
            (Ok(parent), Ok(cargo)) => parent == cargo,
            _ => false,
        };
        match std::fs::read(process.join("cmdline")) {
            Ok(arguments) if is_cargo => {
                Self::from_arguments(arguments.split(|&byte| byte == 0).map(OsStr::from_bytes))
            }
            _ => Self::default(),
        }
    }

    fn from_arguments<'a>(arguments: impl Iterator<Item = &'a OsStr>) -> Self {
        let mut caller = Self::default();
        // What follows `--` is for the program that is run, or for clippy.
        for argument in arguments.take_while(|argument| *argument != "--").filter_map(OsStr::to_str) {
            caller.locked |= matches!(argument, "--locked" | "--frozen");
            caller.offline |= matches!(argument, "--offline" | "--frozen");
        }
        caller
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(line: &str) -> (bool, bool) {
        let Caller { locked, offline } = Caller::from_arguments(line.split(' ').map(OsStr::new));
        (locked, offline)
    }

    #[test]
    fn frozen_is_locked_and_offline() {
        assert_eq!(called("cargo build"), (false, false));
        assert_eq!(called("cargo build --locked"), (true, false));
        assert_eq!(called("cargo check --offline -p outer"), (false, true));
        assert_eq!(called("cargo --frozen test"), (true, true));
    }

    #[test]
    fn arguments_of_the_program_that_is_run_are_not_cargos() {
        assert_eq!(called("cargo run --locked -- --offline"), (true, false));
    }
}
