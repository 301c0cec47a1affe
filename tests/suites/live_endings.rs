//! How a live call ends that has no result, what its sandbox can be used for afterwards, and that its thread goes in every case.

use ampoule::{
    Call, CallError, CancelToken, End, Idle, Imports, Limit, Limits, Live, Sandbox, Signal, State, Stdio, TrapMeaning,
};
use ampoule_tests::{asked, call_an_honest_plugin, echoing, honest_call, program, word};
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::live::{call_live, call_live_within, idle, live, live_with, until};

/// Long enough for a call to begin, on any machine; a call that never ends has to be stopped.
const SHORT: Duration = Duration::from_millis(50);

/// A sandbox that has ended, or is poisoned, stays so.
fn stays<T: 'static>(mut live: Live<T>, state: State) {
    assert_eq!(live.state(), state);
    for _ in 0..2 {
        let refused = call_live(&mut live, "echo", b"");
        assert!(matches!(refused, Err(CallError::State(found)) if found == state), "{refused:?}");
    }
    assert!(matches!(live.into_sandbox(&honest_call()), Err(CallError::State(found)) if found == state));
}

/// A call must end like this.
fn ends(live: Live<()>, name: &str, input: &[u8], call: &Call, end: &End) {
    let mut live = live;
    match call_live_within(&mut live, name, input, call) {
        Err(CallError::Ended(found)) => assert_eq!(found, *end, "{name}"),
        other => panic!("{name} did not end by {end}: {other:?}"),
    }
    stays(live, State::Ended);
}

#[test]
fn every_ending_of_a_program_is_the_ending_of_its_call() {
    let call = honest_call();
    ends(live("plugin", ()), "exits", b"", &call, &End::Exited(3));
    ends(live("tasks", ()), "aborts", b"", &call, &End::Signaled(Signal::ABRT));
    ends(live("tasks", ()), "deadlocks", b"", &call, &End::Deadlock);
    ends(live("tasks", ()), "touches", b"", &call, &End::Limit(Limit::Memory));
    let mut tasks = live("tasks", ());
    match call_live(&mut tasks, "faults", b"") {
        Err(CallError::Ended(End::Trap(trap))) => {
            assert_eq!(trap.meaning(), TrapMeaning::NullDereference);
            let (symbol, _) = trap.symbol().expect("a symbol");
            assert!(symbol.starts_with("stores_to_null"), "{symbol}");
        }
        other => panic!("{other:?}"),
    }
    stays(tasks, State::Ended);
    call_an_honest_plugin();
}

#[test]
fn a_guest_that_does_not_come_back_is_stopped_by_wall_time_and_by_cpu_time() {
    for (guest, name) in [("plugin", "spins"), ("tasks", "computes"), ("asks", "asks_often")] {
        let endless = u64::MAX.to_string();
        let wall = honest_call().wall(SHORT).host_calls(u64::MAX);
        ends(live(guest, ()), name, endless.as_bytes(), &wall, &End::Limit(Limit::Wall));
        let cpu = honest_call().cpu(SHORT).host_calls(u64::MAX);
        ends(live(guest, ()), name, endless.as_bytes(), &cpu, &End::Limit(Limit::Cpu));
    }
    ends(live("tasks", ()), "sleeps", b"1000000", &honest_call().wall(SHORT), &End::Limit(Limit::Wall));
}

#[test]
fn a_guest_that_sleeps_uses_no_cpu_time() {
    let call = honest_call().cpu(Duration::from_millis(150));
    assert_eq!(call_live_within(&mut live("tasks", ()), "sleeps", b"300", &call).expect("time enough"), b"slept");
}

#[test]
fn a_call_whose_time_is_over_before_it_begins_changes_nothing() {
    let sandbox = Sandbox::new(&program("plugin"), &echoing(), ()).expect("a sandbox");
    // It spins, and would answer before anybody looks at a clock.
    let mut plugin = sandbox.into_live(Idle::spin(Idle::MAX)).expect("it serves the ring");
    let token = CancelToken::new();
    token.cancel();
    for (call, end) in [
        (honest_call().cancel(&token), End::Cancelled),
        (honest_call().wall(Duration::ZERO), End::Limit(Limit::Wall)),
        (honest_call().cpu(Duration::ZERO), End::Limit(Limit::Cpu)),
    ] {
        for _ in 0..100 {
            call_live(&mut plugin, "echo", b"").expect("a reply");
        }
        match call_live_within(&mut plugin, "counts", b"", &call) {
            Err(CallError::Ended(found)) => assert_eq!(found, end),
            other => panic!("{end}: {other:?}"),
        }
        assert_eq!(plugin.state(), State::Ready, "{end}");
    }
    assert_eq!(word(&call_live(&mut plugin, "counts", b"").expect("a count")), 1);
}

#[test]
fn who_may_neither_call_nor_print_is_stopped_when_it_does() {
    ends(live("plugin", ()), "calls_host", b"", &honest_call().host_calls(0), &End::Limit(Limit::HostCalls));
    ends(live("plugin", ()), "prints", b"x", &honest_call().output(0), &End::Limit(Limit::Output));
}

#[test]
fn a_token_stops_a_guest_that_computes_sleeps_waits_for_a_stream_or_for_the_host() {
    let (_reader, writer) = std::io::pipe().expect("a pipe");
    let (stdin, _kept) = std::io::pipe().expect("a pipe");
    let builder = Sandbox::builder(&program("tasks"), &Imports::new()).stdin(Stdio::from(stdin)).stdout(writer.into());
    let with_pipes = builder.build(()).expect("a sandbox").into_live(idle()).expect("it serves the ring");
    let never =
        asked::<()>().async_func("later", |_, (_,): (String,)| std::future::pending::<Result<String, String>>());
    for (mut live, name, input) in [
        (live("plugin", ()), "spins", &b""[..]),
        (live("tasks", ()), "sleeps", b"1000000"),
        (with_pipes, "polls", b""),
        (live_with("asks", &never, ()), "asks_later", b"\x03its"),
    ] {
        // A token that is cancelled before the call begins changes nothing: then the next one takes its time.
        let mut patience = 1;
        while live.state() == State::Ready {
            let token = CancelToken::new();
            let ended = std::thread::scope(|scope| {
                scope.spawn(|| {
                    (0..patience).for_each(|_| std::thread::yield_now());
                    token.cancel();
                });
                call_live_within(&mut live, name, input, &honest_call().cancel(&token))
            });
            assert!(matches!(ended, Err(CallError::Ended(End::Cancelled))), "{name}: {ended:?}");
            patience *= 2;
        }
        stays(live, State::Ended);
    }
}

#[test]
fn a_future_that_takes_too_long_is_given_up() {
    let never =
        asked::<()>().async_func("later", |_, (_,): (String,)| std::future::pending::<Result<String, String>>());
    let call = honest_call().wall(SHORT);
    ends(live_with("asks", &never, ()), "asks_later", b"\x03its", &call, &End::Limit(Limit::Wall));
}

#[test]
fn a_host_function_that_takes_too_long_ends_its_call_when_it_returns() {
    let slow = echoing::<()>().bytes("lookup", |context, _, _| {
        while !context.remaining().is_zero() {
            std::thread::yield_now();
        }
        Ok::<(), Infallible>(())
    });
    let call = honest_call().wall(SHORT);
    ends(live_with("plugin", &slow, ()), "calls_host", b"", &call, &End::Limit(Limit::Wall));

    let token = CancelToken::new();
    let canceller = token.clone();
    let cancels = echoing::<()>().bytes("lookup", move |context, _, _| {
        assert!(!context.is_cancelled());
        canceller.cancel();
        assert!(context.is_cancelled());
        Ok::<(), Infallible>(())
    });
    let call = honest_call().cancel(&token);
    ends(live_with("plugin", &cancels, ()), "calls_host", b"", &call, &End::Cancelled);
}

#[test]
fn one_call_of_the_hosts_functions_more_than_the_limit_ends_it_before_the_function_runs() {
    let counting = asked::<u64>().bytes("raw", |context, input, reply| {
        *context.data_mut() += 1;
        reply.extend_from_slice(input);
        Ok::<(), Infallible>(())
    });
    let mut asks = live_with("asks", &counting, 0);
    let call = honest_call().host_calls(100);
    // The limit is each call's own.
    for calls in 1..=3 {
        call_live_within(&mut asks, "asks_often", b"100", &call).expect("exactly as many");
        assert_eq!(*asks.data(), 100 * calls);
    }
    let ended = call_live_within(&mut asks, "asks_often", b"101", &call);
    assert!(matches!(ended, Err(CallError::Ended(End::Limit(Limit::HostCalls)))), "{ended:?}");
    assert_eq!(*asks.data(), 400);
    stays(asks, State::Ended);
}

#[test]
fn what_a_guest_prints_is_limited_for_each_call() {
    let mut file = tempfile::tempfile().expect("a file");
    let stdout = file.try_clone().expect("a file").into();
    let builder = Sandbox::builder(&program("tasks"), &Imports::new()).stdout(stdout);
    let mut tasks = builder.build(()).expect("a sandbox").into_live(idle()).expect("it serves the ring");
    let call = honest_call().output(10 << 10);
    for _ in 0..3 {
        assert_eq!(call_live_within(&mut tasks, "writes", b"10", &call).expect("as much as it may"), b"written");
    }
    let ended = call_live_within(&mut tasks, "writes", b"100", &call);
    assert!(matches!(ended, Err(CallError::Ended(End::Limit(Limit::Output)))), "{ended:?}");
    stays(tasks, State::Ended);
    let printed = std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).expect("a file");
    assert_eq!(printed, 4 * (10 << 10), "what fits is written");
}

#[test]
fn a_guest_gets_as_much_memory_as_its_limit_and_goes_on_without_more() {
    let builder = Sandbox::builder(&program("plugin"), &echoing()).limits(Limits::new().memory(32 << 20));
    let mut plugin = builder.build(()).expect("a sandbox").into_live(idle()).expect("it serves the ring");
    let held = word(&call_live(&mut plugin, "allocates", b"1000000000").expect("what it got"));
    assert!(held > 16 << 20 && held < 32 << 20, "{held}");
    assert_eq!(call_live(&mut plugin, "echo", b"still here").expect("a reply"), b"still here");
    match call_live(&mut plugin, "echo", &vec![1; 8 << 20]) {
        Err(CallError::Guest { message, .. }) => assert_eq!(message, "no memory for the arguments"),
        other => panic!("{other:?}"),
    }
    assert_eq!(call_live(&mut plugin, "echo", b"and now").expect("a reply"), b"and now");
}

#[test]
fn a_host_function_a_future_or_a_listener_that_panics_poisons_and_panics_in_the_caller() {
    let panics = echoing::<()>().bytes("lookup", |_, input, _| -> Result<(), Infallible> {
        panic!("the host's own mistake over {} bytes", input.len());
    });
    let mut plugin = live_with("plugin", &panics, ());
    let panic = catch_unwind(AssertUnwindSafe(|| call_live(&mut plugin, "calls_host", b"xyz")));
    let message = *panic.expect_err("the panic goes on").downcast::<String>().expect("its message");
    assert_eq!(message, "the host's own mistake over 3 bytes");
    stays(plugin, State::Poisoned);

    let panics = asked::<()>().async_func("later", |_, (name,): (String,)| async move {
        assert!(name.is_empty(), "in the future");
        Ok::<String, Infallible>(name)
    });
    let mut asks = live_with("asks", &panics, ());
    call_live(&mut asks, "asks_later", b"\0").expect("no panic");
    assert!(catch_unwind(AssertUnwindSafe(|| call_live(&mut asks, "asks_later", b"\x03its"))).is_err());
    stays(asks, State::Poisoned);

    let builder = Sandbox::builder(&program("plugin"), &echoing()).log(|record| panic!("{}", record.message));
    let mut plugin = builder.build(()).expect("a sandbox").into_live(idle()).expect("it serves the ring");
    // That the guest's thread is gone is seen before the time is over.
    let call = honest_call().wall(Duration::from_secs(20));
    let panic = catch_unwind(AssertUnwindSafe(|| call_live_within(&mut plugin, "log", b"said", &call)));
    assert_eq!(*panic.expect_err("the panic goes on").downcast::<String>().expect("its message"), "said");
    stays(plugin, State::Poisoned);
    call_an_honest_plugin();
}

/// A live sandbox, and the number of the thread on which its guest runs.
fn with_thread(idle: Idle, imports: &Imports<()>) -> (Live<()>, u32) {
    let thread = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&thread);
    let builder = Sandbox::builder(&program("plugin"), imports).log(move |_| {
        seen.store(rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned(), Ordering::Relaxed);
    });
    let mut live = builder.build(()).expect("a sandbox").into_live(idle).expect("it serves the ring");
    call_live(&mut live, "log", b"from the guest's thread").expect("said");
    let thread = thread.load(Ordering::Relaxed);
    let name = std::fs::read_to_string(format!("/proc/self/task/{thread}/comm")).expect("a thread");
    assert_eq!(name, "ampoule-vcpu\n");
    (live, thread)
}

/// Waits until a thread that was joined has left the list of threads as well.
fn is_gone(thread: u32) {
    until(|| !std::path::Path::new(&format!("/proc/self/task/{thread}")).exists());
}

#[test]
fn a_guest_that_is_dropped_leaves_no_thread_whatever_it_does() {
    let spinning = with_thread(Idle::spin(Idle::MAX), &echoing());
    let parked = with_thread(Idle::spin(Duration::ZERO), &echoing());
    until(|| {
        let status = std::fs::read_to_string(format!("/proc/self/task/{}/status", parked.1)).expect("a thread");
        status.contains("State:\tS")
    });
    let mut called = with_thread(idle(), &echoing());
    call_live(&mut called.0, "calls_host", b"").expect("a reply");
    let mut failed = with_thread(idle(), &echoing());
    assert!(call_live(&mut failed.0, "fails", b"").is_err());
    for (live, thread) in [spinning, parked, called, failed] {
        assert_eq!(live.state(), State::Ready);
        drop(live);
        is_gone(thread);
    }
    drop(live("plugin", ()));
}

#[test]
fn a_guest_that_has_ended_has_no_thread_any_more() {
    let panics = echoing::<()>().bytes("lookup", |_, _, _| -> Result<(), Infallible> { panic!("on purpose") });
    for (name, imports) in [("spins", echoing()), ("exits", echoing()), ("calls_host", panics)] {
        let (mut live, thread) = with_thread(idle(), &imports);
        let call = honest_call().wall(SHORT);
        let ended = catch_unwind(AssertUnwindSafe(|| call_live_within(&mut live, name, b"", &call)));
        assert!(!matches!(ended, Ok(Ok(_))), "{name}");
        is_gone(thread);
        assert_ne!(live.state(), State::Ready);
    }
    let (live, thread) = with_thread(idle(), &echoing());
    let sandbox = live.into_sandbox(&honest_call()).expect("it comes back");
    is_gone(thread);
    drop(sandbox);
}
