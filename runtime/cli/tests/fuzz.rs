//! `ampoule fuzz` from outside: what it finds, what it writes, what it prints and how it ends. Bounds are executions, never times.

#![cfg(feature = "fuzz")]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "all of this is tests")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// An input that the parser aborts on.
const CRASH: &[u8] = b"AMPL\x01s\x04FUZZ";

/// A directory with a target in it.
struct Bench {
    directory: TempDir,
    target: PathBuf,
}

impl Bench {
    /// A target of `tests/guests/fuzz`.
    fn new(name: &str, variant: &str) -> Self {
        let guest = ampoule_tests::variants_of(name).find(|guest| guest.variant == variant).expect("a variant");
        let directory = tempfile::tempdir().expect("a directory");
        let target = directory.path().join(name);
        std::fs::write(&target, guest.image()).expect("a file");
        Self { directory, target }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A directory of inputs.
    fn corpus(&self, inputs: &[&[u8]]) -> PathBuf {
        let corpus = self.path("corpus");
        std::fs::create_dir_all(&corpus).expect("a directory");
        for (number, input) in inputs.iter().enumerate() {
            std::fs::write(corpus.join(format!("{number:03}")), input).expect("a file");
        }
        corpus
    }

    /// `ampoule fuzz` in this directory. Hangs are found by a limit that a busy machine does not reach.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ampoule"));
        command.current_dir(self.directory.path()).arg("fuzz").args(arguments).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the command")
    }

    /// Fuzzes the target into `out`.
    fn fuzz(&self, arguments: &[&str]) -> Output {
        let target = self.target.to_str().expect("a name");
        self.run(&[&[target, "--timeout", "5s"], arguments].concat())
    }

    /// The names of the files there, in their order.
    fn names(&self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The inputs there, in the order of their numbers.
    fn inputs(&self, path: &str) -> Vec<Vec<u8>> {
        let names = self.names(path).into_iter().filter(|name| name.starts_with("id:") && !name.ends_with(".txt"));
        names.map(|name| std::fs::read(self.path(path).join(name)).expect("a file")).collect()
    }

    /// A value of `fuzzer_stats`.
    fn stat(&self, instance: &str, key: &str) -> String {
        let text = std::fs::read_to_string(self.path(instance).join("fuzzer_stats")).expect("fuzzer_stats");
        let of =
            |line: &str| line.split_once(':').filter(|(name, _)| name.trim() == key).map(|(_, value)| value.to_owned());
        text.lines().find_map(of).unwrap_or_else(|| panic!("no {key} in {text}")).trim().to_owned()
    }
}

fn told(output: &Output) -> String {
    format!("{}\n{}{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", told(output));
}

fn json_lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

#[test]
fn a_planted_bug_is_found_from_an_empty_corpus_and_written_as_afl_does() {
    let bench = Bench::new("parser", "coverage");
    let empty = bench.corpus(&[]);
    let corpus = empty.to_str().expect("a name");
    let output = bench.fuzz(&["-i", corpus, "--seed", "4", "--until-crash", "--executions", "1000000"]);
    assert_code(&output, 1);

    let crashes = bench.names("out/default/crashes");
    let [readme, crash, report] = <[String; 3]>::try_from(crashes).unwrap_or_else(|names| panic!("{names:?}"));
    assert_eq!((readme.as_str(), report), ("README.txt", format!("{crash}.report.txt")));
    assert!(crash.starts_with("id:000000,src:0") && crash.contains(",execs:") && crash.contains(",op:"), "{crash}");
    assert!(bench.inputs("out/default/crashes")[0].windows(4).any(|bytes| bytes == b"FUZZ"));
    let text = std::fs::read_to_string(bench.path("out/default/crashes").join(report_of(&crash))).expect("a report");
    assert!(text.contains("SIGABRT") && text.contains("parse_name"), "{text}");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains(&format!("out/default/crashes/{crash}")), "{printed}");

    let queue = bench.names("out/default/queue");
    assert!(queue[0].starts_with("id:000000,time:") && queue[0].ends_with(",execs:1,orig:empty"), "{queue:?}");
    for (number, name) in queue.iter().enumerate() {
        assert!(name.starts_with(&format!("id:{number:06},")), "{queue:?}");
    }
    assert!(queue.iter().any(|name| name.contains(",src:000") && name.ends_with(",op:i2s")), "{queue:?}");
    assert!(bench.names("out/default/hangs").is_empty());

    assert_eq!(bench.stat("out/default", "saved_crashes"), "1");
    assert_eq!(bench.stat("out/default", "corpus_count"), queue.len().to_string());
    assert_eq!(bench.stat("out/default", "stability"), "100.00%");
    for key in [
        "start_time",
        "last_update",
        "run_time",
        "fuzzer_pid",
        "cycles_done",
        "execs_per_sec",
        "corpus_favored",
        "saved_hangs",
        "bitmap_cvg",
        "exec_timeout",
        "afl_banner",
        "afl_version",
        "command_line",
        "pending_favs",
        "pending_total",
        "cur_item",
        "max_depth",
        "last_find",
        "last_crash",
        "last_hang",
        "edges_found",
        "total_edges",
    ] {
        assert!(!bench.stat("out/default", key).is_empty(), "{key}");
    }
    let plot = std::fs::read_to_string(bench.path("out/default/plot_data")).expect("plot_data");
    assert!(plot.starts_with("# relative_time, cycles_done,") && plot.lines().count() >= 2, "{plot}");
}

fn report_of(crash: &str) -> String {
    format!("{crash}.report.txt")
}

#[test]
fn the_same_seed_finds_the_same_inputs_in_the_same_order() {
    let bench = Bench::new("parser", "coverage");
    for out in ["one", "two"] {
        assert_code(&bench.fuzz(&["-o", out, "--seed", "3", "--executions", "5000"]), 0);
    }
    assert_code(&bench.fuzz(&["-o", "other", "--seed", "4", "--executions", "5000"]), 0);
    let [one, two, other] = ["one", "two", "other"].map(|out| bench.inputs(&format!("{out}/default/queue")));
    assert!(one.len() > 3, "{one:?}");
    assert_eq!(one, two);
    assert_ne!(one, other);
    assert_eq!(bench.stat("one/default", "execs_done"), "5000");
}

#[test]
fn inputs_that_crash_when_they_are_imported_are_crashes_and_one_for_each_bug() {
    let bench = Bench::new("parser", "coverage");
    let again = [CRASH, b"#\x00"].concat();
    bench.corpus(&[CRASH, b"AMPL\x01n\x0212", &again]);
    assert_code(&bench.fuzz(&["-i", "corpus", "--executions", "10"]), 1);
    assert_eq!(bench.inputs("out/default/crashes"), [CRASH]);
    let crashes = bench.names("out/default/crashes");
    assert!(crashes.iter().any(|name| name.ends_with(",orig:000")), "{crashes:?}");
    assert!(!bench.inputs("out/default/queue").contains(&CRASH.to_vec()));
}

#[test]
fn a_corpus_of_nothing_but_crashes_is_fuzzed_all_the_same() {
    let bench = Bench::new("parser", "coverage");
    bench.corpus(&[CRASH]);
    assert_code(&bench.fuzz(&["-i", "corpus", "--executions", "200"]), 1);
    assert_eq!(bench.stat("out/default", "execs_done"), "200");
}

#[test]
fn an_earlier_run_is_gone_on_with() {
    let bench = Bench::new("parser", "coverage");
    bench.corpus(&[CRASH, b"AMPL\x01n\x0212"]);
    assert_code(&bench.fuzz(&["-i", "-", "--executions", "10"]), 125);
    assert_code(&bench.fuzz(&["-i", "corpus", "--executions", "2000"]), 1);
    let before = bench.names("out/default/queue");
    assert_code(&bench.fuzz(&["-i", "-", "--executions", "2000"]), 1);
    assert_code(&bench.fuzz(&["-i", "corpus", "--executions", "2000"]), 1);
    let after = bench.names("out/default/queue");
    assert_eq!(after[..before.len()], before, "what was there is as it was");
    let plain: Vec<_> = after.iter().map(|name| name.split(',').next().expect("a number")).collect();
    assert!(plain.iter().enumerate().all(|(number, id)| *id == format!("id:{number:06}")), "{after:?}");
    assert_eq!(bench.inputs("out/default/crashes").len(), 1, "the same bug is no new one");
    assert_eq!(bench.stat("out/default", "execs_done"), "6000");
    assert_eq!(bench.stat("out/default", "saved_crashes"), "1");
    let plot = std::fs::read_to_string(bench.path("out/default/plot_data")).expect("plot_data");
    assert_eq!(plot.lines().filter(|line| line.starts_with('#')).count(), 1);
}

#[test]
fn two_cores_share_what_they_find_and_what_one_had_found() {
    let bench = Bench::new("parser", "coverage");
    bench.corpus(&[b"AMPL\x01n\x0212", CRASH]);
    assert_code(&bench.fuzz(&["-i", "corpus", "--executions", "10"]), 1);
    assert_code(&bench.fuzz(&["--cores", "2", "--max-len", "64", "--executions", "30000"]), 1);
    let mut synced = String::new();
    for core in ["core0", "core1"] {
        let queue = bench.names(&format!("out/{core}/queue"));
        assert!(queue.iter().any(|name| name.contains(",sync:default,src:000000,")), "{queue:?}");
        assert_eq!(bench.stat(&format!("out/{core}"), "execs_done"), "15000");
        synced += &queue.join("\n");
    }
    assert!(synced.contains(",sync:core0,") || synced.contains(",sync:core1,"), "{synced}");
    // A bug is kept once, whichever core is first.
    let found = ["core0", "core1"].map(|core| bench.inputs(&format!("out/{core}/crashes")).len());
    assert!(found.iter().sum::<usize>() <= 1, "{found:?}");
}

#[test]
fn what_is_found_is_replayed_the_same_a_hundred_times_of_a_hundred() {
    let bench = Bench::new("parser", "coverage");
    let corpus = bench.corpus(&[CRASH, b"AMPL\x01n\x0212"]);
    let (target, corpus) = (bench.target.to_str().expect("a name"), corpus.to_str().expect("a name"));
    let output = bench.run(&["replay", "--timeout", "5s", "--times", "100", target, corpus]);
    assert_code(&output, 1);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text.matches("\n100 of 100 the same\n").count(), 2, "{text}");
    assert!(text.contains("/000: crash: ") && text.contains("parse_name") && text.contains("/001: ok\n"), "{text}");

    let output = bench.run(&["replay", "--json", target, corpus]);
    assert_code(&output, 1);
    let [crash, well] = <[Value; 2]>::try_from(json_lines(&output)).expect("two lines");
    assert_eq!((&crash["verdict"], &crash["crash"]["signal"]["name"]), (&"crash".into(), &"SIGABRT".into()), "{crash}");
    assert_eq!((&crash["same"], &crash["times"]), (&1.into(), &1.into()));
    assert!(crash["crash"]["key"].as_str().expect("a key").contains("parse_name"), "{crash}");
    assert_eq!((&well["verdict"], &well["crash"]), (&"ok".into(), &Value::Null));

    assert_code(&bench.run(&["replay", target, &format!("{corpus}/001")]), 0);
    assert_code(&bench.run(&["replay", target]), 125);
    assert_code(&bench.run(&["replay", target, "absent"]), 125);
}

#[test]
fn a_program_that_reads_stdin_is_a_target() {
    let bench = Bench::new("plain_stdin", "coverage");
    bench.corpus(&[CRASH, b"AMPL\x01n\x0212"]);
    assert_code(&bench.fuzz(&["-i", "corpus", "--executions", "100"]), 1);
    assert_eq!(bench.inputs("out/default/crashes"), [CRASH]);
}

#[test]
fn a_program_that_reads_a_file_is_a_target_by_its_name_or_as_with_afl() {
    let bench = Bench::new("plain_file", "coverage");
    bench.corpus(&[CRASH, b"AMPL\x01n\x0212"]);
    let target = bench.target.to_str().expect("a name");
    let options = ["--timeout", "5s", "-i", "corpus", "--executions", "100"];
    let forms: [&[&str]; 3] = [
        &[target, "-o", "a", "--", "@@"],
        &[target, "-o", "b", "--file", "in.bin", "--", "in.bin"],
        &["-o", "c", "--", target, "@@"],
    ];
    for (form, out) in forms.into_iter().zip(["a", "b", "c"]) {
        let output = bench.run(&[&options[..], form].concat());
        assert_code(&output, 1);
        assert_eq!(bench.inputs(&format!("{out}/default/crashes")), [CRASH], "{}", told(&output));
    }
}

#[test]
fn without_counters_it_is_said_and_inputs_are_tried_blindly() {
    let bench = Bench::new("parser", "plain");
    let output = bench.fuzz(&["--executions", "300"]);
    assert_code(&output, 0);
    assert!(String::from_utf8_lossy(&output.stderr).contains("has no counters of edges"), "{}", told(&output));
    assert_eq!(bench.stat("out/default", "execs_done"), "300");
    assert_eq!(bench.inputs("out/default/queue").len(), 3, "what it starts from");
    bench.corpus(&[CRASH]);
    assert_code(&bench.fuzz(&["-o", "crash", "-i", "corpus", "--executions", "50"]), 1);
    assert_eq!(bench.inputs("crash/default/crashes"), [CRASH]);
}

#[test]
fn inputs_that_use_up_time_or_memory_are_hangs_and_no_crashes() {
    let bench = Bench::new("verdicts", "coverage");
    bench.corpus(&[b"h", b"m"]);
    let target = bench.target.to_str().expect("a name");
    // A hang is run twice.
    let output = bench.run(&[target, "-i", "corpus", "--memory", "16M", "--timeout", "2s", "--executions", "3"]);
    assert_code(&output, 0);
    assert_eq!(bench.inputs("out/default/hangs"), [b"h", b"m"], "{}", told(&output));
    let hangs = bench.names("out/default/hangs");
    assert!(!hangs[0].ends_with(",+oom") && hangs[1].ends_with(",+oom"), "{hangs:?}");
    assert!(bench.inputs("out/default/crashes").is_empty());
    assert_eq!(bench.stat("out/default", "saved_hangs"), "2");
}

#[test]
fn json_is_a_line_for_the_beginning_each_find_and_the_end() {
    let bench = Bench::new("parser", "coverage");
    bench.corpus(&[CRASH]);
    let output = bench.fuzz(&["-i", "corpus", "--json", "--executions", "100"]);
    assert_code(&output, 1);
    let lines = json_lines(&output);
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().expect("an event")).collect();
    assert_eq!((events.first(), events.last()), (Some(&"begin"), Some(&"end")), "{events:?}");
    let crash = lines.iter().find(|line| line["event"] == "crash").expect("a crash");
    assert!(bench.path(crash["path"].as_str().expect("a path")).is_file(), "{crash}");
    let end = lines.last().expect("an end");
    assert_eq!((&end["executions"], &end["crashes"], &end["reason"]), (&100.into(), &1.into(), &"executions".into()));
    assert_eq!(end["new_crashes"][0]["key"], crash["key"]);
    assert!(end["edges"].as_u64() <= end["total_edges"].as_u64() && end["total_edges"].as_u64() > Some(0), "{end}");
}

#[test]
fn a_directory_that_is_somebody_elses_is_left_as_it_is() {
    let bench = Bench::new("parser", "coverage");
    bench.corpus(&[b"precious"]);
    let output = bench.fuzz(&["-o", "corpus", "--executions", "10"]);
    assert_code(&output, 125);
    assert!(String::from_utf8_lossy(&output.stderr).contains("not empty"), "{}", told(&output));
    assert_eq!(bench.names("corpus"), ["000"]);
}

#[test]
fn what_cannot_work_is_a_failure_of_its_own_and_says_why() {
    let bench = Bench::new("parser", "coverage");
    std::fs::write(bench.path("dictionary"), "not a dictionary").expect("a file");
    std::fs::write(bench.path("garbage"), b"\xff\xfe\"\n").expect("a file");
    let target = bench.target.to_str().expect("a name");
    for (arguments, word) in [
        (&["absent"][..], "absent"),
        (&[][..], "name a target"),
        (&[target, "--max-len", "0"], "--max-len"),
        (&[target, "--timeout", "0s"], "--timeout"),
        (&[target, "--dict", "dictionary"], "dictionary"),
        (&[target, "--dict", "garbage"], "garbage"),
        (&[target, "--function", "absent"], "exports no function `absent`"),
    ] {
        let output = bench.run(&[arguments, &["--executions", "10"]].concat());
        assert_code(&output, 125);
        assert!(String::from_utf8_lossy(&output.stderr).contains(word), "{word}: {}", told(&output));
    }
}

#[test]
fn a_dictionary_is_taken() {
    let bench = Bench::new("parser", "coverage");
    std::fs::write(bench.path("dictionary"), "# words\nmagic=\"AMPL\\x01\"\n\"FUZZ\"\n").expect("a file");
    assert_code(&bench.fuzz(&["--dict", "dictionary", "--executions", "500"]), 0);
}

/// A field of a file of /proc.
fn field(path: &Path, name: &str) -> String {
    let status = std::fs::read_to_string(path).expect("a file of /proc");
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}")).trim().to_owned()
}

#[test]
fn a_core_has_given_up_its_rights_and_an_interrupted_run_ends_with_everything_written() {
    let bench = Bench::new("parser", "coverage");
    let target = bench.target.to_str().expect("a name");
    let mut child = bench.command(&[target, "--json"]).stdout(Stdio::piped()).spawn().expect("the command");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut begun = String::new();
    lines.read_line(&mut begun).expect("a line");
    assert!(begun.contains("\"begin\""), "{begun}");

    let tasks = PathBuf::from(format!("/proc/{}/task", child.id()));
    let tasks = std::fs::read_dir(tasks).expect("threads").map(|task| task.expect("a thread").path());
    let core =
        tasks.into_iter().find(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "core0\n"));
    let status = core.expect("a core").join("status");
    // 2 is SECCOMP_MODE_FILTER.
    assert_eq!((field(&status, "NoNewPrivs:").as_str(), field(&status, "Seccomp:").as_str()), ("1", "2"));

    let killed = Command::new("sh").args(["-c", "kill -INT $0", &child.id().to_string()]).status().expect("a shell");
    assert!(killed.success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("lines");
    let end: Value = serde_json::from_str(rest.lines().last().expect("an end")).expect("JSON");
    let has_crashed = end["crashes"].as_u64() > Some(0);
    assert_eq!(child.wait().expect("an end").code(), Some(i32::from(has_crashed)), "{rest}");
    assert_eq!((&end["event"], &end["reason"]), (&"end".into(), &"interrupted".into()));
    assert_eq!(bench.stat("out/default", "execs_done"), end["executions"].to_string());
    assert_eq!(bench.inputs("out/default/queue").len().to_string(), end["corpus"].to_string());
}

#[test]
fn edges_that_are_not_the_same_each_time_are_named() {
    let unstable = Bench::new("unstable", "coverage");
    unstable.corpus(&[b"a"]);
    let of =
        |bench: &Bench| bench.run(&["stability", "--json", "-i", "corpus", bench.target.to_str().expect("a name")]);
    let output = of(&unstable);
    assert_code(&output, 1);
    let [found] = <[Value; 1]>::try_from(json_lines(&output)).expect("a line");
    assert!(found["score"].as_f64() < Some(1.0) && found["unstable"][0]["symbol"].is_string(), "{found}");

    let stable = Bench::new("parser", "coverage");
    stable.corpus(&[b"AMPL\x01n\x0212", CRASH]);
    let output = of(&stable);
    assert_code(&output, 0);
    assert_eq!(json_lines(&output)[0]["score"], 1.0);
}
