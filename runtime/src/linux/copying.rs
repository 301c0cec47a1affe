//! Bytes from one descriptor to another without the program's memory: `sendfile`, `copy_file_range`.

use rustix::io::Errno;

use super::files::abi::{F_GETFL, O_ACCMODE, O_APPEND, O_NONBLOCK, O_RDWR, O_WRONLY, SEEK_CUR};
use super::files::{INPUT, Object, Sink, Stream};
use super::io::pour;
use super::reply::{Refusal, Reply};
use super::user::MAX_TRANSFER;
use super::{Kernel, descriptor};
use crate::vm::parked::Done;

/// Bytes moved at a time.
const PIECE: usize = 64 << 10;

/// Where one side of a copy is.
#[derive(Debug, Clone, Copy)]
struct Side {
    fd: i32,
    /// The position that the program gave; otherwise the offset counts, and moves.
    own: Option<i64>,
}

impl Kernel<'_> {
    /// sendfile(2): from what can be sought in, to anything.
    pub(super) fn sys_sendfile(&mut self, to: u64, from: u64, offset: u64, count: u64) -> Reply {
        let own = self.read_position(offset)?;
        let (from, to) = (Side { fd: descriptor(from), own }, Side { fd: descriptor(to), own: None });
        let source = self.process.files.object(from.fd)?;
        if !self.is_open_for(from.fd, 0)? {
            return Err(Errno::BADF.into());
        }
        match source {
            Object::Stream(_) | Object::Pipe(_) | Object::Socket(_) if own.is_some() => return Err(Errno::SPIPE.into()),
            _ if own.is_some_and(|position| position < 0) => return Err(Errno::INVAL.into()),
            _ => {}
        }
        if !self.is_open_for(to.fd, O_WRONLY)? {
            return Err(Errno::BADF.into());
        }
        if self.status(to.fd)? & O_APPEND != 0 {
            return Err(Errno::INVAL.into());
        }
        let target = self.process.files.object(to.fd)?;
        match source {
            // What does not fit into a pipe would be lost.
            Object::Stream(_) if matches!(target, Object::Pipe(_) | Object::Socket(_)) => {
                return Err(Errno::INVAL.into());
            }
            Object::Stream(_) => return self.copy_stream(from.fd, to, count),
            Object::File(_) | Object::Host(_) | Object::Device(..) => {}
            _ => return Err(Errno::INVAL.into()),
        }
        let moved = self.copy(from, to, count)?;
        if let Some(position) = own {
            self.write_position(offset, position, moved)?;
        }
        Ok(moved)
    }

    /// What comes from a stream, until there is no more for now. Linux has this for files only; a program that tries it first is spared a system
    /// call for every piece that it would move through its memory.
    fn copy_stream(&mut self, from: i32, to: Side, count: u64) -> Reply {
        if count > 0 && self.status(from)? & O_NONBLOCK != 0 && !self.has_input(from)? {
            return Err(Errno::AGAIN.into());
        }
        let mut buffer = vec![0; usize::try_from(count).unwrap_or(PIECE).min(PIECE)];
        let mut total = 0;
        while total < count && (total == 0 || self.has_input(from)?) {
            if total > 0 && self.watch.check().is_err() {
                break;
            }
            let wanted = usize::try_from(count - total).unwrap_or(PIECE).min(PIECE);
            let Some(piece) = buffer.get_mut(..wanted) else { break };
            // Until the first bytes are there, nothing has been done.
            self.process.waited = total == 0;
            let before = if total == 0 { Done::Nothing } else { Done::Something };
            let read = self.streams.read(piece, before, self.watch)?;
            self.process.files.wake(Object::Stream(Stream::Stdin), INPUT);
            self.process.waited = false;
            let mut left = piece.get(..read).unwrap_or_default();
            if left.is_empty() {
                break;
            }
            while !left.is_empty() {
                // What was read is nowhere else any more: an error now is an error of the whole call.
                let moved = match self.put(to, left)? {
                    0 => return Err(Errno::IO.into()),
                    moved => moved,
                };
                left = left.get(moved..).unwrap_or_default();
            }
            total += read as u64;
        }
        Ok(total)
    }

    /// copy_file_range(2): from a file to a file, never over what is still to be read.
    pub(super) fn sys_copy_file_range(&mut self, [from, from_offset, to, to_offset, count, flags]: [u64; 6]) -> Reply {
        let (from_fd, to_fd) = (descriptor(from), descriptor(to));
        let (source, target) = (self.process.files.object(from_fd)?, self.process.files.object(to_fd)?);
        let (from, to) = (self.read_position(from_offset)?, self.read_position(to_offset)?);
        if flags != 0 {
            return Err(Errno::INVAL.into());
        }
        match (source, target) {
            (Object::Directory(_), _) | (_, Object::Directory(_)) => return Err(Errno::ISDIR.into()),
            (Object::File(_) | Object::Host(_), Object::File(_) | Object::Host(_)) => {}
            _ => return Err(Errno::INVAL.into()),
        }
        let writes = self.is_open_for(to_fd, O_WRONLY)? && self.status(to_fd)? & O_APPEND == 0;
        if !self.is_open_for(from_fd, 0)? || !writes {
            return Err(Errno::BADF.into());
        }
        let here = |kernel: &mut Self, fd, own: Option<i64>| match own {
            Some(position) => Ok(position),
            None => kernel.process.files.lseek(fd, 0, SEEK_CUR),
        };
        let (start, new_start) = (here(self, from_fd, from)?, here(self, to_fd, to)?);
        if start < 0 || new_start < 0 {
            return Err(Errno::INVAL.into());
        }
        let length = i64::try_from(count).unwrap_or(i64::MAX);
        if start.checked_add(length).is_none() || new_start.checked_add(length).is_none() {
            return Err(Errno::OVERFLOW.into());
        }
        let left = self.process.files.stat(from_fd)?.size.saturating_sub(start).max(0);
        let length = length.min(left);
        if source == target && new_start + length > start && new_start < start + length {
            return Err(Errno::INVAL.into());
        }
        let (from, to) = (Side { fd: from_fd, own: from }, Side { fd: to_fd, own: to });
        let moved = self.copy(from, to, length.unsigned_abs())?;
        for (side, address) in [(from, from_offset), (to, to_offset)] {
            if let Some(position) = side.own {
                self.write_position(address, position, moved)?;
            }
        }
        Ok(moved)
    }

    /// Moves bytes piece by piece, until one comes out short or is refused.
    fn copy(&mut self, mut from: Side, mut to: Side, count: u64) -> Reply {
        let count = count.min(MAX_TRANSFER);
        let mut buffer = vec![0; usize::try_from(count).unwrap_or(PIECE).min(PIECE)];
        let mut total = 0;
        while total < count {
            if total > 0 && self.watch.check().is_err() {
                break;
            }
            let wanted = usize::try_from(count - total).unwrap_or(PIECE).min(PIECE);
            let Some(piece) = buffer.get_mut(..wanted) else { break };
            let moved = match self.copy_piece(from, to, piece) {
                Err(Refusal::Errno(_)) if total > 0 => break,
                result => result?,
            };
            total += moved as u64;
            for side in [&mut from, &mut to] {
                side.own = side.own.map(|position| position.saturating_add(i64::try_from(moved).unwrap_or(i64::MAX)));
            }
            if moved < wanted {
                break;
            }
        }
        Ok(total)
    }

    fn copy_piece(&mut self, from: Side, to: Side, piece: &mut [u8]) -> Result<usize, Refusal> {
        let source = match from.own {
            None => self.process.files.read(from.fd, piece.len())?,
            Some(position) => self.process.files.read_at(from.fd, position, piece.len())?,
        };
        let count = pour(source, &mut self.process.supply, piece)?.ok_or(Errno::INVAL)?;
        let bytes = piece.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(0);
        }
        let moved = self.put(to, bytes)?;
        if from.own.is_none() {
            self.process.files.advance(from.fd, moved)?;
        }
        Ok(moved)
    }

    /// Writes once; how much of it.
    fn put(&mut self, to: Side, bytes: &[u8]) -> Result<usize, Refusal> {
        let sink = match to.own {
            None => self.process.files.write(to.fd)?,
            Some(position) => self.process.files.write_at(to.fd, position)?,
        };
        match sink {
            Sink::Discard => Ok(bytes.len()),
            Sink::File(mut file) => Ok(file.write(bytes)?),
            // What was read may be nowhere else any more.
            Sink::Stream(stream) => self.write_stream(stream, bytes, Done::Something),
            Sink::Pipe(pipe) => {
                let manner = self.manner(to.fd)?;
                self.push_into_pipe(manner, pipe, bytes)
            }
            Sink::Counter(_) => Err(Errno::INVAL.into()),
        }
    }

    fn status(&mut self, fd: i32) -> Result<u32, Errno> {
        Ok(self.process.files.fcntl(fd, F_GETFL, 0)?.cast_unsigned())
    }

    /// Whether a descriptor's access mode is this one or `O_RDWR`.
    fn is_open_for(&mut self, fd: i32, mode: u32) -> Result<bool, Errno> {
        Ok([mode, O_RDWR].contains(&(self.status(fd)? & O_ACCMODE)))
    }

    fn read_position(&mut self, address: u64) -> Result<Option<i64>, Refusal> {
        if address == 0 {
            return Ok(None);
        }
        let [position] = self.read_words(address)?;
        Ok(Some(position.cast_signed()))
    }

    fn write_position(&mut self, address: u64, position: i64, moved: u64) -> Result<(), Refusal> {
        self.write_words(address, &[position.cast_unsigned().wrapping_add(moved)])
    }
}
