//! `ioctl`: nothing here is a terminal, but some requests are about any open file.

use rustix::io::Errno;

use super::files::abi::{F_GETFL, F_SETFD, F_SETFL, FD_CLOEXEC, O_NONBLOCK, SEEK_CUR};
use super::files::{Object, Stream};
use super::paths::low;
use super::reply::Reply;
use super::streams::Input;
use super::{Kernel, descriptor};

/// asm-generic/ioctls.h: how many bytes can be read at once.
const FIONREAD: u32 = 0x541b;
/// Whether reads and writes wait.
const FIONBIO: u32 = 0x5421;
/// Close-on-exec is taken away.
const FIONCLEX: u32 = 0x5450;
/// Close-on-exec is set.
const FIOCLEX: u32 = 0x5451;

impl Kernel<'_> {
    pub(super) fn sys_ioctl(&mut self, fd: u64, request: u64, argument: u64) -> Reply {
        let fd = descriptor(fd);
        let object = self.process.files.object(fd)?;
        match low(request) {
            FIOCLEX => self.process.files.fcntl(fd, F_SETFD, u64::from(FD_CLOEXEC.cast_unsigned()))?,
            FIONCLEX => self.process.files.fcntl(fd, F_SETFD, 0)?,
            FIONBIO => {
                let on = self.read_array::<4>(argument)? != [0; 4];
                let flags = self.process.files.fcntl(fd, F_GETFL, 0)?.cast_unsigned();
                let flags = if on { flags | O_NONBLOCK } else { flags & !O_NONBLOCK };
                self.process.files.fcntl(fd, F_SETFL, u64::from(flags))?
            }
            FIONREAD => {
                let count = self.readable(fd, object)?;
                self.write_all(argument, &i32::try_from(count).unwrap_or(i32::MAX).to_le_bytes())?;
                0
            }
            _ => return Err(Errno::NOTTY.into()),
        };
        Ok(0)
    }

    fn readable(&mut self, fd: i32, object: Object) -> Reply {
        match object {
            Object::File(_) => {
                let offset = self.process.files.lseek(fd, 0, SEEK_CUR)?;
                Ok(self.process.files.stat(fd)?.size.saturating_sub(offset).max(0).unsigned_abs())
            }
            Object::Pipe(pipe) | Object::Socket(pipe) => Ok(self.process.files.pipe_state(pipe)?.filled as u64),
            Object::Stream(Stream::Stdin) => {
                self.streams.ask()?;
                match &self.streams.input {
                    Input::Empty => Ok(0),
                    Input::Bytes { bytes, position } => Ok(bytes.len().saturating_sub(*position) as u64),
                    Input::File(file) => Ok(rustix::io::ioctl_fionread(file)?),
                }
            }
            _ => Err(Errno::NOTTY.into()),
        }
    }
}
