//! The numbers that a guest calls its open files by.
//!
//! Two layers, as in Linux: a descriptor is a number with a close-on-exec flag, a [`Description`] is what `open` made (object, status
//! flags, offset), and `dup` makes two numbers share one description. Nothing is counted: a description lives as long as a
//! number leads to it, which is looked up when one goes.
//!
//! ```text
//!   0 ──► Stdin      3 ─┐            5 (close-on-exec) ──► /b, offset 7
//!   1 ──► Stdout        ├──► /a, offset 40
//!   2 ──► Stderr     4 ─┘
//! ```

#[cfg(any(test, feature = "fuzzing"))]
mod account;
mod state;

use std::collections::BTreeMap;

use rustix::io::Errno;

use super::abi::{
    F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_GETFL, F_SETFD, F_SETFL, FD_CLOEXEC, O_ACCMODE, O_APPEND, O_CLOEXEC,
    O_NONBLOCK, O_PATH, O_RDWR, O_WRONLY,
};
use super::inode::{Device, InodeId};
use super::mounts::HandleId;

/// The streams that join a guest to its embedder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// What the embedder sends.
    Stdin,
    /// What the guest prints.
    Stdout,
    /// What the guest complains about.
    Stderr,
}

impl Stream {
    /// Its inode number, and one more than the descriptor it starts with.
    pub(crate) const fn number(self) -> u64 {
        match self {
            Self::Stdin => 1,
            Self::Stdout => 2,
            Self::Stderr => 3,
        }
    }
}

/// What is behind a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    /// A stream of the embedder's.
    Stream(Stream),
    /// A regular file.
    File(InodeId),
    /// A directory.
    Directory(InodeId),
    /// A device, and the inode it was opened through.
    Device(Device, InodeId),
    /// A file or directory of the host's.
    Host(HandleId),
    /// An end of a pipe.
    Pipe(InodeId),
    /// One of a pair of sockets.
    Socket(InodeId),
    /// An event counter.
    Counter(InodeId),
    /// A set of what is waited for.
    Epoll(InodeId),
    /// Anything, by `O_PATH`: a place and no access.
    Path(InodeId),
}

impl Object {
    /// The inode that must live as long as this is open.
    pub(crate) fn inode(self) -> Option<InodeId> {
        match self {
            Self::Stream(_) | Self::Host(_) => None,
            Self::File(inode)
            | Self::Directory(inode)
            | Self::Device(_, inode)
            | Self::Pipe(inode)
            | Self::Socket(inode)
            | Self::Counter(inode)
            | Self::Epoll(inode)
            | Self::Path(inode) => Some(inode),
        }
    }

    /// Whether it is open once and for all: what is open on it is shared by `dup` alone.
    pub(crate) fn is_open_once(self) -> bool {
        matches!(self, Self::Stream(_) | Self::Socket(_) | Self::Counter(_) | Self::Epoll(_))
    }
}

/// What `open` makes and `dup` shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    /// What it is open on.
    pub(crate) object: Object,
    /// What `F_GETFL` shows: access mode and status flags.
    pub(crate) status: u32,
    /// Where the next read or write of a file starts, or the position in a directory's listing; at most `i64::MAX`.
    pub(crate) offset: u64,
}

impl Description {
    /// Whether it was opened for reading.
    pub(crate) fn readable(&self) -> bool {
        matches!(self.status & (O_ACCMODE | O_PATH), 0 | O_RDWR)
    }

    /// Whether it was opened for writing.
    pub(crate) fn writable(&self) -> bool {
        matches!(self.status & O_ACCMODE, O_WRONLY | O_RDWR)
    }
}

/// A descriptor and what went when it took its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the object that is no longer open may be the last to hold its inode"]
pub(crate) struct Duplicate {
    /// The new descriptor.
    pub(crate) descriptor: i32,
    /// The object whose last descriptor was replaced.
    pub(crate) closed: Option<Object>,
}

/// What descriptors share, by its number: never used twice in one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DescriptionId(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    description: DescriptionId,
    close_on_exec: bool,
}

/// A descriptor table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    slots: BTreeMap<i32, Slot>,
    descriptions: BTreeMap<DescriptionId, Description>,
    next_description: DescriptionId,
    /// The first number that is too large. Calls look through the table, hence no more than a `u16` may hold.
    limit: i32,
}

impl Descriptors {
    /// A table with the three streams at 0, 1 and 2, whatever the limit, and room for numbers below `limit`.
    pub(crate) fn new(limit: u16) -> Self {
        let mut table = Self {
            slots: BTreeMap::new(),
            descriptions: BTreeMap::new(),
            next_description: DescriptionId(0),
            limit: i32::from(limit),
        };
        let streams = [(Stream::Stdin, 0), (Stream::Stdout, O_WRONLY), (Stream::Stderr, O_WRONLY)];
        for (number, (stream, status)) in (0..).zip(streams) {
            table.place(number, Description { object: Object::Stream(stream), status, offset: 0 }, false);
        }
        table
    }

    /// The description behind a descriptor.
    ///
    /// # Errors
    /// `EBADF` if there is none.
    pub(crate) fn get(&self, descriptor: i32) -> Result<&Description, Errno> {
        self.descriptions.get(&self.slot(descriptor)?.description).ok_or(Errno::BADF)
    }

    /// The description behind a descriptor, to be changed.
    ///
    /// # Errors
    /// `EBADF` if there is none.
    pub(crate) fn get_mut(&mut self, descriptor: i32) -> Result<&mut Description, Errno> {
        let id = self.slot(descriptor)?.description;
        self.descriptions.get_mut(&id).ok_or(Errno::BADF)
    }

    /// The number of the description behind a descriptor.
    ///
    /// # Errors
    /// `EBADF` if there is none.
    pub(crate) fn description_of(&self, descriptor: i32) -> Result<DescriptionId, Errno> {
        Ok(self.slot(descriptor)?.description)
    }

    /// A description by its number, as long as a descriptor leads to it.
    pub(crate) fn description(&self, id: DescriptionId) -> Option<&Description> {
        self.descriptions.get(&id)
    }

    /// Whether a pipe is open for reading, and for writing.
    pub(crate) fn ends(&self, pipe: InodeId) -> [bool; 2] {
        let mut ends = [false; 2];
        for description in self.descriptions.values().filter(|description| description.object == Object::Pipe(pipe)) {
            let [reads, writes] = &mut ends;
            *reads |= description.readable();
            *writes |= description.writable();
        }
        ends
    }

    /// The descriptors that are open from `first` to `last`.
    pub(crate) fn within(&self, first: u32, last: u32) -> Vec<i32> {
        let wanted = |number: &i32| u32::try_from(*number).is_ok_and(|number| (first..=last).contains(&number));
        self.slots.keys().copied().filter(wanted).collect()
    }

    /// Whether anything open is this inode.
    pub(crate) fn hold(&self, inode: InodeId) -> bool {
        self.descriptions.values().any(|description| description.object.inode() == Some(inode))
    }

    /// Whether anything is open on this.
    pub(crate) fn are_open_on(&self, object: Object) -> bool {
        self.descriptions.values().any(|description| description.object == object)
    }

    /// The lowest number that is free.
    ///
    /// # Errors
    /// `EMFILE` if none below the limit is.
    pub(crate) fn lowest_free(&self) -> Result<i32, Errno> {
        self.lowest_free_from(0)
    }

    /// Opens a description at the lowest free number.
    ///
    /// # Errors
    /// `EMFILE` if there is none.
    pub(crate) fn open(&mut self, object: Object, status: u32, close_on_exec: bool) -> Result<i32, Errno> {
        let descriptor = self.lowest_free()?;
        self.place(descriptor, Description { object, status, offset: 0 }, close_on_exec);
        Ok(descriptor)
    }

    /// Frees a number, and returns the object behind it if that was the last one to lead there.
    ///
    /// # Errors
    /// `EBADF` if nothing is open there.
    pub(crate) fn close(&mut self, descriptor: i32) -> Result<Option<Object>, Errno> {
        let slot = self.slots.remove(&descriptor).ok_or(Errno::BADF)?;
        if self.slots.values().any(|other| other.description == slot.description) {
            return Ok(None);
        }
        Ok(self.descriptions.remove(&slot.description).map(|description| description.object))
    }

    /// `dup`: the lowest free number, sharing the description.
    ///
    /// # Errors
    /// `EBADF`, `EMFILE`.
    pub(crate) fn dup(&mut self, old: i32) -> Result<i32, Errno> {
        let description = self.slot(old)?.description;
        let descriptor = self.lowest_free()?;
        self.slots.insert(descriptor, Slot { description, close_on_exec: false });
        Ok(descriptor)
    }

    /// `dup2`: the number `new`, closing what it was. Onto itself it changes nothing.
    ///
    /// # Errors
    /// `EBADF` if `old` is not open or `new` is no number below the limit.
    pub(crate) fn dup2(&mut self, old: i32, new: i32) -> Result<Duplicate, Errno> {
        if old == new {
            self.slot(old)?;
            return Ok(Duplicate { descriptor: new, closed: None });
        }
        self.dup3(old, new, 0)
    }

    /// `dup3`: as [`dup2`](Self::dup2), with `O_CLOEXEC` for a flag, and never onto itself.
    ///
    /// # Errors
    /// `EINVAL` for other flags or the same number twice; otherwise `EBADF` as `dup2`.
    pub(crate) fn dup3(&mut self, old: i32, new: i32, flags: u32) -> Result<Duplicate, Errno> {
        if flags & !O_CLOEXEC != 0 || old == new {
            return Err(Errno::INVAL);
        }
        if !(0..self.limit).contains(&new) {
            return Err(Errno::BADF);
        }
        let description = self.slot(old)?.description;
        let closed = self.close(new).unwrap_or(None);
        self.slots.insert(new, Slot { description, close_on_exec: flags & O_CLOEXEC != 0 });
        Ok(Duplicate { descriptor: new, closed })
    }

    /// `fcntl`, as far as descriptors go: `F_DUPFD`, `F_DUPFD_CLOEXEC`, `F_GETFD`, `F_SETFD`, `F_GETFL`, and `F_SETFL`, which can
    /// change `O_APPEND` and `O_NONBLOCK` and ignores the rest.
    ///
    /// # Errors
    /// `EBADF`; `EINVAL` for other commands and for a lowest number not below the limit; `EMFILE`.
    pub(crate) fn fcntl(&mut self, descriptor: i32, command: u32, argument: u64) -> Result<i32, Errno> {
        const SETTABLE: u32 = O_APPEND | O_NONBLOCK;
        let slot = *self.slot(descriptor)?;
        // Every command here takes an `int`: Linux, too, looks at the low half of the register.
        let argument = u32::try_from(argument & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        match command {
            F_DUPFD | F_DUPFD_CLOEXEC => {
                let from = i32::try_from(argument).map_err(|_| Errno::INVAL)?;
                if from >= self.limit {
                    return Err(Errno::INVAL);
                }
                let duplicate = self.lowest_free_from(from)?;
                let close_on_exec = command == F_DUPFD_CLOEXEC;
                self.slots.insert(duplicate, Slot { close_on_exec, ..slot });
                Ok(duplicate)
            }
            F_GETFD => Ok(if slot.close_on_exec { FD_CLOEXEC } else { 0 }),
            F_SETFD => {
                let close_on_exec = argument & FD_CLOEXEC.cast_unsigned() != 0;
                self.slots.insert(descriptor, Slot { close_on_exec, ..slot });
                Ok(0)
            }
            F_GETFL => Ok(self.get(descriptor)?.status.cast_signed()),
            _ if self.get(descriptor)?.status & O_PATH != 0 => Err(Errno::BADF),
            F_SETFL => {
                let description = self.get_mut(descriptor)?;
                description.status = description.status & !SETTABLE | argument & SETTABLE;
                Ok(0)
            }
            _ => Err(Errno::INVAL),
        }
    }

    fn slot(&self, descriptor: i32) -> Result<&Slot, Errno> {
        self.slots.get(&descriptor).ok_or(Errno::BADF)
    }

    fn lowest_free_from(&self, from: i32) -> Result<i32, Errno> {
        let mut taken = self.slots.range(from..).map(|(number, _)| *number);
        (from..self.limit).find(|number| taken.next() != Some(*number)).ok_or(Errno::MFILE)
    }

    fn place(&mut self, descriptor: i32, description: Description, close_on_exec: bool) {
        let id = self.next_description;
        self.next_description = DescriptionId(id.0.wrapping_add(1));
        self.descriptions.insert(id, description);
        self.slots.insert(descriptor, Slot { description: id, close_on_exec });
    }
}
