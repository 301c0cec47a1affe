//! A shorter and simpler input that finds the same bug: the less there is in it, the more it says.

use ampoule::fuzz::{FuzzError, Harness};

use crate::campaign::key;

/// Leaves out whatever the bug does not need, longest pieces first, and makes the rest zeros where that does not matter either.
///
/// # Errors
/// As [`Harness::run`].
pub fn minimise(harness: &mut Harness, input: &[u8]) -> Result<Vec<u8>, FuzzError> {
    let wanted = key(&harness.run(input)?);
    let mut is_same = |candidate: &[u8]| Ok::<bool, FuzzError>(key(&harness.run(candidate)?) == wanted);
    let mut best = input.to_vec();
    let mut piece = best.len();
    while piece > 0 {
        let mut at = 0;
        while at < best.len() {
            let mut shorter = best.clone();
            shorter.drain(at..best.len().min(at + piece));
            if is_same(&shorter)? {
                best = shorter;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    for at in 0..best.len() {
        let mut simpler = best.clone();
        if let Some(byte) = simpler.get_mut(at).filter(|byte| **byte != 0) {
            *byte = 0;
            if is_same(&simpler)? {
                best = simpler;
            }
        }
    }
    Ok(best)
}
