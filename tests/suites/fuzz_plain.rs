//! Programs that know nothing of fuzzing, and plugins: their inputs come on stdin, as a file, or as a function's argument.

use ampoule::fuzz::{CrashCause, FuzzError, Harness, HarnessBuilder, Verdict};
use ampoule::{Call, End, Program, Signal};
use ampoule_tests::{Guest, PATIENCE, batch, program, scale, target, variants_of, verdict};

fn plain(name: &str, variant: &str) -> HarnessBuilder {
    Harness::builder(&target(name, variant)).timeout(PATIENCE).output(1 << 16)
}

/// The parsers in all the ways in which they get their inputs.
fn parsers() -> Vec<(String, Harness)> {
    let mut parsers = Vec::new();
    for variant in ["coverage", "plain", "bare"] {
        let stdin = plain("plain_stdin", variant).build();
        let file = plain("plain_file", variant).arg("/input").file("/input").build();
        for (name, harness) in [("stdin", stdin), ("file", file)] {
            parsers.push((
                format!("{name}, {variant}"),
                harness.unwrap_or_else(|error| panic!("{name}, {variant}: {error}")),
            ));
        }
    }
    parsers
}

#[test]
fn a_program_takes_each_input_as_its_stdin_or_its_file_and_whatever_it_exits_with_is_fine() {
    for (name, mut harness) in parsers() {
        for _ in 0..scale(5) {
            for good in [&b"AMPL\x01n\x0212"[..], b"", b"AMPL", &b"AMPL\x01#\xff".repeat(1000)] {
                assert_eq!(verdict(&mut harness, good), Verdict::Ok, "{name}");
            }
            let found = verdict(&mut harness, b"AMPL\x01s\x04FUZZ");
            let crash = found.crash().unwrap_or_else(|| panic!("{name}: {found}"));
            assert_eq!(*crash.cause(), CrashCause::End(End::Signaled(Signal::ABRT)), "{name}");
        }
    }
}

#[test]
fn a_program_with_counters_has_edges_and_others_have_none() {
    for (name, mut harness) in parsers() {
        let counted = name.ends_with("coverage");
        verdict(&mut harness, b"AMPL\x01n\x0212");
        assert_eq!(harness.edges().len(), harness.counters().len());
        assert_eq!(harness.counters().iter().any(|&count| count > 0), counted, "{name}");
        let first = harness.counters().to_vec();
        verdict(&mut harness, b"");
        assert_eq!(harness.counters() != first, counted, "{name}");
        verdict(&mut harness, b"AMPL\x01n\x0212");
        assert_eq!(harness.counters(), first, "{name}");
    }
}

#[test]
fn what_the_program_prints_is_that_inputs() {
    let mut harness = plain("plain_stdin", "bare").build().expect("a harness");
    for (input, printed) in [
        (&b"AMPL\x01n\x0212"[..], &b"ok: 1 numbers, 0 names, sum 12\n"[..]),
        (b"x", b"bad: 0 numbers, 0 names, sum 0\n"),
    ] {
        for _ in 0..2 {
            assert_eq!(verdict(&mut harness, input), Verdict::Ok);
            assert_eq!(harness.stdout(), printed);
        }
    }
}

#[test]
fn a_program_that_waits_for_stdin_before_it_reads_begins_there_with_every_input() {
    for way in ["poll-now", "select", "epoll-edge", "fionread"] {
        let builder = Harness::builder(&program("inputs")).timeout(PATIENCE).output(1 << 16).arg(way);
        let mut harness = builder.build().expect("a harness");
        for input in ["a", "another", "a"] {
            assert_eq!(verdict(&mut harness, input.as_bytes()), Verdict::Ok, "{way}");
            let printed = String::from_utf8_lossy(harness.stdout()).into_owned();
            assert!(printed.ends_with(&format!("\n{} {input}\n", input.len())), "{way}: {printed}");
            assert_eq!(printed.contains(&format!("\n{}\n", input.len())), way == "fionread", "{printed}");
        }
    }
}

#[test]
fn an_input_of_a_file_is_as_long_as_files_may_be() {
    let mut harness = plain("plain_file", "bare").arg("input").file("input").build().expect("a harness");
    let max = harness.max_input();
    assert_eq!(verdict(&mut harness, &vec![b'x'; max.min(8 << 20)]), Verdict::Ok);
    assert!(matches!(harness.run(&vec![0; max + 1]), Err(FuzzError::TooLong { .. })));
    assert_eq!(verdict(&mut harness, b"AMPL"), Verdict::Ok);
}

#[test]
fn a_program_that_never_asks_has_no_input_and_its_end_is_told() {
    match plain("plain_file", "bare").build() {
        Err(FuzzError::NoInput { end, stderr }) => {
            assert_eq!((end, stderr.as_str()), (End::Exited(2), "usage: plain_file FILE\n"));
        }
        other => panic!("{other:?}"),
    }
    // It opens another file than the one that was named.
    let other = plain("plain_file", "bare").arg("/there").file("/here").place("/there", b"AMPL").build();
    assert!(matches!(other, Err(FuzzError::NoInput { end: End::Exited(1), .. })), "{other:?}");
    let endless = Harness::builder(&program("endless"))
        .arg("spin")
        .boot(Call::new().wall(std::time::Duration::from_millis(50)))
        .build();
    assert!(matches!(endless, Err(FuzzError::NoInput { end: End::Limit(_), .. })), "{endless:?}");
}

/// A harness for the plugin's function.
fn takes(guest: &Guest) -> Harness {
    let plugin = Program::from_bytes(guest.image()).expect("a program");
    Harness::builder(&plugin)
        .function("takes")
        .timeout(PATIENCE)
        .build()
        .unwrap_or_else(|error| panic!("{}: {error}", guest.variant))
}

#[test]
fn a_plugins_function_takes_inputs_as_its_argument_and_its_failures_are_crashes() {
    for guest in variants_of("takes") {
        let mut harness = takes(guest);
        for _ in 0..scale(5) {
            for good in [&b""[..], b"xyz", b"long", b"bad"] {
                assert_eq!(verdict(&mut harness, good), Verdict::Ok, "{} {good:?}", guest.variant);
            }
            let found = verdict(&mut harness, b"f");
            match found.crash().map(|crash| (crash.cause(), crash.signal())) {
                Some((CrashCause::Panicked { message, location }, Some(Signal::ABRT))) => {
                    assert_eq!(message, "it is an f");
                    assert!(location.contains("takes.c:"), "{location}");
                }
                other => panic!("{other:?}"),
            }
            assert!(found.to_string().contains("it is an f"), "{found}");
            let ends = [(&b"a"[..], End::Signaled(Signal::ABRT)), (b"e", End::Exited(4))];
            for (input, end) in ends {
                let found = verdict(&mut harness, input);
                assert_eq!(found.crash().map(|crash| crash.cause().clone()), Some(CrashCause::End(end)), "{found}");
            }
        }
        let inputs = [&b"x"[..], b"f", b"", b"a", b"bad", b"long", b"e", b"x", b"x", b"x"].repeat(10);
        for (index, (found, _)) in batch(&mut harness, &inputs).iter().enumerate() {
            assert_eq!(found.is_ok(), ![1, 3, 6].contains(&(index % 10)), "{index}: {found}");
        }
    }
}

#[test]
fn a_function_that_there_is_not_and_a_plugin_that_needs_the_host_are_refused() {
    let states = Harness::builder(&program("states")).build();
    let Err(FuzzError::NoFunction { name, exports }) = states else { panic!("{states:?}") };
    assert!(name == "LLVMFuzzerTestOneInput" && exports.iter().any(|name| name == "count"), "{exports:?}");
    let needy = Harness::builder(&program("plugin")).function("echo").build();
    assert!(matches!(needy, Err(FuzzError::Target(_))), "{needy:?}");
}

#[test]
fn a_file_is_found_where_the_program_looks_for_it() {
    for (directory, path) in
        [("/", "input"), ("/tmp", "input"), ("/tmp", "./input"), ("/tmp", "../tmp/input"), ("/tmp", "/tmp/input")]
    {
        let built = plain("opens", "bare").arg(directory).arg(path).file(path).build();
        let mut harness = built.unwrap_or_else(|error| panic!("{directory} {path}: {error}"));
        for input in [&b"one"[..], b"", b"another"] {
            assert_eq!(verdict(&mut harness, input), Verdict::Ok);
            assert_eq!(harness.stdout(), input, "{directory} {path}");
        }
    }
}

#[test]
fn a_program_may_look_at_its_file_before_it_opens_it() {
    for (how, printed) in [("access", ["one", "", "another"]), ("statx", ["3 one", "0 ", "7 another"])] {
        let built = plain("opens", "bare").arg("/").arg("/input").arg(how).file("/input").build();
        let mut harness = built.unwrap_or_else(|error| panic!("{how}: {error}"));
        for (input, printed) in ["one", "", "another"].into_iter().zip(printed) {
            assert_eq!(verdict(&mut harness, input.as_bytes()), Verdict::Ok);
            assert_eq!(String::from_utf8_lossy(harness.stdout()), printed, "{how}");
        }
    }
}

#[test]
fn a_program_that_asked_for_its_input_before_it_says_where_inputs_begin_goes_on() {
    let mut harness =
        plain("opens", "bare").arg("/").arg("/input").arg("start").file("/input").build().expect("a harness");
    for input in [&b"one"[..], b"", b"another"] {
        assert_eq!(verdict(&mut harness, input), Verdict::Ok);
        assert_eq!(harness.stdout(), input);
        let advanced = harness.advance(input).expect("no failure of the host's");
        assert_eq!((advanced, harness.stdout()), (Verdict::Ok, input));
    }
}

#[test]
fn a_program_that_leaves_no_room_for_its_file_is_out_of_memory_and_no_failure_of_the_hosts() {
    let mut harness =
        plain("opens", "bare").arg("/").arg("/input").arg("fill").file("/input").build().expect("a harness");
    for _ in 0..2 {
        assert_eq!(verdict(&mut harness, b"some bytes"), Verdict::Ok);
        assert_eq!(verdict(&mut harness, &[7; 100_000]), Verdict::OutOfMemory);
    }
}

#[test]
fn a_file_that_there_is_no_place_for_is_refused_when_the_harness_is_made() {
    for (path, how) in [("/input", "directory"), ("/", "nothing"), ("/tmp/", "nothing"), ("/dev/null", "nothing")] {
        let built = plain("opens", "bare").arg("/").arg(path).arg(how).file(path).build();
        assert!(matches!(built, Err(FuzzError::Run(ampoule::RunError::File { .. }))), "{path} {how}: {built:?}");
    }
}
