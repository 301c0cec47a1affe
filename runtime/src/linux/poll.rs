//! `poll`, and what all calls that wait for several things have in common: what is ready now, and waiting until something may be.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use super::Kernel;
use super::files::{InodeId, Object, Stream};
use super::reply::{Refusal, Reply};
use crate::end::End;
use crate::vm::clock::{self, Nanos};
use crate::vm::parked::Done;
use crate::vm::watch::Woken;

/// Most descriptors in one `poll` or `select`.
pub(super) const MAX_POLLED: u64 = 1024;

pub(super) const POLLIN: u16 = 1;
pub(super) const POLLPRI: u16 = 2;
pub(super) const POLLOUT: u16 = 4;
pub(super) const POLLERR: u16 = 8;
pub(super) const POLLHUP: u16 = 16;
pub(super) const POLLNVAL: u16 = 32;
pub(super) const POLLRDNORM: u16 = 0x40;
pub(super) const POLLWRNORM: u16 = 0x100;
pub(super) const POLLRDHUP: u16 = 0x2000;

/// Somewhere that bytes can come from or go to, and what is waited for there.
pub(super) type Waited = (Object, u16);

/// How long a call waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// What the program said; for ever if it said nothing.
    timeout: Option<Nanos>,
    /// The end of it on the host's clock.
    deadline: Option<Nanos>,
    is_over: bool,
}

impl Patience {
    /// Nothing more is waited for.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// What is left of the time.
    pub(super) fn left(&self) -> Nanos {
        if self.is_over { 0 } else { self.deadline.map_or(0, |at| at.saturating_sub(clock::monotonic())) }
    }
}

impl Kernel<'_> {
    /// The patience of a system call that may wait for so long.
    pub(super) fn patience(&mut self, timeout: Option<Nanos>) -> Patience {
        let deadline = timeout.map(|timeout| self.end_of_wait(timeout));
        Patience { timeout, deadline, is_over: timeout == Some(0) }
    }

    pub(super) fn sys_poll(&mut self, array: u64, count: u64, timeout: Option<Nanos>) -> Reply {
        if count > MAX_POLLED {
            return Err(Errno::INVAL.into());
        }
        let mut entries = Vec::new();
        for index in 0..count {
            let [word] = self.read_words(array.wrapping_add(index * 8))?;
            let [a, b, c, d, e, f, _, _] = word.to_le_bytes();
            entries.push((i32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, f])));
        }
        let mut patience = self.patience(timeout);
        let results = self.poll(&entries, &mut patience)?;
        for (index, result) in (0..).zip(&results) {
            self.write_all(array.wrapping_add(index * 8 + 6), &result.to_le_bytes())?;
        }
        Ok(results.iter().filter(|&&result| result != 0).count() as u64)
    }

    /// What each descriptor is ready for, as soon as one is or the time is over.
    pub(super) fn poll(&mut self, entries: &[(i32, u16)], patience: &mut Patience) -> Result<Vec<u16>, Refusal> {
        loop {
            let mut results = Vec::with_capacity(entries.len());
            for &(fd, events) in entries {
                results.push(self.ready(fd, events)?);
            }
            if patience.is_over() || results.iter().any(|&result| result != 0) {
                return Ok(results);
            }
            let objects =
                entries.iter().filter_map(|&(fd, events)| Some((self.process.files.object(fd).ok()?, events)));
            let waited: Vec<_> = objects.flat_map(|waited| self.streams_behind(waited)).collect();
            self.wait_for(&waited, patience)?;
        }
    }

    /// The streams that can make something ready: itself, or what is in an epoll set.
    pub(super) fn streams_behind(&self, (object, events): Waited) -> Vec<Waited> {
        match object {
            Object::Epoll(epoll) => self.streams_of(epoll),
            _ => vec![(object, events)],
        }
    }

    /// What a set waits for. A stream that is waited for by its edges, and whose last one was reported, can have none but by what the program itself
    /// does; it is here with no events, so that waiting for it is no deadlock.
    pub(super) fn streams_of(&self, epoll: InodeId) -> Vec<Waited> {
        let members = self.process.files.interests(epoll).iter();
        let watched = members.filter_map(|member| Some((self.process.files.watched(member).ok()?.0, member)));
        watched
            .filter(|(_, member)| events_of(member.events) != 0)
            .map(|(object, member)| (object, if member.is_armed() { events_of(member.events) } else { 0 }))
            .collect()
    }

    /// Waits until one of them may be ready, or the time is over. Only streams have somebody else at their other end.
    pub(super) fn wait_for(&mut self, waited: &[Waited], patience: &mut Patience) -> Result<(), Refusal> {
        // Each stream once, however often it is named: the host polls no more descriptors than it lets this process have.
        let mut wanted = [Stream::Stdin, Stream::Stdout, Stream::Stderr].map(|stream| (stream, 0));
        let mut is_live = false;
        for &(object, events) in waited {
            if object == Object::Stream(Stream::Stdin) {
                // Whatever of it is waited for: nobody is at its other end yet.
                self.streams.ask()?;
            }
            if let Object::Stream(stream) = object
                && self.streams.file(stream).is_some()
            {
                is_live = true;
                for (_, all) in wanted.iter_mut().filter(|(known, _)| *known == stream) {
                    *all |= events;
                }
            }
        }
        let mut fds = Vec::with_capacity(wanted.len());
        for (stream, events) in wanted {
            if events != 0
                && let Some(file) = self.streams.file(stream)
            {
                fds.push((file.as_fd(), host_events(events)));
            }
        }
        let Some(timeout) = patience.timeout else {
            if !is_live {
                return Err(End::Deadlock.into());
            }
            self.watch.wait_in_call(Done::Nothing, &fds, None)?;
            return Ok(());
        };
        if fds.is_empty() {
            self.sleep(timeout)?;
            patience.is_over = true;
        } else {
            self.machine.clock_was_waited_for();
            if self.watch.wait_in_call(Done::Nothing, &fds, patience.deadline)? == Woken::TimedOut {
                self.process.supply.slept(timeout);
                patience.is_over = true;
            }
        }
        Ok(())
    }

    /// Whether a read would not wait.
    pub(super) fn has_input(&mut self, fd: i32) -> Result<bool, Refusal> {
        Ok(self.ready(fd, POLLIN)? != 0)
    }

    /// What `poll` says of one descriptor now.
    pub(super) fn ready(&mut self, fd: i32, events: u16) -> Result<u16, Refusal> {
        if fd < 0 {
            return Ok(0);
        }
        match self.process.files.object(fd) {
            Ok(object) => {
                let directions = self.process.files.directions(fd)?;
                self.readiness(object, directions, events)
            }
            Err(_) => Ok(POLLNVAL),
        }
    }

    /// What is ready of what is asked for, and what is always reported. What has no other end is always ready.
    pub(super) fn readiness(&mut self, object: Object, directions: [bool; 2], events: u16) -> Result<u16, Refusal> {
        let ready = match object {
            Object::Stream(stream) => self.stream_ready(stream, events)?,
            Object::Pipe(pipe) => self.pipe_ready(pipe, directions)?,
            Object::Socket(socket) => self.socket_ready(socket)?,
            Object::Counter(counter) => self.counter_ready(counter)?,
            Object::Epoll(epoll) => self.epoll_ready(epoll)?,
            _ => POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM,
        };
        Ok(ready & (events | POLLERR | POLLHUP))
    }

    fn stream_ready(&mut self, stream: Stream, events: u16) -> Result<u16, Refusal> {
        let direction = if stream == Stream::Stdin { POLLIN | POLLRDNORM } else { POLLOUT | POLLWRNORM };
        // Who asks for neither finds out whether it is open, as Rust's programs do before `main`.
        if stream == Stream::Stdin && events & direction != 0 {
            self.streams.ask()?;
        }
        let Some(file) = self.streams.file(stream) else {
            return Ok(direction);
        };
        let mut polled = [PollFd::from_borrowed_fd(file.as_fd(), host_events(events))];
        match rustix::event::poll(&mut polled, Some(&clock::timespec(0))) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let [polled] = polled;
        Ok(polled.revents().bits())
    }
}

/// The low half of what an epoll set waits for: the same bits as `poll` has.
pub(super) fn events_of(events: u32) -> u16 {
    let [low, high, ..] = events.to_le_bytes();
    u16::from_le_bytes([low, high])
}

fn host_events(events: u16) -> PollFlags {
    PollFlags::from_bits_truncate(events & (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM))
}
