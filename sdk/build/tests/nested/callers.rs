//! Rust guests, however the cargo around them is called.

use std::process::Command;

use crate::project::{EMBED, Project, compiled, fail, manifest, run, succeed};

#[test]
fn the_guest_is_the_same_to_the_byte_however_the_outer_package_is_built() {
    let project = Project::with_guest("callers", EMBED, "guest");
    let copy = |name: &str| project.path(name);
    succeed(project.cargo(&["build", "--offline"]).env("GUEST_COPY", copy("plain")));
    let plain = std::fs::read(copy("plain")).unwrap();
    assert_eq!(run(&copy("plain")), "guest\n");
    let same = |case: &str, command: &mut Command| {
        succeed(command.env("GUEST_COPY", copy(case)));
        assert!(std::fs::read(copy(case)).unwrap() == plain, "{case}");
    };

    same("release", &mut project.cargo(&["build", "--offline", "--release"]));
    same("clippy", &mut project.cargo(&["clippy", "--offline", "--", "-D", "warnings"]));
    let flags = "--cfg outer -Ctarget-feature=-crt-static -Cdebuginfo=2";
    same("flags", project.cargo(&["build", "--offline", "--target-dir", "flags"]).env("RUSTFLAGS", flags));
    // Directories that a cargo inside would wait for forever, because the profile is the same as the guest's.
    same("target", project.cargo(&["build", "--offline", "--release"]).env("CARGO_TARGET_DIR", copy("shared")));
    same(
        "build-dir",
        project.cargo(&["build", "--offline", "--release"]).env("CARGO_BUILD_BUILD_DIR", copy("intermediate")),
    );
    let profile = ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0");
    same("profile", project.cargo(&["build", "--offline", "--target-dir", "p"]).env(profile.0, profile.1));

    // Configuration files that name directories and flags.
    project
        .write("outer/.cargo/config.toml", "[build]\nbuild-dir = \"elsewhere\"\nrustflags = [\"--cfg\", \"outer\"]\n");
    project
        .write("plugin/.cargo/config.toml", "[build]\nbuild-dir = \"../outer/elsewhere\"\ndep-info-basedir = \"..\"\n");
    same("configured", &mut project.cargo(&["build", "--offline", "--release"]));
    assert!(
        !compiled(&succeed(&mut project.cargo(&["build", "--offline", "--release"])), "outer"),
        "configuration changed nothing"
    );
}

#[test]
fn a_wrapper_around_the_outer_compiler_does_not_see_the_guest() {
    let project = Project::with_guest("wrapper", EMBED, "guest");
    let log = project.path("log");
    project.write("wrapper", "#!/bin/sh\necho \"$@\" >> \"$WRAPPER_LOG\"\nexec \"$@\"\n");
    succeed(Command::new("chmod").arg("+x").arg(project.path("wrapper")));
    let mut build = project.cargo(&["build", "--offline"]);
    succeed(build.env("RUSTC_WRAPPER", project.path("wrapper")).env("WRAPPER_LOG", &log));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("--crate-name outer") && !log.contains("--crate-name plugin"), "{log}");
}

#[test]
fn options_of_the_outer_cargo_that_close_the_network_hold_for_the_guest() {
    let project = Project::with_guest("options", EMBED, "guest");
    // A guest without a lock file can be built `--locked`, like a package by `cargo install`.
    succeed(&mut project.cargo(&["generate-lockfile", "--offline"]));
    succeed(&mut project.cargo(&["build", "--frozen"]));
    assert_eq!(project.run_guest("outer/target/debug/outer"), "guest\n");

    // One whose lock file would have to change cannot.
    let more = format!("{}[dependencies]\nhelper = {{ path = \"helper\" }}\n[workspace]\n", manifest("plugin"));
    project.change("plugin/Cargo.toml", &more);
    project.write("plugin/helper/Cargo.toml", &manifest("helper"));
    project.write("plugin/helper/src/lib.rs", "");
    let stderr = fail(&mut project.cargo(&["build", "--frozen"]));
    assert!(stderr.contains("--locked"), "{stderr}");
    let stderr = fail(project.cargo(&["build", "--offline"]).env("AMPOULE_BUILD_LOCKED", "1"));
    assert!(stderr.contains("--locked"), "{stderr}");
    succeed(&mut project.cargo(&["build", "--offline"]));

    // One with a dependency from elsewhere does not go there.
    project.change("plugin/Cargo.toml", &format!("{more}[dependencies.surely-not-cached]\nversion = \"7\"\n"));
    let stderr = fail(&mut project.cargo(&["build", "--offline"]));
    assert!(stderr.contains("--offline"), "{stderr}");
}
