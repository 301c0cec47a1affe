//! Plugins that misbehave in every way that one can think of: each ends as it deserves, within its limits, with a typed ending, and the
//! next sandbox does not notice. The guests list their misbehaviours themselves, so that none is forgotten.

use ampoule::{
    CallError, End, Imports, Limits, Overflow, Program, Region, Sandbox, SandboxBuilder, SandboxError, State,
};
use ampoule_tests::{
    call_an_honest_plugin, call_bytes, call_bytes_within, echoing, honest_call, program, run_inside, sandbox, scale,
};
use std::time::Duration;

/// What a plugin may hold that is not trusted with much.
fn tight() -> Limits {
    Limits::new().memory(16 << 20).message_bytes(1 << 20).open_files(8).file_bytes(1 << 20).file_count(9)
}

fn builder(program: &Program) -> SandboxBuilder<()> {
    let region = Region::from_bytes([7; 5000]).expect("a region");
    let builder = Sandbox::builder(program, &echoing()).limits(tight()).region("shared", &region).call(honest_call());
    builder.log(|_| {}).events(64, Overflow::DropOldest).0
}

/// What a guest prints, line by line.
fn lines(guest: &str, argument: &str) -> Vec<String> {
    let output = run_inside(guest, &[argument]);
    assert_eq!(output.end, End::Exited(0), "{guest} {argument}");
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

/// What became of a call, in the words of `raw.h`.
fn what_became(result: Result<Vec<u8>, CallError>) -> Result<&'static str, String> {
    match result {
        Ok(reply) if reply == b"ok" => Ok("answered"),
        // Only where the reply does not matter is this an ending that is asked for.
        Ok(reply) => Err(format!("went on: {}", String::from_utf8_lossy(&reply))),
        Err(CallError::Guest { .. }) => Ok("guest"),
        Err(CallError::Arguments { .. }) => Ok("arguments"),
        Err(CallError::TooLong { .. }) => Ok("too long"),
        Err(CallError::Protocol(_)) => Ok("protocol"),
        Err(CallError::Ended(End::Trap(_))) => Ok("trap"),
        Err(CallError::Ended(End::Limit(_))) => Ok("limit"),
        Err(CallError::Ended(End::Exited(3))) => Ok("exited"),
        Err(CallError::Ended(End::Signaled(_))) => Ok("signaled"),
        Err(other) => Err(other.to_string()),
    }
}

/// Lets one guest misbehave in one way, in a sandbox of its own.
fn misbehave(program: &Program, name: &str, wanted: &str) -> Result<(), String> {
    let wanted: Vec<&str> = wanted.split(" or ").collect();
    let mut plugin = builder(program).build(()).map_err(|error| error.to_string())?;
    // What comes back by itself has time enough, even on an emulated machine.
    let call = honest_call().host_calls(20_000);
    let call = if wanted == ["limit"] { call.wall(Duration::from_millis(100)) } else { call };
    let result = call_bytes_within(&mut plugin, "misbehave", name.as_bytes(), &call);
    let found = match what_became(result) {
        Ok("answered") if wanted == ["next call"] => {
            let next = what_became(call_bytes(&mut plugin, "misbehave", b"anything"))?;
            return if next == "protocol" && plugin.state() == State::Ended { Ok(()) } else { Err(next.to_owned()) };
        }
        Err(_) if wanted.contains(&"went on") && plugin.state() == State::Ready => "went on",
        Ok("answered") if wanted.contains(&"went on") => "went on",
        other => other?,
    };
    if !wanted.contains(&found) {
        return Err(found.to_owned());
    }
    let state = plugin.state();
    let right = match found {
        "answered" | "went on" | "guest" | "arguments" | "too long" => {
            state == State::Ready && call_bytes(&mut plugin, "misbehave", b"").is_ok()
        }
        "limit" => matches!(state, State::Stopped | State::Ended),
        _ => state == State::Ended,
    };
    if right { Ok(()) } else { Err(format!("{found}, and then {state}")) }
}

/// Every misbehaviour of a guest, with an honest plugin after each.
fn every_misbehaviour(guest: &str) {
    let program = program(guest);
    let all = lines(guest, "list");
    let mut wrong = Vec::new();
    for line in &all {
        let (name, wanted) = line.split_once('\t').expect("a name and an ending");
        if let Err(found) = misbehave(&program, name, wanted) {
            wrong.push(format!("{name}: {found}, and {wanted} was right"));
        }
        call_an_honest_plugin();
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

#[test]
fn calls_and_replies_that_no_honest_plugin_makes_end_as_they_deserve() {
    every_misbehaviour("hostile_calls");
}

#[test]
fn accesses_to_the_hosts_pages_end_as_they_deserve() {
    every_misbehaviour("hostile_accesses");
}

#[test]
fn whatever_goes_wrong_when_a_guest_attaches_is_a_typed_error() {
    let program = program("hostile_calls");
    let mut wrong = Vec::new();
    for name in lines("hostile_calls", "list-arguments") {
        let call = match &*name {
            "never serve" => honest_call().wall(Duration::from_millis(100)),
            _ => honest_call(),
        };
        let right = match builder(&program).arg(&name).call(call).build(()) {
            Err(SandboxError::Ended { end: End::Exited(3), .. }) => name == "exit at once",
            Err(SandboxError::Ended { end: End::Limit(_), .. }) => name == "never serve",
            Err(SandboxError::Protocol(error)) => {
                assert!(error.to_string().len() > 10);
                !["exit at once", "never serve"].contains(&&*name)
            }
            Err(other) => {
                wrong.push(format!("{name}: {other}"));
                continue;
            }
            Ok(_) => false,
        };
        if !right {
            wrong.push(name);
        }
        call_an_honest_plugin();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_result_that_claims_to_be_endless_costs_nothing() {
    let program = program("hostile_calls");
    let bomb = program.func::<(), Vec<String>>("bomb").expect("its types");
    let mut plugin = builder(&program).build(()).expect("a sandbox");
    for _ in 0..scale(3) {
        let error = plugin.call(&bomb, ()).expect_err("no sequence");
        assert!(matches!(&error, CallError::Encoding { name, .. } if name == "bomb"), "{error}");
        assert_eq!(plugin.state(), State::Ready);
    }
}

#[test]
fn a_function_whose_arguments_have_no_bound_is_refused_even_if_no_note_names_it() {
    let imports = Imports::<()>::new().func("lookup", |_, (items,): (Vec<()>,)| items.len() as u64);
    let refused = Sandbox::new(&program("hostile_unnoted"), &imports, ());
    assert!(matches!(&refused, Err(SandboxError::Unbounded { .. } | SandboxError::Protocol(_))), "{refused:?}");
    let imports = Imports::<()>::new().func("lookup", |_, (items,): (Vec<u8>,)| items.len() as u64);
    let mut plugin = sandbox(&program("hostile_unnoted"), &imports);
    assert_eq!(call_bytes(&mut plugin, "misbehave", b"unnoted bomb").expect("an answer"), b"ok");
}

#[test]
fn hostile_plugins_find_nobody_outside_and_as_commands() {
    for guest in ["hostile_calls", "hostile_accesses", "hostile_unnoted"] {
        let output = run_inside(guest, &[]);
        assert_eq!(output.end, End::Exited(2), "{guest}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn an_event_where_nobody_listens_is_a_trap() {
    let mut plugin = sandbox(&program("hostile_accesses"), &echoing());
    match call_bytes(&mut plugin, "misbehave", b"event of 4") {
        Err(CallError::Ended(End::Trap(trap))) => {
            assert_eq!(trap.fault_address(), Some(ampoule_kernel::layout::EVENTS + 16), "{trap}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_guest_that_floods_a_queue_that_may_not_drop_is_stopped() {
    let (builder, events) =
        Sandbox::builder(&program("hostile_accesses"), &echoing()).limits(tight()).events(64, Overflow::Stop);
    let mut plugin = builder.build(()).expect("a sandbox");
    let flooded = call_bytes(&mut plugin, "misbehave", b"event flood");
    assert!(matches!(flooded, Err(CallError::Ended(End::Limit(ampoule::Limit::Events)))), "{flooded:?}");
    assert_eq!(std::iter::from_fn(|| events.try_next()).count(), 64);
    call_an_honest_plugin();
}
