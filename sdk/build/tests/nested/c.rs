//! C guests.

use crate::project::{PRINT, Project, compiled, fail, run, succeed};

/// A project whose guest is C.
fn project(test: &str, build: &str) -> Project {
    let project = Project::new(test, &format!("fn main() {{ {build} }}\n"));
    project.write("outer/src/main.rs", &PRINT.replace("GUEST_PLUGIN", "GUEST_GUEST"));
    project
}

#[test]
fn c_files_are_linked_statically_and_rebuilt_when_a_header_changes_and_only_then() {
    let build = r#"ampoule_build::C::new("guest.c").file("other/guest.c").include("two words").define("WORD", "\"a word\"")
        .define("LOUD", None).library("m").build();"#;
    let project = project("c", build);
    let main = "#include <stdio.h>\n#include <header.h>\n#ifndef LOUD\n#error quiet\n#endif\n\
                int main(int argc, char **argv) { printf(\"%s %d %g\\n\", WORD, NUMBER, other(argc)); }\n";
    project.write("outer/guest.c", main);
    project.write("outer/other/guest.c", "#include <math.h>\ndouble other(int x) { return sqrt(x + 3.0); }\n");
    project.write("outer/two words/header.h", "#define NUMBER 1\ndouble other(int);\n");
    let build = || succeed(&mut project.cargo(&["build", "--offline"]));
    build();
    assert_eq!(project.run_guest("outer/target/debug/outer"), "a word 1 2\n");
    assert!(!compiled(&build(), "outer"), "nothing changed");

    project.change("outer/two words/header.h", "#define NUMBER 2\ndouble other(int);\n");
    assert!(compiled(&build(), "outer"), "a header changed");
    assert_eq!(project.run_guest("outer/target/debug/outer"), "a word 2 2\n");
}

#[test]
fn compilers_for_glibc_link_with_and_without_fixed_addresses() {
    let build = r#"
        let c = ampoule_build::C::new("guest.c").compiler("gcc");
        for (name, guest) in [("pie", c.clone().pie(true)), ("fixed", c)] {
            std::fs::copy(guest.name(name).build().path(), name).unwrap();
        }"#;
    let project = project("glibc", build);
    project.write("outer/guest.c", "#include <stdio.h>\nint main(void) { puts(\"glibc\"); }\n");
    project.write("outer/src/main.rs", "fn main() {}\n");
    succeed(&mut project.cargo(&["build", "--offline"]));
    for (name, kind) in [("fixed", 2), ("pie", 3)] {
        let guest = project.path("outer").join(name);
        assert_eq!(std::fs::read(&guest).unwrap()[16], kind, "{name}: ET_EXEC is 2, ET_DYN is 3");
        assert_eq!(run(&guest), "glibc\n");
    }
}

#[test]
fn c_that_does_not_compile_shows_what_its_compiler_says() {
    let project = project("c-error", r#"ampoule_build::C::new("guest.c").build();"#);
    project.write("outer/guest.c", "int main(void) { return nothing; }\n");
    let stderr = fail(&mut project.cargo(&["build", "--offline"]));
    for part in ["error: outer@0.1.0: the guest `guest` could not be built", "guest.c:1:25: error:", "nothing"] {
        assert!(stderr.contains(part), "{part}\n{stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn a_guest_that_is_linked_dynamically_is_refused_here() {
    let build = r#"ampoule_build::C::new("guest.c").compiler("gcc").pie(true).flag("-pie").build();"#;
    let project = project("c-dynamic", build);
    project.write("outer/guest.c", "int main(void) { return 0; }\n");
    let stderr = fail(&mut project.cargo(&["build", "--offline"]));
    assert!(stderr.contains("error: outer@0.1.0: the guest `guest` is linked dynamically"), "{stderr}");
}

#[test]
fn a_compiler_that_is_not_installed_is_named() {
    let project = project("c-compiler", r#"ampoule_build::C::new("guest.c").compiler("no-such-cc").build();"#);
    project.write("outer/guest.c", "int main(void) { return 0; }\n");
    let stderr = fail(&mut project.cargo(&["build", "--offline"]));
    assert!(stderr.contains("error: outer@0.1.0: no-such-cc is not installed: install it, or choose"), "{stderr}");
}

#[test]
fn c_that_is_skipped_needs_no_compiler() {
    let project = project("c-skipped", r#"ampoule_build::C::new("guest.c").compiler("no-such-cc").build();"#);
    succeed(project.cargo(&["build", "--offline"]).env("AMPOULE_BUILD_SKIP", "1"));
}
