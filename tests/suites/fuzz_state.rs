//! Every input finds the machine as the first one did: memory, registers, files and clocks. The guests count their calls wherever a program can keep
//! a number, and abort where that is not 1.

use ampoule::fuzz::{Harness, Verdict};
use ampoule_tests::{PATIENCE, SOON, batch, fuzzing, harness, scale, verdict};

/// `leaks` keeps its numbers with system calls too; `registers` does without, so that it can be run in batches.
const GUESTS: [&str; 2] = ["leaks", "registers"];

fn is_first(harness: &mut Harness, after: &str) {
    let verdict = verdict(harness, b"r");
    assert!(verdict.is_ok(), "after {after}: {verdict}\n{}", verdict.crash().map_or("", |crash| crash.stderr()));
}

#[test]
fn every_input_is_the_first() {
    for guest in GUESTS {
        let mut harness = harness(guest);
        for round in 0..scale(50) {
            is_first(&mut harness, &format!("{round} inputs of {guest}"));
        }
    }
}

#[test]
fn every_input_of_a_batch_is_the_first() {
    for guest in GUESTS {
        let mut harness = harness(guest);
        for (verdict, _) in batch(&mut harness, &vec![b"r"; scale(100)]) {
            assert!(verdict.is_ok(), "{guest}: {verdict}\n{}", verdict.crash().map_or("", |crash| crash.stderr()));
        }
        // The one really was a batch, and the other never can be.
        assert_eq!(harness.last_stats().exit_count() == 1, guest == "registers", "{guest}: {:?}", harness.last_stats());
    }
}

#[test]
fn flags_that_an_input_leaves_set_are_not_the_next_ones() {
    let mut harness = harness("registers");
    for _ in 0..3 {
        assert!(verdict(&mut harness, b"g").is_ok());
        is_first(&mut harness, "flags that no function leaves");
    }
    let inputs: Vec<_> = std::iter::repeat_n([&b"g"[..], b"r"], 30).flatten().collect();
    let told = batch(&mut harness, &inputs);
    assert!(told.iter().all(|(verdict, _)| verdict.is_ok()), "{told:?}");
}

/// An input, and whether a verdict on it is right.
type Ending = (&'static [u8], fn(&Verdict) -> bool);

/// How an input can end, by its first byte: each with its verdict.
fn endings(guest: &str) -> [Ending; 4] {
    let no_memory: &[u8] = if guest == "leaks" { b"m" } else { b"o" };
    let is_crash = |verdict: &Verdict| verdict.crash().is_some();
    [
        (b"a", is_crash),
        (b"h", |verdict| *verdict == Verdict::Hang),
        (no_memory, |verdict| *verdict == Verdict::OutOfMemory),
        (b"s", is_crash),
    ]
}

#[test]
fn the_input_after_a_crash_a_hang_or_the_end_of_memory_is_the_first() {
    for guest in GUESTS {
        let mut harness = harness(guest);
        for (input, is_right) in endings(guest) {
            harness.set_timeout(if input == b"h" { SOON } else { PATIENCE });
            for _ in 0..2 {
                let found = verdict(&mut harness, input);
                let stderr = found.crash().map_or("", |crash| crash.stderr());
                assert!(is_right(&found) && !stderr.contains("leaks:"), "{input:?}: {found}\n{stderr}");
                is_first(&mut harness, &format!("{input:?} of {guest}"));
            }
            let told = batch(&mut harness, &[b"r", b"r", b"r", b"r", b"r", input, b"r", b"r", b"r"]);
            for (index, (found, _)) in told.iter().enumerate() {
                let right = if index == 5 { is_right(found) } else { found.is_ok() };
                assert!(right, "{guest}, {input:?}, {index}: {found}");
            }
        }
    }
}

#[test]
fn inputs_begin_anew_when_the_harness_goes_back_to_where_they_began() {
    for guest in GUESTS {
        let mut harness = harness(guest);
        let start = harness.checkpoint();
        is_first(&mut harness, "nothing");
        assert!(harness.advance(b"r").expect("a verdict").is_ok());
        // One input was kept, and this is the second: the guest says so.
        let second = verdict(&mut harness, b"r");
        assert!(second.crash().is_some_and(|crash| crash.stderr().contains("leaks:")), "{second}");
        harness.go_to(&start).expect("its own state");
        is_first(&mut harness, "another state");
        let told = batch(&mut harness, &[b"r"; 20]);
        assert!(told.iter().all(|(verdict, _)| verdict.is_ok()));
    }
}

#[test]
fn every_input_reads_the_same_clocks_the_same_random_bytes_and_the_same_number_of_its_process() {
    let mut harness = fuzzing("leaks").output(1 << 20).build().expect("a harness");
    let mut told = |input: &[u8]| {
        let verdict = verdict(&mut harness, input);
        assert!(verdict.is_ok(), "{verdict}\n{}", verdict.crash().map_or("", |crash| crash.stderr()));
        String::from_utf8(harness.stdout().to_vec()).expect("text")
    };
    let first = told(b"t");
    assert_eq!(first.split_whitespace().count(), 7, "{first}");
    for _ in 0..scale(20) {
        assert_eq!(told(b"r"), "");
        assert_eq!(told(b"t"), first);
    }
    // And so in another harness.
    let mut other = fuzzing("leaks").output(1 << 20).build().expect("a harness");
    assert!(verdict(&mut other, b"t").is_ok());
    assert_eq!(other.stdout(), first.as_bytes());
}
