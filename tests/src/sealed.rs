//! A guest run inside.

use crate::native::{Ending, Outcome, without_thread_ids};
use ampoule::{Call, Command, End, Output, Program, Stdio};
use std::time::Duration;

/// Rounds for a test that repeats: `rounds` times `AMPOULE_TEST_SCALE`, which is 1 unless it is set.
pub fn scale(rounds: usize) -> usize {
    let factor = std::env::var("AMPOULE_TEST_SCALE").ok().and_then(|it| it.parse().ok()).unwrap_or(1);
    rounds.saturating_mul(factor)
}

/// Limits that no honest program reaches, even on an emulated machine.
pub fn honest_call() -> Call {
    Call::new().wall(Duration::from_secs(120)).cpu(Duration::from_secs(120)).output(256 << 20)
}

/// A guest as a [`Program`].
///
/// # Panics
/// If there is no such guest, its compiler is missing, or Ampoule refuses it.
pub fn program(name: &str) -> Program {
    Program::from_bytes(crate::guest(name)).unwrap_or_else(|error| panic!("guest {name}: {error}"))
}

/// Runs a guest with limits that it does not reach, and no stdin.
///
/// # Panics
/// If it cannot be run.
pub fn run_inside(name: &str, args: &[&str]) -> Output {
    let program = program(name);
    let result = Command::new(&program).args(args).call(honest_call()).output();
    result.unwrap_or_else(|error| panic!("guest {name} {args:?}: {error}"))
}

/// Runs the smallest program, whose outcome shows that what ran before left nothing behind.
///
/// # Panics
/// If anything about it is not as it should be.
pub fn run_hello() {
    let output = run_inside("hello", &[]);
    assert!(matches!(output.end, End::Exited(0)), "hello ended with {:?}", output.end);
    assert_eq!(output.stdout, b"hello\n");
    assert_eq!(output.stderr, b"");
}

/// An ending in the words that both sides have in common: an unhandled fault is the signal that it raises.
pub fn ending(end: &End) -> Ending {
    match end {
        End::Exited(code) => Ending::Exited(*code),
        End::Signaled(signal) => Ending::Signaled(signal.number().into()),
        End::Trap(trap) => Ending::Signaled(trap.signal().number().into()),
        other => Ending::Other(format!("{other:?}")),
    }
}

impl Outcome {
    /// Runs an ELF file inside, with exactly this environment and the limits of an honest program.
    ///
    /// # Panics
    /// If it cannot be run.
    pub fn inside(image: &[u8], args: &[&str], env: &[(&str, &str)], stdin: &[u8]) -> Self {
        let program = Program::from_bytes(image).unwrap_or_else(|error| panic!("{error}"));
        let mut command = Command::new(&program);
        command.args(args).stdin(Stdio::bytes(stdin)).call(honest_call());
        for (name, value) in env {
            command.env(name, value);
        }
        let output = command.output().unwrap_or_else(|error| panic!("{args:?}: {error}"));
        let ending = ending(&output.end);
        Self { stdout: output.stdout, stderr: without_thread_ids(output.stderr), ending }
    }
}
