//! What a call came to, in one line that a terminal can be given: a plugin chose parts of it.

use std::fmt::Write;

use ampoule::{CallError, End, Trap};

/// A failed call.
pub(crate) fn in_a_line(error: &CallError) -> String {
    match error {
        CallError::Ended(End::Trap(trap)) => trapped(trap),
        CallError::Ended(end) => end.to_string(),
        CallError::Guest { message, location, stderr } => {
            let mut line = format!("failed: {}", clean(message));
            if !location.is_empty() {
                // A `String` takes everything.
                let _ = write!(line, ", at {}", clean(location));
            }
            // Rust ends its first panic with a note about backtraces.
            let says = |line: &&str| !line.trim().is_empty() && !line.starts_with("note: ");
            if let Some(last) = stderr.lines().rfind(says) {
                let _ = write!(line, "; stderr ends with: {}", clean(last));
            }
            line
        }
        other => clean(&other.to_string()),
    }
}

/// What it meant, where it was, and where it went; [`Trap`]'s own text has the registers as well.
fn trapped(trap: &Trap) -> String {
    let mut line = format!("trap: {}", trap.meaning());
    if let Some(address) = trap.fault_address() {
        // A `String` takes everything.
        let _ = write!(line, " at {address:#x}");
    }
    match trap.symbol() {
        Some((name, offset)) => {
            let _ = write!(line, ", in {}+{offset:#x}", clean(name));
        }
        None => {
            let _ = write!(line, ", in code at {:#x}", trap.rip());
        }
    }
    line
}

/// Text of a plugin's as one line without control characters, which could take over a terminal.
pub(crate) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.trim().chars() {
        if character.is_control() { clean.extend(character.escape_default()) } else { clean.push(character) }
    }
    clean
}

#[cfg(test)]
mod tests {
    use ampoule::Limit;

    use super::*;

    #[test]
    fn every_error_is_one_line_without_control_characters() {
        let (message, stderr) = ("no\x1b[31m luck\nat all".to_owned(), "first\nlast\nnote: more\n\n".to_owned());
        let failed = CallError::Guest { message, location: "plugin.rs:3:5".to_owned(), stderr };
        assert_eq!(in_a_line(&failed), "failed: no\\u{1b}[31m luck\\nat all, at plugin.rs:3:5; stderr ends with: last");
        assert_eq!(in_a_line(&CallError::Ended(End::Limit(Limit::Wall))), "reached its wall-time limit");
    }
}
