//! What a guest sees of a file of the host's.

use rustix::fs::Stat as HostStat;
use rustix::process::{getegid, geteuid};

use crate::linux::files::stat::{OWNER, Stat, Time};

/// Who owns what is not this process's user's: nobody.
const NOBODY: u32 = 65_534;

impl Stat {
    /// The host's answer, but for owners: see [`HostDir`](super::HostDir).
    pub(in crate::linux::files) fn of_host(stat: &HostStat) -> Self {
        let owner = |is_ours: bool| if is_ours { OWNER } else { NOBODY };
        let time = |secs, nsecs: u64| Time { secs, nsecs: u32::try_from(nsecs).unwrap_or(0) };
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            nlink: stat.st_nlink,
            mode: stat.st_mode,
            uid: owner(stat.st_uid == geteuid().as_raw()),
            gid: owner(stat.st_gid == getegid().as_raw()),
            rdev: stat.st_rdev,
            size: stat.st_size,
            blksize: stat.st_blksize,
            blocks: stat.st_blocks,
            accessed: time(stat.st_atime, stat.st_atime_nsec),
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}
