//! The counters that a harness reads are the program's own: the same for each input as in the same target outside, in its own process.

use ampoule::fuzz::Verdict;
use ampoule_tests::{Ending, batch, harness, run_outside, scale, variants_of, verdict};

/// Inputs that go everywhere in the parser, one of which is its bug.
pub(crate) fn corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = [
        &b""[..],
        b"A",
        b"AMPL",
        b"AMPL\x01",
        b"AMPL\x02n\x01",
        b"AMPL\x01n\x03123",
        b"AMPL\x01n\x031x3",
        b"AMPL\x01s\x04FUZX",
        b"AMPL\x01s\x04FUXX",
        b"AMPL\x01s\x04FUZZ",
        b"AMPL\x01s\x02FU",
        b"AMPL\x01m\x04\xde\xc0\xed\xfe",
        b"AMPL\x01m\x04abcd",
        b"AMPL\x01m\x03abc",
        b"AMPL\x01#\x00#\x01x",
        b"AMPL\x01(\x05n\x03123",
        b"AMPL\x01(\x02(\x00",
        b"AMPL\x01z\x00",
        b"AMPL\x01n\xff1",
        b"AMPL\x01n",
    ]
    .map(<[u8]>::to_vec)
    .into();
    // Deeper than it goes.
    for depth in [3, 8, 9, 20] {
        let nested = (0..depth).fold(b"n\x011".to_vec(), |inner, _| {
            [&[b'(', u8::try_from(inner.len()).expect("short")][..], &inner].concat()
        });
        corpus.push([b"AMPL\x01", &nested[..]].concat());
    }
    // More often than a counter counts.
    corpus.push([&b"AMPL\x01"[..], &b"n\x0212#\x00".repeat(300)].concat());
    corpus
}

/// What the target prints outside for each input: whether it aborted, and its counters.
fn outside(inputs: &[Vec<u8>]) -> Vec<(bool, Vec<u8>)> {
    let runner = variants_of("parser").find(|guest| guest.variant == "outside").expect("the variant");
    let word = |length: usize| u32::try_from(length).expect("short").to_le_bytes();
    let stdin: Vec<u8> = inputs.iter().flat_map(|input| [&word(input.len())[..], input].concat()).collect();
    let outcome = run_outside(runner.image(), &[], &[], &stdin);
    assert_eq!(outcome.ending, Ending::Exited(0));
    let mut rest = outcome.stdout.as_slice();
    let mut told = Vec::new();
    while let Some((count, after)) = rest.split_first_chunk::<4>() {
        let (counters, after_it) = after[1..].split_at(usize::try_from(u32::from_le_bytes(*count)).expect("a count"));
        told.push((after[0] == 1, counters.to_vec()));
        rest = after_it;
    }
    assert_eq!(told.len(), inputs.len());
    told
}

#[test]
fn each_input_takes_the_same_edges_as_often_as_outside_in_every_round_singly_and_in_batches() {
    let inputs = corpus();
    let mut harness = harness("parser");
    for round in 0..scale(10) {
        let wanted = outside(&inputs);
        assert_eq!(harness.edges().len(), wanted[0].1.len());
        let singly: Vec<_> =
            inputs.iter().map(|input| (verdict(&mut harness, input), harness.counters().to_vec())).collect();
        let in_batches = batch(&mut harness, &inputs);
        for (index, (aborted, counters)) in wanted.iter().enumerate() {
            for (how, (verdict, found)) in [("singly", &singly[index]), ("in a batch", &in_batches[index])] {
                assert_eq!(verdict.crash().is_some(), *aborted, "round {round}, input {index} {how}: {verdict}");
                assert_eq!(found, counters, "round {round}, input {index} {how}");
            }
        }
    }
    assert!(inputs.iter().any(|input| verdict(&mut harness, input) != Verdict::Ok), "the bug is among them");
}

#[test]
fn edges_lie_in_the_functions_that_the_target_has_and_each_function_has_one_first() {
    let harness = harness("parser");
    let names: std::collections::BTreeSet<_> =
        harness.edges().iter().filter_map(|edge| Some(harness.symbol(edge)?.name.to_owned())).collect();
    assert!(names.contains("LLVMFuzzerTestOneInput"), "{names:?}");
    assert!(harness.edges().iter().all(|edge| edge.address.is_some()));
    let firsts = harness.edges().iter().filter(|edge| edge.is_entry);
    let starts: Vec<_> = firsts.filter_map(|edge| harness.symbol(edge)).map(|symbol| symbol.offset).collect();
    assert!(starts.len() >= names.len() && starts.iter().all(|&offset| offset < 16), "{starts:?}");
}

#[test]
fn a_target_without_counters_has_no_edges_and_the_same_verdicts() {
    let program = ampoule_tests::target("parser", "plain");
    let mut plain =
        ampoule::fuzz::Harness::builder(&program).timeout(ampoule_tests::PATIENCE).build().expect("a harness");
    let mut counted = harness("parser");
    assert!(plain.edges().is_empty());
    for input in corpus() {
        assert_eq!(verdict(&mut plain, &input).is_ok(), verdict(&mut counted, &input).is_ok());
        assert!(plain.counters().is_empty());
    }
    let told = batch(&mut plain, &corpus());
    assert!(told.iter().all(|(_, counters)| counters.is_empty()));
}
