//! `fuzzer_stats` and `plot_data`, as AFL writes them: afl-whatsup reads the first, and the second has the columns that afl-plot draws.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::shared::{Core, float};

/// The names of the files.
pub(super) const STATS: &str = "fuzzer_stats";
const PLOT: &str = "plot_data";

const PLOT_HEADER: &str = "# relative_time, cycles_done, cur_item, corpus_count, pending_total, pending_favs, map_size, saved_crashes, \
saved_hangs, max_depth, execs_per_sec, total_execs, edges_found";

/// What earlier runs came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Earlier {
    pub(super) run_time: Duration,
    pub(super) executions: u64,
}

impl Earlier {
    /// What the file says; nothing, if it is not there or says nothing.
    pub(super) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let number = |name: &str| -> u64 {
            let of = |line: &str| {
                line.split_once(':').filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
            };
            text.lines().find_map(of).and_then(|value| value.parse().ok()).unwrap_or(0)
        };
        // A thousand years are long enough, and can be added to.
        let run_time = Duration::from_secs(number("run_time").min(u64::from(u32::MAX) * 8));
        Self { run_time, executions: number("execs_done").min(u64::MAX / 2) }
    }
}

/// Writes the files of one core.
#[derive(Debug)]
pub(super) struct Writer {
    directory: PathBuf,
    began: SystemTime,
    earlier: Earlier,
    plot: File,
    /// Executions and time when the rate was last told.
    last: (u64, Duration),
}

/// What does not change in a run.
#[derive(Debug)]
pub(super) struct Fixed<'a> {
    pub(super) edges: usize,
    pub(super) timeout: Duration,
    pub(super) banner: &'a str,
    pub(super) command: &'a str,
}

impl Writer {
    pub(super) fn new(directory: &Path) -> io::Result<Self> {
        let earlier = Earlier::read(&directory.join(STATS));
        let path = directory.join(PLOT);
        let is_new = !path.exists();
        let mut plot = OpenOptions::new().create(true).append(true).open(path)?;
        if is_new {
            writeln!(plot, "{PLOT_HEADER}")?;
        }
        let began = SystemTime::now();
        Ok(Self { directory: directory.to_owned(), began, earlier, plot, last: (0, Duration::ZERO) })
    }

    /// Writes what has come of `core` in `time`.
    pub(super) fn write(&mut self, core: &Core, time: Duration, fixed: &Fixed<'_>) -> io::Result<()> {
        let of = |figure: &AtomicU64| figure.load(Relaxed);
        let Earlier { run_time: earlier_time, executions: earlier_executions } = self.earlier;
        let executions = of(&core.executions);
        let (last, last_time) = std::mem::replace(&mut self.last, (executions, time));
        let since = rate(executions.saturating_sub(last), time.saturating_sub(last_time));
        let share = 100.0 * ratio(of(&core.edges), u64::try_from(fixed.edges).unwrap_or(u64::MAX));
        // A time of the run as one of the calendar.
        let date = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let calendar = |millis: u64| match millis {
            0 => 0,
            millis => {
                date((self.began + Duration::from_millis(millis)).checked_sub(earlier_time).unwrap_or(self.began))
            }
        };
        let mut text = String::new();
        let mut row = |key: &str, value: &dyn std::fmt::Display| {
            let _ = writeln!(text, "{key:<18}: {value}");
        };
        row("start_time", &date(self.began));
        row("last_update", &date(SystemTime::now()));
        row("run_time", &(earlier_time + time).as_secs());
        row("fuzzer_pid", &std::process::id());
        row("cycles_done", &of(&core.cycles));
        row("execs_done", &earlier_executions.saturating_add(executions));
        row("execs_per_sec", &format_args!("{:.2}", rate(executions, time)));
        row("execs_ps_last_min", &format_args!("{since:.2}"));
        row("corpus_count", &of(&core.corpus));
        row("corpus_favored", &of(&core.favored));
        row("corpus_imported", &of(&core.imported));
        row("max_depth", &of(&core.depth));
        row("cur_item", &of(&core.current));
        row("pending_favs", &of(&core.pending_favored));
        row("pending_total", &of(&core.pending));
        row("stability", &format_args!("{:.2}%", 100.0 * core.stability()));
        row("bitmap_cvg", &format_args!("{share:.2}%"));
        row("saved_crashes", &of(&core.crashes));
        row("saved_hangs", &of(&core.hangs));
        row("total_tmout", &of(&core.hung));
        row("last_find", &calendar(of(&core.last_find)));
        row("last_crash", &calendar(of(&core.last_crash)));
        row("last_hang", &calendar(of(&core.last_hang)));
        row("exec_timeout", &fixed.timeout.as_millis());
        row("edges_found", &of(&core.edges));
        row("total_edges", &fixed.edges);
        row("var_byte_count", &of(&core.unstable_edges));
        row("afl_banner", &fixed.banner);
        row("afl_version", &concat!("ampoule-", env!("CARGO_PKG_VERSION")));
        row("target_mode", &if fixed.edges == 0 { "ampoule, no coverage" } else { "ampoule" });
        row("command_line", &fixed.command);
        // Whoever reads it sees the old one or the new one.
        let written = self.directory.join(format!(".{STATS}.new"));
        std::fs::write(&written, text)?;
        std::fs::rename(written, self.directory.join(STATS))?;
        writeln!(
            self.plot,
            "{}, {}, {}, {}, {}, {}, {share:.2}%, {}, {}, {}, {since:.2}, {}, {}",
            (earlier_time + time).as_secs(),
            of(&core.cycles),
            of(&core.current),
            of(&core.corpus),
            of(&core.pending),
            of(&core.pending_favored),
            of(&core.crashes),
            of(&core.hangs),
            of(&core.depth),
            earlier_executions.saturating_add(executions),
            of(&core.edges),
        )
    }
}

/// So many in a second.
pub(super) fn rate(count: u64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { float(count) / seconds } else { 0.0 }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { float(part) / float(whole) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_gone_on_with() {
        let directory = tempfile::tempdir().unwrap();
        let fixed = Fixed { edges: 8, timeout: Duration::from_millis(100), banner: "parser", command: "ampoule fuzz" };
        let core = Core::default();
        core.executions.store(1000, Relaxed);
        core.edges.store(2, Relaxed);
        for run in 1..=2 {
            let mut writer = Writer::new(directory.path()).unwrap();
            writer.write(&core, Duration::from_secs(10), &fixed).unwrap();
            let earlier = Earlier::read(&directory.path().join(STATS));
            assert_eq!(earlier, Earlier { run_time: Duration::from_secs(10 * run), executions: 1000 * run });
        }
        let text = std::fs::read_to_string(directory.path().join(STATS)).unwrap();
        for line in [
            "bitmap_cvg        : 25.00%",
            "execs_per_sec     : 100.00",
            "last_crash        : 0",
            "stability         : 100.00%",
        ] {
            assert!(text.lines().any(|of| of == line), "{line} in {text}");
        }
        let plot = std::fs::read_to_string(directory.path().join(PLOT)).unwrap();
        let [header, first, second] = plot.lines().collect::<Vec<_>>().try_into().unwrap();
        for line in [first, second] {
            assert_eq!(line.split(", ").count(), header.split(", ").count(), "{line}");
        }
    }

    #[test]
    fn a_file_that_says_nonsense_says_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(STATS);
        std::fs::write(&path, format!("run_time: {}\nexecs_done: many\nnonsense", u64::MAX)).unwrap();
        let earlier = Earlier::read(&path);
        assert_eq!(earlier.executions, 0);
        assert!(earlier.run_time.checked_add(Duration::from_secs(1)).is_some());
    }
}
