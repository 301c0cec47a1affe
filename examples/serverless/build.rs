//! Compiles the functions that the server has when it is given none (`src/load.rs`), and those that its tests give it.

fn main() {
    ampoule_build::Crate::new("functions/word-count").build();
    ampoule_build::C::new("functions/shout.c").flag("-Wall").flag("-Wextra").build();

    for with_sdk in ["tests/functions/misbehaves.c", "tests/functions/marked.c"] {
        ampoule_build::C::new(with_sdk)
            .file("../../sdk/c/ampoule.c")
            .include("../../sdk/c")
            .flag("-Wall")
            .flag("-Wextra")
            .build();
    }
    ampoule_build::C::new("tests/functions/misbehaves_plainly.c").flag("-Wall").flag("-Wextra").build();
    ampoule_build::C::new("tests/functions/streams.c").flag("-Wall").flag("-Wextra").build();
    ampoule_build::C::new("tests/functions/takes.c").flag("-Wall").flag("-Wextra").build();
}
