//! What an input costs: one at a time, and in batches, which are put back inside the guest.

use std::time::{Duration, Instant};

use ampoule::fuzz::{FuzzError, Harness};

use crate::live::per_second;

/// How long each way is measured.
const TIME: Duration = Duration::from_secs(1);

/// Executions in a second.
#[derive(Debug, Clone, Copy)]
pub struct Speed {
    /// One at a time: a new entry and a whole reset for each.
    pub singly: u64,
    /// In batches.
    pub in_batches: u64,
}

impl Speed {
    /// Runs the inputs again and again, in their order.
    ///
    /// # Errors
    /// As [`Harness::run`].
    pub fn measure(harness: &mut Harness, inputs: &[Vec<u8>]) -> Result<Self, FuzzError> {
        let singly = rate(|| {
            for input in inputs {
                harness.run(input)?;
            }
            Ok(inputs.len())
        })?;
        let many: Vec<&Vec<u8>> = inputs.iter().cycle().take(inputs.len().max(1000)).collect();
        let in_batches = rate(|| harness.run_batch(&many, |_, _, _| {}).map(|()| many.len()))?;
        Ok(Self { singly, in_batches })
    }
}

/// How many a second: `some` runs some, and says how many.
fn rate(mut some: impl FnMut() -> Result<usize, FuzzError>) -> Result<u64, FuzzError> {
    let began = Instant::now();
    let mut count = 0;
    while began.elapsed() < TIME {
        count += u64::try_from(some()?).unwrap_or(u64::MAX);
    }
    Ok(per_second(count, began.elapsed()))
}
