//! Calls as futures: the same results and endings as calls that wait, on any executor, with no thread held while a host function's future
//! is pending.

use ampoule::{Call, CallError, CancelToken, End, Func, Imports, Limit, Limits, Overflow, Region, Sandbox, State};
use ampoule_tests::{
    asked, call_bytes, call_bytes_within, echoing, honest_call, program, resume_bytes, sandbox, scale, word,
};
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::executors::{Gate, Tasks, block_on, block_on_many_threads};
use super::sandboxes::pattern;

/// Long enough for a call to begin, on any machine; a call that never ends has to be stopped.
const SHORT: Duration = Duration::from_millis(50);

// ---- what the tests share -------------------------------------------------------------------------------------------

/// The host's functions of the guest `asks`, of which `later` waits for a gate.
fn waiting_for(gate: &Arc<Gate>) -> Imports<()> {
    let gate = Arc::clone(gate);
    asked().async_func("later", move |_, (name,): (String,)| {
        let gate = Arc::clone(&gate);
        async move {
            gate.wait().await;
            Ok::<String, Infallible>(format!("{name}, at last"))
        }
    })
}

/// A sandbox whose call of the function waits for a gate.
fn waiting() -> (Sandbox<()>, Func<(String,), String>, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let program = program("asks");
    let later = program.func("asks_later").expect("its types");
    (sandbox(&program, &waiting_for(&gate)), later, gate)
}

fn tasks() -> Sandbox<()> {
    sandbox(&program("tasks"), &Imports::new())
}

/// A sandbox with a region whose checksum takes it many slices on any machine, all of them its own code's; and the checksum.
fn summing() -> (Sandbox<()>, Vec<u8>) {
    let bytes = pattern(16 << 20);
    let region = Region::from_bytes(&bytes[..]).expect("a region");
    let plugin = Sandbox::builder(&program("plugin"), &echoing()).region("long", &region).build(()).expect("a sandbox");
    let sum = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum: u64, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    (plugin, sum.to_le_bytes().to_vec())
}

/// Calls within shorter and then longer limits, until the call has begun before its time is over; then a limit has stopped it.
fn stops<R>(
    sandbox: &mut Sandbox<()>,
    limits: impl Fn(Duration) -> Call,
    mut call: impl FnMut(&mut Sandbox<()>, &Call) -> Result<R, CallError>,
) {
    let mut time = Duration::from_millis(8);
    loop {
        match call(sandbox, &limits(time)).map(drop) {
            Err(CallError::Ended(End::Limit(Limit::Wall | Limit::Cpu))) => {}
            other => panic!("{other:?}"),
        }
        if sandbox.state() == State::Stopped {
            return;
        }
        assert_eq!(sandbox.state(), State::Ready);
        time *= 2;
    }
}

/// Polls once; the future is not done.
fn poll_once<F: Future>(future: Pin<&mut F>) {
    let poll = future.poll(&mut Context::from_waker(Waker::noop()));
    assert!(poll.is_pending(), "it has more to do than one poll's worth");
}

fn bytes_async(sandbox: &mut Sandbox<()>, name: &str, input: &[u8], call: &Call) -> Result<Vec<u8>, CallError> {
    let mut reply = b"left over".to_vec();
    let result = block_on(sandbox.call_bytes_async(name, input, &mut reply, call));
    assert!(result.is_ok() || reply.is_empty(), "a call that fails leaves nothing");
    result.map(|()| reply)
}

/// Takes long enough for many slices on any machine.
const ROUNDS: &[u8] = b"8000000";

// ---- results --------------------------------------------------------------------------------------------------------

#[test]
fn a_call_that_is_awaited_has_the_result_of_one_that_waits() {
    let program = program("asks");
    let add = program.func::<(u32, u32), u64>("asks_add").expect("its types");
    let parse = program.func::<(&str,), f64>("asks_parse").expect("its types");
    let later = program.func::<(&str,), String>("asks_later").expect("its types");
    let mut asks = sandbox(&program, &asked());
    for _ in 0..2 {
        assert_eq!(block_on(asks.call_async(&add, (u32::MAX, 1), &honest_call())).expect("a sum"), 1 << 32);
        assert_eq!(asks.call(&add, (20, 22)).expect("a sum"), 42);
        let number = block_on(asks.call_async(&parse, ("-0.125",), &honest_call())).expect("a number");
        assert_eq!(number.to_bits(), (-0.125_f64).to_bits());
        assert_eq!(block_on(asks.call_async(&later, ("sooner",), &honest_call())).expect("text"), "sooner, later");
        assert_eq!(asks.call(&later, ("waiting",)).expect("text"), "waiting, later");
    }
}

#[test]
fn bytes_of_every_size_go_there_and_back() {
    let mut plugin = sandbox(&program("plugin"), &echoing());
    for size in [0, 1, 4096, 65536, 65537, 1 << 20, 5 << 20, 3] {
        let input = pattern(size);
        assert!(bytes_async(&mut plugin, "echo", &input, &honest_call()).expect("a reply") == input, "{size} bytes");
        let asked = bytes_async(&mut plugin, "calls_host", &input, &honest_call()).expect("a reply");
        assert!(asked == input, "{size} bytes to the host");
        assert!(call_bytes(&mut plugin, "echo", &input).expect("a reply") == input, "{size} bytes, waiting");
    }
}

#[test]
fn a_long_computation_has_the_same_result_on_one_thread_and_on_many() {
    let whole = call_bytes(&mut tasks(), "computes", ROUNDS).expect("a result");
    assert_eq!(bytes_async(&mut tasks(), "computes", ROUNDS, &honest_call()).expect("a result"), whole);
    let (mut tasks, mut reply) = (tasks(), Vec::new());
    let call = honest_call();
    let future = tasks.call_bytes_async("computes", ROUNDS, &mut reply, &call);
    let (result, polls) = block_on_many_threads(future);
    result.expect("a result");
    assert!(reply == whole && polls > 1, "{polls} polls");
    assert_eq!(tasks.state(), State::Ready);
}

#[test]
fn the_limits_are_one_account_over_all_polls() {
    let mut plugin = sandbox(&program("plugin"), &echoing());
    let call = honest_call().cpu(SHORT);
    let mut reply = Vec::new();
    let (ended, polls) = block_on_many_threads(plugin.call_bytes_async("spins", b"", &mut reply, &call));
    assert!(matches!(ended, Err(CallError::Ended(End::Limit(Limit::Cpu)))), "{ended:?}");
    let used = plugin.last_stats().cpu;
    assert!(polls > 1 && used >= SHORT && used < 40 * SHORT, "{used:?} in {polls} polls");
    assert_eq!(plugin.state(), State::Stopped);

    let counting = asked::<u64>().bytes("raw", |context, input, reply| {
        *context.data_mut() += 1;
        reply.extend_from_slice(input);
        Ok::<(), Infallible>(())
    });
    let mut asks = Sandbox::new(&program("asks"), &counting, 0).expect("a sandbox");
    let call = honest_call().host_calls(3000);
    let mut reply = Vec::new();
    let (ended, _) = block_on_many_threads(asks.call_bytes_async("asks_often", b"3001", &mut reply, &call));
    assert!(matches!(ended, Err(CallError::Ended(End::Limit(Limit::HostCalls)))), "{ended:?}");
    assert_eq!(*asks.data(), 3000);
    asks.resume_bytes(&mut reply, &honest_call()).expect("the rest");
    assert_eq!(*asks.data(), 3001);
}

// ---- tasks ----------------------------------------------------------------------------------------------------------

#[test]
fn a_call_is_a_task_for_any_thread() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let (mut asks, later, gate) = waiting();
    gate.open();
    let call = honest_call();
    let text = block_on(is_send(asks.call_async(&later, ("one".to_owned(),), &call))).expect("text");
    assert_eq!(text, "one, at last");
    let mut reply = Vec::new();
    block_on(is_send(asks.call_bytes_async("asks_raw", b"two", &mut reply, &call))).expect("bytes");
    assert_eq!(reply, b"two");
}

#[test]
fn a_hundred_calls_wait_for_the_host_on_one_thread() {
    const COUNT: usize = 100;
    let (gate, tasks, done) = (Arc::new(Gate::default()), Arc::new(Tasks::default()), Arc::new(AtomicUsize::new(0)));
    let program = program("asks");
    let imports = waiting_for(&gate);
    for number in 0..COUNT {
        let mut asks = sandbox(&program, &imports);
        let later = program.func::<(String,), String>("asks_later").expect("its types");
        let done = Arc::clone(&done);
        tasks.spawn(async move {
            let text = asks.call_async(&later, (number.to_string(),), &honest_call()).await;
            assert_eq!(text.expect("its result"), format!("{number}, at last"));
            done.fetch_add(1, Ordering::SeqCst);
        });
    }
    tasks.run_until_they_wait();
    assert_eq!((done.load(Ordering::SeqCst), gate.waiting() >= COUNT), (0, true));
    gate.open();
    tasks.run();
    assert_eq!(done.load(Ordering::SeqCst), COUNT);
}

#[test]
fn tasks_that_move_between_two_threads_have_the_results_of_calls_that_wait() {
    let whole = Arc::new(call_bytes(&mut tasks(), "computes", b"2000000").expect("a result"));
    let executor = Arc::new(Tasks::default());
    let program = program("asks");
    for number in 0..4 {
        let whole = Arc::clone(&whole);
        executor.spawn(async move {
            let (mut tasks, mut reply) = (tasks(), Vec::new());
            for _ in 0..scale(3) {
                tasks.call_bytes_async("computes", b"2000000", &mut reply, &honest_call()).await.expect("a result");
                assert_eq!(reply, *whole);
            }
        });
        let mut asks = sandbox(&program, &asked());
        let later = program.func::<(String,), String>("asks_later").expect("its types");
        executor.spawn(async move {
            for round in 0..scale(20) {
                let name = format!("{number}.{round}");
                let text = asks.call_async(&later, (name.clone(),), &honest_call()).await;
                assert_eq!(text.expect("its result"), format!("{name}, later"));
            }
        });
    }
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| executor.run());
        }
    });
}

#[test]
fn two_guests_that_compute_take_turns_on_one_thread() {
    let executor = Arc::new(Tasks::default());
    let (token, seen) = (CancelToken::new(), Arc::new(AtomicUsize::new(0)));
    let ends = Arc::new(Mutex::new(Vec::new()));
    for guest in 0..2 {
        let (builder, events) = Sandbox::builder(&program("asks"), &asked()).events(16, Overflow::DropOldest);
        let mut asks = builder.build(()).expect("a sandbox");
        let (call, both) = (honest_call().cancel(&token), Arc::clone(&ends));
        executor.spawn(async move {
            let mut reply = Vec::new();
            let ended = asks.call_bytes_async("posts_forever", b"", &mut reply, &call).await;
            both.lock().expect("a lock").push(ended);
        });
        let (token, seen) = (token.clone(), Arc::clone(&seen));
        executor.spawn(std::future::poll_fn(move |task| {
            // Both have come this far, and neither ends by itself.
            let progress =
                if events.try_next().is_some() { seen.fetch_or(1 << guest, Ordering::SeqCst) | 1 << guest } else { 0 };
            if progress == 0b11 {
                token.cancel();
            }
            if token.is_cancelled() {
                return Poll::Ready(());
            }
            task.waker().wake_by_ref();
            Poll::Pending
        }));
    }
    executor.run();
    let ends = ends.lock().expect("a lock");
    assert_eq!(ends.len(), 2);
    assert!(ends.iter().all(|end| matches!(end, Err(CallError::Ended(End::Cancelled)))), "{ends:?}");
}

// ---- stops ----------------------------------------------------------------------------------------------------------

#[test]
fn the_time_of_a_call_that_waits_for_the_host_runs_out() {
    let (mut asks, later, gate) = waiting();
    for name in ["one", "two"] {
        let wall = |time| honest_call().wall(time);
        stops(&mut asks, wall, |asks, call| block_on(asks.call_async(&later, (name.to_owned(),), call)));
        gate.open();
        assert_eq!(asks.resume(&later, &honest_call()).expect("its result"), format!("{name}, at last"));
        gate.close();
    }
}

#[test]
fn a_token_stops_a_call_that_waits_for_the_host() {
    let (mut asks, later, gate) = waiting();
    for _ in 0..2 {
        let token = CancelToken::new();
        let call = honest_call().cancel(&token);
        let ended = std::thread::scope(|scope| {
            scope.spawn(|| {
                super::live::until(|| gate.waiting() != 0);
                token.cancel();
            });
            block_on(asks.call_async(&later, ("name".to_owned(),), &call))
        });
        assert!(matches!(ended, Err(CallError::Ended(End::Cancelled))), "{ended:?}");
        assert_eq!(asks.state(), State::Stopped);
        gate.open();
        assert_eq!(asks.resume(&later, &honest_call()).expect("its result"), "name, at last");
        gate.close();
    }
}

#[test]
fn a_call_whose_time_is_over_before_it_begins_changes_nothing() {
    let mut plugin = sandbox(&program("plugin"), &echoing());
    let token = CancelToken::new();
    token.cancel();
    for (call, end) in [
        (honest_call().cancel(&token), End::Cancelled),
        (honest_call().wall(Duration::ZERO), End::Limit(Limit::Wall)),
        (honest_call().cpu(Duration::ZERO), End::Limit(Limit::Cpu)),
    ] {
        match bytes_async(&mut plugin, "counts", b"", &call) {
            Err(CallError::Ended(found)) => assert_eq!(found, end),
            other => panic!("{end}: {other:?}"),
        }
        assert_eq!(plugin.state(), State::Ready, "{end}");
    }
    assert_eq!(word(&bytes_async(&mut plugin, "counts", b"", &honest_call()).expect("a count")), 1);
}

#[test]
fn a_limit_or_a_token_stops_a_call_that_computes_and_it_goes_on() {
    let (mut plugin, sum) = summing();
    for limits in [|time| honest_call().wall(time), |time| honest_call().cpu(time)] {
        stops(&mut plugin, limits, |plugin, call| bytes_async(plugin, "checksum", b"long", call));
        assert_eq!(resume_bytes(&mut plugin, &honest_call()).expect("the rest"), sum);
    }
    let (mut reply, token) = (Vec::new(), CancelToken::new());
    let call = honest_call().cancel(&token);
    let mut future = Box::pin(plugin.call_bytes_async("checksum", b"long", &mut reply, &call));
    poll_once(future.as_mut());
    token.cancel();
    let ended = block_on(future);
    assert!(matches!(ended, Err(CallError::Ended(End::Cancelled))), "{ended:?}");
    assert_eq!(plugin.state(), State::Stopped);
    assert_eq!(resume_bytes(&mut plugin, &honest_call()).expect("the rest"), sum);
}

#[test]
fn a_call_that_is_dropped_is_stopped_and_goes_on() {
    let (mut plugin, sum) = summing();
    let (mut reply, call) = (Vec::new(), honest_call());
    // Before it began, nothing has happened.
    drop(plugin.call_bytes_async("checksum", b"long", &mut reply, &call));
    assert_eq!(plugin.state(), State::Ready);
    for polls in [1, 2] {
        let mut future = Box::pin(plugin.call_bytes_async("checksum", b"long", &mut reply, &call));
        (0..polls).for_each(|_| poll_once(future.as_mut()));
        drop(future);
        assert_eq!(plugin.state(), State::Stopped);
        let refused = bytes_async(&mut plugin, "echo", b"", &call);
        assert!(matches!(refused, Err(CallError::State(State::Stopped))), "{refused:?}");
        assert_eq!(resume_bytes(&mut plugin, &call).expect("the rest"), sum);
        assert_eq!(plugin.state(), State::Ready);
    }

    let (mut asks, later, gate) = waiting();
    // Until the function's future was made, and until it is waited for.
    for polls in [1, 2, 5] {
        let mut future = Box::pin(asks.call_async(&later, ("name".to_owned(),), &call));
        (0..polls).for_each(|_| poll_once(future.as_mut()));
        drop(future);
        assert_eq!(asks.state(), State::Stopped);
        gate.open();
        assert_eq!(asks.resume(&later, &call).expect("its result"), "name, at last");
        gate.close();
    }
    // A sandbox that is dropped takes what it waits for along.
    let mut future = Box::pin(asks.call_async(&later, ("name".to_owned(),), &call));
    (0..2).for_each(|_| poll_once(future.as_mut()));
    drop(future);
    drop(asks);
    assert_eq!(Arc::strong_count(&gate), 1);
}

// ---- failures -------------------------------------------------------------------------------------------------------

#[test]
fn what_cannot_be_called_is_refused_and_changes_nothing() {
    let (plugin, other) = (program("plugin"), program("plugin"));
    let limits = Limits::new().message_bytes(1000);
    let mut sandbox = Sandbox::builder(&plugin, &echoing()).limits(limits).build(()).expect("a sandbox");
    let call = honest_call();
    let sum = other.func::<(Vec<u32>,), u64>("sum").expect("its types");
    let refused = block_on(sandbox.call_async(&sum, (vec![1],), &call));
    assert!(matches!(&refused, Err(CallError::OtherProgram { name }) if name == "sum"), "{refused:?}");
    let refused = bytes_async(&mut sandbox, "nobody", b"", &call);
    assert!(matches!(&refused, Err(CallError::Unknown { name }) if name == "nobody"), "{refused:?}");
    let refused = bytes_async(&mut sandbox, "echo", &[0; 1001], &call);
    assert!(matches!(refused, Err(CallError::TooLong { bytes: 1001, max: 1000 })), "{refused:?}");
    assert_eq!(sandbox.state(), State::Ready);
    assert_eq!(bytes_async(&mut sandbox, "echo", &[7; 1000], &call).expect("the longest"), [7; 1000]);

    // What was refused does not take the place of what was stopped.
    stops(&mut sandbox, |time| honest_call().cpu(time), |sandbox, call| call_bytes_within(sandbox, "spins", b"", call));
    let refused = bytes_async(&mut sandbox, "echo", b"", &call);
    assert!(matches!(refused, Err(CallError::State(State::Stopped))), "{refused:?}");
    let sum = plugin.func::<(Vec<u32>,), u64>("sum").expect("its types");
    let refused = block_on(sandbox.call_async(&sum, (vec![1],), &call));
    assert!(matches!(refused, Err(CallError::State(State::Stopped))), "{refused:?}");
    assert!(matches!(sandbox.resume(&sum, &call), Err(CallError::NotStopped { .. })));
}

#[test]
fn a_call_that_is_awaited_ends_as_one_that_waits() {
    let call = honest_call();
    let mut plugin = sandbox(&program("plugin"), &echoing());
    match bytes_async(&mut plugin, "fails", b"", &call) {
        Err(CallError::Guest { message, .. }) => assert_eq!(message, "it always does"),
        other => panic!("{other:?}"),
    }
    let refused = bytes_async(&mut plugin, "sum", b"\xff", &call);
    assert!(matches!(&refused, Err(CallError::Arguments { name }) if name == "sum"), "{refused:?}");
    assert_eq!(bytes_async(&mut plugin, "echo", b"well", &call).expect("a reply"), b"well");
    assert!(matches!(bytes_async(&mut plugin, "exits", b"", &call), Err(CallError::Ended(End::Exited(3)))));
    assert!(matches!(bytes_async(&mut plugin, "echo", b"", &call), Err(CallError::State(State::Ended))));

    let fails = asked::<()>().async_func("later", |_, (name,): (String,)| async move {
        if name.is_empty() { Err("nobody") } else { Ok(name) }
    });
    let program = program("asks");
    let later = program.func::<(&str,), String>("asks_later").expect("its types");
    let mut asks = sandbox(&program, &fails);
    let error = block_on(asks.call_async(&later, ("",), &call)).expect_err("nobody");
    assert!(
        matches!(&error, CallError::Import { name, source } if name == "later" && source.to_string() == "nobody"),
        "{error}"
    );
    assert_eq!(block_on(asks.call_async(&later, ("somebody",), &call)).expect("text"), "somebody");
}

#[test]
fn a_host_function_or_a_future_that_panics_poisons_and_panics_in_the_task() {
    for (name, input) in [("asks_raw", &b"in the function"[..]), ("asks_later", b"\x0din the future")] {
        let panics = asked::<()>()
            .bytes("raw", |_, input, _| -> Result<(), Infallible> { panic!("{}", String::from_utf8_lossy(input)) })
            .async_func("later", |_, (name,): (String,)| async move {
                assert!(name.is_empty(), "{name}");
                Ok::<String, Infallible>(name)
            });
        let mut asks = sandbox(&program("asks"), &panics);
        let panic = catch_unwind(AssertUnwindSafe(|| bytes_async(&mut asks, name, input, &honest_call())));
        let message = *panic.expect_err("the panic goes on").downcast::<String>().expect("its message");
        assert!(message.starts_with("in the f"), "{message}");
        assert_eq!(asks.state(), State::Poisoned);
        let refused = bytes_async(&mut asks, "asks_raw", b"", &honest_call());
        assert!(matches!(refused, Err(CallError::State(State::Poisoned))), "{refused:?}");
        assert!(matches!(resume_bytes(&mut asks, &honest_call()), Err(CallError::State(State::Poisoned))));
    }
}

#[test]
fn a_log_listener_that_panics_poisons_and_panics_in_the_task() {
    let builder = Sandbox::builder(&program("plugin"), &echoing()).log(|record| panic!("{}", record.message));
    let mut plugin = builder.build(()).expect("a sandbox");
    let panic = catch_unwind(AssertUnwindSafe(|| bytes_async(&mut plugin, "log", b"said", &honest_call())));
    assert!(panic.is_err());
    assert_eq!(plugin.state(), State::Poisoned);
    let refused = bytes_async(&mut plugin, "echo", b"", &honest_call());
    assert!(matches!(refused, Err(CallError::State(State::Poisoned))), "{refused:?}");
}

#[test]
fn memory_of_earlier_calls_is_used_again() {
    let mut plugin = sandbox(&program("plugin"), &echoing());
    let mut reply = Vec::with_capacity(1 << 20);
    for round in 0..3_u64 {
        let input = pattern(usize::try_from(round).expect("small") * 1000);
        block_on(plugin.call_bytes_async("echo", &input, &mut reply, &honest_call())).expect("a reply");
        assert_eq!(reply, input);
        block_on(plugin.call_bytes_async("counts", b"", &mut reply, &honest_call())).expect("a count");
        assert_eq!(word(&reply), round + 1);
    }
}
