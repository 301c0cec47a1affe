//! Pipes within the process: an inode that never has a name, and lives as long as one of its ends is open.
//!
//! Its whole capacity is charged when it is made, so that a write never fails for want of room elsewhere. The program is alone: whoever waits for
//! the other end of a pipe waits for itself, which is the caller's to say.

use std::collections::VecDeque;
use std::sync::Arc;

use rustix::io::Errno;

use super::Files;
use super::abi::{O_CLOEXEC, O_NONBLOCK, O_WRONLY};
use super::descriptors::Object;
use super::epolls::{INPUT, OUTPUT};
use super::inode::{InodeId, Node};
use super::tree::Tree;

/// Bytes that fit into a pipe: sixteen pages, as in Linux.
pub(crate) const PIPE_CAPACITY: usize = 64 << 10;

/// What is in a pipe, and whether either end is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PipeState {
    /// Bytes that were written and not read.
    pub(crate) filled: usize,
    /// Somebody may read them.
    pub(crate) has_readers: bool,
    /// Somebody may write more.
    pub(crate) has_writers: bool,
}

impl PipeState {
    /// How much fits.
    pub(crate) fn room(self) -> usize {
        PIPE_CAPACITY.saturating_sub(self.filled)
    }
}

impl Files {
    /// `pipe2`: the end to read from, and the one to write to.
    ///
    /// # Errors
    /// `EINVAL` for flags but `O_CLOEXEC` and `O_NONBLOCK`, `ENFILE` if the quota cannot bear a pipe, `EMFILE`.
    pub(crate) fn pipe(&mut self, flags: u32) -> Result<[i32; 2], Errno> {
        if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 {
            return Err(Errno::INVAL);
        }
        let pipe = Object::Pipe(self.tree_mut().create_nameless(Node::Pipe(Arc::default()), 0o600)?);
        let (status, close_on_exec) = (flags & O_NONBLOCK, flags & O_CLOEXEC != 0);
        let reader = self.descriptors.open(pipe, status, close_on_exec).inspect_err(|_| self.release(Some(pipe)))?;
        match self.descriptors.open(pipe, status | O_WRONLY, close_on_exec) {
            Ok(writer) => Ok([reader, writer]),
            Err(errno) => {
                self.close(reader)?;
                Err(errno)
            }
        }
    }

    /// How a pipe is, or what was sent to a socket. A socket that is gone has neither end.
    ///
    /// # Errors
    /// `EBADF` if it is neither.
    pub(crate) fn pipe_state(&self, pipe: InodeId) -> Result<PipeState, Errno> {
        match self.tree.inode(pipe).map(|inode| &inode.node) {
            Ok(Node::Pipe(bytes)) => {
                let [has_readers, has_writers] = self.descriptors.ends(pipe);
                Ok(PipeState { filled: bytes.len(), has_readers, has_writers })
            }
            Ok(Node::Socket(socket)) => {
                let is_open = !socket.is_closed;
                Ok(PipeState { filled: socket.incoming.len(), has_readers: is_open, has_writers: is_open })
            }
            Ok(_) => Err(Errno::BADF),
            Err(_) => Ok(PipeState { filled: 0, has_readers: false, has_writers: false }),
        }
    }

    /// The first bytes in a pipe, at most `limit`. They stay; see [`Files::pipe_consume`].
    ///
    /// # Errors
    /// `EBADF` if it is none.
    pub(crate) fn pipe_peek(&self, pipe: InodeId, limit: usize) -> Result<Vec<u8>, Errno> {
        Ok(self.tree.pipe(pipe)?.iter().take(limit).copied().collect())
    }

    /// The first `count` bytes have been read.
    ///
    /// # Errors
    /// `EBADF` if it is no pipe.
    pub(crate) fn pipe_consume(&mut self, pipe: InodeId, count: usize) -> Result<(), Errno> {
        let was_full = self.tree.pipe(pipe)?.len() >= PIPE_CAPACITY;
        let bytes = self.tree_mut().pipe_mut(pipe)?;
        bytes.drain(..count.min(bytes.len()));
        // What was large once is not kept for good.
        if bytes.is_empty() {
            bytes.shrink_to(0);
        }
        if let Ok(socket) = self.tree.socket(pipe) {
            self.wake(Object::Socket(socket.peer), OUTPUT);
        } else if was_full {
            self.wake(Object::Pipe(pipe), OUTPUT);
        }
        Ok(())
    }

    /// Writes as much as fits, and returns how much that is.
    ///
    /// # Errors
    /// `EBADF` if it is no pipe.
    pub(crate) fn pipe_append(&mut self, pipe: InodeId, bytes: &[u8]) -> Result<usize, Errno> {
        let held = self.tree_mut().pipe_mut(pipe)?;
        let taken = bytes.get(..PIPE_CAPACITY.saturating_sub(held.len())).unwrap_or(bytes);
        held.extend(taken);
        for end in [Object::Pipe(pipe), Object::Socket(pipe)] {
            self.wake(end, INPUT);
        }
        Ok(taken.len())
    }
}

impl Tree {
    fn pipe(&self, id: InodeId) -> Result<&VecDeque<u8>, Errno> {
        match &self.inode(id)?.node {
            Node::Pipe(bytes) => Ok(bytes),
            Node::Socket(socket) => Ok(&socket.incoming),
            _ => Err(Errno::BADF),
        }
    }

    fn pipe_mut(&mut self, id: InodeId) -> Result<&mut VecDeque<u8>, Errno> {
        match self.node_mut(id)? {
            Node::Pipe(bytes) => Ok(Arc::make_mut(bytes)),
            Node::Socket(socket) => Ok(&mut Arc::make_mut(socket).incoming),
            _ => Err(Errno::BADF),
        }
    }
}
