//! What a run shows: a live line for people, lines now and then where there is no terminal, JSON for programs.

use std::collections::VecDeque;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::campaign::Reason;
use super::engine::Plan;
use super::shared::{Core, Event, Shared};
use super::stats::rate;
use crate::report::{self, paint};

/// How often there is a line where there is no terminal, and in JSON.
const PERIOD: Duration = Duration::from_secs(10);
/// What the rate is measured over.
const SPAN: Duration = Duration::from_secs(3);

pub(super) struct Screen {
    kind: Kind,
    root: PathBuf,
    target: String,
    cores: usize,
    seed: u64,
    next: Duration,
    /// Executions by time, of the last [`SPAN`].
    recent: VecDeque<(Duration, u64)>,
    /// What was found in this run.
    crashes: Vec<(String, PathBuf)>,
}

enum Kind {
    Live(ProgressBar),
    Plain,
    Json,
}

impl Screen {
    pub(super) fn new(json: bool, plan: &Plan) -> Self {
        let kind = match (json, std::io::stderr().is_terminal()) {
            (true, _) => Kind::Json,
            (false, false) => Kind::Plain,
            (false, true) => {
                let bar = ProgressBar::new_spinner();
                bar.set_style(
                    ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
                );
                Kind::Live(bar)
            }
        };
        let (root, target, cores) = (plan.root.clone(), plan.target.name(), plan.cores);
        let (recent, crashes) = (VecDeque::new(), Vec::new());
        Self { kind, root, target, cores, seed: plan.seed, next: PERIOD, recent, crashes }
    }

    /// The first harness is there.
    pub(super) fn begin(&self, edges: usize) {
        if let Kind::Json = self.kind {
            let (out, target) = (self.root.to_string_lossy(), &self.target);
            print(
                &json!({"event": "begin", "target": target, "edges": edges, "cores": self.cores, "seed": self.seed, "out": out}),
            );
        }
        if edges == 0 {
            self.say(&format!(
                "{} has no counters of edges: inputs are tried blindly, and nothing is learned from them. Compile it with \
                 sdk/c/fuzz/coverage.flags, as docs/fuzzing-targets.md says",
                self.target
            ));
        }
    }

    /// Something was found.
    pub(super) fn event(&mut self, event: &Event) {
        let (text, value) = match event {
            Event::Crash { key, path } => {
                self.crashes.push((key.clone(), path.clone()));
                let text = format!("{} {key}\n  {}", paint(report::RED, "crash:"), path.display());
                (text, json!({"event": "crash", "key": key, "path": path.to_string_lossy()}))
            }
            Event::Hang { is_memory, path } => {
                let kind = if *is_memory { "out of memory" } else { "hang" };
                let text = format!("{kind}: {}", path.display());
                (
                    text,
                    json!({"event": "hang", "kind": if *is_memory { "memory" } else { "time" }, "path": path.to_string_lossy()}),
                )
            }
            Event::Ready { .. } | Event::Ended(_) => return,
        };
        match &self.kind {
            Kind::Live(bar) => bar.suspend(|| eprintln!("{text}")),
            Kind::Plain => eprintln!("{text}"),
            Kind::Json => print(&value),
        }
    }

    /// The figures, if it is time to show them.
    pub(super) fn frame(&mut self, shared: &Shared, time: Duration, edges: usize) {
        let executions = shared.sum(|core| &core.executions);
        let is_newer = self.recent.back().is_none_or(|(last, _)| time.saturating_sub(*last) >= SPAN / 12);
        if is_newer {
            self.recent.push_back((time, executions));
        }
        while self.recent.front().is_some_and(|(first, _)| time.saturating_sub(*first) > SPAN) {
            self.recent.pop_front();
        }
        let (since, before) = self.recent.front().copied().unwrap_or_default();
        let rate = rate(executions.saturating_sub(before), time.saturating_sub(since));
        if let Kind::Live(bar) = &self.kind {
            bar.set_message(line(shared, time, edges, rate));
            bar.tick();
            return;
        }
        if time < self.next {
            return;
        }
        self.next = time + PERIOD;
        if let Kind::Json = self.kind {
            print(&figures("stats", shared, time, edges));
        } else {
            eprintln!("{}", line(shared, time, edges, rate));
        }
    }

    /// Takes the live line away.
    pub(super) fn clear(&self) {
        if let Kind::Live(bar) = &self.kind {
            bar.finish_and_clear();
        }
    }

    /// What has come of it.
    pub(super) fn end(&self, shared: &Shared, time: Duration, edges: usize, reason: Reason) {
        self.clear();
        let why = match reason {
            Reason::Time => "time",
            Reason::Executions => "executions",
            Reason::Interrupted => "interrupted",
            Reason::Crashed => "crash",
        };
        if let Kind::Json = self.kind {
            let mut end = figures("end", shared, time, edges);
            let found: Vec<_> =
                self.crashes.iter().map(|(key, path)| json!({"key": key, "path": path.to_string_lossy()})).collect();
            if let Value::Object(fields) = &mut end {
                fields.insert("reason".to_owned(), json!(why));
                fields.insert("new_crashes".to_owned(), json!(found));
            }
            print(&end);
            return;
        }
        let executions = shared.sum(|core| &core.executions);
        let [corpus, crashes, hangs] = totals(shared);
        let mut text = String::new();
        let mut row = |name: &str, value: String| text.push_str(&format!("  {name:<14}{value}\n"));
        row("run time", clock(time));
        row("executions", format!("{executions}, {:.0} in a second", rate(executions, time)));
        row("edges", format!("{} of {edges}", shared.edges()));
        row("corpus", corpus.to_string());
        row("crashes", crashes.to_string());
        for (key, path) in &self.crashes {
            row("", format!("{key}\n{:16}  {}", "", path.display()));
        }
        row("hangs", hangs.to_string());
        row("stability", format!("{:.2} %", 100.0 * shared.stability()));
        row("written to", self.root.display().to_string());
        let _ = std::io::stdout().write_all(text.as_bytes());
    }

    fn say(&self, text: &str) {
        match &self.kind {
            Kind::Live(bar) => bar.suspend(|| report::note(text)),
            Kind::Plain | Kind::Json => report::note(text),
        }
    }
}

/// The live line.
fn line(shared: &Shared, time: Duration, edges: usize, rate: f64) -> String {
    let [corpus, crashes, hangs] = totals(shared);
    let crashes = match crashes {
        0 => "crashes 0".to_owned(),
        count => paint(report::RED, &format!("crashes {count}")),
    };
    format!(
        "{}  {rate:.0} execs/s  edges {}/{edges}  corpus {corpus}  {crashes}  hangs {hangs}  stable {:.0} %",
        clock(time),
        shared.edges(),
        100.0 * shared.stability()
    )
}

/// The figures for programs.
fn figures(event: &str, shared: &Shared, time: Duration, edges: usize) -> Value {
    let executions = shared.sum(|core| &core.executions);
    let [corpus, crashes, hangs] = totals(shared);
    json!({
        "event": event,
        "time_ms": u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        "executions": executions,
        "executions_per_second": rate(executions, time),
        "edges": shared.edges(),
        "total_edges": edges,
        "corpus": corpus,
        "favored": shared.sum(|core| &core.favored),
        "pending": shared.sum(|core| &core.pending),
        "cycles": shared.cores.iter().map(|core| core.cycles.load(Relaxed)).min(),
        "crashes": crashes,
        "hangs": hangs,
        "stability": shared.stability(),
    })
}

fn totals(shared: &Shared) -> [u64; 3] {
    let of: [fn(&Core) -> &AtomicU64; 3] = [|core| &core.corpus, |core| &core.crashes, |core| &core.hangs];
    of.map(|of| shared.sum(of))
}

/// A line of JSON; whoever has gone does not read it.
fn print(value: &Value) {
    let _ = writeln!(std::io::stdout(), "{value}");
}

/// `1:02:03`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_a_clock_does() {
        for (seconds, text) in [(0, "0:00:00"), (59, "0:00:59"), (3723, "1:02:03"), (360_000, "100:00:00")] {
            assert_eq!(clock(Duration::from_secs(seconds)), text);
        }
    }
}
