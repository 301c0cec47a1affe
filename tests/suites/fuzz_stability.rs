//! The report of stability names what cannot be put back, and nothing else.

use ampoule_tests::{batch, harness, scale};

#[test]
fn a_function_that_reads_the_time_stamp_counter_is_named() {
    let mut harness = harness("unstable");
    // Whether the counter's bit differs among so few is chance; among so many it does.
    let found = harness.stability(&[&b"s"[..], b"x", b"s", b"y"], 300).expect("the host does not fail");
    assert!(!found.unstable.is_empty() && !found.is_perfect());
    for edge in &found.unstable {
        assert_eq!(edge.symbol.as_deref(), Some("depends_on_the_time"));
        assert_eq!(harness.edges()[edge.index], edge.edge);
        assert!(edge.inputs >= 1 && edge.inputs <= 2);
    }
    assert!(found.verdicts.is_empty());
    assert!(found.score() < 1.0 && found.score() > 0.0 && found.edges > found.unstable.len(), "{found:?}");
}

#[test]
fn inputs_that_do_not_ask_for_the_time_are_perfectly_stable() {
    for (guest, inputs) in [
        ("unstable", vec![b"s".to_vec()]),
        ("parser", crate::fuzz_edges::corpus()),
        ("messages", vec![b"hello".to_vec(), b"bye".to_vec()]),
        ("leaks", vec![b"r".to_vec(), b"t".to_vec(), b"a".to_vec()]),
        ("busy", vec![b"w\x01f\x02m\x03p\x04t\x05".to_vec(), b"a\x00".to_vec(), b"n\x00".to_vec()]),
    ] {
        let mut harness = harness(guest);
        batch(&mut harness, &inputs);
        let found = harness.stability(&inputs, u32::try_from(scale(10)).expect("few")).expect("the host does not fail");
        assert!(found.is_perfect() && found.edges > 0, "{guest}: {found:?}");
        assert!((found.score() - 1.0).abs() < f64::EPSILON);
    }
}

#[test]
fn no_inputs_and_no_edges_are_stable() {
    let found = harness("parser").stability::<&[u8]>(&[], 3).expect("nothing to fail");
    assert!(found.is_perfect() && found.edges == 0 && (found.score() - 1.0).abs() < f64::EPSILON);
    let found = harness("parser").stability(&[b"x"], 0).expect("one round at least");
    assert!(found.is_perfect() && found.edges > 0);
}
