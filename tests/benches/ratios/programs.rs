//! Whole programs in a process that has run them before, beside the same static programs started outside.
//!
//! CPython is what `tests/programs/run python` builds; busybox is Debian's. A row that is measured says so if its program is not there.

use std::cell::OnceCell;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command as Outside, Stdio as Pipe};
use std::time::{Duration, Instant};

use ampoule::{Command, End, HostDir, Limits, Program, Stdio};

use crate::report::Goal;
use crate::snapshots::with_kept_machines;
use crate::subjects::{Subject, generous};

/// Bytes that go through.
const BYTES: u32 = 10 << 20;
/// Where its standard library is, inside as outside.
pub(crate) const LIBRARY: &str = "/usr/lib/python3.11";
const ARGUMENTS: [&str; 4] = ["-I", "-B", "-c", "print('first line')"];

pub(crate) fn all() -> Vec<Subject> {
    let subject = |name, most, pair| Subject {
        name,
        floor: "outside",
        goal: Goal::Ratio { most, margin: 0.10 },
        time: Duration::from_secs(4),
        pair,
    };
    vec![subject("CPython, first line", 1.6, python()), subject("10 MiB through cat", 1.5, streaming())]
}

pub(crate) fn found(path: PathBuf, how: &str) -> (PathBuf, Program) {
    let program = Program::from_file(&path).unwrap_or_else(|error| panic!("{error}: {how}"));
    (path, program)
}

/// CPython and where it is.
pub(crate) fn cpython() -> (PathBuf, Program) {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "../target".into());
    found(PathBuf::from(target).join("programs/python"), "tests/programs/run python builds it")
}

fn python() -> Box<dyn FnMut() -> (Duration, Duration)> {
    let program = OnceCell::new();
    Box::new(move || {
        let (path, program) = program.get_or_init(cpython);
        let library = HostDir::read_only(LIBRARY).expect("libpython3.11-stdlib");
        let inside = with_kept_machines(|| {
            let mut command = Command::new(program);
            command.args(ARGUMENTS).dir(LIBRARY, &library).limits(Limits::new().memory(256 << 20)).call(generous());
            // Whatever another row left: the first run of a program is not what is measured.
            command.output().expect("a run");
            let start = Instant::now();
            let output = command.output().expect("a run");
            let taken = start.elapsed();
            assert_eq!((output.end, output.stdout.as_slice()), (End::Exited(0), &b"first line\n"[..]));
            taken
        });
        let start = Instant::now();
        let output = Outside::new(path).args(ARGUMENTS).env_clear().output().expect("a process");
        let outside = start.elapsed();
        assert_eq!(output.stdout, b"first line\n");
        (inside, outside)
    })
}

fn streaming() -> Box<dyn FnMut() -> (Duration, Duration)> {
    let program = OnceCell::new();
    let bytes: Vec<u8> = (0..BYTES).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    Box::new(move || {
        let (path, program) = program.get_or_init(|| found("/bin/busybox".into(), "install busybox-static"));
        let inside = with_kept_machines(|| {
            let mut command = Command::new(program);
            command.arg("cat").call(generous());
            command.output().expect("a run");
            command.stdin(Stdio::bytes(bytes.clone()));
            let start = Instant::now();
            let output = command.output().expect("a run");
            let taken = start.elapsed();
            assert!(output.end == End::Exited(0) && output.stdout == bytes);
            taken
        });
        let start = Instant::now();
        let mut child =
            Outside::new(path).arg("cat").stdin(Pipe::piped()).stdout(Pipe::piped()).spawn().expect("a process");
        let mut stdin = child.stdin.take().expect("it is piped");
        let output = std::thread::scope(|scope| {
            let bytes = &bytes;
            let writer = scope.spawn(move || stdin.write_all(bytes));
            let output = child.wait_with_output().expect("a process");
            writer.join().expect("no panic").expect("a reader");
            output
        });
        let outside = start.elapsed();
        assert!(output.stdout == bytes);
        (inside, outside)
    })
}
