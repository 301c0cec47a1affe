//! What Ampoule costs, as ratios to floors that the same run measures on the same machine.
//!
//! ```text
//! one pair     subject, then its floor, at once: whatever else the machine does, it does to both
//! one row      all pairs: medians, lower quartiles, minima, and the ratio of the medians against its goal
//! criterion    decides how many pairs, and keeps the absolute figures of both sides for the next run to compare with
//! ```
//! `AMPOULE_BENCH_JSON=FILE` writes the table as JSON as well (`-` is stdout). `AMPOULE_BENCH_CHECK=1` exits with 1 if a row misses its goal
//! by more than its noise margin, by its medians and by its lower quartiles, three times in a row. Arguments are criterion's: `cargo bench -p ampoule-tests -- compute` runs some of the rows.

#![allow(clippy::expect_used, clippy::panic, reason = "a measurement that fails is a bench that fails")]

mod calls;
mod fuzzing;
mod programs;
mod report;
mod snapshots;
mod subjects;
mod warm;

use std::process::ExitCode;
use std::time::Duration;

use criterion::{Criterion, SamplingMode};

use report::Row;
use subjects::Subject;

/// Criterion's least is 10. A row has at least twice as many pairs, for each side is benchmarked with both measured.
const SAMPLES: usize = 20;
const WARM_UP: Duration = Duration::from_millis(500);
/// How often a check measures a row before it says that the goal is missed.
const ATTEMPTS: usize = 3;

fn main() -> ExitCode {
    // A row that uses machines again says so: one that is kept would be in the way of the others.
    ampoule::set_max_idle_machines(0);
    let mut criterion = Criterion::default()
        .sample_size(SAMPLES)
        .warm_up_time(WARM_UP)
        .without_plots()
        .noise_threshold(0.05)
        .configure_from_args();
    let rows: Vec<Row> = subjects::all().iter_mut().filter_map(|subject| settle(&mut criterion, subject)).collect();
    criterion.final_summary();
    report::print(&rows);
    report::write_json(&rows).expect("the file that AMPOULE_BENCH_JSON names");
    report::verdict(&rows)
}

/// Measures one subject; again where a check would miss its goal, for a machine's bad minute is no verdict.
fn settle(criterion: &mut Criterion, subject: &mut Subject) -> Option<Row> {
    let mut row = measure(criterion, subject)?;
    for _ in 1..ATTEMPTS {
        if row.is_met_within_noise() || !report::is_check() {
            break;
        }
        eprintln!("{}: missed, measured again", subject.name);
        row = measure(criterion, subject)?;
    }
    Some(row)
}

/// Measures one subject and its floor; none if the arguments leave it out.
fn measure(criterion: &mut Criterion, subject: &mut Subject) -> Option<Row> {
    let &mut Subject { name, floor, goal, time, ref mut pair } = subject;
    let mut pairs = Vec::new();
    let mut group = criterion.benchmark_group(name);
    group.sampling_mode(SamplingMode::Flat).measurement_time(time);
    for side in [Side::Subject, Side::Floor] {
        group.bench_function(if side == Side::Subject { "subject" } else { floor }, |bencher| {
            bencher.iter_custom(|count| {
                let mut total = Duration::ZERO;
                for _ in 0..count {
                    let both = pair();
                    pairs.push(both);
                    total += if side == Side::Subject { both.0 } else { both.1 };
                }
                // Criterion takes no benchmark that takes no time: a limit may be hit to the nanosecond.
                total.max(Duration::from_nanos(1))
            });
        });
    }
    group.finish();
    Row::new(name, floor, goal, &pairs)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Subject,
    Floor,
}
