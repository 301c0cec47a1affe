//! A sandbox is a guest that is called: with types or with bytes of any size, again and again, from any thread.

use ampoule::{CallError, FuncError, Limits, Program, Sandbox, SandboxError, State, Stdio};
use ampoule_tests::{
    asked, call_bytes, call_bytes_within, echoing, guest, honest_call, program, sandbox, scale, variants_of, word,
};
use std::io::{Read, Seek};

/// Bytes that are different everywhere.
pub(crate) fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at ^ (at >> 8) ^ (at >> 16)).to_le_bytes()[0]).collect()
}

#[test]
fn a_function_with_types_is_called_with_types() {
    let program = program("plugin");
    let sum = program.func::<(Vec<u32>,), u64>("sum").expect("its types");
    let describe = program.func::<(&str, Option<f64>, i32), String>("describe").expect("its types");
    let mut plugin = sandbox(&program, &echoing());
    assert_eq!(plugin.call(&sum, (vec![1, 2, u32::MAX],)).expect("a sum"), 3 + u64::from(u32::MAX));
    assert_eq!(plugin.call(&sum, (Vec::new(),)).expect("a sum"), 0);
    assert_eq!(plugin.call(&describe, ("h\u{e4}t", Some(-2.5), i32::MIN)).expect("text"), "hät * -2.5 + -2147483648");
    assert_eq!(plugin.call(&describe, ("", None, 7)).expect("text"), " * 1 + 7");
    let many: Vec<u32> = (0..100_000).collect();
    assert_eq!(plugin.call(&sum, (many,)).expect("a sum"), 4_999_950_000);
}

#[test]
fn a_plugin_serves_however_it_was_linked() {
    for guest in variants_of("plugin") {
        let program = Program::from_bytes(guest.image()).expect("a program");
        let sum = program.func::<(Vec<u32>,), u64>("sum").expect("its types");
        let mut plugin = sandbox(&program, &echoing());
        assert_eq!(plugin.call(&sum, (vec![20, 22],)).expect("a sum"), 42, "{}", guest.variant);
        assert_eq!(call_bytes(&mut plugin, "reverse", b"stressed").expect("a reply"), b"desserts", "{}", guest.variant);
        assert_eq!(call_bytes(&mut plugin, "calls_host", b"asked").expect("a reply"), b"asked", "{}", guest.variant);
    }
}

#[test]
fn other_types_are_refused_before_the_first_call_and_both_signatures_are_shown() {
    let program = program("plugin");
    let error = program.func::<(Vec<i32>,), u64>("sum").expect_err("other types");
    assert!(matches!(error, FuncError::Mismatch { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("sum(values: [u32]) -> u64") && text.contains("[i32]"), "{text}");

    let error = program.func::<(Vec<u32>,), u64>("summe").expect_err("no such function");
    let FuncError::Missing { name, exports } = &error else { panic!("{error}") };
    assert_eq!(name, "summe");
    assert!(exports.iter().any(|export| export == "sum") && error.to_string().contains("describe"), "{error}");

    assert!(matches!(program.func::<(), u64>("echo"), Err(FuncError::Mismatch { .. })), "bytes are no types");
    assert!(matches!(program.func::<(Vec<u32>,), Vec<()>>("sum"), Err(FuncError::Unbounded { .. })));
}

#[test]
fn a_function_that_the_host_does_not_offer_or_offers_otherwise_is_refused_before_the_program_runs() {
    let plugin = program("plugin");
    let error = Sandbox::new(&plugin, &ampoule::Imports::new(), ()).expect_err("nothing offered");
    let SandboxError::MissingImport { name, .. } = &error else { panic!("{error}") };
    assert_eq!(name, "lookup");

    let asks = program("asks");
    let other = asked::<()>().func("add", |_, (a, b): (u32, u64)| u64::from(a) + b);
    let text = Sandbox::new(&asks, &other, ()).expect_err("another signature").to_string();
    assert!(text.contains("(a: u32, b: u32) -> u64") && text.contains("u64)"), "{text}");

    let bomb = asked::<()>().func("add", |_, (_,): (Vec<()>,)| 0_u64);
    assert!(matches!(Sandbox::new(&asks, &bomb, ()), Err(SandboxError::Unbounded { .. })));
}

#[test]
fn a_function_of_another_program_is_refused() {
    let (one, other) = (program("plugin"), program("plugin"));
    let sum = one.func::<(Vec<u32>,), u64>("sum").expect("its types");
    let mut plugin = sandbox(&other, &echoing());
    assert!(matches!(plugin.call(&sum, (vec![1],)), Err(CallError::OtherProgram { .. })));
    assert_eq!(plugin.state(), State::Ready);
    let clone = other.clone();
    let sum = clone.func::<(Vec<u32>,), u64>("sum").expect("its types");
    assert_eq!(plugin.call(&sum, (vec![1],)).expect("a clone is the same program"), 1);
}

#[test]
fn bytes_of_every_size_go_there_and_back() {
    let limits = Limits::new().memory(256 << 20).message_bytes(32 << 20);
    let build =
        |name| Sandbox::builder(&program(name), &echoing()).limits(limits.clone()).build(()).expect("a sandbox");
    let (mut plugin, mut document) = (build("plugin"), build("from_the_document"));
    // Around the guests' first buffers, a page, the larger buffers, and the default limit of a message.
    let around = |size: usize| [size - 1, size, size + 1];
    let mut sizes = vec![0, 1, 2];
    for size in [16, 32, 4 << 10, 64 << 10, 128 << 10, 1 << 20, 16 << 20] {
        sizes.extend(around(size));
    }
    sizes.extend([17 << 20, 0, 5, 64 << 10]);
    for size in sizes {
        let input = pattern(size);
        assert!(call_bytes(&mut plugin, "echo", &input).expect("a reply") == input, "echo of {size} bytes");
        assert!(call_bytes(&mut plugin, "calls_host", &input).expect("a reply") == input, "{size} bytes to the host");
        let mut reversed = call_bytes(&mut plugin, "reverse", &input).expect("a reply");
        reversed.reverse();
        assert!(reversed == input, "reverse of {size} bytes");
        match call_bytes(&mut document, "double", &input) {
            Ok(reply) => {
                assert!(size <= 1 << 20 && reply.len() == 2 * size, "{size} bytes");
                assert!(
                    reply.chunks(2).zip(&input).all(|(pair, &byte)| pair == [byte, byte]),
                    "double of {size} bytes"
                );
            }
            Err(CallError::Guest { message, location, .. }) => {
                assert!(size > 1 << 20, "{size} bytes");
                assert_eq!((&*message, &*location), ("more than 1 MiB of arguments", "from_the_document.S"));
            }
            Err(error) => panic!("{size} bytes: {error}"),
        }
    }
}

#[test]
fn a_message_beyond_the_limit_fails_the_call_in_both_directions_and_the_next_one_works() {
    let max = 1 << 20;
    let limits = Limits::new().message_bytes(max);
    let build =
        |name| Sandbox::builder(&program(name), &echoing()).limits(limits.clone()).build(()).expect("a sandbox");
    let (mut plugin, mut document) = (build("plugin"), build("from_the_document"));
    let longest = pattern(max);
    assert!(call_bytes(&mut plugin, "echo", &longest).expect("the longest message") == longest);
    match call_bytes(&mut plugin, "echo", &pattern(max + 1)) {
        Err(CallError::TooLong { bytes, max: limit }) => assert_eq!((bytes, limit), (1 + (1 << 20), max)),
        other => panic!("{other:?}"),
    }
    assert!(call_bytes(&mut document, "double", &pattern(max / 2)).is_ok());
    match call_bytes(&mut document, "double", &pattern(max / 2 + 1)) {
        Err(CallError::TooLong { bytes, max: limit }) => assert_eq!((bytes, limit), (2 + (1 << 20), max)),
        other => panic!("{other:?}"),
    }
    for one in [&mut plugin, &mut document] {
        assert_eq!(one.state(), State::Ready);
    }
    assert_eq!(call_bytes(&mut document, "double", b"ab").expect("a reply"), b"aabb");
}

#[test]
fn a_reply_takes_the_place_of_what_was_in_the_buffer() {
    let mut plugin = sandbox(&program("plugin"), &echoing());
    let mut reply = b"something older that is longer".to_vec();
    plugin.call_bytes("echo", b"new", &mut reply, &honest_call()).expect("a reply");
    assert_eq!(reply, b"new");
    plugin.call_bytes("echo", b"", &mut reply, &honest_call()).expect("a reply");
    assert_eq!(reply, b"");
    reply.extend_from_slice(b"left over");
    assert!(plugin.call_bytes("fails", b"", &mut reply, &honest_call()).is_err());
    assert_eq!(reply, b"", "a call that fails leaves nothing");
    reply.extend_from_slice(b"left over");
    assert!(matches!(
        plugin.call_bytes("nobody", b"", &mut reply, &honest_call()),
        Err(CallError::Unknown { name }) if name == "nobody"
    ));
    assert_eq!(reply, b"", "nor does one that was not made");
    assert_eq!(plugin.state(), State::Ready);
}

#[test]
fn a_guest_remembers_from_call_to_call_and_shares_nothing_with_another() {
    let program = program("plugin");
    let (mut one, mut other) = (sandbox(&program, &echoing()), sandbox(&program, &echoing()));
    for calls in 1..=20 {
        assert_eq!(word(&call_bytes(&mut one, "counts", b"").expect("a count")), calls);
    }
    assert_eq!(word(&call_bytes(&mut other, "counts", b"").expect("a count")), 1);
    let mut tasks = sandbox(&self::program("tasks"), &ampoule::Imports::new());
    for times in 1..=3 {
        assert_eq!(word(&call_bytes(&mut tasks, "keeps", b"1234").expect("a length")), 4 * times, "files stay as well");
    }
}

#[test]
fn arguments_variables_and_files_are_there_as_for_a_command() {
    let mut tasks = Sandbox::builder(&program("tasks"), &ampoule::Imports::new())
        .arg("argument")
        .env("VARIABLE", "variable")
        .file("/etc/plugin", "file")
        .build(())
        .expect("a sandbox");
    assert_eq!(call_bytes(&mut tasks, "finds", b"").expect("a reply"), b"argument variable file");
    let mut bare = sandbox(&program("tasks"), &ampoule::Imports::new());
    assert_eq!(call_bytes(&mut bare, "finds", b"").expect("a reply"), b"- - ");
}

#[test]
fn what_is_printed_goes_to_a_file_or_a_pipe_and_counts_for_each_call() {
    let mut file = tempfile::tempfile().expect("a file");
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let program = program("plugin");
    let build = |stdout: Stdio| Sandbox::builder(&program, &echoing()).stdout(stdout).build(()).expect("a sandbox");
    let mut to_file = build(file.try_clone().expect("a file").into());
    let mut to_pipe = build(writer.into());
    for text in ["one\n", "two\n"] {
        call_bytes(&mut to_file, "prints", text.as_bytes()).expect("printed");
        assert_eq!(to_file.last_stats().bytes_out, 4, "of this call");
        call_bytes(&mut to_pipe, "prints", text.as_bytes()).expect("printed");
        let mut seen = [0; 4];
        reader.read_exact(&mut seen).expect("it is there when the call is over");
        assert_eq!(seen, text.as_bytes());
    }
    drop(to_pipe);
    assert_eq!(reader.read(&mut [0; 1]).expect("the end"), 0, "the pipe is closed with the sandbox");
    let mut text = String::new();
    file.rewind().expect("a file");
    file.read_to_string(&mut text).expect("a file");
    assert_eq!(text, "one\ntwo\n");

    let mut silent = sandbox(&program, &echoing());
    call_bytes(&mut silent, "prints", b"to nobody").expect("streams are null unless said otherwise");
}

#[test]
fn what_a_call_did_is_counted_for_that_call() {
    let program = program("plugin");
    let mut plugin = sandbox(&program, &echoing());
    let boot = plugin.last_stats();
    assert!(boot.exit_count() > 0 && boot.syscall_count() > 0 && boot.memory_peak > 0, "{boot:?}");
    call_bytes(&mut plugin, "echo", b"warm").expect("a reply");
    call_bytes(&mut plugin, "echo", b"warm").expect("a reply");
    let echo = plugin.last_stats();
    assert_eq!((echo.exit_count() - interruptions(&echo), echo.syscall_count()), (1, 0), "{echo:?}");
    assert!(echo.guest <= echo.wall && echo.bytes_out == 0, "{echo:?}");
    call_bytes(&mut plugin, "prints", b"12345").expect("a reply");
    let prints = plugin.last_stats();
    assert_eq!((prints.bytes_out, prints.syscall_count(), &*prints.syscalls[0].name), (5, 1, "write"), "{prints:?}");
    call_bytes(&mut plugin, "calls_host", b"x").expect("a reply");
    let asked = plugin.last_stats();
    assert_eq!(asked.exit_count() - interruptions(&asked), 2, "{asked:?}");
}

fn interruptions(stats: &ampoule::Stats) -> u64 {
    stats.exits.get(&ampoule::ExitKind::Interrupted).copied().unwrap_or(0)
}

#[test]
fn a_sandbox_moves_between_threads_from_call_to_call() {
    let mut plugin = sandbox(&program("plugin"), &echoing());
    for calls in 1..=scale(20) {
        plugin = std::thread::spawn(move || {
            let reply = call_bytes(&mut plugin, "counts", b"").expect("a count");
            assert_eq!(word(&reply), calls as u64);
            plugin
        })
        .join()
        .expect("a thread");
    }
}

#[test]
fn eight_threads_call_eight_sandboxes_at_once() {
    let program = program("plugin");
    let sum = program.func::<(Vec<u32>,), u64>("sum").expect("its types");
    std::thread::scope(|scope| {
        for thread in 0..8_u32 {
            let (program, sum) = (&program, &sum);
            scope.spawn(move || {
                let mut plugin = sandbox(program, &echoing());
                for round in 0..200 {
                    assert_eq!(plugin.call(sum, (vec![thread, round],)).expect("a sum"), u64::from(thread + round));
                    let input = pattern(usize::try_from(round * 100 + thread).unwrap_or_default());
                    assert!(call_bytes(&mut plugin, "calls_host", &input).expect("a reply") == input);
                }
            });
        }
    });
}

#[test]
fn the_guest_from_the_document_knows_when_nobody_calls_it() {
    let outside = ampoule_tests::run_outside(guest("from_the_document"), &[], &[], b"");
    let inside = ampoule_tests::Outcome::inside(guest("from_the_document"), &[], &[], b"");
    assert_eq!(outside, inside, "as a command there is nobody either");
    assert_eq!(inside.ending, ampoule_tests::Ending::Exited(2));
    assert!(String::from_utf8_lossy(&inside.stderr).contains("This program is a plugin for Ampoule"));
}

#[test]
fn the_info_page_says_what_is_left_of_the_time_and_has_a_seed_for_every_life() {
    let program = program("plugin");
    let (mut seeds, mut lives) = (std::collections::HashSet::new(), std::collections::HashSet::new());
    for _ in 0..4 {
        let mut plugin = sandbox(&program, &echoing());
        for seconds in [30, 3000] {
            let call = honest_call().wall(std::time::Duration::from_secs(seconds));
            let life = call_bytes_within(&mut plugin, "life", b"", &call).expect("a life");
            let (words, seed) = life.split_at(16);
            let (generation, left) = words.split_at(8);
            lives.insert(word(generation));
            assert!(word(left) <= seconds * 1_000_000_000 && word(left) > 0, "{seconds}: {}", word(left));
            seeds.insert(seed.to_vec());
        }
    }
    assert_eq!((seeds.len(), lives.len()), (4, 4), "one for every life");
}
