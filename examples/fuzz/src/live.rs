//! A line on stderr, if that is a terminal, while a campaign runs.

use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::campaign::Progress;

/// The line.
#[derive(Debug)]
pub struct Live {
    bar: ProgressBar,
    began: Instant,
}

impl Live {
    /// A line that draws nothing where stderr is no terminal.
    #[must_use]
    pub fn start() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>4} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, began: Instant::now() }
    }

    /// Shows how far it is.
    pub fn show(&self, now: &Progress) {
        let Progress { executions, edges, all_edges, corpus, bugs } = *now;
        let rate = HumanCount(per_second(executions, self.began.elapsed()));
        let executions = HumanCount(executions);
        self.bar.set_message(format!(
            "{executions} executions, {rate}/s, {edges} of {all_edges} edges, {corpus} in the corpus, {bugs} found"
        ));
    }

    /// Takes the line away, and says how long it was there.
    #[must_use]
    pub fn finish(self) -> Duration {
        self.bar.finish_and_clear();
        self.began.elapsed()
    }
}

/// A rate.
#[must_use]
pub fn per_second(count: u64, time: Duration) -> u64 {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
    count.saturating_mul(1_000_000) / micros
}
