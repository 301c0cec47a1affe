//! Mistakes that broke other sandboxes, one test for each that no other suite is about. Where one is, `docs/threat-model.md` says which.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ampoule::{Call, CallError, CancelToken, Command, End, Imports, Limits, Program, Snapshot, State};
use ampoule_tests::{
    Ending, Outcome, call_bytes, call_bytes_within, echoing, guest, honest_call, program, run_outside, sandbox,
};

#[test]
fn a_configuration_that_changes_after_it_was_checked_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("program");
    std::fs::write(&path, guest("hello")).expect("a file");
    let checked = Program::from_file(&path).expect("a program");
    // Another program, then none at all, where the one lay that was checked.
    for later in [guest("exits"), b"no program"] {
        std::fs::write(&path, later).expect("a file");
        let output = Command::new(&checked).call(honest_call()).output().expect("a run");
        assert_eq!((output.end, output.stdout.as_slice()), (End::Exited(0), &b"hello\n"[..]));
    }
    let path = directory.path().join("snapshot");
    sandbox(&program("states"), &Imports::new()).snapshot().expect("a snapshot").save(&path).expect("a file");
    let loaded = Snapshot::load(&path).expect("a snapshot");
    std::fs::write(&path, b"no snapshot").expect("a file");
    let mut twin = loaded.spawn(&Imports::new(), ()).expect("a twin");
    assert!(call_bytes(&mut twin, "count", b"").is_ok());
    // Limits are values: those that a command was given stay its own.
    let spin = program("endless");
    let mut command = Command::new(&spin);
    let near = honest_call().wall(Duration::from_millis(20));
    command.arg("spin").call(near.clone());
    let child = command.spawn().expect("a child");
    command.call(honest_call().cancel(&CancelToken::new())).limits(Limits::new().memory(1 << 30));
    drop(near.wall(Duration::MAX));
    assert_eq!(child.wait().expect("an ending").end, End::Limit(ampoule::Limit::Wall));
}

#[test]
fn a_range_whose_end_alone_is_good_is_refused() {
    // The guest has a section about them; what it finds is the same outside.
    let inside = Outcome::inside(guest("pointers"), &[], &[], &[0x2e; 10_000]);
    let outside = run_outside(guest("pointers"), &[], &[], &[0x2e; 10_000]);
    assert_eq!(inside.ending, Ending::Exited(0), "{}", String::from_utf8_lossy(&inside.stdout));
    assert_eq!(String::from_utf8_lossy(&inside.stdout), String::from_utf8_lossy(&outside.stdout));
}

#[test]
fn a_cancelled_call_is_never_entered_again_by_what_its_cancellation_wakes() {
    let token = CancelToken::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let (inner_token, inner_calls) = (token.clone(), Arc::clone(&calls));
    let imports = Imports::<()>::new().bytes("lookup", move |_, _, _| {
        inner_calls.fetch_add(1, Ordering::Relaxed);
        inner_token.cancel();
        // From inside of what is being cancelled: neither this run nor another with the token begins.
        let spin = program("endless");
        let end = Command::new(&spin).arg("spin").call(honest_call().cancel(&inner_token)).output().expect("a run").end;
        assert_eq!(end, End::Cancelled);
        let mut plugin = sandbox(&program("plugin"), &echoing());
        let inner = call_bytes_within(&mut plugin, "calls_host", b"x", &honest_call().cancel(&inner_token));
        assert!(matches!(inner, Err(CallError::Ended(End::Cancelled))), "{inner:?}");
        Ok::<(), std::convert::Infallible>(())
    });
    let mut plugin = sandbox(&program("plugin"), &imports);
    let cancelled = honest_call().cancel(&token);
    let outer = call_bytes_within(&mut plugin, "calls_host", b"x", &cancelled);
    assert!(matches!(outer, Err(CallError::Ended(End::Cancelled))), "{outer:?}");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    if plugin.state() == State::Stopped {
        let mut reply = Vec::new();
        assert!(plugin.resume_bytes(&mut reply, &cancelled).is_err(), "the token is still cancelled");
        assert_eq!(calls.load(Ordering::Relaxed), 1, "the function is not called again");
    }
}

#[test]
fn a_deadline_that_has_passed_hits_its_own_call_and_never_the_next_one() {
    let mut plugin = sandbox(&program("plugin"), &echoing());
    for _ in 0..50 {
        let call = Call::new().wall(Duration::from_micros(200));
        let late = call_bytes_within(&mut plugin, "echo", b"in time or not", &call);
        if plugin.state() == State::Stopped {
            assert!(matches!(late, Err(CallError::Ended(End::Limit(ampoule::Limit::Wall)))), "{late:?}");
            let mut reply = Vec::new();
            plugin.resume_bytes(&mut reply, &honest_call()).expect("the rest of it");
        }
        assert_eq!(call_bytes(&mut plugin, "echo", b"the next").expect("no limit of another's"), b"the next");
    }
}
