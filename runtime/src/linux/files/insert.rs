//! What is in the tree before the guest runs: `/tmp`, `/dev`, and what the embedder puts there, directories of the host's included.
//!
//! The embedder's paths are trusted, but the tree may be the guest's work by now. So they are taken literally: absolute, no `..`,
//! through real directories only. A guest's symlink cannot send a file anywhere else.

use std::sync::Arc;

use rustix::io::Errno;

use super::Files;
use super::abi::{NAME_BYTES, PATH_BYTES};
use super::host::HostDir;
use super::inode::{Device, InodeId, Node};
use super::mounts::{Mount, MountId};
use super::tree::{Quota, Tree};

/// Why something could not be put into a guest's file system.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InsertError {
    /// Not a path that names one place.
    #[error("guest path {path:?} is not usable: give an absolute path without \"..\", trailing slash or NUL")]
    Path {
        /// The path.
        path: String,
    },
    /// Longer than Linux lets a program name it.
    #[error("guest path {path:?} is too long: at most {PATH_BYTES} bytes, {NAME_BYTES} in each name")]
    TooLong {
        /// The path.
        path: String,
    },
    /// A symlink must lead somewhere.
    #[error("symlink target of {path:?} has {len} bytes: give 1 to {PATH_BYTES}, none of them NUL")]
    Target {
        /// The symlink's own path.
        path: String,
        /// The length of its target.
        len: usize,
    },
    /// Something else is in the way.
    #[error("guest path {path:?}: {at:?} is there and is something else: remove it or choose another path")]
    InTheWay {
        /// The path.
        path: String,
        /// The part of it that is taken.
        at: String,
    },
    /// It cannot be the directory that the program starts in.
    #[error("the program cannot start in {path:?} ({errno}): place a directory there")]
    Current {
        /// The path.
        path: String,
        /// Why not.
        errno: Errno,
    },
    /// There are as many directories of the host's as can be.
    #[error("guest path {path:?}: there are 65535 host directories already")]
    Mounts {
        /// The path.
        path: String,
    },
    /// It does not fit.
    #[error(
        "guest path {path:?} needs {bytes} bytes and {inodes} inodes, {} and {} are left: give the sandbox a larger quota",
        .left.bytes, .left.inodes
    )]
    Quota {
        /// The path.
        path: String,
        /// Bytes it would take: contents, and names that are not there yet.
        bytes: usize,
        /// Inodes it would take.
        inodes: usize,
        /// What is left of the quota.
        left: Quota,
    },
}

impl Files {
    /// Puts a file there, with the directories on the way (`0755`). A file that is there already is replaced, also for who has it open.
    ///
    /// # Errors
    /// [`InsertError`]; nothing has changed then.
    pub(crate) fn insert(&mut self, path: &[u8], bytes: Vec<u8>, mode: u32) -> Result<(), InsertError> {
        self.tree_mut().insert(path, New::File(bytes), mode).map(|_| ())
    }

    /// Puts a symlink there, with the directories on the way. One that is there already must be the same.
    ///
    /// # Errors
    /// [`InsertError`]; nothing has changed then.
    pub(crate) fn insert_symlink(&mut self, path: &[u8], target: &[u8]) -> Result<(), InsertError> {
        if target.is_empty() || target.len() > PATH_BYTES || target.contains(&0) {
            return Err(InsertError::Target { path: readable(path), len: target.len() });
        }
        self.tree_mut().insert(path, New::Symlink(target), 0o777).map(|_| ())
    }

    /// Puts a directory there, with those on the way. One that is there already stays as it is.
    ///
    /// # Errors
    /// [`InsertError`]; nothing has changed then.
    pub(crate) fn insert_directory(&mut self, path: &[u8], mode: u32) -> Result<(), InsertError> {
        self.tree_mut().insert(path, New::Directory, mode).map(|_| ())
    }

    /// Makes a directory the current one.
    ///
    /// # Errors
    /// [`InsertError::Current`] if there is no such directory.
    pub(crate) fn start_in(&mut self, path: &[u8]) -> Result<(), InsertError> {
        self.chdir(path).map_err(|errno| InsertError::Current { path: readable(path), errno })
    }

    /// Puts a directory of the host's there, with the directories on the way. What is there already must be an empty directory.
    ///
    /// # Errors
    /// [`InsertError`]; nothing has changed then.
    pub(crate) fn insert_mount(&mut self, path: &[u8], directory: &HostDir) -> Result<(), InsertError> {
        let mount = self.mounts.next().map_err(|_| InsertError::Mounts { path: readable(path) })?;
        let (parent, inode) = self.tree_mut().insert(path, New::Mount(mount), 0o755)?;
        self.mounts.add(Mount { directory: directory.clone(), parent, inode });
        Ok(())
    }
}

/// What is to be put somewhere.
#[derive(Debug)]
enum New<'a> {
    File(Vec<u8>),
    Symlink(&'a [u8]),
    Directory,
    Mount(MountId),
}

impl New<'_> {
    fn bytes(&self) -> usize {
        match self {
            Self::File(bytes) => bytes.len(),
            Self::Symlink(target) => target.len(),
            Self::Directory | Self::Mount(_) => 0,
        }
    }

    fn into_node(self, parent: InodeId) -> Node {
        match self {
            Self::File(mut bytes) => {
                bytes.shrink_to_fit();
                Node::File(Arc::new(bytes))
            }
            Self::Symlink(target) => Node::Symlink(target.into()),
            Self::Directory => Node::directory(parent),
            Self::Mount(mount) => Node::Mount(mount),
        }
    }
}

impl Tree {
    /// A tree with `/tmp`, `/dev` and the devices. A quota too small even for these leaves some out.
    pub(crate) fn new(quota: Quota) -> Self {
        let mut tree = Self::bare(quota);
        let devices = [
            (&b"null"[..], Device::Null),
            (b"zero", Device::Zero),
            (b"full", Device::Full),
            (b"random", Device::Random),
            (b"urandom", Device::Random),
        ];
        let root = InodeId::ROOT;
        let _ = tree.create(root, b"tmp", Node::directory(root), 0o1777);
        if let Ok(dev) = tree.create(root, b"dev", Node::directory(root), 0o755) {
            for (name, device) in devices {
                let _ = tree.create(dev, name, Node::Device(device), 0o666);
            }
        }
        tree
    }

    /// Puts something there; the directory that it is in, and itself.
    fn insert(&mut self, path: &[u8], new: New<'_>, mode: u32) -> Result<(InodeId, InodeId), InsertError> {
        let names = names_of(path)?;
        // First look how far the path leads and what the rest costs, then change something.
        let (mut above, mut found) = (InodeId::ROOT, InodeId::ROOT);
        let mut depth = 0;
        for name in &names {
            let Ok(directory) = self.directory(found) else { break };
            let Some(inode) = directory.lookup(name) else { break };
            (above, found) = (found, inode);
            depth += 1;
        }
        let missing = names.get(depth..).unwrap_or_default();
        let bytes = missing.iter().fold(new.bytes(), |sum, name| sum.saturating_add(name.len()));
        let no_room = InsertError::Quota { path: readable(path), bytes, inodes: missing.len(), left: self.left() };
        let in_the_way = InsertError::InTheWay {
            path: readable(path),
            at: names.iter().take(depth).fold(String::new(), |at, name| at + "/" + &readable(name)),
        };
        let Some((last, parents)) = missing.split_last() else {
            match (&self.inode(found).map_err(|_| in_the_way.clone())?.node, new) {
                (Node::File(_), New::File(bytes)) => self.replace(found, bytes, mode).map_err(|_| no_room)?,
                (Node::Symlink(old), New::Symlink(target)) if **old == *target => {}
                (Node::Directory(_), New::Directory) => {}
                (Node::Directory(names), New::Mount(mount)) if names.is_empty() => self.cover(found, mount),
                _ => return Err(in_the_way),
            }
            return Ok((above, found));
        };
        if self.directory(found).is_err() {
            return Err(in_the_way);
        }
        if bytes > self.left().bytes || missing.len() > self.left().inodes {
            return Err(no_room);
        }
        let mut parent = found;
        let mut create = |parent, name: &[u8], node, mode| self.create(parent, name, node, mode);
        for name in parents {
            parent = create(parent, name, Node::directory(parent), 0o755).map_err(|_: Errno| no_room.clone())?;
        }
        let inode = create(parent, last, new.into_node(parent), mode).map_err(|_| no_room)?;
        Ok((parent, inode))
    }
}

/// The names in an embedder's path.
fn names_of(path: &[u8]) -> Result<Vec<&[u8]>, InsertError> {
    let bad = || InsertError::Path { path: readable(path) };
    if !path.starts_with(b"/") || path.ends_with(b"/") || path.contains(&0) {
        return Err(bad());
    }
    let names = path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")).collect::<Vec<_>>();
    if names.is_empty() || names.iter().any(|name| *name == b"..") {
        return Err(bad());
    }
    if path.len() > PATH_BYTES || names.iter().any(|name| name.len() > NAME_BYTES) {
        return Err(InsertError::TooLong { path: readable(path) });
    }
    Ok(names)
}

fn readable(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
