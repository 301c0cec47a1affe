//! What guests say to whoever looks after them: bounded in size and in rate, and never able to write anything but text into a log.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::vm::clock::{self, Nanos};

/// How much a record matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the levels that every logger has")]
pub enum LogLevel {
    Error = 1,
    Warn = 2,
    Info = 3,
    Debug = 4,
    Trace = 5,
}

impl LogLevel {
    const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];
}

/// Something that a guest said.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogRecord<'a> {
    /// How much it matters.
    pub level: LogLevel,
    /// The program's name.
    pub program: &'a str,
    /// Who in the program: a module, usually.
    pub target: &'a str,
    /// What. Control characters are escaped.
    pub message: &'a str,
}

/// Who listens.
type LogListener = Arc<dyn Fn(&LogRecord<'_>) + Send + Sync>;

/// Records that may come at once…
const BURST: u64 = 256;
/// …and how long it takes until one more may.
const EVERY: Nanos = 1_000_000;

/// A sandbox's log.
pub(crate) struct LogSink {
    pub(crate) level: Option<LogLevel>,
    listener: LogListener,
    /// When the records admitted so far are paid for.
    paid: Nanos,
    pub(super) dropped: u64,
}

impl fmt::Debug for LogSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogSink").field("level", &self.level).field("dropped", &self.dropped).finish_non_exhaustive()
    }
}

/// A record that may be written.
pub(super) struct Listening {
    level: LogLevel,
    listener: LogListener,
}

impl Default for LogSink {
    fn default() -> Self {
        static FORWARD: OnceLock<LogListener> = OnceLock::new();
        Self::new(Some(LogLevel::Info), Arc::clone(FORWARD.get_or_init(forward)))
    }
}

impl LogSink {
    fn new(level: Option<LogLevel>, listener: LogListener) -> Self {
        Self { level, listener, paid: 0, dropped: 0 }
    }

    /// Passes records on to somebody else.
    pub(crate) fn listen(&mut self, listener: impl Fn(&LogRecord<'_>) + Send + Sync + 'static) {
        self.listener = Arc::new(listener);
    }

    /// Lets a record in, unless nobody listens to its level or there were too many.
    pub(super) fn admit(&mut self, level: u64) -> Option<Listening> {
        let level = LogLevel::ALL.into_iter().find(|&it| it as u64 == level).filter(|&it| Some(it) <= self.level)?;
        let now = clock::monotonic();
        let paid = self.paid.max(now.saturating_sub(BURST * EVERY)) + EVERY;
        if paid > now {
            self.dropped += 1;
            return None;
        }
        self.paid = paid;
        Some(Listening { level, listener: Arc::clone(&self.listener) })
    }
}

impl Listening {
    /// Passes the record on: target, NUL, message.
    pub(super) fn write(&self, program: &str, bytes: &[u8]) {
        let mut parts = bytes.splitn(2, |&byte| byte == 0);
        let (target, message) = (text(parts.next()), text(parts.next()));
        (self.listener)(&LogRecord { level: self.level, program, target: &target, message: &message });
    }
}

/// Bytes of a guest's as one line of text.
fn text(bytes: Option<&[u8]>) -> String {
    clean(String::from_utf8_lossy(bytes.unwrap_or_default()).trim_end(), &['\t'])
}

/// A guest's text with its control characters escaped, but for these: no terminal takes it for anything else.
pub(super) fn clean(text: &str, kept: &[char]) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && !kept.contains(&character) {
            clean.extend(character.escape_default());
        } else {
            clean.push(character);
        }
    }
    clean
}

/// Passes records on to the `log` crate, target `ampoule::guest`.
fn forward() -> LogListener {
    Arc::new(|record| {
        let level = match record.level {
            LogLevel::Error => log::Level::Error,
            LogLevel::Warn => log::Level::Warn,
            LogLevel::Info => log::Level::Info,
            LogLevel::Debug => log::Level::Debug,
            LogLevel::Trace => log::Level::Trace,
        };
        log::log!(target: "ampoule::guest", level, "{} {}: {}", record.program, record.target, record.message);
    })
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    fn sink(level: Option<LogLevel>) -> (LogSink, Arc<Mutex<Vec<String>>>) {
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let listener: LogListener = Arc::new(move |record| {
            heard.lock().push(format!("{:?} {} {}: {}", record.level, record.program, record.target, record.message));
        });
        (LogSink::new(level, listener), said)
    }

    #[test]
    fn only_levels_that_somebody_listens_to_are_let_in() {
        let (mut sink, _) = sink(Some(LogLevel::Warn));
        let admitted: Vec<u64> = (0..8).filter(|&level| sink.admit(level).is_some()).collect();
        assert_eq!(admitted, [1, 2]);
        let (mut silent, _) = self::sink(None);
        assert!((0..8).all(|level| silent.admit(level).is_none()));
    }

    #[test]
    fn a_flood_is_dropped_and_counted() {
        let (mut sink, _) = sink(Some(LogLevel::Trace));
        let admitted = (0..100_000).filter(|_| sink.admit(3).is_some()).count() as u64;
        assert!((BURST..100_000).contains(&admitted), "{admitted}");
        assert_eq!(sink.dropped, 100_000 - admitted);
    }

    #[test]
    fn a_record_is_text_whatever_its_bytes_are() {
        let (mut sink, said) = sink(Some(LogLevel::Info));
        sink.admit(3).unwrap().write("plugin", b"module\0one\x1b[31m\ntwo\xff\0three\n");
        sink.admit(1).unwrap().write("plugin", b"no nul");
        let said = said.lock();
        assert_eq!(said[0], "Info plugin module: one\\u{1b}[31m\\ntwo\u{fffd}\\u{0}three");
        assert_eq!(said[1], "Error plugin no nul: ");
    }
}
