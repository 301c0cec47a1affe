//! `select` and `pselect6`: three sets of bits, asked as `poll` asks.

use rustix::io::Errno;

use super::poll::{MAX_POLLED, POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDNORM, POLLWRNORM};
use super::reply::{Refusal, Reply};
use super::{Kernel, descriptor};
use crate::vm::clock::Nanos;

/// What the three sets ask for.
const ASKED: [u16; 3] = [POLLIN | POLLRDNORM, POLLOUT | POLLWRNORM, POLLPRI];
/// What they answer to.
const ANSWERED: [u16; 3] = [POLLIN | POLLRDNORM | POLLHUP | POLLERR, POLLOUT | POLLWRNORM | POLLERR, POLLPRI];
/// Bits in a word.
const WORD: u64 = 64;

/// How a time is told: what one of its smaller units is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// `struct timeval`.
    Microseconds,
    /// `struct timespec`.
    Nanoseconds,
}

impl Unit {
    fn nanos(self) -> Nanos {
        match self {
            Self::Microseconds => 1000,
            Self::Nanoseconds => 1,
        }
    }
}

impl Kernel<'_> {
    /// `select`, and `pselect6` but for its mask. What is left of the time is written back, as Linux does.
    pub(super) fn sys_select(&mut self, count: u64, sets: [u64; 3], time: u64, unit: Unit) -> Reply {
        let count = u64::try_from(descriptor(count)).ok().filter(|count| *count <= MAX_POLLED).ok_or(Errno::INVAL)?;
        let timeout = self.read_select_time(time, unit)?;
        let mut wanted = [const { Vec::new() }; 3];
        for (words, &address) in wanted.iter_mut().zip(&sets) {
            *words = self.read_set(address, count)?;
        }
        let asked = |fd: u64| {
            let of_set = |(words, events): (&Vec<u64>, u16)| if contains(words, fd) { events } else { 0 };
            wanted.iter().zip(ASKED).map(of_set).fold(0, |all, events| all | events)
        };
        let entries: Vec<_> = (0..count)
            .map(|fd| (i32::try_from(fd).unwrap_or(i32::MAX), asked(fd)))
            .filter(|(_, events)| *events != 0)
            .collect();
        let mut patience = self.patience(timeout);
        let results = self.poll(&entries, &mut patience)?;
        if results.contains(&POLLNVAL) {
            return Err(Errno::BADF.into());
        }
        let mut total = 0;
        for (((words, &address), asked), answered) in wanted.iter_mut().zip(&sets).zip(ASKED).zip(ANSWERED) {
            words.fill(0);
            for (&(fd, events), result) in entries.iter().zip(&results) {
                if events & asked != 0 && result & answered != 0 {
                    insert(words, u64::try_from(fd).unwrap_or(0));
                    total += 1;
                }
            }
            if address != 0 {
                self.write_words(address, words)?;
            }
        }
        if timeout.is_some() {
            self.write_select_time(time, unit, patience.left())?;
        }
        Ok(total)
    }

    /// A set's words; none for a null pointer.
    fn read_set(&mut self, address: u64, count: u64) -> Result<Vec<u64>, Refusal> {
        let mut words = Vec::new();
        if address != 0 {
            for index in 0..count.div_ceil(WORD) {
                let [word] = self.read_words(address.wrapping_add(index * 8))?;
                words.push(word);
            }
        }
        Ok(words)
    }

    fn read_select_time(&mut self, address: u64, unit: Unit) -> Result<Option<Nanos>, Refusal> {
        if unit == Unit::Nanoseconds || address == 0 {
            return self.read_timeout(address);
        }
        let [seconds, micros] = self.read_words(address)?;
        if i64::try_from(seconds).is_err() || i64::try_from(micros).is_err() {
            return Err(Errno::INVAL.into());
        }
        // As Linux does, what is more than a second counts as seconds.
        Ok(Some(seconds.saturating_mul(1_000_000_000).saturating_add(micros.saturating_mul(1000))))
    }

    /// Where it cannot be written, the call has succeeded all the same.
    fn write_select_time(&mut self, address: u64, unit: Unit, left: Nanos) -> Result<(), Refusal> {
        let words = [left / 1_000_000_000, left % 1_000_000_000 / unit.nanos()];
        match self.write_words(address, &words) {
            Err(Refusal::Errno(_)) => Ok(()),
            written => written,
        }
    }
}

fn place(fd: u64) -> (usize, u64) {
    (usize::try_from(fd / WORD).unwrap_or(usize::MAX), 1 << (fd % WORD))
}

fn contains(words: &[u64], fd: u64) -> bool {
    let (index, bit) = place(fd);
    words.get(index).is_some_and(|word| word & bit != 0)
}

fn insert(words: &mut [u64], fd: u64) {
    let (index, bit) = place(fd);
    if let Some(word) = words.get_mut(index) {
        *word |= bit;
    }
}
