//! Hard links and symlinks: further names, and names that lead on.

use rustix::io::Errno;

use super::Files;
use super::abi::{AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW, PATH_BYTES};
use super::descriptors::Object;
use super::host::HostPlace;
use super::inode::{InodeId, Node};
use super::resolve::{Found, Resolved, Target};
use super::tree::Entry;
use super::walk::{FinalLink, Last};

impl Files {
    /// `linkat`: another name for what is no directory.
    ///
    /// # Errors
    /// `EINVAL` for unknown flags, `EPERM` for a directory, `EXDEV` for a stream, `EEXIST`, `ENOENT` (also for what has no name any more),
    /// `EACCES`, `ENOSPC`; what a walk gives; `EBADF`.
    pub(crate) fn link_at(
        &mut self,
        (from_directory, from): (i32, &[u8]),
        (to_directory, to): (i32, &[u8]),
        flags: u32,
    ) -> Result<(), Errno> {
        if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(Errno::INVAL);
        }
        let follow = if flags & AT_SYMLINK_FOLLOW == 0 { AT_SYMLINK_NOFOLLOW } else { 0 };
        let from = self.target(from_directory, from, flags & AT_EMPTY_PATH | follow)?;
        let (directory, name, inode) = match (from, self.new_name(to_directory, to)?) {
            (Target::Found(Found::Host(from)), NewName::Host(to)) => return from.link(&to),
            (Target::Found(Found::Inode(inode)), NewName::Tree(directory, name)) => (directory, name, inode),
            // What has lost its name in the meantime could be another file's by now.
            (Target::Open(Object::Host(_)), NewName::Host(_)) => return Err(Errno::NOENT),
            (Target::Open(object), NewName::Tree(directory, name)) => {
                (directory, name, object.inode().ok_or(Errno::XDEV)?)
            }
            _ => return Err(Errno::XDEV),
        };
        if self.tree.inode(inode)?.node.is_nameless() {
            return Err(Errno::XDEV);
        }
        self.may_change(directory)?;
        if self.tree.directory(inode).is_ok() {
            return Err(Errno::PERM);
        }
        if !self.tree.inode(inode)?.linked() {
            return Err(Errno::NOENT);
        }
        self.tree_mut().link(inode, Entry { directory, name: &name })
    }

    /// `symlinkat`. The target is not looked at.
    ///
    /// # Errors
    /// `ENOENT` for an empty target, `ENAMETOOLONG`, `EEXIST`, `EACCES`, `ENOSPC`; what a walk gives; `EBADF`.
    pub(crate) fn symlink_at(&mut self, target: &[u8], directory: i32, path: &[u8]) -> Result<(), Errno> {
        match target.len() {
            0 => return Err(Errno::NOENT),
            1..=PATH_BYTES => {}
            _ => return Err(Errno::NAMETOOLONG),
        }
        let (parent, name) = match self.new_name(directory, path)? {
            NewName::Tree(parent, name) => (parent, name),
            NewName::Host(place) => return place.symlink(target),
        };
        self.may_change(parent)?;
        self.tree_mut().create(parent, &name, Node::Symlink(target.into()), 0o777)?;
        Ok(())
    }

    /// Where a path that leads to nothing yet wants its name.
    ///
    /// # Errors
    /// `EEXIST` if something is there, `ENOENT` for a slash after the name of what will be no directory; what a walk gives; `EBADF`.
    fn new_name(&self, directory: i32, path: &[u8]) -> Result<NewName, Errno> {
        match self.resolve(directory, path, FinalLink::Name, false)? {
            Resolved::Host(place) if place.exists() => Err(Errno::EXIST),
            Resolved::Host(place) if place.slash => Err(Errno::NOENT),
            Resolved::Host(place) => Ok(NewName::Host(place)),
            Resolved::Tree(place) => match (place.last, place.inode) {
                (Last::Name(_), None) if place.slash => Err(Errno::NOENT),
                (Last::Name(name), None) => Ok(NewName::Tree(place.directory, name.into_owned())),
                _ => Err(Errno::EXIST),
            },
        }
    }
}

/// Where a name is wanted that is not there yet.
#[derive(Debug)]
enum NewName {
    /// In a directory of the tree.
    Tree(InodeId, Vec<u8>),
    /// In one of the host's.
    Host(HostPlace),
}
