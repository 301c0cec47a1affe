//! Directories of the host's, as programs use them. What a path can and cannot reach is tested beside the code.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ampoule::{Call, Command, End, HostDir, Limit, Limits, Output, RunError, SnapshotFileError};
use ampoule_tests::{honest_call, program};

/// A directory with `text` in it.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("text"), text()).expect("a file");
    directory
}

fn text() -> Vec<u8> {
    (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn run(arguments: &[&str], directory: &HostDir, call: Call) -> Output {
    let program = program("host_dirs");
    Command::new(&program).args(arguments).dir("/data", directory).call(call).output().expect("a run")
}

fn writable(directory: &Path) -> HostDir {
    HostDir::read_write(directory).expect("a directory")
}

#[test]
fn a_program_reads_lists_and_writes_what_is_there() {
    let host = directory();
    let data = writable(host.path());
    let output = run(&["cat", "/data/text"], &data, honest_call());
    assert_eq!(output.end, End::Exited(0));
    assert!(output.stdout == text());
    let output = run(&["copy", "/data/text", "/data/copy"], &data, honest_call());
    assert_eq!(output.end, End::Exited(0), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(fs::read(host.path().join("copy")).expect("the copy") == text());
    let output = run(&["list", "/data"], &data, honest_call());
    let mut names: Vec<_> = output.stdout.split(|byte| *byte == b'\n').collect();
    names.sort_unstable();
    assert_eq!(names, [&b""[..], b".", b"..", b"copy", b"text"]);
}

#[test]
fn what_may_only_be_read_stays_as_it_is() {
    let host = directory();
    let data = HostDir::read_only(host.path()).expect("a directory");
    let output = run(&["copy", "/data/text", "/data/copy"], &data, honest_call());
    assert_eq!(output.end, End::Exited(1));
    assert_eq!(fs::read_dir(host.path()).expect("names").count(), 1);
}

#[test]
fn a_file_is_mapped_and_what_is_stored_there_stays_in_memory() {
    let host = directory();
    let output = run(&["map", "/data/text"], &writable(host.path()), honest_call());
    assert_eq!((output.end, output.stdout.as_slice()), (End::Exited(0), &b"11111\n"[..]));
    assert!(fs::read(host.path().join("text")).expect("the file") == text());
    // In memory it is the same.
    let program = program("host_dirs");
    let output =
        Command::new(&program).args(["map", "/data/text"]).file("/data/text", text()).call(honest_call()).output();
    let output = output.expect("a run");
    assert_eq!((output.end, output.stdout.as_slice()), (End::Exited(0), &b"11111\n"[..]));
}

#[test]
fn what_was_written_before_a_limit_is_there() {
    let host = directory();
    let call = Call::new().wall(Duration::from_millis(100));
    for lines in 1..4 {
        let output = run(&["endless", "/data/log"], &writable(host.path()), call.clone());
        assert_eq!(output.end, End::Limit(Limit::Wall));
        assert_eq!(fs::read(host.path().join("log")).expect("the log"), b"written\n".repeat(lines));
    }
}

#[test]
fn a_program_starts_in_the_directory_that_it_is_given() {
    let host = directory();
    fs::create_dir(host.path().join("sub")).expect("a directory");
    let program = program("host_dirs");
    let data = writable(host.path());
    let mut command = Command::new(&program);
    command.arg("where").dir("/data", &data).call(honest_call());
    assert_eq!(command.output().expect("a run").stdout, b"/\n");
    assert_eq!(command.current_dir("/data/sub").output().expect("a run").stdout, b"/data/sub\n");
    let absent = command.current_dir("/data/absent").output();
    assert!(matches!(&absent, Err(RunError::File { reason }) if reason.contains("/data/absent")), "{absent:?}");
}

#[test]
fn a_program_that_writes_without_end_meets_what_the_embedder_grants() {
    let host = directory();
    let output = run(&["flood", "/data"], &writable(host.path()).max_growth(1 << 20), honest_call());
    assert_eq!((output.end, output.stdout.as_slice()), (End::Exited(0), &b"No space left on device\n"[..]));
    let bytes: u64 = fs::read_dir(host.path())
        .expect("names")
        .map(|entry| entry.and_then(|entry| entry.metadata()).expect("a file").len())
        .sum();
    assert_eq!(bytes, 100_000 + (1 << 20));
    let output = run(&["flood", "/data"], &writable(directory().path()).max_names(0), honest_call());
    assert_eq!(output.stdout, b"No space left on device\n");
}

#[test]
fn a_snapshot_goes_on_in_the_same_directory_and_no_file_holds_it() {
    let host = directory();
    let program = program("host_dirs");
    let data = writable(host.path());
    let mut command = Command::new(&program);
    command.args(["endless", "/data/log"]).dir("/data", &data).limits(Limits::new());
    let stopped = command.call(Call::new().wall(Duration::from_millis(100))).stop().expect("a run");
    let snapshot = stopped.snapshot.expect("it was stopped");
    let saved = snapshot.save(host.path().join("file.amp"));
    assert!(matches!(saved, Err(SnapshotFileError::HostDirs)), "{saved:?}");
    let mut command = snapshot.command().expect("it goes on");
    let output = command.call(Call::new().wall(Duration::from_millis(50))).output().expect("a run");
    assert_eq!(output.end, End::Limit(Limit::Wall));
    assert_eq!(fs::read(host.path().join("log")).expect("the log"), b"written\n");
}
