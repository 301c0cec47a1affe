//! Pairs of sockets within the process: each one is an inode without a name, and holds what was sent to it and not read.
//!
//! ```text
//!   3 ──► socket 7: peer 8, incoming ◄── sent through 4        4 ──► socket 8: peer 7, incoming ◄── sent through 3
//! ```
//! Inodes' numbers are never used twice, so that the number of a peer that is gone finds nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use rustix::io::Errno;

use super::Files;
use super::abi::{O_CLOEXEC, O_NONBLOCK, O_RDWR};
use super::descriptors::Object;
use super::epolls::EPOLL_ALL;
use super::inode::{InodeId, Node};
use super::tree::Tree;
use crate::linux::state::StateError;
use crate::wire::{Reader, Writer};

/// One of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    /// What was sent to it and not read, at most as much as fits into a pipe.
    pub(crate) incoming: VecDeque<u8>,
    /// The other one.
    pub(crate) peer: InodeId,
    /// Nothing more comes in: one of the two shut this direction down, or the other one is gone.
    pub(crate) is_closed: bool,
    /// The other one was closed with bytes that it had not read: the program is told once.
    pub(crate) is_reset: bool,
}

impl Socket {
    pub(super) fn encode(&self, writer: &mut Writer) {
        let (first, second) = self.incoming.as_slices();
        writer.bytes(&[first, second].concat());
        writer.u64(self.peer.number());
        writer.flag(self.is_closed);
        writer.flag(self.is_reset);
    }

    /// Reads a socket; [`Tree::check_pairs`] looks at its peer.
    pub(super) fn decode(reader: &mut Reader<'_>, id: InodeId) -> Result<Self, StateError> {
        Ok(Self {
            incoming: super::tree::queue(reader, id)?,
            peer: InodeId::read(reader, "peer of a socket")?,
            is_closed: reader.flag("closed socket")?,
            is_reset: reader.flag("reset socket")?,
        })
    }
}

impl Files {
    /// `socketpair`, with `O_CLOEXEC` and `O_NONBLOCK` for flags, which the caller has checked.
    ///
    /// # Errors
    /// `ENFILE` if the quota cannot bear it, `EMFILE`.
    pub(crate) fn socket_pair(&mut self, flags: u32) -> Result<[i32; 2], Errno> {
        let pair = self.tree_mut().create_pair()?;
        let (status, close_on_exec) = (O_RDWR | flags & O_NONBLOCK, flags & O_CLOEXEC != 0);
        let [first, second] = pair.map(Object::Socket);
        let opened = self.descriptors.open(first, status, close_on_exec).inspect_err(|_| {
            self.release(Some(first));
            self.release(Some(second));
        })?;
        match self.descriptors.open(second, status, close_on_exec) {
            Ok(other) => Ok([opened, other]),
            Err(errno) => {
                self.close(opened)?;
                self.release(Some(second));
                Err(errno)
            }
        }
    }

    /// One of a pair.
    ///
    /// # Errors
    /// `ENOTSOCK` if it is none.
    pub(crate) fn socket(&self, id: InodeId) -> Result<&Socket, Errno> {
        self.tree.socket(id)
    }

    /// Whether the other one of the pair takes nothing more.
    ///
    /// # Errors
    /// `ENOTSOCK` if it is none.
    pub(crate) fn is_shut_for_sending(&self, id: InodeId) -> Result<bool, Errno> {
        let peer = self.tree.socket(id)?.peer;
        Ok(self.tree.socket(peer).map_or(true, |peer| peer.is_closed))
    }

    /// `shutdown` of what comes in, of what goes out, or of both.
    ///
    /// # Errors
    /// `ENOTSOCK` if it is no socket.
    pub(crate) fn shut_down(&mut self, id: InodeId, incoming: bool, outgoing: bool) -> Result<(), Errno> {
        let peer = self.tree.socket(id)?.peer;
        for (socket, wanted) in [(id, incoming), (peer, outgoing)] {
            // The peer may be gone.
            if wanted && let Ok(socket) = self.tree_mut().socket_mut(socket) {
                socket.is_closed = true;
            }
        }
        for socket in [id, peer] {
            self.wake(Object::Socket(socket), EPOLL_ALL);
        }
        Ok(())
    }

    /// Whether the other one was closed with unread bytes; the program is told now, and then no more.
    ///
    /// # Errors
    /// `ESTALE` if the inode is not there, which no guest can bring about.
    pub(crate) fn take_reset(&mut self, id: InodeId) -> Result<bool, Errno> {
        match &self.tree.inode(id)?.node {
            Node::Socket(socket) if socket.is_reset => {}
            _ => return Ok(false),
        }
        self.tree_mut().socket_mut(id)?.is_reset = false;
        Ok(true)
    }
}

impl Tree {
    /// Makes both of a pair.
    fn create_pair(&mut self) -> Result<[InodeId; 2], Errno> {
        let socket = |peer| {
            Node::Socket(Arc::new(Socket { incoming: VecDeque::new(), peer, is_closed: false, is_reset: false }))
        };
        let first = self.create_nameless(socket(InodeId::FIRST), 0o777)?;
        match self.create_nameless(socket(first), 0o777) {
            Ok(second) => {
                self.socket_mut(first)?.peer = second;
                Ok([first, second])
            }
            Err(errno) => {
                self.discard(first);
                Err(errno)
            }
        }
    }

    pub(super) fn socket(&self, id: InodeId) -> Result<&Socket, Errno> {
        match self.inode(id).map(|inode| &inode.node) {
            Ok(Node::Socket(socket)) => Ok(socket),
            _ => Err(Errno::NOTSOCK),
        }
    }

    fn socket_mut(&mut self, id: InodeId) -> Result<&mut Socket, Errno> {
        match self.node_mut(id)? {
            Node::Socket(socket) => Ok(Arc::make_mut(socket)),
            _ => Err(Errno::NOTSOCK),
        }
    }

    /// A socket has been closed: tells its peer.
    pub(super) fn hang_up(&mut self, closed: InodeId, socket: &Socket) {
        if let Ok(peer) = self.socket_mut(socket.peer)
            && peer.peer == closed
        {
            peer.is_closed = true;
            peer.is_reset = !socket.incoming.is_empty();
        }
    }

    /// Checks that each socket's peer is the one whose peer it is, or was one.
    pub(super) fn check_pairs(&self) -> Result<(), StateError> {
        for (id, socket) in self.sockets() {
            let wrong = StateError::SocketPair { inode: id.number(), peer: socket.peer.number() };
            let is_right = match self.inode(socket.peer) {
                Ok(_) => {
                    self.socket(socket.peer).is_ok_and(|peer| peer.peer == id && socket.peer != id) && !socket.is_reset
                }
                Err(_) => socket.is_closed && self.was_given_out(socket.peer),
            };
            if !is_right {
                return Err(wrong);
            }
        }
        Ok(())
    }
}
