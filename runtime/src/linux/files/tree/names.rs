//! Names that move: a file's second name, and a name that is taken elsewhere.
//!
//! Everything is looked at before anything is changed, so that a call that fails has changed nothing. A directory has one name at most,
//! and its `..` leads to where that is.
//!
//! ```text
//!   link       a ─► 5              a ─► 5 ◄─ b
//!   rename     a ─► 5   b ─► 6               b ─► 5   6 has lost a name
//!   exchange   a ─► 5   b ─► 6     a ─► 6    b ─► 5
//! ```

use rustix::io::Errno;

use super::Tree;
use crate::linux::files::inode::{Inode, InodeId, Node};

/// A name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// The directory.
    pub(crate) directory: InodeId,
    /// The name in it.
    pub(crate) name: &'a [u8],
}

impl Tree {
    /// Changes an inode in what leaves the account alone: permissions, times.
    ///
    /// # Errors
    /// As [`Tree::inode`].
    pub(crate) fn change(&mut self, id: InodeId, change: impl FnOnce(&mut Inode)) -> Result<(), Errno> {
        let now = self.now;
        let inode = self.inodes.get_mut(&id).ok_or(Errno::STALE)?;
        change(inode);
        inode.times.changed = now;
        Ok(())
    }

    /// Whether a walk from `id` upwards comes by `above`, or starts there.
    pub(crate) fn is_within(&self, id: InodeId, above: InodeId) -> bool {
        let mut at = id;
        loop {
            if at == above {
                return true;
            }
            match self.directory(at).map(crate::linux::files::directory::Directory::parent) {
                Ok(parent) if parent != at => at = parent,
                _ => return false,
            }
        }
    }

    /// Gives what has a name another one. The caller has checked that it is no directory.
    ///
    /// # Errors
    /// `ENOSPC` if the quota cannot bear it or positions have run out, and as [`Tree::directory`]. Nothing has changed then.
    pub(crate) fn link(&mut self, inode: InodeId, to: Entry<'_>) -> Result<(), Errno> {
        if to.name.len() > self.left().bytes || self.left().inodes == 0 {
            return Err(Errno::NOSPC);
        }
        if !self.directory_mut(to.directory)?.add(to.name, inode, false) {
            return Err(Errno::NOSPC);
        }
        self.bytes = self.bytes.saturating_add(to.name.len());
        self.more_names = self.more_names.saturating_add(1);
        self.modified(to.directory);
        self.change(inode, |inode| inode.names = inode.names.saturating_add(1))
    }

    /// Takes the name `from` away and lets `to` lead to what it led to. Returns what `to` led to, if there was something: it has
    /// lost a name, and the caller [discards](Self::discard) it if that was its last one and nothing holds it.
    ///
    /// The caller has checked that the two kinds go together, and that no directory comes into itself.
    ///
    /// # Errors
    /// `ENOENT` if `from` is not there, `ENOTEMPTY` if `to` is a directory with names in it, `ENOSPC` if the quota cannot bear the new name
    /// or positions have run out, and as [`Tree::directory`]. Nothing has changed then.
    pub(crate) fn rename(&mut self, from: Entry<'_>, to: Entry<'_>) -> Result<Option<InodeId>, Errno> {
        let moved = self.directory(from.directory)?.lookup(from.name).ok_or(Errno::NOENT)?;
        let replaced = self.directory(to.directory)?.lookup(to.name);
        let is_directory = self.directory(moved).is_ok();
        if let Some(replaced) = replaced {
            let was_directory = match &self.inode(replaced)?.node {
                Node::Directory(names) if !names.is_empty() => return Err(Errno::NOTEMPTY),
                node => matches!(node, Node::Directory(_)),
            };
            self.directory_mut(to.directory)?.redirect(to.name, moved, was_directory, is_directory);
        } else {
            if to.name.len().saturating_sub(from.name.len()) > self.left().bytes {
                return Err(Errno::NOSPC);
            }
            if !self.directory_mut(to.directory)?.add(to.name, moved, is_directory) {
                return Err(Errno::NOSPC);
            }
            self.bytes = self.bytes.saturating_add(to.name.len());
        }
        self.directory_mut(from.directory)?.remove(from.name, is_directory);
        self.bytes = self.bytes.saturating_sub(from.name.len());
        self.arrived(moved, to.directory)?;
        self.modified(from.directory);
        self.modified(to.directory);
        if let Some(replaced) = replaced {
            // Its way up is to where it was.
            self.lose_name(replaced)?;
        }
        Ok(replaced)
    }

    /// Lets two names lead to what the other one led to.
    ///
    /// # Errors
    /// `ENOENT` if one is not there, and as [`Tree::directory`]. Nothing has changed then.
    pub(crate) fn exchange(&mut self, one: Entry<'_>, other: Entry<'_>) -> Result<(), Errno> {
        let first = self.directory(one.directory)?.lookup(one.name).ok_or(Errno::NOENT)?;
        let second = self.directory(other.directory)?.lookup(other.name).ok_or(Errno::NOENT)?;
        let [is_first, is_second] = [first, second].map(|inode| self.directory(inode).is_ok());
        self.directory_mut(one.directory)?.redirect(one.name, second, is_first, is_second);
        self.directory_mut(other.directory)?.redirect(other.name, first, is_second, is_first);
        self.arrived(first, other.directory)?;
        self.arrived(second, one.directory)?;
        self.modified(one.directory);
        self.modified(other.directory);
        Ok(())
    }

    /// A name of this inode was taken out of a directory.
    pub(super) fn lose_name(&mut self, id: InodeId) -> Result<(), Errno> {
        if self.inode(id)?.names > 1 {
            self.more_names = self.more_names.saturating_sub(1);
        } else if let Ok(directory) = self.directory(id) {
            self.cut_off.insert((directory.parent(), id));
        }
        self.change(id, |inode| inode.names = inode.names.saturating_sub(1))
    }

    /// A name in `directory` leads to this inode now.
    fn arrived(&mut self, id: InodeId, directory: InodeId) -> Result<(), Errno> {
        if let Ok(names) = self.directory_mut(id) {
            names.set_parent(directory);
        }
        self.change(id, |_| ())
    }
}
