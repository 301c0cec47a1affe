//! A batch tells exactly what its inputs would tell one by one, whatever they do; and it is one entry where it can be.

use ampoule::fuzz::{Harness, Verdict};
use ampoule_tests::{SOON, batch, fuzzing, harness, scale, verdict};

/// A generator of numbers, the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).expect("a byte")
    }

    /// A little program for `busy`, of steps out of `kinds`.
    fn program(&mut self, kinds: &[u8]) -> Vec<u8> {
        let steps = self.below(12);
        (0..steps)
            .flat_map(|_| [kinds[usize::try_from(self.below(kinds.len() as u64)).expect("an index")], self.byte()])
            .collect()
    }
}

/// Steps without system calls and without an end.
const QUIET: &[u8] = b"wwwbbbbrhxX";
/// Steps that can be anything but endless.
const ANY: &[u8] = b"wwwwwwbbbbbbbbrrhhxXXmfpta\0ne";

fn singly(harness: &mut Harness, inputs: &[Vec<u8>]) -> Vec<(Verdict, Vec<u8>)> {
    inputs.iter().map(|input| (verdict(harness, input), harness.counters().to_vec())).collect()
}

fn assert_the_same(inputs: &[Vec<u8>], told: &[(Verdict, Vec<u8>)], wanted: &[(Verdict, Vec<u8>)], context: &str) {
    for (index, ((input, told), wanted)) in inputs.iter().zip(told).zip(wanted).enumerate() {
        assert_eq!(told.0, wanted.0, "{context}, input {index}: {:?}", String::from_utf8_lossy(input));
        assert_eq!(told.1, wanted.1, "{context}, the counters of input {index}: {:?}", String::from_utf8_lossy(input));
    }
}

#[test]
fn batches_of_inputs_that_do_anything_tell_what_each_tells_alone() {
    let [mut alone, mut together] = [(); 2].map(|()| harness("busy"));
    for seed in 1..=scale(12) as u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let kinds = if seed % 3 == 0 { ANY } else { QUIET };
        let inputs: Vec<_> = (0..60).map(|_| random.program(kinds)).collect();
        let wanted = singly(&mut alone, &inputs);
        let told = batch(&mut together, &inputs);
        assert_the_same(&inputs, &told, &wanted, &format!("seed {seed}"));
        // Singly and in batches in turn, in the same harness.
        let again = singly(&mut together, &inputs);
        assert_the_same(&inputs, &again, &wanted, &format!("seed {seed}, singly again"));
    }
}

#[test]
fn hangs_in_a_batch_are_hangs_and_hold_up_nobody_else() {
    let [mut alone, mut together] = [(); 2].map(|()| fuzzing("busy").timeout(SOON).build().expect("a harness"));
    let mut random = Random(77);
    let mut inputs: Vec<_> = (0..500).map(|_| random.program(b"wbb")).collect();
    // Known from the start, so that the batch is one.
    inputs[0] = (0..=255).flat_map(|page| [b'w', page]).collect();
    // A page is written once in an input.
    for input in &mut inputs[1..] {
        let mut written = std::collections::HashSet::new();
        let steps = input.chunks(2).filter(|step| step[0] != b'w' || written.insert(step[1]));
        *input = steps.flatten().copied().collect();
    }
    inputs[20] = b"b\x07s\x00".to_vec();
    inputs[499] = b"w\x01w\x02s\x00".to_vec();
    let wanted = singly(&mut alone, &inputs);
    assert_eq!(wanted.iter().filter(|(verdict, _)| *verdict == Verdict::Hang).count(), 2);
    let told = batch(&mut together, &inputs);
    // How often an endless loop was counted nobody can say.
    for index in [20, 499] {
        assert_eq!(told[index].0, Verdict::Hang);
    }
    let others = |all: &[(Verdict, Vec<u8>)]| {
        all.iter()
            .enumerate()
            .filter(|(index, _)| ![20, 499].contains(index))
            .map(|(_, it)| it.clone())
            .collect::<Vec<_>>()
    };
    assert_the_same(&inputs, &others(&told), &others(&wanted), "beside hangs");
}

/// Runs inputs until the harness knows which pages they write.
fn teach(harness: &mut Harness, inputs: &[&[u8]]) {
    for input in inputs.iter().cycle().take(8.max(inputs.len())) {
        assert!(verdict(harness, input).is_ok());
    }
}

#[test]
fn a_batch_of_inputs_without_system_calls_is_one_exit() {
    for (guest, input) in [("parser", &b"AMPL\x01n\x03123"[..]), ("busy", b"w\x01b\x05r\x01X\x00")] {
        let mut harness = harness(guest);
        teach(&mut harness, &[input]);
        for count in [1, 2, 100, 1000] {
            let before = harness.batched();
            assert!(batch(&mut harness, &vec![input; count]).iter().all(|(verdict, _)| verdict.is_ok()));
            assert_eq!(harness.last_stats().exit_count(), 1, "{count} inputs of {guest}: {:?}", harness.last_stats());
            assert_eq!(harness.batched() - before, count as u64, "none of {guest} was run singly");
        }
    }
}

#[test]
fn a_batch_that_writes_what_no_input_wrote_before_is_run_again_and_then_known() {
    let mut harness = harness("busy");
    teach(&mut harness, &[b"b\x01"]);
    for page in 0..scale(10).min(200) {
        let page = u8::try_from(page).expect("a page");
        let inputs: Vec<Vec<u8>> = (0..10).map(|_| vec![b'w', page]).collect();
        // The first time a page that nobody knows is written twice without being put back between them: if that were told, it would be a crash.
        let told = batch(&mut harness, &inputs);
        assert!(told.iter().all(|(verdict, counters)| verdict.is_ok() && *counters == told[0].1), "page {page}");
        let told = batch(&mut harness, &inputs);
        assert!(told.iter().all(|(verdict, _)| verdict.is_ok()));
        assert_eq!(harness.last_stats().exit_count(), 1, "page {page} is known");
    }
}

#[test]
fn what_an_input_leaves_on_a_page_that_nobody_knew_is_in_no_counter_of_the_next_one() {
    let [mut alone, mut together] = [(); 2].map(|()| harness("busy"));
    let inputs = vec![b"l\x01".to_vec(); 20];
    let wanted = singly(&mut alone, &inputs);
    assert!(wanted.iter().all(|told| *told == wanted[0] && told.0.is_ok()));
    teach(&mut together, &[b"b\x01"]);
    // No input ends early: only the dirty log knows that they met.
    assert_the_same(&inputs, &batch(&mut together, &inputs), &wanted, "a page that nobody knew");
    let before = together.batched();
    assert_the_same(&inputs, &batch(&mut together, &inputs), &wanted, "a page that is known");
    assert_eq!(together.batched() - before, 20, "the page is known, and put back in the guest");
}

#[test]
fn a_batch_that_ends_with_its_machine_is_not_exact_for_what_came_before() {
    let [mut alone, mut together] = [(); 2].map(|()| harness("busy"));
    let inputs = [b"l\x01", b"l\x01", b"l\x01", b"i\x01", b"b\x01"].map(|input| input.to_vec());
    let wanted = singly(&mut alone, &inputs);
    assert!(wanted[2].0.is_ok() && wanted[3].0.crash().is_some(), "{wanted:?}");
    teach(&mut together, &[b"b\x01"]);
    assert_the_same(&inputs, &batch(&mut together, &inputs), &wanted, "a page that nobody knew");
}

#[test]
fn inputs_that_make_system_calls_are_never_told_from_a_batch() {
    let mut harness = harness("busy");
    teach(&mut harness, &[b"b\x01", b"p\x01", b"f\x01", b"m\x01", b"t\x01"]);
    for step in [b'p', b'f', b'm', b't'] {
        for _ in 0..3 {
            let inputs = [vec![b'b', 1], vec![b'b', 2], vec![step, 3], vec![step, 3], vec![step, 3]];
            let told = batch(&mut harness, &inputs);
            assert!(told.iter().all(|(verdict, _)| verdict.is_ok()), "{}: {told:?}", char::from(step));
            assert!(
                harness.last_stats().syscall_count() > 0,
                "the last input was the last entry: {:?}",
                harness.last_stats()
            );
        }
    }
}

#[test]
fn inputs_of_any_length_go_through_a_batch() {
    let mut harness = harness("parser");
    let max = harness.max_input();
    let inputs: Vec<Vec<u8>> = [0, 1, max, 0, 4095, 4096, 4097, max - 1, max, 5]
        .map(|length| {
            let mut input = vec![0; length];
            let start = b"AMPL\x01";
            let count = start.len().min(length);
            input[..count].copy_from_slice(&start[..count]);
            input
        })
        .into();
    let wanted = singly(&mut harness, &inputs);
    for _ in 0..3 {
        let told = batch(&mut harness, &inputs);
        assert_the_same(&inputs, &told, &wanted, "lengths");
    }
    assert!(batch(&mut harness, &Vec::<Vec<u8>>::new()).is_empty());
}

#[test]
fn more_inputs_than_a_batch_has_are_all_told_in_their_order() {
    let mut harness = harness("parser");
    let inputs: Vec<Vec<u8>> =
        (0..10_000_u32).map(|number| [&b"AMPL\x01n\x05"[..], format!("{number:05}").as_bytes()].concat()).collect();
    let wanted = singly(&mut harness, &inputs[..1]);
    let told = batch(&mut harness, &inputs);
    assert!(told.iter().all(|told| *told == wanted[0]));
    // And more bytes than the plan has room for.
    let large: Vec<Vec<u8>> = (0..40).map(|_| [&b"AMPL\x01"[..], &b"#\x00".repeat(250_000)].concat()).collect();
    let wanted = singly(&mut harness, &large[..1]);
    let told = batch(&mut harness, &large);
    assert!(told.iter().all(|told| *told == wanted[0]));
}

#[test]
fn a_plain_program_is_run_singly_by_a_batch_too() {
    let program = ampoule_tests::target("plain_stdin", "coverage");
    let mut harness = Harness::builder(&program).timeout(ampoule_tests::PATIENCE).build().expect("a harness");
    let inputs: Vec<_> = (0..20).map(|number| format!("AMPL\u{1}n\u{1}{}", number % 10).into_bytes()).collect();
    let wanted = singly(&mut harness, &inputs);
    let told = batch(&mut harness, &inputs);
    assert_the_same(&inputs, &told, &wanted, "stdin");
}

#[test]
fn what_an_input_printed_in_a_batch_that_was_not_told_is_no_output() {
    let mut harness = fuzzing("prints").output(1 << 16).build().expect("a harness");
    teach(&mut harness, &[b"alone"]);
    for count in [1, 2] {
        // It prints, so that it is run again singly.
        batch(&mut harness, &vec![b"hello"; count]);
        assert_eq!((harness.stdout(), harness.stderr()), (&b"hello"[..], &b"5 bytes\n"[..]), "{count}");
    }
    verdict(&mut harness, b"alone");
    assert_eq!((harness.stdout(), harness.stderr()), (&b"alone"[..], &b"5 bytes\n"[..]));
}
