//! Pairs as rows, rows as a table, as JSON and as a verdict.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

/// What may be between a subject and its floor, and what of it is forgiven when the goal is checked on a machine with other things to do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// Subject ÷ floor.
    Ratio { most: f64, margin: f64 },
    /// Subject − floor.
    Difference { most: Duration, margin: Duration },
    /// Nothing: somebody else's way, to compare with.
    None,
}

/// One subject with all its pairs summed up.
#[derive(Debug)]
pub(crate) struct Row {
    name: &'static str,
    floor: &'static str,
    goal: Goal,
    pairs: usize,
    subject: Summary,
    below: Summary,
}

/// One side of the pairs, in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Summary {
    median: f64,
    /// A quarter of the measurements are below: what noise that comes and goes leaves alone.
    quartile: f64,
    least: f64,
}

impl Row {
    /// None without pairs.
    pub(crate) fn new(
        name: &'static str,
        floor: &'static str,
        goal: Goal,
        pairs: &[(Duration, Duration)],
    ) -> Option<Self> {
        let subject = Summary::new(pairs.iter().map(|pair| pair.0))?;
        let below = Summary::new(pairs.iter().map(|pair| pair.1))?;
        Some(Self { name, floor, goal, pairs: pairs.len(), subject, below })
    }

    /// Whether the medians meet the goal.
    fn is_met(&self) -> bool {
        self.is_within(self.subject.median, self.below.median, 0.0)
    }

    /// Whether the medians or the lower quartiles miss the goal by no more than its margin: what a check insists on.
    pub(crate) fn is_met_within_noise(&self) -> bool {
        self.is_within(self.subject.median, self.below.median, 1.0)
            || self.is_within(self.subject.quartile, self.below.quartile, 1.0)
    }

    fn is_within(&self, subject: f64, below: f64, margins: f64) -> bool {
        match self.goal {
            Goal::Ratio { most, margin } => subject / below <= most + margins * margin,
            Goal::Difference { most, margin } => subject - below <= nanoseconds(most) + margins * nanoseconds(margin),
            Goal::None => true,
        }
    }

    /// Of medians, lower quartiles and minima, as people read them.
    fn compared(&self) -> [String; 3] {
        let Self { subject, below, .. } = self;
        [(subject.median, below.median), (subject.quartile, below.quartile), (subject.least, below.least)].map(
            |(subject, below)| match self.goal {
                Goal::Ratio { .. } | Goal::None => format!("{:.3}", subject / below),
                Goal::Difference { .. } => format!("{:+.1} µs", (subject - below) / 1e3),
            },
        )
    }
}

impl Summary {
    fn new(values: impl Iterator<Item = Duration>) -> Option<Self> {
        let mut values: Vec<Duration> = values.collect();
        values.sort_unstable();
        let at = |index: usize| values.get(index).copied().map(nanoseconds);
        Some(Self { median: at(values.len() / 2)?, quartile: at(values.len() / 4)?, least: at(0)? })
    }
}

fn nanoseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e9
}

/// With as many digits as mean something: a crossing between two cores takes a fraction of one.
fn microseconds(nanoseconds: f64) -> String {
    let digits = if nanoseconds < 10_000.0 { 3 } else { 1 };
    format!("{:.digits$}", nanoseconds / 1e3)
}

/// Prints the table.
pub(crate) fn print(rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    let sides = "median / least";
    println!("\n{:<25}{:<26}{:>24}{:>24}  subject against floor", "", "", "subject", "floor");
    println!(
        "{:<25}{:<26}{sides:>24}{sides:>24}{:>11}{:>11}{:>11}{:>10}{:>7}",
        "subject", "floor", "medians", "quartiles", "minima", "goal", "pairs"
    );
    for row in rows {
        let side = |side: Summary| format!("{} / {} µs", microseconds(side.median), microseconds(side.least));
        let goal = match row.goal {
            Goal::Ratio { most, .. } => format!("≤ {most:.2}"),
            Goal::Difference { most, .. } => format!("≤ +{} µs", most.as_micros()),
            Goal::None => String::new(),
        };
        let missed = match (row.is_met(), row.is_met_within_noise()) {
            (true, _) => "",
            (false, true) => "  missed, within noise",
            (false, false) => "  MISSED",
        };
        let [medians, quartiles, minima] = row.compared();
        println!(
            "{:<25}{:<26}{:>24}{:>24}{medians:>11}{quartiles:>11}{minima:>11}{goal:>10}{:>7}{missed}",
            row.name,
            row.floor,
            side(row.subject),
            side(row.below),
            row.pairs
        );
    }
}

/// Writes the table where `AMPOULE_BENCH_JSON` says.
pub(crate) fn write_json(rows: &[Row]) -> io::Result<()> {
    let Some(path) = std::env::var_os("AMPOULE_BENCH_JSON") else {
        return Ok(());
    };
    let text = format!("{:#}\n", Value::from(rows.iter().map(value).collect::<Vec<_>>()));
    if path == "-" { io::stdout().write_all(text.as_bytes()) } else { std::fs::write(path, text) }
}

fn value(row: &Row) -> Value {
    let side =
        |side: Summary| json!({ "median_ns": side.median, "quartile_ns": side.quartile, "least_ns": side.least });
    let Row { subject, below, .. } = row;
    let (kind, compared, goal, margin) = match row.goal {
        Goal::Ratio { most, margin } => ("ratio", subject.median / below.median, Some(most), Some(margin)),
        Goal::Difference { most, margin } => {
            ("difference_ns", subject.median - below.median, Some(nanoseconds(most)), Some(nanoseconds(margin)))
        }
        Goal::None => ("ratio", subject.median / below.median, None, None),
    };
    json!({
        "subject": row.name, "floor": row.floor, "pairs": row.pairs, "subject_time": side(*subject), "floor_time": side(*below),
        "kind": kind, "medians": compared, "goal": goal, "margin": margin,
        "met": row.is_met(), "met_within_noise": row.is_met_within_noise(),
    })
}

/// Whether `AMPOULE_BENCH_CHECK` asks for a verdict.
pub(crate) fn is_check() -> bool {
    std::env::var_os("AMPOULE_BENCH_CHECK").is_some_and(|it| !it.is_empty() && it != "0")
}

/// Failure if a verdict is asked for and a row misses its goal by more than noise.
pub(crate) fn verdict(rows: &[Row]) -> ExitCode {
    let missed: Vec<_> = rows.iter().filter(|row| !row.is_met_within_noise()).map(|row| row.name).collect();
    if missed.is_empty() || !is_check() {
        return ExitCode::SUCCESS;
    }
    eprintln!("missed by more than noise: {}", missed.join(", "));
    ExitCode::FAILURE
}
