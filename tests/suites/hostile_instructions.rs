//! Instructions that no program should run. Each ends the program with a fault or has no effect; none reaches the host, and the next
//! program finds nothing of it.

use ampoule::{Call, Command, End, Signal};
use ampoule_tests::{Ending, guest, honest_call, program, run_hello, run_inside, run_outside};
use std::collections::BTreeSet;
use std::time::Duration;

/// How an instruction may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum May {
    /// A fault; on which vector differs between processors.
    Fault,
    /// A fault that Linux reports with exactly this signal.
    Signal(Signal),
    /// Nothing happens.
    Pass,
    /// A fault, or nothing: processors and what they are told to check differ.
    Either,
    /// A fault exactly if it is one outside: an emulated processor leaves out some checks.
    Outside,
    /// As `Either`, or it hangs until a limit ends it: a KVM without hardware support never comes back from a hypercall.
    Hang,
}

use May::{Either, Fault, Hang, Outside, Pass};
const SEGV: May = May::Signal(Signal::SEGV);
const ILL: May = May::Signal(Signal::ILL);
const TRAP: May = May::Signal(Signal::TRAP);
const FPE: May = May::Signal(Signal::FPE);

const PRIVILEGED: &[(&str, May)] = &[
    ("hlt", SEGV),
    ("cli", SEGV),
    ("sti", SEGV),
    ("clts", SEGV),
    ("invd", SEGV),
    ("wbinvd", SEGV),
    ("invlpg", SEGV),
    ("wrmsr", SEGV),
    ("rdmsr", SEGV),
    ("wrmsr-lstar", SEGV),
    ("mov-to-cr0", SEGV),
    ("mov-to-cr3", SEGV),
    ("mov-to-cr4", SEGV),
    ("mov-to-cr8", SEGV),
    ("mov-from-cr0", SEGV),
    ("mov-from-cr2", SEGV),
    ("mov-from-cr3", SEGV),
    ("mov-to-dr7", SEGV),
    ("mov-from-dr6", SEGV),
    ("lgdt", SEGV),
    ("lidt", SEGV),
    ("lldt", SEGV),
    ("ltr", SEGV),
    ("lmsw", SEGV),
    ("swapgs", SEGV),
    ("sysretq", Fault),
    ("sysexit", Fault),
    ("xsetbv", Fault),
    ("invpcid", Fault),
    ("monitor", Fault),
    ("mwait", Fault),
    ("rsm", Fault),
    ("stac", Fault),
    ("clac", Fault),
    ("rdpmc", Fault),
];

const PORTS: &[(&str, May)] =
    &[("in", SEGV), ("in-dx", SEGV), ("out", SEGV), ("out-dx", SEGV), ("insb", SEGV), ("rep-outsb", SEGV)];

const HYPERVISOR: &[(&str, May)] = &[
    ("vmcall", Hang),
    ("vmmcall", Hang),
    ("vmcall-map-gpa-range", Hang),
    ("vmmcall-map-gpa-range", Hang),
    ("vmlaunch", Fault),
    ("vmxoff", Fault),
    ("vmfunc", Fault),
    ("vmrun", Fault),
    ("vmload", Fault),
    ("clgi", Fault),
    ("stgi", Fault),
    ("skinit", Fault),
    ("invlpga", Fault),
];

/// A KVM without hardware support looks at the instruction behind a general protection fault itself, and calls one that it cannot
/// emulate undefined: SIGILL instead of SIGSEGV, before any guest code could tell the difference.
const GATES: &[(&str, May)] = &[
    ("int-0x80", Fault),
    ("int-0x20", Fault),
    ("int-0xff", Fault),
    ("int-page-fault", Fault),
    ("int-double-fault", Fault),
    ("int-nmi", Fault),
    ("int3", TRAP),
    ("int1", Fault),
    ("into-in-64-bit", ILL),
    ("sysenter", Fault),
    ("syscall-32", Either),
    ("ud2", ILL),
    ("ud1", ILL),
    ("lock-on-register", Outside),
    ("fifteen-prefixes", SEGV),
    ("divide-by-zero", FPE),
    ("divide-overflow", FPE),
];

const RETURNS_AND_JUMPS: &[(&str, May)] = &[
    ("iretq-to-kernel", Fault),
    ("iretq-to-zero-selectors", Fault),
    ("iretq-noncanonical", Fault),
    ("iretq-to-compatibility-mode", Either),
    ("far-call", Fault),
    ("far-return-to-kernel", Fault),
    ("jump-to-kernel", SEGV),
    ("jump-to-upper-half", SEGV),
    ("jump-noncanonical", SEGV),
    ("jump-to-top", SEGV),
    ("jump-to-zero", SEGV),
    ("gate-to-noncanonical", SEGV),
    ("gate-to-kernel", SEGV),
    ("gate-to-top", SEGV),
    ("gate-to-the-hole", SEGV),
    ("call-with-stack-at-zero", SEGV),
    ("call-with-stack-noncanonical", Fault),
    ("call-with-stack-in-kernel", SEGV),
    ("fault-with-stack-in-kernel", ILL),
    ("fault-with-stack-at-zero", ILL),
    ("syscall-with-stack-in-kernel", Pass),
    ("syscall-with-stack-noncanonical", Pass),
];

const FLAGS: &[(&str, May)] = &[
    ("trap-flag", Either),
    ("alignment-check", Either),
    ("nested-task", Pass),
    ("nested-task-iretq", Either),
    ("io-privilege-level", SEGV),
    ("all-flags-then-syscall", Either),
    ("trap-flag-and-syscall", Either),
    ("trap-flag-and-fault", Fault),
    ("mov-ss-and-syscall", Pass),
    ("mov-ss-and-int3", TRAP),
];

const SEGMENTS: &[(&str, May)] = &[
    ("load-kernel-data-selector", Fault),
    ("load-kernel-stack-selector", Fault),
    ("load-null-stack-selector", Fault),
    ("load-code-selector", Fault),
    ("load-local-selector", Fault),
    ("load-selector-past-the-table", Fault),
    ("descriptor-tables", Either),
    ("verify-selectors", Pass),
    ("write-fs-base", Either),
    ("write-gs-base-noncanonical", Outside),
    ("read-gs-at-zero", SEGV),
];

const STATE: &[(&str, May)] = &[
    ("cpuid", Pass),
    ("rdtscp", Either),
    ("clflush", Either),
    ("mxcsr-reserved-bits", Outside),
    ("xrstor-of-garbage", Fault),
    ("xsaves", Fault),
    ("xbegin", Either),
    ("sse-unmasked", Outside),
    ("unaligned-sse", SEGV),
    ("cmpxchg-across-lines", Either),
];

/// Runs each and checks its ending; then the smallest program, as a witness.
fn each_ends_as_it_may(table: &[(&str, May)]) {
    let program = program("instructions");
    let mut wrong = String::new();
    for &(name, may) in table {
        let call = if may == Hang { honest_call().wall(Duration::from_millis(100)) } else { honest_call() };
        let result = Command::new(&program).arg(name).call(call).output();
        let end = match result {
            Ok(output) => output.end,
            Err(error) => {
                wrong += &format!("{name}: the host failed: {error}\n");
                continue;
            }
        };
        let holds = match (&end, may) {
            (End::Trap(trap), May::Signal(signal)) => trap.signal() == signal,
            (End::Trap(_), Fault | Either | Hang) => true,
            (End::Exited(42), Pass | Either | Hang) => true,
            (End::Limit(_), Hang) => true,
            (End::Trap(_) | End::Exited(42), Outside) => {
                let outside = run_outside(guest("instructions"), &[name], &[], b"").ending;
                (outside == Ending::Exited(42)) == (end == End::Exited(42))
            }
            _ => false,
        };
        if !holds {
            wrong += &format!("{name}: wanted {may:?}, not {end}\n");
        }
        run_hello();
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn a_privileged_instruction_is_a_fault() {
    each_ends_as_it_may(PRIVILEGED);
}

#[test]
fn no_port_can_be_read_or_written() {
    each_ends_as_it_may(PORTS);
}

#[test]
fn a_call_to_a_hypervisor_faults_or_does_nothing_or_meets_a_limit() {
    each_ends_as_it_may(HYPERVISOR);
}

#[test]
fn an_interrupt_gate_or_an_undefined_instruction_is_a_fault() {
    each_ends_as_it_may(GATES);
}

#[test]
fn no_return_or_jump_reaches_the_kernel() {
    each_ends_as_it_may(RETURNS_AND_JUMPS);
}

#[test]
fn no_flag_gives_a_program_more_than_linux_does() {
    each_ends_as_it_may(FLAGS);
}

#[test]
fn no_segment_but_the_null_one_can_be_loaded() {
    each_ends_as_it_may(SEGMENTS);
}

#[test]
fn no_instruction_that_changes_machine_state_harms_the_next_program() {
    each_ends_as_it_may(STATE);
}

#[test]
fn every_instruction_of_the_guest_has_a_promise() {
    let output = run_inside("instructions", &["list"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let are: BTreeSet<_> = text.lines().filter(|name| !matches!(*name, "list" | "last")).collect();
    let tables = [PRIVILEGED, PORTS, HYPERVISOR, GATES, RETURNS_AND_JUMPS, FLAGS, SEGMENTS, STATE];
    let have: BTreeSet<_> = tables.into_iter().flatten().map(|(name, _)| *name).collect();
    assert_eq!(have, are);
}

#[test]
fn what_the_last_instruction_leaves_is_an_ordinary_exit() {
    assert_eq!(run_inside("instructions", &["last"]).end, End::Exited(42));
    assert_eq!(run_inside("instructions", &["no such instruction"]).end, End::Exited(2));
}

/// The port of a gate may be open to programs where a host's `syscall` leaves no other way (see the guest kernel): writing to it is then
/// a system call with whatever the registers hold, which may end the program in any way that has a name.
#[test]
fn every_port_faults_in_every_width_or_is_the_gate() {
    let program = program("ports");
    let count = ampoule_tests::scale(64);
    for (first, step) in [(0, 1), (0x3f0, 1), (0xc00, 1), (0xfff0, 1), (0, 0x10000 / count)] {
        let args = [first.to_string(), count.to_string(), step.to_string()];
        let call: Call = honest_call();
        let output = Command::new(&program).args(args).call(call).output().expect("a typed ending");
        if output.end == End::Exited(0) {
            let text = String::from_utf8_lossy(&output.stdout);
            let passed: usize =
                text.lines().filter(|line| line.contains(" went through") && line.starts_with("port")).count();
            assert!(passed <= 7, "more than one port is open: {text}");
        } else {
            assert!(matches!(output.end, End::Trap(_) | End::Signaled(_) | End::Exited(_)), "{:?}", output.end);
        }
        run_hello();
    }
}

#[test]
fn no_port_beside_the_gates_opens_in_any_width() {
    let program = program("ports");
    let gate = usize::from(ampoule_kernel::abi::SYSCALL_PORT);
    for (first, count) in [(gate - 48, 48), (gate + 1, 48), (gate + 0x100, 1), (gate + 0x1000, 1)] {
        let args = [first.to_string(), count.to_string(), "1".to_owned()];
        let output = Command::new(&program).args(args).call(honest_call()).output().expect("a typed ending");
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!((output.end, &*text), (End::Exited(0), &*format!("{} faulted, 0 went through\n", count * 7)));
    }
    run_hello();
}

#[test]
fn loading_every_selector_leaves_an_ordinary_program() {
    for args in [["0", "256"], ["0xff00", "256"]] {
        let output = run_inside("selectors", &args);
        assert_eq!(output.end, End::Exited(0));
        assert_eq!(output.stdout, b"all accounted for: 1, null into fs: 4\n");
        run_hello();
    }
}
