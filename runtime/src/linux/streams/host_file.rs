//! A file descriptor of the host's that never blocks past the run's limits.
//!
//! `poll` alone is not enough: a pipe that is ready may be emptied by somebody else, and a write of more than fits blocks anyhow. The
//! description may also be shared (a terminal, a parent's pipe), so `O_NONBLOCK` must not be set on it. So, by what it is:
//!
//! ```text
//! regular file, block device      as it is: these do not block for long
//! socket                          MSG_DONTWAIT
//! pipe, FIFO, terminal, device    a description of our own, reopened with O_NONBLOCK through /proc/self/fd
//! what cannot be reopened         poll first, then at most PIPE_BUF bytes, which a ready pipe takes whole
//! ```

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::linux::reply::Refusal;
use crate::vm::parked::Done;
use crate::vm::watch::{Watch, Woken};

/// limits.h `PIPE_BUF`.
const PIPE_BUF: usize = 4096;

/// How not to block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It never does.
    Regular,
    /// `MSG_DONTWAIT`.
    Socket,
    /// The description has `O_NONBLOCK` and is ours.
    NonBlocking,
    /// Poll, then little.
    Polled,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct HostFile {
    fd: OwnedFd,
    kind: Kind,
}

impl HostFile {
    /// Takes `fd`. Flags of its description are not changed.
    pub(crate) fn new(fd: OwnedFd) -> Result<Self, std::io::Error> {
        let kind = match FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
            FileType::RegularFile | FileType::BlockDevice | FileType::Directory => Kind::Regular,
            FileType::Socket => Kind::Socket,
            _ => {
                return Ok(match reopen(&fd) {
                    Ok(own) => Self { fd: own, kind: Kind::NonBlocking },
                    Err(_) => Self { fd, kind: Kind::Polled },
                });
            }
        };
        Ok(Self { fd, kind })
    }

    /// Takes one end of a pipe that nobody else has.
    pub(crate) fn own_pipe(fd: OwnedFd) -> Result<Self, std::io::Error> {
        let flags = rustix::fs::fcntl_getfl(&fd)?;
        rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
        Ok(Self { fd, kind: Kind::NonBlocking })
    }

    /// Reads what there is, waiting for something; 0 is the end. `before` is what the system call has done so far.
    pub(crate) fn read(&mut self, buf: &mut [u8], before: Done, watch: &mut Watch) -> Result<usize, Refusal> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if self.kind == Kind::Polled {
                self.wait(PollFlags::IN, before, watch)?;
            }
            let result = match self.kind {
                Kind::Socket => rustix::net::recv(&self.fd, &mut *buf, RecvFlags::DONTWAIT).map(|(count, _)| count),
                _ => rustix::io::read(&self.fd, &mut *buf),
            };
            match result {
                Ok(count) => return Ok(count),
                Err(Errno::INTR) => watch.check()?,
                Err(Errno::AGAIN) => self.wait(PollFlags::IN, before, watch)?,
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Writes all of `bytes`, waiting as often as it takes. An error after some of it is the next write's. `before` is what the system call has
    /// done so far.
    pub(crate) fn write(&mut self, bytes: &[u8], before: Done, watch: &mut Watch) -> Result<usize, Refusal> {
        let (mut done, mut before) = (0, before);
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let result = match self.kind {
                Kind::Socket => rustix::net::send(&self.fd, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
                Kind::Polled => {
                    self.wait(PollFlags::OUT, before, watch)?;
                    rustix::io::write(&self.fd, rest.get(..PIPE_BUF).unwrap_or(rest))
                }
                Kind::Regular | Kind::NonBlocking => rustix::io::write(&self.fd, rest),
            };
            match result {
                Ok(count) => {
                    done += count;
                    before = Done::Something;
                    watch.check()?;
                }
                Err(Errno::INTR) => watch.check()?,
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT, before, watch)?,
                Err(_) if done > 0 => return Ok(done),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(done)
    }

    fn wait(&self, events: PollFlags, before: Done, watch: &mut Watch) -> Result<(), Refusal> {
        match watch.wait_in_call(before, &[(self.fd.as_fd(), events)], None)? {
            Woken::Ready | Woken::TimedOut => Ok(()),
        }
    }
}

impl AsFd for HostFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Another description of the same file, with `O_NONBLOCK`.
fn reopen(fd: &OwnedFd) -> Result<OwnedFd, Errno> {
    use std::os::fd::AsRawFd;
    let access = rustix::fs::fcntl_getfl(fd)? & OFlags::ACCMODE;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    // Not `open`, which a confined thread may not call.
    rustix::fs::openat(
        rustix::fs::CWD,
        path,
        access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::end::{End, Limit};
    use crate::vm::cancel::CancelToken;
    use crate::vm::clock::Nanos;
    use crate::vm::watch::Budget;

    fn watch(wall: Nanos) -> Watch {
        Watch::begin(Budget {
            wall,
            cpu: Nanos::MAX,
            cancel: [None, None],
            nudge: None,
            pipes: true,
            tick: None,
            slice: None,
        })
        .unwrap()
    }

    #[test]
    fn a_read_of_an_empty_pipe_ends_at_the_wall_limit_and_the_pipe_stays_blocking_for_others() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let shared = reader.try_clone().unwrap();
        let mut file = HostFile::new(reader.into()).unwrap();
        let refused = file.read(&mut [0; 8], Done::Nothing, &mut watch(1_000_000)).unwrap_err();
        assert!(matches!(refused, Refusal::End(End::Limit(Limit::Wall))));
        assert!(!rustix::fs::fcntl_getfl(&shared).unwrap().contains(OFlags::NONBLOCK));
    }

    #[test]
    fn a_write_to_a_full_pipe_waits_for_the_reader_and_loses_nothing() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut file = HostFile::own_pipe(writer.into()).unwrap();
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let expected = bytes.clone();
        let other = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        assert_eq!(file.write(&bytes, Done::Nothing, &mut watch(Nanos::MAX)).unwrap(), bytes.len());
        drop(file);
        assert_eq!(other.join().unwrap(), expected);
    }

    #[test]
    fn a_write_to_a_full_pipe_that_nobody_reads_is_cancelled_from_another_thread() {
        let (_reader, writer) = std::io::pipe().unwrap();
        let mut file = HostFile::own_pipe(writer.into()).unwrap();
        let token = CancelToken::new();
        let mut watch = Watch::begin(Budget {
            wall: Nanos::MAX,
            cpu: Nanos::MAX,
            cancel: [Some(token.clone()), None],
            nudge: None,
            pipes: true,
            tick: None,
            slice: None,
        })
        .unwrap();
        let other = std::thread::spawn(move || token.cancel());
        let refused = file.write(&vec![0; 1 << 20], Done::Nothing, &mut watch).unwrap_err();
        assert!(matches!(refused, Refusal::End(End::Cancelled)));
        other.join().unwrap();
    }

    #[test]
    fn a_socket_is_read_and_written_without_blocking_it() {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut file = HostFile::new(ours.into()).unwrap();
        assert_eq!(file.write(b"ping", Done::Nothing, &mut watch(Nanos::MAX)).unwrap(), 4);
        let mut got = [0; 4];
        theirs.read_exact(&mut got).unwrap();
        theirs.write_all(b"pong").unwrap();
        assert_eq!(file.read(&mut got, Done::Nothing, &mut watch(Nanos::MAX)).unwrap(), 4);
        assert_eq!(&got, b"pong");
        let refused = file.read(&mut got, Done::Nothing, &mut watch(1_000_000)).unwrap_err();
        assert!(matches!(refused, Refusal::End(End::Limit(Limit::Wall))));
    }
}
