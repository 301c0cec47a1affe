//! System calls on paths and descriptors: the file layer does the work, this brings arguments in and results out.

use rustix::io::Errno;

use super::Kernel;
use super::descriptor;
use super::files::Stat;
use super::files::abi::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW};
use super::locks::is_lock;
use super::proc::named_descriptor;
use super::reply::{Refusal, Reply};
#[cfg(feature = "fuzz")]
use super::streams::awaited::Awaited;

/// limits.h `PATH_MAX`, without the NUL.
const PATH_BYTES: usize = 4095;
/// Longest name of a directory entry.
const NAME_BYTES: usize = 255;
/// `fcntl`: how much fits into a pipe.
const F_GETPIPE_SZ: u32 = 1032;
/// The program itself: it has a name but is not there as a file.
const SELF: &[u8] = b"/proc/self/exe";

impl Kernel<'_> {
    pub(super) fn path(&mut self, address: u64) -> Result<Vec<u8>, Refusal> {
        let path = self.read_string(address, PATH_BYTES)?;
        #[cfg(feature = "fuzz")]
        Awaited::named(&mut self.streams.awaited, &path)?;
        Ok(path)
    }

    pub(super) fn sys_openat(&mut self, directory: u64, path: u64, flags: u64, mode: u64) -> Reply {
        let path = self.path(path)?;
        if let Some(named) = named_descriptor(&path) {
            return Ok(value(self.process.files.reopen(named, low(flags), low(mode))?));
        }
        self.show(&path);
        let fd = self.process.files.open(descriptor(directory), &path, low(flags), low(mode))?;
        Ok(value(fd))
    }

    pub(super) fn sys_close(&mut self, fd: u64) -> Reply {
        self.process.files.close(descriptor(fd))?;
        Ok(0)
    }

    fn write_stat(&mut self, to: u64, stat: Stat) -> Reply {
        self.write_all(to, &stat.encode())?;
        Ok(0)
    }

    pub(super) fn sys_fstat(&mut self, fd: u64, to: u64) -> Reply {
        let stat = self.process.files.stat(descriptor(fd))?;
        self.write_stat(to, stat)
    }

    pub(super) fn sys_newfstatat(&mut self, directory: u64, path: u64, to: u64, flags: u64) -> Reply {
        let path = self.path(path)?;
        self.show(&path);
        let stat = match named_descriptor(&path) {
            Some(named) if low(flags) & AT_SYMLINK_NOFOLLOW == 0 => self.process.files.stat(named).map_err(gone)?,
            _ => self.process.files.stat_at(descriptor(directory), &path, low(flags))?,
        };
        self.write_stat(to, stat)
    }

    pub(super) fn sys_readlinkat(&mut self, directory: u64, path: u64, to: u64, length: u64) -> Reply {
        let path = self.path(path)?;
        if length == 0 || i32::try_from(length).is_err() {
            return Err(Errno::INVAL.into());
        }
        let target = if path == SELF {
            self.process.executable.clone()
        } else if let Some(named) =
            named_descriptor(&path).filter(|_| path.starts_with(b"/proc") || path.starts_with(b"/dev/fd"))
        {
            self.process.files.link_to(named)?
        } else {
            self.show(&path);
            self.process.files.readlink_at(descriptor(directory), &path)?.to_vec()
        };
        let count = usize::try_from(length).unwrap_or(usize::MAX).min(target.len());
        self.write_all(to, target.get(..count).unwrap_or_default())?;
        Ok(count as u64)
    }

    pub(super) fn sys_faccessat(&mut self, directory: u64, path: u64, mode: u64, flags: u64) -> Reply {
        let path = self.path(path)?;
        self.show(&path);
        if let Some(named) = named_descriptor(&path) {
            self.process.files.access_at(named, b"", low(mode), low(flags) | AT_EMPTY_PATH).map_err(gone)?;
            return Ok(0);
        }
        self.process.files.access_at(descriptor(directory), &path, low(mode), low(flags))?;
        Ok(0)
    }

    pub(super) fn sys_getcwd(&mut self, to: u64, length: u64) -> Reply {
        let mut path = self.process.files.getcwd()?;
        path.push(0);
        if (path.len() as u64) > length {
            return Err(Errno::RANGE.into());
        }
        self.write_all(to, &path)?;
        Ok(path.len() as u64)
    }

    pub(super) fn sys_chdir(&mut self, path: u64) -> Reply {
        let path = self.path(path)?;
        self.process.files.chdir(&path)?;
        Ok(0)
    }

    pub(super) fn sys_mkdirat(&mut self, directory: u64, path: u64, mode: u64) -> Reply {
        let path = self.path(path)?;
        self.process.files.mkdir_at(descriptor(directory), &path, low(mode))?;
        Ok(0)
    }

    pub(super) fn sys_unlinkat(&mut self, directory: u64, path: u64, flags: u64) -> Reply {
        let path = self.path(path)?;
        self.process.files.unlink_at(descriptor(directory), &path, low(flags))?;
        Ok(0)
    }

    /// `struct linux_dirent64`: inode, position, length, type, name, padded to eight bytes.
    pub(super) fn sys_getdents64(&mut self, fd: u64, to: u64, length: u64) -> Reply {
        const HEADER: usize = 19;
        let room = usize::try_from(length).unwrap_or(usize::MAX).min(64 << 10);
        let fd = descriptor(fd);
        let mut bytes = Vec::new();
        let mut last = None;
        for entry in self.process.files.list(fd)? {
            let size = (HEADER + entry.name.len().min(NAME_BYTES) + 1).next_multiple_of(8);
            if bytes.len() + size > room {
                if bytes.is_empty() {
                    return Err(Errno::INVAL.into());
                }
                break;
            }
            let end = bytes.len() + size;
            bytes.extend_from_slice(&entry.ino.to_le_bytes());
            bytes.extend_from_slice(&entry.next.to_le_bytes());
            bytes.extend_from_slice(&u16::try_from(size).unwrap_or(0).to_le_bytes());
            bytes.push(entry.kind);
            bytes.extend_from_slice(&entry.name);
            bytes.resize(end, 0);
            last = Some(entry.next);
        }
        self.write_all(to, &bytes)?;
        if let Some(next) = last {
            self.process.files.listed(fd, next)?;
        }
        Ok(bytes.len() as u64)
    }

    pub(super) fn sys_fcntl(&mut self, fd: u64, command: u64, argument: u64) -> Reply {
        if is_lock(low(command)) {
            return self.sys_lock(fd, low(command), argument);
        }
        if low(command) == F_GETPIPE_SZ {
            return self.pipe_size(fd);
        }
        Ok(value(self.process.files.fcntl(descriptor(fd), low(command), argument)?))
    }
}

/// The low half of a register, for arguments that are 32 bits wide.
pub(super) fn low(register: u64) -> u32 {
    let [a, b, c, d, ..] = register.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// What a call that returns an `int` leaves in RAX.
pub(super) fn value(result: i32) -> u64 {
    u64::try_from(result).unwrap_or(0)
}

/// A link to a descriptor that is not open is not there.
fn gone(errno: Errno) -> Errno {
    if errno == Errno::BADF { Errno::NOENT } else { errno }
}
