//! The tests' targets, compiled here: no more of `tests/guests` than is needed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, id};
use std::sync::Mutex;

use ampoule::Program;
use ampoule::fuzz::{Harness, HarnessBuilder};

/// Compiled so far, by source and compiler.
static IMAGES: Mutex<BTreeMap<(String, &str), &'static [u8]>> = Mutex::new(BTreeMap::new());

/// A target of `tests/guests/fuzz`, compiled with counters and comparisons.
pub(crate) fn image(name: &str) -> &'static [u8] {
    compiled(name, "clang", &["-O2", "@../c/fuzz/coverage.flags"])
}

/// A target without counters.
pub(crate) fn plain_image(name: &str) -> &'static [u8] {
    compiled(name, "gcc", &["-O2", "-static"])
}

fn compiled(name: &str, compiler: &'static str, flags: &[&str]) -> &'static [u8] {
    let mut images = IMAGES.lock().expect("no test panicked in here");
    images.entry((name.to_owned(), compiler)).or_insert_with(|| {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.{compiler}.{}", id()));
        let source = format!("../../tests/guests/fuzz/{name}.c");
        let mut command = Command::new(compiler);
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args(flags).args([&source, "../c/fuzz.c", "-o"]).arg(&out);
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("{compiler}: {error}; install it: apt-get install {compiler}"));
        assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
        let image = std::fs::read(&out).expect("what was linked");
        std::fs::remove_file(&out).expect("what was linked");
        image.leak()
    })
}

/// What a harness of a target is made with.
pub(crate) fn builder(name: &str) -> HarnessBuilder {
    Harness::builder(&Program::from_bytes(image(name)).expect("a static program"))
}

/// A harness of a target.
pub(crate) fn harness(name: &str) -> Harness {
    builder(name).build().expect("a target that waits for inputs")
}
