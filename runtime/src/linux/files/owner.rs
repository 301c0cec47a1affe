//! Permissions and owners. Everything belongs to the one user there is, who may do what an owner may.

use rustix::io::Errno;

use super::Files;
use super::abi::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, S_IALLUGO, S_ISGID, S_ISUID, S_IXGRP};
use super::descriptors::Object;
use super::inode::{InodeId, Node};
use super::resolve::{Found, Target};
use super::stat::{OWNER, Stat};

/// What `chown` is given to leave an owner or a group as it is.
const KEEP: u32 = u32::MAX;

impl Files {
    /// `fchmodat2`.
    ///
    /// # Errors
    /// `EINVAL` for unknown flags, `EOPNOTSUPP` for a symlink itself; what a walk gives; `EBADF`.
    pub(crate) fn chmod_at(&mut self, directory: i32, path: &[u8], mode: u32, flags: u32) -> Result<(), Errno> {
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(Errno::INVAL);
        }
        match self.target(directory, path, flags)? {
            Target::Found(Found::Inode(inode)) => self.set_permissions(inode, mode),
            Target::Found(Found::Host(place)) => place.set_permissions(mode),
            Target::Open(object) => self.set_object_permissions(object, mode),
        }
    }

    /// `fchmod`.
    ///
    /// # Errors
    /// `EBADF`, `EPERM` for a stream, which is not the program's.
    pub(crate) fn chmod(&mut self, descriptor: i32, mode: u32) -> Result<(), Errno> {
        self.set_object_permissions(self.object(descriptor)?, mode)
    }

    fn set_object_permissions(&mut self, object: Object, mode: u32) -> Result<(), Errno> {
        match object {
            Object::Host(handle) => self.handles.get(handle)?.set_permissions(mode),
            _ => self.set_permissions(object.inode().ok_or(Errno::PERM)?, mode),
        }
    }

    /// `fchownat`: whoever owns everything can give it to nobody else.
    ///
    /// # Errors
    /// `EINVAL` for unknown flags, `EPERM` for another owner or group; what a walk gives; `EBADF`.
    pub(crate) fn chown_at(&mut self, directory: i32, path: &[u8], ids: [u32; 2], flags: u32) -> Result<(), Errno> {
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(Errno::INVAL);
        }
        match self.target(directory, path, flags)? {
            Target::Found(Found::Inode(inode)) => self.set_owner(inode, ids),
            Target::Found(Found::Host(place)) => may_own(place.stat()?, ids),
            Target::Open(object) => self.set_object_owner(object, ids),
        }
    }

    /// `fchown`.
    ///
    /// # Errors
    /// `EBADF`, `EPERM` for another owner or group, and for a stream, which is not the program's.
    pub(crate) fn chown(&mut self, descriptor: i32, ids: [u32; 2]) -> Result<(), Errno> {
        self.set_object_owner(self.object(descriptor)?, ids)
    }

    fn set_object_owner(&mut self, object: Object, ids: [u32; 2]) -> Result<(), Errno> {
        match object {
            Object::Host(handle) => may_own(self.handles.get(handle)?.stat()?, ids),
            _ => self.set_owner(object.inode().ok_or(Errno::PERM)?, ids),
        }
    }

    fn set_permissions(&mut self, inode: InodeId, mode: u32) -> Result<(), Errno> {
        if let Node::Symlink(_) = self.tree.inode(inode)?.node {
            return Err(Errno::OPNOTSUPP);
        }
        self.tree_mut().change(inode, |inode| inode.permissions = mode & S_IALLUGO)
    }

    fn set_owner(&mut self, inode: InodeId, ids: [u32; 2]) -> Result<(), Errno> {
        if ids.iter().any(|id| ![OWNER, KEEP].contains(id)) {
            return Err(Errno::PERM);
        }
        self.tree_mut().change(inode, |inode| {
            // What ran as its owner does not after it was given away, even if to the same one.
            if !matches!(inode.node, Node::Directory(_)) {
                let group = if inode.permissions & S_IXGRP == 0 { 0 } else { S_ISGID };
                inode.permissions &= !(S_ISUID | group);
            }
        })
    }
}

/// A file of the host's is given to who has it already, which changes nothing, or to nobody.
fn may_own(stat: Stat, [owner, group]: [u32; 2]) -> Result<(), Errno> {
    let stays = |id, has| id == KEEP || id == has;
    if stays(owner, stat.uid) && stays(group, stat.gid) { Ok(()) } else { Err(Errno::PERM) }
}
