//! Harnesses on many threads, moved between them, cancelled and dropped.

use ampoule::CancelToken;
use ampoule::fuzz::{Checkpoint, FuzzError, Harness, Verdict};
use ampoule_tests::{batch, fuzzing, harness, scale, verdict};

#[test]
fn a_harness_and_its_states_go_from_thread_to_thread() {
    fn is_send<T: Send + 'static>() {}
    is_send::<Harness>();
    is_send::<Checkpoint>();
    is_send::<Verdict>();
    is_send::<FuzzError>();
    let mut harness = harness("messages");
    harness.advance(b"hello").expect("a verdict");
    for _ in 0..scale(4) {
        harness = std::thread::spawn(move || {
            assert_eq!(verdict(&mut harness, b"wait"), Verdict::Ok);
            batch(&mut harness, &[b"wait"; 20]);
            harness
        })
        .join()
        .expect("the thread's end");
    }
    let mut harness = harness;
    harness.advance(b"login swordfish").expect("a verdict");
    assert!(
        std::thread::spawn(move || verdict(&mut harness, b"crash")).join().expect("the thread's end").crash().is_some()
    );
}

#[test]
fn harnesses_on_many_threads_at_once_each_tell_the_same() {
    let inputs = crate::fuzz_edges::corpus();
    let wanted = batch(&mut harness("parser"), &inputs);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut harness = harness("parser");
                for _ in 0..scale(5) {
                    assert!(batch(&mut harness, &inputs) == wanted);
                    for (input, wanted) in inputs.iter().zip(&wanted) {
                        assert_eq!(
                            (verdict(&mut harness, input), harness.counters()),
                            (wanted.0.clone(), &wanted.1[..])
                        );
                    }
                }
            });
        }
    });
}

#[test]
fn a_token_ends_a_run_and_a_batch_from_another_thread() {
    for in_batch in [false, true] {
        let token = CancelToken::new();
        let mut harness = fuzzing("busy").cancel(&token).build().expect("a harness");
        for _ in 0..6 {
            verdict(&mut harness, b"b\x01");
        }
        std::thread::scope(|scope| {
            let run = scope.spawn(|| {
                if in_batch {
                    harness.run_batch(&[&b"b\x01"[..], b"s\x00", b"b\x01"], |_, _, _| {})
                } else {
                    harness.run(b"s\x00").map(drop)
                }
            });
            token.cancel();
            assert!(matches!(run.join().expect("the thread's end"), Err(FuzzError::Cancelled)));
        });
        // The token stays cancelled, and whoever holds the harness is told so each time.
        assert!(matches!(harness.run(b"b\x01"), Err(FuzzError::Cancelled)));
        assert!(matches!(harness.run_batch(&[b"b\x01"], |_, _, _| {}), Err(FuzzError::Cancelled)));
        assert!(matches!(harness.advance(b"b\x01"), Err(FuzzError::Cancelled)));
    }
    let token = CancelToken::new();
    token.cancel();
    assert!(fuzzing("busy").cancel(&token).build().is_err());
}

#[test]
fn a_harness_may_be_dropped_at_any_time_and_its_states_after_it() {
    for _ in 0..scale(3) {
        let mut one = harness("messages");
        one.advance(b"hello").expect("a verdict");
        let state = one.checkpoint();
        let mut other = harness("busy");
        verdict(&mut other, b"w\x01");
        drop(one);
        assert_eq!(verdict(&mut other, b"w\x01"), Verdict::Ok);
        drop(harness("busy"));
        drop(state);
        batch(&mut other, &[b"w\x01"; 20]);
    }
    // In the middle of a batch, by a panic of the one who is told.
    let mut broken = harness("busy");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        broken.run_batch(&[b"w\x01"; 20], |index, _, _| assert!(index < 12, "on purpose"))
    }));
    assert!(panicked.is_err());
    assert_eq!(verdict(&mut broken, b"w\x01"), Verdict::Ok);
    batch(&mut broken, &[b"w\x01"; 20]);
}
