//! Limits are arguments, every run has them, and reaching one is an ordinary ending. Only the kind of ending is looked at, and that no
//! limit strikes before its time: how late it may be is a question for the benchmarks.

use ampoule::{Call, CancelToken, Command, End, Limit, Output, Stdio};
use ampoule_tests::{honest_call, program, run_hello, scale};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(50);

/// Runs one of the programs that never end; what it prints is thrown away.
fn endless(name: &str, call: Call) -> End {
    let program = program("endless");
    let result = Command::new(&program).arg(name).stdout(Stdio::null()).stderr(Stdio::null()).call(call).status();
    let status = result.unwrap_or_else(|error| panic!("{name}: {error}"));
    run_hello();
    status.end
}

/// Busy in the guest, busy in system calls, busy in faults.
const BUSY: &[&str] = &[
    "spin",
    "spin tightly",
    "pause",
    "syscall",
    "unknown syscall",
    "clock",
    "yield",
    "write nothing",
    "copy",
    "map",
    "protect",
    "discard",
    "signal",
    "fault",
    "fault and jump",
    "poll without waiting",
];

const WRITING: &[&str] = &["write", "write bytes", "write errors", "write vectors"];

const WAITING: &[&str] =
    &["sleep", "longest sleep", "short sleeps", "absolute sleep", "poll a minute", "futex for a minute"];

/// Waits that nobody can end: no other thread, no signal from outside.
const DEADLOCKED: &[&str] = &["futex", "wait for a signal", "poll nothing"];

#[test]
fn a_program_that_is_busy_ends_by_the_wall_limit() {
    for name in BUSY {
        assert_eq!(endless(name, honest_call().wall(SHORT)), End::Limit(Limit::Wall), "{name}");
    }
}

#[test]
fn a_program_that_is_busy_ends_by_the_cpu_limit() {
    for name in BUSY {
        assert_eq!(endless(name, honest_call().cpu(SHORT)), End::Limit(Limit::Cpu), "{name}");
    }
}

#[test]
fn a_program_that_waits_ends_by_the_wall_limit() {
    for name in WAITING {
        assert_eq!(endless(name, honest_call().wall(SHORT)), End::Limit(Limit::Wall), "{name}");
    }
}

#[test]
fn a_wait_that_nobody_can_end_is_a_deadlock() {
    for name in DEADLOCKED {
        assert_eq!(endless(name, honest_call()), End::Deadlock, "{name}");
    }
}

#[test]
fn a_program_that_writes_without_end_meets_the_output_limit() {
    for name in WRITING {
        assert_eq!(endless(name, honest_call().output(20_000)), End::Limit(Limit::Output), "{name}");
    }
}

#[test]
fn a_program_that_writes_without_end_meets_the_wall_limit_too() {
    for name in WRITING {
        assert_eq!(endless(name, honest_call().output(u64::MAX).wall(SHORT)), End::Limit(Limit::Wall), "{name}");
    }
}

#[test]
fn waiting_uses_no_cpu_time() {
    // Were a sleep counted, this program would meet its limit many times over.
    let program = program("endless");
    let call = Call::new().cpu(Duration::from_secs(5)).wall(Duration::from_millis(5500));
    let output = Command::new(&program).arg("sleep").call(call).output().expect("a typed ending");
    assert_eq!(output.end, End::Limit(Limit::Wall));
    assert!(output.stats.cpu < output.stats.wall, "{:?}", output.stats);
}

#[test]
fn no_limit_strikes_before_its_time() {
    for _ in 0..scale(5) {
        let program = program("endless");
        let run = |call: Call| Command::new(&program).arg("spin").call(call).output().expect("a typed ending");
        let wall = run(honest_call().wall(SHORT));
        assert_eq!(wall.end, End::Limit(Limit::Wall));
        assert!(wall.stats.wall >= SHORT, "{:?}", wall.stats);
        let cpu = run(honest_call().cpu(SHORT));
        assert_eq!(cpu.end, End::Limit(Limit::Cpu));
        assert!(cpu.stats.cpu >= SHORT, "{:?}", cpu.stats);
        assert!(cpu.stats.guest <= cpu.stats.wall, "{:?}", cpu.stats);
    }
}

#[test]
fn a_limit_of_nothing_is_a_limit() {
    for call in [honest_call().wall(Duration::ZERO), honest_call().cpu(Duration::ZERO)] {
        assert!(matches!(endless("spin", call), End::Limit(Limit::Wall | Limit::Cpu)));
    }
    assert_eq!(endless("write", honest_call().output(0)), End::Limit(Limit::Output));
}

#[test]
fn the_longest_limits_are_no_limits() {
    let program = program("hello");
    let call = Call::new().wall(Duration::MAX).cpu(Duration::MAX).output(u64::MAX);
    let output = Command::new(&program).call(call).output().expect("an ordinary run");
    assert_eq!((output.end, output.stdout.as_slice()), (End::Exited(0), &b"hello\n"[..]));
}

#[test]
fn output_up_to_the_limit_is_kept_and_a_byte_more_ends_the_run() {
    let hello = program("hello");
    let run = |bytes| Command::new(&hello).call(honest_call().output(bytes)).output().expect("a typed ending");
    let exact = run(6);
    assert_eq!((exact.end, exact.stdout.as_slice()), (End::Exited(0), &b"hello\n"[..]));
    let short = run(5);
    assert_eq!((short.end, short.stdout.as_slice()), (End::Limit(Limit::Output), &b"hello"[..]));

    let streams = program("streams");
    let call = honest_call().output(5);
    let output = Command::new(&streams).arg("both").call(call).output().expect("a typed ending");
    assert_eq!(output.end, End::Limit(Limit::Output), "both streams count");
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"e"[..]));
}

#[test]
fn what_was_printed_before_a_limit_is_not_lost() {
    let program = program("endless");
    for name in ["spin", "sleep"] {
        // Long enough to begin on any machine: only the first line is asked for.
        let call = honest_call().wall(Duration::from_secs(3));
        let output = Command::new(&program).args([name, "say"]).call(call).output().expect("a typed ending");
        assert_eq!((output.end, output.stdout.as_slice()), (End::Limit(Limit::Wall), &b"begun\n"[..]), "{name}");
    }
}

/// A stdin that stays open and silent.
fn blocked_on_stdin(name: &str, call: Call) -> End {
    let program = program("endless");
    let spawned = Command::new(&program).arg(name).stdin(Stdio::piped()).call(call).spawn();
    let mut child = spawned.expect("a child");
    let held = child.stdin.take();
    assert!(held.is_some());
    let end = child.wait().expect("a typed ending").end;
    drop(held);
    run_hello();
    end
}

#[test]
fn a_program_blocked_on_a_silent_stdin_ends_by_every_limit_that_can_strike() {
    for name in ["read", "poll stdin"] {
        assert_eq!(blocked_on_stdin(name, honest_call().wall(SHORT)), End::Limit(Limit::Wall), "{name}");
        let token = CancelToken::new();
        std::thread::scope(|scope| {
            let canceller = token.clone();
            scope.spawn(move || canceller.cancel());
            assert_eq!(blocked_on_stdin(name, honest_call().cancel(&token)), End::Cancelled, "{name}");
        });
    }
}

#[test]
fn a_program_blocked_on_a_full_stdout_ends_by_the_wall_limit() {
    let program = program("endless");
    let call = honest_call().wall(SHORT).output(u64::MAX);
    let spawned = Command::new(&program).arg("write").stdout(Stdio::piped()).stderr(Stdio::null()).call(call).spawn();
    let mut child = spawned.expect("a child");
    let unread = child.stdout.take();
    assert!(unread.is_some());
    assert_eq!(child.wait().expect("a typed ending").end, End::Limit(Limit::Wall));
    drop(unread);
    run_hello();
}

#[test]
fn a_program_blocked_on_a_fifo_that_nobody_writes_to_ends_by_the_wall_limit() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).expect("a FIFO");
    let program = program("endless");
    for name in ["read", "poll stdin"] {
        // Open for both: opening for reading alone would wait for a writer, here and not in the program.
        let fifo = std::fs::File::options().read(true).write(true).open(&path).expect("the FIFO");
        let result = Command::new(&program).arg(name).stdin(fifo.into()).call(honest_call().wall(SHORT)).output();
        assert_eq!(result.expect("a typed ending").end, End::Limit(Limit::Wall), "{name}");
    }
    run_hello();
}

#[test]
fn a_writer_that_blocks_ends_the_run_by_the_wall_limit() {
    struct Blocked(std::sync::mpsc::Receiver<()>);
    impl Write for Blocked {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            // Until the test is over and the sender is gone.
            let _ = self.0.recv();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    for name in ["write", "spin"] {
        let (sender, receiver) = std::sync::mpsc::channel();
        let program = program("endless");
        let result = Command::new(&program)
            .args([name, "say"])
            .stdout(Stdio::writer(Blocked(receiver)))
            .call(honest_call().wall(SHORT).output(u64::MAX))
            .status();
        assert_eq!(result.expect("a typed ending").end, End::Limit(Limit::Wall), "{name}");
        drop(sender);
    }
    run_hello();
}

#[test]
fn a_token_cancelled_before_the_run_ends_it_at_once() {
    let token = CancelToken::new();
    token.cancel();
    for name in ["spin", "sleep"] {
        assert_eq!(endless(name, honest_call().cancel(&token)), End::Cancelled, "{name}");
    }
    let hello = program("hello");
    let output = Command::new(&hello).call(honest_call().cancel(&token)).output().expect("a typed ending");
    assert_eq!((output.end, output.stdout.as_slice()), (End::Cancelled, &b""[..]), "a token stays cancelled");
}

/// Spawns an endless program and waits for its first line.
fn begun(name: &str, call: Call) -> ampoule::Child {
    let program = program("endless");
    let spawned =
        Command::new(&program).args([name, "say"]).stdin(Stdio::piped()).stdout(Stdio::piped()).call(call).spawn();
    let mut child = spawned.expect("a child");
    let mut line = [0; 6];
    child.stdout.as_mut().expect("a pipe").read_exact(&mut line).expect("the first line");
    assert_eq!(&line, b"begun\n");
    child
}

#[test]
fn a_token_cancelled_during_the_run_ends_it_wherever_it_is() {
    for name in ["spin", "spin tightly", "syscall", "sleep", "read", "fault", "protect", "poll stdin", "short sleeps"] {
        let token = CancelToken::new();
        let mut child = begun(name, honest_call().cancel(&token));
        let stdin = child.stdin.take();
        token.cancel();
        assert_eq!(child.wait().expect("a typed ending").end, End::Cancelled, "{name}");
        drop(stdin);
        run_hello();
    }
}

#[test]
fn a_token_cancelled_after_the_run_hits_nothing() {
    let hello = program("hello");
    for _ in 0..scale(20) {
        let token = CancelToken::new();
        let output = Command::new(&hello).call(honest_call().cancel(&token)).output().expect("an ordinary run");
        token.cancel();
        assert_eq!(output.end, End::Exited(0));
        run_hello();
    }
}

#[test]
fn a_cancel_at_any_moment_cancels_or_comes_too_late() {
    let hello = program("hello");
    for _ in 0..scale(100) {
        let token = CancelToken::new();
        std::thread::scope(|scope| {
            let canceller = token.clone();
            scope.spawn(move || canceller.cancel());
            let output = Command::new(&hello).call(honest_call().cancel(&token)).output().expect("a typed ending");
            match output.end {
                End::Exited(0) => assert_eq!(output.stdout, b"hello\n"),
                End::Cancelled => assert!(b"hello\n".starts_with(&output.stdout)),
                end => panic!("{end:?}"),
            }
        });
        run_hello();
    }
}

#[test]
fn one_token_ends_every_run_that_has_it() {
    let token = CancelToken::new();
    let children: Vec<_> = (0..4).map(|_| begun("spin", honest_call().cancel(&token))).collect();
    token.cancel();
    for child in children {
        assert_eq!(child.wait().expect("a typed ending").end, End::Cancelled);
    }
}

#[test]
fn kill_ends_a_child_wherever_it_is_and_however_often_it_is_called() {
    for name in ["spin", "sleep", "read"] {
        let mut child = begun(name, honest_call());
        let stdin = child.stdin.take();
        assert!(child.try_wait().expect("no failure").is_none(), "{name} never ends by itself");
        child.kill();
        child.kill();
        assert_eq!(child.wait().expect("a typed ending").end, End::Cancelled, "{name}");
        drop(stdin);
        run_hello();
    }
}

#[test]
fn a_child_that_is_dropped_ends() {
    let mut child = begun("spin", honest_call());
    let mut stdout = child.stdout.take().expect("a pipe");
    drop(child);
    // The pipe's other end closes when the run is over; a run that went on would keep this waiting.
    assert_eq!(stdout.read_to_end(&mut Vec::new()).expect("the end of the pipe"), 0);
    run_hello();
}

#[test]
fn limits_hold_on_any_thread_a_run_is_moved_to() {
    fn is_send<T: Send>() {}
    is_send::<Command>();
    is_send::<ampoule::Child>();
    is_send::<Output>();
    for _ in 0..scale(2) {
        let child = begun("spin", honest_call().wall(Duration::from_secs(2)));
        let waiting = std::thread::spawn(move || child.wait().expect("a typed ending").end);
        assert_eq!(waiting.join().expect("no panic"), End::Limit(Limit::Wall));
    }
}

#[test]
fn a_limit_of_one_run_never_hits_the_next_on_the_same_thread() {
    let compute = program("compute");
    for round in 0..scale(20) {
        let call = if round % 2 == 0 { honest_call().wall(SHORT / 10) } else { honest_call().cpu(SHORT / 10) };
        let limit = if round % 2 == 0 { Limit::Wall } else { Limit::Cpu };
        assert_eq!(endless("spin", call), End::Limit(limit));
        let output = Command::new(&compute).call(honest_call()).output().expect("an ordinary run");
        assert_eq!(output.end, End::Exited(0));
    }
}

#[test]
fn runs_on_many_threads_each_keep_their_own_limits() {
    let failed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for worker in 0..6 {
            let failed = &failed;
            scope.spawn(move || {
                for _ in 0..scale(5) {
                    let right = match worker % 3 {
                        0 => endless("spin", honest_call().wall(SHORT)) == End::Limit(Limit::Wall),
                        1 => endless("syscall", honest_call().cpu(SHORT)) == End::Limit(Limit::Cpu),
                        _ => endless("write", honest_call().output(1 << 20)) == End::Limit(Limit::Output),
                    };
                    failed.fetch_or(!right, Ordering::Relaxed);
                }
            });
        }
    });
    assert!(!failed.into_inner());
}

#[test]
fn every_run_has_limits_without_being_given_any() {
    // A run that says nothing about limits still ends: by output here, which is the quickest of the defaults to reach.
    let program = program("endless");
    let result = Command::new(&program).arg("write").stdout(Stdio::null()).status();
    assert_eq!(result.expect("a typed ending").end, End::Limit(Limit::Output));
}

#[test]
fn a_reader_that_is_slow_loses_nothing() {
    let program = program("streams");
    let spawned = Command::new(&program).args(["plenty", "1"]).stdout(Stdio::piped()).call(honest_call()).spawn();
    let mut child = spawned.expect("a child");
    let mut stdout = child.stdout.take().expect("a pipe");
    let mut total = 0;
    let mut piece = [0; 1000];
    loop {
        match stdout.read(&mut piece).expect("the pipe") {
            0 => break,
            length => total += length,
        }
        std::thread::yield_now();
    }
    assert_eq!(total, 1 << 20);
    assert_eq!(child.wait().expect("an ordinary run").end, End::Exited(0));
}

#[test]
fn a_program_may_ignore_what_is_written_to_it() {
    let program = program("streams");
    let spawned = Command::new(&program).arg("nothing").stdin(Stdio::piped()).call(honest_call()).spawn();
    let mut child = spawned.expect("a child");
    let mut stdin = child.stdin.take().expect("a pipe");
    // Sooner or later the other end is closed; until then the bytes go nowhere.
    let mut written = Ok(());
    while written.is_ok() {
        written = stdin.write_all(&[0; 4096]);
    }
    assert_eq!(written.map_err(|error| error.kind()), Err(std::io::ErrorKind::BrokenPipe));
    assert_eq!(child.wait().expect("an ordinary run").end, End::Exited(0));
}
