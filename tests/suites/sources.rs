//! Where a guest's time and randomness come from is the host's choice: its own, standing still, or the same in every run.

use ampoule::{Call, Command, End, Limit, Output, Program, Sandbox, Sources, Stdio};
use ampoule_tests::{all_guests, call_bytes, echoing, honest_call, program, variants_of, word};
use std::collections::HashSet;
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3600 * SECOND;
const YEAR_2000: u64 = 946_684_800 * SECOND;

fn run(program: &Program, sources: Sources, args: &[&str], call: Call) -> Output {
    let result = Command::new(program).args(args).sources(sources).call(call).output();
    result.unwrap_or_else(|error| panic!("{sources:?} {args:?}: {error}"))
}

/// What the guest prints, in every variant.
fn printed(sources: Sources, args: &[&str]) -> Vec<String> {
    let outputs = variants_of("sources").map(|guest| {
        let program = Program::from_bytes(guest.image()).expect("a program");
        let output = run(&program, sources, args, honest_call());
        assert_eq!(output.end, End::Exited(0), "{} {sources:?} {args:?}", guest.variant);
        String::from_utf8(output.stdout).expect("text")
    });
    outputs.collect()
}

fn numbers(line: &str) -> Vec<u64> {
    line.split_whitespace().map(|number| number.parse().unwrap_or_else(|error| panic!("{number}: {error}"))).collect()
}

#[test]
fn two_runs_with_one_seed_print_the_same_and_another_seed_has_other_random_bytes() {
    for args in [&["random"][..], &["clocks"], &["sleeps", "3600"]] {
        assert_eq!(printed(Sources::Deterministic(7), args), printed(Sources::Deterministic(7), args), "{args:?}");
    }
    let streams = [7, 8, 1 << 63].map(|seed| printed(Sources::Deterministic(seed), &["random"]));
    let others = [printed(Sources::Frozen, &["random"]), printed(Sources::Real, &["random"])];
    let mut seen = HashSet::new();
    for output in streams.iter().chain(&others) {
        for line in output.first().expect("a variant").lines() {
            assert!(seen.insert(line.to_owned()), "no source gives what another gave: {line:.64}");
        }
    }
    assert_eq!(seen.len(), 5 * 4);
}

#[test]
fn real_time_and_randomness_are_others_in_every_run() {
    let [once, again] = [(); 2].map(|()| printed(Sources::Real, &["random"]));
    for (once, again) in once.iter().zip(&again) {
        assert!(once.lines().zip(again.lines()).all(|(once, again)| once != again));
    }
    assert_ne!(printed(Sources::Real, &["clocks"]), printed(Sources::Real, &["clocks"]));
    let program = program("sources");
    let by_default = Command::new(&program).arg("clocks").call(honest_call()).output().expect("a run");
    let text = String::from_utf8(by_default.stdout).expect("text");
    let realtime = numbers(text.lines().next().expect("a clock"));
    assert!(realtime.iter().all(|&time| time > YEAR_2000 + 20 * 365 * 24 * HOUR), "{text}");
}

#[test]
fn frozen_clocks_all_stand_at_the_documented_instant_and_random_bytes_are_those_of_every_run() {
    let clocks = [YEAR_2000, HOUR, 0, 0, HOUR, YEAR_2000, HOUR, HOUR].map(|time| time.to_string()).join("\n");
    let expected = format!("{clocks}\n946684800 946684800.000000\n0.000000 0\n3600 360000 0 0\n");
    for text in printed(Sources::Frozen, &["clocks"]) {
        assert_eq!(text, expected);
    }
    assert_eq!(printed(Sources::Frozen, &["random"]), printed(Sources::Frozen, &["random"]));
    for text in printed(Sources::Frozen, &["sleeps", "3600"]) {
        assert_eq!(text, "0 0\n", "and sleeping is over at once");
    }
}

#[test]
fn a_deterministic_clock_moves_by_a_microsecond_with_every_reading() {
    for text in printed(Sources::Deterministic(7), &["clocks"]) {
        let lines: Vec<&str> = text.lines().collect();
        // A libc may have read the time before main; each clock is read once, one after the other.
        let before = numbers(lines[0])[0] - YEAR_2000;
        assert!(before.is_multiple_of(1000) && before < 100_000, "{text}");
        let starts = [YEAR_2000, HOUR, 0, 0, HOUR, YEAR_2000, HOUR, HOUR];
        for (index, start) in (0..).zip(starts) {
            let reading = before + index * 1000;
            assert_eq!(lines[usize::try_from(index).expect("small")], (start + reading).to_string(), "{text}");
        }
    }
}

#[test]
fn an_hours_sleep_ends_at_once_and_an_hour_later() {
    let program = program("sources");
    // Less wall time than it would take.
    let call = honest_call().wall(Duration::from_secs(600));
    let output = run(&program, Sources::Deterministic(7), &["sleeps", "3600"], call);
    assert_eq!(output.end, End::Exited(0));
    let reading = 1000;
    assert_eq!(numbers(&String::from_utf8_lossy(&output.stdout)), [HOUR + reading, HOUR + reading]);
}

#[test]
fn waiting_in_a_loop_ends_by_itself_with_a_clock_that_moves_and_by_the_limits_with_one_that_does_not() {
    let program = program("sources");
    assert_eq!(run(&program, Sources::Deterministic(7), &["spins", "5"], honest_call()).stdout, b"over\n");
    let call = honest_call().cpu(Duration::from_millis(20));
    assert_eq!(run(&program, Sources::Frozen, &["spins", "5"], call).end, End::Limit(Limit::Cpu));
}

#[test]
fn a_plugin_has_the_seed_of_the_stream_and_no_deadline() {
    let program = program("plugin");
    let life = |sources| {
        let builder = Sandbox::builder(&program, &echoing()).sources(sources).stdin(Stdio::null());
        let mut plugin = builder.build(()).unwrap_or_else(|error| panic!("{error}"));
        let first = call_bytes(&mut plugin, "life", b"").expect("a life");
        assert_eq!(call_bytes(&mut plugin, "life", b"").expect("a life")[16..], first[16..], "one seed for one life");
        let mut live = plugin.into_live(super::live::idle()).expect("it serves the ring");
        let alive = super::live::call_live(&mut live, "life", b"").expect("a life");
        assert_eq!(
            alive[8..],
            [u64::MAX.to_le_bytes().as_slice(), &first[16..]].concat(),
            "live calls have no deadline"
        );
        (word(&first[8..16]), first[16..].to_vec())
    };
    let mut seeds = HashSet::new();
    for sources in [Sources::Frozen, Sources::Deterministic(1), Sources::Deterministic(2)] {
        let (left, seed) = life(sources);
        assert_eq!(left, u64::MAX, "{sources:?}");
        assert_eq!(life(sources).1, seed, "{sources:?}");
        seeds.insert(seed);
    }
    for _ in 0..2 {
        let (left, seed) = life(Sources::Real);
        assert!(left < u64::MAX);
        seeds.insert(seed);
    }
    assert_eq!(seeds.len(), 5);
}

#[test]
fn every_honest_guest_prints_the_same_twice_with_one_seed() {
    for guest in all_guests().filter(|guest| guest.honest) {
        let program = Program::from_bytes(guest.image()).expect("a program");
        let outputs = [(); 2].map(|()| {
            let output = run(&program, Sources::Deterministic(7), &[], honest_call());
            (format!("{:?}", output.end), output.stdout, output.stderr)
        });
        assert_eq!(outputs[0], outputs[1], "{} ({})", guest.name, guest.variant);
    }
}
