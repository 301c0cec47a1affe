//! Descriptors that somebody waits for on one thread, each under a number, and a bell for that thread: epoll(7) and eventfd(2).
//!
//! Whoever adds a descriptor does so on its own thread, and the thread that waits learns of it without being woken. A descriptor is told of
//! once, however long it stays ready.

use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags};
use rustix::io::Errno;

use super::clock::{self, Nanos};
use super::error::HostError;
use super::process;
use super::seam::{self, HostCall};

/// The bell's number.
const BELL: u64 = u64::MAX;
/// Most that are told of at once; the others are next.
const MOST: usize = 64;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Readiness {
    set: OwnedFd,
    bell: OwnedFd,
    /// The process that made it.
    owner: u32,
}

impl Readiness {
    pub(crate) fn new() -> Result<Self, HostError> {
        let set = seam::call(HostCall::EpollCreate, || epoll::create(CreateFlags::CLOEXEC))?;
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let bell = seam::call(HostCall::EventFd, || rustix::event::eventfd(0, flags))?;
        let data = EventData::new_u64(BELL);
        seam::call(HostCall::EpollControl, || epoll::add(&set, &bell, data, EventFlags::IN))?;
        Ok(Self { set, bell, owner: process::current() })
    }

    /// False after a fork: both processes have the set then, and it is the other's.
    pub(crate) fn is_ours(&self) -> bool {
        self.owner == process::current()
    }

    /// From now on `file` is told of under `number`, once. It has to be removed before it is closed, for its description may live on.
    pub(crate) fn add(&self, file: impl AsFd, events: PollFlags, number: u64) -> Result<(), HostError> {
        // The events of poll(2) have the same bits here.
        let wanted = EventFlags::from_bits_retain(u32::from(events.bits())) | EventFlags::ONESHOT;
        let data = EventData::new_u64(number);
        seam::call(HostCall::EpollControl, || epoll::add(&self.set, file.as_fd(), data, wanted))
    }

    /// Takes a descriptor out that was added.
    pub(crate) fn remove(&self, file: impl AsFd) {
        if self.is_ours() {
            // It is there, so that this cannot fail.
            let _ = epoll::delete(&self.set, file);
        }
    }

    /// Ends the wait that is in progress, or else the next one.
    pub(crate) fn ring(&self) {
        // The counter is full when it was rung 2^64 - 2 times: it rings then.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    /// Waits until a descriptor is ready, the bell rings or it is `until` on `CLOCK_MONOTONIC`; the numbers of what is ready.
    pub(crate) fn wait(&self, until: Nanos) -> Result<impl Iterator<Item = u64>, HostError> {
        let timeout = clock::timespec(until.saturating_sub(clock::monotonic()));
        let mut events: Vec<Event> = Vec::new();
        // epoll_pwait(2) knows milliseconds only; and most waits end by their time.
        let mut polled = [PollFd::from_borrowed_fd(self.set.as_fd(), PollFlags::IN)];
        let is_ready = seam::raw(HostCall::Poll, || match rustix::event::poll(&mut polled, Some(&timeout)) {
            Err(Errno::INTR) => Ok(0),
            polled => Ok(polled?),
        });
        if is_ready.map_err(|source| HostError::Call { call: HostCall::Poll, source })? > 0 {
            events.reserve(MOST);
            let now = clock::timespec(0);
            seam::call(HostCall::EpollWait, || epoll::wait(&self.set, spare_capacity(&mut events), Some(&now)))?;
        }
        if events.iter().any(|event| event.data.u64() == BELL) {
            let _ = rustix::io::read(&self.bell, &mut [0; 8]);
        }
        Ok(events.into_iter().map(|event| event.data.u64()).filter(|&number| number != BELL))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const FOREVER: Nanos = Nanos::MAX;

    fn wait(readiness: &Readiness, until: Nanos) -> Vec<u64> {
        readiness.wait(until).unwrap().collect()
    }

    #[test]
    fn what_becomes_ready_is_told_once_and_what_was_removed_is_not() {
        let readiness = Readiness::new().unwrap();
        let pipes = [std::io::pipe().unwrap(), std::io::pipe().unwrap()];
        for (number, (reader, _)) in (0..).zip(&pipes) {
            readiness.add(reader, PollFlags::IN, number).unwrap();
        }
        readiness.remove(&pipes[0].0);
        for (_, writer) in &pipes {
            writer.try_clone().unwrap().write_all(b"x").unwrap();
        }
        assert_eq!(wait(&readiness, FOREVER), [1]);
        assert!(wait(&readiness, 0).is_empty());
        readiness.remove(&pipes[1].0);
        readiness.add(&pipes[1].0, PollFlags::IN, 7).unwrap();
        assert_eq!(wait(&readiness, FOREVER), [7], "it is still ready");
    }

    #[test]
    fn a_wait_ends_by_its_time_and_by_the_bell_and_the_bell_is_nobodys_number() {
        let readiness = Readiness::new().unwrap();
        let until = clock::monotonic() + 1_000_000;
        while clock::monotonic() < until {
            assert!(wait(&readiness, until).is_empty());
        }
        for _ in 0..2 {
            readiness.ring();
        }
        assert!(wait(&readiness, FOREVER).is_empty());
        let (readiness, other) = (&readiness, std::sync::Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                other.wait();
                readiness.ring();
            });
            other.wait();
            assert!(wait(readiness, FOREVER).is_empty());
        });
    }

    #[test]
    fn the_end_of_a_pipe_is_something_to_be_told_of() {
        let readiness = Readiness::new().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        readiness.add(&reader, PollFlags::IN, 1).unwrap();
        drop(writer);
        assert_eq!(wait(&readiness, FOREVER), [1]);
    }
}
