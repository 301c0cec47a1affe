//! Snapshots: what a restore undoes, what a twin has, and what neither shares.

use std::time::Duration;

use ampoule::{
    Call, CallError, End, Idle, Imports, Limit, Overflow, Region, Sandbox, Snapshot, SnapshotError, Sources, State,
};
use ampoule_tests::{call_bytes, echoing, honest_call, program, resume_bytes, sandbox, stop_in_the_middle, word};

fn states() -> Sandbox<()> {
    sandbox(&program("states"), &Imports::new())
}

fn call(sandbox: &mut Sandbox<()>, name: &str, arguments: &str) -> Vec<u8> {
    call_bytes(sandbox, name, arguments.as_bytes()).expect(name)
}

/// Which call it is, as static memory, thread-local memory, the heap and a file have it.
fn count(sandbox: &mut Sandbox<()>) -> [u64; 4] {
    let counts = call(sandbox, "count", "");
    std::array::from_fn(|index| word(&counts[index * 8..index * 8 + 8]))
}

fn spawn(snapshot: &Snapshot) -> Sandbox<()> {
    snapshot.spawn(&Imports::new(), ()).expect("a twin")
}

#[test]
fn a_restore_undoes_calls_in_memory_heap_and_files() {
    let mut sandbox = states();
    assert_eq!(count(&mut sandbox), [1; 4]);
    let snapshot = sandbox.snapshot().expect("a snapshot");
    for _ in 0..5 {
        assert_eq!(count(&mut sandbox), [2; 4]);
        assert_eq!(count(&mut sandbox), [3; 4]);
        sandbox.restore(&snapshot).expect("a restore");
    }
    assert_eq!(count(&mut sandbox), [2; 4], "what was before the snapshot stays");
}

#[test]
fn twins_have_the_state_and_share_nothing_that_they_change() {
    let mut sandbox = states();
    assert_eq!(count(&mut sandbox), [1; 4]);
    let snapshot = sandbox.snapshot().expect("a snapshot");
    let mut twins: Vec<_> = (0..3).map(|_| spawn(&snapshot)).collect();
    assert!(twins.iter().all(|twin| !twin.has_machine()));
    for round in 2..5 {
        for twin in &mut twins {
            assert_eq!(count(twin), [round; 4]);
        }
    }
    assert_eq!(count(&mut sandbox), [2; 4]);
    assert_eq!(count(&mut spawn(&snapshot)), [2; 4]);
}

#[test]
fn a_snapshot_of_a_snapshot_goes_on_from_there_and_the_first_stays() {
    let mut sandbox = states();
    let mut snapshots = vec![sandbox.snapshot().expect("a snapshot")];
    for round in 1..6 {
        assert_eq!(count(&mut sandbox), [round; 4]);
        call(&mut sandbox, "dirty", &format!("16 {}", round * 16));
        snapshots.push(sandbox.snapshot().expect("a snapshot"));
    }
    for (done, snapshot) in [5, 4, 3, 2, 1, 0].into_iter().zip(snapshots.iter().rev()) {
        sandbox.restore(snapshot).expect("a restore");
        assert_eq!(word(&call(&mut sandbox, "sum", "")), done * 16);
        assert_eq!(count(&mut sandbox), [done + 1; 4]);
    }
    for (done, snapshot) in (0..).zip(&snapshots) {
        sandbox.restore(snapshot).expect("a restore");
        assert_eq!(word(&call(&mut sandbox, "sum", "")), done * 16);
        assert_eq!(count(&mut spawn(snapshot)), [done + 1; 4]);
    }
}

#[test]
fn mappings_that_were_made_are_gone_and_protections_are_as_they_were() {
    let mut sandbox = states();
    let snapshot = sandbox.snapshot().expect("a snapshot");
    for pages in [1, 40, 300, 3000] {
        let first = call(&mut sandbox, "maps", &pages.to_string());
        sandbox.restore(&snapshot).expect("a restore");
        assert_eq!(call(&mut sandbox, "maps", &pages.to_string()), first, "the same place is free, and zero");
        call(&mut sandbox, "protect", "500 7");
        sandbox.restore(&snapshot).expect("a restore");
        assert_eq!(call(&mut sandbox, "dirty", "1000"), [0]);
        sandbox.restore(&snapshot).expect("a restore");
    }
}

#[test]
fn a_sandbox_that_ended_or_was_stopped_is_restored() {
    let mut sandbox = states();
    let snapshot = sandbox.snapshot().expect("a snapshot");
    let mut reply = Vec::new();
    for _ in 0..3 {
        let short = Call::new().wall(Duration::from_millis(20));
        let stopped = sandbox.call_bytes("spins", b"", &mut reply, &short);
        assert!(matches!(stopped, Err(CallError::Ended(End::Limit(Limit::Wall)))), "{stopped:?}");
        sandbox.restore(&snapshot).expect("a restore");
        assert_eq!(sandbox.state(), State::Ready);
        assert_eq!(count(&mut sandbox), [1; 4]);
        call(&mut sandbox, "protect", "1024");
        assert!(sandbox.call_bytes("dirty", b"1", &mut reply, &honest_call()).is_err());
        assert_eq!(sandbox.state(), State::Ended);
        assert!(matches!(sandbox.snapshot(), Err(SnapshotError::State(State::Ended))));
        sandbox.restore(&snapshot).expect("a restore");
        assert_eq!(count(&mut sandbox), [1; 4]);
        sandbox.restore(&snapshot).expect("a restore");
    }
}

#[test]
fn a_call_that_was_stopped_goes_on_in_every_twin() {
    let mut tasks = sandbox(&program("tasks"), &Imports::new());
    let expected = call_bytes(&mut tasks, "computes", b"3000000").expect("a result");
    stop_in_the_middle(&mut tasks, "computes", b"3000000");
    let snapshot = tasks.snapshot().expect("a snapshot");
    assert_eq!(snapshot.state(), State::Stopped);
    let mut twins: Vec<_> = (0..3).map(|_| spawn(&snapshot)).collect();
    for twin in twins.iter_mut().chain([&mut tasks]) {
        assert_eq!(resume_bytes(twin, &honest_call()).expect("the result"), expected);
    }
}

#[test]
fn a_call_that_is_stopped_at_any_moment_goes_on_in_its_twin() {
    let mut tasks = sandbox(&program("tasks"), &Imports::new());
    let ready = tasks.snapshot().expect("a snapshot");
    let expected = call_bytes(&mut tasks, "computes", b"100000").expect("a result");
    let mut reply = Vec::new();
    for (round, _) in (0_u64..).zip(0..ampoule_tests::scale(40)) {
        tasks.restore(&ready).expect("a restore");
        let limits = Call::new().wall(Duration::from_micros(50 + round * 137 % 1500));
        // It may be over before it begins, or come to its end.
        let stopped = tasks.call_bytes("computes", b"100000", &mut reply, &limits).is_err();
        if stopped && tasks.state() == State::Stopped {
            let mut twin = spawn(&tasks.snapshot().expect("a snapshot"));
            assert_eq!(resume_bytes(&mut twin, &honest_call()).expect("the result"), expected, "round {round}");
        }
    }
}

#[test]
fn every_life_has_a_number_and_a_seed_of_its_own() {
    let mut sandbox = states();
    let snapshot = sandbox.snapshot().expect("a snapshot");
    let mut lives = std::collections::HashSet::new();
    let mut seen = 0;
    let mut live = |sandbox: &mut Sandbox<()>| {
        let life = call(sandbox, "life", "");
        for part in [&life[..8], &life[8..40], &life[40..]] {
            lives.insert(part.to_vec());
            seen += 1;
        }
        assert_eq!(lives.len(), seen);
    };
    live(&mut sandbox);
    for _ in 0..4 {
        sandbox.restore(&snapshot).expect("a restore");
        live(&mut sandbox);
        live(&mut spawn(&snapshot));
    }
}

#[test]
fn a_parked_sandbox_goes_on_where_it_was_with_its_own_life() {
    let mut sandbox = states();
    assert_eq!(count(&mut sandbox), [1; 4]);
    let life = call(&mut sandbox, "life", "")[..40].to_vec();
    for round in 2..5 {
        sandbox.park().expect("parked");
        assert!(!sandbox.has_machine());
        let snapshot = sandbox.snapshot().expect("a snapshot of a parked one");
        assert_eq!(count(&mut sandbox), [round; 4]);
        assert_eq!(call(&mut sandbox, "life", "")[..40], life);
        assert_eq!(count(&mut spawn(&snapshot)), [round; 4]);
        assert_ne!(call(&mut spawn(&snapshot), "life", "")[..40], life);
    }
}

#[test]
fn a_snapshot_of_another_program_is_refused_and_changes_nothing() {
    let other = sandbox(&program("tasks"), &Imports::new()).snapshot().expect("a snapshot");
    let mut sandbox = states();
    assert!(matches!(sandbox.restore(&other), Err(SnapshotError::OtherProgram { .. })));
    assert_eq!(count(&mut sandbox), [1; 4]);
}

#[test]
fn a_page_that_runs_leave_alone_is_protected_again_and_still_put_back() {
    let mut sandbox = states();
    let snapshot = sandbox.snapshot().expect("a snapshot");
    for pages in ["200 0", "200 100", "1 1000", "0", "0", "0", "200 0", "0", "3 199", "0", "0", "1024 0", "0", "0"] {
        assert_eq!(word(&call(&mut sandbox, "sum", "")), 0, "before {pages}");
        call(&mut sandbox, "dirty", pages);
        sandbox.restore(&snapshot).expect("a restore");
    }
    assert_eq!(word(&call(&mut sandbox, "sum", "")), 0);
}

#[test]
fn a_machine_that_a_limit_stopped_is_restored_wherever_it_was() {
    let mut sandbox = states();
    assert_eq!(count(&mut sandbox), [1; 4]);
    let snapshot = sandbox.snapshot().expect("a snapshot");
    let mut reply = Vec::new();
    let work = [("spins", ""), ("maps", "2000"), ("protect", "1000"), ("count", "")];
    for (round, (name, arguments)) in (0..120).zip(work.into_iter().cycle()) {
        let limits = Call::new().wall(Duration::from_micros(30 + round * 7));
        // It may come to its end: what matters is what it leaves behind.
        let _ = sandbox.call_bytes(name, arguments.as_bytes(), &mut reply, &limits);
        if round % 3 == 0 && sandbox.state() == State::Stopped {
            let stopped = sandbox.snapshot().expect("a snapshot");
            sandbox.restore(&stopped).expect("a restore");
            let short = Call::new().wall(Duration::from_micros(200));
            let _ = sandbox.resume_bytes(&mut reply, &short);
        }
        sandbox.restore(&snapshot).expect("a restore");
        assert_eq!(word(&call(&mut sandbox, "sum", "")), 0, "after {name} in round {round}");
        assert_eq!(count(&mut sandbox), [2; 4], "after {name} in round {round}");
    }
}

#[test]
fn a_snapshot_is_for_every_thread() {
    fn shared<T: Clone + Send + Sync>(_: &T) {}
    let mut sandbox = states();
    assert_eq!(count(&mut sandbox), [1; 4]);
    let snapshot = sandbox.snapshot().expect("a snapshot");
    shared(&snapshot);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..ampoule_tests::scale(20) {
                    let mut twin = spawn(&snapshot);
                    assert_eq!(count(&mut twin), [2; 4]);
                    twin.restore(&snapshot).expect("a restore");
                    assert_eq!(count(&mut twin), [2; 4]);
                }
            });
        }
    });
}

#[test]
fn what_the_host_shares_comes_with_the_snapshot_whatever_the_sandbox_had() {
    let program = program("plugin");
    let region = Region::from_bytes(b"what all of them read").expect("a region");
    let builder = Sandbox::builder(&program, &echoing()).region("shared", &region);
    let (builder, _events) = builder.events(8, Overflow::Stop);
    let mut with = builder.build(()).expect("a sandbox");
    let sum = call_bytes(&mut with, "checksum", b"shared").expect("the region's");
    let snapshot = with.snapshot().expect("a snapshot");
    let mut without = sandbox(&program, &echoing());
    assert!(call_bytes(&mut without, "checksum", b"shared").is_err());
    let bare = without.snapshot().expect("a snapshot");
    for _ in 0..3 {
        without.restore(&snapshot).expect("a restore");
        assert_eq!(call_bytes(&mut without, "checksum", b"shared").expect("the region's"), sum);
        without.restore(&bare).expect("a restore");
        assert!(call_bytes(&mut without, "checksum", b"shared").is_err());
    }
    let (builder, events) = snapshot.builder(&echoing()).events();
    let events = events.expect("there is an event page");
    let mut twin = builder.build(()).expect("a twin");
    assert_eq!(call_bytes(&mut twin, "checksum", b"shared").expect("the region's"), sum);
    call_bytes(&mut twin, "events", b"3").expect("events");
    assert_eq!(std::iter::from_fn(|| events.try_next()).count(), 3);
    let mut unheard = snapshot.spawn(&echoing(), ()).expect("a twin");
    call_bytes(&mut unheard, "events", b"100").expect("events that nobody listens to");
}

#[test]
fn a_sandbox_that_was_live_is_restored_without_the_ring() {
    let mut sandbox = states();
    let snapshot = sandbox.snapshot().expect("a snapshot");
    assert_eq!(count(&mut sandbox), [1; 4]);
    let mut live = sandbox.into_live(Idle::spin(Duration::from_millis(1))).expect("a live one");
    let mut reply = Vec::new();
    live.call_bytes("count", b"", &mut reply, &honest_call()).expect("a count");
    assert_eq!(word(&reply[..8]), 2);
    let mut sandbox = live.into_sandbox(&honest_call()).expect("back");
    assert_eq!(count(&mut sandbox), [3; 4]);
    sandbox.restore(&snapshot).expect("a restore");
    assert_eq!(count(&mut sandbox), [1; 4]);
    let mut live = spawn(&snapshot).into_live(Idle::spin(Duration::from_millis(1))).expect("a live twin");
    live.call_bytes("count", b"", &mut reply, &honest_call()).expect("a count");
    assert_eq!(word(&reply[..8]), 1);
}

#[test]
fn reproducible_guests_do_the_same_after_every_restore() {
    let program = program("states");
    let builder = Sandbox::builder(&program, &Imports::new()).sources(Sources::Deterministic(7));
    let mut sandbox = builder.build(()).expect("a sandbox");
    let snapshot = sandbox.snapshot().expect("a snapshot");
    sandbox.restore(&snapshot).expect("a restore");
    let life = call(&mut sandbox, "life", "");
    for _ in 0..3 {
        sandbox.restore(&snapshot).expect("a restore");
        assert_eq!(call(&mut sandbox, "life", ""), life);
        assert_eq!(call(&mut spawn(&snapshot), "life", ""), life);
    }
}
