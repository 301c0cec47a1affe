//! A program that is stopped where it asks for input goes on from there with any input, as if it had been started with it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::Duration;

use ampoule::{
    Call, CancelToken, Child, Command, End, Limit, Output, Program, Signal, Snapshot, Sources, Status, Stdio, Stopped,
};
use ampoule_tests::{honest_call, program, scale, variants_of};

/// How `inputs` can ask.
const WAYS: &[&str] = &[
    "read",
    "looks",
    "poll",
    "poll-now",
    "ppoll",
    "select",
    "select-now",
    "epoll",
    "epoll-now",
    "epoll-edge",
    "nonblock",
    "dup",
    "dup-poll",
    "dev-stdin",
    "fionread",
    "sendfile",
    "readv",
    "stdio",
];

/// What a command prints until it asks, and what became of it.
fn warmed(command: &mut Command) -> (Vec<u8>, Stopped) {
    let mut printed = tempfile::tempfile().expect("a file");
    let stdout: File = printed.try_clone().expect("a second descriptor");
    let stopped = command.stdout(Stdio::from(stdout)).call(honest_call()).stop_at_input().expect("a run");
    command.stdout(Stdio::piped());
    let mut before = Vec::new();
    printed.seek(SeekFrom::Start(0)).expect("the start");
    printed.read_to_end(&mut before).expect("all of it");
    (before, stopped)
}

fn warm(command: &mut Command) -> (Vec<u8>, Snapshot) {
    let (before, Stopped { end, snapshot, .. }) = warmed(command);
    assert_eq!(end, End::AtInput);
    (before, snapshot.expect("a snapshot"))
}

fn going_on(snapshot: &Snapshot, input: Stdio) -> Output {
    snapshot.command().expect("a command").stdin(input).call(honest_call()).output().expect("a run")
}

fn through_a_file(snapshot: &Snapshot) -> Snapshot {
    let mut bytes = Vec::new();
    snapshot.write_to(&mut bytes).expect("written");
    Snapshot::from_bytes(&bytes).expect("loaded")
}

/// Runs a command with each of these inputs from its beginning, from where it asks, and from a file of that: no difference.
fn goes_on_as_if_started(command: &mut Command, inputs: &[&[u8]], what: &str) {
    let (before, snapshot) = warm(command);
    let loaded = through_a_file(&snapshot);
    for &input in inputs {
        let cold = command.stdin(Stdio::bytes(input)).call(honest_call()).output().expect("a run");
        for warm in [&snapshot, &loaded, &snapshot] {
            let output = going_on(warm, Stdio::bytes(input));
            assert_eq!(output.end, cold.end, "{what}");
            let all = [&before[..], &output.stdout].concat();
            assert_eq!(String::from_utf8_lossy(&all), String::from_utf8_lossy(&cold.stdout), "{what}");
            assert_eq!(output.stderr, cold.stderr, "{what}");
        }
    }
}

fn inputs(program: &Program, way: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(way);
    command
}

/// More than a buffer of any library's, and more than one piece of Ampoule's.
fn long() -> Vec<u8> {
    (0..200_000)
        .map(|n: u32| if n % 80 == 79 { b'\n' } else { b'a' + n.wrapping_mul(7).to_le_bytes()[0] % 26 })
        .collect()
}

#[test]
fn whatever_way_a_program_asks_in_it_goes_on_as_if_it_were_started_with_the_input() {
    for guest in variants_of("inputs") {
        let program = Program::from_bytes(guest.image()).expect("a program");
        for way in WAYS {
            let (before, _) = warm(&mut inputs(&program, way));
            assert!(before.starts_with(b"prepared\n"), "{way}: it prepares before it asks");
            let (long, what) = (long(), format!("{} {way}", guest.variant));
            goes_on_as_if_started(&mut inputs(&program, way), &[b"", b"x", b"two\nlines\n", &long], &what);
        }
    }
}

#[test]
fn rust_programs_and_those_of_busybox_go_on_alike() {
    for guest in variants_of("inputs_rust") {
        let program = Program::from_bytes(guest.image()).expect("a program");
        let (before, _) = warm(&mut Command::new(&program));
        assert_eq!(before, b"prepared\n", "it came to main, whose beginning polls stdin");
        goes_on_as_if_started(&mut Command::new(&program), &[b"", b"7\n49999\nx\n", b"50000"], guest.variant);
    }
    let busybox = Program::from_file("/bin/busybox").expect("busybox: apt-get install busybox-static");
    let long = long();
    for arguments in [
        &["sed", "s/[aeiou]/<&>/g;$!d"][..],
        &[
            "awk",
            "BEGIN { for (i = 0; i < 3000; i++) t[i] = i * i } { n += length($0); m = t[NR % 3000] } END { print n, m, NR }",
        ],
        &["sh", "-c", "x=warm; read line; echo $x $line; cat"],
        &["sha256sum"],
        &["sort"],
    ] {
        goes_on_as_if_started(
            Command::new(&busybox).args(arguments),
            &[b"", b"one line", b"b\na\n", &long],
            &format!("{arguments:?}"),
        );
    }
}

#[test]
fn the_input_may_be_of_another_kind_than_the_commands() {
    let input = b"of whatever kind\n";
    for way in ["read", "poll", "select", "epoll-edge", "nonblock", "stdio", "dev-stdin"] {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(input).expect("room");
        let (reader, _writer) = std::io::pipe().expect("a pipe");
        for stdin in [Stdio::null(), Stdio::piped(), Stdio::bytes("before"), Stdio::from(reader), Stdio::inherit()] {
            let program = program("inputs");
            let (_, snapshot) = warm(inputs(&program, way).stdin(stdin));
            let bytes = going_on(&snapshot, Stdio::bytes(input));
            file.seek(SeekFrom::Start(0)).expect("the start");
            let from_file = going_on(&snapshot, Stdio::from(file.try_clone().expect("a second descriptor")));
            let mut command = snapshot.command().expect("a command");
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).call(honest_call());
            let (end, piped) = fed(command.spawn().expect("a child"), input);
            assert_eq!((&from_file.end, &from_file.stdout), (&bytes.end, &bytes.stdout), "{way}");
            assert_eq!((&end, &piped), (&bytes.end, &bytes.stdout), "{way}");
            assert!(String::from_utf8_lossy(&bytes.stdout).contains("of whatever kind"), "{way}");
        }
    }
}

/// Writes the input in two pieces, and reads what the child prints.
fn fed(mut child: Child, input: &[u8]) -> (End, Vec<u8>) {
    let mut stdin = child.stdin.take().expect("a pipe");
    let (first, second) = input.split_at(input.len() / 2);
    stdin.write_all(first).and_then(|()| stdin.write_all(second)).expect("it reads");
    drop(stdin);
    let mut printed = Vec::new();
    child.stdout.take().expect("a pipe").read_to_end(&mut printed).expect("all of it");
    let Status { end, .. } = child.wait().expect("a status");
    (end, printed)
}

#[test]
fn a_program_that_waits_for_the_other_end_to_hang_up_is_stopped_there_and_sees_it() {
    let program = program("inputs");
    let (before, snapshot) = warm(&mut inputs(&program, "hang-up"));
    assert!(before.starts_with(b"prepared\n"));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(writer);
    let output = going_on(&snapshot, Stdio::from(reader));
    assert_eq!(output.end, End::Exited(0), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_commands_own_input_is_neither_read_nor_used_up() {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(b"still there").expect("room");
    file.seek(SeekFrom::Start(0)).expect("the start");
    let program = program("inputs");
    let mut command = inputs(&program, "read");
    command.stdin(Stdio::from(file));
    let (before, first) = warm(&mut command);
    let (_, second) = warm(&mut command);
    for snapshot in [first, second] {
        assert!(going_on(&snapshot, Stdio::null()).stdout.ends_with(b"\n0 \n"));
    }
    let output = command.output().expect("a run");
    assert!(output.stdout.starts_with(&before) && output.stdout.ends_with(b"\n11 still there\n"));
}

#[test]
fn a_program_that_stands_at_its_input_is_stopped_there_again() {
    let program = program("inputs");
    for way in ["read", "poll"] {
        let (_, snapshot) = warm(&mut inputs(&program, way));
        let (before, again) = warm(&mut through_a_file(&snapshot).command().expect("a command"));
        assert_eq!(before, b"");
        let wanted = going_on(&snapshot, Stdio::bytes("x"));
        let output = going_on(&again, Stdio::bytes("x"));
        assert_eq!((output.end, output.stdout), (wanted.end, wanted.stdout));
    }
}

#[test]
fn of_a_thousand_runs_on_two_threads_none_sees_the_input_of_another() {
    let program = program("inputs");
    let (_, snapshot) = warm(&mut inputs(&program, "stdio"));
    let prepared = going_on(&snapshot, Stdio::null()).stdout;
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (snapshot, prepared) = (&snapshot, String::from_utf8_lossy(&prepared));
            scope.spawn(move || {
                for round in 0..scale(500) {
                    let secret = format!("{thread} has {round}{}\n", "!".repeat(round % 300));
                    let output = going_on(snapshot, Stdio::bytes(secret.as_str()));
                    assert_eq!(output.end, End::Exited(0));
                    let wanted = format!("{prepared}{}:{secret}", secret.len());
                    assert_eq!(String::from_utf8_lossy(&output.stdout), wanted);
                }
            });
        }
    });
}

#[test]
fn a_program_that_ends_before_it_asks_has_its_own_end_and_no_snapshot() {
    let program = program("inputs");
    for (way, wanted) in [
        ("ends", End::Exited(3)),
        ("aborts", End::Signaled(Signal::ABRT)),
        ("closes", End::Exited(4)),
        ("closes-and-waits", End::Deadlock),
        ("sleeps", End::Deadlock),
    ] {
        let (before, stopped) = warmed(&mut inputs(&program, way));
        assert!(before.starts_with(b"prepared\n"), "{way}");
        assert_eq!(stopped.end, wanted, "{way}");
        assert!(stopped.snapshot.is_none(), "{way}");
    }
}

#[test]
fn limits_and_tokens_end_a_program_that_never_asks() {
    let program = program("inputs");
    let token = CancelToken::new();
    token.cancel();
    let soon = Duration::from_millis(50);
    for (call, wanted) in [
        (Call::new().wall(soon), End::Limit(Limit::Wall)),
        (Call::new().cpu(soon), End::Limit(Limit::Cpu)),
        (honest_call().cancel(&token), End::Cancelled),
    ] {
        let stopped = inputs(&program, "spins").stdout(Stdio::null()).call(call).stop_at_input().expect("a run");
        assert_eq!(stopped.end, wanted);
        assert!(stopped.snapshot.is_none(), "it does not stand at its input");
    }
    let stopped = inputs(&program, "read").stdout(Stdio::piped()).call(honest_call().output(3)).stop_at_input();
    let stopped = stopped.expect("a run");
    assert_eq!(stopped.end, End::Limit(Limit::Output));
    assert!(stopped.snapshot.is_none());
}

#[test]
fn a_program_that_goes_on_has_limits_of_its_own() {
    let program = program("inputs");
    let (_, snapshot) = warm(&mut inputs(&program, "read"));
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let soon = Call::new().wall(Duration::from_millis(20));
    let output = snapshot.command().expect("a command").stdin(Stdio::from(reader)).call(soon).output();
    assert_eq!(output.expect("a run").end, End::Limit(Limit::Wall));
    let little = honest_call().output(4);
    let output = snapshot.command().expect("a command").stdin(Stdio::bytes("much")).call(little).output();
    assert_eq!(output.expect("a run").end, End::Limit(Limit::Output));
    assert!(going_on(&snapshot, Stdio::bytes("x")).stdout.ends_with(b"\n1 x\n"), "the next does not notice");
}

/// The lines of what a run drew, by their names.
fn drawn(output: &Output, name: &str) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{name} in {text}")).to_owned()
}

#[test]
fn what_was_drawn_before_is_in_all_runs_and_what_is_drawn_after_in_one() {
    let program = program("inputs");
    let (_, snapshot) = warm(&mut inputs(&program, "draws"));
    let [once, again] = [(); 2].map(|()| going_on(&snapshot, Stdio::bytes("x")));
    for name in ["canary ", "before "] {
        assert_eq!(drawn(&once, name), drawn(&again, name));
    }
    assert_ne!(drawn(&once, "after "), drawn(&again, "after "));

    let mut seeded = inputs(&program, "draws");
    let (before, snapshot) = warm(seeded.sources(Sources::Deterministic(7)));
    let cold = seeded.stdin(Stdio::bytes("x")).output().expect("a run").stdout;
    for _ in 0..2 {
        let output = going_on(&snapshot, Stdio::bytes("x"));
        assert_eq!([&before[..], &output.stdout].concat(), cold, "the seed's stream goes on where it was");
    }
}
