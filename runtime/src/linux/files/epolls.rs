//! What the program's epoll sets wait for. Whether it is there is the caller's to find out: it knows the streams.
//!
//! A set is kept in the order in which its members are asked: who was reported goes to the end, so that a program that takes one event at a time
//! gets to all of them. An edge is noted down with the member when something happens that could be one – something was written, read, shut down – and is
//! gone when it was reported.
//!
//! ```text
//!   epoll 9:  (description 4, fd 5, IN│ET, edge)  (description 4, fd 6, OUT)  …   at most 1,024, paid for when the set is made
//! ```

mod state;

use std::collections::BTreeMap;

use rustix::io::Errno;

use super::Files;
use super::abi::{O_CLOEXEC, O_RDWR};
use super::descriptors::{DescriptionId, Object};
use super::inode::{InodeId, Node};

/// There is something to read: `EPOLLIN` and `EPOLLRDNORM`.
pub(crate) const INPUT: u32 = 0x41;
/// There is room to write: `EPOLLOUT` and `EPOLLWRNORM`.
pub(crate) const OUTPUT: u32 = 0x104;
/// Reported whether it is asked for or not: errors, and the other end is gone.
const EPOLL_ALWAYS: u32 = 8 | 16;
/// All that can be reported.
pub(crate) const EPOLL_ALL: u32 = 0xffff;
/// Report only this once.
const EPOLLONESHOT: u32 = 1 << 30;
/// Report changes, not states.
const EPOLLET: u32 = 1 << 31;
/// Wake one waiter only: there is one.
const EPOLLEXCLUSIVE: u32 = 1 << 28;
/// What may stand beside [`EPOLLEXCLUSIVE`]: `EPOLLIN`, `EPOLLOUT`, what is always reported, `EPOLLWAKEUP` and edges.
const BESIDE_EXCLUSIVE: u32 = EPOLLEXCLUSIVE | 1 | 4 | EPOLL_ALWAYS | 1 << 29 | EPOLLET;

/// `epoll_ctl`.
const EPOLL_CTL_ADD: u32 = 1;
const EPOLL_CTL_DEL: u32 = 2;
const EPOLL_CTL_MOD: u32 = 3;

/// Most members of one set.
const MAX_INTERESTS: usize = 1024;
/// What a set costs of the quota, whatever is in it: room for all of its members, with what a growing vector wastes.
pub(crate) const EPOLL_BYTES: usize = 64 << 10;

/// One thing that a set waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interest {
    /// What is waited for…
    pub(crate) description: DescriptionId,
    /// …and the number that it was added by, which may lead elsewhere by now.
    pub(crate) descriptor: i32,
    /// What of it, and how it is reported.
    pub(crate) events: u32,
    /// What the program is told.
    pub(crate) data: u64,
    /// With [`EPOLLET`]: something has happened since it was last reported.
    pub(crate) is_edge: bool,
}

impl Interest {
    fn new(description: DescriptionId, descriptor: i32, events: u32, data: u64) -> Self {
        Self { description, descriptor, events: events | EPOLL_ALWAYS, data, is_edge: events & EPOLLET != 0 }
    }

    /// Whether the program is told of what is there.
    pub(crate) fn is_armed(&self) -> bool {
        self.events & EPOLL_ALL != 0 && (self.events & EPOLLET == 0 || self.is_edge)
    }
}

/// The members of all sets, by the sets' inodes; an empty set is not here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Epolls(BTreeMap<InodeId, Vec<Interest>>);

impl Files {
    /// `epoll_create1`.
    ///
    /// # Errors
    /// `EINVAL` for flags but `O_CLOEXEC`, `ENFILE` if the quota cannot bear it, `EMFILE`.
    pub(crate) fn epoll_create(&mut self, flags: u32) -> Result<i32, Errno> {
        if flags & !O_CLOEXEC != 0 {
            return Err(Errno::INVAL);
        }
        let object = Object::Epoll(self.tree_mut().create_nameless(Node::Epoll, 0o600)?);
        self.descriptors.open(object, O_RDWR, flags & O_CLOEXEC != 0).inspect_err(|_| self.release(Some(object)))
    }

    /// The set behind a descriptor.
    ///
    /// # Errors
    /// `EBADF`; `EINVAL` if it is something else.
    pub(crate) fn epoll(&self, descriptor: i32) -> Result<InodeId, Errno> {
        match self.object(descriptor)? {
            Object::Epoll(epoll) => Ok(epoll),
            _ => Err(Errno::INVAL),
        }
    }

    /// `epoll_ctl`, with the events and the data of what it adds or changes.
    ///
    /// # Errors
    /// `EBADF`, `EPERM` for what cannot be waited for, `EINVAL` for unknown operations and for what is no set or is itself, `ELOOP` for a set in a
    /// set, `EEXIST`, `ENOENT`, `ENOSPC` for one member too many.
    pub(crate) fn epoll_ctl(
        &mut self,
        set: i32,
        operation: u32,
        descriptor: i32,
        (events, data): (u32, u64),
    ) -> Result<(), Errno> {
        self.object(set)?;
        let object = self.object(descriptor)?;
        if matches!(object, Object::File(_) | Object::Directory(_) | Object::Device(..) | Object::Host(_)) {
            return Err(Errno::PERM);
        }
        let epoll = self.epoll(set)?;
        if object == Object::Epoll(epoll) {
            return Err(Errno::INVAL);
        }
        let is_nested = matches!(object, Object::Epoll(_));
        let is_exclusive = operation != EPOLL_CTL_DEL && events & EPOLLEXCLUSIVE != 0;
        if is_exclusive && (operation == EPOLL_CTL_MOD || is_nested || events & !BESIDE_EXCLUSIVE != 0) {
            return Err(Errno::INVAL);
        }
        let description = self.descriptors.description_of(descriptor)?;
        let mut members = self.epolls.0.remove(&epoll).unwrap_or_default();
        let done = change(&mut members, operation, Interest::new(description, descriptor, events, data), is_nested);
        if !members.is_empty() {
            self.epolls.0.insert(epoll, members);
        }
        done
    }

    /// What a set waits for, in the order in which it is asked.
    pub(crate) fn interests(&self, epoll: InodeId) -> &[Interest] {
        self.epolls.0.get(&epoll).map_or(&[], Vec::as_slice)
    }

    /// What a member is, and whether it is open for reading and for writing.
    ///
    /// # Errors
    /// `EBADF` if it is not open any more, which no member is.
    pub(crate) fn watched(&self, interest: &Interest) -> Result<(Object, [bool; 2]), Errno> {
        let description = self.descriptors.description(interest.description).ok_or(Errno::BADF)?;
        Ok((description.object, [description.readable(), description.writable()]))
    }

    /// The program has been told of these members: they have no edge any more, are asked last, and not again at all if only once was wanted.
    pub(crate) fn reported(&mut self, epoll: InodeId, told: &[Interest]) {
        let Some(members) = self.epolls.0.get_mut(&epoll) else { return };
        let is_told = |member: &Interest| {
            told.iter().any(|told| (told.description, told.descriptor) == (member.description, member.descriptor))
        };
        members.sort_by_key(is_told);
        for member in members.iter_mut().filter(|member| is_told(member)) {
            member.is_edge = false;
            if member.events & EPOLLONESHOT != 0 {
                member.events &= !EPOLL_ALL;
            }
        }
    }

    /// These members were found not to be ready: whenever they are, that is an edge.
    pub(crate) fn found_idle(&mut self, epoll: InodeId, idle: &[Interest]) {
        for member in self.epolls.0.get_mut(&epoll).into_iter().flatten() {
            let key = (member.description, member.descriptor);
            member.is_edge |=
                member.events & EPOLLET != 0 && idle.iter().any(|idle| (idle.description, idle.descriptor) == key);
        }
    }

    /// Something has happened to what is open: an edge for whoever waits for one of these events.
    pub(crate) fn wake(&mut self, object: Object, events: u32) {
        let descriptors = &self.descriptors;
        for member in self.epolls.0.values_mut().flatten() {
            if member.events & EPOLLET != 0 && member.events & events != 0 && !member.is_edge {
                let description = descriptors.description(member.description);
                member.is_edge = description.is_some_and(|description| description.object == object);
            }
        }
    }

    /// This is open by one description less: it is in no set any more, and if it is a set, that is gone. Whoever waits for the other end of a pipe
    /// or a socket looks again.
    pub(super) fn forget_interests(&mut self, object: Option<Object>) {
        if self.epolls.0.is_empty() {
            return;
        }
        if let Some(Object::Epoll(epoll)) = object {
            self.epolls.0.remove(&epoll);
        }
        let descriptors = &self.descriptors;
        self.epolls.0.retain(|_, members| {
            members.retain(|member| descriptors.description(member.description).is_some());
            !members.is_empty()
        });
        match object {
            Some(pipe @ Object::Pipe(_)) => self.wake(pipe, EPOLL_ALL),
            Some(Object::Socket(socket)) => {
                if let Ok(peer) = self.socket(socket).map(|socket| socket.peer) {
                    self.wake(Object::Socket(peer), EPOLL_ALL);
                }
            }
            _ => {}
        }
    }
}

#[cfg(any(test, feature = "fuzzing"))]
impl Files {
    /// Every member is of a set that is there, open, and once in it.
    pub(in crate::linux) fn assert_interests(&self) {
        for (epoll, members) in &self.epolls.0 {
            assert!(self.tree.epolls().any(|there| there == *epoll) && (1..=MAX_INTERESTS).contains(&members.len()));
            let mut keys: Vec<_> = members.iter().map(|member| (member.description, member.descriptor)).collect();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), members.len());
            for member in members {
                assert!(self.descriptors.description(member.description).is_some());
                assert!(member.events & EPOLLET != 0 || !member.is_edge);
            }
        }
    }
}

/// Adds, removes or changes a member.
fn change(members: &mut Vec<Interest>, operation: u32, wanted: Interest, is_nested: bool) -> Result<(), Errno> {
    let same = |member: &Interest| (member.description, member.descriptor) == (wanted.description, wanted.descriptor);
    let found = members.iter().position(same);
    match (operation, found) {
        (EPOLL_CTL_ADD, _) if is_nested => Err(Errno::LOOP),
        (EPOLL_CTL_ADD, Some(_)) => Err(Errno::EXIST),
        (EPOLL_CTL_ADD, None) if members.len() >= MAX_INTERESTS => Err(Errno::NOSPC),
        (EPOLL_CTL_ADD, None) => {
            members.push(wanted);
            Ok(())
        }
        (EPOLL_CTL_DEL | EPOLL_CTL_MOD, None) => Err(Errno::NOENT),
        (EPOLL_CTL_DEL, Some(index)) => {
            members.remove(index);
            Ok(())
        }
        (EPOLL_CTL_MOD, Some(index)) => match members.get_mut(index) {
            Some(member) if member.events & EPOLLEXCLUSIVE == 0 => {
                *member = wanted;
                Ok(())
            }
            _ => Err(Errno::INVAL),
        },
        _ => Err(Errno::INVAL),
    }
}
