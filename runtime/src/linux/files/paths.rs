//! Calls that take a path: ask about what is there, make and remove names, move about.

use std::borrow::Cow;

use rustix::io::Errno;

use super::Files;
use super::abi::{
    AT_EACCESS, AT_EMPTY_PATH, AT_FDCWD, AT_NO_AUTOMOUNT, AT_REMOVEDIR, AT_STATX_SYNC_TYPE, AT_SYMLINK_NOFOLLOW,
    MKDIR_BITS, PATH_BYTES, R_OK, W_OK, X_OK,
};
use super::descriptors::{Description, Object};
use super::inode::{InodeId, Node};
use super::mounts::{HandleId, Mount};
use super::resolve::{Found, Location, Resolved, Target};
use super::stat::Stat;
use super::walk::{FinalLink, Last};

impl Files {
    /// `fstat`.
    ///
    /// # Errors
    /// `EBADF`.
    pub(crate) fn stat(&self, descriptor: i32) -> Result<Stat, Errno> {
        self.stat_of(self.descriptors.get(descriptor)?.object)
    }

    fn stat_of(&self, object: Object) -> Result<Stat, Errno> {
        match object {
            Object::Stream(stream) => Ok(Stat::of_stream(stream)),
            Object::Host(handle) => self.handles.get(handle)?.stat(),
            _ => Stat::of_inode(&self.tree, object.inode().ok_or(Errno::BADF)?),
        }
    }

    /// `fsync`, and `fdatasync` with `data_only`. What is in the tree is nowhere else.
    ///
    /// # Errors
    /// `EBADF`, and what the host says.
    pub(crate) fn sync(&self, descriptor: i32, data_only: bool) -> Result<(), Errno> {
        match self.object(descriptor)? {
            Object::Host(handle) => self.handles.get(handle)?.sync(data_only),
            Object::Stream(_) | Object::Pipe(_) | Object::Socket(_) | Object::Counter(_) | Object::Epoll(_) => {
                Err(Errno::INVAL)
            }
            _ => Ok(()),
        }
    }

    /// `newfstatat`, and `statx` less its buffer.
    ///
    /// # Errors
    /// `EINVAL` for unknown flags; what a walk gives; `EBADF`.
    pub(crate) fn stat_at(&self, directory: i32, path: &[u8], flags: u32) -> Result<Stat, Errno> {
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE) != 0 {
            return Err(Errno::INVAL);
        }
        match self.target(directory, path, flags)? {
            Target::Found(Found::Inode(inode)) => Stat::of_inode(&self.tree, inode),
            Target::Found(Found::Host(place)) => place.stat(),
            Target::Open(object) => self.stat_of(object),
        }
    }

    /// `faccessat2`, asked as the owner. `mode` is `F_OK` (0) or a sum of `R_OK`, `W_OK` and `X_OK`.
    ///
    /// # Errors
    /// `EACCES` if it is not allowed, `EINVAL` for an unknown mode or flag; what a walk gives; `EBADF`.
    pub(crate) fn access_at(&self, directory: i32, path: &[u8], mode: u32, flags: u32) -> Result<(), Errno> {
        if mode & !(R_OK | W_OK | X_OK) != 0 || flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(Errno::INVAL);
        }
        let have = match self.target(directory, path, flags)? {
            Target::Found(Found::Inode(inode)) => self.tree.inode(inode)?.permissions,
            Target::Found(Found::Host(place)) => return place.access(mode),
            Target::Open(object) => self.stat_of(object)?.mode,
        };
        if (have >> 6) & mode == mode { Ok(()) } else { Err(Errno::ACCESS) }
    }

    /// `readlinkat`: the whole target, which the caller cuts to the guest's buffer.
    ///
    /// # Errors
    /// `EINVAL` if it is no symlink; what a walk gives; `EBADF`.
    pub(crate) fn readlink_at(&self, directory: i32, path: &[u8]) -> Result<Cow<'_, [u8]>, Errno> {
        let found = match self.descriptors.get(directory) {
            // A symlink that was opened itself.
            Ok(Description { object: Object::Path(inode), .. }) if path.is_empty() => Found::Inode(*inode),
            _ => self.find(directory, path, FinalLink::Stop)?,
        };
        match found {
            Found::Inode(inode) => match &self.tree.inode(inode)?.node {
                Node::Symlink(target) => Ok(Cow::Borrowed(target)),
                _ => Err(if path.is_empty() { Errno::NOENT } else { Errno::INVAL }),
            },
            Found::Host(place) => place.readlink().map(Cow::Owned),
        }
    }

    /// `mkdirat`.
    ///
    /// # Errors
    /// `EEXIST`, `EACCES`, `ENOSPC`; what a walk gives; `EBADF`.
    pub(crate) fn mkdir_at(&mut self, directory: i32, path: &[u8], mode: u32) -> Result<(), Errno> {
        let place = match self.resolve(directory, path, FinalLink::Name, false)? {
            Resolved::Tree(place) => place,
            Resolved::Host(place) => return place.mkdir(mode & !self.umask),
        };
        let (Last::Name(name), None) = (&place.last, place.inode) else {
            return Err(Errno::EXIST);
        };
        let (parent, name) = (place.directory, name.to_vec());
        self.may_change(parent)?;
        let permissions = mode & MKDIR_BITS & !self.umask;
        self.tree_mut().create(parent, &name, Node::directory(parent), permissions)?;
        Ok(())
    }

    /// `unlinkat`: removes a name, with `AT_REMOVEDIR` that of an empty directory and otherwise that of anything else.
    ///
    /// # Errors
    /// `EINVAL` for unknown flags and for removing `.`, `EISDIR`, `ENOTDIR`, `ENOTEMPTY`, `EBUSY` for the root, `EACCES`; what a walk
    /// gives; `EBADF`.
    pub(crate) fn unlink_at(&mut self, directory: i32, path: &[u8], flags: u32) -> Result<(), Errno> {
        if flags & !AT_REMOVEDIR != 0 {
            return Err(Errno::INVAL);
        }
        let remove_directory = flags & AT_REMOVEDIR != 0;
        let place = match self.resolve(directory, path, FinalLink::Name, false)? {
            Resolved::Tree(place) => place,
            Resolved::Host(place) => return place.unlink(remove_directory),
        };
        let name = match &place.last {
            Last::Name(name) => name,
            _ if !remove_directory => return Err(Errno::ISDIR),
            Last::Root => return Err(Errno::BUSY),
            Last::Dot => return Err(Errno::INVAL),
            Last::DotDot => return Err(Errno::NOTEMPTY),
        };
        let inode = place.inode.ok_or(Errno::NOENT)?;
        let is_directory = self.tree.directory(inode).is_ok();
        if place.slash && !remove_directory {
            return Err(if is_directory { Errno::ISDIR } else { Errno::NOTDIR });
        }
        let (parent, name) = (place.directory, name.to_vec());
        self.may_change(parent)?;
        match (remove_directory, is_directory) {
            (true, false) => return Err(Errno::NOTDIR),
            (false, true) => return Err(Errno::ISDIR),
            _ => {}
        }
        let cut = self.tree_mut().cut(parent, &name)?;
        self.release_inode(Some(cut));
        Ok(())
    }

    /// `chdir`.
    ///
    /// # Errors
    /// `ENOTDIR`, `EACCES` if it may not be searched; what a walk gives.
    pub(crate) fn chdir(&mut self, path: &[u8]) -> Result<(), Errno> {
        match self.find(AT_FDCWD, path, FinalLink::Follow)? {
            Found::Inode(inode) => self.enter(inode),
            Found::Host(place) => {
                let handle = self.handles.add(place.enter()?);
                self.move_to(Location::Host(handle));
                Ok(())
            }
        }
    }

    /// `fchdir`.
    ///
    /// # Errors
    /// `EBADF`, `ENOTDIR`, `EACCES` if it may not be searched.
    pub(crate) fn fchdir(&mut self, descriptor: i32) -> Result<(), Errno> {
        match self.descriptors.get(descriptor)?.object {
            Object::Directory(inode) | Object::Path(inode) => self.enter(inode),
            Object::Host(handle) if self.handles.get(handle)?.is_directory() => {
                self.move_to(Location::Host(handle));
                Ok(())
            }
            _ => Err(Errno::NOTDIR),
        }
    }

    /// `getcwd`, without the NUL.
    ///
    /// # Errors
    /// `ENOENT` if the current directory has been removed, `ENAMETOOLONG` if its path would not fit `PATH_MAX`.
    pub(crate) fn getcwd(&self) -> Result<Vec<u8>, Errno> {
        let path = match self.current {
            Location::Tree(inode) => self.tree.path_of(inode)?,
            Location::Host(handle) => self.path_of_host(handle)?,
        };
        if path.len() > PATH_BYTES { Err(Errno::NAMETOOLONG) } else { Ok(path) }
    }

    /// The path of what is open in a directory of the host's.
    ///
    /// # Errors
    /// `ENOENT` if it was removed, or moved to somewhere else.
    pub(super) fn path_of_host(&self, handle: HandleId) -> Result<Vec<u8>, Errno> {
        let handle = self.handles.get(handle)?;
        let Mount { parent, inode, .. } = *self.mounts.get(handle.mount())?;
        Ok([self.tree.path_of_child(parent, inode)?, handle.path()?].concat())
    }

    /// Whether names in this directory may be made and removed.
    ///
    /// # Errors
    /// `EACCES` if its permissions forbid it.
    pub(super) fn may_change(&self, directory: InodeId) -> Result<(), Errno> {
        if self.tree.inode(directory)?.allows(W_OK | X_OK) { Ok(()) } else { Err(Errno::ACCESS) }
    }

    fn enter(&mut self, directory: InodeId) -> Result<(), Errno> {
        self.tree.directory(directory)?;
        if !self.tree.inode(directory)?.allows(X_OK) {
            return Err(Errno::ACCESS);
        }
        self.move_to(Location::Tree(directory));
        Ok(())
    }

    fn move_to(&mut self, directory: Location) {
        let left = std::mem::replace(&mut self.current, directory);
        self.release(Some(left.object()));
    }
}
