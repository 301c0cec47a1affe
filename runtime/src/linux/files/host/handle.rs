//! What is open: a file or directory of the host's. Where the next read starts is not here but in the guest's table, so that a snapshot
//! can share what is open and yet go its own way.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{
    CWD, FallocateFlags, FileType, Mode, OFlags, Timestamps, fallocate, fdatasync, fstat, fsync, ftruncate, futimens,
    openat,
};
use rustix::io::{Errno, ReadWriteFlags, pread, pwrite, pwritev2, retry_on_intr};
use rustix::process::{Resource, getrlimit};

use super::account::{Identity, identity, length};
use super::place::permissions;
use super::{Account, Root};
use crate::linux::files::mounts::MountId;
use crate::linux::files::stat::Stat;

/// What the host has open, and what locks belong to.
#[derive(Debug)]
pub(crate) struct Opened(OwnedFd);

/// An open file or directory.
#[derive(Debug)]
pub(crate) struct Handle {
    root: Arc<Root>,
    mount: MountId,
    fd: Arc<Opened>,
    is_directory: bool,
    identity: Identity,
    /// Held while the descriptor's own position is used, which only a listing does.
    pub(super) position: Mutex<()>,
}

impl Handle {
    /// What `fd` is open on, if that may be used: `ENXIO` for what is neither a file nor a directory.
    pub(super) fn new(root: &Arc<Root>, mount: MountId, fd: OwnedFd) -> Result<Self, Errno> {
        let stat = fstat(&fd)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !kind.is_file() && !kind.is_dir() {
            return Err(Errno::NXIO);
        }
        let identity = identity(&stat);
        if kind.is_file() {
            root.account.lock().opened(identity);
        }
        let fd = Arc::new(Opened(fd));
        Ok(Self { root: Arc::clone(root), mount, fd, is_directory: kind.is_dir(), identity, position: Mutex::new(()) })
    }

    pub(crate) fn mount(&self) -> MountId {
        self.mount
    }

    pub(super) fn root(&self) -> &Arc<Root> {
        &self.root
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.is_directory
    }

    pub(crate) fn stat(&self) -> Result<Stat, Errno> {
        Ok(Stat::of_host(&fstat(self)?))
    }

    /// Its length now.
    pub(crate) fn length(&self) -> Result<u64, Errno> {
        Ok(length(&fstat(self)?))
    }

    /// Reads once; nothing at the end.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        if self.is_directory {
            return Err(Errno::ISDIR);
        }
        retry_on_intr(|| pread(self, &mut *buffer, offset))
    }

    /// Writes once, at `offset` or at the end, as much as the account bears; how much, and where it ended.
    pub(crate) fn write(&self, bytes: &[u8], offset: u64, append: bool) -> Result<(usize, u64), Errno> {
        let mut account = self.root.account.lock();
        let size = length(&fstat(self)?);
        let start = if append { size } else { offset };
        if start >= largest_file() {
            return Err(Errno::FBIG);
        }
        let wanted = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let room = account.reach(size, start, wanted).saturating_sub(start);
        let piece = bytes.get(..usize::try_from(room).unwrap_or(usize::MAX)).unwrap_or(bytes);
        if piece.is_empty() && !bytes.is_empty() {
            return Err(Errno::NOSPC);
        }
        let written = retry_on_intr(|| match append {
            // The file's end is the host's to know: others may write, too.
            true => pwritev2(self, &[IoSlice::new(piece)], 0, ReadWriteFlags::APPEND),
            false => pwrite(self, piece, start),
        })?;
        let end = start.saturating_add(u64::try_from(written).unwrap_or(0));
        account.resized(size, size.max(end));
        Ok((written, end))
    }

    /// Cuts the file off, or lengthens it with a hole.
    pub(crate) fn truncate(&self, to: u64) -> Result<(), Errno> {
        let mut account = self.root.account.lock();
        let size = length(&fstat(self)?);
        if to > size && to > largest_file() {
            return Err(Errno::FBIG);
        }
        if to > account.reach(size, 0, to) {
            return Err(Errno::NOSPC);
        }
        ftruncate(self, to)?;
        account.resized(size, to);
        Ok(())
    }

    /// Waits until what was written is on the disk.
    pub(crate) fn sync(&self, data_only: bool) -> Result<(), Errno> {
        if data_only { fdatasync(self) } else { fsync(self) }
    }

    /// The same file, whichever descriptor leads there.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    pub(crate) fn opened(&self) -> Arc<Opened> {
        Arc::clone(&self.fd)
    }

    /// The file opened once more, for both directions if that can be: for locks that belong to a process and not to one of its descriptors, nor
    /// to a snapshot that has the file open, too.
    pub(crate) fn opened_for_locks(&self) -> Arc<Opened> {
        let path = format!("/proc/self/fd/{}", self.as_fd().as_raw_fd());
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let accesses = [OFlags::RDWR, OFlags::RDONLY, OFlags::WRONLY].into_iter();
        let mut allowed = accesses.filter(|access| self.root.writable || *access == OFlags::RDONLY);
        let again = allowed.find_map(|access| openat(CWD, &path, access | flags, Mode::empty()).ok());
        again.map_or_else(|| self.opened(), |fd| Arc::new(Opened(fd)))
    }

    pub(crate) fn set_times(&self, times: &Timestamps) -> Result<(), Errno> {
        self.root.check_writable()?;
        futimens(self, times)
    }

    pub(crate) fn set_permissions(&self, mode: u32) -> Result<(), Errno> {
        self.root.check_writable()?;
        rustix::fs::fchmod(self, permissions(mode, self.is_directory))
    }

    /// Makes sure that there is room for a range, which lengthens the file if it reaches beyond its end.
    pub(crate) fn allocate(&self, offset: i64, length: i64) -> Result<(), Errno> {
        let (offset, count) = (offset.unsigned_abs(), length.unsigned_abs());
        let end = offset.checked_add(count).ok_or(Errno::FBIG)?;
        let mut account = self.root.account.lock();
        let size = self::length(&fstat(self)?);
        if end > size && end > largest_file() {
            return Err(Errno::FBIG);
        }
        if end > size && end > account.reach(size, offset, count) {
            return Err(Errno::NOSPC);
        }
        fallocate(self, FallocateFlags::empty(), offset, count)?;
        account.resized(size, size.max(end));
        Ok(())
    }
}

/// The length that no file of this process's may pass (`RLIMIT_FSIZE`). Who tries is sent a signal that ends the process, which no guest may bring
/// about.
fn largest_file() -> u64 {
    getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX)
}

impl PartialEq for Handle {
    /// Two that were opened apart are not the same, whatever they lead to.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Handle {}

impl PartialEq for Opened {
    /// As for handles.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Opened {}

impl AsFd for Opened {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.0.as_fd()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.is_directory {
            let account: &Mutex<Account> = &self.root.account;
            let mut account = account.lock();
            account.closed(self.identity, fstat(&*self).ok().as_ref());
        }
    }
}
