//! From a path to where it ends: in the tree, or in a directory of the host's.
//!
//! ```text
//!   "/data/a/../../tmp/x"   tree: /data is a mount ──► host: a, .., and above the top ──► tree: tmp/x
//! ```
//! Each part of the way is walked where it lies ([`Tree::walk`](super::tree::Tree::walk), [`host::Walk`]); this goes back and forth between
//! them. Each turn uses a component or one of the forty symlinks up, so there is an end.

use std::sync::Arc;

use rustix::io::Errno;

use super::Files;
use super::abi::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW};
use super::descriptors::Object;
use super::host::{self, Anchor, HostPlace, Step};
use super::inode::InodeId;
use super::mounts::{HandleId, MountId};
use super::walk::{FinalLink, Place, Walked, check_path};

/// A directory that a path can start in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// One in the tree.
    Tree(InodeId),
    /// One of the host's.
    Host(HandleId),
}

impl Location {
    /// It as something that can be held.
    pub(super) fn object(self) -> Object {
        match self {
            Self::Tree(inode) => Object::Directory(inode),
            Self::Host(handle) => Object::Host(handle),
        }
    }
}

/// Where a path ended.
#[derive(Debug)]
pub(super) enum Resolved<'a> {
    /// In the tree.
    Tree(Place<'a>),
    /// In a directory of the host's.
    Host(HostPlace),
}

impl Files {
    /// Where a relative path starts. An absolute one does not look at its descriptor.
    fn start(&self, directory: i32, path: &[u8]) -> Result<Location, Errno> {
        match directory {
            _ if path.starts_with(b"/") => Ok(Location::Tree(InodeId::ROOT)),
            AT_FDCWD => Ok(self.current),
            _ => match self.descriptors.get(directory)?.object {
                Object::Directory(inode) => Ok(Location::Tree(inode)),
                Object::Path(inode) if self.tree.directory(inode).is_ok() => Ok(Location::Tree(inode)),
                Object::Host(handle) if self.handles.get(handle)?.is_directory() => Ok(Location::Host(handle)),
                _ => Err(Errno::NOTDIR),
            },
        }
    }

    /// Walks to the last component of a path, which need not be there. With `create`, a slash after the last component is refused before
    /// it is looked up, as `O_CREAT` does.
    ///
    /// # Errors
    /// `EBADF`, `ENOENT`, `ENOTDIR`, `EACCES` (a directory that may not be searched), `ENAMETOOLONG`, `ELOOP`; `EISDIR` as said.
    pub(super) fn resolve<'a>(
        &'a self,
        directory: i32,
        path: &'a [u8],
        final_link: FinalLink,
        create: bool,
    ) -> Result<Resolved<'a>, Errno> {
        check_path(path)?;
        let (mut mount, mut rest, mut links) = match self.start(directory, path)? {
            Location::Tree(start) => match self.tree.walk(start, path, final_link, create, 0)? {
                Walked::Place(place) => return Ok(Resolved::Tree(place)),
                Walked::Mount(mount, rest, links) => (self.top(mount)?, rest, links),
            },
            Location::Host(start) => {
                let handle = self.handles.get(start)?;
                ((handle.mount(), Anchor::Handle(Arc::clone(handle))), path.to_vec(), 0)
            }
        };
        let mut work = host::Work::default();
        loop {
            let root = self.mounts.get(mount.0)?.directory.root();
            let walk = host::Walk { root, mount: mount.0, final_link, create, work: &mut work };
            let (start, path) = match walk.go(mount.1, rest, links)? {
                Step::Place(place) => return Ok(Resolved::Host(place)),
                Step::Root { rest, links: followed } => {
                    links = followed;
                    (InodeId::ROOT, rest)
                }
                Step::Above { rest, links: followed } => {
                    links = followed;
                    (self.mounts.get(mount.0)?.parent, rest)
                }
            };
            match self.tree.walk(start, &path, final_link, create, links)? {
                Walked::Place(place) => return Ok(Resolved::Tree(place.into_owned())),
                Walked::Mount(id, left, followed) => (mount, rest, links) = (self.top(id)?, left, followed),
            }
        }
    }

    /// Walks to something that is there.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve); `ENOENT` if nothing is there, `ENOTDIR` if a slash comes after what is no directory.
    pub(super) fn find(&self, directory: i32, path: &[u8], final_link: FinalLink) -> Result<Found, Errno> {
        match self.resolve(directory, path, final_link, false)? {
            Resolved::Tree(place) => place.existing(&self.tree).map(Found::Inode),
            Resolved::Host(place) => place.stat().map(|_| Found::Host(place)),
        }
    }

    /// What a path and `AT_*` flags mean together.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub(super) fn target(&self, directory: i32, path: &[u8], flags: u32) -> Result<Target, Errno> {
        if path.is_empty() && flags & AT_EMPTY_PATH != 0 {
            let object = match directory {
                AT_FDCWD => self.current.object(),
                _ => self.descriptors.get(directory)?.object,
            };
            return Ok(Target::Open(object));
        }
        let final_link = if flags & AT_SYMLINK_NOFOLLOW == 0 { FinalLink::Follow } else { FinalLink::Stop };
        Ok(Target::Found(self.find(directory, path, final_link)?))
    }

    fn top(&self, mount: MountId) -> Result<(MountId, Anchor), Errno> {
        Ok((mount, Anchor::Root(Arc::clone(self.mounts.get(mount)?.directory.root()))))
    }
}

/// What a call with a path and a descriptor is about.
#[derive(Debug)]
pub(super) enum Target {
    /// What the path leads to.
    Found(Found),
    /// What the descriptor is open on.
    Open(Object),
}

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Found {
    /// Something in the tree.
    Inode(InodeId),
    /// Something of the host's.
    Host(HostPlace),
}
