//! How a request fails: a status code, and a line of text that no function can make anything else of.

use std::fmt::Write;

use ampoule::{CallError, End, Limit, PoolError, RunError, Trap};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// Most characters of a guest's own words in a reply.
const WORDS: usize = 500;

/// See the module's documentation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    status: StatusCode,
    text: String,
}

impl Failure {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    /// There is no function of that name.
    pub(crate) fn unknown(name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("no function is called {}: see /functions", clean(name)))
    }

    /// Its turn did not come in time.
    pub(crate) fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the function serves as many requests as it may: try again")
    }

    /// The server itself is wrong.
    pub(crate) fn panicked() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed: its log says how")
    }

    /// A function ended instead of answering.
    pub(crate) fn ended(end: &End, stderr: &[u8]) -> Self {
        let status = match end {
            End::Limit(Limit::Wall | Limit::Cpu) => StatusCode::GATEWAY_TIMEOUT,
            End::Limit(Limit::Memory) => StatusCode::INSUFFICIENT_STORAGE,
            _ => StatusCode::BAD_GATEWAY,
        };
        let mut text = match end {
            End::Trap(trap) => format!("the function ended: {}", trapped(trap)),
            End::Limit(limit) => format!("the function {limit}"),
            end => format!("the function ended: {end}"),
        };
        said(&mut text, &String::from_utf8_lossy(stderr));
        Self::new(status, text)
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Ended(end) => Self::ended(&end, b""),
            CallError::Guest { message, location, stderr } => {
                let mut text = format!("the function failed: {}", clean(&message));
                if !location.is_empty() {
                    // A `String` takes everything.
                    let _ = write!(text, ", at {}", clean(&location));
                }
                said(&mut text, &stderr);
                Self::new(StatusCode::BAD_GATEWAY, text)
            }
            error @ (CallError::Host(_) | CallError::State(_)) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
            error => Self::new(StatusCode::BAD_GATEWAY, clean(&error.to_string())),
        }
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Exhausted { .. } | PoolError::TimedOut { .. } => Self::busy(),
            error => Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let status = match error {
            RunError::TooLittleMemory { .. } => StatusCode::INSUFFICIENT_STORAGE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, self.text + "\n").into_response()
    }
}

/// What a trap meant and where it was; [`Trap`]'s own text has the registers as well.
fn trapped(trap: &Trap) -> String {
    let place = match trap.symbol() {
        Some((name, offset)) => format!("in {}+{offset:#x}", clean(name)),
        None => format!("in code at {:#x}", trap.rip()),
    };
    format!("trap: {}, {place}", trap.meaning())
}

/// Adds the last line that a function wrote to stderr.
fn said(text: &mut String, stderr: &str) {
    // Rust ends its first panic with a note about backtraces.
    let says = |line: &&str| !line.trim().is_empty() && !line.starts_with("note: ");
    if let Some(last) = stderr.lines().rfind(says) {
        // A `String` takes everything.
        let _ = write!(text, "; stderr ends with: {}", clean(last));
    }
}

/// Somebody's text as one short line without control characters, which could take over a terminal.
fn clean(text: &str) -> String {
    let mut clean = String::new();
    for character in text.trim().chars().take(WORDS) {
        if character.is_control() { clean.extend(character.escape_default()) } else { clean.push(character) }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_of_a_function_has_its_status() {
        for (end, status) in [
            (End::Limit(Limit::Wall), 504),
            (End::Limit(Limit::Cpu), 504),
            (End::Limit(Limit::Memory), 507),
            (End::Limit(Limit::Output), 502),
            (End::Exited(1), 502),
            (End::Deadlock, 502),
        ] {
            assert_eq!(Failure::ended(&end, b"").status, status, "{end}");
        }
    }

    #[test]
    fn a_guests_words_are_one_short_line_without_control_characters() {
        let (message, stderr) = ("no\x1b[31m luck\nat all".to_owned(), "first\nlast\nnote: more\n\n".to_owned());
        let failed = Failure::from(CallError::Guest { message, location: "main.rs:3:5".to_owned(), stderr });
        assert_eq!(
            failed.text,
            "the function failed: no\\u{1b}[31m luck\\nat all, at main.rs:3:5; stderr ends with: last"
        );
        assert!(Failure::ended(&End::Exited(1), &[b'a'; 100_000]).text.len() < 600);
    }
}
