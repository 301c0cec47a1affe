//! Programs that run as tasks: the outcome of a run on a thread, and no thread held while one waits.

use ampoule::{Call, CancelToken, Command, End, Limit, Limits, Output, RunError, Sources, Stdio};
use ampoule_tests::{honest_call, program};
use std::io::{Read, Write};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use super::async_waits::poll_until_it_rests;
use super::executors::{Tasks, block_on, block_on_many_threads};

// ---- what the tests share -------------------------------------------------------------------------------------------

fn command(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(&program(name));
    command.args(arguments).call(honest_call());
    command
}

fn awaited(command: &mut Command) -> Result<Output, RunError> {
    block_on(command.output_async())
}

/// What is the same in two runs of one program; numbers of a time or of addresses are not.
fn outcome(output: &Output) -> (String, &[u8], &[u8], u64, u64) {
    let Output { end, stdout, stderr, stats, .. } = output;
    (end.to_string(), stdout, stderr, stats.bytes_in, stats.bytes_out)
}

/// One that does nothing but sleep for so many milliseconds.
fn sleeper(milliseconds: u32) -> Command {
    let mut command = command("sleeps", &[&milliseconds.to_string()]);
    command.limits(Limits::new().memory(4 << 20));
    command
}

// ---- outcomes -------------------------------------------------------------------------------------------------------

#[test]
fn a_program_that_is_awaited_has_the_outcome_of_one_that_is_waited_for() {
    for (name, arguments, input) in [
        ("hello", &[][..], &b""[..]),
        ("args", &["one", "two"], b""),
        ("streams", &["both"], b""),
        ("streams", &["upper"], b"bytes for it\n"),
        ("exits", &["abort"], b""),
        ("memory", &["write null"], b""),
        ("instructions", &["hlt"], b""),
        ("files", &[], b""),
        ("signals", &[], b""),
        ("compute", &[], b""),
    ] {
        let mut command = command(name, arguments);
        command.stdin(Stdio::bytes(input)).sources(Sources::Deterministic(3));
        let whole = command.output().unwrap_or_else(|error| panic!("{name}: {error}"));
        let output = awaited(&mut command).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(outcome(&output), outcome(&whole), "{name}");
        assert_eq!(output.stats.syscalls, whole.stats.syscalls, "{name}");
        assert_eq!(output.site().is_some(), whole.site().is_some(), "{name}");
    }
}

#[test]
fn a_program_goes_on_on_another_thread_at_every_poll() {
    let whole = command("compute", &[]).output().expect("a run");
    let (output, polls) = block_on_many_threads(command("compute", &[]).output_async());
    let output = output.expect("a run");
    assert_eq!(outcome(&output), outcome(&whole));
    let (output, waits) = block_on_many_threads(sleeper(30).output_async());
    assert_eq!(output.expect("a run").end, End::Exited(0));
    assert!(polls >= 1 && waits > 1, "{polls} {waits}");
}

#[test]
fn the_future_of_a_run_is_its_own_and_goes_to_any_thread() {
    fn is_send<T: Send + 'static>(value: T) -> T {
        value
    }
    let future = is_send(command("hello", &[]).output_async());
    let output = std::thread::spawn(move || block_on(future)).join().expect("no panic").expect("a run");
    assert_eq!(output.end, End::Exited(0));
}

#[test]
fn what_cannot_be_run_is_an_error_of_the_future() {
    let refused = awaited(&mut command("hello", &["a\0b"]));
    assert!(matches!(refused, Err(RunError::Nul { .. })), "{refused:?}");
    let refused = awaited(&mut command("hello", &[&"x".repeat(3 << 20)]));
    assert!(matches!(refused, Err(RunError::TooManyArguments { .. })), "{refused:?}");
}

#[test]
fn a_command_can_be_run_again_either_way() {
    let mut command = command("hello", &[]);
    let first = command.output().expect("a run");
    for _ in 0..3 {
        assert_eq!(outcome(&awaited(&mut command).expect("a run")), outcome(&first));
    }
    assert_eq!(outcome(&command.output().expect("a run")), outcome(&first));
}

// ---- waiting --------------------------------------------------------------------------------------------------------

#[test]
fn a_hundred_programs_sleep_at_once_on_one_thread() {
    const COUNT: usize = 100;
    let (tasks, begun) = (Arc::new(Tasks::default()), Arc::new(AtomicUsize::new(0)));
    let done = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..COUNT {
        let (begun, done) = (Arc::clone(&begun), Arc::clone(&done));
        let mut future = Box::pin(sleeper(2000).output_async());
        tasks.spawn(async move {
            let mut is_first = true;
            let output = std::future::poll_fn(|task| {
                let poll = future.as_mut().poll(task);
                if poll.is_pending() && std::mem::take(&mut is_first) {
                    begun.fetch_add(1, Ordering::SeqCst);
                }
                poll
            });
            let output = output.await.expect("a run");
            done.lock().expect("a lock").push((output, begun.load(Ordering::SeqCst)));
        });
    }
    tasks.run();
    let done = done.lock().expect("a lock");
    assert_eq!(done.len(), COUNT);
    for (output, begun) in done.iter() {
        assert_eq!(output.end, End::Exited(0));
        assert!(output.stats.wall >= Duration::from_millis(2000), "{:?}", output.stats);
        // Had the thread waited for one, that would have been done before the next one had begun.
        assert_eq!(*begun, COUNT);
    }
}

#[test]
fn a_program_that_waits_for_its_input_is_woken_by_it() {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let mut command = command("streams", &["upper"]);
    let whole = command.stdin(Stdio::bytes(&b"bytes for it\n"[..])).output().expect("a run");
    let mut future = Box::pin(command.stdin(reader.into()).output_async());
    poll_until_it_rests(future.as_mut());
    let other = std::thread::spawn(move || writer.write_all(b"bytes for it\n"));
    let output = block_on(future).expect("a run");
    other.join().expect("no panic").expect("written");
    assert_eq!(outcome(&output), outcome(&whole));
}

#[test]
fn a_program_whose_output_nobody_takes_yet_is_woken_when_somebody_does() {
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    let full = rustix::pipe::fcntl_getpipe_size(&writer).expect("its size");
    writer.write_all(&vec![b'-'; full]).expect("it fits");
    let whole = command("hello", &[]).output().expect("a run");
    let mut future = Box::pin(command("hello", &[]).stdout(writer.into()).output_async());
    poll_until_it_rests(future.as_mut());
    let other = std::thread::spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).map(|_| all)
    });
    let output = block_on(future).expect("a run");
    assert_eq!((output.end, output.stdout), (whole.end, Vec::new()));
    let all = other.join().expect("no panic").expect("what was there");
    assert_eq!(all[full..], whole.stdout);
}

/// Takes bytes when it is told to.
struct Slow(mpsc::Receiver<()>, Arc<Mutex<Vec<u8>>>);

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.recv().map_err(std::io::Error::other)?;
        self.1.lock().expect("a lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_run_is_over_when_its_writers_are_done_and_no_thread_waits_for_them() {
    let (go_on, told) = mpsc::sync_channel(0);
    let taken = Arc::new(Mutex::new(Vec::new()));
    let whole = command("hello", &[]).output().expect("a run");
    let writer = Stdio::writer(Slow(told, Arc::clone(&taken)));
    let mut future = Box::pin(command("hello", &[]).stdout(writer).output_async());
    poll_until_it_rests(future.as_mut());
    assert!(taken.lock().expect("a lock").is_empty());
    let other = std::thread::spawn(move || while go_on.send(()).is_ok() {});
    let output = block_on(future).expect("a run");
    assert_eq!(output.end, End::Exited(0));
    assert_eq!(*taken.lock().expect("a lock"), whole.stdout);
    other.join().expect("no panic");

    // One that is never done ends the run by its limit.
    let (_go_on, told) = mpsc::sync_channel(0);
    let writer = Stdio::writer(Slow(told, taken));
    let call = honest_call().wall(Duration::from_millis(100));
    let output = awaited(command("hello", &[]).stdout(writer).call(call)).expect("a run");
    assert_eq!(output.end, End::Limit(Limit::Wall));
}

#[test]
fn a_cpu_clock_does_not_go_back_and_the_times_of_a_run_are_its_own() {
    let (output, polls) = block_on_many_threads(command("sleeps", &["works", "40"]).output_async());
    let output = output.expect("a run");
    assert_eq!((output.end, polls > 2), (End::Exited(0), true), "{polls} polls");
    assert!(output.stats.cpu >= Duration::from_millis(40), "{:?}", output.stats);
    let slept = awaited(&mut sleeper(50)).expect("a run").stats;
    assert!(slept.waited >= Duration::from_millis(25) && slept.wall >= Duration::from_millis(50), "{slept:?}");
    // What it waited it did not compute; the clock of a thread is looked at now and then.
    let looked_at = Duration::from_millis(5);
    assert!(slept.wall >= slept.waited && slept.cpu <= slept.wall - slept.waited + looked_at, "{slept:?}");
    assert_eq!(slept.syscalls.iter().find(|call| call.name.contains("nanosleep")).map(|call| call.count), Some(1));
}

// ---- ends -----------------------------------------------------------------------------------------------------------

#[test]
fn every_limit_ends_a_program_that_is_awaited() {
    let short = Duration::from_millis(30);
    for (argument, call, end) in [
        ("spin", honest_call().wall(short), End::Limit(Limit::Wall)),
        ("spin", honest_call().cpu(short), End::Limit(Limit::Cpu)),
        ("sleep", honest_call().wall(short), End::Limit(Limit::Wall)),
        ("futex", honest_call(), End::Deadlock),
        ("write", honest_call().output(100_000), End::Limit(Limit::Output)),
        ("sleep", honest_call().wall(Duration::ZERO), End::Limit(Limit::Wall)),
    ] {
        let output = awaited(command("endless", &[argument]).call(call)).expect("a run");
        assert_eq!(output.end, end, "{argument}");
    }
}

#[test]
fn a_token_ends_a_program_that_computes_sleeps_or_waits_for_input() {
    for argument in ["spin", "sleep", "read"] {
        let (token, (reader, _writer)) = (CancelToken::new(), std::io::pipe().expect("a pipe"));
        let mut command = command("endless", &[argument]);
        let mut future = Box::pin(command.stdin(reader.into()).call(honest_call().cancel(&token)).output_async());
        let poll = future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        assert!(poll.is_pending(), "{argument}");
        let other = std::thread::spawn(move || token.cancel());
        let output = block_on(future).expect("a run");
        assert_eq!(output.end, End::Cancelled, "{argument}");
        other.join().expect("no panic");
    }
    let token = CancelToken::new();
    token.cancel();
    let output = awaited(command("hello", &[]).call(honest_call().cancel(&token))).expect("a run");
    assert_eq!((output.end, output.stdout.len()), (End::Cancelled, 0));
}

#[test]
fn a_future_that_is_dropped_ends_its_run_and_closes_its_streams() {
    for argument in ["spin", "sleep", "read"] {
        for polls in 0..3 {
            let (input, mut ours) = std::io::pipe().expect("a pipe");
            let (mut theirs, output) = std::io::pipe().expect("a pipe");
            let mut command = command("endless", &[argument]);
            {
                let mut future = pin!(command.stdin(input.into()).stdout(output.into()).output_async());
                for _ in 0..polls {
                    let poll = future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
                    assert!(poll.is_pending(), "{argument}");
                }
            }
            let mut printed = Vec::new();
            theirs.read_to_end(&mut printed).expect("the end");
            let refused = ours.write_all(b"x").expect_err("nobody reads");
            assert_eq!(refused.kind(), std::io::ErrorKind::BrokenPipe, "{argument}");
        }
    }
    // The machine that it had serves others.
    assert_eq!(awaited(&mut command("hello", &[])).expect("a run").end, End::Exited(0));
}

#[test]
fn a_program_that_goes_on_from_a_snapshot_is_awaited_as_well() {
    let stopped = command("sleeps", &["300"]).call(honest_call().wall(Duration::from_millis(100))).stop();
    let snapshot = stopped.expect("a run").snapshot.expect("a snapshot of a program that sleeps");
    let whole = snapshot.command().expect("it can go on").call(honest_call()).output().expect("the rest");
    for _ in 0..2 {
        let output = awaited(snapshot.command().expect("it can go on").call(honest_call())).expect("the rest");
        assert_eq!((output.end, output.stdout), (whole.end.clone(), whole.stdout.clone()));
    }
    let call = Call::new().wall(Duration::ZERO);
    let output = awaited(snapshot.command().expect("it can go on").call(call)).expect("a run");
    assert_eq!(output.end, End::Limit(Limit::Wall));
}
