//! Memory that is not a program's, or not for that: each access is a trap that tells what happened, where, and what it means.

use ampoule::{Command, End, Limit, Limits, Signal, Trap, TrapMeaning};
use ampoule_tests::{ending, honest_call, program, run_hello, run_inside, run_outside};

fn trap_of(access: &str) -> Box<Trap> {
    let output = run_inside("memory", &[access]);
    match output.end {
        End::Trap(trap) => trap,
        end => panic!("{access}: {end:?}"),
    }
}

/// Runs the access and checks its meaning, its signal and, if given, the address.
fn means(access: &str, meaning: TrapMeaning, address: Option<u64>) {
    let trap = trap_of(access);
    assert_eq!(trap.meaning(), meaning, "{access}: {trap}");
    assert_eq!(trap.signal(), Signal::SEGV, "{access}: {trap}");
    if address.is_some() {
        assert_eq!(trap.fault_address(), address, "{access}: {trap}");
    }
    assert!(!trap.meaning().to_string().is_empty());
    run_hello();
}

#[test]
fn address_zero_is_a_null_dereference_however_it_is_touched() {
    means("read null", TrapMeaning::NullDereference, Some(0));
    means("write null", TrapMeaning::NullDereference, Some(8));
    means("run null", TrapMeaning::NullDereference, Some(0));
}

#[test]
fn text_and_constants_cannot_be_written() {
    for access in ["write text", "write constant", "write string", "write read-only"] {
        means(access, TrapMeaning::WriteToReadOnly, None);
    }
}

#[test]
fn data_stack_and_heap_cannot_be_executed() {
    for access in ["run data", "run constant", "run stack", "run heap", "run page"] {
        means(access, TrapMeaning::ExecuteData, None);
    }
}

#[test]
fn a_guard_page_is_told_from_unmapped_memory() {
    means("read none", TrapMeaning::NoAccess, None);
    for access in ["read unmapped", "write unmapped", "run unmapped"] {
        means(access, TrapMeaning::Unmapped, None);
    }
}

#[test]
fn recursion_without_end_is_a_stack_overflow() {
    means("recurse", TrapMeaning::StackOverflow, None);
    let trap = trap_of("recurse");
    assert_eq!(trap.symbol().map(|(name, _)| name.starts_with("recurse")), Some(true), "{trap}");
}

#[test]
fn the_kernels_half_can_be_neither_read_nor_written_nor_run() {
    for (access, address) in [
        ("read upper half", 0xffff_8000_0000_0000),
        ("write upper half", 0xffff_8000_0000_0000),
        ("read kernel", 0xffff_ffff_8000_0000),
        ("write kernel", 0xffff_ffff_8000_0000),
        ("run kernel", 0xffff_ffff_8000_0000),
        ("read top", u64::MAX),
        ("write top", u64::MAX),
        ("read vsyscall", 0xffff_ffff_ff60_0000),
        ("kernel, page by page", 0xffff_8000_0000_0000),
    ] {
        means(access, TrapMeaning::KernelAddress, Some(address));
    }
}

#[test]
fn an_address_in_the_hole_is_a_protection_fault_without_an_address() {
    for access in ["read noncanonical", "write noncanonical", "run noncanonical"] {
        let trap = trap_of(access);
        assert_eq!((trap.vector(), trap.meaning()), (Some(13), TrapMeaning::Privileged), "{access}: {trap}");
        assert_eq!(trap.fault_address(), None, "{access}: {trap}");
    }
    run_hello();
}

#[test]
fn nothing_is_mapped_in_the_last_page_below_the_hole() {
    for access in ["read last page below the hole", "run last page below the hole"] {
        let trap = trap_of(access);
        assert_eq!(trap.signal(), Signal::SEGV, "{access}: {trap}");
    }
}

#[test]
fn a_trap_tells_the_function_the_registers_and_the_bytes() {
    let trap = trap_of("write null");
    assert_eq!(trap.symbol().map(|(name, _)| name), Some("write_at"), "{trap}");
    assert_eq!(trap.registers().rip, trap.rip());
    assert_eq!(trap.registers().rdi, 8, "the argument: {trap}");
    assert!(trap.registers().rsp > 4096, "{trap}");
    assert_eq!(trap.bytes().first(), Some(&0xc6), "movb $1, (%rdi): {trap}");
    let report = trap.to_string();
    for part in ["null", "write_at", "rip"] {
        assert!(report.contains(part), "{part} is missing in: {report}");
    }
}

#[test]
fn every_access_ends_as_it_does_outside() {
    for access in [
        "read null",
        "run null",
        "write text",
        "write string",
        "run data",
        "run stack",
        "run heap",
        "read none",
        "write read-only",
        "read unmapped",
        "recurse",
        "read kernel",
        "read top",
        "run noncanonical",
        "no such access",
    ] {
        let outside = run_outside(ampoule_tests::guest("memory"), &[access], &[], b"");
        assert_eq!(ending(&run_inside("memory", &[access]).end), outside.ending, "{access}");
    }
}

/// Takes one thing until there is no more, in a small sandbox.
fn hungry(what: &str, limits: Limits) -> ampoule::Output {
    let program = program("hungry");
    let result = Command::new(&program).arg(what).limits(limits).call(honest_call()).output();
    let output = result.unwrap_or_else(|error| panic!("{what}: {error}"));
    run_hello();
    output
}

#[test]
fn mmap_and_brk_beyond_the_limit_fail_and_the_program_goes_on() {
    for what in ["map", "brk", "grow", "mappings"] {
        let output = hungry(what, Limits::new().memory(24 << 20));
        assert_eq!(output.end, End::Exited(0), "{what}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn touching_a_reservation_with_no_page_left_is_the_memory_limit() {
    for what in ["touch", "read pages"] {
        let output = hungry(what, Limits::new().memory(24 << 20));
        assert_eq!(output.end, End::Limit(Limit::Memory), "{what}");
        assert_eq!(output.stdout, b"reserved\n", "{what}: what was printed is not lost");
    }
}

#[test]
fn page_tables_are_charged_to_the_memory_limit() {
    let output = hungry("sparse", Limits::new().memory(24 << 20));
    assert!(matches!(output.end, End::Exited(0) | End::Limit(Limit::Memory)), "{:?}", output.end);
}

#[test]
fn memory_used_never_passes_the_limit() {
    for what in ["map", "touch"] {
        let limit = 24 << 20;
        let output = hungry(what, Limits::new().memory(limit));
        assert!(output.stats.memory_peak <= limit, "{what}: {} bytes", output.stats.memory_peak);
        assert!(output.stats.memory_peak >= limit / 2, "{what}: {} bytes", output.stats.memory_peak);
    }
}

#[test]
fn a_program_larger_than_its_memory_does_not_start() {
    let program = program("heap");
    let result = Command::new(&program).limits(Limits::new().memory(1 << 20)).call(honest_call()).output();
    if let Ok(output) = result {
        assert!(!output.end.success(), "800 MiB passed through 1 MiB");
    }
    run_hello();
}

#[test]
fn the_largest_memory_limit_costs_only_what_is_touched() {
    let program = program("hello");
    let result = Command::new(&program).limits(Limits::new().memory(4 << 30)).call(honest_call()).output();
    let output = result.expect("4 GiB of address space");
    assert_eq!((output.end, output.stdout.as_slice()), (End::Exited(0), &b"hello\n"[..]));
}

#[test]
fn open_files_beyond_the_limit_fail_and_one_given_back_can_be_had_again() {
    for what in ["descriptors", "open files", "unnamed files"] {
        let output = hungry(what, Limits::new().open_files(20));
        assert_eq!(output.end, End::Exited(0), "{what}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(": 1\n"), "{what}: {text}");
        assert!(output.stderr.starts_with(b"17 "), "{what}: 20 less the three streams, not {:?}", output.stderr);
    }
}

#[test]
fn files_in_memory_have_an_end_that_a_program_survives() {
    for what in ["file", "files", "hole", "directories", "seek", "truncate"] {
        let output = hungry(what, Limits::new());
        assert_eq!(output.end, End::Exited(0), "{what}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn waiting_signals_are_bounded() {
    let output = hungry("signals", Limits::new());
    assert_eq!(output.end, End::Exited(0), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn rust_hears_that_memory_is_refused() {
    let output = run_inside("rust", &["oom"]);
    assert_eq!(output.end, End::Exited(0));
    assert_eq!(output.stdout, b"refused in good order: true\n");
}
