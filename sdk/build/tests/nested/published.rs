//! A guest inside the package that embeds it, as it is published.

use std::path::Path;

use crate::project::{EMBED, Project, compiled, manifest, prints_line, run, succeed};

#[test]
fn a_package_is_published_with_its_guest_inside() {
    let project = Project::new("published", &EMBED.replace("../plugin", "plugin"));
    let outer = std::fs::read_to_string(project.path("outer/Cargo.toml")).unwrap();
    let details = "edition = \"2024\"\nlicense = \"MIT\"\ndescription = \"a host\"\nhomepage = \"https://localhost\"";
    project.write("outer/Cargo.toml", &outer.replace("edition = \"2024\"", details));
    project.write("outer/plugin/Cargo.guest.toml", &manifest("plugin"));
    project.write("outer/plugin/src/main.rs", &prints_line("inside"));
    let build = || succeed(&mut project.cargo(&["build", "--offline"]));
    build();
    assert_eq!(project.run_guest("outer/target/debug/outer"), "inside\n");
    assert!(!compiled(&build(), "outer"), "nothing changed");
    project.change("outer/plugin/src/main.rs", &prints_line("changed"));
    assert!(compiled(&build(), "outer"), "the original is watched through the links");
    assert_eq!(project.run_guest("outer/target/debug/outer"), "changed\n");

    // Verifies: unpacks the package, builds it there, and fails if its build script writes into it. The registry that it is built
    // against is a directory with nothing but this crate in it.
    let build_crate = project.path("registry/ampoule-build");
    vendor(&project, &build_crate);
    let replace = "source.crates-io.replace-with=\"vendored\"";
    let directory = format!("source.vendored.directory={:?}", project.path("registry"));
    let arguments = ["package", "--offline", "--allow-dirty", "--config", replace, "--config", &directory];
    let stderr = succeed(project.cargo(&arguments).env("GUEST_COPY", project.path("copy")));
    assert!(stderr.contains("Verifying outer"), "{stderr}");
    assert_eq!(run(&project.path("copy")), "changed\n");
}

/// Puts this crate where a directory source has it.
fn vendor(project: &Project, to: &Path) {
    project.write("registry/ampoule-build/Cargo.toml", &manifest("ampoule-build"));
    project.write("registry/ampoule-build/.cargo-checksum.json", "{\"files\":{}}");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    std::fs::create_dir_all(to.join("src")).unwrap();
    for entry in std::fs::read_dir(source).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join("src").join(entry.file_name())).unwrap();
    }
}
