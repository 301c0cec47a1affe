//! Programs that go on from where they ask for input, against the same programs started with that input.
//!
//! Both sides are from the command to its output, in a machine that ran the program before; the input is one line, and the program prints it.
//! CPython is what `tests/programs/run python` builds; busybox is Debian's. A row that is measured says so if its program is not there.

use std::time::Duration;

use ampoule::{Command, End, HostDir, Limits, Stdio};
use ampoule_tests::program;

use crate::calls::timed;
use crate::programs::{LIBRARY, cpython, found};
use crate::report::Goal;
use crate::snapshots::with_kept_machines;
use crate::subjects::{Subject, generous};

const INPUT: &str = "a line of input\n";
/// Imports what many scripts do, and answers.
const SCRIPT: &str = "import json, re, sys; print(json.dumps(sys.stdin.readline()))";

/// These rows, in the order of the report.
pub(crate) fn all() -> Vec<Subject> {
    let row = |name, rounds, make: fn() -> Command| Subject {
        name,
        floor: "from its start",
        goal: Goal::Ratio { most: 0.25, margin: 0.05 },
        time: Duration::from_secs(4),
        pair: pair(rounds, make),
    };
    vec![
        row("from its input, musl", 10, || with(Command::new(&program("inputs")), &["stdio"])),
        row("from its input, busybox", 10, || {
            let (_, busybox) = found("/bin/busybox".into(), "install busybox-static");
            with(Command::new(&busybox), &["sed", "s/of/&/"])
        }),
        row("from its input, CPython", 1, || {
            let mut command = with(Command::new(&cpython().1), &["-I", "-B", "-c", SCRIPT]);
            let library = HostDir::read_only(LIBRARY).expect("libpython3.11-stdlib");
            command.dir(LIBRARY, &library).limits(Limits::new().memory(256 << 20));
            command
        }),
    ]
}

fn with(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments).call(generous());
    command
}

/// Means of so many runs, after some that are not timed.
fn pair(rounds: u32, make: fn() -> Command) -> Box<dyn FnMut() -> (Duration, Duration)> {
    let mut prepared = None;
    Box::new(move || {
        let (started, snapshot) = prepared.get_or_insert_with(|| {
            let stopped = make().stdout(Stdio::null()).stop_at_input().expect("a run");
            (make(), stopped.snapshot.expect("it asks for input"))
        });
        with_kept_machines(|| {
            let warm = repeated(rounds, || answers(snapshot.command().expect("a command").call(generous())));
            (warm, repeated(rounds, || answers(started)))
        })
    })
}

/// Whatever another row or the other side left in the machine: the first runs are not what is measured.
fn repeated(rounds: u32, mut run: impl FnMut()) -> Duration {
    for _ in 0..3 {
        run();
    }
    timed(rounds, &mut run)
}

fn answers(command: &mut Command) {
    let output = command.stdin(Stdio::bytes(INPUT)).output().expect("a run");
    assert_eq!(output.end, End::Exited(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains(INPUT.trim_end()));
}
