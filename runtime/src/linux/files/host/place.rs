//! What can be done with a name in a directory of the host's.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use rustix::fs::{
    Access, AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Stat as HostStat, Timestamps, accessat, chmodat, linkat,
    mkdirat, openat, readlinkat, renameat_with, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::account::identity;
use super::walk::{Anchor, path_beneath};
use super::{Handle, Root};
use crate::linux::files::abi::{R_OK, W_OK, X_OK};
use crate::linux::files::mounts::MountId;
use crate::linux::files::stat::Stat;

/// The last component of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostLast {
    /// None: the path ends at the top.
    Root,
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// A name, which is there or not.
    Name(Vec<u8>),
}

/// Where a walk ended.
#[derive(Debug)]
pub(crate) struct HostPlace {
    pub(super) root: Arc<Root>,
    pub(super) mount: MountId,
    /// The directory that the name is in; without a name the directory that is meant.
    pub(super) directory: Anchor,
    pub(crate) last: HostLast,
    /// Whether slashes come after it: then only a directory will do.
    pub(crate) slash: bool,
    pub(super) found: Option<HostStat>,
}

/// How a file is to be opened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Opening {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) truncate: bool,
    /// `O_PATH`: a place and no access.
    pub(crate) path: bool,
    /// `O_SYNC` or `O_DSYNC`.
    pub(crate) synchronous: u32,
    pub(crate) permissions: u32,
}

/// Permissions that a guest may give: never those that lend its owner's rights to others.
pub(super) fn permissions(mode: u32, is_directory: bool) -> Mode {
    Mode::from_raw_mode(mode & if is_directory { 0o1777 } else { 0o777 })
}

impl HostPlace {
    /// What is there.
    ///
    /// # Errors
    /// `ENOENT` if nothing is, `ENOTDIR` if a slash comes after what is no directory.
    fn existing(&self) -> Result<&HostStat, Errno> {
        let found = self.found.as_ref().ok_or(Errno::NOENT)?;
        if self.slash && kind(found) != FileType::Directory {
            return Err(Errno::NOTDIR);
        }
        Ok(found)
    }

    pub(crate) fn exists(&self) -> bool {
        self.found.is_some()
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.found.as_ref().is_some_and(|found| kind(found) == FileType::Directory)
    }

    pub(crate) fn stat(&self) -> Result<Stat, Errno> {
        self.existing().map(Stat::of_host)
    }

    /// The name as the host is to be asked for it: the directory itself is its own `.`.
    fn name(&self) -> &[u8] {
        match &self.last {
            HostLast::Name(name) => name,
            HostLast::Root | HostLast::Dot | HostLast::DotDot => b".",
        }
    }

    /// The name to be made or removed.
    ///
    /// # Errors
    /// What `of_directory` says for a path that ends in none.
    fn own_name(&self, of_directory: Errno) -> Result<&[u8], Errno> {
        match &self.last {
            HostLast::Name(name) => Ok(name),
            _ => Err(of_directory),
        }
    }

    /// Asks whether this process may; `W_OK` is `EROFS` where programs may not write.
    pub(crate) fn access(&self, mode: u32) -> Result<(), Errno> {
        let mut access = Access::EXISTS;
        for (bit, wanted) in [(R_OK, Access::READ_OK), (W_OK, Access::WRITE_OK), (X_OK, Access::EXEC_OK)] {
            if mode & bit != 0 {
                access |= wanted;
            }
        }
        self.existing()?;
        accessat(&self.directory, self.name(), access, AtFlags::EACCESS | AtFlags::SYMLINK_NOFOLLOW)?;
        if mode & W_OK != 0 { self.root.check_writable() } else { Ok(()) }
    }

    pub(crate) fn readlink(&self) -> Result<Vec<u8>, Errno> {
        if self.existing().map(kind)? != FileType::Symlink {
            return Err(Errno::INVAL);
        }
        Ok(readlinkat(&self.directory, self.name(), Vec::new())?.into_bytes())
    }

    /// Makes a file that is not there and opens it.
    ///
    /// # Errors
    /// `EEXIST` if somebody was quicker, `EROFS`, `ENOSPC`, and what the host says.
    pub(crate) fn create(&self, opening: Opening) -> Result<Handle, Errno> {
        self.root.check_writable()?;
        let name = self.own_name(Errno::ISDIR)?;
        let flags = opening.flags() | OFlags::CREATE | OFlags::EXCL;
        let fd = self.add_name(|| openat(&self.directory, name, flags, permissions(opening.permissions, false)))?;
        Handle::new(&self.root, self.mount, fd)
    }

    /// Opens what is there.
    ///
    /// # Errors
    /// `ELOOP` for a symlink, `EISDIR`, `EROFS`, `ENXIO` for what is neither a file nor a directory, and what the host says.
    pub(crate) fn open(&self, opening: Opening) -> Result<Handle, Errno> {
        let found = kind(self.existing()?);
        let writes = opening.write || opening.truncate;
        let mut flags = opening.flags();
        match found {
            FileType::Symlink => return Err(Errno::LOOP),
            FileType::Directory if writes => return Err(Errno::ISDIR),
            FileType::Directory => flags |= OFlags::DIRECTORY,
            FileType::RegularFile => {}
            _ => return Err(Errno::NXIO),
        }
        if writes {
            self.root.check_writable()?;
        }
        let handle = Handle::new(&self.root, self.mount, openat(&self.directory, self.name(), flags, Mode::empty())?)?;
        if opening.truncate {
            handle.truncate(0)?;
        }
        Ok(handle)
    }

    /// The same place, looked at anew.
    pub(crate) fn again(&self) -> Result<Self, Errno> {
        Ok(Self {
            root: Arc::clone(&self.root),
            directory: self.directory.clone(),
            last: self.last.clone(),
            found: Some(self.look()?),
            ..*self
        })
    }

    /// What is there now.
    fn look(&self) -> Result<HostStat, Errno> {
        statat(&self.directory, self.name(), AtFlags::SYMLINK_NOFOLLOW)
    }

    /// The directory, to be in.
    pub(crate) fn enter(&self) -> Result<Handle, Errno> {
        if kind(self.existing()?) != FileType::Directory {
            return Err(Errno::NOTDIR);
        }
        accessat(&self.directory, self.name(), Access::EXEC_OK, AtFlags::EACCESS | AtFlags::SYMLINK_NOFOLLOW)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Handle::new(&self.root, self.mount, openat(&self.directory, self.name(), flags, Mode::empty())?)
    }

    pub(crate) fn mkdir(&self, mode: u32) -> Result<(), Errno> {
        let name = self.new_name()?;
        self.add_name(|| mkdirat(&self.directory, name, permissions(mode, true)))
    }

    /// Removes the name: of an empty directory, or of anything else.
    pub(crate) fn unlink(&self, directory: bool) -> Result<(), Errno> {
        let name = match &self.last {
            HostLast::Name(name) => name,
            _ if !directory => return Err(Errno::ISDIR),
            HostLast::Root => return Err(Errno::BUSY),
            HostLast::Dot => return Err(Errno::INVAL),
            HostLast::DotDot => return Err(Errno::NOTEMPTY),
        };
        let found = self.found.as_ref().ok_or(Errno::NOENT)?;
        if self.slash && !directory {
            return Err(if kind(found) == FileType::Directory { Errno::ISDIR } else { Errno::NOTDIR });
        }
        self.root.check_writable()?;
        let mut account = self.root.account.lock();
        // Another program may have put something else there since the walk: what is given back is what is removed.
        let removed = self.look()?;
        unlinkat(&self.directory, name, if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() })?;
        account.unlinked(&removed);
        Ok(())
    }

    pub(crate) fn symlink(&self, target: &[u8]) -> Result<(), Errno> {
        let name = self.new_name()?;
        if self.slash {
            return Err(Errno::NOENT);
        }
        self.add_name(|| symlinkat(target, &self.directory, name))
    }

    /// Gives what is here another name.
    ///
    /// # Errors
    /// `EXDEV` across directories of the embedder's, and what the host says.
    pub(crate) fn link(&self, to: &Self) -> Result<(), Errno> {
        let found = self.existing()?;
        if kind(found) == FileType::Directory {
            return Err(Errno::PERM);
        }
        let name = to.new_name()?;
        self.check_together(to)?;
        if to.slash {
            return Err(Errno::NOENT);
        }
        to.add_name(|| linkat(&self.directory, self.name(), &to.directory, name, AtFlags::empty()))
    }

    /// Renames.
    ///
    /// # Errors
    /// `EBUSY` for the top, `.` and `..`; `EXDEV` as [`link`](Self::link); what the host says.
    pub(crate) fn rename(&self, to: &Self, flags: RenameFlags) -> Result<(), Errno> {
        let (old, new) = (self.own_name(Errno::BUSY)?, to.own_name(Errno::BUSY)?);
        self.check_together(to)?;
        self.existing()?;
        if to.slash && !self.is_directory() {
            return Err(Errno::NOTDIR);
        }
        self.root.check_writable()?;
        let mut account = self.root.account.lock();
        // As they are now, as for a name that is removed.
        let (moved, replaced) = (self.look(), to.look());
        renameat_with(&self.directory, old, &to.directory, new, flags)?;
        // Two names of one file both stay.
        let replaced = replaced.ok().filter(|new| moved.as_ref().map(identity) != Ok(identity(new)));
        if let Some(replaced) = replaced.filter(|_| !flags.contains(RenameFlags::EXCHANGE)) {
            account.unlinked(&replaced);
        }
        Ok(())
    }

    pub(crate) fn set_permissions(&self, mode: u32) -> Result<(), Errno> {
        match kind(self.existing()?) {
            FileType::Symlink => return Err(Errno::OPNOTSUPP),
            FileType::RegularFile | FileType::Directory => {}
            _ => return Err(Errno::PERM),
        }
        self.root.check_writable()?;
        // By descriptor: a name could have become a symlink meanwhile, which fchmodat would follow. By one that is a place and no access: what
        // nobody may read or write can be given its permissions back.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = Handle::new(&self.root, self.mount, openat(&self.directory, self.name(), flags, Mode::empty())?)?;
        let path = format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd());
        chmodat(CWD, path, permissions(mode, handle.is_directory()), AtFlags::empty())
    }

    pub(crate) fn set_times(&self, times: &Timestamps) -> Result<(), Errno> {
        self.existing()?;
        self.root.check_writable()?;
        utimensat(&self.directory, self.name(), times, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Cuts a file off, or lengthens it with a hole.
    pub(crate) fn truncate(&self, length: u64) -> Result<(), Errno> {
        if self.is_directory() {
            return Err(Errno::ISDIR);
        }
        self.open(Opening { write: true, ..Opening::default() })?.truncate(length)
    }

    fn check_together(&self, other: &Self) -> Result<(), Errno> {
        if self.mount == other.mount { Ok(()) } else { Err(Errno::XDEV) }
    }

    /// The name to be made, if nothing is there.
    fn new_name(&self) -> Result<&[u8], Errno> {
        let name = self.own_name(Errno::EXIST)?;
        if self.exists() {
            return Err(Errno::EXIST);
        }
        self.root.check_writable()?;
        Ok(name)
    }

    /// Makes something that costs a name. The account is held meanwhile, so that whoever removes a name can tell what it leads to.
    fn add_name<R>(&self, make: impl FnOnce() -> Result<R, Errno>) -> Result<R, Errno> {
        let mut account = self.root.account.lock();
        account.add_name()?;
        make().inspect_err(|_| account.remove_name())
    }
}

impl Opening {
    fn flags(self) -> OFlags {
        let access = match (self.read, self.write || self.truncate) {
            (_, false) => OFlags::RDONLY,
            (false, true) => OFlags::WRONLY,
            (true, true) => OFlags::RDWR,
        };
        if self.path {
            return OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        }
        // A FIFO that took the file's place meanwhile must not make anybody wait.
        access
            | OFlags::from_bits_truncate(self.synchronous)
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::CLOEXEC
    }
}

fn kind(stat: &HostStat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

impl Handle {
    /// Its path beneath the top, which begins with a slash; empty for the top.
    ///
    /// # Errors
    /// As [`path_beneath`].
    pub(crate) fn path(self: &Arc<Self>) -> Result<Vec<u8>, Errno> {
        let path = path_beneath(self.root(), &Anchor::Handle(Arc::clone(self)))?;
        Ok(path.map_or_else(Vec::new, |path| [b"/", path.as_slice()].concat()))
    }
}
