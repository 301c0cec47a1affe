//! The files a guest sees: an in-memory tree with directories of the host's in it, a descriptor table, a current directory and a umask.
//!
//! All but what is in the host's directories is plain data. Nothing here touches the guest's memory or the machine, so a snapshot is
//! a `clone`, which shares what is open in the host's directories, and a test needs no KVM. What moves bytes is the caller: it asks where
//! bytes come from ([`Source`]) or go to ([`Sink`]), copies them itself in pieces of its own size, and only then tells how far it got.
//!
//! ```text
//!   guest ──syscall──► personality ──plain values──► Files ── Descriptors: number → description (object, flags, offset)
//!                       copies bytes                       ├─ Tree:        inode → contents, names, symlink, device, mount
//!                       ◄──── Source / Sink / Stat ────────┼─ Mounts:      where a HostDir is; Handles: what is open there
//!                                                          └─ current directory, umask
//! ```
//!
//! Every guest-visible error is the `Errno` that Linux 6.18 gives; the guest is user 1000, who owns everything and is not root.

use std::sync::Arc;

use rustix::io::Errno;

pub(crate) mod abi;
mod counters;
mod descriptors;
mod directory;
mod epolls;
pub(crate) mod host;
mod inode;
mod insert;
mod links;
mod links_to_open;
mod listing;
mod mounts;
mod open;
mod owner;
mod paths;
mod pipes;
mod rename;
mod resolve;
mod size;
mod sockets;
#[cfg(any(test, feature = "fuzzing"))]
mod sound;
mod stat;
mod state;
#[cfg(test)]
mod tests;
mod times;
mod transfer;
mod tree;
mod walk;

pub(crate) use counters::COUNTER_MAX;
pub(crate) use descriptors::{Object, Stream};
pub(crate) use epolls::{INPUT, Interest, OUTPUT};
pub(crate) use host::HostDir;
pub(crate) use inode::InodeId;
pub(crate) use insert::InsertError;
pub(crate) use mounts::HandleId;
pub(crate) use pipes::PIPE_CAPACITY;
pub(crate) use stat::{Stat, Time};
pub(crate) use times::NewTime;
pub(crate) use transfer::{Sink, Source};
pub(crate) use tree::Quota;

use abi::{CLOSE_RANGE_CLOEXEC, CLOSE_RANGE_UNSHARE, F_SETFD, FD_CLOEXEC, O_PATH};
use descriptors::Descriptors;
use epolls::Epolls;
use inode::Inode;
use mounts::{Handles, Mounts};
use resolve::Location;
use tree::Tree;

/// The file half of a guest's personality.
///
/// Invariant: an inode without a name is in the tree exactly as long as a descriptor, the current directory or the `..` of another
/// such inode leads to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    /// Shared between a snapshot and its machines until one of them changes it.
    tree: Arc<Tree>,
    descriptors: Descriptors,
    mounts: Mounts,
    handles: Handles,
    epolls: Epolls,
    current: Location,
    umask: u32,
    /// What new times are, from the caller's clock; it is no part of what a snapshot keeps.
    now: Time,
}

impl Files {
    /// The three streams open, `/tmp` and `/dev` in place, `/` the current directory.
    pub(crate) fn new(quota: Quota, open_files: u16) -> Self {
        Self {
            tree: Arc::new(Tree::new(quota)),
            descriptors: Descriptors::new(open_files),
            mounts: Mounts::default(),
            handles: Handles::default(),
            epolls: Epolls::default(),
            current: Location::Tree(InodeId::ROOT),
            umask: 0o022,
            now: Time::default(),
        }
    }

    /// Makes them what they were. The tree is shared, and the table of descriptors is copied only if it differs.
    pub(crate) fn restore(&mut self, saved: &Self) {
        let Self { tree, descriptors, mounts, handles, epolls, current, umask, now: _ } = saved;
        self.tree = Arc::clone(tree);
        self.mounts.clone_from(mounts);
        if self.handles != *handles {
            self.handles.clone_from(handles);
        }
        if self.descriptors != *descriptors {
            self.descriptors.clone_from(descriptors);
        }
        if self.epolls != *epolls {
            self.epolls.clone_from(epolls);
        }
        (self.current, self.umask) = (*current, *umask);
    }

    /// What is behind a descriptor: for calls that only need to know that (`ioctl`, `fsync`, `poll`, `mmap`).
    ///
    /// # Errors
    /// `EBADF`, also for what was opened with `O_PATH`.
    pub(crate) fn object(&self, descriptor: i32) -> Result<Object, Errno> {
        let description = self.descriptors.get(descriptor)?;
        if description.status & O_PATH == 0 { Ok(description.object) } else { Err(Errno::BADF) }
    }

    /// Whether a descriptor is open for reading, and for writing.
    ///
    /// # Errors
    /// `EBADF`.
    pub(crate) fn directions(&self, descriptor: i32) -> Result<[bool; 2], Errno> {
        let description = self.descriptors.get(descriptor)?;
        Ok([description.readable(), description.writable()])
    }

    /// `close`.
    ///
    /// # Errors
    /// `EBADF`.
    pub(crate) fn close(&mut self, descriptor: i32) -> Result<(), Errno> {
        let closed = self.descriptors.close(descriptor)?;
        self.release(closed);
        Ok(())
    }

    /// `dup`.
    ///
    /// # Errors
    /// `EBADF`, `EMFILE`.
    pub(crate) fn dup(&mut self, old: i32) -> Result<i32, Errno> {
        self.descriptors.dup(old)
    }

    /// `dup2`.
    ///
    /// # Errors
    /// `EBADF`, for a number that is too large, too.
    pub(crate) fn dup2(&mut self, old: i32, new: i32) -> Result<i32, Errno> {
        let duplicate = self.descriptors.dup2(old, new)?;
        self.release(duplicate.closed);
        Ok(duplicate.descriptor)
    }

    /// `dup3`.
    ///
    /// # Errors
    /// `EINVAL` for flags but `O_CLOEXEC` and for the same number twice, `EBADF`.
    pub(crate) fn dup3(&mut self, old: i32, new: i32, flags: u32) -> Result<i32, Errno> {
        let duplicate = self.descriptors.dup3(old, new, flags)?;
        self.release(duplicate.closed);
        Ok(duplicate.descriptor)
    }

    /// `fcntl`: duplicates, descriptor flags, status flags.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL`, `EMFILE`.
    pub(crate) fn fcntl(&mut self, descriptor: i32, command: u32, argument: u64) -> Result<i32, Errno> {
        self.descriptors.fcntl(descriptor, command, argument)
    }

    /// `umask`: takes the new one, returns the old one.
    pub(crate) fn set_umask(&mut self, umask: u32) -> u32 {
        std::mem::replace(&mut self.umask, umask & 0o777)
    }

    /// What locks on a file of the host's are taken through: the process's own, or those of what is open there.
    ///
    /// # Errors
    /// `ESTALE` if nothing is, which no guest can bring about.
    pub(crate) fn lockable(&mut self, file: HandleId, own: bool) -> Result<Arc<host::Opened>, Errno> {
        if own { self.handles.lock_owner(file) } else { self.handles.get(file).map(|handle| handle.opened()) }
    }

    /// From now on things are made and changed at this time.
    pub(crate) fn set_time(&mut self, now: Time) {
        self.now = now;
    }

    /// A program begins at this time: everything is as old as it.
    pub(crate) fn begin(&mut self, now: Time) {
        self.now = now;
        self.tree_mut().made_now();
    }

    /// `close_range`; `check` is asked before each descriptor whether there is time for it.
    ///
    /// # Errors
    /// `EINVAL` for unknown flags and a range that ends before it starts; what `check` says, and then it can be called again.
    pub(crate) fn close_range<E: From<Errno>>(
        &mut self,
        first: u32,
        last: u32,
        flags: u32,
        mut check: impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        if flags & !(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) != 0 || first > last {
            return Err(Errno::INVAL.into());
        }
        for descriptor in self.descriptors.within(first, last) {
            check()?;
            if flags & CLOSE_RANGE_CLOEXEC == 0 {
                self.close(descriptor)?;
            } else {
                self.fcntl(descriptor, F_SETFD, u64::from(FD_CLOEXEC.cast_unsigned()))?;
            }
        }
        Ok(())
    }

    /// The tree, to be changed: copied first if a snapshot shares it.
    fn tree_mut(&mut self) -> &mut Tree {
        let tree = Arc::make_mut(&mut self.tree);
        tree.now = self.now;
        tree
    }

    /// Whether anything but a name leads to this inode.
    fn holds(&self, inode: InodeId) -> bool {
        self.current == Location::Tree(inode) || self.descriptors.hold(inode) || self.tree.is_parent_of_cut_off(inode)
    }

    /// What was held is held once less: closes it if nothing else holds it.
    fn release(&mut self, object: Option<Object>) {
        if let Some(Object::Host(handle)) = object
            && self.current != Location::Host(handle)
            && !self.descriptors.are_open_on(Object::Host(handle))
        {
            self.handles.remove(handle);
        }
        self.forget_interests(object);
        self.release_inode(object.and_then(Object::inode));
    }

    /// Drops an inode that has lost its name and its last holder, and then the directories that only waited for it.
    fn release_inode(&mut self, inode: Option<InodeId>) {
        let mut next = inode;
        while let Some(inode) = next {
            if self.tree.inode(inode).is_ok_and(Inode::linked) || self.holds(inode) {
                return;
            }
            next = self.tree_mut().discard(inode);
        }
    }
}
