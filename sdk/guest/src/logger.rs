//! The `log` crate's records, to the host.
//!
//! The host says on the info page up to which level it listens, so a record that nobody wants costs a load and no exit. How many it takes is the
//! host's to limit, and to count: a record that were dropped here would be missing from that count.

use core::fmt::{self, Write as _};

use ampoule_kernel::call::{LOG_MAX_BYTES, info};

use crate::reply::Reply;
use crate::{describe, gate};

/// A [`log::Log`] that sends records to the host, and writes them to standard error where there is none.
#[derive(Debug, Clone, Copy)]
pub struct Logger;

/// Makes [`Logger`] the program's logger, for all levels: the host chooses. [`log::set_max_level`] afterwards restricts it.
///
/// # Errors
/// The program has a logger.
pub fn init_logger() -> Result<(), log::SetLoggerError> {
    static LOGGER: Logger = Logger;
    log::set_logger(&LOGGER)?;
    log::set_max_level(log::LevelFilter::Trace);
    Ok(())
}

const fn number(level: log::Level) -> u64 {
    match level {
        log::Level::Error => 1,
        log::Level::Warn => 2,
        log::Level::Info => 3,
        log::Level::Debug => 4,
        log::Level::Trace => 5,
    }
}

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        gate::info(info::LOG_LEVEL).is_none_or(|listened| number(metadata.level()) <= listened)
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut buffer = [0; LOG_MAX_BYTES];
        let mut text = Reply::over(&mut buffer);
        if gate::is_attached() {
            write(&mut text, record.target(), record.args());
            gate::log(number(record.level()), text.as_slice());
        } else {
            // What does not fit is cut.
            let _ = writeln!(Cut(&mut text), "[{} {}] {}", record.level(), record.target(), record.args());
            describe::say(text.as_slice());
        }
    }

    fn flush(&self) {}
}

/// Target, NUL, message.
fn write(to: &mut Reply<'_>, target: &str, message: &fmt::Arguments<'_>) {
    to.append_text(target.split('\0').next().unwrap_or_default());
    to.push(0);
    // What does not fit is cut.
    let _ = Cut(to).write_fmt(*message);
}

/// Takes what fits, and then wants no more.
struct Cut<'r, 'a>(&'r mut Reply<'a>);

impl fmt::Write for Cut<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let before = self.0.as_slice().len();
        self.0.append_text(text);
        if self.0.as_slice().len() - before == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_its_target_and_its_message() {
        let mut text = Reply::new();
        write(&mut text, "app::db\0x", &format_args!("{} rows", 3));
        assert_eq!(text.as_slice(), b"app::db\x003 rows");
    }

    #[test]
    fn a_long_record_is_cut_where_a_character_ends() {
        let mut buffer = [0; 8];
        let mut text = Reply::over(&mut buffer);
        write(&mut text, "t", &format_args!("{}{}", "abcde", "ßx"));
        assert_eq!(text.as_slice(), b"t\0abcde");
    }
}
