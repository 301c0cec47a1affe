//! The file system itself: numbered inodes in memory, and an account of what they cost the host.
//!
//! A guest can make files as it likes, so everything it can grow is counted *before* it grows: bytes (contents, names, symlink
//! targets) and inodes, against one [`Quota`] per tree. Each further name of a file costs as much of the quota as an inode, as in tmpfs: a short
//! name costs the host more than its bytes. An inode that lost its name but is still held (an open descriptor, the
//! current directory) stays, cut off, and stays counted until [`Tree::discard`].
//!
//! ```text
//!   inodes: 1 ─ Directory ── "tmp" ─► 2 ─ Directory        linked: reached by a name, what is no directory perhaps by more
//!                        └── "dev" ─► 3 ─ Directory ...
//!           9 ─ File, unlinked but open                     cut off: counted, waits for discard
//! ```
//!
//! A clone shares contents and directories. A change then copies the table of inodes and the one node it touches, so a snapshot costs
//! what is changed after it. The host's memory is at most twice the byte quota (a growing `Vec` doubles, [`resize_to`] keeps it from
//! more) plus a few hundred bytes per inode, for each tree that shares nothing with another.

mod names;
mod state;

pub(crate) use names::Entry;
pub(super) use state::queue;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustix::io::Errno;

use super::abi::S_IALLUGO;
use super::directory::Directory;
use super::inode::{Inode, InodeId, Node};
use super::mounts::MountId;
use super::sockets::Socket;
use super::stat::Time;
use super::times::Times;

/// What a tree may cost the host. It also bounds the work of one call: a hole is zeroed and a shared file is copied at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    /// Bytes of file contents, names and symlink targets together. No file can be larger.
    pub(crate) bytes: usize,
    /// Inodes, those that are unlinked but held included, and names beyond each one's first.
    pub(crate) inodes: usize,
}

impl Default for Quota {
    /// 16 MiB and 4,096 inodes: room for a program's data and its temporary files.
    fn default() -> Self {
        Self { bytes: 16 << 20, inodes: 4096 }
    }
}

/// An in-memory file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    inodes: BTreeMap<InodeId, Inode>,
    /// (parent, child) for every directory that is cut off: its `..` must lead somewhere as long as it lives.
    cut_off: BTreeSet<(InodeId, InodeId)>,
    next_inode: InodeId,
    bytes: usize,
    /// Names beyond the first of each inode.
    more_names: usize,
    quota: Quota,
    /// What new times are. Whoever changes something sets it before.
    pub(crate) now: Time,
}

impl Tree {
    /// A tree with nothing but `/`. The root is there whatever the quota says.
    pub(crate) fn bare(quota: Quota) -> Self {
        let root =
            Inode { node: Node::directory(InodeId::ROOT), permissions: 0o755, names: 1, times: Times::default() };
        Self {
            inodes: BTreeMap::from([(InodeId::ROOT, root)]),
            cut_off: BTreeSet::new(),
            next_inode: InodeId::AFTER_ROOT,
            bytes: 0,
            more_names: 0,
            quota,
            now: Time::default(),
        }
    }

    /// What the tree may cost.
    pub(crate) fn quota(&self) -> Quota {
        self.quota
    }

    /// What is left of the quota.
    pub(crate) fn left(&self) -> Quota {
        Quota {
            bytes: self.quota.bytes.saturating_sub(self.bytes),
            inodes: self.quota.inodes.saturating_sub(self.inodes.len()).saturating_sub(self.more_names),
        }
    }

    /// The inode with this number.
    ///
    /// # Errors
    /// `ESTALE` if there is none, which no guest can bring about.
    pub(crate) fn inode(&self, id: InodeId) -> Result<&Inode, Errno> {
        self.inodes.get(&id).ok_or(Errno::STALE)
    }

    /// The directory with this number.
    ///
    /// # Errors
    /// `ENOTDIR` if it is something else.
    pub(crate) fn directory(&self, id: InodeId) -> Result<&Directory, Errno> {
        match &self.inode(id)?.node {
            Node::Directory(directory) => Ok(directory),
            _ => Err(Errno::NOTDIR),
        }
    }

    /// The contents of a regular file.
    ///
    /// # Errors
    /// `EISDIR` for a directory, `EINVAL` for what else has no contents.
    pub(crate) fn contents(&self, id: InodeId) -> Result<&[u8], Errno> {
        match &self.inode(id)?.node {
            Node::File(contents) => Ok(contents),
            Node::Directory(_) | Node::Mount(_) => Err(Errno::ISDIR),
            _ => Err(Errno::INVAL),
        }
    }

    /// Gives `node` the new name `name` in `parent`. A directory must have been made with that parent.
    ///
    /// # Errors
    /// `EEXIST` if the name is taken, `ENOENT` if `parent` is cut off, `ENOTDIR` if it is no directory, `ENOSPC` if the quota cannot
    /// bear one more inode, the name and the node's bytes. Nothing has changed then.
    pub(crate) fn create(
        &mut self,
        parent: InodeId,
        name: &[u8],
        node: Node,
        permissions: u32,
    ) -> Result<InodeId, Errno> {
        if self.directory(parent)?.lookup(name).is_some() {
            return Err(Errno::EXIST);
        }
        if !self.inode(parent)?.linked() {
            return Err(Errno::NOENT);
        }
        let cost = name.len().checked_add(node.bytes()).ok_or(Errno::NOSPC)?;
        if cost > self.left().bytes || self.left().inodes == 0 {
            return Err(Errno::NOSPC);
        }
        let inode = self.next_inode;
        let next_inode = inode.next().ok_or(Errno::NOSPC)?;
        if !self.directory_mut(parent)?.add(name, inode, matches!(node, Node::Directory(_) | Node::Mount(_))) {
            return Err(Errno::NOSPC);
        }
        let times = Times::all(self.now);
        self.inodes.insert(inode, Inode { node, permissions: permissions & S_IALLUGO, names: 1, times });
        self.modified(parent);
        self.next_inode = next_inode;
        self.bytes = self.bytes.saturating_add(cost);
        Ok(inode)
    }

    /// Makes an empty directory the place of one of the host's.
    pub(crate) fn cover(&mut self, id: InodeId, mount: MountId) {
        if let Some(inode) = self.inodes.get_mut(&id) {
            inode.node = Node::Mount(mount);
        }
    }

    /// Makes what has no name: the caller opens it, or [discards](Self::discard) it.
    ///
    /// # Errors
    /// `ENFILE` if the quota cannot bear it.
    pub(crate) fn create_nameless(&mut self, node: Node, permissions: u32) -> Result<InodeId, Errno> {
        let cost = node.bytes();
        if cost > self.left().bytes || self.left().inodes == 0 {
            return Err(Errno::NFILE);
        }
        let inode = self.next_inode;
        self.next_inode = inode.next().ok_or(Errno::NFILE)?;
        self.inodes.insert(inode, Inode { node, permissions, names: 0, times: Times::all(self.now) });
        self.bytes = self.bytes.saturating_add(cost);
        Ok(inode)
    }

    /// Takes the name `name` out of `parent` and gives its bytes back. What it led to is cut off now unless it has other names, and the
    /// caller [discards](Self::discard) it as soon as nothing holds it.
    ///
    /// # Errors
    /// `ENOENT` if there is no such name, `ENOTEMPTY` if it leads to a directory with names in it, `ENOTDIR` if `parent` is no directory.
    pub(crate) fn cut(&mut self, parent: InodeId, name: &[u8]) -> Result<InodeId, Errno> {
        let inode = self.directory(parent)?.lookup(name).ok_or(Errno::NOENT)?;
        let is_directory = match &self.inode(inode)?.node {
            Node::Directory(directory) if !directory.is_empty() => return Err(Errno::NOTEMPTY),
            Node::Mount(_) => return Err(Errno::BUSY),
            Node::Directory(_) => true,
            _ => false,
        };
        self.directory_mut(parent)?.remove(name, is_directory);
        self.bytes = self.bytes.saturating_sub(name.len());
        self.modified(parent);
        self.lose_name(inode)?;
        Ok(inode)
    }

    /// The path of a directory: `/`, or names that each follow a slash.
    ///
    /// # Errors
    /// `ENOENT` if it is cut off.
    pub(crate) fn path_of(&self, id: InodeId) -> Result<Vec<u8>, Errno> {
        if id == InodeId::ROOT {
            return Ok(b"/".to_vec());
        }
        if !self.inode(id)?.linked() {
            return Err(Errno::NOENT);
        }
        self.path_of_child(self.directory(id)?.parent(), id)
    }

    /// The path of what is in a directory.
    ///
    /// # Errors
    /// `ENOENT` if the directory is cut off, or has no such thing in it.
    pub(crate) fn path_of_child(&self, mut parent: InodeId, mut id: InodeId) -> Result<Vec<u8>, Errno> {
        let mut names = Vec::new();
        loop {
            let directory = self.directory(parent)?;
            names.push(directory.name_of(id).ok_or(Errno::NOENT)?);
            if parent == InodeId::ROOT {
                break;
            }
            (id, parent) = (parent, directory.parent());
        }
        Ok(names.into_iter().rev().flat_map(|name| [b"/", name]).collect::<Vec<&[u8]>>().concat())
    }

    /// Whether a cut-off directory's `..` leads to `id`, which must live as long.
    pub(crate) fn is_parent_of_cut_off(&self, id: InodeId) -> bool {
        self.cut_off.range((id, InodeId::FIRST)..=(id, InodeId::LAST)).next().is_some()
    }

    /// Drops an inode that is cut off, gives back what it cost, and returns where its `..` led if it was a directory: that one may
    /// have waited for it. An inode with a name is left alone.
    pub(crate) fn discard(&mut self, id: InodeId) -> Option<InodeId> {
        if self.inodes.get(&id)?.linked() {
            return None;
        }
        let node = self.inodes.remove(&id)?.node;
        self.bytes = self.bytes.saturating_sub(node.bytes());
        if let Node::Socket(socket) = &node {
            self.hang_up(id, socket);
        }
        let Node::Directory(directory) = node else { return None };
        self.cut_off.remove(&(directory.parent(), id));
        Some(directory.parent())
    }

    /// Writes as much of `bytes` at `offset` as the quota bears, over what is there and past its end; a hole reads as zeros.
    ///
    /// # Errors
    /// `EFBIG` if no file may reach that far, `ENOSPC` if nothing is left for this one; and as [`Tree::contents`].
    pub(crate) fn write(&mut self, id: InodeId, offset: u64, bytes: &[u8]) -> Result<usize, Errno> {
        let len = self.contents(id)?.len();
        if bytes.is_empty() {
            return Ok(0);
        }
        let start = usize::try_from(offset).map_err(|_| Errno::FBIG)?;
        if start >= self.quota.bytes {
            return Err(Errno::FBIG);
        }
        let room = len.saturating_add(self.left().bytes).saturating_sub(start);
        let taken = bytes.get(..room).unwrap_or(bytes);
        if taken.is_empty() {
            return Err(Errno::NOSPC);
        }
        let end = start.checked_add(taken.len()).ok_or(Errno::FBIG)?;
        let contents = self.resize(id, len.max(end))?;
        contents.get_mut(start..end).ok_or(Errno::IO)?.copy_from_slice(taken);
        self.modified(id);
        Ok(taken.len())
    }

    /// Cuts a file off at `len`, or lengthens it with zeros.
    ///
    /// # Errors
    /// `EFBIG` if no file may be that long, `ENOSPC` if too little is left for this one; and as [`Tree::contents`].
    pub(crate) fn truncate(&mut self, id: InodeId, len: u64) -> Result<(), Errno> {
        let old = self.contents(id)?.len();
        let len = usize::try_from(len).map_err(|_| Errno::FBIG)?;
        if len > old && len > self.quota.bytes {
            return Err(Errno::FBIG);
        }
        if len.saturating_sub(old) > self.left().bytes {
            return Err(Errno::NOSPC);
        }
        self.resize(id, len)?;
        self.modified(id);
        Ok(())
    }

    /// Replaces what a file holds, as the embedder does.
    ///
    /// # Errors
    /// `ENOSPC` if too little is left, and the old contents stay; and as [`Tree::contents`].
    pub(crate) fn replace(&mut self, id: InodeId, mut bytes: Vec<u8>, permissions: u32) -> Result<(), Errno> {
        let old = self.contents(id)?.len();
        if bytes.len().saturating_sub(old) > self.left().bytes {
            return Err(Errno::NOSPC);
        }
        self.bytes = self.bytes.saturating_sub(old).saturating_add(bytes.len());
        bytes.shrink_to_fit();
        let inode = self.inodes.get_mut(&id).ok_or(Errno::STALE)?;
        inode.node = Node::File(Arc::new(bytes));
        inode.permissions = permissions & S_IALLUGO;
        inode.times = Times::all(self.now);
        Ok(())
    }

    /// Makes the file `len` bytes long and counts it. The caller has checked that `len` fits the quota.
    fn resize(&mut self, id: InodeId, len: usize) -> Result<&mut Vec<u8>, Errno> {
        let inode = self.inodes.get_mut(&id).ok_or(Errno::STALE)?;
        let Node::File(contents) = &mut inode.node else {
            return Err(Errno::INVAL);
        };
        let old = contents.len();
        let contents = resize_to(contents, len)?;
        self.bytes = self.bytes.saturating_sub(old).saturating_add(len);
        Ok(contents)
    }

    /// The directory with a name of what is no directory, the one with the lowest number.
    pub(crate) fn holder_of(&self, id: InodeId) -> Option<InodeId> {
        let holds = |inode: &Inode| matches!(&inode.node, Node::Directory(names) if names.name_of(id).is_some());
        self.inodes.iter().find(|(_, inode)| holds(inode)).map(|(holder, _)| *holder)
    }

    /// The sockets in it.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = (InodeId, &Socket)> {
        self.inodes.iter().filter_map(|(id, inode)| match &inode.node {
            Node::Socket(socket) => Some((*id, &**socket)),
            _ => None,
        })
    }

    /// Whether an inode has, or had, this number.
    pub(crate) fn was_given_out(&self, id: InodeId) -> bool {
        (InodeId::ROOT..self.next_inode).contains(&id)
    }

    /// The epoll sets in it.
    pub(crate) fn epolls(&self) -> impl Iterator<Item = InodeId> {
        self.inodes.iter().filter(|(_, inode)| matches!(inode.node, Node::Epoll)).map(|(id, _)| *id)
    }

    /// What an inode is, to be changed in what leaves the account alone.
    pub(crate) fn node_mut(&mut self, id: InodeId) -> Result<&mut Node, Errno> {
        self.inodes.get_mut(&id).map(|inode| &mut inode.node).ok_or(Errno::STALE)
    }

    /// Everything in it was made now.
    pub(crate) fn made_now(&mut self) {
        for inode in self.inodes.values_mut() {
            inode.times = Times::all(self.now);
        }
    }

    /// Its contents are changed, or the names in it.
    fn modified(&mut self, id: InodeId) {
        if let Some(inode) = self.inodes.get_mut(&id) {
            (inode.times.modified, inode.times.changed) = (self.now, self.now);
        }
    }

    fn directory_mut(&mut self, id: InodeId) -> Result<&mut Directory, Errno> {
        match &mut self.inodes.get_mut(&id).ok_or(Errno::STALE)?.node {
            Node::Directory(directory) => Ok(Arc::make_mut(directory)),
            _ => Err(Errno::NOTDIR),
        }
    }
}

/// Capacity that is not worth giving back: an inode and its name cost as much.
const SMALL_CAPACITY: usize = 64;

/// Makes `contents` unshared and `len` bytes long, new bytes being zero, with a capacity of at most twice that. A guest that fills a
/// file, empties it and goes on to the next would otherwise keep a quota's worth of capacity in each.
fn resize_to(contents: &mut Arc<Vec<u8>>, len: usize) -> Result<&mut Vec<u8>, Errno> {
    if Arc::get_mut(contents).is_none() {
        let kept = contents.get(..len).unwrap_or(contents);
        let mut own = Vec::new();
        own.try_reserve_exact(len).map_err(|_| Errno::NOSPC)?;
        own.extend_from_slice(kept);
        *contents = Arc::new(own);
    }
    let own = Arc::get_mut(contents).ok_or(Errno::IO)?;
    own.try_reserve(len.saturating_sub(own.len())).map_err(|_| Errno::NOSPC)?;
    own.resize(len, 0);
    if own.capacity() > len.saturating_mul(2).max(SMALL_CAPACITY) {
        own.shrink_to(len);
    }
    Ok(own)
}

#[cfg(any(test, feature = "fuzzing"))]
mod account;
