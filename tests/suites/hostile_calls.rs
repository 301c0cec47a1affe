//! System calls with arguments that are wrong on purpose, or that ask for what no sealed program gets.

use ampoule::{Command, End, Stdio};
use ampoule_tests::{Outcome, guest, honest_call, program, run_hello, run_inside, run_outside};

#[test]
fn a_pointer_that_is_none_is_efault_in_every_call_inside_and_outside() {
    let stdin = [0x2e; 10_000];
    for outcome in
        [run_outside(guest("pointers"), &[], &[], &stdin), Outcome::inside(guest("pointers"), &[], &[], &stdin)]
    {
        let text = String::from_utf8_lossy(&outcome.stdout);
        let failures: Vec<_> = text.lines().filter(|line| line.contains("FAILED")).collect();
        assert!(failures.is_empty(), "{failures:#?}");
        assert_eq!(outcome.ending, ampoule_tests::Ending::Exited(0), "{:?}", text.lines().last());
    }
    run_hello();
}

#[test]
fn processes_networks_devices_and_the_hosts_files_are_refused() {
    let output = run_inside("refused", &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    let granted: Vec<_> = text.lines().filter(|line| line.contains("GRANTED")).collect();
    assert!(granted.is_empty(), "{granted:#?}");
    assert_eq!(output.end, End::Exited(0), "{text}");
    assert_eq!(text.lines().last(), Some("0 granted"));
    run_hello();
}

#[test]
fn a_thread_that_cannot_be_had_is_an_error_that_rust_survives() {
    let output = run_inside("rust", &["thread"]);
    assert_eq!((output.end, output.stdout.as_slice()), (End::Exited(0), &b"a thread: refused\n"[..]));
}

/// A guest that says the same inside as outside.
fn says_the_same_outside(name: &str) {
    let stdin = [0x2e; 10_000];
    let outside = run_outside(guest(name), &[], &[], &stdin);
    let inside = Outcome::inside(guest(name), &[], &[], &stdin);
    assert_eq!(String::from_utf8_lossy(&inside.stdout), String::from_utf8_lossy(&outside.stdout));
    assert_eq!(inside.ending, ampoule_tests::Ending::Exited(0));
    run_hello();
}

#[test]
fn paths_of_ten_thousand_components_or_of_odd_bytes_lead_where_they_lead_outside() {
    says_the_same_outside("paths");
}

#[test]
fn vectors_over_each_other_and_over_themselves_are_read_once_and_do_what_they_do_outside() {
    says_the_same_outside("vectors");
}

#[test]
fn hostile_vectors_are_bounded_work() {
    // 1,024 vectors of a MiB each in every call: as much as a call may ask for.
    let program = program("endless");
    let call = honest_call().output(3 << 30).wall(std::time::Duration::from_millis(200));
    let result = Command::new(&program).arg("write vectors").stdout(Stdio::null()).call(call).status();
    let status = result.expect("a typed ending");
    assert!(matches!(status.end, End::Limit(_)), "{:?}", status.end);
    run_hello();
}
