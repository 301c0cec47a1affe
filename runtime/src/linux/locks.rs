//! Locks on ranges (`fcntl`) and on whole files (`flock`): checked as Linux checks them. In the tree they are always to be had, because nobody
//! else is there to hold one; on files of the host's they are the host's.

use std::os::fd::AsFd;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::files::HandleId;
use super::files::Object;
use super::files::abi::{SEEK_CUR, SEEK_END, SEEK_SET};
use super::reply::{Refusal, Reply};
use super::{Kernel, descriptor};
use crate::vm::clock::{self, Nanos};
use crate::vm::file_lock::{LockKind, RecordLock};
use crate::vm::parked::Done;

/// How long a program that waits for a lock on a file of the host's waits before it tries again.
const RETRY: Nanos = 1_000_000;

/// `fcntl`: what keeps a lock from being had.
const F_GETLK: u32 = 5;
/// `fcntl`: take or give back a lock, or `EAGAIN`.
const F_SETLK: u32 = 6;
/// `fcntl`: the same, waiting for it.
const F_SETLKW: u32 = 7;
/// The same three for locks that belong to an open file.
const F_OFD_GETLK: u32 = 36;
const F_OFD_SETLK: u32 = 37;
const F_OFD_SETLKW: u32 = 38;

/// `l_type`: a shared lock.
const F_RDLCK: u16 = 0;
/// `l_type`: an exclusive lock.
const F_WRLCK: u16 = 1;
/// `l_type`: none.
const F_UNLCK: u16 = 2;

/// `flock`: shared, exclusive, unlock; do not wait.
const LOCK_SH: u32 = 1;
const LOCK_EX: u32 = 2;
const LOCK_NB: u32 = 4;
const LOCK_UN: u32 = 8;

/// Whether a command of `fcntl` is one of these.
pub(super) fn is_lock(command: u32) -> bool {
    matches!(command, F_GETLK | F_SETLK | F_SETLKW | F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW)
}

impl Kernel<'_> {
    /// `struct flock`: type and whence in a word, start, length, and the process in half a word.
    pub(super) fn sys_lock(&mut self, fd: u64, command: u32, address: u64) -> Reply {
        let fd = descriptor(fd);
        let object = self.process.files.object(fd)?;
        let [head, start, length, process] = self.read_words(address)?;
        let [a, b, c, d, ..] = head.to_le_bytes();
        let (kind, whence) = (u16::from_le_bytes([a, b]), u32::from(u16::from_le_bytes([c, d])));
        let asks = matches!(command, F_GETLK | F_OFD_GETLK);
        if command == F_GETLK && kind != F_RDLCK && kind != F_WRLCK {
            return Err(Errno::INVAL.into());
        }
        let base = match whence {
            SEEK_SET => 0,
            // What has no offset starts at 0.
            SEEK_CUR => self.process.files.lseek(fd, 0, SEEK_CUR).unwrap_or(0),
            SEEK_END => self.process.files.stat(fd)?.size,
            _ => return Err(Errno::INVAL.into()),
        };
        check_range(base, start.cast_signed(), length.cast_signed())?;
        if kind > F_UNLCK {
            return Err(Errno::INVAL.into());
        }
        // The upper half of the last word is padding.
        if command >= F_OFD_GETLK && process & u64::from(u32::MAX) != 0 {
            return Err(Errno::INVAL.into());
        }
        let [reads, writes] = self.process.files.directions(fd)?;
        let is_allowed = match kind {
            _ if asks => true,
            F_RDLCK => reads,
            F_WRLCK => writes,
            _ => true,
        };
        if !is_allowed {
            return Err(Errno::BADF.into());
        }
        if let Object::Host(file) = object {
            let length = length.cast_signed();
            let first = base.saturating_add(start.cast_signed());
            let kind = match kind {
                F_RDLCK => LockKind::Shared,
                F_WRLCK => LockKind::Exclusive,
                _ => LockKind::Unlocked,
            };
            // A negative length ends where it starts.
            let start = if length < 0 { first.saturating_add(length) } else { first };
            let lock = RecordLock { kind, start, length: length.saturating_abs() };
            return self.lock_host_file(file, command, lock, address);
        }
        if asks {
            self.write_all(address, &F_UNLCK.to_le_bytes())?;
        }
        Ok(0)
    }

    /// On a file of the host's there may be others: other guests, and the host's own programs.
    fn lock_host_file(&mut self, file: HandleId, command: u32, lock: RecordLock, address: u64) -> Reply {
        let own = command < F_OFD_GETLK;
        let holder = self.process.files.lockable(file, own)?;
        if matches!(command, F_GETLK | F_OFD_GETLK) {
            let Some(found) = lock.conflict(holder.as_fd())? else {
                self.write_all(address, &F_UNLCK.to_le_bytes())?;
                return Ok(0);
            };
            let kind = if found.kind == LockKind::Exclusive { F_WRLCK } else { F_RDLCK };
            // Whose it is, is nobody that the program could know: -1, as for locks of open files.
            let words =
                [u64::from(kind), found.start.cast_unsigned(), found.length.cast_unsigned(), u64::from(u32::MAX)];
            self.write_words(address, &words)?;
            return Ok(0);
        }
        self.until_it_can_be_had(matches!(command, F_SETLKW | F_OFD_SETLKW), || lock.set(holder.as_fd()))
    }

    /// flock(2).
    pub(super) fn sys_flock(&mut self, fd: u64, operation: u32) -> Reply {
        let wanted = match operation & !LOCK_NB {
            LOCK_SH => FlockOperation::NonBlockingLockShared,
            LOCK_EX => FlockOperation::NonBlockingLockExclusive,
            LOCK_UN => FlockOperation::NonBlockingUnlock,
            _ => return Err(Errno::INVAL.into()),
        };
        let Object::Host(file) = self.process.files.object(descriptor(fd))? else { return Ok(0) };
        let holder = self.process.files.lockable(file, false)?;
        self.until_it_can_be_had(operation & LOCK_NB == 0, || rustix::fs::flock(holder.as_fd(), wanted))
    }

    /// Tries to take a lock that others may hold, again and again if the program waits for it.
    fn until_it_can_be_had(&mut self, waits: bool, take: impl Fn() -> Result<(), Errno>) -> Result<u64, Refusal> {
        loop {
            match take() {
                Err(Errno::AGAIN) if waits => {
                    let next = clock::monotonic().saturating_add(RETRY);
                    self.watch.wait_in_call(Done::Nothing, &[], Some(next))?;
                }
                taken => return Ok(taken.map(|()| 0)?),
            }
        }
    }
}

/// That a lock begins and ends within what offsets can name; a negative length ends where it starts.
fn check_range(base: i64, start: i64, length: i64) -> Result<(), Errno> {
    let start = base.checked_add(start).ok_or(if start > 0 { Errno::OVERFLOW } else { Errno::INVAL })?;
    if start < 0 {
        return Err(Errno::INVAL);
    }
    if length > 0 {
        start.checked_add(length - 1).map(|_| ()).ok_or(Errno::OVERFLOW)
    } else if start.checked_add(length).is_some_and(|first| first >= 0) {
        Ok(())
    } else {
        Err(Errno::INVAL)
    }
}
