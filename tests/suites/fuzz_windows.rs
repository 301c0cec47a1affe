//! Windows: memory that no reset touches. They are zeros at first, as large as the target asked for, and the harness's to read by their names.

use ampoule::fuzz::{Harness, Verdict};
use ampoule_tests::{batch, harness, scale, verdict};

fn window(harness: &mut Harness, name: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![0xee; 3];
    let is_there = harness.read_window(name, &mut bytes).expect("the host does not fail");
    assert!(is_there || bytes.is_empty());
    is_there.then_some(bytes)
}

fn word(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(*bytes.first_chunk().expect("a word"))
}

#[test]
fn a_window_is_zeros_at_first_and_keeps_what_inputs_leave() {
    let mut harness = harness("windows");
    assert_eq!(window(&mut harness, "calls"), Some(vec![0; 8]));
    assert_eq!(window(&mut harness, "last"), Some(vec![0; 1000]));
    assert_eq!(window(&mut harness, "no such"), None);
    for round in 1..=scale(10) as u64 {
        assert_eq!(verdict(&mut harness, b"x"), Verdict::Ok);
        assert_eq!(word(&window(&mut harness, "calls").expect("a window")), round, "it is no memory that is put back");
    }
    // What a crashing input left, too.
    let before = word(&window(&mut harness, "calls").expect("a window"));
    assert!(verdict(&mut harness, b"a").crash().is_some());
    assert_eq!(word(&window(&mut harness, "calls").expect("a window")), before + 1);
    assert_eq!(&window(&mut harness, "last").expect("a window")[..2], b"a\0");
    // And going back to a state.
    let start = harness.checkpoint();
    assert_eq!(harness.advance(b"x").expect("a verdict"), Verdict::Ok);
    harness.go_to(&start).expect("its own");
    assert_eq!(verdict(&mut harness, b"yz"), Verdict::Ok);
    assert_eq!(word(&window(&mut harness, "calls").expect("a window")), before + 3);
    assert_eq!(&window(&mut harness, "last").expect("a window")[..3], b"yz\0");
}

#[test]
fn inputs_of_a_batch_write_to_the_windows_too() {
    let mut harness = harness("windows");
    for _ in 0..5 {
        verdict(&mut harness, b"x");
    }
    let before = word(&window(&mut harness, "calls").expect("a window"));
    batch(&mut harness, &[b"x"; 100]);
    assert_eq!(harness.last_stats().exit_count(), 1);
    assert_eq!(word(&window(&mut harness, "calls").expect("a window")), before + 100);
}

#[test]
fn a_window_has_the_bytes_that_were_asked_for_and_more_than_there_are_is_refused() {
    let mut harness = harness("windows");
    // It wrote to the first byte and the last one of the largest that it was given.
    let large = window(&mut harness, "large").expect("a window");
    assert_eq!((large.first(), large.last(), large.iter().filter(|&&byte| byte != 0).count()), (Some(&1), Some(&2), 2));
    assert!(large.len() < 4 << 20);
    assert_eq!(window(&mut harness, "too large"), None);
    // One that is asked for in an input comes too late.
    assert_eq!(verdict(&mut harness, b"w"), Verdict::Ok);
    assert_eq!(window(&mut harness, "late"), None);
}

#[test]
fn windows_of_two_harnesses_are_two() {
    let [mut one, mut other] = [(); 2].map(|()| harness("windows"));
    verdict(&mut one, b"x");
    assert_eq!(word(&window(&mut other, "calls").expect("a window")), 0);
    drop(one);
    verdict(&mut other, b"x");
    assert_eq!(word(&window(&mut other, "calls").expect("a window")), 1);
}

#[test]
fn comparisons_are_the_last_inputs_and_name_what_it_was_compared_with() {
    let mut harness = harness("parser");
    let numbers = |harness: &mut Harness| {
        let found = harness.comparisons().expect("the host does not fail");
        assert_eq!(found.entries.len() as u64, found.count);
        found.entries.iter().filter(|it| it.is_constant).map(|it| (it.size, it.left, it.right)).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        verdict(&mut harness, b"AMPL\x01m\x04abcd");
        let magic = (4, 0xfeed_c0de, u64::from(u32::from_le_bytes(*b"abcd")));
        assert!(numbers(&mut harness).contains(&magic), "{:x?}", numbers(&mut harness));
        verdict(&mut harness, b"AMPL\x01s\x04abcd");
        let found = numbers(&mut harness);
        assert!(found.contains(&(1, u64::from(b'F'), u64::from(b'a'))) && !found.contains(&magic), "{found:x?}");
        verdict(&mut harness, b"AMPL\x01s\x04Fbcd");
        assert!(numbers(&mut harness).contains(&(1, u64::from(b'U'), u64::from(b'b'))));
    }
    verdict(&mut harness, b"");
    let shortest = harness.comparisons().expect("the host does not fail").count;
    verdict(&mut harness, &[&b"AMPL\x01"[..], &b"#\x00".repeat(5000)].concat());
    let longest = harness.comparisons().expect("the host does not fail");
    assert!(longest.count > 5000 && longest.count > longest.entries.len() as u64 && shortest < 100);
    // Where they are in the program.
    let symbol =
        longest.entries.first().and_then(|entry| harness.program().symbol_at(entry.address)).expect("a function");
    assert_eq!(symbol.name, "LLVMFuzzerTestOneInput");
}

#[test]
fn a_target_without_counters_has_no_comparisons() {
    let program = ampoule_tests::target("plain_stdin", "bare");
    let mut harness = Harness::builder(&program).timeout(ampoule_tests::PATIENCE).build().expect("a harness");
    verdict(&mut harness, b"AMPL");
    assert_eq!(harness.comparisons().expect("the host does not fail"), ampoule::fuzz::Comparisons::default());
}
