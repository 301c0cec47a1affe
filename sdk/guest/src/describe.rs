//! Last words: what a plugin says that nobody calls, and what is said when the host cannot be understood.

use core::fmt::{self, Write as _};

use crate::attach::AttachError;
use crate::reply::Reply;
use crate::{gate, table};

/// What `main` returns for wrong usage, by the convention of shells.
const STATUS: u8 = 2;

/// Says why nothing can be served, and, if that is because nobody calls, what this program is. `text` is where it is put together.
pub(crate) fn leave_unattached(error: &AttachError, text: &mut Reply<'_>) -> ! {
    text.clear();
    if *error == AttachError::NotCalled {
        text.append_text(
            "This is an Ampoule plugin: it offers functions to a program that embeds Ampoule, and does nothing by itself.\n\
             Load it there with `ampoule::Program::from_file`, and call it through `ampoule::Sandbox`.\n",
        );
        table::describe(text);
    } else {
        // What does not fit is cut.
        let _ = writeln!(text, "ampoule-guest: {error}");
    }
    say(text.as_slice());
    exit()
}

/// Ends the program: it cannot be served.
#[cold]
pub(crate) fn leave(reason: fmt::Arguments<'_>) -> ! {
    let mut buffer = [0; 512];
    let mut text = Reply::over(&mut buffer);
    // What does not fit is cut.
    let _ = writeln!(text, "ampoule-guest: {reason}");
    say(text.as_slice());
    exit()
}

/// Writes to standard error. There is nobody to tell if that fails.
pub(crate) fn say(mut text: &[u8]) {
    while let Ok(written) = gate::write_to_stderr(text) {
        match text.get(written..) {
            Some(rest) if written > 0 && !rest.is_empty() => text = rest,
            _ => break,
        }
    }
}

fn exit() -> ! {
    #[cfg(feature = "std")]
    std::process::exit(STATUS.into());
    #[cfg(not(feature = "std"))]
    gate::exit(STATUS)
}
