//! Sockets: pairs of them within the process, which are two pipes, and nothing else. No family of sockets leads out of the program.

use rustix::io::Errno;

use super::files::abi::{O_CLOEXEC, O_NONBLOCK};
use super::files::{InodeId, Object, Sink};
use super::io::span;
use super::paths::low;
use super::pipes::{Manner, would_wait};
use super::poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRNORM};
use super::reply::Reply;
use super::{Kernel, descriptor};

const AF_UNIX: u32 = 1;
const SOCK_STREAM: u32 = 1;
/// The kind of a socket, without `SOCK_CLOEXEC` and `SOCK_NONBLOCK`, which are the flags of `open`.
const KIND: u32 = 0xf;

const MSG_OOB: u32 = 1;
const MSG_PEEK: u32 = 2;
const MSG_DONTWAIT: u32 = 0x40;
const MSG_WAITALL: u32 = 0x100;
const MSG_NOSIGNAL: u32 = 0x4000;

const SOL_SOCKET: u32 = 1;
const SO_TYPE: u32 = 3;
const SO_ERROR: u32 = 4;
const SO_ACCEPTCONN: u32 = 30;
const SO_PROTOCOL: u32 = 38;
const SO_DOMAIN: u32 = 39;

/// Room that a socket has to have to be ready: what comes into a pipe whole.
const READY_ROOM: usize = 4096;

impl Kernel<'_> {
    pub(super) fn sys_socketpair(&mut self, family: u64, kind: u64, protocol: u64, to: u64) -> Reply {
        let flags = low(kind) & !KIND;
        if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 {
            return Err(Errno::INVAL.into());
        }
        match (low(family), low(kind) & KIND, low(protocol)) {
            (AF_UNIX, SOCK_STREAM, 0 | AF_UNIX) => {}
            (AF_UNIX, SOCK_STREAM, _) => return Err(Errno::PROTONOSUPPORT.into()),
            (AF_UNIX, ..) => return Err(Errno::SOCKTNOSUPPORT.into()),
            _ => return Err(Errno::AFNOSUPPORT.into()),
        }
        let pair = self.process.files.socket_pair(flags)?;
        if let Err(refusal) = self.write_all(to, pair.map(i32::to_le_bytes).as_flattened()) {
            for socket in pair {
                self.process.files.close(socket)?;
            }
            return Err(refusal);
        }
        Ok(0)
    }

    fn socket(&self, fd: u64) -> Result<InodeId, Errno> {
        match self.process.files.object(descriptor(fd))? {
            Object::Socket(socket) => Ok(socket),
            _ => Err(Errno::NOTSOCK),
        }
    }

    /// What cannot be done with one of a pair.
    pub(super) fn refuse_socket(&self, fd: u64, errno: Errno) -> Reply {
        self.socket(fd)?;
        Err(errno.into())
    }

    fn message_manner(&mut self, fd: u64, flags: u32) -> Result<Manner, Errno> {
        let manner = self.manner(descriptor(fd))?;
        Ok(Manner {
            waits: manner.waits && flags & MSG_DONTWAIT == 0,
            signals: flags & MSG_NOSIGNAL == 0,
            keeps: flags & MSG_PEEK != 0,
        })
    }

    pub(super) fn sys_sendto(&mut self, [fd, from, length, flags, address, _]: [u64; 6]) -> Reply {
        self.socket(fd)?;
        if low(flags) & MSG_OOB != 0 {
            return Err(Errno::OPNOTSUPP.into());
        }
        if address != 0 {
            return Err(Errno::ISCONN.into());
        }
        let manner = self.message_manner(fd, low(flags))?;
        match self.process.files.write(descriptor(fd))? {
            Sink::Pipe(peer) => self.write_pipe(manner, peer, &span(from, length)),
            _ => Err(Errno::NOTSOCK.into()),
        }
    }

    pub(super) fn sys_recvfrom(&mut self, [fd, to, length, flags, address, address_length]: [u64; 6]) -> Reply {
        let socket = self.socket(fd)?;
        if low(flags) & MSG_OOB != 0 {
            return Err(Errno::OPNOTSUPP.into());
        }
        let manner = self.message_manner(fd, low(flags))?;
        let state = self.process.files.pipe_state(socket)?;
        let is_short = (state.filled as u64) < length && state.has_writers && !manner.keeps;
        if low(flags) & MSG_WAITALL != 0 && is_short && manner.waits {
            return Err(would_wait(manner));
        }
        let count = self.read_pipe(manner, socket, &span(to, length))?;
        if address != 0 && address_length != 0 {
            // Nobody has a name.
            self.write_all(address_length, &[0; 4])?;
        }
        Ok(count)
    }

    pub(super) fn sys_shutdown(&mut self, fd: u64, how: u64) -> Reply {
        let socket = self.socket(fd)?;
        let [incoming, outgoing] = match low(how) {
            0 => [true, false],
            1 => [false, true],
            2 => [true, true],
            _ => return Err(Errno::INVAL.into()),
        };
        self.process.files.shut_down(socket, incoming, outgoing)?;
        Ok(0)
    }

    /// `getsockname` and `getpeername`: the family, and no name.
    pub(super) fn sys_getsockname(&mut self, fd: u64, to: u64, length: u64) -> Reply {
        self.socket(fd)?;
        let room = i32::from_le_bytes(self.read_array(length)?);
        let room = usize::try_from(room).map_err(|_| Errno::INVAL)?;
        let name = u16::try_from(AF_UNIX).unwrap_or(0).to_le_bytes();
        self.write_all(to, name.get(..room).unwrap_or(&name))?;
        self.write_all(length, &u32::try_from(name.len()).unwrap_or(0).to_le_bytes())?;
        Ok(0)
    }

    pub(super) fn sys_getsockopt(&mut self, [fd, level, option, to, length, _]: [u64; 6]) -> Reply {
        let socket = self.socket(fd)?;
        let room = i32::from_le_bytes(self.read_array(length)?);
        let room = usize::try_from(room).map_err(|_| Errno::INVAL)?;
        if low(level) != SOL_SOCKET {
            return Err(Errno::OPNOTSUPP.into());
        }
        let value = match low(option) {
            SO_TYPE => SOCK_STREAM,
            SO_ERROR => {
                let was_reset = self.process.files.take_reset(socket)?;
                if was_reset { Errno::CONNRESET.raw_os_error().unsigned_abs() } else { 0 }
            }
            SO_ACCEPTCONN | SO_PROTOCOL => 0,
            SO_DOMAIN => AF_UNIX,
            _ => return Err(Errno::NOPROTOOPT.into()),
        };
        let value = value.to_le_bytes();
        let value = value.get(..room).unwrap_or(&value);
        self.write_all(to, value)?;
        self.write_all(length, &u32::try_from(value.len()).unwrap_or(0).to_le_bytes())?;
        Ok(0)
    }

    /// What `poll` says of one of a pair.
    pub(super) fn socket_ready(&self, id: InodeId) -> Result<u16, Errno> {
        let socket = self.process.files.socket(id)?;
        let is_shut = self.process.files.is_shut_for_sending(id)?;
        let mut ready = 0;
        if !socket.incoming.is_empty() || socket.is_closed {
            ready |= POLLIN | POLLRDNORM;
        }
        if socket.is_closed {
            ready |= POLLRDHUP;
        }
        if socket.is_closed && is_shut {
            ready |= POLLHUP;
        }
        if socket.is_reset {
            ready |= POLLERR;
        }
        if self.process.files.pipe_state(socket.peer)?.room() >= READY_ROOM {
            ready |= POLLOUT | POLLWRNORM;
        }
        Ok(ready)
    }
}
