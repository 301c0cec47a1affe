//! What an input of a fuzzed target costs beside the target's own work: placing it, entering, reading the counters, putting everything back.

use std::time::{Duration, Instant};

use ampoule::Floor;
use ampoule::fuzz::Harness;
use ampoule_tests::target;

use crate::report::Goal;
use crate::subjects::{Subject, floor};

/// Inputs that are timed together.
const INPUTS: u32 = 100;
/// An input that the parser turns down at its first byte.
const INPUT: &[u8] = b"nothing that it knows";

pub(crate) fn all() -> Vec<Subject> {
    vec![
        Subject {
            name: "fuzzed input",
            floor: "bare exit",
            goal: Goal::Ratio { most: 1.25, margin: 0.05 },
            time: Duration::from_secs(5),
            pair: singly(),
        },
        Subject {
            name: "fuzzed input, in a batch",
            floor: "bare exit",
            goal: Goal::Ratio { most: 0.1, margin: 0.02 },
            time: Duration::from_secs(5),
            pair: in_batches(),
        },
    ]
}

fn harness() -> Harness {
    Harness::builder(&target("parser", "coverage")).build().expect("a harness")
}

fn singly() -> Box<dyn FnMut() -> (Duration, Duration)> {
    let mut harness = harness();
    Box::new(move || {
        let from = Instant::now();
        for _ in 0..INPUTS {
            assert!(harness.run(INPUT).expect("a run").is_ok());
        }
        (from.elapsed() / INPUTS, floor(Floor::Exit))
    })
}

fn in_batches() -> Box<dyn FnMut() -> (Duration, Duration)> {
    let mut harness = harness();
    let inputs = vec![INPUT; 256];
    // The first ones are run singly: what they write becomes known.
    harness.run_batch(&inputs, |_, _, _| {}).expect("a batch");
    Box::new(move || {
        let (from, mut count) = (Instant::now(), 0);
        harness.run_batch(&inputs, |_, verdict, _| count += u32::from(verdict.is_ok())).expect("a batch");
        let taken = from.elapsed();
        assert_eq!(count, 256);
        // Its own, and perhaps a timer's that stood from an earlier one.
        assert!(harness.last_stats().exit_count() < 5, "it was a batch");
        (taken / 256, floor(Floor::Exit))
    })
}
