//! Pipes within the process: `pipe`, and reading and writing through one.
//!
//! Nobody but the program itself could fill an empty pipe or empty a full one, and it waits: that is a deadlock, as `pause` is.

use rustix::io::Errno;

use super::files::abi::{F_GETFL, O_NONBLOCK};
use super::files::{InodeId, Object, PIPE_CAPACITY};
use super::paths::low;
use super::poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM};
use super::reply::{Refusal, Reply};
use super::user::Span;
use super::{Kernel, descriptor};
use crate::end::End;

/// Writes of so many bytes come into a pipe whole or not at all, limits.h `PIPE_BUF`.
const PIPE_BUF: u64 = 4096;

/// How a program reads or writes where it may have to wait for itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// It waits, which is a deadlock; otherwise it is told.
    pub(super) waits: bool,
    /// It gets a signal where nobody reads any more.
    pub(super) signals: bool,
    /// What is read stays.
    pub(super) keeps: bool,
}

impl Kernel<'_> {
    /// How `read` and `write` do it.
    pub(super) fn manner(&mut self, fd: i32) -> Result<Manner, Errno> {
        let flags = self.process.files.fcntl(fd, F_GETFL, 0)?.cast_unsigned();
        Ok(Manner { waits: flags & O_NONBLOCK == 0, signals: true, keeps: false })
    }

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
    pub(super) fn read_pipe(&mut self, manner: Manner, pipe: InodeId, spans: &[Span]) -> Reply {
        let wanted = spans.iter().fold(0_u64, |sum, span| sum.saturating_add(span.length));
        let state = self.process.files.pipe_state(pipe)?;
        if wanted > 0 && state.filled == 0 && self.process.files.take_reset(pipe)? {
            return Err(Errno::CONNRESET.into());
        }
        if wanted == 0 || state.filled == 0 && !state.has_writers {
            return Ok(0);
        }
        if state.filled == 0 {
            return Err(would_wait(manner));
        }
        let bytes = self.process.files.pipe_peek(pipe, usize::try_from(wanted).unwrap_or(PIPE_CAPACITY))?;
        let count = self.spread(&bytes, spans)?;
        if !manner.keeps {
            self.process.files.pipe_consume(pipe, usize::try_from(count).unwrap_or(PIPE_CAPACITY))?;
        }
        Ok(count)
    }

    /// Writes the ranges. Where they do not fit, the rest waits for ever or is not written.
    pub(super) fn write_pipe(&mut self, manner: Manner, pipe: InodeId, spans: &[Span]) -> Reply {
        let wanted = spans.iter().fold(0_u64, |sum, span| sum.saturating_add(span.length));
        if wanted == 0 {
            return Ok(0);
        }
        let state = self.process.files.pipe_state(pipe)?;
        if state.has_readers && wanted <= PIPE_BUF && wanted > state.room() as u64 {
            return Err(would_wait(manner));
        }
        let mut buffer = vec![0; usize::try_from(wanted).unwrap_or(PIPE_CAPACITY).min(PIPE_CAPACITY)];
        let mut total = 0;
        for span in spans {
            let mut done = 0;
            while done < span.length {
                let wanted = usize::try_from(span.length - done).unwrap_or(usize::MAX).min(buffer.len());
                let Some(piece) = buffer.get_mut(..wanted) else { break };
                // First whether there is room, then whether there is something to write.
                let result = self.write_piece_of_pipe(manner, pipe, span.address.wrapping_add(done), piece);
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

    fn write_piece_of_pipe(
        &mut self,
        manner: Manner,
        pipe: InodeId,
        from: u64,
        piece: &mut [u8],
    ) -> Result<usize, Refusal> {
        let state = self.process.files.pipe_state(pipe)?;
        let room = state.room().min(piece.len());
        let count = match piece.get_mut(..room) {
            Some(piece) if state.has_readers && room > 0 => self.read_some(from, piece)?,
            _ => 0,
        };
        self.push_into_pipe(manner, pipe, piece.get(..count).unwrap_or_default())
    }

    /// Writes as much as fits of what the host has.
    pub(super) fn push_into_pipe(&mut self, manner: Manner, pipe: InodeId, bytes: &[u8]) -> Result<usize, Refusal> {
        let state = self.process.files.pipe_state(pipe)?;
        if !state.has_readers {
            return Err(if manner.signals { self.broken_pipe() } else { Errno::PIPE }.into());
        }
        if state.room() == 0 {
            return Err(would_wait(manner));
        }
        Ok(self.process.files.pipe_append(pipe, bytes)?)
    }

    /// What `poll` says of one end.
    pub(super) fn pipe_ready(&self, pipe: InodeId, [reads, writes]: [bool; 2]) -> Result<u16, Errno> {
        let state = self.process.files.pipe_state(pipe)?;
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
        Ok(ready)
    }

    /// `F_GETPIPE_SZ`.
    pub(super) fn pipe_size(&mut self, fd: u64) -> Reply {
        match self.process.files.object(descriptor(fd))? {
            Object::Pipe(_) | Object::Stream(_) => Ok(PIPE_CAPACITY as u64),
            _ => Err(Errno::BADF.into()),
        }
    }
}

/// What becomes of a program that would have to wait for itself.
pub(super) fn would_wait(manner: Manner) -> Refusal {
    if manner.waits { End::Deadlock.into() } else { Errno::AGAIN.into() }
}
