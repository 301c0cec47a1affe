//! A guest run outside, by the machine's own kernel: what an honest program is compared with.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// How a program ended, in the words that both sides have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal: one it was sent or one that a fault raised.
    Signaled(i32),
    /// In a way that only Ampoule knows, as it prints it.
    Other(String),
}

/// What a program printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Everything written to stdout.
    pub stdout: Vec<u8>,
    /// Everything written to stderr, without what differs between two runs of the same program outside.
    pub stderr: Vec<u8>,
    /// How it ended.
    pub ending: Ending,
}

/// Held while an executable is being written or a process started: a child that is forked while a file is open for writing keeps it open
/// until it executes, and executing that file fails with ETXTBSY meanwhile.
static WRITING_OR_STARTING: Mutex<()> = Mutex::new(());

/// Runs an ELF file in an empty directory of its own, with exactly this environment, until it ends.
///
/// # Panics
/// If the machine cannot run it.
pub fn run_outside(image: &[u8], args: &[&str], env: &[(&str, &str)], stdin: &[u8]) -> Outcome {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("guest");
    let work = directory.path().join("work");
    std::fs::create_dir(&work).expect("a working directory");

    let lock = WRITING_OR_STARTING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(&path);
    file.and_then(|mut file| file.write_all(image)).expect("the guest as a file");
    let mut command = Command::new(&path);
    command.args(args).env_clear().envs(env.iter().copied()).current_dir(&work);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the guest as a process");
    drop(lock);

    let mut pipe = child.stdin.take().expect("a pipe");
    let output = std::thread::scope(|scope| {
        // A program that ends without reading everything is no failure.
        scope.spawn(move || drop(pipe.write_all(stdin)));
        child.wait_with_output().expect("the guest's end")
    });
    let ending = match (output.status.code(), output.status.signal()) {
        (Some(code), _) => Ending::Exited(code),
        (None, Some(signal)) => Ending::Signaled(signal),
        (None, None) => Ending::Other(output.status.to_string()),
    };
    Outcome { stdout: output.stdout, stderr: without_thread_ids(output.stderr), ending }
}

/// Rust's messages name the thread's kernel id, as in `thread 'main' (1234) panicked`: no two runs agree on it.
pub(crate) fn without_thread_ids(stderr: Vec<u8>) -> Vec<u8> {
    const BEFORE: &str = "thread 'main' (";
    let Ok(text) = String::from_utf8(stderr.clone()) else {
        return stderr;
    };
    let mut parts = text.split(BEFORE);
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        result += BEFORE;
        result += part.trim_start_matches(|it: char| it.is_ascii_digit());
    }
    result.into_bytes()
}
