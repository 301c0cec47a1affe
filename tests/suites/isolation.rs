//! What one program does, no other can see: not in memory, not in registers, not in files, however it ended.

use ampoule::{Call, Command, End, Limit, Output};
use ampoule_tests::{honest_call, program, run_hello, run_inside, scale};
use std::time::Duration;

/// What a program can read of the machine at its first instruction, and how much of its fresh memory is not zero.
fn observation() -> String {
    let output = run_inside("state", &["observe"]);
    assert_eq!(output.end, End::Exited(0));
    String::from_utf8(output.stdout).expect("hexadecimal text")
}

fn dirty(how: &str) -> Output {
    let program = program("state");
    let call = if how == "spin" { Call::new().wall(Duration::from_secs(2)) } else { honest_call() };
    Command::new(&program).arg(how).call(call).output().expect("a typed ending")
}

#[test]
fn fresh_memory_is_zero_and_fresh_registers_are_what_linux_gives() {
    let text = observation();
    for line in
        text.lines().filter(|line| line.starts_with("left") || line.starts_with("general") || line.contains("base"))
    {
        assert!(line.ends_with("0000000000000000"), "{line}");
    }
    assert!(text.contains("flags 0000000000000202\n"), "{text}");
}

#[test]
fn a_program_finds_nothing_of_those_that_ran_before_however_they_ended() {
    let first = observation();
    for round in 0..scale(2) {
        for how in ["dirty", "crash", "spin"] {
            let end = dirty(how).end;
            match how {
                "dirty" => assert_eq!(end, End::Exited(0)),
                "crash" => assert!(matches!(end, End::Trap(_)), "{end:?}"),
                _ => assert_eq!(end, End::Limit(Limit::Wall)),
            }
            assert_eq!(observation(), first, "after {how}, round {round}");
        }
    }
}

#[test]
fn programs_that_run_at_once_find_nothing_of_each_other() {
    let first = observation();
    std::thread::scope(|scope| {
        for worker in 0..6 {
            let first = &first;
            scope.spawn(move || {
                for _ in 0..scale(5) {
                    if worker % 2 == 0 {
                        dirty("dirty");
                    } else {
                        assert_eq!(&observation(), first);
                    }
                }
            });
        }
    });
}

#[test]
fn files_of_one_run_are_gone_in_the_next() {
    // The guest begins by asking for a file that must not be there, and leaves it behind.
    for _ in 0..3 {
        assert_eq!(run_inside("files", &[]).end, End::Exited(0));
    }
}

#[test]
fn a_program_can_be_shared_between_threads_and_run_any_number_of_times() {
    let program = program("compute");
    let first = Command::new(&program).call(honest_call()).output().expect("an ordinary run").stdout;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..scale(5) {
                    let output = Command::new(&program).call(honest_call()).output().expect("an ordinary run");
                    assert_eq!(output.end, End::Exited(0));
                    assert_eq!(output.stdout, first);
                }
            });
        }
    });
}

#[test]
fn the_next_run_is_an_ordinary_one_after_any_kind_of_ending() {
    for _ in 0..scale(10) {
        for (name, args, call) in [
            ("exits", &["raise", "9"][..], honest_call()),
            ("exits", &["abort"], honest_call()),
            ("exits", &["fault", "0"], honest_call()),
            ("instructions", &["hlt"], honest_call()),
            ("instructions", &["call-with-stack-in-kernel"], honest_call()),
            ("endless", &["spin"], honest_call().wall(Duration::from_millis(10))),
            ("endless", &["write"], honest_call().output(1000)),
            ("endless", &["futex"], honest_call()),
            ("frames", &["all flags"], honest_call()),
        ] {
            let program = program(name);
            let end = Command::new(&program).args(args).call(call).output().expect("a typed ending").end;
            assert!(!end.success(), "{name} {args:?}: {end:?}");
            run_hello();
        }
    }
}

#[test]
fn what_random_numbers_a_run_draws_no_other_draws() {
    let draw = || run_inside("random", &[]).stdout;
    let (first, second) = (draw(), draw());
    assert_eq!((first.len(), second.len()), (48, 48));
    assert_ne!(first.get(..16), second.get(..16), "AT_RANDOM");
    assert_ne!(first.get(16..), second.get(16..), "getrandom");
    run_hello();
}

#[test]
fn stats_tell_what_a_run_used() {
    let output = run_inside("streams", &["both"]);
    assert_eq!(output.stats.bytes_out, 800);
    assert!(output.stats.memory_peak > 0);
    assert!(output.stats.wall >= output.stats.guest, "{:?}", output.stats);
}
