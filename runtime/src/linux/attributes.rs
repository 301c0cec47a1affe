//! System calls about what files have beside contents: permissions, owners, times, and extended attributes, which they have not.

use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::files::abi::{AT_EMPTY_PATH, AT_FDCWD, AT_STATX_SYNC_TYPE};
use super::files::{NewTime, Stat, Time};
use super::paths::low;
use super::reply::{Refusal, Reply};
use super::sources::Supply;
use super::{Kernel, descriptor};

/// `utimensat`: nanoseconds that mean "now", linux/stat.h `UTIME_NOW`.
const UTIME_NOW: u64 = 0x3fff_ffff;
/// `utimensat`: nanoseconds that mean "as it is", linux/stat.h `UTIME_OMIT`.
const UTIME_OMIT: u64 = 0x3fff_fffe;
/// `statx`: the bit of the mask that nobody may set.
const STATX_RESERVED: u32 = 1 << 31;
/// `statx`: all that `stat` has, too.
const STATX_BASIC_STATS: u32 = 0x7ff;
/// `setxattr`: `XATTR_CREATE` and `XATTR_REPLACE`.
const XATTR_FLAGS: u32 = 3;
/// The longest name of an extended attribute.
const XATTR_NAME_BYTES: usize = 255;

/// What time it is for files: on the program's own clock, which does not move by that, or on the host's: not the coarse one that Linux takes, which
/// would be behind what the vDSO has told.
pub(super) fn file_time(supply: &Supply) -> Time {
    const SECOND: u64 = 1_000_000_000;
    match supply.now() {
        Some(now) => Time {
            secs: i64::try_from(now.realtime / SECOND).unwrap_or(i64::MAX),
            nsecs: u32::try_from(now.realtime % SECOND).unwrap_or(0),
        },
        None => {
            let now = clock_gettime(ClockId::Realtime);
            Time { secs: now.tv_sec, nsecs: u32::try_from(now.tv_nsec).unwrap_or(0) }
        }
    }
}

impl Kernel<'_> {
    pub(super) fn sys_fchmodat2(&mut self, directory: u64, path: u64, mode: u64, flags: u64) -> Reply {
        let path = self.path(path)?;
        self.process.files.chmod_at(descriptor(directory), &path, low(mode), low(flags))?;
        Ok(0)
    }

    pub(super) fn sys_fchownat(&mut self, [directory, path, owner, group, flags]: [u64; 5]) -> Reply {
        let path = self.path(path)?;
        self.process.files.chown_at(descriptor(directory), &path, [low(owner), low(group)], low(flags))?;
        Ok(0)
    }

    pub(super) fn sys_utimensat(&mut self, directory: u64, path: u64, times: u64, flags: u64) -> Reply {
        let times = match times {
            0 => [NewTime::Now; 2],
            address => {
                let [access_seconds, access, modify_seconds, modify] = self.read_words(address)?;
                [new_time(access_seconds, access), new_time(modify_seconds, modify)]
            }
        };
        if times == [NewTime::Omit; 2] {
            return Ok(0);
        }
        self.set_times(directory, path, times, flags)
    }

    /// utimes(2) and futimesat(2): microseconds.
    pub(super) fn sys_futimesat(&mut self, directory: u64, path: u64, times: u64) -> Reply {
        let times = match times {
            0 => [NewTime::Now; 2],
            address => {
                let [access_seconds, access, modify_seconds, modify] = self.read_words(address)?;
                if access >= 1_000_000 || modify >= 1_000_000 {
                    return Err(Errno::INVAL.into());
                }
                [at(access_seconds, access * 1000), at(modify_seconds, modify * 1000)]
            }
        };
        self.set_times(directory, path, times, 0)
    }

    /// utime(2): whole seconds.
    pub(super) fn sys_utime(&mut self, path: u64, times: u64) -> Reply {
        let times = match times {
            0 => [NewTime::Now; 2],
            address => self.read_words(address)?.map(|seconds| at(seconds, 0)),
        };
        self.set_times(super::dispatch::HERE, path, times, 0)
    }

    /// No path at all means the descriptor, unless that is the current directory.
    fn set_times(&mut self, directory: u64, path: u64, times: [NewTime; 2], flags: u64) -> Reply {
        let directory = descriptor(directory);
        if path == 0 && directory != AT_FDCWD {
            if low(flags) != 0 {
                return Err(Errno::INVAL.into());
            }
            self.process.files.set_times(directory, times)?;
            return Ok(0);
        }
        let path = self.path(path)?;
        self.process.files.set_times_at(directory, &path, times, low(flags))?;
        Ok(0)
    }

    pub(super) fn sys_statx(&mut self, [directory, path, flags, mask, to]: [u64; 5]) -> Reply {
        let flags = low(flags);
        // No path at all is an empty one, where that is allowed.
        let path = if path == 0 && flags & AT_EMPTY_PATH != 0 { Vec::new() } else { self.path(path)? };
        if low(mask) & STATX_RESERVED != 0 || flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE {
            return Err(Errno::INVAL.into());
        }
        let stat = self.process.files.stat_at(descriptor(directory), &path, flags)?;
        self.write_all(to, &statx(&stat))?;
        Ok(0)
    }

    pub(super) fn sys_setxattr(&mut self, by_descriptor: bool, follow: bool, [file, name, flags]: [u64; 3]) -> Reply {
        if low(flags) & !XATTR_FLAGS != 0 {
            return Err(Errno::INVAL.into());
        }
        self.sys_xattr(by_descriptor, follow, file, name)
    }

    /// A call about one extended attribute: nothing here has any.
    pub(super) fn sys_xattr(&mut self, by_descriptor: bool, follow: bool, file: u64, name: u64) -> Reply {
        match self.read_string(name, XATTR_NAME_BYTES) {
            Err(Refusal::Errno(Errno::NAMETOOLONG)) => return Err(Errno::RANGE.into()),
            Ok(name) if name.is_empty() => return Err(Errno::RANGE.into()),
            read => drop(read?),
        }
        self.find_file(by_descriptor, follow, file)?;
        Err(Errno::OPNOTSUPP.into())
    }

    /// The names of all extended attributes: there are none.
    pub(super) fn sys_listxattr(&mut self, by_descriptor: bool, follow: bool, file: u64) -> Reply {
        self.find_file(by_descriptor, follow, file)?;
        Ok(0)
    }

    fn find_file(&mut self, by_descriptor: bool, follow: bool, file: u64) -> Result<(), Refusal> {
        if by_descriptor {
            self.process.files.object(descriptor(file))?;
        } else {
            let path = self.path(file)?;
            self.process.files.exists(&path, follow)?;
        }
        Ok(())
    }
}

fn at(seconds: u64, nanos: u64) -> NewTime {
    NewTime::At(Time { secs: seconds.cast_signed(), nsecs: u32::try_from(nanos).unwrap_or(u32::MAX) })
}

fn new_time(seconds: u64, nanos: u64) -> NewTime {
    match nanos {
        UTIME_NOW => NewTime::Now,
        UTIME_OMIT => NewTime::Omit,
        _ => at(seconds, nanos),
    }
}

/// The 256 bytes of `struct statx`. There is neither a time of birth nor a mount to tell.
///
/// ```text
///   0 mask│blksize  8 attributes  16 nlink│uid  24 gid│mode  32 ino  40 size  48 blocks  56 attributes_mask
///   64 atime  80 btime  96 ctime  112 mtime (seconds, nanoseconds)   128 rdev  136 dev (major│minor)   144 … 256
/// ```
fn statx(stat: &Stat) -> [u8; 256] {
    let time = |time: Time| [time.secs.cast_unsigned(), u64::from(time.nsecs)];
    let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let [accessed, changed, modified] = [stat.accessed, stat.changed, stat.modified].map(time);
    let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let words = [
        [pair(STATX_BASIC_STATS, narrow(stat.blksize.cast_unsigned())), 0],
        [pair(narrow(stat.nlink), stat.uid), pair(stat.gid, stat.mode)],
        [stat.ino, stat.size.cast_unsigned()],
        [stat.blocks.cast_unsigned(), 0],
        accessed,
        [0, 0],
        changed,
        modified,
        [device(stat.rdev), device(stat.dev)],
    ];
    let mut bytes = [0; 256];
    for (slot, word) in bytes.as_chunks_mut().0.iter_mut().zip(words.as_flattened()) {
        *slot = word.to_le_bytes();
    }
    bytes
}

/// A device number as `statx` has it, two words for one.
fn device(number: u64) -> u64 {
    (number >> 8) & 0xfff | (number & 0xff) << 32
}
