//! A call that a limit or a token stops goes on with the next `resume`, and its result is that of a call that nothing stopped.

use ampoule::{Call, CallError, CancelToken, End, Imports, Limit, Sandbox, State};
use ampoule_tests::{asked, call_bytes, call_bytes_within, honest_call, program, resume_bytes, sandbox, scale, word};
use std::convert::Infallible;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(20);

fn tasks() -> Sandbox<()> {
    sandbox(&program("tasks"), &Imports::new())
}

fn is_stop(error: &CallError) -> bool {
    matches!(error, CallError::Ended(End::Limit(Limit::Wall | Limit::Cpu | Limit::HostCalls) | End::Cancelled))
}

/// Calls within limits that are too small, as often as it takes; says how often that was.
fn piecemeal(
    sandbox: &mut Sandbox<()>,
    name: &str,
    input: &[u8],
    mut limits: impl FnMut() -> Call,
) -> (Vec<u8>, usize) {
    let mut result = call_bytes_within(sandbox, name, input, &limits());
    let (mut stops, mut has_begun) = (0, false);
    loop {
        match result {
            Ok(reply) => return (reply, stops),
            Err(error) if is_stop(&error) => stops += 1,
            Err(error) => panic!("{name}, after {stops} stops: {error}"),
        }
        result = match sandbox.state() {
            State::Stopped => {
                has_begun = true;
                resume_bytes(sandbox, &limits())
            }
            State::Ready if !has_begun => call_bytes_within(sandbox, name, input, &limits()),
            state => panic!("{name}, after {stops} stops: {state}"),
        };
    }
}

#[test]
fn a_long_computation_in_short_pieces_has_the_same_result() {
    let rounds = b"20000000";
    let whole = call_bytes(&mut tasks(), "computes", rounds).expect("a result");
    for call in [honest_call().wall(Duration::from_millis(1)), honest_call().cpu(Duration::from_millis(1))] {
        let (pieces, stops) = piecemeal(&mut tasks(), "computes", rounds, || call.clone());
        assert_eq!(pieces, whole);
        assert!(stops > 1, "it takes far longer than a millisecond");
    }
}

#[test]
fn calls_of_the_hosts_functions_in_short_pieces_are_each_made_once() {
    let program = program("asks");
    let calls = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&calls);
    let imports = asked::<()>().bytes("raw", move |_, input, reply| {
        assert_eq!(word(input), seen.fetch_add(1, Ordering::Relaxed) % COUNT, "in order, none twice");
        reply.extend_from_slice(&word(input).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        Ok::<(), Infallible>(())
    });
    const COUNT: u64 = 10_000;
    let count = COUNT.to_string();
    let mut asks = sandbox(&program, &imports);
    let whole = call_bytes(&mut asks, "asks_often", count.as_bytes()).expect("a result");
    for (call, least) in [
        (honest_call().host_calls(1), 9_999),
        (honest_call().host_calls(977), 10),
        (honest_call().wall(Duration::from_millis(1)), 1),
        (honest_call().cpu(Duration::from_millis(1)), 1),
    ] {
        let before = calls.load(Ordering::Relaxed);
        let (pieces, stops) = piecemeal(&mut asks, "asks_often", count.as_bytes(), || call.clone());
        assert_eq!(pieces, whole, "{call:?}");
        assert_eq!(calls.load(Ordering::Relaxed) - before, COUNT, "{call:?}");
        assert!(stops >= least, "{call:?}: {stops}");
    }
}

#[test]
fn messages_of_every_size_survive_stops() {
    let program = program("asks");
    let mut asks = sandbox(&program, &asked());
    for round in 0..scale(40) {
        let input = super::sandboxes::pattern(round * 70_000);
        // A piece of work that is begun again each time needs a limit that it fits into.
        let mut wall = Duration::from_micros(100);
        let (reply, _) = piecemeal(&mut asks, "asks_raw", &input, || {
            wall += wall / 16;
            honest_call().wall(wall)
        });
        assert!(reply == input, "{} bytes", input.len());
    }
}

#[test]
fn a_sleep_goes_on() {
    let mut tasks = tasks();
    let call = honest_call().wall(SHORT);
    for _ in 0..2 {
        let stopped = call_bytes_within(&mut tasks, "sleeps", b"300", &call);
        assert!(matches!(stopped, Err(CallError::Ended(End::Limit(Limit::Wall)))), "{stopped:?}");
        assert_eq!(resume_bytes(&mut tasks, &honest_call()).expect("it slept"), b"slept");
    }
}

#[test]
fn a_wait_for_stdin_goes_on_until_there_is_something() {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let mut tasks =
        Sandbox::builder(&program("tasks"), &Imports::new()).stdin(reader.into()).build(()).expect("a sandbox");
    for (name, reply) in [("polls", &b"ready"[..]), ("reads", b"a line\n")] {
        let mut result = call_bytes_within(&mut tasks, name, b"", &honest_call().wall(SHORT));
        for _ in 0..3 {
            assert!(matches!(result, Err(CallError::Ended(End::Limit(Limit::Wall)))), "{name}: {result:?}");
            result = resume_bytes(&mut tasks, &honest_call().wall(SHORT));
        }
        assert!(matches!(result, Err(CallError::Ended(End::Limit(Limit::Wall)))), "{name}: {result:?}");
        writer.write_all(b"a line\n").expect("the pipe");
        assert_eq!(resume_bytes(&mut tasks, &honest_call()).expect(name), reply);
        // What the poll saw is still there: read it away, or the next wait would not wait.
        if name == "polls" {
            assert_eq!(call_bytes(&mut tasks, "reads", b"").expect("a line"), b"a line\n");
        }
    }
}

#[test]
fn a_cancelled_call_goes_on_with_another_token() {
    let mut tasks = tasks();
    let whole = call_bytes(&mut tasks, "computes", b"20000000").expect("a result");
    for _ in 0..scale(5) {
        let token = CancelToken::new();
        let call = honest_call().cancel(&token);
        let result = std::thread::scope(|scope| {
            let canceller = token.clone();
            scope.spawn(move || canceller.cancel());
            call_bytes_within(&mut tasks, "computes", b"20000000", &call)
        });
        let result = match result {
            // The canceller may have been late.
            Ok(reply) => Ok(reply),
            // It may have been early, and nothing had begun.
            Err(CallError::Ended(End::Cancelled)) if tasks.state() == State::Ready => {
                call_bytes(&mut tasks, "computes", b"20000000")
            }
            Err(CallError::Ended(End::Cancelled)) => {
                let again = resume_bytes(&mut tasks, &call);
                assert!(matches!(again, Err(CallError::Ended(End::Cancelled))), "a token stays cancelled: {again:?}");
                resume_bytes(&mut tasks, &honest_call().cancel(&CancelToken::new()))
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!(result.expect("a result"), whole);
    }
}

#[test]
fn a_slow_host_function_is_not_interrupted_and_its_result_is_not_lost() {
    let program = program("asks");
    let slow = asked::<()>().bytes("raw", |context, input, reply| {
        std::thread::sleep(context.remaining() + Duration::from_millis(1));
        assert_eq!(context.remaining(), Duration::ZERO);
        reply.extend_from_slice(input);
        Ok::<(), Infallible>(())
    });
    let mut asks = sandbox(&program, &slow);
    for size in [5, 100_000] {
        let input = super::sandboxes::pattern(size);
        let stopped = call_bytes_within(&mut asks, "asks_raw", &input, &honest_call().wall(SHORT));
        assert!(matches!(stopped, Err(CallError::Ended(End::Limit(Limit::Wall)))), "{stopped:?}");
        assert_eq!(asks.state(), State::Stopped);
        assert!(resume_bytes(&mut asks, &honest_call()).expect("its result") == input);
    }
}

/// What a future waits for; it closes again behind each.
#[derive(Default)]
struct Gate(Mutex<(bool, Option<Waker>)>);

impl Gate {
    fn open(&self) {
        let mut state = self.0.lock().expect("a lock");
        state.0 = true;
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }

    async fn wait(self: Arc<Self>) {
        std::future::poll_fn(|task| {
            let mut state = self.0.lock().expect("a lock");
            if std::mem::take(&mut state.0) {
                return Poll::Ready(());
            }
            state.1 = Some(task.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

#[test]
fn a_future_is_waited_for_within_the_limits_and_is_still_there_afterwards() {
    let program = program("asks");
    let later = program.func::<(&str,), String>("asks_later").expect("its types");
    let gate = Arc::new(Gate::default());
    let waited_for = Arc::clone(&gate);
    let imports = asked::<()>().async_func("later", move |_, (name,): (String,)| {
        let gate = Arc::clone(&waited_for);
        async move {
            gate.wait().await;
            Ok::<String, Infallible>(format!("{name}, at last"))
        }
    });
    let mut asks = sandbox(&program, &imports);
    for name in ["one", "two"] {
        let stopped = asks.call_with(&later, (name,), &honest_call().wall(SHORT));
        assert!(matches!(stopped, Err(CallError::Ended(End::Limit(Limit::Wall)))), "{stopped:?}");
        let stopped = asks.resume(&later, &honest_call().wall(SHORT));
        assert!(matches!(stopped, Err(CallError::Ended(End::Limit(Limit::Wall)))), "{stopped:?}");
        let token = CancelToken::new();
        token.cancel();
        let stopped = asks.resume(&later, &honest_call().cancel(&token));
        assert!(matches!(stopped, Err(CallError::Ended(End::Cancelled))), "{stopped:?}");
        std::thread::scope(|scope| {
            scope.spawn(|| gate.open());
            assert_eq!(asks.resume(&later, &honest_call()).expect("its result"), format!("{name}, at last"));
        });
    }
    // A sandbox that is dropped while it waits takes the future along.
    let stopped = asks.call_with(&later, ("three",), &honest_call().wall(SHORT));
    assert!(matches!(stopped, Err(CallError::Ended(End::Limit(Limit::Wall)))), "{stopped:?}");
    drop((asks, imports));
    assert_eq!(Arc::strong_count(&gate), 1);
}
