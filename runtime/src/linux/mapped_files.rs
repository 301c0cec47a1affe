//! Files in memory: a mapping of a file is a copy of it, made when it is mapped.
//!
//! That is what a private mapping is as long as nobody changes the file, and what a shared one that cannot be written is as far as a single
//! program can tell, but for its own later writes to the file. A shared mapping that can be written would have to carry what is stored there
//! back into the file: it is refused. What lies beyond the file's end is zero, where Linux would send SIGBUS for whole pages.

use std::ops::Range;

use ampoule_kernel::layout::PAGE_SIZE;
use rustix::io::Errno;

use super::Kernel;
use super::areas::Attributes;
use super::files::{Object, Source};
use super::io::pour;
use super::reply::{Refusal, Reply};

/// Bytes copied at a time; between them the run's limits are looked at.
const PIECE: usize = 64 << 10;

/// What a mapping is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backing {
    /// Zeros.
    Zeros,
    /// A file, from an offset on.
    File { descriptor: i32, offset: u64 },
}

impl Kernel<'_> {
    /// What a file gives a mapping. `writes` is true if what is stored into the mapping should reach the file.
    ///
    /// # Errors
    /// `EBADF`; `EACCES` if it is not open for reading; `ENODEV` for what cannot be mapped; `EINVAL` and `EOVERFLOW` for what is no offset.
    pub(super) fn backing(&self, descriptor: i32, offset: u64, length: u64, writes: bool) -> Result<Backing, Errno> {
        if !offset.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::INVAL);
        }
        let object = self.process.files.object(descriptor)?;
        let end = offset.checked_add(length).and_then(|end| i64::try_from(end).ok());
        end.ok_or(Errno::OVERFLOW)?;
        let source = self.process.files.read_at(descriptor, 0, 1);
        match (object, source) {
            (Object::Stream(_) | Object::Directory(_) | Object::Pipe(_) | Object::Socket(_), _)
            | (Object::Counter(_) | Object::Epoll(_), _)
            | (_, Err(Errno::ISDIR)) => Err(Errno::NODEV),
            (_, Err(Errno::BADF)) => Err(Errno::ACCESS),
            (_, Err(errno)) => Err(errno),
            (Object::Device(..), Ok(Source::Zeros(_))) => Ok(Backing::Zeros),
            (Object::Device(..), Ok(_)) => Err(Errno::NODEV),
            _ if writes => Err(Errno::NODEV),
            _ => Ok(Backing::File { descriptor, offset }),
        }
    }

    /// Records a free range, gives its pages frames and copies the file there.
    pub(super) fn map_file(
        &mut self,
        range: Range<u64>,
        attributes: Attributes,
        descriptor: i32,
        offset: u64,
    ) -> Reply {
        if self.machine.populate(range.clone(), attributes.access, self.watch)?.is_err() {
            return Err(Errno::NOMEM.into());
        }
        match self.fill(range.clone(), descriptor, offset) {
            Err(Refusal::Errno(errno)) => {
                self.machine.release(range, self.watch)?;
                return Err(errno.into());
            }
            other => other?,
        };
        if self.process.memory.areas.insert(range.clone(), attributes).is_err() {
            self.machine.release(range, self.watch)?;
            return Err(Errno::NOMEM.into());
        }
        Ok(0)
    }

    fn fill(&mut self, range: Range<u64>, descriptor: i32, offset: u64) -> Reply {
        let mut buffer = vec![0; usize::try_from(range.end - range.start).unwrap_or(PIECE).min(PIECE)];
        let mut at = range.start;
        while at < range.end {
            self.watch.check()?;
            let room = usize::try_from(range.end - at).unwrap_or(PIECE).min(buffer.len());
            let piece = buffer.get_mut(..room).unwrap_or_default();
            let position = i64::try_from(offset + (at - range.start)).map_err(|_| Errno::OVERFLOW)?;
            let source = self.process.files.read_at(descriptor, position, room)?;
            let count = pour(source, &mut self.process.supply, piece)?.unwrap_or(0);
            if count == 0 {
                break;
            }
            // The pages were just populated.
            self.machine.load(at, piece.get(..count).unwrap_or_default())?.map_err(|_| Errno::FAULT)?;
            at += count as u64;
        }
        Ok(0)
    }
}
