//! Targets that are fuzzed: what the suites over harnesses share.

use ampoule::Program;
use ampoule::fuzz::{Harness, HarnessBuilder, Verdict};
use std::time::Duration;

/// Time that no honest input takes, even on an emulated machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Time for an input among which some hang: so long that an honest one is done even on an emulated machine, and no longer.
pub const SOON: Duration = Duration::from_secs(1);

/// A target of `guests/fuzz` in one variant.
///
/// # Panics
/// If there is no such guest, its compiler is missing, or Ampoule refuses it.
pub fn target(name: &str, variant: &str) -> Program {
    let guest = crate::variants_of(name).find(|guest| guest.variant == variant);
    let image = guest.unwrap_or_else(|| panic!("guest {name} has no variant {variant}")).image();
    Program::from_bytes(image).unwrap_or_else(|error| panic!("guest {name}: {error}"))
}

/// What a harness for a target with counters is made with, with time that no honest input takes.
///
/// # Panics
/// As [`target`].
pub fn fuzzing(name: &str) -> HarnessBuilder {
    Harness::builder(&target(name, "coverage")).timeout(PATIENCE)
}

/// A harness for a target with counters, with time that no honest input takes.
///
/// # Panics
/// As [`target`], or if it does not come to wait for inputs.
pub fn harness(name: &str) -> Harness {
    fuzzing(name).build().unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The verdict on an input.
///
/// # Panics
/// If the host fails.
pub fn verdict(harness: &mut Harness, input: &[u8]) -> Verdict {
    harness.run(input).unwrap_or_else(|error| panic!("{input:?}: {error}"))
}

/// What a batch told: each input's verdict and counters, in their order.
///
/// # Panics
/// If the host fails, or an input was not told in its turn.
pub fn batch<I: AsRef<[u8]>>(harness: &mut Harness, inputs: &[I]) -> Vec<(Verdict, Vec<u8>)> {
    let mut told = Vec::new();
    let each = |index, verdict: &Verdict, counters: &[u8]| {
        assert_eq!(index, told.len(), "told in their order, each once");
        told.push((verdict.clone(), counters.to_vec()));
    };
    harness.run_batch(inputs, each).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(told.len(), inputs.len(), "each input is told");
    told
}
