//! An honest program does inside what it does outside: the same bytes on stdout and stderr, the same ending, in every variant that its
//! language is built in. The reference is a run of the same file by the machine's own kernel.

use ampoule_tests::{Guest, Outcome, all_guests, guests_of, run_outside, variants_of};
use std::collections::BTreeSet;

/// One way to run a guest.
#[derive(Debug, Clone, Default)]
struct Case {
    args: Vec<String>,
    env: Vec<(&'static str, &'static str)>,
    stdin: Vec<u8>,
}

impl Case {
    fn args<A: Into<String>>(args: impl IntoIterator<Item = A>) -> Self {
        Self { args: args.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.push((name, value));
        self
    }

    fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }
}

/// Runs one variant outside and inside; says how the two differ.
fn compare(guest: &Guest, case: &Case) -> Result<(), String> {
    let args: Vec<&str> = case.args.iter().map(String::as_str).collect();
    let outside = run_outside(guest.image(), &args, &case.env, &case.stdin);
    let inside = Outcome::inside(guest.image(), &args, &case.env, &case.stdin);
    if outside == inside {
        return Ok(());
    }
    let mut report = format!("{}.{} ({}) {:.100?}:\n", guest.name, guest.suffix, guest.variant, case.args);
    if outside.ending != inside.ending {
        report += &format!("  outside {:?}, inside {:?}\n", outside.ending, inside.ending);
    }
    for (stream, outside, inside) in
        [("stdout", &outside.stdout, &inside.stdout), ("stderr", &outside.stderr, &inside.stderr)]
    {
        if outside == inside {
            continue;
        }
        let lines = outside.split(|byte| *byte == b'\n').zip(inside.split(|byte| *byte == b'\n')).enumerate();
        let line = |line: &[u8]| String::from_utf8_lossy(line).chars().take(200).collect::<String>();
        report += &match lines.into_iter().find(|(_, (outside, inside))| outside != inside) {
            Some((number, (outside, inside))) => {
                format!("  {stream}, line {}: outside {:?}, inside {:?}\n", number + 1, line(outside), line(inside))
            }
            None => format!("  {stream}: {} bytes outside, {} inside\n", outside.len(), inside.len()),
        };
    }
    Err(report)
}

/// Every variant in every case, so that one report shows all that differs.
fn same_inside<'a>(guests: impl Iterator<Item = &'a Guest>, cases: &[Case]) {
    let mut reports = String::new();
    for guest in guests {
        for case in cases {
            if let Err(report) = compare(guest, case) {
                reports += &report;
            }
        }
    }
    assert!(reports.is_empty(), "not the same inside as outside:\n{reports}");
}

/// A test for each guest, and the list of those that have one.
macro_rules! the_same_inside_as_outside {
    ($($sentence:ident: $guest:literal $cases:expr;)*) => {
        $(
            #[test]
            fn $sentence() {
                same_inside(variants_of($guest), &$cases);
            }
        )*

        const WITH_A_PROMISE: &[&str] = &[$($guest),*];
    };
}

fn plain() -> [Case; 1] {
    [Case::default()]
}

the_same_inside_as_outside! {
    the_smallest_program_says_hello: "hello" plain();
    a_program_gets_its_arguments_and_its_environment: "args" [
        Case::default(),
        Case::args(["one", "two words", "", "ünïcödé ☂", "line\nbreak", "--flag=value"]).env("KEY", "value"),
        Case::default().env("KEY", "").env("B", "with = sign").env("A", "first"),
        Case::args(["x".repeat(100_000)]),
        Case::args((0..2000).map(|n| n.to_string())),
    ];
    streams_carry_every_byte_both_ways: "streams" streams();
    malloc_keeps_what_was_written_and_gives_back_what_was_freed: "heap" plain();
    address_space_calls_map_and_refuse_as_linux_does: "maps" plain();
    files_are_made_read_and_sought_as_linux_does: "files" plain();
    names_attributes_and_room_of_files_are_as_on_linux: "names" plain();
    pipes_within_a_process_are_as_on_linux: "pipes" plain();
    epoll_sets_report_levels_edges_and_once_as_on_linux: "epoll" plain();
    select_asks_and_answers_as_on_linux: "select" plain();
    event_counters_count_as_on_linux: "eventfd" plain();
    pairs_of_sockets_send_shut_down_and_close_as_on_linux: "socketpair" plain();
    a_process_that_is_alone_gets_the_answers_of_linux: "alone" plain();
    a_process_finds_itself_in_proc: "proc" plain();
    descriptors_are_copied_and_polled_as_linux_does: "descriptors" [Case::default().stdin("data\n")];
    signals_that_a_program_sends_to_itself_arrive_as_on_linux: "signals" plain();
    a_fault_that_a_handler_mends_is_retried_with_every_register_intact: "faults" plain();
    every_way_to_leave_gives_the_same_status: "exits" exits();
    floating_point_rounds_and_prints_the_same: "numbers" plain();
    longjmp_leaves_deep_calls: "jumps" plain();
    clocks_never_go_back_and_sleeps_last_long_enough: "clocks" plain();
    the_vdso_tells_what_the_system_calls_tell: "vdso" plain();
    what_a_program_asks_about_the_system_is_answered: "system" plain();
    the_stack_grows_as_deep_as_programs_expect: "stack" plain();
    plain_work_gives_the_same_results: "compute" plain();
    a_program_without_libc_finds_the_registers_that_linux_gives: "raw" plain();
    cpp_streams_containers_and_exceptions_work: "cpp" [
        Case::default().stdin("the quick brown fox\njumps over the lazy dog\nthe end"),
        Case::args(["uncaught"]),
        Case::args(["unexpected"]),
        Case::args(["int"]),
    ];
    rust_with_std_works_and_reports_panic_abort_and_stack_overflow: "rust" [
        Case::args(["plain"]),
        Case::args(["args", "one", "two words", "ü"]).env("NAME", "value"),
        Case::args(["stdin"]).stdin("a b\nB c\nlast line without an end"),
        Case::args(["bytes"]).stdin((0..=255u8).cycle().take(300_000).collect::<Vec<_>>()),
        Case::args(["panic"]),
        Case::args(["unwrap"]),
        Case::args(["index"]),
        Case::args(["overflow"]),
        Case::args(["abort"]),
        Case::args(["exit", "77"]),
        Case::args(["error"]),
        Case::args(["catch"]),
    ];
}

fn streams() -> Vec<Case> {
    let text = "words in lines\n\n  and more \tof them\nwithout an end";
    let bytes: Vec<u8> = (0..1_000_003u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut cases = vec![
        Case::args(["both"]),
        Case::args(["nothing"]).stdin(text),
        Case::args(["plenty", "3"]),
        Case::args(["cat", "1"]).stdin(text),
        Case::args(["cat", "4096"]).stdin(bytes.clone()),
        Case::args(["cat", "1000000"]).stdin(bytes.clone()),
        Case::args(["vectors"]).stdin(&bytes[..100_001]),
    ];
    cases.extend(["upper", "backwards", "count", "vectors"].map(|way| Case::args([way]).stdin(text)));
    cases.extend(["upper", "backwards", "count", "vectors"].map(|way| Case::args([way])));
    cases
}

/// Every way with the statuses at the edges, every signal whose default does not stop the program, every fault.
fn exits() -> Vec<Case> {
    let mut cases = Vec::new();
    for way in ["return", "exit", "quick_exit", "_exit", "one thread", "group"] {
        cases.extend(["0", "1", "127", "128", "255", "256", "-1"].map(|status| Case::args([way, status])));
    }
    let standard = (1..=31).filter(|signal| !(19..=22).contains(signal));
    cases.extend(standard.chain([34, 50, 64]).map(|signal| Case::args(["raise".to_owned(), signal.to_string()])));
    cases.extend(["abort", "blocked abort", "trap"].map(|way| Case::args([way])));
    cases.extend(["fault", "ignored fault", "blocked fault"].map(|way| Case::args([way, "16"])));
    cases
}

#[test]
fn every_status_from_0_to_255_comes_through() {
    let cases: Vec<_> = (0..=255).map(|status| Case::args(["group".to_owned(), status.to_string()])).collect();
    same_inside(variants_of("exits").filter(|guest| guest.variant == "musl"), &cases);
}

#[test]
fn every_honest_guest_has_a_promise() {
    let have: BTreeSet<_> = WITH_A_PROMISE.iter().copied().collect();
    let are: BTreeSet<_> = all_guests().filter(|guest| guest.honest).map(|guest| guest.name).collect();
    assert_eq!(have, are);
}

#[test]
fn every_language_is_built_in_every_variant_that_is_promised() {
    for (suffix, variants) in
        [("c", &["glibc", "musl", "pie"][..]), ("cpp", &["glibc", "pie"]), ("rs", &["pie", "static"]), ("S", &["bare"])]
    {
        let are: BTreeSet<_> = guests_of(suffix).map(|guest| guest.variant).collect();
        assert!(are.into_iter().eq(variants.iter().copied()), "{suffix}");
    }
}
