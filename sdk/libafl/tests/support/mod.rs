//! Harnesses of the tests' targets.

use ampoule::Program;
use ampoule::fuzz::{Harness, HarnessBuilder};
use ampoule_tests::variants_of;

/// A target of `tests/guests/fuzz`, compiled with counters and comparisons.
pub(crate) fn target(name: &str) -> Program {
    let with_counters = variants_of(name).find(|guest| guest.variant == "coverage").expect("a variant with counters");
    Program::from_bytes(with_counters.image()).expect("a static program")
}

/// What a harness of it is made with.
pub(crate) fn builder(name: &str) -> HarnessBuilder {
    Harness::builder(&target(name))
}

/// A harness of it.
pub(crate) fn harness(name: &str) -> Harness {
    builder(name).build().expect("a target that waits for inputs")
}
