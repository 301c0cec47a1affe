//! Rust guests: what is built, and when again.

use crate::project::{self, EMBED, Project, compiled, fail, manifest, prints_line, succeed};

#[test]
fn a_guest_is_static_embedded_and_rebuilt_when_it_changes_and_only_then() {
    let project = Project::with_guest("rebuilt", EMBED, "first");
    project.write("plugin/src/main.rs", "mod words;\nfn main() { println!(\"{}\", words::WORD); }\n");
    project.write("plugin/src/words.rs", "pub const WORD: &str = \"first\";\n");
    let build = || succeed(&mut project.cargo(&["build", "--offline"]));

    assert!(compiled(&build(), "outer"));
    assert_eq!(project.run_guest("outer/target/debug/outer"), "first\n");
    assert!(!compiled(&build(), "outer"), "nothing changed");

    project.change("plugin/src/words.rs", "pub const WORD: &str = \"second\";\n");
    assert!(compiled(&build(), "outer"), "a module of the guest changed");
    assert_eq!(project.run_guest("outer/target/debug/outer"), "second\n");
}

#[test]
fn a_changed_manifest_and_a_changed_lock_file_rebuild_the_guest() {
    let project = Project::with_guest("manifest", EMBED, "guest");
    let build = || succeed(&mut project.cargo(&["build", "--offline"]));
    build();
    let lock = std::fs::read_to_string(project.path("plugin/Cargo.lock")).unwrap();
    assert!(!compiled(&build(), "outer"), "the lock file that the first build wrote is no change");
    project.change("plugin/Cargo.lock", &lock);
    assert!(compiled(&build(), "outer"));
    project
        .change("plugin/Cargo.toml", &format!("{}[workspace]\n[profile.release]\nopt-level = 0\n", manifest("plugin")));
    assert!(compiled(&build(), "outer"));
}

#[test]
fn a_guest_can_be_a_member_of_the_outer_workspace() {
    let script = r#"
fn main() {
    ampoule_build::Crate::new("../plugin").features(["loud"]).no_default_features().profile("dev").pie(false).build();
}
"#;
    let project = Project::new("member", script);
    let outer = std::fs::read_to_string(project.path("outer/Cargo.toml")).unwrap().replace("[workspace]", "");
    project.write("outer/Cargo.toml", &outer);
    project.write("Cargo.toml", "[workspace]\nmembers = [\"outer\", \"plugin\"]\nresolver = \"3\"\n");
    let features = "[features]\ndefault = [\"quiet\"]\nquiet = []\nloud = []\n";
    project.write("plugin/Cargo.toml", &format!("{}{features}", manifest("plugin")));
    let facts = r#"
fn main() { println!("{} {} {}", cfg!(feature = "loud"), cfg!(feature = "quiet"), cfg!(debug_assertions)); }
"#;
    project.write("plugin/src/main.rs", facts);

    succeed(&mut project.cargo(&["build", "--offline", "--workspace"]));
    assert_eq!(project.run_guest("target/debug/outer"), "true false true\n");
    let image = std::fs::read(project.path("carried")).unwrap();
    assert_eq!(image[16], 2, "ET_EXEC: not position-independent");
    assert!(!compiled(&succeed(&mut project.cargo(&["build", "--offline", "--workspace"])), "outer"));
    succeed(&mut project.cargo(&["build", "--offline", "--workspace", "--locked"]));
}

#[test]
fn one_binary_of_a_package_is_chosen_by_name() {
    let script = r#"
fn main() {
    let several = ampoule_build::Crate::new("../plugin").try_build().unwrap_err();
    assert!(matches!(&several, ampoule_build::Error::SeveralBinaries { binaries, .. } if binaries.len() == 2), "{several}");
    let none = ampoule_build::Crate::new("../library").try_build().unwrap_err();
    assert!(matches!(none, ampoule_build::Error::NoBinary { .. }), "{none}");
    let two = ampoule_build::Crate::new("../plugin").bin("two-two").env("WORD", "set").build();
    assert_eq!((two.name(), two.variable()), ("two-two", "AMPOULE_GUEST_TWO_TWO"));
    let twice = ampoule_build::Crate::new("../plugin").bin("one").name("two.two").try_build().unwrap_err();
    assert!(matches!(twice, ampoule_build::Error::SameName { .. }), "{twice}");
    ampoule_build::Crate::new("../plugin").bin("one").env("WORD", "unused").name("plugin").build();
}
"#;
    let project = Project::with_guest("binaries", script, "unused");
    std::fs::remove_file(project.path("plugin/src/main.rs")).unwrap();
    project.write("plugin/src/bin/one.rs", &prints_line("one"));
    project.write("plugin/src/bin/two-two.rs", "fn main() { println!(\"{:?}\", option_env!(\"WORD\")); }\n");
    project.write("library/Cargo.toml", &format!("{}[workspace]\n", manifest("library")));
    project.write("library/src/lib.rs", "");
    project.write("outer/src/main.rs", &project::PRINT.replace("GUEST_PLUGIN", "GUEST_TWO_TWO"));
    succeed(&mut project.cargo(&["build", "--offline"]));
    assert_eq!(project.run_guest("outer/target/debug/outer"), "Some(\"set\")\n");
}

#[test]
fn a_guest_that_does_not_compile_shows_what_its_compiler_says() {
    let project = Project::with_guest("error", EMBED, "unused");
    project.write("plugin/src/main.rs", "fn main() { let number: u8 = \"text\"; }\n");
    let stderr = fail(&mut project.cargo(&["build", "--offline"]));
    for part in [
        "error: outer@0.1.0: the guest `plugin` could not be built",
        "error[E0308]: mismatched types",
        "src/main.rs:1:",
    ] {
        assert!(stderr.contains(part), "{part}\n{stderr}");
    }
    assert!(!stderr.contains("panicked") && !stderr.contains('\u{1b}'), "{stderr}");
    let stderr = fail(project.cargo(&["build", "--offline"]).env("CARGO_TERM_COLOR", "always"));
    assert!(stderr.contains('\u{1b}'), "{stderr}");

    project.change("plugin/src/main.rs", &prints_line("repaired"));
    succeed(&mut project.cargo(&["build", "--offline"]));
    assert_eq!(project.run_guest("outer/target/debug/outer"), "repaired\n");
}

#[test]
fn a_guest_that_is_not_there_is_an_error_that_says_where_it_should_be() {
    let project = Project::new("nowhere", EMBED);
    let stderr = fail(&mut project.cargo(&["build", "--offline"]));
    assert!(stderr.contains("neither Cargo.toml nor Cargo.guest.toml in") && stderr.contains("../plugin"), "{stderr}");
}

#[test]
fn musl_is_linked_or_its_target_named_with_the_command_that_installs_it() {
    let project = Project::with_guest("musl", &EMBED.replace(".build()", ".musl().build()"), "musl");
    let rustc = std::path::Path::new(env!("CARGO")).with_file_name("rustc");
    let mut libraries = std::process::Command::new(rustc);
    let libraries =
        libraries.args(["--print", "target-libdir", "--target", "x86_64-unknown-linux-musl"]).output().unwrap();
    let installed = std::path::Path::new(String::from_utf8(libraries.stdout).unwrap().trim()).is_dir();
    if installed {
        succeed(&mut project.cargo(&["build", "--offline"]));
        assert_eq!(project.run_guest("outer/target/debug/outer"), "musl\n");
    } else {
        let stderr = fail(&mut project.cargo(&["build", "--offline"]));
        assert!(stderr.contains("the Rust target x86_64-unknown-linux-musl is not installed: run `rustup target add"));
    }
}

#[test]
fn a_guest_that_is_skipped_is_a_placeholder_and_is_built_when_it_is_not_skipped_any_more() {
    let project = Project::with_guest("skipped", EMBED, "guest");
    let build = || project.cargo(&["build", "--offline"]);
    // No guest's cargo is started: there would be nothing that it could build with.
    succeed(build().env("AMPOULE_BUILD_SKIP", "1").env("GUEST_COPY", project.path("copy")));
    let placeholder = std::fs::read_to_string(project.path("copy")).unwrap();
    assert!(placeholder.starts_with("not a guest"), "{placeholder}");
    assert!(!compiled(&succeed(build().env("AMPOULE_BUILD_SKIP", "1")), "outer"));
    assert!(compiled(&succeed(&mut build()), "outer"));
    assert_eq!(project.run_guest("outer/target/debug/outer"), "guest\n");
    succeed(build().env("DOCS_RS", "1").env("GUEST_COPY", project.path("copy")));
    assert_eq!(std::fs::read_to_string(project.path("copy")).unwrap(), placeholder);
    succeed(build().env("AMPOULE_BUILD_SKIP", "0"));
    assert_eq!(project.run_guest("outer/target/debug/outer"), "guest\n");
}

#[test]
fn what_a_guests_build_script_generates_is_no_change_to_react_to() {
    let project = Project::with_guest("generated", EMBED, "unused");
    let generate = r#"
fn main() {
    println!("cargo::rerun-if-changed=word");
    let word = std::fs::read_to_string("word").unwrap();
    let out = std::path::Path::new(&std::env::var_os("OUT_DIR").unwrap()).join("word.rs");
    std::fs::write(out, format!("const WORD: &str = {word:?};")).unwrap();
}
"#;
    project.write("plugin/build.rs", generate);
    project.write("plugin/word", "generated");
    let include = "include!(concat!(env!(\"OUT_DIR\"), \"/word.rs\"));\nfn main() { println!(\"{WORD}\"); }\n";
    project.write("plugin/src/main.rs", include);
    let build = || succeed(&mut project.cargo(&["build", "--offline"]));
    build();
    assert_eq!(project.run_guest("outer/target/debug/outer"), "generated\n");
    assert!(!compiled(&build(), "outer"));
    project.change("plugin/word", "anew");
    assert!(compiled(&build(), "outer"));
    assert_eq!(project.run_guest("outer/target/debug/outer"), "anew\n");
    project.change("plugin/build.rs", &generate.replace("{word:?}", "{:?}").replace("\"))", "\", word.repeat(2)))"));
    assert!(compiled(&build(), "outer"));
    assert_eq!(project.run_guest("outer/target/debug/outer"), "anewanew\n");
}

#[test]
fn a_build_script_can_go_on_without_the_guest_and_is_run_again() {
    let script = r#"
fn main() {
    let Err(error) = ampoule_build::Crate::new("../plugin").try_build() else { return };
    println!("cargo::rustc-env=AMPOULE_GUEST_PLUGIN={}", concat!(env!("CARGO_MANIFEST_DIR"), "/build.rs"));
    println!("cargo::warning={error}");
}
"#;
    let project = Project::new("without", script);
    let build = || succeed(&mut project.cargo(&["build", "--offline"]));
    assert!(build().contains("warning: outer@0.1.0: there is neither"));
    project.write("plugin/Cargo.toml", &format!("{}[workspace]\n", manifest("plugin")));
    project.write("plugin/src/main.rs", &prints_line("there"));
    build();
    assert_eq!(project.run_guest("outer/target/debug/outer"), "there\n");
}
