//! Compiles the plugins and has the host embed them: see `src/plugins.rs`.

fn main() {
    for version in ["scoring_1", "scoring_2", "scoring_3"] {
        ampoule_build::Crate::new("plugins/scoring").bin(version).build();
    }
    for plugin in ["normaliser", "hostile"] {
        ampoule_build::C::new(format!("plugins/{plugin}.c"))
            .file("../../sdk/c/ampoule.c")
            .include("../../sdk/c")
            .flag("-Wall")
            .flag("-Wextra")
            .flag("-Wno-infinite-recursion")
            .build();
    }
}
