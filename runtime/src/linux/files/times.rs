//! When things were read, written and changed: three times in every inode, and the calls that set two of them.
//!
//! Nobody here reads a clock. The caller says what time it is ([`Files::set_time`]) before a call that may change something, so a program
//! whose clock is its own sees the same times in every run. Reading moves nothing, as on a file system mounted with `noatime`.

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::io::Errno;

use super::Files;
use super::abi::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW};
use super::descriptors::Object;
use super::inode::InodeId;
use super::resolve::{Found, Target};
use super::stat::Time;
use crate::wire::{Reader, WireError, Writer};

/// The most nanoseconds beside whole seconds.
const NSECS_MAX: u32 = 999_999_999;

/// An inode's times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// `st_atim`.
    pub(crate) accessed: Time,
    /// `st_mtim`.
    pub(crate) modified: Time,
    /// `st_ctim`.
    pub(crate) changed: Time,
}

/// What `utimensat` does to one of the times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewTime {
    /// What time it is.
    Now,
    /// It stays.
    Omit,
    /// This one.
    At(Time),
}

impl NewTime {
    fn or(self, old: Time, now: Time) -> Time {
        match self {
            Self::Now => now,
            Self::Omit => old,
            Self::At(time) => time,
        }
    }

    /// # Errors
    /// `EINVAL` for more nanoseconds than a second has.
    fn check(self) -> Result<(), Errno> {
        match self {
            Self::At(Time { nsecs, .. }) if nsecs > NSECS_MAX => Err(Errno::INVAL),
            _ => Ok(()),
        }
    }
}

impl Times {
    /// Those of something that is new.
    pub(crate) fn all(now: Time) -> Self {
        Self { accessed: now, modified: now, changed: now }
    }

    pub(in crate::linux::files) fn encode(&self, writer: &mut Writer) {
        for time in [self.accessed, self.modified, self.changed] {
            writer.u64(time.secs.cast_unsigned());
            writer.u32(time.nsecs);
        }
    }

    pub(in crate::linux::files) fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut time = || -> Result<Time, WireError> {
            let secs = reader.u64("seconds of a time")?.cast_signed();
            Ok(Time { secs, nsecs: reader.u32_up_to("nanoseconds of a time", NSECS_MAX)? })
        };
        Ok(Self { accessed: time()?, modified: time()?, changed: time()? })
    }
}

impl Files {
    /// `utimensat` with a path: sets the times of last access and modification.
    ///
    /// # Errors
    /// `EINVAL` for unknown flags and for what is no time; what a walk gives; `EBADF`.
    pub(crate) fn set_times_at(
        &mut self,
        directory: i32,
        path: &[u8],
        times: [NewTime; 2],
        flags: u32,
    ) -> Result<(), Errno> {
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(Errno::INVAL);
        }
        match self.target(directory, path, flags)? {
            Target::Found(Found::Inode(inode)) => self.set_inode_times(inode, times),
            Target::Found(Found::Host(place)) => place.set_times(&timestamps(times)?),
            Target::Open(object) => self.set_object_times(object, times),
        }
    }

    /// `futimens`.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL` for what is no time, `EPERM` for a stream, which is not the program's.
    pub(crate) fn set_times(&mut self, descriptor: i32, times: [NewTime; 2]) -> Result<(), Errno> {
        self.set_object_times(self.object(descriptor)?, times)
    }

    fn set_object_times(&mut self, object: Object, times: [NewTime; 2]) -> Result<(), Errno> {
        match object {
            Object::Host(handle) => self.handles.get(handle)?.set_times(&timestamps(times)?),
            _ => self.set_inode_times(object.inode().ok_or(Errno::PERM)?, times),
        }
    }

    fn set_inode_times(&mut self, inode: InodeId, [accessed, modified]: [NewTime; 2]) -> Result<(), Errno> {
        accessed.check()?;
        modified.check()?;
        let now = self.now;
        self.tree_mut().change(inode, |inode| {
            inode.times.accessed = accessed.or(inode.times.accessed, now);
            inode.times.modified = modified.or(inode.times.modified, now);
        })
    }
}

/// The same for a file of the host's, whose clock is the host's.
fn timestamps([accessed, modified]: [NewTime; 2]) -> Result<Timestamps, Errno> {
    let time = |time: NewTime| {
        time.check()?;
        Ok(match time {
            NewTime::Now => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
            NewTime::Omit => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            NewTime::At(Time { secs, nsecs }) => Timespec { tv_sec: secs, tv_nsec: nsecs.into() },
        })
    };
    Ok(Timestamps { last_access: time(accessed)?, last_modification: time(modified)? })
}
