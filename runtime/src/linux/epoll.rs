//! `epoll`: sets of what is waited for, kept by the file layer, asked here.

use rustix::io::Errno;

use super::files::{InodeId, Interest};
use super::paths::{low, value};
use super::poll::{POLLIN, POLLRDNORM, events_of};
use super::reply::{Refusal, Reply};
use super::{Kernel, descriptor};
use crate::vm::clock::Nanos;

/// `epoll_ctl`: take out, which needs no events.
const EPOLL_CTL_DEL: u32 = 2;
/// `struct epoll_event`: events and data, packed.
const EVENT_BYTES: u64 = 12;
/// Most events in one wait: an `int` counts their bytes.
const MAX_EVENTS: i32 = i32::MAX / 12;

/// A member with something to tell.
#[derive(Debug, Clone, Copy)]
struct Event {
    member: Interest,
    ready: u16,
}

impl Kernel<'_> {
    pub(super) fn sys_epoll_create(&mut self, size: u64) -> Reply {
        if descriptor(size) <= 0 {
            return Err(Errno::INVAL.into());
        }
        self.sys_epoll_create1(0)
    }

    pub(super) fn sys_epoll_create1(&mut self, flags: u64) -> Reply {
        Ok(value(self.process.files.epoll_create(low(flags))?))
    }

    pub(super) fn sys_epoll_ctl(&mut self, set: u64, operation: u64, fd: u64, event: u64) -> Reply {
        let mut wanted = (0, 0);
        if low(operation) != EPOLL_CTL_DEL {
            let [a, b, c, d, data @ ..] = self.read_array::<12>(event)?;
            wanted = (u32::from_le_bytes([a, b, c, d]), u64::from_le_bytes(data));
        }
        self.process.files.epoll_ctl(descriptor(set), low(operation), descriptor(fd), wanted)?;
        Ok(0)
    }

    /// All forms of waiting. The signal mask is not looked at: no signal comes while the program waits.
    pub(super) fn sys_epoll_wait(&mut self, set: u64, to: u64, most: u64, timeout: Option<Nanos>) -> Reply {
        let most = descriptor(most);
        if !(1..=MAX_EVENTS).contains(&most) {
            return Err(Errno::INVAL.into());
        }
        let epoll = self.process.files.epoll(descriptor(set))?;
        let most = usize::try_from(most).unwrap_or(1);
        let mut patience = self.patience(timeout);
        let events = loop {
            let events = self.epoll_events(epoll, most)?;
            if patience.is_over() || !events.is_empty() {
                break events;
            }
            let streams = self.streams_of(epoll);
            self.wait_for(&streams, &mut patience)?;
        };
        self.hand_over(epoll, to, &events)
    }

    /// Writes what there is, and takes note of what the program was told of.
    fn hand_over(&mut self, epoll: InodeId, to: u64, events: &[Event]) -> Reply {
        let mut told = Vec::with_capacity(events.len());
        for (index, Event { member, ready }) in (0..).zip(events) {
            let mut bytes = u32::from(*ready).to_le_bytes().to_vec();
            bytes.extend(member.data.to_le_bytes());
            match self.write_all(to.wrapping_add(index * EVENT_BYTES), &bytes) {
                Err(Refusal::Errno(_)) if index > 0 => break,
                written => written?,
            }
            told.push(*member);
        }
        self.process.files.reported(epoll, &told);
        Ok(told.len() as u64)
    }

    /// What the members of a set have to tell, at most so many.
    fn epoll_events(&mut self, epoll: InodeId, most: usize) -> Result<Vec<Event>, Refusal> {
        // `poll` may ask for as many sets as it has entries.
        self.watch.check()?;
        let members = self.process.files.interests(epoll).to_vec();
        let (mut events, mut idle) = (Vec::new(), Vec::new());
        for member in members {
            let (object, directions) = self.process.files.watched(&member)?;
            let wanted = events_of(member.events);
            if wanted == 0 {
                continue;
            }
            let ready = self.readiness(object, directions, wanted)?;
            if ready == 0 {
                idle.push(member);
            } else if member.is_armed() && events.len() < most {
                events.push(Event { member, ready });
            }
        }
        if !idle.is_empty() {
            self.process.files.found_idle(epoll, &idle);
        }
        Ok(events)
    }

    /// What `poll` says of a set.
    pub(super) fn epoll_ready(&mut self, epoll: InodeId) -> Result<u16, Refusal> {
        Ok(if self.epoll_events(epoll, 1)?.is_empty() { 0 } else { POLLIN | POLLRDNORM })
    }
}
