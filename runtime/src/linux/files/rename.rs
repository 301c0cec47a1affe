//! `rename`: a name moves, replaces another one, or changes places with it.
//!
//! The order of the checks is Linux's (`do_renameat2`, `vfs_rename`): both ways, both names, what they lead to, then permissions.

use rustix::fs::RenameFlags;
use rustix::io::Errno;

use super::Files;
use super::abi::{RENAME_EXCHANGE, RENAME_NOREPLACE, W_OK};
use super::inode::{InodeId, Node};
use super::resolve::Resolved;
use super::tree::Entry;
use super::walk::{FinalLink, Last, Place};

/// The two names of a rename and what they lead to.
#[derive(Debug)]
struct Names {
    /// Directory, name, and whether slashes come after it.
    from: (InodeId, Vec<u8>, bool),
    to: (InodeId, Vec<u8>, bool),
    source: InodeId,
    target: Option<InodeId>,
}

impl Files {
    /// `renameat2`, with `RENAME_NOREPLACE` or `RENAME_EXCHANGE`.
    ///
    /// # Errors
    /// `EINVAL` for other flags, both, and a directory that would come into itself; `EBUSY` for `.`, `..` and the root; `ENOENT`, `EEXIST`,
    /// `ENOTDIR`, `EISDIR`, `ENOTEMPTY`, `EACCES`, `ENOSPC`; what a walk gives; `EBADF`.
    pub(crate) fn rename_at(
        &mut self,
        (from_directory, from): (i32, &[u8]),
        (to_directory, to): (i32, &[u8]),
        flags: u32,
    ) -> Result<(), Errno> {
        if flags & !(RENAME_NOREPLACE | RENAME_EXCHANGE) != 0 || flags == RENAME_NOREPLACE | RENAME_EXCHANGE {
            return Err(Errno::INVAL);
        }
        let from = self.resolve(from_directory, from, FinalLink::Parent, false)?;
        let to = self.resolve(to_directory, to, FinalLink::Parent, false)?;
        let (from, to) = match (from, to) {
            (Resolved::Tree(from), Resolved::Tree(to)) => (from, to),
            (Resolved::Host(from), Resolved::Host(to)) => {
                return from.rename(&to, RenameFlags::from_bits_retain(flags));
            }
            _ => return Err(Errno::XDEV),
        };
        let names = self.names_to_rename(from, to, flags)?;
        // Two names of one file: there is nothing to do.
        if names.target == Some(names.source) {
            return Ok(());
        }
        self.may_rename(&names, flags & RENAME_EXCHANGE != 0)?;
        let from = Entry { directory: names.from.0, name: &names.from.1 };
        let to = Entry { directory: names.to.0, name: &names.to.1 };
        if flags & RENAME_EXCHANGE != 0 {
            return self.tree_mut().exchange(from, to);
        }
        let replaced = self.tree_mut().rename(from, to)?;
        self.release_inode(replaced);
        Ok(())
    }

    /// Looks both names up, and whether one can take the other's place by where they are.
    fn names_to_rename(&self, from: Place<'_>, to: Place<'_>, flags: u32) -> Result<Names, Errno> {
        let exchange = flags & RENAME_EXCHANGE != 0;
        let Last::Name(name) = &from.last else { return Err(Errno::BUSY) };
        let Last::Name(new_name) = &to.last else {
            return Err(if flags & RENAME_NOREPLACE == 0 { Errno::BUSY } else { Errno::EXIST });
        };
        let source = self.tree.entry(from.directory, name)?.ok_or(Errno::NOENT)?;
        let target = self.tree.entry(to.directory, new_name)?;
        let is_mount = |inode| self.tree.inode(inode).is_ok_and(|inode| matches!(inode.node, Node::Mount(_)));
        if is_mount(source) || target.is_some_and(is_mount) {
            return Err(Errno::BUSY);
        }
        let is_directory = |inode| self.tree.directory(inode).is_ok();
        match target {
            Some(_) if flags & RENAME_NOREPLACE != 0 => return Err(Errno::EXIST),
            None if exchange => return Err(Errno::NOENT),
            Some(target) if exchange && to.slash && !is_directory(target) => return Err(Errno::NOTDIR),
            _ => {}
        }
        if !is_directory(source) && (from.slash || !exchange && to.slash) {
            return Err(Errno::NOTDIR);
        }
        if is_directory(source) && self.tree.is_within(to.directory, source) {
            return Err(Errno::INVAL);
        }
        if target.is_some_and(|target| is_directory(target) && self.tree.is_within(from.directory, target)) {
            return Err(if exchange { Errno::INVAL } else { Errno::NOTEMPTY });
        }
        Ok(Names {
            from: (from.directory, name.to_vec(), from.slash),
            to: (to.directory, new_name.to_vec(), to.slash),
            source,
            target,
        })
    }

    fn may_rename(&self, names: &Names, exchange: bool) -> Result<(), Errno> {
        let is_directory = self.tree.directory(names.source).is_ok();
        let was_directory = names.target.is_some_and(|target| self.tree.directory(target).is_ok());
        self.may_change(names.from.0)?;
        self.may_change(names.to.0)?;
        if names.target.is_some() && !exchange {
            match (is_directory, was_directory) {
                (true, false) => return Err(Errno::NOTDIR),
                (false, true) => return Err(Errno::ISDIR),
                _ => {}
            }
        }
        if names.from.0 != names.to.0 {
            // A directory that moves has its `..` written.
            let written = [Some(names.source), names.target.filter(|_| exchange)];
            for inode in written.into_iter().flatten().filter(|inode| self.tree.directory(*inode).is_ok()) {
                if !self.tree.inode(inode)?.allows(W_OK) {
                    return Err(Errno::ACCESS);
                }
            }
        }
        Ok(())
    }
}
