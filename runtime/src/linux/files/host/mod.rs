//! Directories of the host that a guest may use: opened once by the embedder, and never left.
//!
//! ```text
//!   HostDir ── descriptor of the directory, may it be written, how much it may grow
//!      ▲
//!   walk      a guest's path, a component at a time, never through a symlink of the host's and never by ".."
//!   place     where a walk ended: what can be done with a name in a directory
//!   handle    what is open: reads and writes at offsets that the guest's descriptor table keeps
//!   listing, stat, account
//! ```
//!
//! Every call on the host names a descriptor beneath the directory and a single component, which is not followed if it is a symlink
//! (or `openat2` resolves several with `RESOLVE_BENEATH` and no symlinks at all). So whoever renames and swaps things meanwhile, no call
//! can reach beyond. Symlinks are read and followed here, in the guest's own file system, as in a container.

mod account;
mod handle;
mod listing;
mod place;
mod stat;
#[cfg(test)]
mod tests;
mod walk;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use self::account::Account;
pub(crate) use self::handle::{Handle, Opened};
pub(crate) use self::listing::HostName;
pub(crate) use self::place::{HostPlace, Opening};
pub(crate) use self::walk::{Anchor, Step, Walk, Work};

/// A directory of the host that programs may use: see [`Command::dir`](crate::Command::dir).
///
/// It is opened once and then meant itself, whatever happens to its path. Clones are the same directory, with one account of what was
/// written. Programs see what is beneath it and nothing else: `..` at its top leads to where it was put in the program's own file system, and
/// symlinks are followed there, too, so that an absolute one does not reach the host's root. Devices, sockets and FIFOs can be seen but not
/// opened, and set-user-ID and set-group-ID bits are never set.
///
/// Files are read and written with this process's own rights. To the program, what belongs to this process's user belongs to its own user
/// (1000), and everything else to nobody (65534).
///
/// ```no_run
/// use ampoule::{Command, HostDir, Program};
///
/// let library = HostDir::read_only("/usr/lib/python3.11")?;
/// let data = HostDir::read_write("data")?.max_growth(16 << 20);
/// let program = Program::from_file("python")?;
/// let output = Command::new(&program).dir("/lib/python3.11", &library).dir("/data", &data).output()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct HostDir(Arc<Root>);

/// A directory that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the directory {path:?}: {source}")]
#[non_exhaustive]
pub struct HostDirError {
    /// Its path.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

/// The directory itself.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
    path: PathBuf,
    writable: bool,
    account: Mutex<Account>,
}

impl HostDir {
    /// Bytes by which all programs together may make the files in a directory larger, unless [`max_growth`](Self::max_growth) says otherwise.
    pub const DEFAULT_GROWTH: u64 = 256 << 20;
    /// Names that all programs together may add to a directory, unless [`max_names`](Self::max_names) says otherwise.
    pub const DEFAULT_NAMES: u64 = 65_536;

    /// A directory that programs may read.
    ///
    /// # Errors
    /// [`HostDirError`] if it cannot be opened.
    pub fn read_only(path: impl AsRef<Path>) -> Result<Self, HostDirError> {
        Self::open(path.as_ref(), false)
    }

    /// A directory that programs may read and change.
    ///
    /// # Errors
    /// [`HostDirError`] if it cannot be opened.
    pub fn read_write(path: impl AsRef<Path>) -> Result<Self, HostDirError> {
        Self::open(path.as_ref(), true)
    }

    /// Bytes by which all programs together may make its files larger, from now on. What they remove or cut off counts in their favour. Beyond
    /// it a write is `ENOSPC`. Lengths are counted, not blocks: to fill the holes of a sparse file costs nothing, and to remove it gives all of it back.
    #[must_use]
    pub fn max_growth(self, bytes: u64) -> Self {
        self.0.account.lock().bytes = bytes;
        self
    }

    /// Names of files, directories and links that all programs together may add to it, from now on. What they remove counts in their favour.
    /// Beyond it another one is `ENOSPC`.
    #[must_use]
    pub fn max_names(self, count: u64) -> Self {
        self.0.account.lock().names = count;
        self
    }

    /// The path that it was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// True if programs may change it.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.0.writable
    }

    fn open(path: &Path, writable: bool) -> Result<Self, HostDirError> {
        // A path descriptor, so that a directory that may be searched but not listed will do.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(rustix::fs::CWD, path, flags, Mode::empty());
        let fd = opened.map_err(|errno| HostDirError { path: path.to_owned(), source: errno.into() })?;
        let account = Account::new(Self::DEFAULT_GROWTH, Self::DEFAULT_NAMES);
        Ok(Self(Arc::new(Root { fd, path: path.to_owned(), writable, account: Mutex::new(account) })))
    }

    pub(crate) fn root(&self) -> &Arc<Root> {
        &self.0
    }
}

impl fmt::Debug for HostDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Root { path, writable, .. } = &*self.0;
        f.debug_struct("HostDir").field("path", path).field("writable", writable).finish_non_exhaustive()
    }
}

impl PartialEq for HostDir {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for HostDir {}

impl Root {
    /// `EROFS` unless programs may change it.
    pub(crate) fn check_writable(&self) -> Result<(), Errno> {
        if self.writable { Ok(()) } else { Err(Errno::ROFS) }
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
