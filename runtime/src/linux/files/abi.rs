//! Linux's numbers for files on x86-64, as the guest passes them.
//!
//! The host's headers would do today (same architecture), but these are the *guest's* words: writing them out keeps the personality
//! the same wherever the host is compiled.

/// `open`: bits of the access mode. 0 reads, 1 writes, 2 does both; 3 checks for both and grants neither.
pub(crate) const O_ACCMODE: u32 = 0o3;
/// `open`: write only.
pub(crate) const O_WRONLY: u32 = 0o1;
/// `open`: read and write.
pub(crate) const O_RDWR: u32 = 0o2;
/// `open`: make the file if it is not there.
pub(crate) const O_CREAT: u32 = 0o100;
/// `open`: with [`O_CREAT`], fail if anything is there, a dangling symlink included.
pub(crate) const O_EXCL: u32 = 0o200;
/// `open`: do not make it the controlling terminal (there are none).
pub(crate) const O_NOCTTY: u32 = 0o400;
/// `open`: empty the file.
pub(crate) const O_TRUNC: u32 = 0o1000;
/// `open`: every write goes to the end.
pub(crate) const O_APPEND: u32 = 0o2000;
/// `open`: do not wait (no file here ever waits; kept for `F_GETFL`).
pub(crate) const O_NONBLOCK: u32 = 0o4000;
/// `open`: set by the kernel on every 64-bit open, so `F_GETFL` shows it.
pub(crate) const O_LARGEFILE: u32 = 0o100_000;
/// `open`: only a directory will do.
pub(crate) const O_DIRECTORY: u32 = 0o200_000;
/// `open`: do not follow a symlink in the last place.
pub(crate) const O_NOFOLLOW: u32 = 0o400_000;
/// `open`, `dup3`: the descriptor closes on `execve`.
pub(crate) const O_CLOEXEC: u32 = 0o2_000_000;
/// `open`: a name without access to what it names.
pub(crate) const O_PATH: u32 = 0o10_000_000;
/// `open`: all that counts beside [`O_PATH`].
pub(crate) const O_PATH_FLAGS: u32 = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
/// `open`: the one bit that tells `O_TMPFILE` from [`O_DIRECTORY`], which the full flag includes.
pub(crate) const O_TMPFILE_BIT: u32 = 0o20_000_000;
/// `open`: every write is on the disk before it returns; `O_DSYNC` is the lower of the two bits.
pub(crate) const O_SYNCHRONOUS: u32 = 0o4_010_000;
/// Bits that `open` knows (`VALID_OPEN_FLAGS`): those above, `O_DSYNC`, `O_ASYNC`, `O_DIRECT`, `O_NOATIME` and `O_SYNC`. It ignores others.
pub(crate) const O_KNOWN: u32 = O_ACCMODE
    | O_CREAT
    | O_EXCL
    | O_NOCTTY
    | O_TRUNC
    | O_APPEND
    | O_NONBLOCK
    | 0o10_000
    | 0o20_000
    | 0o40_000
    | O_LARGEFILE
    | O_DIRECTORY
    | O_NOFOLLOW
    | 0o1_000_000
    | O_CLOEXEC
    | O_PATH
    | 0o4_000_000
    | O_TMPFILE_BIT;
/// Bits that say how to open and are then forgotten: `F_GETFL` does not show them.
pub(crate) const O_OPENING_ONLY: u32 = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC;

/// The directory descriptor that means "the current directory".
pub(crate) const AT_FDCWD: i32 = -100;
/// `*at`: a symlink in the last place is meant itself.
pub(crate) const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
/// `linkat`: a symlink in the last place is followed.
pub(crate) const AT_SYMLINK_FOLLOW: u32 = 0x400;
/// `renameat2`: fail if the new name is there.
pub(crate) const RENAME_NOREPLACE: u32 = 1;
/// `renameat2`: the two names change places.
pub(crate) const RENAME_EXCHANGE: u32 = 2;
/// `fallocate`: the file does not get longer.
pub(crate) const FALLOC_FL_KEEP_SIZE: u32 = 1;
/// `unlinkat`: remove a directory.
pub(crate) const AT_REMOVEDIR: u32 = 0x200;
/// `faccessat2`: check the effective ids (they are the real ones here).
pub(crate) const AT_EACCESS: u32 = 0x200;
/// `newfstatat`: do not mount anything on the way (nothing is).
pub(crate) const AT_NO_AUTOMOUNT: u32 = 0x800;
/// `*at`: an empty path means the descriptor itself.
pub(crate) const AT_EMPTY_PATH: u32 = 0x1000;
/// `statx`: how fresh the answer must be (always quite).
pub(crate) const AT_STATX_SYNC_TYPE: u32 = 0x6000;

/// `fcntl`: duplicate to the lowest free number from the argument on.
pub(crate) const F_DUPFD: u32 = 0;
/// `fcntl`: read the descriptor's flags.
pub(crate) const F_GETFD: u32 = 1;
/// `fcntl`: set the descriptor's flags.
pub(crate) const F_SETFD: u32 = 2;
/// `fcntl`: read the description's flags.
pub(crate) const F_GETFL: u32 = 3;
/// `fcntl`: set the description's flags.
pub(crate) const F_SETFL: u32 = 4;
/// `fcntl`: [`F_DUPFD`] with close-on-exec set.
pub(crate) const F_DUPFD_CLOEXEC: u32 = 1030;
/// `close_range`: have a table of its own first (nobody shares one).
pub(crate) const CLOSE_RANGE_UNSHARE: u32 = 2;
/// `close_range`: set close-on-exec instead.
pub(crate) const CLOSE_RANGE_CLOEXEC: u32 = 4;
/// The one descriptor flag.
pub(crate) const FD_CLOEXEC: i32 = 1;

/// `lseek`: from the start.
pub(crate) const SEEK_SET: u32 = 0;
/// `lseek`: from where it is.
pub(crate) const SEEK_CUR: u32 = 1;
/// `lseek`: from the end.
pub(crate) const SEEK_END: u32 = 2;
/// `lseek`: to the next byte that is not in a hole.
pub(crate) const SEEK_DATA: u32 = 3;
/// `lseek`: to the next hole; the end of a file is one.
pub(crate) const SEEK_HOLE: u32 = 4;

/// `st_mode`: a pipe.
pub(crate) const S_IFIFO: u32 = 0o010_000;
/// `st_mode`: a socket.
pub(crate) const S_IFSOCK: u32 = 0o140_000;
/// `st_mode`: a character device.
pub(crate) const S_IFCHR: u32 = 0o020_000;
/// `st_mode`: a directory.
pub(crate) const S_IFDIR: u32 = 0o040_000;
/// `st_mode`: a regular file.
pub(crate) const S_IFREG: u32 = 0o100_000;
/// `st_mode`: a symlink.
pub(crate) const S_IFLNK: u32 = 0o120_000;
/// `st_mode`: the bits that `open` may set.
pub(crate) const S_IALLUGO: u32 = 0o7777;
/// `st_mode`: runs as its owner.
pub(crate) const S_ISUID: u32 = 0o4000;
/// `st_mode`: runs as its group.
pub(crate) const S_ISGID: u32 = 0o2000;
/// `st_mode`: the group may execute it.
pub(crate) const S_IXGRP: u32 = 0o010;
/// `st_mode`: the bits that `mkdir` may set: permissions and the sticky bit.
pub(crate) const MKDIR_BITS: u32 = 0o1777;

/// `access`, and the owner's permissions shifted down: read.
pub(crate) const R_OK: u32 = 4;
/// `access`, and the owner's permissions shifted down: write.
pub(crate) const W_OK: u32 = 2;
/// `access`, and the owner's permissions shifted down: execute, or search a directory.
pub(crate) const X_OK: u32 = 1;

/// `PATH_MAX` without its NUL, which the caller has cut off.
pub(crate) const PATH_BYTES: usize = 4095;
/// `NAME_MAX`.
pub(crate) const NAME_BYTES: usize = 255;
/// `MAXSYMLINKS`: how many links one path may go through.
pub(crate) const SYMLINK_DEPTH: u32 = 40;
/// `MAX_RW_COUNT`: the most that one read or write moves, `INT_MAX` rounded down to a page.
pub(crate) const MAX_TRANSFER: usize = 0x7fff_f000;
