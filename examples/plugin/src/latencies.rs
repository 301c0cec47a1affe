//! What calls cost: every call is timed, from the host's side, arguments and result included.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

/// The ways in which a plugin is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Typed,
    Bytes,
    WithHostFunction,
    LiveTyped,
    LiveBytes,
    LiveWithHostFunction,
}

impl Kind {
    const ALL: [(Self, &str); 6] = [
        (Self::Typed, "hypercall, typed"),
        (Self::Bytes, "hypercall, bytes"),
        (Self::WithHostFunction, "hypercall, typed, one host function inside"),
        (Self::LiveTyped, "live, typed"),
        (Self::LiveBytes, "live, bytes"),
        (Self::LiveWithHostFunction, "live, typed, one host function inside"),
    ];
}

/// The calls that were made.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<(Kind, Duration)>);

impl Latencies {
    /// Makes a call and remembers how long it took.
    pub(crate) fn time<R>(&mut self, kind: Kind, call: impl FnOnce() -> R) -> R {
        let begun = Instant::now();
        let result = call();
        self.0.push((kind, begun.elapsed()));
        result
    }

    /// The table.
    pub(crate) fn table(&self) -> Table {
        let rows = Kind::ALL.into_iter().filter_map(|(kind, name)| {
            let mut times: Vec<_> =
                self.0.iter().filter(|call| call.0 == kind).map(|call| nanoseconds(call.1)).collect();
            times.sort_unstable();
            Some(Row {
                call: name,
                count: times.len(),
                median_ns: percentile(&times, 50)?,
                p99_ns: percentile(&times, 99)?,
                max_ns: *times.last()?,
            })
        });
        Table(rows.collect())
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The smallest time that so many percent of the calls did not exceed (nearest rank); none without calls.
fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

/// The times of each kind of call.
#[derive(Debug, Serialize)]
pub(crate) struct Table(Vec<Row>);

#[derive(Debug, Serialize)]
struct Row {
    call: &'static str,
    count: usize,
    median_ns: u64,
    p99_ns: u64,
    max_ns: u64,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:44}{:>8}{:>12}{:>12}{:>12}", "call", "count", "median", "p99", "max")?;
        for Row { call, count, median_ns, p99_ns, max_ns } in &self.0 {
            let [median, p99, max] = [median_ns, p99_ns, max_ns].map(|&time| human(time));
            writeln!(f, "{call:44}{count:>8}{median:>12}{p99:>12}{max:>12}")?;
        }
        Ok(())
    }
}

fn human(nanoseconds: u64) -> String {
    let seconds = Duration::from_nanos(nanoseconds).as_secs_f64();
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{:.1} µs", seconds * 1e6),
        1_000_000..1_000_000_000 => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times: Vec<u64> = (1..=200).collect();
        assert_eq!((percentile(&times, 50), percentile(&times, 99)), (Some(100), Some(198)));
        assert_eq!((percentile(&[7], 50), percentile(&[7], 99), percentile(&[], 50)), (Some(7), Some(7), None));
    }

    #[test]
    fn a_kind_that_was_not_called_has_no_row() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.time(Kind::Typed, || 7), 7);
        let Table(rows) = latencies.table();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].call, rows[0].count), ("hypercall, typed", 1));
    }
}
