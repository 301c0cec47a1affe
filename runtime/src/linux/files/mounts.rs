//! Where directories of the host's are in the guest's file system, and what is open in them.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::io::Errno;

use super::host::{Handle, HostDir, Opened};
use super::inode::InodeId;
use crate::vm::file_lock::{LockKind, RecordLock};

/// Which directory of the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MountId(u16);

/// A directory of the host's, and the place in the tree that stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) directory: HostDir,
    /// The directory of the tree that it is in: where its `..` leads.
    pub(crate) parent: InodeId,
    /// What its name in `parent` leads to.
    pub(crate) inode: InodeId,
}

/// All of them. They stay as they are from the program's start on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mounts(Arc<Vec<Mount>>);

/// Which open file or directory of the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HandleId(u64);

/// What is open in them. A snapshot shares what is open; offsets are in the descriptor table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Handles {
    open: BTreeMap<HandleId, Arc<Handle>>,
    next: u64,
    /// By device and inode, what the process holds its record locks on a file through: they are the process's, whichever descriptor it names,
    /// and go with the first that is closed. No snapshot shares it that was taken before.
    locked: BTreeMap<(u64, u64), Arc<Opened>>,
}

impl Mounts {
    /// The number that the next one will have.
    ///
    /// # Errors
    /// `EMFILE` if there are too many.
    pub(crate) fn next(&self) -> Result<MountId, Errno> {
        u16::try_from(self.0.len()).map(MountId).map_err(|_| Errno::MFILE)
    }

    pub(crate) fn add(&mut self, mount: Mount) {
        Arc::make_mut(&mut self.0).push(mount);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// # Errors
    /// `ESTALE` if there is none, which no guest can bring about.
    pub(crate) fn get(&self, id: MountId) -> Result<&Mount, Errno> {
        self.0.get(usize::from(id.0)).ok_or(Errno::STALE)
    }
}

impl Handles {
    pub(crate) fn add(&mut self, handle: Handle) -> HandleId {
        let id = HandleId(self.next);
        self.next = self.next.wrapping_add(1);
        self.open.insert(id, Arc::new(handle));
        id
    }

    /// # Errors
    /// `ESTALE` if there is none, which no guest can bring about.
    pub(crate) fn get(&self, id: HandleId) -> Result<&Arc<Handle>, Errno> {
        self.open.get(&id).ok_or(Errno::STALE)
    }

    pub(crate) fn remove(&mut self, id: HandleId) {
        let Some(closed) = self.open.remove(&id) else { return };
        if let Some(owner) = self.locked.remove(&closed.identity()) {
            // A snapshot may have it open still.
            let all = RecordLock { kind: LockKind::Unlocked, start: 0, length: 0 };
            let _ = all.set(owner.as_fd());
        }
    }

    /// What holds, or will hold, the process's record locks on the file that is open there.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) fn lock_owner(&mut self, id: HandleId) -> Result<Arc<Opened>, Errno> {
        let handle = Arc::clone(self.get(id)?);
        let owner = self.locked.entry(handle.identity()).or_insert_with(|| handle.opened_for_locks());
        Ok(Arc::clone(owner))
    }
}
