//! Record locks on the host's files, which belong to an open file: `F_OFD_SETLK`, fcntl(2). rustix has only those of whole files.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// What a lock is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockKind {
    Shared,
    Exclusive,
    /// None: the range is given back.
    Unlocked,
}

/// A range of a file and how it is locked. A length of 0 reaches to the end, wherever that comes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordLock {
    pub(crate) kind: LockKind,
    pub(crate) start: i64,
    pub(crate) length: i64,
}

impl RecordLock {
    fn raw(self) -> libc::flock {
        let kind = match self.kind {
            LockKind::Shared => libc::F_RDLCK,
            LockKind::Exclusive => libc::F_WRLCK,
            LockKind::Unlocked => libc::F_UNLCK,
        };
        libc::flock {
            // 0, 1 and 2.
            l_type: i16::try_from(kind).unwrap_or(0),
            l_whence: 0,
            l_start: self.start,
            l_len: self.length,
            l_pid: 0,
        }
    }

    /// Takes the lock, or gives the range back; never waits.
    ///
    /// # Errors
    /// `EAGAIN` if somebody else's is in the way, `EBADF` if the file is not open for what the lock is for, `ENOLCK`.
    pub(crate) fn set(self, file: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut lock = self.raw();
        control(file, libc::F_OFD_SETLK, &mut lock)
    }

    /// Somebody else's lock that is in the way of this one.
    ///
    /// # Errors
    /// `EINVAL` for a range that is none.
    pub(crate) fn conflict(self, file: BorrowedFd<'_>) -> Result<Option<Self>, Errno> {
        let mut lock = self.raw();
        control(file, libc::F_OFD_GETLK, &mut lock)?;
        let kind = match i32::from(lock.l_type) {
            libc::F_RDLCK => LockKind::Shared,
            libc::F_WRLCK => LockKind::Exclusive,
            _ => return Ok(None),
        };
        Ok(Some(Self { kind, start: lock.l_start, length: lock.l_len }))
    }
}

fn control(file: BorrowedFd<'_>, command: libc::c_int, lock: &mut libc::flock) -> Result<(), Errno> {
    // SAFETY: the descriptor is open as long as it is borrowed, and these commands read and write one `struct flock`, which `lock` is.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, std::ptr::from_mut(lock)) };
    if result == -1 { Err(last_errno()) } else { Ok(()) }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_lock_is_in_the_way_of_another_open_file_until_it_is_given_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let other = file.reopen().unwrap();
        let lock = RecordLock { kind: LockKind::Exclusive, start: 10, length: 5 };
        lock.set(file.as_fd()).unwrap();
        let wanted = RecordLock { kind: LockKind::Shared, start: 0, length: 0 };
        assert_eq!(wanted.set(other.as_fd()), Err(Errno::AGAIN));
        assert_eq!(wanted.conflict(other.as_fd()), Ok(Some(lock)));
        RecordLock { start: 15, ..wanted }.set(other.as_fd()).unwrap();
        RecordLock { kind: LockKind::Unlocked, ..lock }.set(file.as_fd()).unwrap();
        assert_eq!(wanted.conflict(other.as_fd()), Ok(None));
        wanted.set(other.as_fd()).unwrap();
    }
}
