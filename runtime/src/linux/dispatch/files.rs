//! System calls about files that need no more than the file layer: names, attributes, space.

use rustix::io::Errno;

use super::HERE;
use crate::linux::files::abi::AT_SYMLINK_NOFOLLOW;
use crate::linux::paths::low;
use crate::linux::reply::{Refusal, Reply};
use crate::linux::{Kernel, descriptor};

super::numbers! {
    TRUNCATE = 76, RENAME = 82, LINK = 86, SYMLINK = 88, CHMOD = 90, FCHMOD = 91, CHOWN = 92, FCHOWN = 93, LCHOWN = 94, UTIME = 132,
    MKNOD = 133, MKNODAT = 259, PREADV2 = 327, PWRITEV2 = 328, STATFS = 137, FSTATFS = 138, SYNC = 162, READAHEAD = 187, SETXATTR = 188, LSETXATTR = 189, FSETXATTR = 190, GETXATTR = 191,
    LGETXATTR = 192, FGETXATTR = 193, LISTXATTR = 194, LLISTXATTR = 195, FLISTXATTR = 196, REMOVEXATTR = 197, LREMOVEXATTR = 198,
    FREMOVEXATTR = 199, FADVISE64 = 221, UTIMES = 235, FCHOWNAT = 260, FUTIMESAT = 261, RENAMEAT = 264, LINKAT = 265, SYMLINKAT = 266,
    FCHMODAT = 268, SYNC_FILE_RANGE = 277, UTIMENSAT = 280, FALLOCATE = 285, SYNCFS = 306, RENAMEAT2 = 316, STATX = 332, FCHMODAT2 = 452,
    PIPE = 22, FLOCK = 73, PIPE2 = 293, CLOSE_RANGE = 436, SENDFILE = 40, COPY_FILE_RANGE = 326,
}

/// `AT_SYMLINK_NOFOLLOW` in a register.
const NOFOLLOW: u64 = AT_SYMLINK_NOFOLLOW as u64;

/// True for calls that have done nothing yet, or nothing that is not done as well again, when the run's end cuts them short.
pub(super) fn only_waits(number: u64) -> bool {
    matches!(number, FLOCK | CLOSE_RANGE)
}

impl Kernel<'_> {
    pub(super) fn serve_files(&mut self, number: u64, arguments: [u64; 6]) -> Reply {
        let [a, b, c, d, e, _] = arguments;
        match number {
            RENAME => self.sys_renameat2([HERE, a, HERE, b, 0]),
            RENAMEAT => self.sys_renameat2([a, b, c, d, 0]),
            RENAMEAT2 => self.sys_renameat2([a, b, c, d, e]),
            LINK => self.sys_linkat([HERE, a, HERE, b, 0]),
            LINKAT => self.sys_linkat([a, b, c, d, e]),
            SYMLINK => self.sys_symlinkat(a, HERE, b),
            SYMLINKAT => self.sys_symlinkat(a, b, c),
            CHMOD => self.sys_fchmodat2(HERE, a, b, 0),
            FCHMODAT => self.sys_fchmodat2(a, b, c, 0),
            FCHMODAT2 => self.sys_fchmodat2(a, b, c, d),
            FCHMOD => Ok(self.process.files.chmod(descriptor(a), low(b)).map(|()| 0)?),
            CHOWN => self.sys_fchownat([HERE, a, b, c, 0]),
            LCHOWN => self.sys_fchownat([HERE, a, b, c, NOFOLLOW]),
            FCHOWNAT => self.sys_fchownat([a, b, c, d, e]),
            FCHOWN => Ok(self.process.files.chown(descriptor(a), [low(b), low(c)]).map(|()| 0)?),
            UTIME => self.sys_utime(a, b),
            UTIMES => self.sys_futimesat(HERE, a, b),
            FUTIMESAT => self.sys_futimesat(a, b, c),
            UTIMENSAT => self.sys_utimensat(a, b, c, d),
            STATX => self.sys_statx([a, b, c, d, e]),
            SETXATTR | LSETXATTR | FSETXATTR => self.sys_setxattr(number == FSETXATTR, number == SETXATTR, [a, b, e]),
            GETXATTR | LGETXATTR | FGETXATTR => self.sys_xattr(number == FGETXATTR, number == GETXATTR, a, b),
            REMOVEXATTR | LREMOVEXATTR | FREMOVEXATTR => {
                self.sys_xattr(number == FREMOVEXATTR, number == REMOVEXATTR, a, b)
            }
            LISTXATTR | LLISTXATTR | FLISTXATTR => self.sys_listxattr(number == FLISTXATTR, number == LISTXATTR, a),
            // Nothing but files, directories, symlinks and pipes is there, and a pipe has no name.
            MKNOD | MKNODAT => Err(Errno::PERM.into()),
            PREADV2 | PWRITEV2 => self.sys_vectors2(number == PWRITEV2, arguments),
            PIPE => self.sys_pipe2(a, 0),
            PIPE2 => self.sys_pipe2(a, b),
            TRUNCATE => self.sys_truncate(a, b),
            FALLOCATE => {
                let (offset, length) = (c.cast_signed(), d.cast_signed());
                Ok(self.process.files.fallocate(descriptor(a), low(b), offset, length).map(|()| 0)?)
            }
            STATFS => self.sys_statfs(a, b),
            FSTATFS => self.sys_fstatfs(a, b),
            SYNC => Ok(0),
            SYNCFS => Ok(self.process.files.object(descriptor(a)).map(|_| 0)?),
            SYNC_FILE_RANGE => self.sys_sync_file_range(a, b.cast_signed(), c.cast_signed(), low(d)),
            FADVISE64 => self.sys_fadvise(a, c.cast_signed(), low(d)),
            READAHEAD => self.sys_readahead(a),
            FLOCK => self.sys_flock(a, low(b)),
            CLOSE_RANGE => {
                let watch = &mut *self.watch;
                let check = || watch.check().map_err(Refusal::from);
                self.process.files.close_range(low(a), low(b), low(c), check).map(|()| 0)
            }
            SENDFILE => self.sys_sendfile(a, b, c, d),
            COPY_FILE_RANGE => self.sys_copy_file_range(arguments),
            _ => self.serve_waiting(number, arguments),
        }
    }
}
