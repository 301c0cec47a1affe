//! What a report says of a crash: the functions that led there, inlined ones too, their lines, and the memory around – for programs in C, C++ and
//! Rust, with musl and glibc, at fixed addresses and moved.

use ampoule::{CallError, Command, End, Ending, Found, Imports, Output, Program, Report, Signal, Stdio, Surroundings};
use ampoule_tests::{Guest, call_bytes, honest_call, sandbox, scale, variants_of};

const CRASH: &str = include_str!("../guests/crashes/crash.c");
const THROWN: &str = include_str!("../guests/crashes/thrown.cpp");
const PANICS: &str = include_str!("../guests/crashes/panics.rs");

fn line(source: &str, mark: &str) -> u32 {
    let mark = format!("// mark: {mark}");
    let at = source.lines().position(|line| line.ends_with(&mark)).expect("the mark");
    u32::try_from(at + 1).expect("a line")
}

fn crashed(guest: &Guest, how: &str) -> (Program, Output) {
    let program = Program::from_bytes(guest.image()).expect("a program");
    let output = Command::new(&program).arg(how).call(honest_call()).output().expect("a run");
    (program, output)
}

fn reported(guest: &Guest, how: &str) -> Report {
    let (program, output) = crashed(guest, how);
    Report::new(&program, &output.end, output.site()).unwrap_or_else(|| panic!("{how}: {}", output.end))
}

/// Functions and lines, from the first frame of this function on.
fn frames(report: &Report, from: &str) -> Vec<(String, Option<u32>)> {
    let named = report.backtrace.frames().iter().map(|it| (it.function.clone().unwrap_or_default(), it.line));
    named.skip_while(|(name, _)| name != from).collect()
}

fn starts_with(guest: &Guest, report: &Report, wanted: &[(&str, u32)]) {
    let found = frames(report, wanted[0].0);
    let wanted: Vec<_> = wanted.iter().map(|&(name, line)| (name.to_owned(), Some(line))).collect();
    assert!(found.starts_with(&wanted), "{} {}: {wanted:?}\n{report}", guest.name, guest.variant);
}

fn in_c(how: &str, check: impl Fn(&Guest, &Report)) {
    for guest in variants_of("crash") {
        let report = reported(guest, how);
        let calls = [("break_it", how), ("middle", "middle"), ("outer", "outer"), ("main", "main")];
        starts_with(guest, &report, &calls.map(|(name, mark)| (name, line(CRASH, mark))));
        let key = "break_it < middle < outer < main";
        assert_eq!(report.key, key, "{} {how}\n{report}", guest.variant);
        check(guest, &report);
    }
}

fn innermost(report: &Report) -> &str {
    report.backtrace.frames()[0].function.as_deref().unwrap_or_default()
}

#[test]
fn a_write_near_null_is_told_by_its_line_and_distance() {
    in_c("null", |_, report| {
        assert_eq!(report.headline, "SIGSEGV: null dereference at 0x10, 16 bytes from null");
        assert_eq!(innermost(report), "break_it");
        assert_eq!(report.surroundings, Some(Surroundings::NullArea));
        let current: Vec<_> = report.instructions.iter().filter(|it| it.is_current).collect();
        assert!(current.len() == 1 && current[0].text.starts_with("mov byte ptr ["), "{report}");
        assert!(report.instructions.len() > 4, "{report}");
        assert!(report.backtrace.frames()[0].file.as_deref().is_some_and(|file| file.ends_with("/crashes/crash.c")));
    });
}

#[test]
fn a_write_to_constants_is_told_with_the_mapping() {
    in_c("read-only", |_, report| {
        assert!(report.headline.starts_with("SIGSEGV: write to read-only memory at 0x"), "{report}");
        assert!(report.headline.contains(" bytes into the program (0x"), "{report}");
        let Some(Surroundings::Inside(mapping)) = report.surroundings else { panic!("{report}") };
        assert!(mapping.read && !mapping.write);
    });
}

#[test]
fn a_division_by_zero_is_told_by_its_line() {
    in_c("divide", |_, report| {
        assert!(report.headline.starts_with("SIGFPE: "), "{report}");
        assert!(report.instructions.iter().any(|it| it.is_current && it.text.contains("div ")), "{report}");
    });
}

#[test]
fn a_trap_instruction_is_told_by_its_line() {
    in_c("trap", |_, report| {
        assert!(report.headline.starts_with("SIGILL: "), "{report}");
        assert!(report.instructions.iter().any(|it| it.is_current && it.text == "ud2"), "{report}");
    });
}

#[test]
fn a_call_of_null_is_told_by_who_called() {
    in_c("call", |_, report| {
        assert!(report.headline.ends_with(" at 0x0, null itself, where it jumped to"), "{report}");
        assert_eq!(report.backtrace.frames()[0].address, 0);
        assert_eq!(report.backtrace.frames()[1].found, Found::ReturnAddress);
        assert!(report.instructions.is_empty());
    });
}

#[test]
fn an_access_to_a_guard_page_is_told_with_its_distance() {
    in_c("guard", |_, report| {
        assert!(report.headline.contains(", 12 bytes into a mapping (0x"), "{report}");
        assert!(report.headline.contains(" ---), "), "{report}");
    });
}

#[test]
fn an_abort_is_told_by_who_gave_up() {
    in_c("abort", |_, report| {
        assert_eq!(report.headline, "SIGABRT, which it sent to itself");
        assert_eq!(report.signal, Some(Signal::ABRT.number()));
        assert!(report.backtrace.frames().iter().any(|it| it.function.as_deref() == Some("abort")), "{report}");
    });
}

#[test]
fn a_signal_that_a_program_sends_to_itself_is_told_by_who_sent_it() {
    in_c("raise", |_, report| assert_eq!(report.headline, "SIGTERM, which it sent to itself"));
}

#[test]
fn a_fault_in_the_c_librarys_copying_is_told_by_who_copied() {
    in_c("copy", |_, report| assert!(innermost(report).contains("mem"), "{report}"));
}

#[test]
fn a_stack_overflow_has_its_top_frames_and_says_that_there_are_more() {
    for guest in variants_of("crash") {
        let report = reported(guest, "overflow");
        assert!(report.headline.starts_with("SIGSEGV: stack overflow at 0x"), "{report}");
        assert!(report.headline.ends_with(", in its guard area"), "{report}");
        let frames = report.backtrace.frames();
        assert!(frames.len() > 100, "{} {report}", guest.variant);
        assert!(frames.iter().all(|it| it.function.as_deref() == Some("overflow")), "{report}");
        assert_eq!(frames[1].line, Some(line(CRASH, "overflow")));
        assert_eq!(report.key, "overflow");
        assert!(report.backtrace.to_string().ends_with("… the stack goes on"), "{report}");
        assert!(report.backtrace.to_string().lines().count() < 10, "{report}");
    }
}

#[test]
fn an_exception_that_nobody_catches_is_told_by_who_threw_with_what_was_inlined_there() {
    for guest in variants_of("thrown") {
        let report = reported(guest, "");
        assert_eq!(report.headline, "SIGABRT, which it sent to itself");
        let thrown = [
            ("parser::Token::check", "throw"),
            ("parser::visit<parser::Token>", "visit"),
            ("parser::parse", "parse"),
            ("main", "main"),
        ];
        starts_with(guest, &report, &thrown.map(|(name, mark)| (name, line(THROWN, mark))));
        let inlined: Vec<_> = report
            .backtrace
            .frames()
            .iter()
            .filter(|it| it.inlined && it.line == Some(line(THROWN, "throw")))
            .collect();
        assert_eq!(inlined.len(), 1, "{report}");
        assert!(
            report.backtrace.frames().iter().any(|it| it.function.as_deref() == Some("std::terminate")),
            "{report}"
        );
        assert_eq!(
            report.key, "parser::Token::check < parser::visit<parser::Token> < parser::parse < main",
            "{report}"
        );
        assert_eq!(report.backtrace.ending(), Ending::Outermost, "{report}");
    }
}

#[test]
fn a_panic_that_ends_a_rust_program_is_told_by_who_panicked() {
    for guest in variants_of("panics") {
        let report = reported(guest, "");
        let name = format!("panics_{}", guest.variant);
        let (parse, main) = (format!("{name}::digits::parse"), format!("{name}::main"));
        let found = frames(&report, &parse);
        assert!(found.contains(&(main, Some(line(PANICS, "main")))), "{report}");
        let in_parse = report.backtrace.frames().iter().any(|it| it.line == Some(line(PANICS, "unwrap")));
        assert!(in_parse, "{report}");
        assert_eq!(report.backtrace.ending(), Ending::Outermost, "{report}");
        assert!(report.key.contains(&parse) && !report.key.contains("panicking"), "{}", report.key);
    }
}

#[test]
fn every_run_of_one_crash_has_one_key_and_another_crash_has_another() {
    for guest in variants_of("crash") {
        let hash = |how| reported(guest, how).backtrace.hash();
        assert_eq!(hash("null"), hash("divide"), "the same functions");
        assert_ne!(hash("null"), hash("overflow"));
    }
}

#[test]
fn what_is_kept_of_a_crash_is_bounded_and_there_for_every_crash() {
    for guest in variants_of("crash") {
        let (_, output) = crashed(guest, "overflow");
        let site = output.site().expect("a site");
        assert!(matches!(output.end, End::Trap(_)));
        let (start, stack) = site.stack();
        assert_eq!(stack.len(), ampoule::Site::MAX_STACK_BYTES);
        assert!(start >= site.registers().rsp);
        assert!(site.mappings().len() <= 6, "{site:?}");
        let (_, output) = crashed(guest, "");
        assert!(output.end.success() && output.site().is_none(), "{}", output.end);
    }
}

#[test]
fn a_report_is_data_as_well() {
    for guest in variants_of("crash") {
        let data = serde_json::to_value(reported(guest, "guard")).expect("JSON");
        assert_eq!(data["signal"], 11);
        assert_eq!(data["backtrace"]["frames"][0]["function"], "break_it");
        assert_eq!(data["backtrace"]["ending"], "outermost");
        assert_eq!(data["surroundings"]["inside"]["kind"], "anonymous");
    }
}

#[test]
fn a_plugin_that_aborts_in_a_call_is_told_by_the_call() {
    for guest in variants_of("tasks") {
        let program = Program::from_bytes(guest.image()).expect("a program");
        let mut plugin = sandbox(&program, &Imports::new());
        assert_eq!(plugin.site(), None, "it waits to be called");
        let Err(CallError::Ended(end)) = call_bytes(&mut plugin, "aborts", b"").map(drop) else { panic!("it aborts") };
        let site = plugin.site();
        let report = Report::new(&program, &end, site.as_ref()).expect("a report");
        assert_eq!(report.headline, "SIGABRT, which it sent to itself");
        assert!(report.key.starts_with("aborts"), "{} {report}", guest.variant);
    }
}

/// Numbers that are the same in every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).expect("a size")).expect("a size")
    }
}

/// A file with bytes replaced, most of them in what only debuggers and unwinders read.
fn mutated(image: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = image.to_vec();
    for _ in 0..=numbers.below(64) {
        // Headers decide what is a program at all: a few changes there, so that most files remain one.
        let at =
            if numbers.below(32) == 0 { numbers.below(bytes.len()) } else { 4096 + numbers.below(bytes.len() - 4096) };
        let length = 1 + numbers.below(8);
        for at in at..(at + length).min(bytes.len()) {
            bytes[at] = match numbers.below(5) {
                0 => 0,
                1 => 0xff,
                2 => 0x80,
                3 => bytes[at].wrapping_add(1),
                _ => numbers.next().to_le_bytes()[0],
            };
        }
    }
    bytes
}

#[test]
fn whatever_a_file_says_of_itself_a_report_is_made_of_it() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for guest in variants_of("crash").chain(variants_of("thrown")) {
        let how = if guest.name == "thrown" { "" } else { "copy" };
        let (_, output) = crashed(guest, how);
        let mut reports = 0;
        for _ in 0..scale(40) {
            let Ok(program) = Program::from_bytes(mutated(guest.image(), &mut numbers)) else { continue };
            let report = Report::new(&program, &output.end, output.site()).expect("a report");
            assert!((1..=10_000).contains(&report.backtrace.frames().len()));
            assert!(report.to_string().len() < 1 << 20);
            reports += 1;
        }
        assert!(reports > 5, "{} {}: {reports}", guest.name, guest.variant);
    }
}

#[test]
fn whatever_is_on_the_stack_a_report_is_made_of_it() {
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    for guest in variants_of("crash") {
        let program = Program::from_bytes(guest.image()).expect("a program");
        let text = program.segments().iter().find(|it| it.protection().execute).expect("code");
        let (_, output) = crashed(guest, "trap");
        let site = output.site().expect("a site");
        let (code, stack) = (text.address() + site.bias(), site.registers().rsp);
        for _ in 0..scale(20) {
            let words = (0..500).flat_map(|_| {
                let word = match numbers.below(4) {
                    0 => numbers.next(),
                    1 => stack.wrapping_sub(4096) + numbers.next() % 8192,
                    _ => code + numbers.next() % text.memory_size(),
                };
                word.to_le_bytes()
            });
            let stdin = Stdio::bytes(words.collect::<Vec<u8>>());
            let output =
                Command::new(&program).arg("scribble").stdin(stdin).call(honest_call()).output().expect("a run");
            let report = Report::new(&program, &output.end, output.site()).expect("a report");
            assert!(report.headline.starts_with("SIGILL: "), "{report}");
            assert!((1..=10_000).contains(&report.backtrace.frames().len()));
        }
    }
}
