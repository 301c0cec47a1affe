//! What a fuzz target tells its harness by [`FUZZ`](ampoule_kernel::call::FUZZ): where its counters are, what it keeps over inputs, what it found.
//!
//! It is told before the first input, and the same then for every input: what a target says later is not kept, for its own memory of it is put back.

use std::collections::BTreeMap;

use ampoule_kernel::{call, fuzz, layout};
use rustix::io::Errno;

use super::core::{Answer, Core, Driven};
use super::halt::{Halt, Pause};
use crate::channel::hypercall::failed;
use crate::end::End;
use crate::linux::reply::Refusal;
use crate::linux::user::Span;
use crate::signal::Signal;
use crate::vm::watch::Watch;

/// A piece of the windows that a target asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// Where it is in the windows.
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct FuzzTarget {
    /// Where counters are, none overlapping another.
    pub(crate) counters: Vec<Span>,
    /// Where the tables of their program counters are.
    pub(crate) tables: Vec<Span>,
    pub(crate) windows: BTreeMap<Box<str>, Window>,
    /// What it found in this input: a record as it was, and its text.
    pub(crate) finding: Option<(Box<[u8; fuzz::finding::BYTES]>, String)>,
    /// The first input has been or will be: nothing more is taken in.
    pub(crate) is_sealed: bool,
    /// It asked for its input before it said where inputs begin: saying so has no effect any more.
    pub(crate) has_asked: bool,
}

impl FuzzTarget {
    pub(crate) fn new() -> Self {
        Self {
            counters: Vec::new(),
            tables: Vec::new(),
            windows: BTreeMap::new(),
            finding: None,
            is_sealed: false,
            has_asked: false,
        }
    }

    /// Bytes of all counters together.
    pub(crate) fn counter_bytes(&self) -> u64 {
        self.counters.iter().fold(0, |sum, range| sum.saturating_add(range.length))
    }

    fn add_counters(&mut self, range: Span) -> Result<(), Errno> {
        let end = range.address.checked_add(range.length).filter(|&end| end <= layout::USER_END).ok_or(Errno::INVAL)?;
        if self.counters.contains(&range) || range.length == 0 {
            return Ok(());
        }
        let overlaps = |known: &Span| range.address < known.address + known.length && known.address < end;
        if self.counters.iter().any(overlaps) {
            return Err(Errno::INVAL);
        }
        let sum = self.counter_bytes().saturating_add(range.length);
        if self.counters.len() == fuzz::MAX_RANGES || sum > fuzz::MAX_COUNTERS {
            return Err(Errno::NOMEM);
        }
        self.counters.push(range);
        Ok(())
    }

    fn add_table(&mut self, table: Span) -> Result<(), Errno> {
        if self.tables.contains(&table) || table.length == 0 {
            return Ok(());
        }
        let sum = self.tables.iter().fold(table.length, |sum, table| sum.saturating_add(table.length));
        if self.tables.len() == fuzz::MAX_RANGES || sum > fuzz::MAX_COUNTERS * fuzz::PROGRAM_COUNTER_BYTES {
            return Err(Errno::NOMEM);
        }
        self.tables.push(table);
        Ok(())
    }

    /// The window of that name, made if there is none yet; its address.
    fn window(&mut self, name: &str, bytes: u64) -> Result<u64, Errno> {
        if let Some(window) = self.windows.get(name) {
            return if window.bytes == bytes { Ok(layout::WINDOWS + window.offset) } else { Err(Errno::INVAL) };
        }
        let offset = self
            .windows
            .values()
            .fold(fuzz::window::OWN, |offset, window| offset.max(window.offset + window.bytes.next_multiple_of(64)));
        let left = fuzz::window::OWN + fuzz::window::OWN_BYTES - offset;
        if self.is_sealed || bytes == 0 || bytes > left || self.windows.len() == fuzz::MAX_RANGES {
            return Err(if self.is_sealed { Errno::BUSY } else { Errno::NOMEM });
        }
        self.windows.insert(name.into(), Window { offset, bytes });
        Ok(layout::WINDOWS + offset)
    }
}

impl<T> Core<T> {
    /// Serves a call of a target's; none to go on, and otherwise why not.
    pub(super) fn fuzz(
        &mut self,
        what: u64,
        [address, length, bytes]: [u64; 3],
        watch: &mut Watch,
    ) -> Result<Result<[u64; 3], Driven>, Halt> {
        let range = Span { address, length };
        let Some(target) = self.target.as_deref_mut() else { return Ok(Ok(failed(Errno::NOSYS, 0))) };
        let result = match what {
            fuzz::COUNTERS if target.is_sealed => Ok(()),
            fuzz::COUNTERS => target.add_counters(range),
            fuzz::PROGRAM_COUNTERS if target.is_sealed => Ok(()),
            fuzz::PROGRAM_COUNTERS => target.add_table(range),
            fuzz::START if self.channel.table.is_some() => Err(Errno::INVAL),
            fuzz::START if target.has_asked => Ok(()),
            fuzz::START => return Ok(Err(Driven::Answered(Answer::Ready))),
            fuzz::WINDOW => {
                let name = self.window_name(range, watch)?;
                let Some(target) = self.target.as_deref_mut() else { return Ok(Ok(failed(Errno::NOSYS, 0))) };
                match name.and_then(|name| target.window(&name, bytes)) {
                    Ok(address) => return Ok(Ok([address, 0, 0])),
                    Err(errno) => Err(errno),
                }
            }
            fuzz::FINDING => return Err(self.found(address, watch)),
            _ => Err(Errno::INVAL),
        };
        Ok(Ok(result.map_or_else(|errno| failed(errno, 0), |()| [0; 3])))
    }

    fn window_name(&mut self, at: Span, watch: &mut Watch) -> Result<Result<String, Errno>, Halt> {
        let mut bytes = [0; call::NAME_MAX_BYTES];
        let Some(name) = usize::try_from(at.length).ok().and_then(|length| bytes.get_mut(..length)) else {
            return Ok(Err(Errno::INVAL));
        };
        match self.kernel(watch).read_exact(at.address, name) {
            Ok(()) => {}
            Err(Refusal::Errno(errno)) => return Ok(Err(errno)),
            Err(refusal) => return Err(Halt::refused(refusal, Pause::Hypercall)),
        }
        Ok(match str::from_utf8(name) {
            Ok(text) if call::is_name(name) => Ok(text.to_owned()),
            _ => Err(Errno::INVAL),
        })
    }

    /// The end of an input in which the target found an error; the record may be anything.
    fn found(&mut self, at: u64, watch: &mut Watch) -> Halt {
        let mut record = Box::new([0; fuzz::finding::BYTES]);
        let mut text = [0; fuzz::finding::TEXT_MAX_BYTES];
        let mut kernel = self.kernel(watch);
        let read = kernel.read_exact(at, record.as_mut_slice()).and_then(|()| {
            let length = usize::try_from(word(record.as_slice(), fuzz::finding::TEXT_SIZE))
                .unwrap_or(usize::MAX)
                .min(text.len());
            let Some(text) = text.get_mut(..length) else { return Ok(0) };
            kernel.read_exact(word(record.as_slice(), fuzz::finding::TEXT), text).map(|()| length)
        });
        let length = match read {
            Ok(length) => length,
            Err(Refusal::Errno(_)) => 0,
            Err(refusal) => return Halt::refused(refusal, Pause::Hypercall),
        };
        let text = String::from_utf8_lossy(text.get(..length).unwrap_or_default()).into_owned();
        if let Some(target) = self.target.as_deref_mut() {
            target.finding = Some((record, text));
        }
        End::Signaled(Signal::ABRT).into()
    }
}

/// A little-endian word of a record.
pub(crate) fn word(record: &[u8], offset: usize) -> u64 {
    record.get(offset..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> FuzzTarget {
        FuzzTarget::new()
    }

    fn span(address: u64, length: u64) -> Span {
        Span { address, length }
    }

    #[test]
    fn counters_count_once_and_never_overlap_or_grow_without_bound() {
        let mut target = target();
        assert_eq!(target.add_counters(span(0x1000, 16)), Ok(()));
        assert_eq!(target.add_counters(span(0x1000, 16)), Ok(()));
        assert_eq!(target.add_counters(span(0x2000, 0)), Ok(()));
        assert_eq!(target.counter_bytes(), 16);
        for bad in [span(0x100f, 1), span(0x0fff, 2), span(u64::MAX, 2), span(layout::USER_END - 1, 2)] {
            assert_eq!(target.add_counters(bad), Err(Errno::INVAL), "{bad:?}");
        }
        assert_eq!(target.add_counters(span(0x10_0000, fuzz::MAX_COUNTERS)), Err(Errno::NOMEM));
        for index in 1..fuzz::MAX_RANGES as u64 {
            assert_eq!(target.add_counters(span(0x1000 + index * 16, 1)), Ok(()));
        }
        assert_eq!(target.add_counters(span(0x20_0000, 1)), Err(Errno::NOMEM));
    }

    #[test]
    fn tables_have_a_bound() {
        let mut target = target();
        assert_eq!(target.add_table(span(0, fuzz::MAX_COUNTERS * fuzz::PROGRAM_COUNTER_BYTES)), Ok(()));
        assert_eq!(target.add_table(span(16, 1)), Err(Errno::NOMEM));
    }

    #[test]
    fn windows_follow_each_other_within_their_part_and_keep_their_names() {
        let mut target = target();
        let first = target.window("a", 100).unwrap();
        assert_eq!(first, layout::WINDOWS + fuzz::window::OWN);
        assert_eq!(target.window("b", 1), Ok(first + 128));
        assert_eq!(target.window("a", 100), Ok(first));
        assert_eq!(target.window("a", 101), Err(Errno::INVAL));
        for bytes in [0, fuzz::window::OWN_BYTES - 191, u64::MAX] {
            assert_eq!(target.window("c", bytes), Err(Errno::NOMEM));
        }
        assert!(target.window("c", fuzz::window::OWN_BYTES - 192).is_ok());
        target.is_sealed = true;
        assert_eq!((target.window("b", 1), target.window("d", 1)), (Ok(first + 128), Err(Errno::BUSY)));
    }
}
