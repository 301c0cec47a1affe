//! One thing in the file system: a number, permission bits, times, and a file, directory, symlink or device.

use std::collections::VecDeque;
use std::sync::Arc;

use super::abi::{S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK};
use super::counters::Counter;
use super::directory::Directory;
use super::epolls::EPOLL_BYTES;
use super::mounts::MountId;
use super::pipes::PIPE_CAPACITY;
use super::sockets::Socket;
use super::times::Times;
use crate::wire::{Reader, WireError};

/// The number of an inode. Never used twice in one tree, so an old one finds nothing rather than something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InodeId(u64);

impl InodeId {
    /// The directory `/`.
    pub(crate) const ROOT: Self = Self(1);
    /// The first number to give out.
    pub(crate) const AFTER_ROOT: Self = Self(2);
    /// Below every number in use: where a range starts.
    pub(crate) const FIRST: Self = Self(0);
    /// Above every number in use: where a range ends.
    pub(crate) const LAST: Self = Self(u64::MAX);

    /// The number as the guest sees it in `st_ino`.
    pub(crate) const fn number(self) -> u64 {
        self.0
    }

    /// The number in a snapshot file. What is read as a number alone need not be there.
    ///
    /// # Errors
    /// [`WireError::OutOfRange`] beyond [`COUNTER_MAX`].
    pub(crate) fn read(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, WireError> {
        reader.u64_up_to(field, COUNTER_MAX).map(Self)
    }

    /// The number to give out after this one, if there is one left.
    pub(crate) fn next(self) -> Option<Self> {
        (self.0 < COUNTER_MAX).then_some(Self(self.0 + 1))
    }
}

/// The largest number of an inode, and position in a directory: offsets are signed, and a listing's is the position after a name.
pub(crate) const COUNTER_MAX: u64 = i64::MAX.unsigned_abs();

/// The character devices there are. What comes out of them is the caller's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    /// `/dev/null`: takes everything, gives nothing.
    Null,
    /// `/dev/zero`: takes everything, gives zeros.
    Zero,
    /// `/dev/random` and `/dev/urandom`: takes everything, gives random bytes.
    Random,
    /// `/dev/full`: takes nothing, gives zeros.
    Full,
}

impl Device {
    /// `st_rdev`: Linux's major number 1 and the device's minor one; both random devices are `urandom`.
    pub(crate) const fn number(self) -> u64 {
        match self {
            Self::Null => 0x103,
            Self::Zero => 0x105,
            Self::Full => 0x107,
            Self::Random => 0x109,
        }
    }
}

/// What an inode is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// A regular file.
    File(Arc<Vec<u8>>),
    /// A directory.
    Directory(Arc<Directory>),
    /// A symlink and its target, which is not empty.
    Symlink(Arc<[u8]>),
    /// A character device.
    Device(Device),
    /// A directory of the host's.
    Mount(MountId),
    /// A pipe and what is in it. It never has a name.
    Pipe(Arc<VecDeque<u8>>),
    /// One of a pair of sockets. It never has a name.
    Socket(Arc<Socket>),
    /// An event counter. It never has a name.
    Counter(Counter),
    /// A set of what is waited for ([`super::epolls`] has it). It never has a name.
    Epoll,
}

impl Node {
    /// A directory with nothing in it.
    pub(crate) fn directory(parent: InodeId) -> Self {
        Self::Directory(Arc::new(Directory::empty(parent)))
    }

    /// Bytes that count against the quota. A directory's names are counted as they come.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::File(contents) => contents.len(),
            Self::Symlink(target) => target.len(),
            Self::Pipe(_) | Self::Socket(_) => PIPE_CAPACITY,
            Self::Epoll => EPOLL_BYTES,
            Self::Directory(_) | Self::Device(_) | Self::Mount(_) | Self::Counter(_) => 0,
        }
    }

    /// Whether it can have no name.
    pub(crate) fn is_nameless(&self) -> bool {
        matches!(self, Self::Pipe(_) | Self::Socket(_) | Self::Counter(_) | Self::Epoll)
    }
}

/// One thing in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inode {
    /// What it is.
    pub(crate) node: Node,
    /// The permission bits, `07777`.
    pub(crate) permissions: u32,
    /// How many names lead here; a directory has one at most. Never more than 0 again once it is 0.
    pub(crate) names: u64,
    /// When it was read, written and changed.
    pub(crate) times: Times,
}

impl Inode {
    /// Whether a name leads here.
    pub(crate) fn linked(&self) -> bool {
        self.names > 0
    }

    /// `st_mode`.
    pub(crate) fn mode(&self) -> u32 {
        let kind = match self.node {
            Node::File(_) => S_IFREG,
            Node::Directory(_) | Node::Mount(_) => S_IFDIR,
            Node::Symlink(_) => S_IFLNK,
            Node::Device(_) => S_IFCHR,
            Node::Pipe(_) => S_IFIFO,
            Node::Socket(_) => S_IFSOCK,
            // As Linux has it: no kind at all.
            Node::Counter(_) | Node::Epoll => 0,
        };
        kind | self.permissions
    }

    /// Whether the owner, which the guest always is, may do all of `wanted` ([`R_OK`](super::abi::R_OK) and its like).
    pub(crate) fn allows(&self, wanted: u32) -> bool {
        (self.permissions >> 6) & wanted == wanted
    }
}
