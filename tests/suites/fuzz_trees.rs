//! Inputs that are messages: a state that some of them lead to is where others begin, and one goes back to it from anywhere.

use ampoule::fuzz::{FuzzError, Verdict};
use ampoule_tests::{PATIENCE, batch, fuzzing, harness, scale, verdict};

#[test]
fn inputs_begin_in_the_state_that_the_messages_before_them_led_to() {
    let mut harness = harness("messages");
    assert_eq!(verdict(&mut harness, b"crash"), Verdict::Ok);
    for message in [&b"hello"[..], b"login swordfish"] {
        assert_eq!(harness.advance(message).expect("a verdict"), Verdict::Ok);
    }
    for _ in 0..scale(20) {
        assert!(verdict(&mut harness, b"crash").crash().is_some());
        // The third message, each time.
        assert!(verdict(&mut harness, b"crash after three").crash().is_some());
        assert_eq!(verdict(&mut harness, b"bye"), Verdict::Ok);
    }
    let inputs: Vec<&[u8]> = [&b"bye"[..], b"x", b"crash after three", b"bye"].repeat(scale(10));
    for (index, (found, _)) in batch(&mut harness, &inputs).iter().enumerate() {
        assert_eq!(found.crash().is_some(), index % 4 == 2, "{index}: {found}");
    }
}

#[test]
fn a_harness_goes_to_any_state_that_it_was_in() {
    let mut harness = harness("messages");
    let closed = harness.checkpoint();
    harness.advance(b"hello").expect("a verdict");
    let greeted = harness.checkpoint();
    harness.advance(b"login swordfish").expect("a verdict");
    let logged_in = harness.checkpoint();
    harness.go_to(&greeted).expect("its own");
    harness.advance(b"wait").expect("a verdict");
    harness.advance(b"login swordfish").expect("a verdict");
    let late = harness.checkpoint();
    // Which of the states crash by which message.
    for _ in 0..scale(3) {
        for (state, by_crash, by_third) in [
            (&closed, false, false),
            (&logged_in, true, true),
            (&late, true, false),
            (&greeted, false, false),
            (&logged_in, true, true),
        ] {
            harness.go_to(state).expect("its own");
            assert_eq!(verdict(&mut harness, b"crash").crash().is_some(), by_crash);
            assert_eq!(verdict(&mut harness, b"crash after three").crash().is_some(), by_third);
            let told =
                batch(&mut harness, &[&b"wait"[..], b"crash", b"bye", b"crash after three", b"bye", b"bye", b"bye"]);
            let crashes: Vec<_> = told.iter().map(|(verdict, _)| verdict.crash().is_some()).collect();
            assert_eq!(crashes, [false, by_crash, false, by_third, false, false, false]);
        }
    }
}

#[test]
fn counters_are_those_of_the_last_message_and_not_of_those_before() {
    let mut harness = harness("messages");
    verdict(&mut harness, b"nothing");
    let other = harness.counters().to_vec();
    verdict(&mut harness, b"hello");
    let hello = harness.counters().to_vec();
    assert_ne!(hello, other);
    assert_eq!(harness.advance(b"hello").expect("a verdict"), Verdict::Ok);
    assert_eq!(harness.counters(), hello);
    verdict(&mut harness, b"bye");
    let greeted = harness.counters().to_vec();
    verdict(&mut harness, b"bye");
    assert_eq!(harness.counters(), greeted);
    assert!(greeted.iter().zip(&hello).any(|(&greeted, &hello)| hello > 0 && greeted == 0));
}

#[test]
fn a_crash_or_a_hang_on_the_way_leaves_the_start_where_it_was() {
    let mut harness = harness("messages");
    for message in [&b"hello"[..], b"login swordfish"] {
        harness.advance(message).expect("a verdict");
    }
    for _ in 0..3 {
        assert!(harness.advance(b"crash").expect("a verdict").crash().is_some());
        assert!(verdict(&mut harness, b"crash after three").crash().is_some());
    }
    let mut busy = fuzzing("busy").timeout(std::time::Duration::from_millis(20)).build().expect("a harness");
    assert_eq!(busy.advance(b"s\x00").expect("a verdict"), Verdict::Hang);
    busy.set_timeout(PATIENCE);
    assert_eq!(verdict(&mut busy, b"w\x01"), Verdict::Ok);
    // A second input: its steps were counted.
    assert_eq!(busy.advance(b"w\x01").expect("a verdict"), Verdict::Ok);
    assert!(verdict(&mut busy, b"w\x01").crash().is_some());
}

#[test]
fn a_state_of_another_harness_is_refused() {
    let [mut one, mut other] = [(); 2].map(|()| harness("messages"));
    one.advance(b"hello").expect("a verdict");
    assert!(matches!(other.go_to(&one.checkpoint()), Err(FuzzError::OtherHarness)));
    assert!(matches!(one.go_to(&other.checkpoint()), Err(FuzzError::OtherHarness)));
    drop(other);
    assert_eq!(one.advance(b"login swordfish").expect("a verdict"), Verdict::Ok);
    assert!(verdict(&mut one, b"crash").crash().is_some());
}

#[test]
fn a_plain_program_that_is_done_is_no_place_to_go_on_from() {
    let program = ampoule_tests::target("plain_stdin", "coverage");
    let mut harness =
        ampoule::fuzz::Harness::builder(&program).timeout(PATIENCE).output(1 << 16).build().expect("a harness");
    for _ in 0..3 {
        assert_eq!(harness.advance(b"AMPL\x01n\x0212").expect("a verdict"), Verdict::Ok);
        assert_eq!(harness.stdout(), b"ok: 1 numbers, 0 names, sum 12\n");
    }
}

#[test]
fn inputs_go_where_the_target_waits_for_them_in_the_state_that_they_begin_in() {
    let program = ampoule_tests::target("buffers", "bare");
    let mut harness = ampoule::fuzz::Harness::builder(&program).timeout(PATIENCE).build().expect("a harness");
    let inputs = [b"x", b"a", b"x", b"a", b"x", b"x", b"x", b"a"];
    let mut states = vec![harness.checkpoint()];
    for turn in 1..4 {
        assert_eq!(harness.advance(b"x").expect("a verdict"), Verdict::Ok);
        states.push(harness.checkpoint());
        assert_eq!(harness.max_input(), 4096 * (turn % 2 + 1));
    }
    for (turn, state) in states.iter().enumerate() {
        harness.go_to(state).expect("its own");
        let long = vec![b'x'; 4096 * (turn % 2 + 1)];
        assert_eq!(verdict(&mut harness, &long), Verdict::Ok);
        assert!(matches!(harness.run(&[&long[..], b"x"].concat()), Err(FuzzError::TooLong { .. })));
        for _ in 0..3 {
            for (input, (found, _)) in inputs.iter().zip(batch(&mut harness, &inputs)) {
                assert_eq!(found.crash().is_some(), **input == *b"a", "{turn}: {found}");
            }
        }
        batch(&mut harness, &[b"x"; 10]);
        assert_eq!(harness.last_stats().exit_count(), 1);
    }
}
