//! Reads, writes and seeks: where bytes come from and go to, without moving them.
//!
//! The guest's buffer may turn out bad in the middle, and the offset must then have moved by what was copied and no more. So a read
//! is two steps, [`Files::read`] (look) and [`Files::advance`] (after the copy), and a write gives out a [`FileSink`] that takes
//! the pieces one by one. Nobody allocates by a size the guest names.

use std::sync::Arc;

use rustix::io::Errno;

use super::Files;
use super::abi::{MAX_TRANSFER, O_APPEND, O_PATH, SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET};
use super::descriptors::{Description, Object, Stream};
use super::host::Handle;
use super::inode::{Device, InodeId};
use super::stat::Time;
use super::tree::Tree;

/// The largest offset there is: `loff_t` is signed.
const MAX_OFFSET: u64 = i64::MAX.unsigned_abs();

/// Where the bytes of a read come from. Lengths are at most the limit that was asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source<'a> {
    /// These, out of a file; never empty.
    Bytes(&'a [u8]),
    /// A stream of the embedder's.
    Stream(Stream),
    /// What was written into a pipe, or sent to this socket.
    Pipe(InodeId),
    /// An event counter.
    Counter(InodeId),
    /// So many zeros.
    Zeros(usize),
    /// So many random bytes.
    Random(usize),
    /// At most so many out of a file of the host's, at an offset.
    Host(&'a Handle, u64, usize),
    /// Nothing: the end of a file, or nothing was wanted.
    End,
}

/// Where the bytes of a write go.
#[derive(Debug)]
pub(crate) enum Sink<'a> {
    /// A stream of the embedder's.
    Stream(Stream),
    /// A pipe, or the other one of a pair of sockets.
    Pipe(InodeId),
    /// An event counter.
    Counter(InodeId),
    /// Nowhere: all of them are written, unread.
    Discard,
    /// A file.
    File(FileSink<'a>),
}

/// A file that takes the pieces of one write.
#[derive(Debug)]
pub(crate) struct FileSink<'a> {
    file: File<'a>,
    append: bool,
    offset: Offset<'a>,
    now: Time,
}

/// Whose it is.
#[derive(Debug)]
enum File<'a> {
    Tree(&'a mut Arc<Tree>, InodeId),
    Host(&'a Handle),
}

/// The offset that a write starts at and moves.
#[derive(Debug)]
enum Offset<'a> {
    Shared(&'a mut u64),
    Own(u64),
}

impl FileSink<'_> {
    /// Writes a piece and returns how much of it the quota bore; less than all of it means that there is no more room.
    ///
    /// # Errors
    /// `ENOSPC` if nothing of it fitted, `EFBIG` past the size that any file may have, `EINVAL` past the largest offset.
    pub(crate) fn write(&mut self, piece: &[u8]) -> Result<usize, Errno> {
        let offset = match &mut self.offset {
            Offset::Shared(offset) => &mut **offset,
            Offset::Own(offset) => offset,
        };
        check_span(*offset, piece.len())?;
        if piece.is_empty() {
            return Ok(0);
        }
        match &mut self.file {
            File::Tree(tree, inode) => {
                let start = if self.append { length(tree.contents(*inode)?) } else { *offset };
                let tree = Arc::make_mut(tree);
                tree.now = self.now;
                let written = tree.write(*inode, start, piece)?;
                *offset = moved(start, written);
                Ok(written)
            }
            File::Host(handle) => {
                let (written, end) = handle.write(piece, *offset, self.append)?;
                *offset = end.min(MAX_OFFSET);
                Ok(written)
            }
        }
    }
}

impl Files {
    /// `read`, first step: what at most `limit` bytes from the offset on are. The offset stays; see [`Files::advance`].
    ///
    /// # Errors
    /// `EBADF` if it is not open for reading, `EISDIR` for a directory, `EINVAL` past the largest offset.
    pub(crate) fn read(&self, descriptor: i32, limit: usize) -> Result<Source<'_>, Errno> {
        let description = self.descriptors.get(descriptor)?;
        self.source(description, description.offset, limit)
    }

    /// `pread`: what at most `limit` bytes at `offset` are. There is no second step.
    ///
    /// # Errors
    /// As [`Files::read`]; `ESPIPE` for a stream, `EINVAL` for a negative offset.
    pub(crate) fn read_at(&self, descriptor: i32, offset: i64, limit: usize) -> Result<Source<'_>, Errno> {
        let offset = u64::try_from(offset).map_err(|_| Errno::INVAL)?;
        let description = self.descriptors.get(descriptor)?;
        refuse_stream(description)?;
        self.source(description, offset, limit)
    }

    /// `read`, second step: `count` bytes have reached the guest. Only a file's offset moves.
    ///
    /// # Errors
    /// `EBADF`.
    pub(crate) fn advance(&mut self, descriptor: i32, count: usize) -> Result<(), Errno> {
        let description = self.descriptors.get_mut(descriptor)?;
        if let Object::File(_) | Object::Host(_) = description.object {
            description.offset = moved(description.offset, count);
        }
        Ok(())
    }

    /// `write`: where bytes at the offset go.
    ///
    /// # Errors
    /// `EBADF` if it is not open for writing.
    pub(crate) fn write(&mut self, descriptor: i32) -> Result<Sink<'_>, Errno> {
        self.sink(descriptor, None)
    }

    /// `pwrite`: where bytes at `offset` go. As in Linux, `O_APPEND` overrules the offset.
    ///
    /// # Errors
    /// `EINVAL` for a negative offset, `ESPIPE` for a stream, `EBADF` if it is not open for writing.
    pub(crate) fn write_at(&mut self, descriptor: i32, offset: i64) -> Result<Sink<'_>, Errno> {
        let offset = u64::try_from(offset).map_err(|_| Errno::INVAL)?;
        refuse_stream(self.descriptors.get(descriptor)?)?;
        self.sink(descriptor, Some(offset))
    }

    /// `lseek`. A file has no holes but the one at its end; a device stays at 0; a directory's offset is the position of its listing.
    ///
    /// # Errors
    /// `EBADF`, `ESPIPE` for a stream, `EINVAL` for an unknown `whence` or a place that is no offset, `ENXIO` for data or a hole outside
    /// the file.
    pub(crate) fn lseek(&mut self, descriptor: i32, offset: i64, whence: u32) -> Result<i64, Errno> {
        let description = self.descriptors.get_mut(descriptor)?;
        if description.status & O_PATH != 0 {
            return Err(Errno::BADF);
        }
        if whence > SEEK_HOLE {
            return Err(Errno::INVAL);
        }
        let size = match description.object {
            Object::Path(_) => return Err(Errno::BADF),
            Object::Stream(_) | Object::Pipe(_) | Object::Socket(_) => return Err(Errno::SPIPE),
            Object::Device(..) | Object::Counter(_) | Object::Epoll(_) => return Ok(0),
            Object::Directory(_) if whence > SEEK_CUR => return Err(Errno::INVAL),
            Object::Directory(_) => 0,
            Object::File(inode) => length(self.tree.contents(inode)?),
            Object::Host(handle) if self.handles.get(handle)?.is_directory() && whence > SEEK_CUR => {
                return Err(Errno::INVAL);
            }
            Object::Host(handle) => self.handles.get(handle)?.length()?,
        };
        let inside = || u64::try_from(offset).ok().filter(|offset| *offset < size).ok_or(Errno::NXIO);
        let target = match whence {
            SEEK_SET => 0u64.checked_add_signed(offset),
            SEEK_CUR => description.offset.checked_add_signed(offset),
            SEEK_END => size.checked_add_signed(offset),
            SEEK_DATA => Some(inside()?),
            _ => inside().map(|_| Some(size))?,
        };
        let target = target.filter(|target| *target <= MAX_OFFSET).ok_or(Errno::INVAL)?;
        description.offset = target;
        i64::try_from(target).map_err(|_| Errno::INVAL)
    }

    /// `ftruncate`. The offset stays.
    ///
    /// # Errors
    /// `EINVAL` for a negative length and for what is no file open for writing, `EBADF`, `EFBIG` for a length that no file may have,
    /// `ENOSPC`.
    pub(crate) fn ftruncate(&mut self, descriptor: i32, length: i64) -> Result<(), Errno> {
        let length = u64::try_from(length).map_err(|_| Errno::INVAL)?;
        let description = self.descriptors.get(descriptor)?;
        match description.object {
            Object::File(inode) if description.writable() => self.tree_mut().truncate(inode, length),
            Object::Host(handle) if description.writable() => self.handles.get(handle)?.truncate(length),
            _ if description.status & O_PATH != 0 => Err(Errno::BADF),
            _ => Err(Errno::INVAL),
        }
    }

    fn source(&self, description: &Description, offset: u64, limit: usize) -> Result<Source<'_>, Errno> {
        if !description.readable() {
            return Err(Errno::BADF);
        }
        check_span(offset, limit)?;
        let limit = limit.min(MAX_TRANSFER);
        Ok(match description.object {
            Object::Directory(_) => return Err(Errno::ISDIR),
            Object::Stream(stream) => Source::Stream(stream),
            Object::Host(handle) if self.handles.get(handle)?.is_directory() => return Err(Errno::ISDIR),
            Object::Pipe(pipe) | Object::Socket(pipe) => Source::Pipe(pipe),
            Object::Counter(counter) => Source::Counter(counter),
            Object::Epoll(_) => return Err(Errno::INVAL),
            Object::Path(_) => return Err(Errno::BADF),
            _ if limit == 0 => Source::End,
            Object::Device(Device::Null, _) => Source::End,
            Object::Device(Device::Zero | Device::Full, _) => Source::Zeros(limit),
            Object::Device(Device::Random, _) => Source::Random(limit),
            Object::Host(handle) => Source::Host(self.handles.get(handle)?, offset, limit),
            Object::File(inode) => {
                let contents = self.tree.contents(inode)?;
                let rest = usize::try_from(offset).ok().and_then(|offset| contents.get(offset..)).unwrap_or_default();
                match rest.get(..limit).unwrap_or(rest) {
                    [] => Source::End,
                    bytes => Source::Bytes(bytes),
                }
            }
        })
    }

    fn sink(&mut self, descriptor: i32, own_offset: Option<u64>) -> Result<Sink<'_>, Errno> {
        let description = self.descriptors.get_mut(descriptor)?;
        if !description.writable() {
            return Err(Errno::BADF);
        }
        let file = match description.object {
            Object::Stream(stream) => return Ok(Sink::Stream(stream)),
            Object::Pipe(pipe) => return Ok(Sink::Pipe(pipe)),
            Object::Socket(socket) => return Ok(Sink::Pipe(self.tree.socket(socket)?.peer)),
            Object::Counter(counter) => return Ok(Sink::Counter(counter)),
            Object::Epoll(_) => return Err(Errno::INVAL),
            Object::Device(Device::Full, _) => return Err(Errno::NOSPC),
            Object::Device(..) => return Ok(Sink::Discard),
            Object::Directory(_) | Object::Path(_) => return Err(Errno::BADF),
            Object::File(inode) => File::Tree(&mut self.tree, inode),
            Object::Host(handle) => File::Host(self.handles.get(handle)?),
        };
        Ok(Sink::File(FileSink {
            file,
            now: self.now,
            append: description.status & O_APPEND != 0,
            offset: own_offset.map_or(Offset::Shared(&mut description.offset), Offset::Own),
        }))
    }
}

fn refuse_stream(description: &Description) -> Result<(), Errno> {
    match description.object {
        Object::Stream(_) | Object::Pipe(_) | Object::Socket(_) => Err(Errno::SPIPE),
        _ => Ok(()),
    }
}

/// Linux refuses a read or write whose end is no offset, wherever the file ends (`rw_verify_area`).
fn check_span(offset: u64, len: usize) -> Result<(), Errno> {
    let end = u64::try_from(len).ok().and_then(|len| offset.checked_add(len));
    end.filter(|end| *end <= MAX_OFFSET).map(|_| ()).ok_or(Errno::INVAL)
}

fn moved(offset: u64, count: usize) -> u64 {
    offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX)).min(MAX_OFFSET)
}

fn length(contents: &[u8]) -> u64 {
    u64::try_from(contents.len()).unwrap_or(u64::MAX)
}
