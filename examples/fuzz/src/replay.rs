//! Replays: a bug that shows only sometimes is half a bug.

use ampoule::fuzz::{FuzzError, Harness, Verdict};

/// Most replays of a hang, each of which takes all the time that an input has.
const HANGS: u32 = 20;

/// What came of replaying an input.
#[derive(Debug, Clone, PartialEq)]
pub struct Replays {
    /// Replays.
    pub all: u32,
    /// Those that were the same as the first run.
    pub same: u32,
    /// The verdict of the first that was not.
    pub other: Option<Verdict>,
}

/// Runs an input again and again: is it always the same verdict – registers and addresses are part of it – and the same counters?
///
/// A hang is looked at less often, and how far its counters came in its time is no matter.
///
/// # Errors
/// As [`Harness::run`].
pub fn replay(harness: &mut Harness, input: &[u8], times: u32) -> Result<Replays, FuzzError> {
    let verdict = harness.run(input)?;
    let counters = harness.counters().to_vec();
    let is_hang = verdict == Verdict::Hang;
    let all = if is_hang { times.min(HANGS) } else { times };
    let (mut same, mut other) = (0, None);
    for _ in 0..all {
        let again = harness.run(input)?;
        if again == verdict && (is_hang || harness.counters() == counters) {
            same += 1;
        } else {
            other.get_or_insert(again);
        }
    }
    Ok(Replays { all, same, other })
}
