//! The files a guest sees: an in-memory tree, a descriptor table, a current directory and a umask.
//!
//! This half of the file layer is plain data. It never touches the host's files, the guest's memory or the machine, so a snapshot is
//! a `clone` and a test needs no KVM. What moves bytes is the caller: it asks where bytes come from ([`Source`]) or go to
//! ([`Sink`]), copies them itself in pieces of its own size, and only then tells how far it got.
//!
//! ```text
//!   guest ──syscall──► personality ──plain values──► Files ── Descriptors: number → description (object, flags, offset)
//!                       copies bytes                       ├─ Tree:        inode → contents, names, symlink, device
//!                       ◄──── Source / Sink / Stat ────────┴─ current directory, umask
//! ```
//!
//! Every guest-visible error is the `Errno` that Linux 6.18 gives; the guest is user 1000, who owns everything and is not root.

use std::sync::Arc;

use rustix::io::Errno;

pub(crate) mod abi;
mod descriptors;
mod directory;
mod inode;
mod insert;
mod listing;
mod open;
mod paths;
mod stat;
mod state;
#[cfg(test)]
mod tests;
mod transfer;
mod tree;
mod walk;

pub(crate) use descriptors::{Object, Stream};
pub(crate) use insert::InsertError;
pub(crate) use stat::Stat;
pub(crate) use transfer::{Sink, Source};
pub(crate) use tree::Quota;

use abi::AT_FDCWD;
use descriptors::Descriptors;
use inode::InodeId;
use tree::Tree;
use walk::check_path;

/// The file half of a guest's personality.
///
/// Invariant: an inode without a name is in the tree exactly as long as a descriptor, the current directory or the `..` of another
/// such inode leads to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    /// Shared between a snapshot and its machines until one of them changes it.
    tree: Arc<Tree>,
    descriptors: Descriptors,
    current: InodeId,
    umask: u32,
}

impl Files {
    /// The three streams open, `/tmp` and `/dev` in place, `/` the current directory.
    pub(crate) fn new(quota: Quota, open_files: u16) -> Self {
        Self {
            tree: Arc::new(Tree::new(quota)),
            descriptors: Descriptors::new(open_files),
            current: InodeId::ROOT,
            umask: 0o022,
        }
    }

    /// Makes them what they were. The tree is shared, and the table of descriptors is copied only if it differs.
    pub(crate) fn restore(&mut self, saved: &Self) {
        let Self { tree, descriptors, current, umask } = saved;
        self.tree = Arc::clone(tree);
        if self.descriptors != *descriptors {
            self.descriptors.clone_from(descriptors);
        }
        (self.current, self.umask) = (*current, *umask);
    }

    /// What is behind a descriptor: for calls that only need to know that (`ioctl`, `fsync`, `poll`, `mmap`).
    ///
    /// # Errors
    /// `EBADF`.
    pub(crate) fn object(&self, descriptor: i32) -> Result<Object, Errno> {
        Ok(self.descriptors.get(descriptor)?.object)
    }

    /// `close`.
    ///
    /// # Errors
    /// `EBADF`.
    pub(crate) fn close(&mut self, descriptor: i32) -> Result<(), Errno> {
        let closed = self.descriptors.close(descriptor)?;
        self.release(closed.and_then(Object::inode));
        Ok(())
    }

    /// `dup`.
    ///
    /// # Errors
    /// `EBADF`, `EMFILE`.
    pub(crate) fn dup(&mut self, old: i32) -> Result<i32, Errno> {
        self.descriptors.dup(old)
    }

    /// `dup2`.
    ///
    /// # Errors
    /// `EBADF`, for a number that is too large, too.
    pub(crate) fn dup2(&mut self, old: i32, new: i32) -> Result<i32, Errno> {
        let duplicate = self.descriptors.dup2(old, new)?;
        self.release(duplicate.closed.and_then(Object::inode));
        Ok(duplicate.descriptor)
    }

    /// `dup3`.
    ///
    /// # Errors
    /// `EINVAL` for flags but `O_CLOEXEC` and for the same number twice, `EBADF`.
    pub(crate) fn dup3(&mut self, old: i32, new: i32, flags: u32) -> Result<i32, Errno> {
        let duplicate = self.descriptors.dup3(old, new, flags)?;
        self.release(duplicate.closed.and_then(Object::inode));
        Ok(duplicate.descriptor)
    }

    /// `fcntl`: duplicates, descriptor flags, status flags.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL`, `EMFILE`.
    pub(crate) fn fcntl(&mut self, descriptor: i32, command: u32, argument: u64) -> Result<i32, Errno> {
        self.descriptors.fcntl(descriptor, command, argument)
    }

    /// `umask`: takes the new one, returns the old one.
    pub(crate) fn set_umask(&mut self, umask: u32) -> u32 {
        std::mem::replace(&mut self.umask, umask & 0o777)
    }

    /// The tree, to be changed: copied first if a snapshot shares it.
    fn tree_mut(&mut self) -> &mut Tree {
        Arc::make_mut(&mut self.tree)
    }

    /// Where a relative path starts. An absolute one does not look at its descriptor.
    fn start(&self, directory: i32, path: &[u8]) -> Result<InodeId, Errno> {
        check_path(path)?;
        match directory {
            _ if path.starts_with(b"/") => Ok(InodeId::ROOT),
            AT_FDCWD => Ok(self.current),
            _ => match self.object(directory)? {
                Object::Directory(inode) => Ok(inode),
                _ => Err(Errno::NOTDIR),
            },
        }
    }

    /// Whether anything but a name leads to this inode.
    fn holds(&self, inode: InodeId) -> bool {
        self.current == inode || self.descriptors.hold(inode) || self.tree.is_parent_of_cut_off(inode)
    }

    /// Drops an inode that has lost its name and its last holder, and then the directories that only waited for it.
    fn release(&mut self, inode: Option<InodeId>) {
        let mut next = inode;
        while let Some(inode) = next {
            if self.tree.inode(inode).is_ok_and(|inode| inode.linked) || self.holds(inode) {
                return;
            }
            next = self.tree_mut().discard(inode);
        }
    }
}
