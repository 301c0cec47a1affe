//! The files as bytes: umask, current directory, the tree, the descriptors; and what ties these together.

use super::Files;
use super::descriptors::Descriptors;
use super::epolls::Epolls;
use super::inode::InodeId;
use super::mounts::{Handles, Mounts};
use super::resolve::Location;
use super::stat::Time;
use super::tree::{Quota, Tree};
use crate::linux::state::StateError;
use crate::wire::{Reader, Writer};

impl Files {
    pub(in crate::linux) fn encode(&self, writer: &mut Writer) {
        writer.u32(self.umask);
        writer.u64(match self.current {
            Location::Tree(inode) => inode.number(),
            // Of the host's, and so no number of an inode's.
            Location::Host(_) => 0,
        });
        self.tree.encode(writer);
        let numbers = self.descriptors.encode(writer);
        self.epolls.encode(writer, &self.tree, &numbers);
    }

    /// True if directories of the host's are among them, which no file can hold.
    pub(crate) fn have_mounts(&self) -> bool {
        !self.mounts.is_empty()
    }

    /// Reads files, which from now on live within these limits.
    pub(in crate::linux) fn decode(reader: &mut Reader<'_>, quota: Quota, open_files: u16) -> Result<Self, StateError> {
        let umask = reader.u32_up_to("umask", 0o777)?;
        let current = InodeId::read(reader, "current directory")?;
        let tree = Tree::decode(reader, quota)?;
        if tree.directory(current).is_err() {
            return Err(StateError::CurrentDirectory { inode: current.number() });
        }
        let descriptors = Descriptors::decode(reader, &tree, open_files)?;
        let epolls = Epolls::decode(reader, &tree, &descriptors, open_files)?;
        tree.check_held(descriptors.held().chain([current]))?;
        Ok(Self {
            tree: tree.into(),
            descriptors,
            mounts: Mounts::default(),
            handles: Handles::default(),
            epolls,
            current: Location::Tree(current),
            umask,
            now: Time::default(),
        })
    }
}
