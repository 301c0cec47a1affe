//! What the guest's cargo sees of the environment: how this machine reaches its tools and the network, and nothing of how the outer package
//! is built.
//!
//! Cargo hands a build script everything about the outer build, and a cargo started there would take it as meant for itself: flags
//! (`RUSTFLAGS`, `CARGO_ENCODED_RUSTFLAGS`), wrappers (`RUSTC_WORKSPACE_WRAPPER` is clippy's, under which nothing is linked; rust-analyzer
//! sets `RUSTC_WRAPPER`), directories whose lock the outer cargo holds (`CARGO_TARGET_DIR`), features, profiles. So `CARGO_*` is let through
//! by name, and a variable that cargo learns tomorrow stays out.

use std::ffi::{OsStr, OsString};
use std::process::Command;

use crate::Error;

/// `CARGO_*` for the guest's cargo: each ends in `_` and then is a prefix, or is a whole name.
///
/// `CARGO_MAKEFLAGS` is the outer cargo's jobserver: both builds together then keep to its `-j`. The build script's own slot is what the
/// guest's first job runs on, so there is nothing to wait for.
const KEPT: &[&str] = &[
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_LOG",
    "CARGO_MAKEFLAGS",
    "CARGO_NET_",
    "CARGO_REGISTRIES_",
    "CARGO_REGISTRY_",
    "CARGO_TERM_",
];

/// Not `CARGO_*`, but also about the outer build. `RUSTC` is not among them: the guest is for the same compiler.
const DROPPED: &[&str] = &[
    "CLIPPY_",
    "DEBUG",
    "DEP_",
    "HOST",
    "NUM_JOBS",
    "OPT_LEVEL",
    "OUT_DIR",
    "PROFILE",
    "RA_RUSTC_WRAPPER",
    "RUSTC_LINKER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOCFLAGS",
    "RUSTFLAGS",
    "TARGET",
    "__CARGO_",
];

/// The cargo that runs this build script.
pub(crate) fn program() -> Result<OsString, Error> {
    std::env::var_os("CARGO").ok_or(Error::NotABuildScript { variable: "CARGO" })
}

/// That cargo, ready for a build of its own.
pub(crate) fn cargo(program: &OsStr) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(belongs_to_the_outer_build) {
            command.env_remove(name);
        }
    }
    command
}

fn belongs_to_the_outer_build(name: &str) -> bool {
    let among =
        |list: &[&str]| list.iter().any(|it| if it.ends_with('_') { name.starts_with(it) } else { name == *it });
    if name == "CARGO" || name.starts_with("CARGO_") { !among(KEPT) } else { among(DROPPED) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_about_the_outer_build_gets_through() {
        for name in [
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET_DIR",
            "CARGO_BUILD_BUILD_DIR",
            "CARGO_BUILD_RUSTC_WRAPPER",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
            "CARGO_FEATURE_DEFAULT",
            "CARGO_CFG_TARGET_FEATURE",
            "CARGO_MANIFEST_DIR",
            "CARGO_PKG_NAME",
            "CARGO_INCREMENTAL",
            "CARGO_PROFILE_RELEASE_LTO",
            "RUSTFLAGS",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "CLIPPY_ARGS",
            "OUT_DIR",
            "DEP_Z_ROOT",
            "__CARGO_TEST_CHANNEL_OVERRIDE_DO_NOT_USE_THIS",
        ] {
            assert!(belongs_to_the_outer_build(name), "{name}");
        }
    }

    #[test]
    fn the_way_to_tools_and_network_stays_open() {
        for name in [
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_HTTP_PROXY",
            "CARGO_REGISTRIES_OURS_TOKEN",
            "CARGO_TERM_COLOR",
            "CARGO_MAKEFLAGS",
            "PATH",
            "RUSTC",
            "RUSTUP_TOOLCHAIN",
            "TARGETS",
        ] {
            assert!(!belongs_to_the_outer_build(name), "{name}");
        }
    }
}
