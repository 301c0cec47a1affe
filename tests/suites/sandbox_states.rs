//! What a call that has no result says, and what its sandbox can be used for afterwards: its state is always one of four.

use ampoule::{
    Call, CallError, End, Func, Imports, Limit, Limits, Program, Sandbox, SandboxError, Signal, State, Stdio,
};
use ampoule_tests::{
    asked, call_an_honest_plugin, call_bytes, call_bytes_within, echoing, honest_call, program, resume_bytes, sandbox,
    word,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Long enough for a call to begin, on any machine; a call that never ends has to be stopped.
const SHORT: Duration = Duration::from_millis(50);

fn tasks() -> Sandbox<()> {
    sandbox(&program("tasks"), &Imports::new())
}

/// What every way to call answers in a state in which nothing can be called.
fn cannot_be_called(plugin: &mut Sandbox<()>, func: &Func<(Vec<u32>,), u64>, state: State) {
    assert_eq!(plugin.state(), state);
    let refused = |result: Result<(), CallError>| match result {
        Err(CallError::State(found)) => assert_eq!(found, state),
        other => panic!("{other:?}"),
    };
    refused(plugin.call(func, (vec![1],)).map(drop));
    let mut reply = b"left over".to_vec();
    refused(plugin.call_bytes("echo", b"x", &mut reply, &honest_call()));
    assert_eq!(reply, b"", "a call that fails leaves nothing");
    assert_eq!(plugin.state(), state);
    assert!(plugin.state().to_string().len() > 4);
}

/// What every way to go on answers where nothing was stopped.
fn cannot_go_on(plugin: &mut Sandbox<()>, func: &Func<(Vec<u32>,), u64>) {
    let state = plugin.state();
    let refused =
        |result: Result<(), CallError>| assert!(matches!(result, Err(CallError::State(found)) if found == state));
    refused(plugin.resume(func, &honest_call()).map(drop));
    refused(resume_bytes(plugin, &honest_call()).map(drop));
    assert_eq!(plugin.state(), state);
}

fn sum(program: &Program) -> Func<(Vec<u32>,), u64> {
    program.func("sum").expect("its types")
}

#[test]
fn a_ready_sandbox_can_be_called_and_has_nothing_to_go_on_with() {
    let program = program("plugin");
    let sum = sum(&program);
    let mut plugin = sandbox(&program, &echoing());
    assert_eq!(plugin.state(), State::Ready);
    cannot_go_on(&mut plugin, &sum);
    assert_eq!(plugin.call(&sum, (vec![1, 2],)).expect("a sum"), 3);
    cannot_go_on(&mut plugin, &sum);
}

#[test]
fn a_stopped_sandbox_goes_on_with_its_own_call_and_with_nothing_else() {
    let program = program("plugin");
    let (sum, describe) =
        (sum(&program), program.func::<(String, Option<f64>, i32), String>("describe").expect("types"));
    let slow = echoing::<()>().bytes("lookup", |_, _, _| {
        std::thread::sleep(SHORT);
        Ok::<(), std::convert::Infallible>(())
    });
    let mut plugin = sandbox(&program, &slow);
    match call_bytes_within(&mut plugin, "calls_host", b"x", &Call::new().wall(SHORT)) {
        Err(CallError::Ended(End::Limit(Limit::Wall))) => {}
        other => panic!("{other:?}"),
    }
    cannot_be_called(&mut plugin, &sum, State::Stopped);
    assert!(matches!(plugin.resume(&sum, &honest_call()), Err(CallError::NotStopped { name }) if name == "sum"));
    assert!(matches!(plugin.resume(&describe, &honest_call()), Err(CallError::NotStopped { .. })));
    assert_eq!(plugin.state(), State::Stopped, "what was refused changes nothing");
    assert_eq!(resume_bytes(&mut plugin, &honest_call()).expect("its reply"), b"");
    assert_eq!(plugin.call(&sum, (vec![1, 2],)).expect("a sum"), 3);
}

#[test]
fn a_call_that_was_refused_does_not_take_the_place_of_the_one_that_was_stopped() {
    let program = program("asks");
    let add = program.func::<(u32, u32), u64>("asks_add").expect("its types");
    let parse = program.func::<(&str,), f64>("asks_parse").expect("its types");
    let mut asks = sandbox(&program, &asked());
    let stopped = asks.call_with(&add, (20, 22), &honest_call().host_calls(0));
    assert!(matches!(stopped, Err(CallError::Ended(End::Limit(Limit::HostCalls)))), "{stopped:?}");
    assert!(matches!(asks.call(&parse, ("1.5",)), Err(CallError::State(State::Stopped))));
    assert!(matches!(asks.resume(&parse, &honest_call()), Err(CallError::NotStopped { .. })), "its types are others");
    assert_eq!(asks.resume(&add, &honest_call()).expect("the sum"), 42);
}

#[test]
fn an_ended_sandbox_stays_ended() {
    let program = program("plugin");
    let sum = sum(&program);
    let mut plugin = sandbox(&program, &echoing());
    match call_bytes(&mut plugin, "exits", b"") {
        Err(CallError::Ended(End::Exited(3))) => {}
        other => panic!("{other:?}"),
    }
    cannot_be_called(&mut plugin, &sum, State::Ended);
    cannot_go_on(&mut plugin, &sum);
    call_an_honest_plugin();
}

#[test]
fn a_host_function_that_panics_poisons_its_sandbox_and_panics_in_the_caller() {
    let program = program("plugin");
    let sum = sum(&program);
    let panics = Imports::<()>::new().bytes("lookup", |_, input, _| -> Result<(), std::convert::Infallible> {
        panic!("the host's own mistake over {} bytes", input.len());
    });
    let mut plugin = sandbox(&program, &panics);
    let panic = catch_unwind(AssertUnwindSafe(|| call_bytes(&mut plugin, "calls_host", b"xyz")));
    let message = *panic.expect_err("the panic goes on").downcast::<String>().expect("its message");
    assert_eq!(message, "the host's own mistake over 3 bytes");
    cannot_be_called(&mut plugin, &sum, State::Poisoned);
    cannot_go_on(&mut plugin, &sum);
    call_an_honest_plugin();
}

#[test]
fn a_future_or_a_listener_that_panics_poisons_as_well() {
    let program = program("asks");
    let later = program.func::<(&str,), String>("asks_later").expect("its types");
    let panics = asked::<()>().async_func("later", |_, (name,): (String,)| async move {
        assert!(name.is_empty(), "in the future");
        Ok::<String, std::convert::Infallible>(name)
    });
    let mut asks = sandbox(&program, &panics);
    assert_eq!(asks.call(&later, ("",)).expect("no panic"), "");
    assert!(catch_unwind(AssertUnwindSafe(|| asks.call(&later, ("name",)))).is_err());
    assert_eq!(asks.state(), State::Poisoned);
    assert!(matches!(asks.call(&later, ("",)), Err(CallError::State(State::Poisoned))));

    let mut plugin = Sandbox::builder(&self::program("plugin"), &echoing())
        .log(|record| panic!("{}", record.message))
        .build(())
        .expect("a sandbox");
    assert!(catch_unwind(AssertUnwindSafe(|| call_bytes(&mut plugin, "log", b"said"))).is_err());
    assert_eq!(plugin.state(), State::Poisoned);
    assert!(matches!(call_bytes(&mut plugin, "echo", b""), Err(CallError::State(State::Poisoned))));
}

#[test]
fn a_function_that_fails_says_why_where_and_what_was_printed_and_the_next_call_works() {
    let mut plugin = sandbox(&program("plugin"), &echoing());
    match call_bytes(&mut plugin, "fails", b"") {
        Err(CallError::Guest { message, location, stderr }) => {
            assert_eq!((&*message, &*stderr), ("it always does", ""));
            assert!(location.contains("plugin.c:"), "{location}");
        }
        other => panic!("{other:?}"),
    }
    match call_bytes(&mut plugin, "fails", b"123") {
        Err(CallError::Guest { message, .. }) => assert_eq!(message, "the function returned 103"),
        other => panic!("{other:?}"),
    }
    let error = call_bytes(&mut plugin, "sum", &[0xff]).expect_err("no sequence");
    assert!(matches!(&error, CallError::Arguments { name } if name == "sum"), "{error}");
    assert_eq!(call_bytes(&mut plugin, "echo", b"goes on").expect("a reply"), b"goes on");

    let mut tasks = tasks();
    let long = "x".repeat(10_000);
    for (text, kept) in [(format!("{long}, the end"), 4096), ("the end".to_owned(), 28)] {
        let error = call_bytes(&mut tasks, "complains", text.as_bytes()).expect_err("it complained");
        let CallError::Guest { message, stderr, .. } = &error else { panic!("{error}") };
        assert_eq!(message, "it complained");
        assert!(stderr.len() == kept && stderr.ends_with("the end\n"), "the last of this call's: {stderr}");
        assert!(error.to_string().contains("the end"), "{error}");
    }
    assert_eq!(tasks.state(), State::Ready);
}

#[test]
fn a_trap_names_the_function_that_it_is_in() {
    for guest in ampoule_tests::variants_of("tasks") {
        let program = Program::from_bytes(guest.image()).expect("a program");
        let mut tasks = sandbox(&program, &Imports::new());
        match call_bytes(&mut tasks, "faults", b"") {
            Err(CallError::Ended(End::Trap(trap))) => {
                assert_eq!(trap.meaning(), ampoule::TrapMeaning::NullDereference);
                let (symbol, _) = trap.symbol().expect("a symbol");
                assert!(symbol.starts_with("stores_to_null"), "{symbol}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(tasks.state(), State::Ended);
    }
}

#[test]
fn every_ending_of_a_program_is_the_ending_of_its_call() {
    let memory = |sandbox: &mut Sandbox<()>| call_bytes(sandbox, "touches", b"").map(drop);
    let within =
        |call: Call| move |sandbox: &mut Sandbox<()>| call_bytes_within(sandbox, "writes", b"100", &call).map(drop);
    let named = |name: &'static str| move |sandbox: &mut Sandbox<()>| call_bytes(sandbox, name, b"").map(drop);
    type Way = Box<dyn Fn(&mut Sandbox<()>) -> Result<(), CallError>>;
    let ways: [(Way, End); 4] = [
        (Box::new(named("aborts")), End::Signaled(Signal::ABRT)),
        (Box::new(named("deadlocks")), End::Deadlock),
        (Box::new(memory), End::Limit(Limit::Memory)),
        (Box::new(within(honest_call().output(10_000))), End::Limit(Limit::Output)),
    ];
    for (way, end) in ways {
        let mut tasks = tasks();
        match way(&mut tasks) {
            Err(CallError::Ended(found)) => assert_eq!(found, end),
            other => panic!("{end}: {other:?}"),
        }
        assert_eq!(tasks.state(), State::Ended, "{end}");
        assert!(matches!(resume_bytes(&mut tasks, &honest_call()), Err(CallError::State(State::Ended))), "{end}");
    }
    call_an_honest_plugin();
}

#[test]
fn a_guest_gets_as_much_memory_as_its_limit_and_goes_on_without_more() {
    let limits = Limits::new().memory(32 << 20);
    let mut plugin = Sandbox::builder(&program("plugin"), &echoing()).limits(limits).build(()).expect("a sandbox");
    let held = word(&call_bytes(&mut plugin, "allocates", b"1000000000").expect("what it got"));
    assert!(held > 16 << 20 && held < 32 << 20, "{held}");
    assert!(plugin.last_stats().memory_peak <= 32 << 20);
    assert_eq!(word(&call_bytes(&mut plugin, "allocates", b"1000000000").expect("no more")), held);
    assert_eq!(call_bytes(&mut plugin, "echo", b"still here").expect("a reply"), b"still here");
    match call_bytes(&mut plugin, "echo", &vec![1; 8 << 20]) {
        Err(CallError::Guest { message, .. }) => assert_eq!(message, "no memory for the arguments"),
        other => panic!("{other:?}"),
    }
    assert_eq!(plugin.state(), State::Ready);
}

#[test]
fn a_program_that_ends_before_it_can_be_called_makes_no_sandbox() {
    let build = |argument: &str, call: Call| {
        let program = program("tasks");
        Sandbox::builder(&program, &Imports::new()).arg(argument).call(call).build(()).expect_err("no sandbox")
    };
    let error = build("exit", honest_call());
    let SandboxError::Ended { end, stderr } = &error else { panic!("{error}") };
    assert_eq!((end, &**stderr), (&End::Exited(7), "nothing to serve\n"));
    assert!(error.to_string().contains("nothing to serve") && error.to_string().contains("serve()"), "{error}");
    let fault = build("fault", honest_call());
    assert!(matches!(&fault, SandboxError::Ended { end: End::Trap(_), .. }), "{fault}");
    let spin = build("spin", honest_call().wall(SHORT));
    assert!(matches!(&spin, SandboxError::Ended { end: End::Limit(Limit::Wall), .. }), "{spin}");
    let token = ampoule::CancelToken::new();
    token.cancel();
    let cancelled = build("spin", honest_call().cancel(&token));
    assert!(matches!(&cancelled, SandboxError::Ended { end: End::Cancelled, .. }), "{cancelled}");

    let hello = Sandbox::new(&program("hello"), &Imports::new(), ()).expect_err("no plugin");
    assert!(matches!(&hello, SandboxError::Ended { end: End::Exited(0), .. }), "{hello}");
}

#[test]
fn a_call_that_is_over_before_it_begins_changes_nothing() {
    let program = program("plugin");
    let sum = sum(&program);
    let token = ampoule::CancelToken::new();
    token.cancel();
    for call in [honest_call().wall(Duration::ZERO), honest_call().cpu(Duration::ZERO), honest_call().cancel(&token)] {
        let mut plugin = sandbox(&program, &echoing());
        match plugin.call_with(&sum, (vec![40, 2],), &call) {
            Err(CallError::Ended(End::Limit(Limit::Wall | Limit::Cpu) | End::Cancelled)) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(plugin.state(), State::Ready);
        assert!(plugin.resume(&sum, &honest_call()).is_err(), "nothing was stopped");
        assert_eq!(plugin.call(&sum, (vec![40, 2],)).expect("the sum"), 42);
    }
}

#[test]
fn data_is_handed_back_whatever_became_of_the_sandbox() {
    let data = vec![1, 2, 3];
    let program = program("plugin");
    let mut plugin = Sandbox::new(&program, &echoing(), data.clone()).expect("a sandbox");
    assert_eq!(plugin.data(), &data);
    plugin.data_mut().push(4);
    assert!(call_bytes(&mut plugin, "exits", b"").is_err());
    assert_eq!(plugin.into_data(), [1, 2, 3, 4]);
}

#[test]
fn a_pipe_that_nobody_reads_any_more_is_the_guests_failure() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut plugin =
        Sandbox::builder(&program("plugin"), &echoing()).stdout(Stdio::from(writer)).build(()).expect("a sandbox");
    match call_bytes(&mut plugin, "prints", b"to nobody") {
        Err(CallError::Ended(End::Signaled(signal))) => assert_eq!(signal, Signal::PIPE),
        Err(CallError::Guest { message, .. }) => assert_eq!(message, "not printed"),
        other => panic!("{other:?}"),
    }
}
