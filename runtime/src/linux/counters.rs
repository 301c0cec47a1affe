//! Event counters: `eventfd`, and reading and writing one. An empty one waits for the program itself, as an empty pipe does.

use rustix::io::Errno;

use super::Kernel;
use super::files::{COUNTER_MAX, InodeId};
use super::paths::{low, value};
use super::pipes::would_wait;
use super::poll::{POLLIN, POLLOUT};
use super::reply::{Refusal, Reply};
use super::user::Span;

/// Bytes of a counter's value.
const BYTES: u64 = 8;

impl Kernel<'_> {
    pub(super) fn sys_eventfd2(&mut self, initial: u64, flags: u64) -> Reply {
        Ok(value(self.process.files.event_counter(low(initial), low(flags))?))
    }

    pub(super) fn read_counter(&mut self, fd: i32, counter: InodeId, spans: &[Span]) -> Reply {
        let room = spans.iter().fold(0_u64, |sum, span| sum.saturating_add(span.length));
        if room < BYTES {
            return Err(Errno::INVAL.into());
        }
        let Some(taken) = self.process.files.take_from_counter(counter)? else {
            return Err(would_wait(self.manner(fd)?));
        };
        self.spread(&taken.to_le_bytes(), spans)
    }

    /// Each range is a write of its own, as in Linux.
    pub(super) fn write_counter(&mut self, fd: i32, counter: InodeId, spans: &[Span]) -> Reply {
        let mut total = 0;
        for span in spans {
            match self.add_one(fd, counter, span) {
                Err(Refusal::Errno(_)) if total > 0 => break,
                added => total += added?,
            }
            if span.length > BYTES {
                break;
            }
        }
        Ok(total)
    }

    fn add_one(&mut self, fd: i32, counter: InodeId, span: &Span) -> Reply {
        if span.length < BYTES {
            return Err(Errno::INVAL.into());
        }
        let [added] = self.read_words(span.address)?;
        if added > COUNTER_MAX {
            return Err(Errno::INVAL.into());
        }
        if !self.process.files.add_to_counter(counter, added)? {
            return Err(would_wait(self.manner(fd)?));
        }
        Ok(BYTES)
    }

    /// What `poll` says of one.
    pub(super) fn counter_ready(&self, counter: InodeId) -> Result<u16, Errno> {
        let held = self.process.files.counter(counter)?.value;
        let readable = if held > 0 { POLLIN } else { 0 };
        Ok(readable | if held < COUNTER_MAX { POLLOUT } else { 0 })
    }
}
