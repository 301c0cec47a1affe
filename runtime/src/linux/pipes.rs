//! Pipes within the process: `pipe`, and reading and writing through one.
//!
//! Nobody but the program itself could fill an empty pipe or empty a full one, and it waits: that is a deadlock, as `pause` is.

use rustix::io::Errno;

use super::files::abi::{F_GETFL, O_NONBLOCK};
use super::files::{InodeId, Object, PIPE_CAPACITY};
use super::io::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM};
use super::paths::low;
use super::reply::{Refusal, Reply};
use super::user::Span;
use super::{Kernel, descriptor};
use crate::end::End;

/// Writes of so many bytes come into a pipe whole or not at all, limits.h `PIPE_BUF`.
const PIPE_BUF: u64 = 4096;

impl Kernel<'_> {
    pub(super) fn sys_pipe2(&mut self, to: u64, flags: u64) -> Reply {
        let ends = self.process.files.pipe(low(flags))?;
        let [first, second] = ends.map(i32::to_le_bytes);
        if let Err(refusal) = self.write_all(to, [first, second].as_flattened()) {
            for end in ends {
                self.process.files.close(end)?;
            }
            return Err(refusal);
        }
        Ok(0)
    }

    /// Reads what there is and fits into the ranges.
    pub(super) fn read_pipe(&mut self, fd: i32, pipe: InodeId, spans: &[Span]) -> Reply {
        let wanted = spans.iter().fold(0_u64, |sum, span| sum.saturating_add(span.length));
        let state = self.process.files.pipe_state(pipe)?;
        if wanted == 0 || state.filled == 0 && !state.has_writers {
            return Ok(0);
        }
        if state.filled == 0 {
            return Err(self.would_wait(fd)?);
        }
        let bytes = self.process.files.pipe_peek(pipe, usize::try_from(wanted).unwrap_or(PIPE_CAPACITY))?;
        let count = self.spread(&bytes, spans)?;
        self.process.files.pipe_consume(pipe, usize::try_from(count).unwrap_or(PIPE_CAPACITY))?;
        Ok(count)
    }

    /// Writes the ranges. Where they do not fit, the rest waits for ever or is not written.
    pub(super) fn write_pipe(&mut self, fd: i32, pipe: InodeId, spans: &[Span]) -> Reply {
        let wanted = spans.iter().fold(0_u64, |sum, span| sum.saturating_add(span.length));
        if wanted == 0 {
            return Ok(0);
        }
        let state = self.process.files.pipe_state(pipe)?;
        if state.has_readers && wanted <= PIPE_BUF && wanted > state.room() as u64 {
            return Err(self.would_wait(fd)?);
        }
        let mut buffer = vec![0; usize::try_from(wanted).unwrap_or(PIPE_CAPACITY).min(PIPE_CAPACITY)];
        let mut total = 0;
        for span in spans {
            let mut done = 0;
            while done < span.length {
                let wanted = usize::try_from(span.length - done).unwrap_or(usize::MAX).min(buffer.len());
                let Some(piece) = buffer.get_mut(..wanted) else { break };
                // First whether there is room, then whether there is something to write.
                let result = self.write_piece_of_pipe(fd, pipe, span.address.wrapping_add(done), piece);
                let count = match result {
                    Err(Refusal::Errno(_)) if total > 0 => return Ok(total),
                    result => result?,
                };
                done += count as u64;
                total += count as u64;
            }
        }
        Ok(total)
    }

    fn write_piece_of_pipe(&mut self, fd: i32, pipe: InodeId, from: u64, piece: &mut [u8]) -> Result<usize, Refusal> {
        let state = self.process.files.pipe_state(pipe)?;
        let room = state.room().min(piece.len());
        let count = match piece.get_mut(..room) {
            Some(piece) if state.has_readers && room > 0 => self.read_some(from, piece)?,
            _ => 0,
        };
        self.push_into_pipe(fd, pipe, piece.get(..count).unwrap_or_default())
    }

    /// Writes as much as fits of what the host has.
    pub(super) fn push_into_pipe(&mut self, fd: i32, pipe: InodeId, bytes: &[u8]) -> Result<usize, Refusal> {
        let state = self.process.files.pipe_state(pipe)?;
        if !state.has_readers {
            return Err(self.broken_pipe().into());
        }
        if state.room() == 0 {
            return Err(self.would_wait(fd)?);
        }
        Ok(self.process.files.pipe_append(pipe, bytes)?)
    }

    /// What becomes of a program that would have to wait for itself.
    fn would_wait(&mut self, fd: i32) -> Result<Refusal, Errno> {
        let flags = self.process.files.fcntl(fd, F_GETFL, 0)?.cast_unsigned();
        Ok(if flags & O_NONBLOCK == 0 { End::Deadlock.into() } else { Errno::AGAIN.into() })
    }

    /// What `poll` says of one end.
    pub(super) fn pipe_ready(&self, fd: i32, pipe: InodeId, events: u16) -> Result<u16, Errno> {
        let state = self.process.files.pipe_state(pipe)?;
        let [reads, writes] = self.process.files.directions(fd)?;
        let mut ready = 0;
        if reads && state.filled > 0 {
            ready |= POLLIN | POLLRDNORM;
        }
        if reads && !state.has_writers {
            ready |= POLLHUP;
        }
        if writes && state.room() as u64 >= PIPE_BUF {
            ready |= POLLOUT | POLLWRNORM;
        }
        if writes && !state.has_readers {
            ready |= POLLERR;
        }
        Ok(ready & (events | POLLERR | POLLHUP))
    }

    /// `F_GETPIPE_SZ`.
    pub(super) fn pipe_size(&mut self, fd: u64) -> Reply {
        match self.process.files.object(descriptor(fd))? {
            Object::Pipe(_) | Object::Stream(_) => Ok(PIPE_CAPACITY as u64),
            _ => Err(Errno::BADF.into()),
        }
    }
}
