//! System calls about room in files and file systems, and hints that nothing here needs.

use rustix::io::Errno;

use super::files::{Object, Quota, Source};
use super::reply::Reply;
use super::{Kernel, descriptor};

/// linux/magic.h `TMPFS_MAGIC`.
const TMPFS: u64 = 0x0102_1994;
/// linux/magic.h `PIPEFS_MAGIC`.
const PIPEFS: u64 = 0x5049_5045;
/// linux/magic.h `SOCKFS_MAGIC`.
const SOCKFS: u64 = 0x534f_434b;
/// linux/magic.h `ANON_INODE_FS_MAGIC`.
const ANONYMOUS: u64 = 0x0904_1934;
/// `f_bsize` and `f_frsize`.
const BLOCK: u64 = 4096;
/// `f_flags`: the field is there (linux/statfs.h `ST_VALID`), and reading moves no times (`ST_NOATIME`).
const STATFS_FLAGS: u64 = 0x20 | 0x400;
/// `f_namelen`.
const NAME_BYTES: u64 = 255;
/// `fadvise64`: the largest advice, `POSIX_FADV_NOREUSE`.
const LAST_ADVICE: u32 = 5;

impl Kernel<'_> {
    pub(super) fn sys_truncate(&mut self, path: u64, length: u64) -> Reply {
        if length.cast_signed() < 0 {
            return Err(Errno::INVAL.into());
        }
        let path = self.path(path)?;
        self.process.files.truncate(&path, length.cast_signed())?;
        Ok(0)
    }

    pub(super) fn sys_statfs(&mut self, path: u64, to: u64) -> Reply {
        let path = self.path(path)?;
        self.process.files.exists(&path, true)?;
        self.write_statfs(to, TMPFS)
    }

    pub(super) fn sys_fstatfs(&mut self, fd: u64, to: u64) -> Reply {
        let kind = match self.process.files.object(descriptor(fd))? {
            Object::Stream(_) | Object::Pipe(_) => PIPEFS,
            Object::Socket(_) => SOCKFS,
            Object::Counter(_) | Object::Epoll(_) => ANONYMOUS,
            _ => TMPFS,
        };
        self.write_statfs(to, kind)
    }

    /// `struct statfs`: the quota is the size of the file system.
    fn write_statfs(&mut self, to: u64, kind: u64) -> Reply {
        let [all, left] = if kind == TMPFS { self.process.files.quota() } else { [Quota { bytes: 0, inodes: 0 }; 2] };
        let blocks = |quota: Quota| quota.bytes as u64 / BLOCK;
        let (free, files, free_files) = (blocks(left), all.inodes as u64, left.inodes as u64);
        // Type, block size, blocks, free, available, files, free ones, f_fsid, longest name, fragment size, flags, four words unused
        let words =
            [kind, BLOCK, blocks(all), free, free, files, free_files, 0, NAME_BYTES, BLOCK, STATFS_FLAGS, 0, 0, 0, 0];
        self.write_words(to, &words)?;
        Ok(0)
    }

    pub(super) fn sys_sync_file_range(&mut self, fd: u64, offset: i64, length: i64, flags: u32) -> Reply {
        let object = self.process.files.object(descriptor(fd))?;
        let end = offset.checked_add(length).filter(|end| *end >= 0);
        if flags & !7 != 0 || offset < 0 || length < 0 || end.is_none() {
            return Err(Errno::INVAL.into());
        }
        match object {
            Object::File(_) | Object::Directory(_) | Object::Host(_) => Ok(0),
            _ => Err(Errno::SPIPE.into()),
        }
    }

    pub(super) fn sys_fadvise(&mut self, fd: u64, length: i64, advice: u32) -> Reply {
        match self.process.files.object(descriptor(fd))? {
            Object::Stream(_) | Object::Pipe(_) => Err(Errno::SPIPE.into()),
            _ if length < 0 || advice > LAST_ADVICE => Err(Errno::INVAL.into()),
            _ => Ok(0),
        }
    }

    /// It is all in memory.
    pub(super) fn sys_readahead(&mut self, fd: u64) -> Reply {
        let fd = descriptor(fd);
        match self.process.files.object(fd)? {
            Object::File(_) => {
                let _: Source<'_> = self.process.files.read(fd, 0)?;
                Ok(0)
            }
            _ => Err(Errno::INVAL.into()),
        }
    }
}
