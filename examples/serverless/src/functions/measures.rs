//! What is counted of a function's invocations: outcomes, and how long they took. Written without a lock by every invocation.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::failure::Kind;

/// Upper ends of the latencies' buckets, in microseconds: four to each power of ten, from 25 µs, below which no machine is entered, to 100 s.
pub(crate) const BUCKETS: [u64; 27] = [
    25,
    50,
    75,
    100,
    180,
    320,
    560,
    1_000,
    1_800,
    3_200,
    5_600,
    10_000,
    18_000,
    32_000,
    56_000,
    100_000,
    180_000,
    320_000,
    560_000,
    1_000_000,
    1_800_000,
    3_200_000,
    5_600_000,
    10_000_000,
    18_000_000,
    32_000_000,
    100_000_000,
];

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Measures {
    ok: AtomicU64,
    failed: [AtomicU64; Kind::ALL.len()],
    /// By bucket, not cumulative; the last is of those that took longer.
    latencies: [AtomicU64; BUCKETS.len() + 1],
    microseconds: AtomicU64,
}

/// The measures at one time.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) ok: u64,
    pub(crate) failed: Vec<(Kind, u64)>,
    /// By bucket, not cumulative; the last is of those that took longer.
    pub(crate) latencies: Vec<u64>,
    pub(crate) seconds: f64,
}

impl Measures {
    /// An invocation is over.
    pub(crate) fn count(&self, outcome: Result<(), Kind>, took: Duration) {
        let counter = match outcome {
            Ok(()) => Some(&self.ok),
            Err(kind) => self.failed.get(kind as usize),
        };
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS.partition_point(|&most| most < microseconds);
        for counter in [counter, self.latencies.get(bucket)].into_iter().flatten() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.microseconds.fetch_add(microseconds, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Measured {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Measured {
            ok: read(&self.ok),
            failed: Kind::ALL.into_iter().zip(self.failed.iter().map(read)).collect(),
            latencies: self.latencies.iter().map(read).collect(),
            seconds: Duration::from_micros(read(&self.microseconds)).as_secs_f64(),
        }
    }
}

impl Measured {
    /// The totals as they are told: kinds that did not occur are left out.
    pub(crate) fn totals(&self) -> Value {
        let failed: BTreeMap<_, _> =
            self.failed.iter().filter(|(_, count)| *count > 0).map(|(kind, count)| (kind.as_str(), count)).collect();
        json!({ "ok": self.ok, "failed": failed })
    }

    /// The latencies as they are told: upper ends in seconds, and how many took at most so long; the last is of all.
    pub(crate) fn latency(&self) -> Value {
        let ends: Vec<f64> = BUCKETS.iter().map(|&most| Duration::from_micros(most).as_secs_f64()).collect();
        let mut all = 0;
        let counts: Vec<u64> = self
            .latencies
            .iter()
            .map(|count| {
                all += count;
                all
            })
            .collect();
        json!({ "le": ends, "counts": counts, "sum": self.seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invocation_is_counted_once_and_in_the_bucket_whose_end_it_does_not_pass() {
        let measures = Measures::default();
        for microseconds in [0, 25, 26, 100_000_000, 100_000_001] {
            measures.count(Ok(()), Duration::from_micros(microseconds));
        }
        measures.count(Err(Kind::Host), Duration::MAX);
        let measured = measures.read();
        assert_eq!((measured.ok, measured.totals()), (5, json!({ "ok": 5, "failed": { "host": 1 } })));
        assert_eq!(measured.latencies.iter().sum::<u64>(), 6);
        let latency = measured.latency();
        assert_eq!((&latency["counts"][0], &latency["counts"][1]), (&json!(2), &json!(3)));
        assert_eq!((&latency["counts"][26], &latency["counts"][27]), (&json!(4), &json!(6)));
        assert!(BUCKETS.is_sorted());
    }
}
