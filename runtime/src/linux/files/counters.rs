//! Event counters (`eventfd`): a number that writing adds to and reading takes. An inode that never has a name.

use rustix::io::Errno;

use super::Files;
use super::abi::{O_CLOEXEC, O_NONBLOCK, O_RDWR};
use super::descriptors::Object;
use super::epolls::{INPUT, OUTPUT};
use super::inode::{InodeId, Node};
use crate::linux::state::StateError;
use crate::wire::{Reader, Writer};

/// `eventfd2`: a read takes one at a time.
const EFD_SEMAPHORE: u32 = 1;
/// The most that a counter holds: one more means something else in Linux.
pub(crate) const COUNTER_MAX: u64 = u64::MAX - 1;

/// How far a counter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counter {
    /// What was added and not taken; at most [`COUNTER_MAX`].
    pub(crate) value: u64,
    /// A read takes one, not all.
    pub(crate) is_semaphore: bool,
}

impl Counter {
    pub(super) fn encode(self, writer: &mut Writer) {
        writer.u64(self.value);
        writer.flag(self.is_semaphore);
    }

    pub(super) fn decode(reader: &mut Reader<'_>, id: InodeId) -> Result<Self, StateError> {
        let (value, is_semaphore) = (reader.u64("event counter")?, reader.flag("semaphore")?);
        if value > COUNTER_MAX {
            return Err(StateError::Counter { inode: id.number() });
        }
        Ok(Self { value, is_semaphore })
    }
}

impl Files {
    /// `eventfd2`.
    ///
    /// # Errors
    /// `EINVAL` for unknown flags, `ENFILE` if the quota cannot bear it, `EMFILE`.
    pub(crate) fn event_counter(&mut self, value: u32, flags: u32) -> Result<i32, Errno> {
        if flags & !(O_CLOEXEC | O_NONBLOCK | EFD_SEMAPHORE) != 0 {
            return Err(Errno::INVAL);
        }
        let counter = Counter { value: value.into(), is_semaphore: flags & EFD_SEMAPHORE != 0 };
        let object = Object::Counter(self.tree_mut().create_nameless(Node::Counter(counter), 0o600)?);
        let status = O_RDWR | flags & O_NONBLOCK;
        self.descriptors.open(object, status, flags & O_CLOEXEC != 0).inspect_err(|_| self.release(Some(object)))
    }

    /// How far a counter is.
    ///
    /// # Errors
    /// `EBADF` if it is none.
    pub(crate) fn counter(&self, id: InodeId) -> Result<Counter, Errno> {
        match self.tree.inode(id)?.node {
            Node::Counter(counter) => Ok(counter),
            _ => Err(Errno::BADF),
        }
    }

    /// What a read takes; nothing if there is nothing.
    ///
    /// # Errors
    /// `EBADF` if it is no counter.
    pub(crate) fn take_from_counter(&mut self, id: InodeId) -> Result<Option<u64>, Errno> {
        let Counter { value, is_semaphore } = self.counter(id)?;
        if value == 0 {
            return Ok(None);
        }
        let taken = if is_semaphore { 1 } else { value };
        self.set_counter(id, Counter { value: value - taken, is_semaphore })?;
        self.wake(Object::Counter(id), OUTPUT);
        Ok(Some(taken))
    }

    /// Adds to a counter; false if it does not fit.
    ///
    /// # Errors
    /// `EBADF` if it is no counter.
    pub(crate) fn add_to_counter(&mut self, id: InodeId, added: u64) -> Result<bool, Errno> {
        let counter = self.counter(id)?;
        let Some(value) = counter.value.checked_add(added).filter(|value| *value <= COUNTER_MAX) else {
            return Ok(false);
        };
        self.set_counter(id, Counter { value, ..counter })?;
        self.wake(Object::Counter(id), INPUT);
        Ok(true)
    }

    fn set_counter(&mut self, id: InodeId, counter: Counter) -> Result<(), Errno> {
        *self.tree_mut().node_mut(id)? = Node::Counter(counter);
        Ok(())
    }
}
