//! Targets that mean harm: whatever they say before the first input and do in one, there is a verdict or a typed error, never the host's failure; the next
//! input and the next harness do not notice.

use ampoule::End;
use ampoule::fuzz::{FuzzError, Harness, Verdict};
use ampoule_tests::{SOON, fuzzing, honest_call, run_inside, scale};
use std::time::Duration;

fn names(argument: &str) -> Vec<String> {
    let output = run_inside("hostile_fuzz", &[argument]);
    assert_eq!(output.end, End::Exited(0));
    let names: Vec<_> = String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect();
    assert!(names.len() > 20);
    names
}

fn build(argument: &str) -> Result<Harness, FuzzError> {
    fuzzing("hostile_fuzz").arg(argument).timeout(SOON).boot(honest_call().wall(Duration::from_secs(30))).build()
}

fn tame() -> Harness {
    build("nothing").unwrap_or_else(|error| panic!("{error}"))
}

/// The verdict, which is there whatever the target did; and it and everything else that can be shown of it, can be shown.
fn judged(harness: &mut Harness, input: &[u8], context: &str) -> Verdict {
    let verdict =
        harness.run(input).unwrap_or_else(|error| panic!("{context}: {}: {error}", String::from_utf8_lossy(input)));
    assert!(!verdict.to_string().is_empty());
    if let Some(finding) = verdict.crash().and_then(|crash| crash.finding()) {
        assert!(!finding.text().contains(char::is_control));
    }
    harness.comparisons().unwrap_or_else(|error| panic!("{context}: {error}"));
    verdict
}

#[test]
fn whatever_a_target_says_before_its_first_input_is_no_failure_of_the_hosts() {
    let mut wrong = Vec::new();
    for name in names("list") {
        let built = build(&name);
        let mut harness = match built {
            Ok(harness) => harness,
            Err(FuzzError::NoInput { .. } | FuzzError::Target(_) | FuzzError::NoFunction { .. }) => continue,
            Err(error) => {
                wrong.push(format!("{name}: {error:?}"));
                continue;
            }
        };
        assert_eq!(harness.edges().len(), harness.counters().len());
        assert!(harness.edges().len() as u64 <= ampoule_kernel::fuzz::MAX_COUNTERS);
        harness.set_timeout(Duration::from_millis(50));
        for input in [&b""[..], b"x", b"hello"]
            .iter()
            .filter(|input| input.len() <= harness.max_input())
            .copied()
            .collect::<Vec<_>>()
        {
            if let Err(error) = harness.run(input) {
                wrong.push(format!("{name}: run: {error:?}"));
            }
            if let Err(error) = harness.advance(input) {
                wrong.push(format!("{name}: advance: {error:?}"));
            }
            if let Err(error) = harness.run_batch(&[input; 12], |_, _, _| {}) {
                wrong.push(format!("{name}: batch: {error:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(judged(&mut tame(), b"x", "the next harness"), Verdict::Ok);
}

#[test]
fn whatever_a_target_does_in_an_input_the_next_one_does_not_notice() {
    let mut harness = tame();
    for name in names("list-inputs") {
        for _ in 0..2 {
            judged(&mut harness, name.as_bytes(), "singly");
            assert_eq!(judged(&mut harness, b"x", &name), Verdict::Ok, "after {name}");
        }
    }
    assert_eq!(judged(&mut tame(), b"x", "the next harness"), Verdict::Ok);
}

#[test]
fn whatever_a_target_does_in_a_batch_the_harness_goes_on() {
    for name in names("list-inputs") {
        let mut harness = tame();
        harness.set_timeout(Duration::from_millis(100));
        let mut inputs = vec![&b"x"[..]; 40];
        for at in [7, 8, 25] {
            inputs[at] = name.as_bytes();
        }
        for _ in 0..3 {
            let mut told = 0;
            let result = harness.run_batch(&inputs, |index, _, counters| {
                // A target that means harm can deceive the gate; yet each input is told, once and in its turn.
                assert_eq!((index, counters.is_empty()), (told, false));
                told += 1;
            });
            assert!(result.is_ok(), "{name}: {result:?}");
            assert_eq!(told, inputs.len(), "{name}");
        }
        harness.set_timeout(SOON);
        assert_eq!(judged(&mut harness, b"x", &name), Verdict::Ok, "after {name}");
    }
}

#[test]
fn a_target_may_be_anything_when_inputs_begin_in_the_state_that_it_leaves() {
    for name in names("list-inputs") {
        let mut harness = tame();
        let start = harness.checkpoint();
        let advanced = harness.advance(name.as_bytes());
        assert!(advanced.is_ok(), "{name}: {advanced:?}");
        harness.set_timeout(Duration::from_millis(100));
        for _ in 0..2 {
            // Where it waits now, there may be room for less.
            for input in [b"x", name.as_bytes()] {
                let length = input.len().min(harness.max_input());
                judged(&mut harness, &input[..length], &name);
            }
            let input = &b"x"[..harness.max_input().min(1)];
            let result = harness.run_batch(&[input; 12], |_, _, _| {});
            assert!(result.is_ok(), "{name}: {result:?}");
        }
        harness.go_to(&start).expect("its own");
        harness.set_timeout(SOON);
        assert_eq!(judged(&mut harness, b"x", &name), Verdict::Ok, "after {name}");
    }
}

#[test]
fn a_jump_into_any_place_of_the_gates_has_a_verdict() {
    let mut harness = tame();
    let step = if scale(1) > 1 { 1 } else { 7 };
    for offset in (0..4096_u16).step_by(step) {
        let [low, high] = offset.to_le_bytes();
        let jump = [b'J', low, high];
        harness.set_timeout(Duration::from_millis(20));
        judged(&mut harness, &jump, "singly");
        // The batch's gates lie there.
        if (0x400..0x800).contains(&offset) {
            let inputs = [&b"x"[..], b"x", b"x", &jump, b"x", b"x"];
            let result = harness.run_batch(&inputs, |_, _, _| {});
            assert!(result.is_ok(), "{offset:#x}: {result:?}");
        }
        harness.set_timeout(SOON);
        assert_eq!(judged(&mut harness, b"x", "after a jump"), Verdict::Ok, "{offset:#x}");
    }
}

#[test]
fn the_plan_and_the_gates_are_not_the_targets_to_write() {
    let mut harness = tame();
    for (name, address) in
        [("writes_the_plan", ampoule_kernel::layout::PLAN), ("writes_the_gates", ampoule_kernel::layout::BATCH_GATE)]
    {
        let verdict = judged(&mut harness, name.as_bytes(), "singly");
        let trap = match verdict.crash().map(|crash| crash.cause()) {
            Some(ampoule::fuzz::CrashCause::End(End::Trap(trap))) => trap.fault_address(),
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(trap, Some(address), "{name}");
    }
}

#[test]
fn a_finding_says_what_the_target_says_and_no_more() {
    let mut harness = tame();
    for name in [
        "finding_at_null",
        "finding_at_the_top",
        "finding_of_ones",
        "finding_of_zeros",
        "finding_with_controls",
        "finding_that_ends",
    ] {
        let verdict = judged(&mut harness, name.as_bytes(), "singly");
        let crash = verdict.crash().unwrap_or_else(|| panic!("{name}: {verdict}"));
        let finding = crash.finding().unwrap_or_else(|| panic!("{name}: {verdict}"));
        assert!(finding.text().len() <= ampoule_kernel::fuzz::finding::TEXT_MAX_BYTES * 3, "{name}");
        assert!(finding.allocated_at().len() <= ampoule_kernel::fuzz::finding::FRAMES);
        assert!(
            judged(&mut harness, b"writes_the_plan", "next").crash().is_some_and(|crash| crash.finding().is_none())
        );
    }
}

#[test]
fn calls_of_other_programs_are_no_part_of_a_harness() {
    // What nobody fuzzes is answered so, and the program goes on.
    for name in ["counters_anywhere", "windows_anywhere", "unknown"] {
        let output = run_inside("hostile_fuzz", &[name]);
        assert!(matches!(output.end, End::Exited(_)), "{name}: {:?}", output.end);
    }
}
