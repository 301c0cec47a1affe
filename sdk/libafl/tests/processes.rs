//! What takes processes: clients and a broker on loopback, and a harness that a fork has taken from its machine. They are forked by a process with one
//! thread, hence without the harness that runs tests on threads.

#![allow(missing_docs, reason = "a test has no readers of its interface")]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "all of this is tests")]

#[path = "../examples/many_cores.rs"]
#[allow(dead_code, reason = "an example's main")]
mod many_cores;
#[allow(dead_code, reason = "each of the tests uses a part")]
mod support;

use std::io::Write as _;
use std::net::TcpListener;
use std::process::Command;

use ampoule_libafl::{AmpouleExecutor, edges_observer};
use libafl::prelude::*;
use libafl_bolts::core_affinity::get_core_ids;
use libafl_bolts::tuples::{Handled as _, tuple_list};

/// The first argument of this program as a broker with its clients.
const LAUNCH: &str = "launch";

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(LAUNCH) {
        many_cores::run(arguments).expect("a launcher");
        return;
    }
    for (promise, check) in [
        ("a host's fault is an error and no verdict", a_hosts_fault_is_an_error as fn()),
        ("two clients and a broker find the planted bug", two_clients_and_a_broker_find_the_planted_bug),
    ] {
        print!("{promise} ... ");
        std::io::stdout().flush().expect("stdout");
        check();
        println!("ok");
    }
}

/// KVM lets no process but the one that made a machine use it.
fn a_hosts_fault_is_an_error() {
    let harness = support::harness("verdicts");
    let edges = edges_observer(&harness);
    let mut executor = AmpouleExecutor::new(harness, edges.handle(), tuple_list!(edges)).expect("an executor");
    let mut fuzzer = StdFuzzer::new(QueueScheduler::new(), ConstFeedback::new(false), ConstFeedback::new(false));
    let mut run = || {
        let (mut state, mut manager) = (NopState::<BytesInput>::new(), NopEventManager::new());
        executor.run_target(&mut fuzzer, &mut state, &mut manager, &BytesInput::from(&b"r"[..]))
    };
    assert_eq!(run().expect("the host is well"), ExitKind::Ok);
    // SAFETY: this process has one thread, and the child leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let is_fault = matches!(run(), Err(libafl::Error::Runtime(..)));
        // SAFETY: it ends the process and returns to nobody.
        unsafe { libc::_exit(i32::from(!is_fault)) };
    }
    assert!(child > 0, "fork");
    let mut status = 0;
    // SAFETY: `status` lives as long as the call.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((waited, status), (child, 0), "the child saw no fault of the host's");
    assert_eq!(run().expect("the host is well"), ExitKind::Ok);
}

fn two_clients_and_a_broker_find_the_planted_bug() {
    let directory = tempfile::tempdir().expect("a directory");
    let in_directory =
        |name: &str| directory.path().join(name).into_os_string().into_string().expect("a path in UTF-8");
    let (target, crashes, dictionary) = (in_directory("parser"), in_directory("crashes"), in_directory("words"));
    std::fs::write(&target, support::image("parser")).expect("the target");
    std::fs::write(&dictionary, "\"AMPL\\x01\"\n\"s\\x04\"\n").expect("the dictionary");
    let cores: Vec<String> = get_core_ids().expect("cores").iter().take(2).map(|core| core.0.to_string()).collect();
    assert_eq!(cores.len(), 2, "this test needs two cores; the launcher runs one client on each");
    let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr()).expect("a free port").port();

    let output = Command::new(std::env::current_exe().expect("this program"))
        .args([LAUNCH, &target, &crashes, &cores.join(","), &port.to_string(), "40000", &dictionary])
        .output()
        .expect("a broker");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    for client in ["client 1: ", "client 2: "] {
        let line = stdout.lines().find_map(|line| line.strip_prefix(client));
        let executions = line.and_then(|line| line.split(' ').next()?.parse::<u64>().ok());
        assert!(executions.is_some_and(|count| count >= 40_000), "{client}\n{stdout}\n{stderr}");
    }
    let names = std::fs::read_dir(&crashes).expect("crashes").map(|entry| entry.expect("an entry").path());
    let reports: Vec<_> = names.filter(|path| path.to_string_lossy().ends_with(".report.txt")).collect();
    assert!(!reports.is_empty(), "{stdout}\n{stderr}");
    for report in reports {
        assert!(std::fs::read_to_string(&report).expect("a report").starts_with("crash: "));
        let input = std::fs::read(report.to_string_lossy().trim_end_matches(".report.txt")).expect("its input");
        assert!(input.windows(4).any(|bytes| bytes == b"FUZZ"), "{input:?}");
    }
}
