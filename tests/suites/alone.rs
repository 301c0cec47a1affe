//! What a run leaves in the process that embeds it: nothing. Seen from a process that does nothing else, hence without the harness that
//! runs tests on threads: descriptors, threads, signal masks and handlers are the process's own and can be compared before and after.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is a test, whose main is not marked as one"
)]
#![allow(missing_docs, reason = "a test has no readers of its interface")]

use ampoule::{
    Call, CallError, CancelToken, Command, End, HostError, Limit, Overflow, Region, Sandbox, SnapshotError, State,
    Stdio,
};
use ampoule_tests::{
    call_bytes, call_bytes_within, descriptors, echoing, honest_call, mappings, program, resume_bytes, run_hello,
    run_inside, sandbox, scale, threads, threads_settle_at,
};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

mod awaited;
mod budget;
mod confined;

fn main() {
    confined::child();
    for (promise, check) in [
        ("a run leaves no thread", a_run_leaves_no_thread as fn()),
        ("a run leaves the signal mask and every handler as they were", a_run_leaves_signals_alone),
        ("runs leak no descriptor and no mapping", runs_leak_nothing),
        ("another's signals neither end nor lengthen nor change a run", anothers_signals_do_not_matter),
        ("a limit strikes the run, never what the thread does next", a_limit_strikes_only_the_run),
        ("sandboxes leave no descriptor, no thread and no mapping", sandboxes_leak_nothing),
        ("the child of a fork is told whose sandbox it has", a_fork_is_told),
        (
            "guest memory that does not fit the budget is refused with the numbers",
            budget::what_does_not_fit_is_refused_with_the_numbers,
        ),
        ("idle machines make room in the memory budget", budget::idle_machines_make_room),
        ("threads never hold more guest memory than the budget", budget::threads_never_hold_more_than_the_budget),
        (
            "a machine that fails half-way gives its memory back",
            budget::a_machine_that_fails_half_way_gives_its_memory_back,
        ),
        ("a pool waits for its own memory and tells of others'", budget::a_pool_waits_for_its_own_and_tells_of_others),
        (
            "all guest memory is kept out of core dumps and forks",
            budget::all_guest_memory_is_kept_out_of_core_dumps_and_forks,
        ),
        ("a confined process does everything, and nothing else", confined::all),
        ("awaited waits leave one thread and no descriptor and no mapping", awaited::waits_leak_nothing),
        ("the child of a fork has somebody of its own who wakes its tasks", awaited::a_fork_wakes_its_own),
    ] {
        print!("{promise} ... ");
        std::io::stdout().flush().expect("stdout");
        check();
        println!("ok");
    }
}

/// Endings of every kind, by every way to start a run.
fn all_kinds_of_runs() {
    run_hello();
    for (name, args, call) in [
        ("streams", &["both"][..], honest_call()),
        ("exits", &["abort"], honest_call()),
        ("memory", &["write null"], honest_call()),
        ("memory", &["recurse"], honest_call()),
        ("instructions", &["hlt"], honest_call()),
        ("endless", &["spin"], honest_call().wall(Duration::from_millis(5))),
        ("endless", &["spin"], honest_call().cpu(Duration::from_millis(5))),
        ("endless", &["sleep"], honest_call().wall(Duration::from_millis(5))),
        ("endless", &["futex"], honest_call()),
        ("endless", &["write"], honest_call().output(100_000)),
    ] {
        let program = program(name);
        Command::new(&program).args(args).call(call).output().expect("a typed ending");
    }
    let token = CancelToken::new();
    let endless = program("endless");
    let spawn = |call: Call| {
        let mut child = Command::new(&endless)
            .args(["read", "say"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .call(call)
            .spawn()
            .expect("a child");
        let mut line = [0; 6];
        std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut line).expect("the first line");
        child
    };
    let mut child = spawn(honest_call().cancel(&token));
    let stdin = child.stdin.take();
    token.cancel();
    assert_eq!(child.wait().expect("a typed ending").end, End::Cancelled);
    drop(stdin);
    let child = spawn(honest_call());
    child.kill();
    assert_eq!(child.wait().expect("a typed ending").end, End::Cancelled);
    drop(spawn(honest_call()));
}

/// The lines of the calling thread's status that tell about signals.
fn signals() -> BTreeMap<String, u64> {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("a file of /proc");
    let fields = status.lines().filter_map(|line| line.split_once(':'));
    let signals =
        fields.filter(|(name, _)| name.starts_with("Sig") || *name == "ShdPnd").filter(|(name, _)| *name != "SigQ");
    signals.map(|(name, value)| (name.to_owned(), u64::from_str_radix(value.trim(), 16).expect("a mask"))).collect()
}

fn a_run_leaves_no_thread() {
    assert_eq!(threads(), 1);
    run_hello();
    assert_eq!(threads(), 1, "output() runs on the caller's thread");
    all_kinds_of_runs();
    threads_settle_at(1);
}

fn a_run_leaves_signals_alone() {
    let before = signals();
    all_kinds_of_runs();
    let after = signals();
    for (name, mask) in &before {
        // One real-time signal (32 and up) is the library's: it may have been blocked or given a handler, once.
        let theirs = (after[name] ^ mask) >> 31;
        assert!(theirs.count_ones() <= 1, "{name}: {mask:x} became {:x}", after[name]);
        assert_eq!(after[name] & 0x7fff_ffff, mask & 0x7fff_ffff, "{name}");
    }
    assert_eq!((after["SigPnd"], after["ShdPnd"]), (0, 0), "no kick is left waiting");
    all_kinds_of_runs();
    assert_eq!(signals(), after);
}

fn runs_leak_nothing() {
    // What is kept for the next run is kept after the first few; what grows with the number of runs is a leak.
    for _ in 0..3 {
        all_kinds_of_runs();
    }
    threads_settle_at(1);
    let (before, maps) = (descriptors(), mappings());
    for _ in 0..scale(10) {
        all_kinds_of_runs();
    }
    threads_settle_at(1);
    assert!(descriptors() <= before, "{before} descriptors became {}", descriptors());
    assert!(mappings() <= maps + 8, "{maps} mappings became {}", mappings());
}

/// Runs `body` while a thread sends SIGUSR1 and SIGALRM to the process as fast as it can. They are delivered to this, its first thread.
fn under_signals(body: impl FnOnce()) {
    let received = Arc::new(AtomicUsize::new(0));
    let done = AtomicBool::new(false);
    let hooks = [signal_hook::consts::SIGUSR1, signal_hook::consts::SIGALRM].map(|signal| {
        let received = Arc::clone(&received);
        signal_hook::flag::register_usize(signal, received, 1).expect("a handler")
    });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for signal in [rustix::process::Signal::USR1, rustix::process::Signal::ALARM] {
                    rustix::process::kill_process(rustix::process::getpid(), signal).expect("a signal");
                }
                std::thread::yield_now();
            }
        });
        while received.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        body();
        done.store(true, Ordering::Relaxed);
    });
    for hook in hooks {
        signal_hook::low_level::unregister(hook);
    }
}

fn anothers_signals_do_not_matter() {
    let calm = run_inside("compute", &[]).stdout;
    under_signals(|| {
        for _ in 0..scale(3) {
            let output = run_inside("compute", &[]);
            assert_eq!((output.end, output.stdout), (End::Exited(0), calm.clone()));
            assert_eq!(run_inside("clocks", &[]).end, End::Exited(0), "sleeps are as long as ever");

            let endless = program("endless");
            for (name, call, limit) in [
                ("spin", honest_call().wall(Duration::from_millis(50)), Limit::Wall),
                ("sleep", honest_call().wall(Duration::from_millis(50)), Limit::Wall),
                ("syscall", honest_call().cpu(Duration::from_millis(50)), Limit::Cpu),
            ] {
                let output = Command::new(&endless).arg(name).call(call).output().expect("a typed ending");
                assert_eq!(output.end, End::Limit(limit), "{name}");
            }

            let streams = program("streams");
            let bytes: Vec<u8> = (0..200_000u32).map(|n| n.to_le_bytes()[0]).collect();
            let result = Command::new(&streams)
                .args(["cat", "777"])
                .stdin(Stdio::bytes(bytes.clone()))
                .call(honest_call())
                .output();
            assert_eq!(result.expect("an ordinary run").stdout, bytes);
        }
    });
}

fn a_limit_strikes_only_the_run() {
    let endless = program("endless");
    for _ in 0..scale(50) {
        let call = honest_call().wall(Duration::from_micros(500));
        let end = Command::new(&endless).arg("spin").call(call).output().expect("a typed ending").end;
        assert_eq!(end, End::Limit(Limit::Wall));
        // A system call that a late kick would interrupt.
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        writer.write_all(b"x").expect("no interruption");
        drop((reader, writer));
        assert_eq!(signals()["SigPnd"], 0);
    }
}

/// Sandboxes that are dropped in every state.
fn all_kinds_of_sandboxes() {
    let (plugin, tasks) = (program("plugin"), program("tasks"));
    let region = Region::from_bytes([1; 5000]).expect("a region");
    let (builder, events) = Sandbox::builder(&plugin, &echoing()).region("shared", &region).events(8, Overflow::Stop);
    let mut ready = builder.stdin(Stdio::bytes("text")).build(()).expect("a sandbox");
    call_bytes(&mut ready, "checksum", b"shared").expect("a region");
    call_bytes(&mut ready, "events", b"8").expect("events");
    assert!(events.try_next().is_some());

    let mut stopped = sandbox(&tasks, &ampoule::Imports::new());
    let mut short = Duration::from_millis(1);
    // On a slow machine its time may be over before it begins.
    while stopped.state() == State::Ready {
        assert!(call_bytes_within(&mut stopped, "sleeps", b"100000", &honest_call().wall(short)).is_err());
        short *= 2;
    }
    assert!(resume_bytes(&mut stopped, &honest_call().wall(short)).is_err());
    assert_eq!(stopped.state(), State::Stopped);

    let mut ended = sandbox(&tasks, &ampoule::Imports::new());
    assert!(call_bytes(&mut ended, "faults", b"").is_err());
    let failing = Sandbox::builder(&tasks, &ampoule::Imports::new()).arg("exit").build(());
    assert!(failing.is_err());
}

fn sandboxes_leak_nothing() {
    // Machines that are kept hold descriptors and mappings, and those with a region of their own are of no use to the next sandbox.
    ampoule::set_max_idle_machines(0);
    for _ in 0..3 {
        all_kinds_of_sandboxes();
    }
    let (before, maps) = (descriptors(), mappings());
    assert_eq!(threads(), 1, "a sandbox runs on its caller's thread");
    // Four in each round.
    for _ in 0..scale(50) {
        all_kinds_of_sandboxes();
    }
    assert_eq!(threads(), 1);
    assert!(descriptors() <= before, "{before} descriptors became {}", descriptors());
    assert!(mappings() <= maps + 8, "{maps} mappings became {}", mappings());
    ampoule::set_max_idle_machines(4);
    for _ in 0..3 {
        all_kinds_of_sandboxes();
        assert!((1..=4).contains(&ampoule::idle_machines()), "{} are kept", ampoule::idle_machines());
    }
}

fn a_fork_is_told() {
    let mut plugin = sandbox(&program("plugin"), &echoing());
    assert_eq!(call_bytes(&mut plugin, "echo", b"before").expect("a reply"), b"before");
    let ready = plugin.snapshot().expect("a snapshot");
    let mut idle = ready.spawn(&echoing(), ()).expect("a twin");
    assert_eq!(call_bytes(&mut idle, "echo", b"before").expect("a reply"), b"before");
    // SAFETY: this process has one thread, so that nothing is half done in its fork.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let right = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let refused = call_bytes(&mut plugin, "echo", b"in the child");
            assert!(matches!(refused, Err(CallError::Host(HostError::Forked { .. }))), "{refused:?}");
            assert_eq!(plugin.state(), State::Poisoned);
            let refused = idle.snapshot();
            assert!(matches!(refused, Err(SnapshotError::Host(HostError::Forked { .. }))), "{refused:?}");
            // A snapshot is plain memory, which the fork has as well.
            for inherited in [&mut plugin, &mut idle] {
                inherited.restore(&ready).expect("a machine of its own");
                assert_eq!(call_bytes(inherited, "echo", b"restored").expect("a reply"), b"restored");
            }
            drop((plugin, idle));
            let mut own = sandbox(&program("plugin"), &echoing());
            assert_eq!(call_bytes(&mut own, "echo", b"its own").expect("a reply"), b"its own");
        }));
        // SAFETY: ends this process; nothing of the parent's is run at its exit.
        unsafe { libc::_exit(i32::from(right.is_err())) };
    }
    let pid = rustix::process::Pid::from_raw(child).expect("a child");
    let (_, status) = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())
        .expect("the child's end")
        .expect("an end");
    assert_eq!(status.exit_status(), Some(0), "the child said why");
    assert_eq!(call_bytes(&mut plugin, "echo", b"after").expect("a reply"), b"after");
}
