//! A guest that is called: what the suites over sandboxes share.

use ampoule::{Call, CallError, Imports, Program, Sandbox, State};
use std::convert::Infallible;
use std::time::Duration;

/// The host's functions that the guest `plugin` and the hostile ones need: `lookup`, which returns its input.
pub fn echoing<T: 'static>() -> Imports<T> {
    Imports::new().bytes("lookup", |_, input, reply| {
        reply.extend_from_slice(input);
        Ok::<(), Infallible>(())
    })
}

/// The host's functions that the guest `asks` needs, each the simplest that there is; a test replaces those that it is about.
pub fn asked<T: 'static>() -> Imports<T> {
    Imports::new()
        .func("add", |_, (a, b): (u32, u32)| u64::from(a) + u64::from(b))
        .try_func("parse", |_, (text,): (String,)| text.parse::<f64>())
        .async_func("later", |_, (name,): (String,)| async move { Ok::<String, Infallible>(format!("{name}, later")) })
        .bytes("raw", |_, input, reply| {
            reply.extend_from_slice(input);
            Ok::<(), Infallible>(())
        })
}

/// A sandbox without data, and with everything at its defaults.
///
/// # Panics
/// If it cannot be made.
pub fn sandbox(program: &Program, imports: &Imports<()>) -> Sandbox<()> {
    Sandbox::new(program, imports, ()).unwrap_or_else(|error| panic!("{error}"))
}

/// Calls a function of bytes within limits that no honest guest reaches.
///
/// # Errors
/// As [`Sandbox::call_bytes`].
pub fn call_bytes<T>(sandbox: &mut Sandbox<T>, name: &str, input: &[u8]) -> Result<Vec<u8>, CallError> {
    call_bytes_within(sandbox, name, input, &crate::honest_call())
}

/// Calls a function of bytes within limits.
///
/// # Errors
/// As [`Sandbox::call_bytes`].
pub fn call_bytes_within<T>(
    sandbox: &mut Sandbox<T>,
    name: &str,
    input: &[u8],
    call: &Call,
) -> Result<Vec<u8>, CallError> {
    let mut reply = Vec::new();
    sandbox.call_bytes(name, input, &mut reply, call).map(|()| reply)
}

/// Goes on with a call of bytes that was stopped, within limits.
///
/// # Errors
/// As [`Sandbox::resume_bytes`].
pub fn resume_bytes<T>(sandbox: &mut Sandbox<T>, call: &Call) -> Result<Vec<u8>, CallError> {
    let mut reply = Vec::new();
    sandbox.resume_bytes(&mut reply, call).map(|()| reply)
}

/// Calls a function that takes its time until a limit stops it in the middle, on whatever machine.
///
/// # Panics
/// If the call fails in another way.
pub fn stop_in_the_middle<T>(sandbox: &mut Sandbox<T>, name: &str, arguments: &[u8]) {
    let mut wall = Duration::from_millis(5);
    while sandbox.state() == State::Ready {
        match call_bytes_within(sandbox, name, arguments, &Call::new().wall(wall)) {
            // Too slow to begin, or too fast to be stopped.
            Err(CallError::Ended(_)) => wall *= 2,
            Ok(_) => wall = (wall / 3).max(Duration::from_micros(50)),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The word that many functions of the guests return.
///
/// # Panics
/// If there are not eight bytes.
pub fn word(reply: &[u8]) -> u64 {
    u64::from_le_bytes(reply.try_into().expect("eight bytes"))
}

/// Makes a small plugin and calls it: what ran before left nothing behind.
///
/// # Panics
/// If anything about it is not as it should be.
pub fn call_an_honest_plugin() {
    let mut plugin = sandbox(&crate::program("plugin"), &echoing());
    assert_eq!(call_bytes(&mut plugin, "calls_host", b"are you there?").expect("a reply"), b"are you there?");
}
