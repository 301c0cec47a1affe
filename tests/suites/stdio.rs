//! The three streams, in each form that an embedder can give them.

use ampoule::{Command, End, Signal, Stdio};
use ampoule_tests::{honest_call, program, run_hello};
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex};

#[test]
fn without_a_stdin_a_program_reads_the_end_at_once() {
    let program = program("streams");
    let output = Command::new(&program).arg("count").call(honest_call()).output().expect("an ordinary run");
    assert_eq!((output.end, output.stdout.as_slice()), (End::Exited(0), &b"0 lines, 0 words, 0 bytes\n"[..]));
}

#[test]
fn stdout_and_stderr_are_kept_apart() {
    let program = program("streams");
    let output = Command::new(&program).arg("both").call(honest_call()).output().expect("an ordinary run");
    assert_eq!(output.stdout, b"out\n".repeat(100));
    assert_eq!(output.stderr, b"err\n".repeat(100));
}

#[test]
fn a_stream_that_is_null_takes_everything_and_keeps_nothing() {
    let program = program("streams");
    let result =
        Command::new(&program).arg("both").stdout(Stdio::null()).stderr(Stdio::null()).call(honest_call()).output();
    let output = result.expect("an ordinary run");
    assert_eq!((output.end, output.stdout.len(), output.stderr.len()), (End::Exited(0), 0, 0));
}

#[test]
fn bytes_given_and_bytes_captured_are_the_same_whatever_their_size() {
    let program = program("streams");
    for size in [0, 1, 4095, 4096, 4097, 65_536, 1 << 20, 9_999_991] {
        let bytes: Vec<u8> = (0..size).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let result = Command::new(&program)
            .args(["cat", "100000"])
            .stdin(Stdio::bytes(bytes.clone()))
            .call(honest_call())
            .output();
        let output = result.expect("an ordinary run");
        assert_eq!(output.end, End::Exited(0));
        assert!(output.stdout == bytes, "{size} bytes");
        assert_eq!((output.stats.bytes_in, output.stats.bytes_out), (u64::from(size), u64::from(size)));
    }
}

#[test]
fn a_vectored_read_fills_every_vector_that_there_are_bytes_for() {
    // The guest asks for 204 bytes in three vectors of 3, 1 and 200.
    let program = program("streams");
    let bytes = vec![b'x'; 20_400];
    let output = Command::new(&program).arg("vectors").stdin(Stdio::bytes(bytes)).call(honest_call()).output();
    let output = output.expect("an ordinary run");
    assert_eq!(output.end, End::Exited(0));
    let reads = output.stats.syscalls.iter().find(|call| call.name == "readv").map(|call| call.count);
    assert_eq!(reads, Some(101), "a hundred times 204 bytes, and the end");
}

#[test]
fn a_writer_gets_everything_before_the_run_is_over() {
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);
    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let program = program("streams");
    let (out, err) = (Shared::default(), Shared::default());
    let result = Command::new(&program)
        .arg("both")
        .stdout(Stdio::writer(out.clone()))
        .stderr(Stdio::writer(err.clone()))
        .call(honest_call())
        .status();
    assert_eq!(result.expect("an ordinary run").end, End::Exited(0));
    assert_eq!(*out.0.lock().expect("no panic"), b"out\n".repeat(100));
    assert_eq!(*err.0.lock().expect("no panic"), b"err\n".repeat(100));
}

#[test]
fn files_serve_as_streams_from_where_they_stand() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("from");
    std::fs::write(&path, "skipped\nread\n").expect("a file");
    let mut from = std::fs::File::open(&path).expect("the file");
    from.read_exact(&mut [0; 8]).expect("the first line");
    let to = std::fs::File::create(directory.path().join("to")).expect("a file");
    let program = program("streams");
    let result = Command::new(&program).arg("upper").stdin(from.into()).stdout(to.into()).call(honest_call()).status();
    assert_eq!(result.expect("an ordinary run").end, End::Exited(0));
    assert_eq!(std::fs::read(directory.path().join("to")).expect("the file"), b"READ\n");
}

#[test]
fn a_conversation_goes_line_by_line() {
    let program = program("streams");
    let spawned = Command::new(&program)
        .args(["cat", "4096"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .call(honest_call())
        .spawn();
    let mut child = spawned.expect("a child");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    for round in 0..50 {
        let sent = format!("line {round}\n");
        stdin.write_all(sent.as_bytes()).expect("the pipe");
        let mut received = String::new();
        stdout.read_line(&mut received).expect("the pipe");
        assert_eq!(received, sent);
    }
    drop(stdin);
    assert_eq!(stdout.read_to_end(&mut Vec::new()).expect("the end"), 0);
    assert_eq!(child.wait().expect("an ordinary run").end, End::Exited(0));
}

#[test]
fn wait_with_output_closes_stdin_and_collects_both_streams() {
    let program = program("streams");
    let spawned = Command::new(&program)
        .arg("count")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .call(honest_call())
        .spawn();
    let mut child = spawned.expect("a child");
    child.stdin.as_mut().expect("a pipe").write_all(b"one two\nthree\n").expect("the pipe");
    let output = child.wait_with_output().expect("an ordinary run");
    assert_eq!(output.end, End::Exited(0));
    assert_eq!(output.stdout, b"2 lines, 3 words, 14 bytes\n");
    assert_eq!(output.stderr, b"counted to the end\n");
}

#[test]
fn a_program_hears_when_its_reader_is_gone() {
    let program = program("endless");
    let spawned =
        Command::new(&program).arg("write").stdout(Stdio::piped()).call(honest_call().output(u64::MAX)).spawn();
    let mut child = spawned.expect("a child");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("a typed ending").end, End::Signaled(Signal::PIPE));
    run_hello();
}

#[test]
fn what_was_printed_before_a_crash_is_not_lost() {
    for (name, args, printed) in [
        ("rust", &["panic"][..], &b"before\n"[..]),
        ("rust", &["abort"], b"before\n"),
        ("cpp", &["uncaught"], b"made 0\nbefore\n"),
        ("exits", &["fault", "16"], b"fault 16"),
    ] {
        let program = program(name);
        let output = Command::new(&program).args(args).call(honest_call()).output().expect("a typed ending");
        assert_eq!(output.stdout, printed, "{name} {args:?}");
    }
}

#[test]
fn a_status_needs_no_streams() {
    let program = program("exits");
    let result = Command::new(&program)
        .args(["group", "7"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .call(honest_call())
        .status();
    assert_eq!(result.expect("an ordinary run").end, End::Exited(7));
}

#[test]
fn two_programs_joined_by_a_pipe_pass_everything_on() {
    let streams = program("streams");
    let first = Command::new(&streams).args(["plenty", "2"]).stdout(Stdio::piped()).call(honest_call()).spawn();
    let second = Command::new(&streams)
        .args(["cat", "5000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .call(honest_call())
        .spawn();
    let (mut first, mut second) = (first.expect("a child"), second.expect("a child"));
    let mut from = first.stdout.take().expect("a pipe");
    let mut to = second.stdin.take().expect("a pipe");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || std::io::copy(&mut from, &mut to).expect("the pipes"));
        second.wait_with_output().expect("an ordinary run")
    });
    let alone = Command::new(&streams).args(["plenty", "2"]).call(honest_call()).output().expect("an ordinary run");
    assert!(output.stdout == alone.stdout && alone.stdout.len() == 2 << 20);
    assert_eq!(first.wait().expect("an ordinary run").end, End::Exited(0));
}
