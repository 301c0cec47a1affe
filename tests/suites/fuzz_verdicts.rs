//! However an input ends, it is the verdict that says so, with the cause, the signal and the place; and the next input is fine.

use ampoule::fuzz::{CrashCause, FuzzError, Harness, Verdict};
use ampoule::{End, Signal};
use ampoule_tests::{PATIENCE, SOON, fuzzing, target, verdict};
use std::time::Duration;

const VARIANTS: [&str; 2] = ["coverage", "plain"];

fn verdicts(variant: &str) -> Harness {
    Harness::builder(&target("verdicts", variant)).timeout(PATIENCE).build().expect("a harness")
}

/// The name of the function that a crash is in.
fn place(harness: &Harness, verdict: &Verdict) -> String {
    let crash = verdict.crash().unwrap_or_else(|| panic!("no crash: {verdict}"));
    let symbol = harness.program().symbol_at(crash.registers().rip);
    symbol.map_or_else(String::new, |symbol| symbol.name.to_owned())
}

fn is_fine(harness: &mut Harness) {
    assert_eq!(verdict(harness, b"r"), Verdict::Ok);
}

#[test]
fn every_fault_is_a_crash_with_its_signal_and_its_function() {
    for variant in VARIANTS {
        let mut harness = verdicts(variant);
        // A wild jump has left every function.
        for (input, signal, function) in [
            (b"s", Signal::SEGV, "recurse"),
            (b"j", Signal::SEGV, ""),
            (b"w", Signal::SEGV, "LLVMFuzzerTestOneInput"),
            (b"d", Signal::FPE, "LLVMFuzzerTestOneInput"),
            (b"n", Signal::SEGV, "LLVMFuzzerTestOneInput"),
            (b"i", Signal::TRAP, "LLVMFuzzerTestOneInput"),
            (b"u", Signal::ILL, "LLVMFuzzerTestOneInput"),
        ] {
            let found = verdict(&mut harness, input);
            let crash = found.crash().unwrap_or_else(|| panic!("{variant} {input:?}: {found}"));
            assert!(matches!(crash.cause(), CrashCause::End(End::Trap(_))), "{variant} {input:?}: {found}");
            assert_eq!(crash.signal(), Some(signal), "{variant} {input:?}: {found}");
            assert_eq!(place(&harness, &found), function, "{variant} {input:?}: {found}");
            assert!(found.to_string().contains(function) && crash.finding().is_none(), "{found}");
            is_fine(&mut harness);
        }
    }
}

#[test]
fn what_a_fault_touched_is_in_its_trap() {
    let mut harness = verdicts("coverage");
    for (input, address) in [(b"j", 0x1234_5678_9000), (b"n", 8)] {
        let found = verdict(&mut harness, input);
        match found.crash().map(|crash| crash.cause()) {
            Some(CrashCause::End(End::Trap(trap))) => assert_eq!(trap.fault_address(), Some(address), "{found}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn abort_and_a_heap_that_finds_itself_damaged_are_crashes_by_sigabrt() {
    for variant in VARIANTS {
        let mut harness = verdicts(variant);
        // GCC knows better than to write there.
        let inputs = if variant == "plain" { &[b"a"][..] } else { &[b"a", b"c"] };
        for &input in inputs {
            let found = verdict(&mut harness, input);
            let crash = found.crash().unwrap_or_else(|| panic!("{variant} {input:?}: {found}"));
            assert_eq!(*crash.cause(), CrashCause::End(End::Signaled(Signal::ABRT)), "{variant} {input:?}");
            assert_eq!(crash.signal(), Some(Signal::ABRT));
            // The heap says what it found.
            assert_eq!(crash.stderr().is_empty(), input == b"a", "{variant} {input:?}: {}", crash.stderr());
            is_fine(&mut harness);
        }
    }
}

#[test]
fn an_exit_in_the_middle_is_a_crash_with_its_code_and_without_a_signal() {
    for variant in VARIANTS {
        let mut harness = verdicts(variant);
        let found = verdict(&mut harness, b"e");
        let crash = found.crash().unwrap_or_else(|| panic!("{variant}: {found}"));
        assert_eq!(*crash.cause(), CrashCause::End(End::Exited(3)));
        assert_eq!(crash.signal(), None);
        is_fine(&mut harness);
    }
}

#[test]
fn memory_without_end_is_out_of_memory_whether_the_program_is_told_or_not() {
    for variant in VARIANTS {
        let mut harness = verdicts(variant);
        for input in [b"m", b"t"] {
            for _ in 0..2 {
                assert_eq!(verdict(&mut harness, input), Verdict::OutOfMemory, "{variant} {input:?}");
                is_fine(&mut harness);
            }
            // What was short once is so no more.
            assert!(verdict(&mut harness, b"a").crash().is_some());
        }
    }
}

#[test]
fn an_endless_loop_is_a_hang_after_any_timeout() {
    for variant in VARIANTS {
        let mut harness = verdicts(variant);
        for time in [1, 50, 1000, 20_000].map(Duration::from_micros) {
            harness.set_timeout(time);
            assert_eq!(harness.timeout(), time);
            assert_eq!(verdict(&mut harness, b"h"), Verdict::Hang, "{variant} {time:?}");
        }
        harness.set_timeout(PATIENCE);
        is_fine(&mut harness);
    }
}

#[test]
fn an_input_that_prints_more_than_it_may_is_a_hang() {
    let mut harness = fuzzing("prints").output(1000).build().expect("a harness");
    // What was printed before the first input is not its output.
    assert_eq!(verdict(&mut harness, b"first"), Verdict::Ok);
    assert_eq!((harness.stdout(), harness.stderr()), (&b"first"[..], &b"5 bytes\n"[..]));
    assert_eq!(verdict(&mut harness, &[b'x'; 2000]), Verdict::Hang);
    assert_eq!(verdict(&mut harness, b"hello"), Verdict::Ok);
    assert_eq!((harness.stdout(), harness.stderr()), (&b"hello"[..], &b"5 bytes\n"[..]));
    // What was not flushed is gone, and comes out with no other input.
    assert_eq!(verdict(&mut harness, b"abc"), Verdict::Ok);
    assert_eq!((harness.stdout(), harness.stderr()), (&b""[..], &b"3 bytes\n"[..]));
    assert_eq!(verdict(&mut harness, b"hello"), Verdict::Ok);
    assert_eq!(harness.stdout(), b"hello");
}

#[test]
fn the_same_verdicts_come_in_a_batch() {
    for variant in VARIANTS {
        let mut harness = verdicts(variant);
        let any = [b"r", b"s", b"j", b"w", b"r", b"d", b"e", b"n", b"i", b"u", b"a", b"c", b"m", b"t", b"r"];
        for (inputs, time) in [(&any[..], PATIENCE), (&[b"r", b"h", b"r"], SOON)] {
            harness.set_timeout(time);
            let singly: Vec<_> = inputs.iter().map(|input| verdict(&mut harness, *input)).collect();
            for _ in 0..2 {
                let told = ampoule_tests::batch(&mut harness, inputs);
                for ((input, single), (told, _)) in inputs.iter().zip(&singly).zip(&told) {
                    assert_eq!(told, single, "{variant} {input:?}");
                }
            }
        }
    }
}

#[test]
fn an_input_longer_than_the_target_takes_is_refused_before_anything_runs() {
    let mut harness = ampoule_tests::harness("parser");
    let max = harness.max_input();
    assert_eq!(verdict(&mut harness, &vec![b'#'; max]), Verdict::Ok);
    let long = vec![b'#'; max + 1];
    let is_refused =
        |result| matches!(result, Err(FuzzError::TooLong { bytes, max: most }) if (bytes, most) == (max + 1, max));
    assert!(is_refused(harness.run(&long).map(drop)));
    assert!(is_refused(harness.advance(&long).map(drop)));
    let mut told = 0;
    assert!(is_refused(harness.run_batch(&[&b"AMPL"[..], &long], |_, _, _| told += 1)));
    assert_eq!(told, 0);
    assert_eq!(verdict(&mut harness, b""), Verdict::Ok);
}
