//! Plugins that misbehave in the ring, in every way that one can think of: each ends as it deserves, within its limits, with a typed
//! ending; its thread goes, and the next sandbox does not notice. The guest lists its misbehaviours itself, so that none is forgotten.

use ampoule::{Call, CallError, End, Idle, Imports, Limits, Live, Program, Sandbox, State};
use ampoule_tests::{honest_call, program, run_inside};
use std::convert::Infallible;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::live::{call_live, call_live_within, live, until};

/// What a plugin may hold that is not trusted with much.
fn tight() -> Limits {
    Limits::new().memory(16 << 20).message_bytes(1 << 20).open_files(8).file_bytes(1 << 20).file_count(9)
}

/// Limits for a guest that may, or must, stay away: short enough to wait for, long enough for what comes by itself.
fn limits_for(wanted: &[&str]) -> Call {
    let call = honest_call().host_calls(20_000);
    if wanted == ["limit"] {
        call.wall(Duration::from_millis(100))
    } else if wanted.contains(&"limit") {
        call.wall(Duration::from_secs(2))
    } else {
        call
    }
}

/// What became of a call, in the words of `raw.h`.
fn what_became(result: Result<Vec<u8>, CallError>) -> Result<&'static str, String> {
    Ok(match result {
        Ok(reply) if reply == b"ok" => "answered",
        Ok(_) => "went on",
        Err(CallError::Guest { .. }) => "guest",
        Err(CallError::Arguments { .. }) => "arguments",
        Err(CallError::TooLong { .. }) => "too long",
        Err(CallError::Protocol(_)) => "protocol",
        Err(CallError::Ended(End::Trap(_))) => "trap",
        Err(CallError::Ended(End::Limit(_))) => "limit",
        Err(CallError::Ended(End::Exited(3))) => "exited",
        Err(other) => return Err(other.to_string()),
    })
}

/// The state that an ending leaves behind.
fn state_after(ending: &str) -> State {
    match ending {
        "answered" | "went on" | "guest" | "arguments" | "too long" => State::Ready,
        _ => State::Ended,
    }
}

/// Lets the guest misbehave in one way.
fn misbehave(mut plugin: Live<()>, name: &str, wanted: &[&str]) -> Result<(), String> {
    let found = what_became(call_live_within(&mut plugin, "misbehave", name.as_bytes(), &limits_for(wanted)))?;
    let asked_for = wanted.contains(&found)
        || found == "answered" && wanted.iter().any(|it| ["went on", "next call", "stays", "breaks"].contains(it));
    if !asked_for || plugin.state() != state_after(found) {
        return Err(format!("{found}, and then {}", plugin.state()));
    }
    if plugin.state() == State::Ended {
        let refused = call_live(&mut plugin, "misbehave", b"");
        return matches!(refused, Err(CallError::State(State::Ended)))
            .then_some(())
            .ok_or_else(|| format!("{found}, and then {refused:?}"));
    }
    if name.starts_with("idle: ") && name != "idle: ends" {
        until(|| plugin.stats().made_to_park > 0);
    }
    let next = what_became(call_live(&mut plugin, "misbehave", b""))?;
    let right = match wanted {
        ["next call"] => next == "protocol",
        [_] => next == "answered",
        // An ending of its own that had not come yet.
        _ => next == "answered" || next != found && wanted.contains(&next),
    };
    if !right || plugin.state() != state_after(next) {
        return Err(format!("{found}, and the next call: {next}, and then {}", plugin.state()));
    }
    match (wanted, next) {
        (_, "answered") => leave(plugin, wanted),
        _ => Ok(()),
    }
}

/// Takes a guest that can be called out of the ring.
fn leave(plugin: Live<()>, wanted: &[&str]) -> Result<(), String> {
    let call = if wanted == ["stays"] { honest_call().wall(Duration::from_millis(100)) } else { honest_call() };
    match (wanted, plugin.into_sandbox(&call)) {
        (["stays"], Err(CallError::Ended(End::Limit(_)))) | (["breaks"], Err(CallError::Protocol(_))) => Ok(()),
        (["stays" | "breaks"], Ok(_)) => Err("it left".to_owned()),
        (_, Ok(mut sandbox)) => {
            let reply = ampoule_tests::call_bytes(&mut sandbox, "misbehave", b"").map_err(|error| error.to_string())?;
            if reply == b"only in the ring" { Ok(()) } else { Err(String::from_utf8_lossy(&reply).into_owned()) }
        }
        (_, Err(error)) => Err(format!("it did not leave: {error}")),
    }
}

/// The host's function that the guest needs, which holds `token`: so does every sandbox that has it.
fn imports(token: &Arc<()>) -> Imports<()> {
    let token = Arc::clone(token);
    Imports::new().bytes("lookup", move |_, input, reply| {
        let _ = &token;
        reply.extend_from_slice(input);
        Ok::<(), Infallible>(())
    })
}

/// The same on a thread of its own, so that a host that never comes back is a failure and no silence.
fn misbehave_in_time(program: &Program, name: &str, wanted: &str) -> Result<(), String> {
    let token = Arc::new(());
    let sandbox = Sandbox::builder(program, &imports(&token)).limits(tight()).log(|_| {}).build(());
    let plugin = sandbox.map_err(|error| error.to_string())?.into_live(Idle::spin(Duration::from_micros(20)));
    let plugin = plugin.map_err(|error| error.to_string())?;
    let (sender, verdict) = mpsc::channel();
    let (name, wanted) = (name.to_owned(), wanted.to_owned());
    let caller = std::thread::spawn(move || {
        let wanted: Vec<&str> = wanted.split(" or ").collect();
        let _ = sender.send(misbehave(plugin, &name, &wanted));
    });
    match verdict.recv_timeout(Duration::from_secs(120)) {
        Ok(verdict) => {
            caller.join().map_err(|_| "a panic".to_owned())?;
            // The guest's thread holds its functions until it is gone.
            if Arc::strong_count(&token) != 1 {
                return Err("the guest's thread is still there".to_owned());
            }
            verdict
        }
        Err(mpsc::RecvTimeoutError::Timeout) => Err("the call does not end".to_owned()),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err("a panic".to_owned()),
    }
}

#[test]
fn messages_that_no_honest_plugin_writes_into_the_ring_end_as_they_deserve() {
    let program = program("hostile_ring");
    let list = run_inside("hostile_ring", &["list"]);
    assert_eq!(list.end, End::Exited(0));
    let list = String::from_utf8(list.stdout).expect("text");
    let mut wrong = Vec::new();
    for line in list.lines() {
        let (name, wanted) = line.split_once('\t').expect("a name and an ending");
        if let Err(found) = misbehave_in_time(&program, name, wanted) {
            wrong.push(format!("{name}: {found}, and {wanted} was right"));
        }
        let mut honest = live("plugin", ());
        assert_eq!(call_live(&mut honest, "calls_host", name.as_bytes()).expect("a reply"), name.as_bytes());
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), list.lines().count(), wrong.join("\n"));
}

#[test]
fn a_hostile_plugin_of_the_ring_finds_nobody_outside_and_as_a_command() {
    let output = run_inside("hostile_ring", &[]);
    assert_eq!(output.end, End::Exited(2), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What a host function that takes its time was called with.
#[derive(Default)]
struct Slow {
    calls: u64,
    late: u64,
}

#[test]
fn requests_that_are_always_there_do_not_keep_a_call_beyond_its_time() {
    let imports = Imports::<Slow>::new().bytes("lookup", |context, _, _| {
        let slow = context.data_mut();
        slow.calls += 1;
        if context.remaining().is_zero() {
            context.data_mut().late += 1;
        }
        std::thread::yield_now();
        Ok::<(), Infallible>(())
    });
    let sandbox = Sandbox::new(&program("hostile_ring"), &imports, Slow::default()).expect("a sandbox");
    let mut plugin = sandbox.into_live(Idle::spin(Duration::ZERO)).expect("it serves the ring");
    let call = honest_call().wall(Duration::from_millis(20)).host_calls(2_000_000);
    let ended = call_live_within(&mut plugin, "misbehave", b"import and forget", &call);
    assert!(matches!(ended, Err(CallError::Ended(End::Limit(ampoule::Limit::Wall)))), "{ended:?}");
    let Slow { calls, late } = plugin.data();
    assert!(*late <= 1, "{late} of {calls} calls of the host's function began when there was no time left");
}
