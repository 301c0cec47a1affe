//! Host functions: typed and untyped, failing, late, with the sandbox's data and the guest's memory at hand, and calling sandboxes
//! themselves.

use ampoule::{CallError, End, Imports, Limit, MemoryError, Sandbox, State};
use ampoule_tests::{
    asked, call_an_honest_plugin, call_bytes, call_bytes_within, echoing, honest_call, program, resume_bytes, sandbox,
    word,
};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

#[test]
fn every_kind_of_host_function_gives_its_result() {
    let program = program("asks");
    let add = program.func::<(u32, u32), u64>("asks_add").expect("its types");
    let parse = program.func::<(&str,), f64>("asks_parse").expect("its types");
    let later = program.func::<(&str,), String>("asks_later").expect("its types");
    let mut asks = sandbox(&program, &asked());
    for _ in 0..3 {
        assert_eq!(asks.call(&add, (u32::MAX, 1)).expect("a sum"), 1 << 32);
        assert_eq!(asks.call(&parse, ("-0.125",)).expect("a number").to_bits(), (-0.125_f64).to_bits());
        assert_eq!(asks.call(&later, ("sooner",)).expect("text"), "sooner, later");
        assert_eq!(call_bytes(&mut asks, "asks_raw", b"\0raw\xff").expect("bytes"), b"\0raw\xff");
    }
}

#[test]
fn a_failure_of_the_hosts_comes_back_as_the_error_that_it_was() {
    let program = program("asks");
    let parse = program.func::<(&str,), f64>("asks_parse").expect("its types");
    let mut asks = sandbox(&program, &asked());
    let error = asks.call(&parse, ("no number",)).expect_err("no number");
    let CallError::Import { name, source } = &error else { panic!("{error}") };
    assert_eq!(name, "parse");
    assert!(source.downcast_ref::<std::num::ParseFloatError>().is_some(), "{source}");
    assert_eq!(asks.state(), State::Ready);
    assert_eq!(asks.call(&parse, ("1",)).expect("a number").to_bits(), 1.0_f64.to_bits());
    // What failed in an earlier call is no reason for this one's failure.
    match call_bytes(&mut asks, "handles", b"") {
        Err(CallError::Guest { message, .. }) => assert_eq!(message, "there was nothing to handle"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_guest_can_make_something_of_a_failure_of_the_hosts() {
    let imports = asked::<()>().bytes("raw", |_, input, reply| {
        reply.extend_from_slice(b"half of a reply");
        Err::<(), String>(format!("{} is not there: {}", String::from_utf8_lossy(input), "\u{e4}".repeat(1000)))
    });
    let mut asks = sandbox(&program("asks"), &imports);
    let reply = String::from_utf8(call_bytes(&mut asks, "handles", b"it").expect("handled")).expect("text");
    assert_eq!(reply, format!("handled: it is not there: {}", "\u{e4}".repeat(1000)));
    let error = call_bytes(&mut asks, "asks_raw", b"it").expect_err("not handled");
    assert!(matches!(&error, CallError::Import { name, .. } if name == "raw"), "{error}");
}

#[test]
fn a_future_can_fail_as_well() {
    let program = program("asks");
    let later = program.func::<(&str,), String>("asks_later").expect("its types");
    let imports = asked::<()>().async_func("later", |_, (name,): (String,)| async move {
        if name.is_empty() { Err("nobody".to_owned()) } else { Ok(name) }
    });
    let mut asks = sandbox(&program, &imports);
    let error = asks.call(&later, ("",)).expect_err("nobody");
    assert!(matches!(&error, CallError::Import { source, .. } if source.to_string() == "nobody"), "{error}");
    assert_eq!(asks.call(&later, ("somebody",)).expect("text"), "somebody");
}

#[test]
fn arguments_that_the_function_does_not_take_never_reach_it() {
    let imports = asked::<()>().func("add", |_, (_, _): (u32, u32)| -> u64 { panic!("it was called") });
    let mut asks = sandbox(&program("asks"), &imports);
    for bad in [&b""[..], b"\x01", b"\x01\x02\x03", b"\xff\xff\xff\xff\xff\xff\x01"] {
        match call_bytes(&mut asks, "asks_add_badly", bad) {
            Err(CallError::Guest { message, .. }) => assert_eq!(message, "the function returned 1074", "{bad:?}"),
            other => panic!("{bad:?}: {other:?}"),
        }
    }
}

#[test]
fn every_sandbox_has_its_own_data_and_shares_the_functions() {
    let imports = asked::<Vec<u64>>().bytes("raw", |context, input, reply| {
        context.data_mut().push(word(input));
        reply.extend_from_slice(&(context.data().len() as u64).to_le_bytes());
        Ok::<(), Infallible>(())
    });
    let program = program("asks");
    let mut all: Vec<_> = (0..3).map(|_| Sandbox::new(&program, &imports, Vec::new()).expect("a sandbox")).collect();
    for (count, asks) in (1_u64..).zip(&mut all) {
        call_bytes(asks, "asks_often", count.to_string().as_bytes()).expect("asked");
    }
    for (count, asks) in (1_u64..).zip(all) {
        assert_eq!(asks.into_data(), (0..count).collect::<Vec<_>>());
    }
}

#[test]
fn a_host_function_reads_and_writes_the_memory_that_the_guest_lends_it() {
    let imports = asked::<()>().bytes("raw", |context, input, _| {
        let (address, bytes) = input.split_at(8);
        let (address, bytes) = (word(address), usize::try_from(word(bytes)).expect("a length"));
        let mut lent = vec![0; bytes];
        context.read(address, &mut lent).expect("the guest's memory");
        lent.make_ascii_uppercase();
        context.write(address, &lent).expect("the guest's memory");
        Ok::<(), Infallible>(())
    });
    let mut asks = sandbox(&program("asks"), &imports);
    assert_eq!(call_bytes(&mut asks, "lends", b"make it louder").expect("louder"), b"MAKE IT LOUDER");
    let long = vec![b'a'; 60_000];
    assert_eq!(call_bytes(&mut asks, "lends", &long).expect("louder"), vec![b'A'; 60_000]);
}

#[test]
fn a_host_function_cannot_reach_what_the_guest_could_not() {
    let refusals = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&refusals);
    let imports = asked::<()>().bytes("raw", move |context, input, _| {
        let lent = word(&input[..8]);
        let mut bytes = [0; 16];
        // Null, the hole, the kernel's half, the end of it, a page that is not mapped, the info page and the gate (which may be read only).
        for address in [0, 8, 0x8000_0000_0000, 0xffff_8000_0000_0000, u64::MAX - 8, 0x7f70_0000_0000, lent + (1 << 40)]
        {
            let read = context.read(address, &mut bytes);
            let write = context.write(address, &bytes);
            let fault = Err(MemoryError::Fault { address, bytes: 16 });
            seen.lock().expect("a lock").push((address, read == fault, write == fault));
        }
        for address in [ampoule_kernel::layout::INFO, ampoule_kernel::layout::CALL_GATE] {
            let write = context.write(address, &bytes);
            seen.lock().expect("a lock").push((address, true, write.is_err()));
        }
        // More than there is: as much as there is may have been copied, but it is an error.
        let mut much = vec![0; 1 << 30];
        seen.lock().expect("a lock").push((
            lent,
            context.read(lent, &mut much).is_err(),
            context.write(lent, &much).is_err(),
        ));
        context.read(0, &mut []).expect("nothing is always there");
        context.write(0, &[]).expect("nothing is always there");
        Ok::<(), Infallible>(())
    });
    let mut asks = sandbox(&program("asks"), &imports);
    // What was written over is the guest's own affair.
    let _ = call_bytes(&mut asks, "lends", b"0123456789abcdef");
    let refusals = refusals.lock().expect("a lock");
    assert_eq!(refusals.len(), 10);
    for (address, read, write) in refusals.iter() {
        assert!(read & write, "{address:#x}: {read} {write}");
    }
    call_an_honest_plugin();
}

#[test]
fn one_call_more_than_the_limit_stops_before_the_function_runs() {
    let imports = asked::<u64>().bytes("raw", |context, _, reply| {
        *context.data_mut() += 1;
        reply.extend_from_slice(&[0; 8]);
        Ok::<(), Infallible>(())
    });
    let mut asks = Sandbox::new(&program("asks"), &imports, 0).expect("a sandbox");
    let call = honest_call().host_calls(5);
    call_bytes_within(&mut asks, "asks_often", b"5", &call).expect("exactly the limit");
    assert_eq!(*asks.data(), 5);
    let stopped = call_bytes_within(&mut asks, "asks_often", b"6", &call);
    assert!(matches!(stopped, Err(CallError::Ended(End::Limit(Limit::HostCalls)))), "{stopped:?}");
    assert_eq!((*asks.data(), asks.state()), (10, State::Stopped));
    resume_bytes(&mut asks, &call).expect("the sixth");
    assert_eq!(*asks.data(), 11);
}

#[test]
fn a_sandbox_can_be_called_inside_a_host_function_of_another_one() {
    // Each asks the next: the innermost one echoes.
    fn tower(height: usize) -> Sandbox<()> {
        let program = program("asks");
        let inner = Mutex::new((height > 0).then(|| tower(height - 1)));
        let imports = asked::<()>().bytes("raw", move |context, input, reply| {
            let text = [input, b"."].concat();
            let said = match &mut *inner.lock().expect("a lock") {
                Some(sandbox) => call_bytes(sandbox, "asks_raw", &text)?,
                None => text,
            };
            assert!(!context.remaining().is_zero() && !context.is_cancelled());
            reply.extend_from_slice(&said);
            Ok::<(), CallError>(())
        });
        sandbox(&program, &imports)
    }
    let mut tower = tower(3);
    for _ in 0..3 {
        assert_eq!(call_bytes(&mut tower, "asks_raw", b"x").expect("through all"), b"x....");
    }
}

#[test]
fn the_limits_of_an_inner_call_are_its_own_and_those_of_the_outer_one_go_on() {
    let imports = asked::<Vec<String>>().bytes("raw", |context, _, reply| {
        let mut inner = sandbox(&program("tasks"), &Imports::new());
        for call in [
            honest_call().wall(std::time::Duration::from_millis(20)),
            honest_call().cpu(std::time::Duration::from_millis(20)),
        ] {
            let stopped = call_bytes_within(&mut inner, "computes", b"1000000000", &call).expect_err("a limit");
            context.data_mut().push(stopped.to_string());
            inner = sandbox(&program("tasks"), &Imports::new());
        }
        reply.extend_from_slice(&call_bytes(&mut inner, "computes", b"1000")?);
        Ok::<(), CallError>(())
    });
    let mut outer = Sandbox::new(&program("asks"), &imports, Vec::new()).expect("a sandbox");
    let direct = call_bytes(&mut sandbox(&program("tasks"), &Imports::new()), "computes", b"1000").expect("a result");
    assert_eq!(call_bytes(&mut outer, "asks_raw", b"").expect("the outer one has its own limits"), direct);
    assert!(outer.data()[0].contains("wall") && outer.data()[1].contains("CPU"), "{:?}", outer.data());
    // And the outer one's limit, which passes meanwhile, strikes when the inner call is over.
    let stopped =
        call_bytes_within(&mut outer, "asks_raw", b"", &honest_call().wall(std::time::Duration::from_millis(10)));
    assert!(matches!(stopped, Err(CallError::Ended(End::Limit(Limit::Wall)))), "{stopped:?}");
    assert_eq!(resume_bytes(&mut outer, &honest_call()).expect("a result"), direct);
}

#[test]
fn a_program_can_be_run_inside_a_host_function() {
    let imports = echoing::<()>().bytes("lookup", |_, _, reply| {
        ampoule_tests::run_hello();
        reply.extend_from_slice(b"said hello");
        Ok::<(), Infallible>(())
    });
    let mut plugin = sandbox(&program("plugin"), &imports);
    assert_eq!(call_bytes(&mut plugin, "calls_host", b"").expect("a reply"), b"said hello");
}

#[test]
fn a_host_function_sees_that_its_call_was_cancelled() {
    let token = ampoule::CancelToken::new();
    let canceller = token.clone();
    let imports = asked::<()>().bytes("raw", move |context, _, _| {
        assert!(!context.is_cancelled());
        canceller.cancel();
        assert!(context.is_cancelled());
        Ok::<(), Infallible>(())
    });
    let mut asks = sandbox(&program("asks"), &imports);
    let cancelled = call_bytes_within(&mut asks, "asks_raw", b"", &honest_call().cancel(&token));
    assert!(matches!(cancelled, Err(CallError::Ended(End::Cancelled))), "{cancelled:?}");
    assert_eq!(resume_bytes(&mut asks, &honest_call()).expect("the rest"), b"");
}

#[test]
fn a_reply_of_the_hosts_has_the_same_limit_as_every_message() {
    let imports = asked::<()>().bytes("raw", |_, input, reply| {
        reply.resize(usize::try_from(word(input)).expect("a length"), 7);
        Ok::<(), Infallible>(())
    });
    let limits = ampoule::Limits::new().message_bytes(100_000);
    let mut asks = Sandbox::builder(&program("asks"), &imports).limits(limits).build(()).expect("a sandbox");
    assert_eq!(call_bytes(&mut asks, "asks_raw", &100_000_u64.to_le_bytes()).expect("the longest").len(), 100_000);
    let reason = call_bytes(&mut asks, "handles", &100_001_u64.to_le_bytes()).expect("the function failed");
    assert!(reason.starts_with(b"handled: ") && reason.len() > 20, "{}", String::from_utf8_lossy(&reason));

    let imports = asked::<()>()
        .async_func("later", |_, (name,): (String,)| async move { Ok::<String, Infallible>(name.repeat(100_001)) });
    let limits = ampoule::Limits::new().message_bytes(100_000);
    let mut asks = Sandbox::builder(&program("asks"), &imports).limits(limits).build(()).expect("a sandbox");
    let refused = call_bytes(&mut asks, "asks_later", b"\x01x");
    assert!(matches!(&refused, Err(CallError::Import { name, .. }) if name == "later"), "{refused:?}");
    assert_eq!(asks.state(), State::Ready);
}
