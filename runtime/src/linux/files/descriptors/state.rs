//! The descriptor table as bytes. A description stands where the first descriptor leads to it, so there is none that no descriptor
//! leads to, and its number is its place.
//!
//! ```text
//!   0 → description 0, here: stdin    1 → description 1, here: stdout    2 → description 1 again
//! ```

use std::collections::BTreeMap;

use super::{Description, DescriptionId, Descriptors, Object, Slot, Stream};
use crate::linux::files::abi::{
    O_ACCMODE, O_APPEND, O_DIRECTORY, O_KNOWN, O_LARGEFILE, O_NOFOLLOW, O_NONBLOCK, O_OPENING_ONLY, O_PATH, O_RDWR,
    O_TMPFILE_BIT, O_WRONLY,
};
use crate::linux::files::inode::{InodeId, Node};
use crate::linux::files::tree::Tree;
use crate::linux::state::StateError;
use crate::wire::{Reader, Writer};

/// Number, close-on-exec, description.
const DESCRIPTOR_BYTES: u64 = 9;
/// What is said of an open inode; below are the streams.
const INODE: u8 = 3;
/// What is open in a directory of the host's cannot be in a file: who reads one refuses it.
const HOST: u8 = 4;
/// Descriptors that a process starts with, whatever the limit.
const STREAMS: u16 = 3;

impl Descriptors {
    /// Appends the table, and says which number each description has there.
    pub(in crate::linux::files) fn encode(&self, writer: &mut Writer) -> BTreeMap<DescriptionId, usize> {
        writer.count(self.slots.len());
        let mut numbers = BTreeMap::new();
        for (descriptor, slot) in &self.slots {
            writer.u32(descriptor.cast_unsigned());
            writer.flag(slot.close_on_exec);
            let known = numbers.len();
            let number = *numbers.entry(slot.description).or_insert(known);
            // A table has no more than a `u16` may hold.
            writer.u32(u32::try_from(number).unwrap_or(u32::MAX));
            if number == known
                && let Some(description) = self.descriptions.get(&slot.description)
            {
                description.encode(writer);
            }
        }
        numbers
    }

    /// The description with this number in a table that was just read.
    pub(in crate::linux::files) fn numbered(&self, number: u32) -> Option<DescriptionId> {
        Some(DescriptionId(number.into())).filter(|id| self.descriptions.contains_key(id))
    }

    /// Reads a table of descriptors below `limit` that are open on what is in `tree`.
    pub(in crate::linux::files) fn decode(
        reader: &mut Reader<'_>,
        tree: &Tree,
        limit: u16,
    ) -> Result<Self, StateError> {
        let mut table = Self {
            slots: BTreeMap::new(),
            descriptions: BTreeMap::new(),
            next_description: DescriptionId(0),
            limit: i32::from(limit),
        };
        let count = reader.count("descriptors", DESCRIPTOR_BYTES)?;
        let mut known = 0;
        let mut previous = None;
        for _ in 0..count {
            let descriptor = reader.u32("descriptor")?;
            if let Some(previous) = previous.filter(|&previous| descriptor <= previous) {
                return Err(StateError::DescriptorOrder { descriptor, previous });
            }
            previous = Some(descriptor);
            let number = u16::try_from(descriptor).ok().filter(|&number| number < limit.max(STREAMS));
            let number = number.ok_or(StateError::OpenFiles { descriptor, limit })?;
            let close_on_exec = reader.flag("close-on-exec")?;
            let description = reader.u32("description")?;
            if description > known {
                return Err(StateError::Description { descriptor, description, known });
            }
            if description == known {
                known += 1;
                let new = Description::decode(reader, tree, descriptor)?;
                if new.object.is_open_once() && table.descriptions.values().any(|old| old.object == new.object) {
                    return Err(StateError::StreamTwice { descriptor });
                }
                table.place(number.into(), new, close_on_exec);
            } else {
                let description = DescriptionId(description.into());
                table.slots.insert(number.into(), Slot { description, close_on_exec });
            }
        }
        Ok(table)
    }

    /// The inodes that are open.
    pub(in crate::linux::files) fn held(&self) -> impl Iterator<Item = InodeId> {
        self.descriptions.values().filter_map(|description| description.object.inode())
    }
}

impl Description {
    fn encode(&self, writer: &mut Writer) {
        match self.object {
            Object::Stream(Stream::Stdin) => writer.u8(0),
            Object::Stream(Stream::Stdout) => writer.u8(1),
            Object::Stream(Stream::Stderr) => writer.u8(2),
            Object::File(inode)
            | Object::Directory(inode)
            | Object::Device(_, inode)
            | Object::Pipe(inode)
            | Object::Socket(inode)
            | Object::Counter(inode)
            | Object::Epoll(inode)
            | Object::Path(inode) => {
                writer.u8(INODE);
                writer.u64(inode.number());
            }
            Object::Host(_) => writer.u8(HOST),
        }
        writer.u32(self.status);
        writer.u64(self.offset);
    }

    fn decode(reader: &mut Reader<'_>, tree: &Tree, descriptor: u32) -> Result<Self, StateError> {
        let (stream, inode) = match reader.u8_up_to("kind of what is open", INODE)? {
            0 => (Stream::Stdin, None),
            1 => (Stream::Stdout, None),
            2 => (Stream::Stderr, None),
            _ => (Stream::Stdin, Some(InodeId::read(reader, "open inode")?)),
        };
        let status = reader.u32("status of what is open")?;
        let object = match inode {
            None => Object::Stream(stream),
            Some(id) => open(tree, id, status).ok_or(StateError::OpenInode { descriptor, inode: id.number() })?,
        };
        if !can_have(object, status) {
            return Err(StateError::Status { descriptor, status });
        }
        let offset = reader.u64_up_to("offset of what is open", i64::MAX.unsigned_abs())?;
        if offset != 0 && !matches!(object, Object::File(_) | Object::Directory(_)) {
            return Err(StateError::Offset { descriptor, offset });
        }
        Ok(Self { object, status, offset })
    }
}

/// What opening this inode gives.
fn open(tree: &Tree, id: InodeId, status: u32) -> Option<Object> {
    match tree.inode(id).ok()?.node {
        Node::Pipe(_) => Some(Object::Pipe(id)),
        Node::Socket(_) => Some(Object::Socket(id)),
        Node::Counter(_) => Some(Object::Counter(id)),
        Node::Epoll => Some(Object::Epoll(id)),
        _ if status & O_PATH != 0 => Some(Object::Path(id)),
        Node::File(_) => Some(Object::File(id)),
        Node::Directory(_) => Some(Object::Directory(id)),
        Node::Device(device) => Some(Object::Device(device, id)),
        Node::Symlink(_) | Node::Mount(_) => None,
    }
}

/// Whether `open` and `fcntl` can have left this status.
fn can_have(object: Object, status: u32) -> bool {
    const OPENED: u32 = O_KNOWN & !O_OPENING_ONLY & !O_PATH & !O_TMPFILE_BIT;
    let opened = status & !OPENED == 0 && status & O_LARGEFILE != 0;
    match object {
        Object::Stream(Stream::Stdin) => status & !(O_APPEND | O_NONBLOCK) == 0,
        Object::Stream(_) => status & !(O_APPEND | O_NONBLOCK) == O_WRONLY,
        Object::Directory(_) => opened && status & O_ACCMODE == 0,
        Object::Pipe(_) => status & !(O_APPEND | O_NONBLOCK | O_WRONLY) == 0,
        Object::Socket(_) | Object::Counter(_) | Object::Epoll(_) => status & !(O_APPEND | O_NONBLOCK) == O_RDWR,
        Object::Path(_) => status & !(O_DIRECTORY | O_NOFOLLOW) == O_PATH,
        Object::File(_) | Object::Device(..) | Object::Host(_) => opened && status & O_DIRECTORY == 0,
    }
}
