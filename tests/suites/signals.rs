//! Signal handling turned against itself: forged frames, stacks that are none, handlers that fault. What comes of it is what Linux makes
//! of it, and never more.

use ampoule::{Call, Command, End, Limit};
use ampoule_tests::{Ending, ending, guest, honest_call, program, run_hello, run_inside, run_outside};
use std::time::Duration;

#[test]
fn handlers_that_fault_and_stacks_that_are_none_end_as_outside() {
    let handlers = program("handlers");
    let mut wrong = String::new();
    for name in [
        "crash in handler",
        "crash in handler, again and again",
        "crash on alternate stack",
        "alternate stack at null",
        "alternate stack unmapped",
        "alternate stack in kernel",
        "alternate stack noncanonical",
        "alternate stack wraps",
        "alternate stack read-only",
        "stack pointer in kernel",
        "stack pointer at zero",
        "handler in kernel",
        "handler noncanonical",
        "handler at two",
        "no restorer",
        "restorer in kernel",
        "restorer noncanonical",
        "sigreturn without a frame",
        "sigreturn at zero",
        "sigreturn in kernel",
        "sigreturn noncanonical",
        "sigreturn at the edge",
        "sigreturn from zeros",
        "sigreturn from ones",
    ] {
        let outside = run_outside(guest("handlers"), &[name], &[], b"").ending;
        let output = Command::new(&handlers).arg(name).call(honest_call().wall(Duration::from_secs(20))).output();
        let inside = ending(&output.expect("a typed ending").end);
        if inside != outside {
            wrong += &format!("{name}: outside {outside:?}, inside {inside:?}\n");
        }
        run_hello();
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Runs the guest that returns to a state of its own making. 13 would be privilege, or interrupts switched off.
fn forged(name: &str) -> Ending {
    let end = run_inside("frames", &[name]).end;
    run_hello();
    ending(&end)
}

const WENT_ON: Ending = Ending::Exited(42);
const SEGV: Ending = Ending::Signaled(11);
const BUS: Ending = Ending::Signaled(7);
const TRAP: Ending = Ending::Signaled(5);

#[test]
fn a_frame_as_it_was_made_goes_on() {
    for name in ["nothing", "registers", "full mask", "no vector state"] {
        assert_eq!(forged(name), WENT_ON, "{name}");
    }
}

#[test]
fn a_forged_return_address_is_a_fault_at_that_address() {
    for name in
        ["rip in kernel", "rip in upper half", "rip noncanonical", "rip at zero", "rip at top", "rip below the hole"]
    {
        assert_eq!(forged(name), SEGV, "{name}");
    }
}

#[test]
fn a_forged_stack_pointer_is_a_fault_when_it_is_used() {
    for name in ["rsp in kernel", "rsp noncanonical", "rsp at zero"] {
        let end = forged(name);
        assert!([SEGV, BUS].contains(&end), "{name}: {end:?}");
    }
}

#[test]
fn forged_flags_give_no_privilege() {
    for name in [
        "no interrupts",
        "alignment check",
        "privilege level",
        "nested task",
        "resume flag",
        "virtual 8086",
        "virtual interrupts",
        "all flags but trap",
        "no flags",
    ] {
        assert_eq!(forged(name), WENT_ON, "{name}");
    }
    for name in ["trap flag", "all flags"] {
        assert_eq!(forged(name), TRAP, "{name}");
    }
}

#[test]
fn forged_selectors_are_ignored_or_a_fault() {
    for name in [
        "kernel code selector",
        "kernel code selector, as Linux has it",
        "kernel stack selector",
        "null selectors",
        "selectors past the table",
        "local selectors",
        "task selector",
        "compatibility mode",
    ] {
        let end = forged(name);
        assert!([WENT_ON, SEGV].contains(&end), "{name}: {end:?}");
    }
}

#[test]
fn forged_vector_state_is_ignored_or_a_fault() {
    for name in [
        "mxcsr reserved bits",
        "vector state in kernel",
        "vector state noncanonical",
        "vector state unaligned",
        "vector state at the edge",
        "vector state of all ones",
        "extended size too large",
        "extended features too many",
        "extended header of all ones",
        "extended header compacted",
        "alternate stack in kernel",
        "alternate stack nonsense",
    ] {
        let end = forged(name);
        assert!([WENT_ON, SEGV].contains(&end), "{name}: {end:?}");
    }
}

#[test]
fn a_handler_that_never_mends_its_fault_meets_a_limit() {
    let program = program("endless");
    for name in ["fault", "fault and jump", "signal"] {
        let call = Call::new().wall(Duration::from_millis(50));
        let output = Command::new(&program).arg(name).call(call).output().expect("a typed ending");
        assert_eq!(output.end, End::Limit(Limit::Wall), "{name}");
        run_hello();
    }
}

#[test]
fn handlers_nested_without_end_are_a_stack_overflow() {
    let output = run_inside("endless", &["signals in signals"]);
    assert_eq!(ending(&output.end), SEGV, "{:?}", output.end);
    run_hello();
}

#[test]
fn a_program_that_stops_itself_has_a_typed_ending() {
    let program = program("exits");
    for signal in ["19", "20", "21", "22"] {
        let call = honest_call().wall(Duration::from_secs(2));
        let output = Command::new(&program).args(["raise", signal]).call(call).output().expect("a typed ending");
        let end = output.end;
        // Nobody could let it go on. All but SIGSTOP are ignored where no shell watches, and the program then exits with 99.
        let named = matches!(end, End::Deadlock | End::Signaled(_) | End::Limit(Limit::Wall));
        assert!(named || (signal != "19" && end == End::Exited(99)), "{signal}: {end:?}");
    }
}
