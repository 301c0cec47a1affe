//! What is measured, and against what.

use std::os::unix::fs::PermissionsExt;
use std::process;
use std::time::{Duration, Instant};

use ampoule::{Call, Command, End, ExitKind, Floor, HostProbe, Limit, Limits, Stats};
use ampoule_tests::{guest, program};

use crate::calls;
use crate::fuzzing;
use crate::programs;
use crate::report::Goal;
use crate::snapshots;
use crate::warm;

/// Something to measure beside its floor.
pub(crate) struct Subject {
    /// What criterion calls it.
    pub(crate) name: &'static str,
    /// What its floor is.
    pub(crate) floor: &'static str,
    /// What may be between them.
    pub(crate) goal: Goal,
    /// How long criterion measures each side.
    pub(crate) time: Duration,
    /// Measures both, one right after the other.
    pub(crate) pair: Box<dyn FnMut() -> (Duration, Duration)>,
}

/// The limit that the spinning guest runs into.
const LIMIT: Duration = Duration::from_millis(5);

/// Room for the 32 MiB that are chased through and for everything around them.
const MEMORY: u64 = 128 << 20;

/// All subjects, in the order of the report.
pub(crate) fn all() -> Vec<Subject> {
    let seconds = Duration::from_secs;
    // Both sides of the pointer chase depend on which physical pages they happen to get.
    let compute = |name, kernel, margin| Subject {
        name,
        floor: "outside",
        goal: Goal::Ratio { most: 1.02, margin },
        time: seconds(8),
        pair: computing(kernel),
    };
    let limit = |name, kind| Subject {
        name,
        floor: "bare timer's overshoot",
        goal: Goal::Difference { most: Duration::from_micros(20), margin: Duration::from_micros(10) },
        time: seconds(6),
        pair: overshoot(kind),
    };
    vec![
        compute("compute: sha256", "sha256", 0.03),
        compute("compute: n-body", "n-body", 0.03),
        compute("compute: pointer chase", "pointer chase", 0.05),
        compute("compute: recursive fib", "fib", 0.03),
        Subject {
            name: "life of a Command",
            floor: "bare VM's life + 5 exits",
            goal: Goal::Ratio { most: 1.35, margin: 0.10 },
            time: seconds(5),
            pair: life(),
        },
        Subject {
            name: "system call",
            floor: "bare exit",
            goal: Goal::Ratio { most: 1.15, margin: 0.05 },
            time: seconds(5),
            pair: system_call(),
        },
        Subject {
            name: "clock read, vDSO",
            floor: "outside",
            goal: Goal::Ratio { most: 2.0, margin: 0.2 },
            time: seconds(2),
            pair: clock_read(),
        },
        limit("5 ms of wall time", Limit::Wall),
        limit("5 ms of CPU time", Limit::Cpu),
    ]
    .into_iter()
    .chain(calls::all())
    .chain(snapshots::all())
    .chain(fuzzing::all())
    .chain(programs::all())
    .chain(warm::all())
    .collect()
}

/// Two seconds of wall and of CPU time: limits that are on and never met.
pub(crate) fn generous() -> Call {
    Call::new().wall(Duration::from_secs(2)).cpu(Duration::from_secs(2))
}

pub(crate) fn floor(floor: Floor) -> Duration {
    HostProbe::get().and_then(|probe| probe.measure_once(floor)).expect("a floor of this host")
}

/// What a guest prints inside, and outside: the same ELF file.
fn both_sides(name: &'static str, argument: &'static str) -> impl FnMut() -> (Vec<u8>, Vec<u8>) {
    let program = program(name);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join(name);
    std::fs::write(&path, guest(name)).expect("the guest as a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("an executable file");
    move || {
        // The closure owns the directory as well: it goes when the last pair was measured.
        let path = directory.path().join(name);
        let mut command = Command::new(&program);
        command.arg(argument).limits(Limits::new().memory(MEMORY)).call(generous());
        let inside = command.output().expect("a run");
        assert_eq!(inside.end, End::Exited(0), "{name} {argument}");
        let outside = process::Command::new(path).arg(argument).output().expect("a process");
        (inside.stdout, outside.stdout)
    }
}

/// The kernel's time by its own clock.
fn computing(kernel: &'static str) -> Box<dyn FnMut() -> (Duration, Duration)> {
    let mut run = both_sides("kernels", kernel);
    Box::new(move || {
        let (inside, outside) = run();
        let (inside, outside) = (printed(&inside), printed(&outside));
        assert_eq!(inside.1, outside.1, "{kernel} computes something else inside");
        (inside.0, outside.0)
    })
}

/// A reading of `CLOCK_MONOTONIC` by itself: the guest prints what a hundred take.
fn clock_read() -> Box<dyn FnMut() -> (Duration, Duration)> {
    let mut run = both_sides("vdso", "cost");
    Box::new(move || {
        let (inside, outside) = run();
        (printed(&inside).0 / 100, printed(&outside).0 / 100)
    })
}

/// The nanoseconds that a guest printed, and what follows them.
fn printed(stdout: &[u8]) -> (Duration, String) {
    let text = String::from_utf8_lossy(stdout);
    let (nanoseconds, rest) = text.trim_end().split_once(' ').unwrap_or((text.trim_end(), ""));
    (Duration::from_nanos(nanoseconds.parse().expect("nanoseconds")), rest.to_owned())
}

/// From `Command::new` until its output is there and its VM is gone.
fn life() -> Box<dyn FnMut() -> (Duration, Duration)> {
    let program = program("hello");
    Box::new(move || {
        let from = Instant::now();
        let output = Command::new(&program).call(generous()).output().expect("a run");
        let taken = from.elapsed();
        assert_eq!((output.end, output.stdout.as_slice()), (End::Exited(0), b"hello\n".as_slice()));
        // The timer of an earlier run may strike in this one.
        assert_eq!(output.stats.exits.get(&ExitKind::Port), Some(&5), "the floor has five exits");
        (taken, floor(Floor::VmLife) + 5 * floor(Floor::Exit))
    })
}

/// `getppid` by the guest's own clock.
fn system_call() -> Box<dyn FnMut() -> (Duration, Duration)> {
    let program = program("calls");
    Box::new(move || {
        let output = Command::new(&program).call(generous()).output().expect("a run");
        (printed(&output.stdout).0, floor(Floor::Exit))
    })
}

/// What a run used beyond its limit when it was over, as its own statistics say. A run begins before its VM is made, so making it is in the
/// five milliseconds; dropping it comes after.
fn overshoot(kind: Limit) -> Box<dyn FnMut() -> (Duration, Duration)> {
    let program = program("endless");
    let (call, used): (Call, fn(&Stats) -> Duration) = match kind {
        Limit::Cpu => (generous().cpu(LIMIT), |stats| stats.cpu),
        _ => (generous().wall(LIMIT), |stats| stats.wall),
    };
    Box::new(move || {
        let output = Command::new(&program).arg("spin tightly").call(call.clone()).output().expect("a run");
        assert_eq!(output.end, End::Limit(kind));
        (used(&output.stats).saturating_sub(LIMIT), floor(Floor::Overshoot))
    })
}
