//! A directory as bytes: its parent, and its names by age.

use std::sync::Arc;

use super::{Directory, Entry};
use crate::linux::files::abi::NAME_BYTES;
use crate::linux::files::inode::{COUNTER_MAX, InodeId};
use crate::linux::state::StateError;
use crate::wire::{Reader, Writer};

/// Position, inode, length of the name, one byte of it.
const NAME_ENTRY_BYTES: u64 = 25;

impl Directory {
    pub(in crate::linux::files) fn encode(&self, writer: &mut Writer) {
        writer.u64(self.parent.number());
        writer.u64(self.next_position);
        writer.count(self.names.len());
        for (position, name, inode) in self.names_from(0) {
            writer.u64(position);
            writer.u64(inode.number());
            writer.bytes(name);
        }
    }

    /// Reads the directory with the number `id`. How many of its names lead to directories is left to
    /// [`set_subdirectories`](Self::set_subdirectories).
    pub(in crate::linux::files) fn decode(reader: &mut Reader<'_>, id: InodeId) -> Result<Self, StateError> {
        let directory = id.number();
        let mut names = Self::empty(InodeId::read(reader, "parent of a directory")?);
        names.next_position = reader.u64_up_to("next position in a directory", COUNTER_MAX)?;
        let count = reader.count("names in a directory", NAME_ENTRY_BYTES)?;
        let mut least = Self::FIRST_POSITION;
        for _ in 0..count {
            let position = reader.u64("position of a name")?;
            if !(least..names.next_position).contains(&position) {
                return Err(StateError::Position { directory, position, least, next: names.next_position });
            }
            least = position + 1;
            let inode = InodeId::read(reader, "inode of a name")?;
            let name = reader.bytes("name of a file")?;
            let readable = || String::from_utf8_lossy(name.get(..NAME_BYTES).unwrap_or(name)).into_owned();
            if !is_name(name) {
                return Err(StateError::FileName { directory, name: readable() });
            }
            let shared: Arc<[u8]> = name.into();
            if names.names.insert(Arc::clone(&shared), Entry { inode, position }).is_some() {
                return Err(StateError::NameTwice { directory, name: readable() });
            }
            names.by_age.insert(position, shared);
        }
        // An empty directory has positions to give out, too.
        if names.next_position < least {
            return Err(StateError::Position { directory, position: names.next_position, least, next: least });
        }
        Ok(names)
    }

    /// How many of the names lead to directories.
    pub(in crate::linux::files) fn set_subdirectories(&mut self, count: u64) {
        self.subdirectories = count;
    }

    /// The bytes of all names, which count against the quota.
    pub(in crate::linux::files) fn name_bytes(&self) -> u64 {
        self.names.keys().fold(0, |sum, name| sum + name.len() as u64)
    }
}

/// What a walk can look up: not empty, not too long, no slash, no NUL, and neither `.` nor `..`.
fn is_name(name: &[u8]) -> bool {
    (1..=NAME_BYTES).contains(&name.len())
        && !matches!(name, b"." | b"..")
        && !name.iter().any(|b| matches!(b, 0 | b'/'))
}
