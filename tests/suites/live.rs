//! A live sandbox answers as any other: with types or with bytes of any size, with the host's functions, again and again, and back to calls
//! by exits. How its calls end is in `live_endings.rs`, what runs where in `live_threads.rs`.

use ampoule::{Call, CallError, Context, Idle, Imports, Limits, Live, MemoryError, Sandbox, State};
use ampoule_kernel::ring::{INLINE_BYTES, PIECE_BYTES};
use ampoule_tests::{asked, call_bytes, echoing, honest_call, program, scale, word};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::sandboxes::pattern;

/// Short, since a guest that spins takes a core from the other tests.
pub(crate) fn idle() -> Idle {
    Idle::spin(Duration::from_micros(20))
}

/// A live sandbox with the host's functions that its guest needs.
pub(crate) fn live<T: 'static>(name: &str, data: T) -> Live<T> {
    live_with(name, &if name == "asks" { asked() } else { echoing() }, data)
}

/// A live sandbox with functions of one's own.
pub(crate) fn live_with<T: 'static>(name: &str, imports: &Imports<T>, data: T) -> Live<T> {
    let sandbox = Sandbox::new(&program(name), imports, data).expect("a sandbox");
    sandbox.into_live(idle()).expect("it serves the ring")
}

/// Calls a function of bytes within limits that no honest guest reaches.
pub(crate) fn call_live<T: 'static>(live: &mut Live<T>, name: &str, input: &[u8]) -> Result<Vec<u8>, CallError> {
    call_live_within(live, name, input, &honest_call())
}

/// Calls a function of bytes within limits.
pub(crate) fn call_live_within<T: 'static>(
    live: &mut Live<T>,
    name: &str,
    input: &[u8],
    call: &Call,
) -> Result<Vec<u8>, CallError> {
    let mut reply = b"left over".to_vec();
    let result = live.call_bytes(name, input, &mut reply, call);
    assert!(result.is_ok() || reply.is_empty(), "a call that fails leaves nothing");
    result.map(|()| reply)
}

/// Looks again and again until it is so. What never comes is a failure and no silence.
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(120), "it never comes");
        std::thread::yield_now();
    }
}

/// Around every size at which a message changes its way through the ring, and beyond all of them.
fn sizes() -> Vec<usize> {
    let around = |size: usize| [size - 1, size, size + 1];
    let mut sizes = vec![0, 1, 8];
    for size in [INLINE_BYTES, 4096, 65536, PIECE_BYTES, 2 * PIECE_BYTES, 3 * PIECE_BYTES] {
        sizes.extend(around(size));
    }
    sizes.extend([3 * PIECE_BYTES + 7, 5 << 20, 0, 5]);
    sizes
}

#[test]
fn bytes_of_every_size_cross_the_ring_in_both_directions() {
    let mut plugin = live("plugin", ());
    for size in sizes() {
        let input = pattern(size);
        assert!(call_live(&mut plugin, "echo", &input).expect("a reply") == input, "echo of {size} bytes");
        assert!(call_live(&mut plugin, "calls_host", &input).expect("a reply") == input, "{size} bytes to the host");
        let mut reversed = call_live(&mut plugin, "reverse", &input).expect("a reply");
        reversed.reverse();
        assert!(reversed == input, "reverse of {size} bytes");
    }
}

#[test]
fn a_request_of_one_size_gets_a_reply_of_another() {
    let imports = asked::<()>().bytes("raw", |_, input, reply| {
        let (length, _) = input.split_at(8);
        reply.extend(pattern(usize::try_from(word(length)).expect("a length")));
        Ok::<(), Infallible>(())
    });
    let mut asks = live_with("asks", &imports, ());
    let sizes = [0, 1, INLINE_BYTES, INLINE_BYTES + 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES + 9];
    for asked in sizes {
        for answered in sizes {
            let mut input = (answered as u64).to_le_bytes().to_vec();
            input.extend(pattern(asked));
            let reply = call_live(&mut asks, "asks_raw", &input).expect("a reply");
            assert!(reply == pattern(answered), "{asked} bytes, answered by {answered}");
        }
    }
}

#[test]
fn a_function_with_types_is_called_with_types() {
    let plugin = program("plugin");
    let sum = plugin.func::<(Vec<u32>,), u64>("sum").expect("its types");
    let describe = plugin.func::<(&str, Option<f64>, i32), String>("describe").expect("its types");
    let mut live = Sandbox::new(&plugin, &echoing(), ()).expect("a sandbox").into_live(idle()).expect("a live one");
    assert_eq!(live.call(&sum, (vec![1, 2, u32::MAX],)).expect("a sum"), 3 + u64::from(u32::MAX));
    assert_eq!(live.call(&describe, ("h\u{e4}t", Some(-2.5), i32::MIN)).expect("text"), "hät * -2.5 + -2147483648");
    let many: Vec<u32> = (0..300_000).collect();
    assert_eq!(live.call_with(&sum, (many,), &honest_call()).expect("a sum"), 44_999_850_000);
    assert_eq!(live.call(&sum, (Vec::new(),)).expect("a sum"), 0);
}

#[test]
fn every_kind_of_host_function_gives_its_result() {
    let program = program("asks");
    let add = program.func::<(u32, u32), u64>("asks_add").expect("its types");
    let parse = program.func::<(&str,), f64>("asks_parse").expect("its types");
    let later = program.func::<(&str,), String>("asks_later").expect("its types");
    let mut asks = Sandbox::new(&program, &asked(), ()).expect("a sandbox").into_live(idle()).expect("a live one");
    let long = "l".repeat(PIECE_BYTES + 1);
    for _ in 0..3 {
        assert_eq!(asks.call(&add, (u32::MAX, 1)).expect("a sum"), 1 << 32);
        assert_eq!(asks.call(&parse, ("-0.125",)).expect("a number").to_bits(), (-0.125_f64).to_bits());
        assert_eq!(asks.call(&later, ("sooner",)).expect("text"), "sooner, later");
        assert_eq!(asks.call(&later, (&long,)).expect("text"), format!("{long}, later"));
        assert_eq!(call_live(&mut asks, "asks_raw", b"\0raw\xff").expect("bytes"), b"\0raw\xff");
    }
}

#[test]
fn a_future_that_another_thread_completes_is_waited_for() {
    let (sender, requests) = std::sync::mpsc::channel::<(Arc<super::executors::Gate>, String)>();
    let imports = asked::<()>().async_func("later", move |_, (name,): (String,)| {
        let gate = Arc::new(super::executors::Gate::default());
        sender.send((Arc::clone(&gate), name.clone())).expect("somebody who opens it");
        async move {
            gate.wait().await;
            Ok::<String, Infallible>(format!("{name}, opened"))
        }
    });
    let opener = std::thread::spawn(move || {
        for (gate, _) in requests {
            gate.open();
        }
    });
    let program = program("asks");
    let later = program.func::<(&str,), String>("asks_later").expect("its types");
    let mut asks = Sandbox::new(&program, &imports, ()).expect("a sandbox").into_live(idle()).expect("a live one");
    drop(imports);
    for name in ["one", "two", "three"] {
        assert_eq!(asks.call(&later, (name,)).expect("its result"), format!("{name}, opened"));
    }
    drop(asks);
    opener.join().expect("no panic");
}

#[test]
fn a_failure_of_the_hosts_comes_back_as_the_error_that_it_was() {
    let imports = asked::<()>()
        .async_func("later", |_, (name,): (String,)| async move { Err::<String, String>(format!("no {name}")) })
        .bytes("raw", |_, input, reply| {
            reply.extend_from_slice(b"half of a reply");
            Err::<(), String>(format!("{} is not there: {}", String::from_utf8_lossy(input), "\u{e4}".repeat(1000)))
        });
    let program = program("asks");
    let parse = program.func::<(&str,), f64>("asks_parse").expect("its types");
    let later = program.func::<(&str,), String>("asks_later").expect("its types");
    let mut asks = Sandbox::new(&program, &imports, ()).expect("a sandbox").into_live(idle()).expect("a live one");
    let error = asks.call(&parse, ("no number",)).expect_err("no number");
    let CallError::Import { name, source } = &error else { panic!("{error}") };
    assert_eq!(name, "parse");
    assert!(source.downcast_ref::<std::num::ParseFloatError>().is_some(), "{source}");
    let error = asks.call(&later, ("body",)).expect_err("nobody");
    assert!(matches!(&error, CallError::Import { source, .. } if source.to_string() == "no body"), "{error}");
    assert_eq!(asks.state(), State::Ready);
    assert_eq!(asks.call(&parse, ("1",)).expect("a number").to_bits(), 1.0_f64.to_bits());
    let reply = String::from_utf8(call_live(&mut asks, "handles", b"it").expect("handled")).expect("text");
    assert_eq!(reply, format!("handled: it is not there: {}", "\u{e4}".repeat(1000)));
    let error = call_live(&mut asks, "asks_raw", b"it").expect_err("not handled");
    assert!(matches!(&error, CallError::Import { name, .. } if name == "raw"), "{error}");
}

#[test]
fn arguments_that_the_function_does_not_take_never_reach_it() {
    let imports = asked::<()>().func("add", |_, (_, _): (u32, u32)| -> u64 { panic!("it was called") });
    let mut asks = live_with("asks", &imports, ());
    for bad in [&b""[..], b"\x01", b"\x01\x02\x03", &[0xff; 100]] {
        match call_live(&mut asks, "asks_add_badly", bad) {
            Err(CallError::Guest { message, .. }) => assert_eq!(message, "the function returned 1074", "{bad:?}"),
            other => panic!("{bad:?}: {other:?}"),
        }
    }
    assert_eq!(asks.state(), State::Ready);
}

#[test]
fn a_host_function_sees_its_data_and_its_limits_but_not_the_guests_memory() {
    #[derive(Default)]
    struct Seen {
        calls: u32,
        remaining: Vec<Duration>,
        refused: Vec<MemoryError>,
    }
    let imports = asked::<Seen>().bytes("raw", |context: &mut Context<'_, Seen>, input, reply| {
        let (address, _) = input.split_at(8);
        let read = context.read(word(address), &mut [0; 4]).expect_err("it runs at the same time");
        let written = context.write(word(address), b"1234").expect_err("it runs at the same time");
        assert!(!context.is_cancelled());
        let remaining = context.remaining();
        // Time goes on while the function runs.
        while context.remaining() == remaining {
            std::hint::spin_loop();
        }
        let seen = context.data_mut();
        seen.calls += 1;
        seen.remaining.push(remaining);
        seen.refused.extend([read, written]);
        reply.clear();
        Ok::<(), Infallible>(())
    });
    let mut asks = live_with("asks", &imports, Seen::default());
    for _ in 0..3 {
        assert_eq!(call_live(&mut asks, "lends", b"as it was").expect("the guest's copy"), b"as it was");
    }
    let seen = asks.data();
    assert_eq!((seen.calls, &*seen.refused), (3, &[MemoryError::Live; 6][..]));
    assert!(seen.remaining.iter().all(|left| (1..=120).contains(&left.as_secs())), "{:?}", seen.remaining);
    *asks.data_mut() = Seen::default();
    assert_eq!(asks.data().calls, 0);
}

#[test]
fn thousands_of_calls_in_a_row_are_each_made_once() {
    let mut plugin = live("plugin", ());
    let rounds = scale(3000) as u64;
    for calls in 1..=rounds {
        assert_eq!(word(&call_live(&mut plugin, "counts", b"").expect("a count")), calls);
    }
    assert_eq!(plugin.stats().calls, rounds);
    let imports = asked::<u64>().bytes("raw", |context, input, reply| {
        assert_eq!(word(input), *context.data(), "in order");
        *context.data_mut() += 1;
        reply.extend_from_slice(input);
        Ok::<(), Infallible>(())
    });
    let mut asks = live_with("asks", &imports, 0);
    let mixed = (0..rounds).fold(0_u64, |mixed, said| mixed.wrapping_mul(31).wrapping_add(said));
    let count = rounds.to_string();
    assert_eq!(word(&call_live(&mut asks, "asks_often", count.as_bytes()).expect("their mixture")), mixed);
    assert_eq!(*asks.data(), rounds);
}

#[test]
fn a_guest_goes_into_the_ring_and_back_as_often_as_one_likes() {
    let mut sandbox = Sandbox::new(&program("plugin"), &echoing(), ()).expect("a sandbox");
    let sizes = [3 * PIECE_BYTES + 7, 0, 33, PIECE_BYTES];
    let mut calls = 0;
    for round in 0..scale(30) {
        let input = pattern(sizes[round % sizes.len()]);
        let mut live = sandbox.into_live(idle()).expect("it serves the ring");
        assert_eq!((live.state(), live.stats().calls), (State::Ready, 0));
        // Another number each time, so that the ring begins again wherever it stood; none at all is a number as well.
        for _ in 0..round % 4 {
            calls += 1;
            assert_eq!(word(&call_live(&mut live, "counts", b"").expect("a count")), calls);
            assert!(call_live(&mut live, "calls_host", &input).expect("a reply") == input);
        }
        sandbox = live.into_sandbox(&honest_call()).expect("it comes back");
        assert_eq!(sandbox.state(), State::Ready);
        calls += 1;
        assert_eq!(word(&call_bytes(&mut sandbox, "counts", b"").expect("a count")), calls);
        assert!(call_bytes(&mut sandbox, "calls_host", &input).expect("a reply") == input);
    }
}

#[test]
fn what_cannot_be_called_is_refused_and_changes_nothing() {
    let (plugin, other) = (program("plugin"), program("plugin"));
    let sum = other.func::<(Vec<u32>,), u64>("sum").expect("its types");
    let mut live = Sandbox::new(&plugin, &echoing(), ()).expect("a sandbox").into_live(idle()).expect("a live one");
    assert!(matches!(live.call(&sum, (vec![1],)), Err(CallError::OtherProgram { name }) if name == "sum"));
    assert!(matches!(call_live(&mut live, "nobody", b""), Err(CallError::Unknown { name }) if name == "nobody"));
    assert_eq!((live.state(), live.stats().calls), (State::Ready, 0));
    let sum = plugin.clone().func::<(Vec<u32>,), u64>("sum").expect("its types");
    assert_eq!(live.call(&sum, (vec![1],)).expect("a clone is the same program"), 1);

    let document = Sandbox::new(&program("from_the_document"), &echoing(), ()).expect("a sandbox");
    assert!(matches!(document.into_live(idle()), Err(CallError::NoRing)));
    let mut stopped = Sandbox::new(&plugin, &echoing(), ()).expect("a sandbox");
    let call = honest_call().cpu(Duration::from_millis(20));
    assert!(stopped.call_bytes("spins", b"", &mut Vec::new(), &call).is_err());
    assert!(matches!(stopped.into_live(idle()), Err(CallError::State(State::Stopped))));
}

#[test]
fn a_function_that_fails_says_why_and_the_next_call_works() {
    let mut plugin = live("plugin", ());
    match call_live(&mut plugin, "fails", b"") {
        Err(CallError::Guest { message, location, .. }) => {
            assert!(message == "it always does" && location.contains("plugin.c"), "{message} at {location}");
        }
        other => panic!("{other:?}"),
    }
    let numbered = call_live(&mut plugin, "fails", b"12").expect_err("it always does");
    assert!(numbered.to_string().contains("the function returned 102"), "{numbered}");
    assert!(matches!(call_live(&mut plugin, "sum", b"\xff"), Err(CallError::Arguments { name }) if name == "sum"));
    assert_eq!(plugin.state(), State::Ready);
    assert_eq!(call_live(&mut plugin, "echo", b"well").expect("a reply"), b"well");

    let mut tasks = live("tasks", ());
    match call_live(&mut tasks, "complains", b"loudly") {
        Err(CallError::Guest { message, stderr, .. }) => {
            assert_eq!((&*message, &*stderr), ("it complained", "before the failure: loudly\n"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_clocks_and_memory_are_there_as_for_any_other_sandbox() {
    let mut sandbox = Sandbox::builder(&program("tasks"), &Imports::new())
        .arg("argument")
        .env("VARIABLE", "variable")
        .file("/etc/plugin", "file")
        .build(())
        .expect("a sandbox");
    let computed = call_bytes(&mut sandbox, "computes", b"20000").expect("a result");
    assert_eq!(word(&call_bytes(&mut sandbox, "keeps", b"1234").expect("a length")), 4);
    let mut live = sandbox.into_live(idle()).expect("it serves the ring");
    assert_eq!(call_live(&mut live, "finds", b"").expect("a reply"), b"argument variable file");
    assert_eq!(call_live(&mut live, "computes", b"20000").expect("a result"), computed);
    for times in 2..=5 {
        assert_eq!(word(&call_live(&mut live, "keeps", b"1234").expect("a length")), 4 * times);
    }
    assert_eq!(call_live(&mut live, "sleeps", b"7").expect("a reply"), b"slept");
    let mut sandbox = live.into_sandbox(&honest_call()).expect("it comes back");
    assert_eq!(word(&call_bytes(&mut sandbox, "keeps", b"1234").expect("a length")), 24, "files stay");
}

#[test]
fn a_message_beyond_the_limit_fails_the_call_in_every_direction_and_the_next_one_works() {
    let max = PIECE_BYTES + 1000;
    let imports = asked::<()>().bytes("raw", |_, input, reply| {
        reply.resize(usize::try_from(word(&input[..8])).expect("a length"), 7);
        Ok::<(), Infallible>(())
    });
    let limits = Limits::new().message_bytes(max);
    let region = ampoule::Region::from_bytes(pattern(3 * max)).expect("a region");
    let builder = Sandbox::builder(&program("asks"), &imports).limits(limits).region("long", &region);
    let mut asks = builder.build(()).expect("a sandbox").into_live(idle()).expect("it serves the ring");
    let length = |bytes: usize| (bytes as u64).to_le_bytes().to_vec();

    let mut longest = pattern(max);
    longest[..8].copy_from_slice(&length(max));
    assert_eq!(call_live(&mut asks, "asks_raw", &longest).expect("the longest, four times").len(), max);
    longest.push(0);
    let too_long = call_live(&mut asks, "asks_raw", &longest);
    assert!(
        matches!(too_long, Err(CallError::TooLong { bytes, max: limit }) if bytes == max as u64 + 1 && limit == max)
    );

    let too_long = call_live(&mut asks, "gives", b"long");
    assert!(
        matches!(too_long, Err(CallError::TooLong { bytes, max: limit }) if bytes == 3 * max as u64 && limit == max)
    );
    assert_eq!(asks.state(), State::Ready);

    let error = call_live(&mut asks, "sends", b"long").expect_err("a request that is too long");
    assert!(matches!(&error, CallError::Import { name, .. } if name == "raw"), "{error}");
    let reason = call_live(&mut asks, "handles", &length(max + 1)).expect("the function failed");
    assert!(reason.starts_with(b"handled: ") && reason.len() < 1000, "{}", String::from_utf8_lossy(&reason));
    assert_eq!(call_live(&mut asks, "asks_raw", &length(5)).expect("a reply"), [7; 5]);
}
