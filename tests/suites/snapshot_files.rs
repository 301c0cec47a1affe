//! Snapshot files: a guest goes on from one as from the snapshot that was written.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

use ampoule::{
    Call, CallError, Command, End, Imports, Limit, Limits, Overflow, Program, Region, Sandbox, SandboxError, Snapshot,
    SnapshotError, SnapshotFileError, State, Stdio,
};
use ampoule_tests::{call_bytes, honest_call, program, resume_bytes, sandbox, scale, stop_in_the_middle, word};

fn states() -> Sandbox<()> {
    sandbox(&program("states"), &Imports::new())
}

fn call(sandbox: &mut Sandbox<()>, name: &str, arguments: &str) -> Vec<u8> {
    call_bytes(sandbox, name, arguments.as_bytes()).expect(name)
}

fn spawn(snapshot: &Snapshot) -> Sandbox<()> {
    snapshot.spawn(&Imports::new(), ()).expect("a twin")
}

fn written(snapshot: &Snapshot) -> Vec<u8> {
    let mut bytes = Vec::new();
    snapshot.write_to(&mut bytes).expect("written");
    bytes
}

/// The snapshot by way of a file, which is written again as the same bytes.
fn through_a_file(snapshot: &Snapshot) -> Snapshot {
    let bytes = written(snapshot);
    let loaded = Snapshot::from_bytes(&bytes).expect("loaded");
    assert!(written(&loaded) == bytes, "a file is written again as the same bytes");
    loaded
}

/// What tells a guest in one state from one in another; the last may be how it ended.
fn answers(sandbox: &mut Sandbox<()>) -> Vec<Result<Vec<u8>, String>> {
    [("count", ""), ("sum", ""), ("maps", "40"), ("count", ""), ("dirty", "3 1000"), ("protect", "2 2"), ("sum", "")]
        .map(|(name, arguments)| call_bytes(sandbox, name, arguments.as_bytes()).map_err(|error| error.to_string()))
        .to_vec()
}

#[test]
fn a_twin_out_of_a_file_answers_as_a_twin_of_the_snapshot() {
    let mut sandbox = states();
    for arguments in ["0", "16 0", "700 300"] {
        call(&mut sandbox, "dirty", arguments);
        call(&mut sandbox, "count", "");
        call(&mut sandbox, "maps", "7");
        let snapshot = sandbox.snapshot().expect("a snapshot");
        let loaded = through_a_file(&snapshot);
        let expected = answers(&mut spawn(&snapshot));
        assert_eq!(answers(&mut spawn(&loaded)), expected);
        assert_eq!(answers(&mut spawn(&loaded)), expected, "twins of one file share nothing that they change");
    }
}

#[test]
fn programs_of_all_kinds_go_on_from_files() {
    for guest in ampoule_tests::variants_of("states") {
        let program = Program::from_bytes(guest.image()).expect("a program");
        let mut sandbox = sandbox(&program, &Imports::new());
        call(&mut sandbox, "count", "");
        let snapshot = sandbox.snapshot().expect("a snapshot");
        assert_eq!(
            answers(&mut spawn(&through_a_file(&snapshot))),
            answers(&mut spawn(&snapshot)),
            "{}",
            guest.variant
        );
    }
}

#[test]
fn a_guest_that_went_on_from_a_file_is_saved_again() {
    let mut snapshot = states().snapshot().expect("a snapshot");
    for round in 1..5 {
        let mut twin = spawn(&through_a_file(&snapshot));
        let counts = call(&mut twin, "count", "");
        assert_eq!(counts.chunks(8).map(word).collect::<Vec<_>>(), [round; 4]);
        snapshot = twin.snapshot().expect("a snapshot");
    }
}

#[test]
fn a_call_that_was_stopped_goes_on_from_a_file() {
    let mut tasks = sandbox(&program("tasks"), &Imports::new());
    let expected = call_bytes(&mut tasks, "computes", b"3000000").expect("a result");
    stop_in_the_middle(&mut tasks, "computes", b"3000000");
    let loaded = through_a_file(&tasks.snapshot().expect("a snapshot"));
    assert_eq!(loaded.state(), State::Stopped);
    for twin in [&mut spawn(&loaded), &mut spawn(&loaded), &mut tasks] {
        assert_eq!(resume_bytes(twin, &honest_call()).expect("the result"), expected);
        assert_eq!(call_bytes(twin, "computes", b"3000000").expect("the next"), expected);
    }
}

#[test]
fn a_guest_that_was_stopped_anywhere_is_saved_and_goes_on_alike() {
    let mut sandbox = states();
    let ready = sandbox.snapshot().expect("a snapshot");
    let mut reply = Vec::new();
    let work = [("maps", "3000"), ("protect", "1024"), ("dirty", "1024"), ("count", "")];
    let mut stopped = 0;
    for (round, (name, arguments)) in (0..scale(160)).zip(work.into_iter().cycle()) {
        let short = Call::new().wall(Duration::from_micros(20 + 37 * (round as u64 % 40)));
        let result = sandbox.call_bytes(name, arguments.as_bytes(), &mut reply, &short);
        match (result, sandbox.state()) {
            (Err(CallError::Ended(End::Limit(Limit::Wall))), State::Stopped) => {
                stopped += 1;
                let snapshot = sandbox.snapshot().expect("a snapshot");
                let [direct, loaded] = [&snapshot, &through_a_file(&snapshot)].map(|snapshot| {
                    let mut twin = spawn(snapshot);
                    let reply = resume_bytes(&mut twin, &honest_call());
                    (reply.map_err(|error| error.to_string()), answers(&mut twin))
                });
                assert_eq!(loaded, direct, "{name}");
            }
            (Ok(()) | Err(CallError::Ended(_)), _) => {}
            (Err(error), _) => panic!("{name}: {error}"),
        }
        sandbox.restore(&ready).expect("a restore");
    }
    assert_ne!(stopped, 0, "the shortest of these times is too short for all of them");
}

#[test]
fn every_life_out_of_a_file_has_a_number_and_a_seed_of_its_own() {
    let loaded = through_a_file(&states().snapshot().expect("a snapshot"));
    let lives: std::collections::HashSet<_> = (0..6).map(|_| call(&mut spawn(&loaded), "life", "")).collect();
    assert_eq!(lives.len(), 6);
}

#[test]
fn limits_are_those_of_the_file_and_no_more_than_its_loader_grants() {
    let limits = Limits::new().memory(100 << 20).message_bytes(100);
    let mut sandbox =
        Sandbox::builder(&program("states"), &Imports::new()).limits(limits.clone()).build(()).expect("a sandbox");
    let bytes = written(&sandbox.snapshot().expect("a snapshot"));
    assert!(
        matches!(Snapshot::from_bytes(&bytes), Err(SnapshotFileError::NotGranted { granted, .. }) if granted == 64 << 20)
    );
    let loaded = Snapshot::options().limits(limits).from_bytes(&bytes).expect("loaded");
    let mut twin = spawn(&loaded);
    assert!(matches!(call_bytes(&mut twin, "dirty", &[b'1'; 101]), Err(CallError::TooLong { max: 100, .. })));
    call(&mut twin, "maps", "20000");
    assert!(call_bytes(&mut twin, "maps", b"6000").is_err(), "more than 100 MiB");
}

#[test]
fn a_sandbox_with_events_has_them_again() {
    let (builder, _events) = Sandbox::builder(&program("states"), &Imports::new()).events(7, Overflow::Stop);
    let mut sandbox = builder.build(()).expect("a sandbox");
    let loaded = through_a_file(&sandbox.snapshot().expect("a snapshot"));
    let (builder, events) = loaded.builder(&Imports::new()).events();
    assert!(events.is_some());
    let mut twin = builder.build(()).expect("a twin");
    assert_eq!(call(&mut twin, "sum", ""), [0; 8]);
}

#[test]
fn a_sandbox_with_regions_is_not_saved() {
    let region = Region::from_bytes(b"shared").expect("a region");
    let builder = Sandbox::builder(&program("states"), &Imports::new()).region("r", &region);
    let snapshot = builder.build(()).expect("a sandbox").snapshot().expect("a snapshot");
    assert!(matches!(snapshot.write_to(&mut Vec::new()), Err(SnapshotFileError::Regions { count: 1 })));
}

#[test]
fn a_command_that_is_stopped_again_and_again_prints_what_it_prints_at_once() {
    let program = program("compute");
    let expected = Command::new(&program).call(honest_call()).output().expect("a run");
    assert_eq!(expected.end, End::Exited(0));
    let mut printed = tempfile::tempfile().expect("a file");
    let mut command = Command::new(&program);
    let mut wall = Duration::from_millis(1);
    let mut stopped = 0;
    let end = loop {
        let stdout: File = printed.try_clone().expect("a second descriptor");
        let before = printed.metadata().expect("its size").len();
        let result = command
            .stdin(Stdio::null())
            .stdout(Stdio::from(stdout))
            .call(Call::new().wall(wall))
            .stop()
            .expect("a run");
        match result.snapshot {
            Some(snapshot) => {
                stopped += 1;
                assert_eq!(result.end, End::Limit(Limit::Wall));
                assert!(!snapshot.is_called());
                command = through_a_file(&snapshot).command().expect("a command");
            }
            // Too short to begin, or in the middle of writing.
            None if matches!(result.end, End::Limit(_)) => {
                printed.set_len(before).expect("shorter");
                printed.seek(SeekFrom::Start(before)).expect("back");
            }
            None => break result.end,
        }
        if stopped % 8 == 7 || stopped == 0 {
            wall *= 2;
        }
    };
    assert_eq!(end, End::Exited(0));
    let mut all = Vec::new();
    printed.seek(SeekFrom::Start(0)).expect("the start");
    printed.read_to_end(&mut all).expect("all of it");
    assert_eq!(String::from_utf8_lossy(&all), String::from_utf8_lossy(&expected.stdout));
}

#[test]
fn a_commands_snapshot_is_not_called_and_a_sandboxs_is_no_command() {
    let mut spins = Command::new(&program("endless"));
    let stopped = spins.arg("spin").stdout(Stdio::null()).call(Call::new().wall(Duration::from_millis(100))).stop();
    let snapshot = stopped.expect("a run").snapshot.expect("a snapshot");
    let spawned = snapshot.spawn(&Imports::<()>::new(), ());
    assert!(matches!(spawned, Err(SandboxError::Protocol(_))));
    let called = states().snapshot().expect("a snapshot");
    assert!(matches!(called.command(), Err(SnapshotError::IsCalled)));
}
