//! The files as bytes: umask, current directory, the tree, the descriptors; and what ties these together.

use super::Files;
use super::descriptors::Descriptors;
use super::inode::InodeId;
use super::tree::{Quota, Tree};
use crate::linux::state::StateError;
use crate::wire::{Reader, Writer};

impl Files {
    pub(in crate::linux) fn encode(&self, writer: &mut Writer) {
        writer.u32(self.umask);
        writer.u64(self.current.number());
        self.tree.encode(writer);
        self.descriptors.encode(writer);
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
        tree.check_held(descriptors.held().chain([current]))?;
        Ok(Self { tree: tree.into(), descriptors, current, umask })
    }
}
