//! The tree as bytes: its inodes in ascending order.
//!
//! Which inodes have names, and how many, is not in the file but found out by walking from the root. That is also what rules out circles: a
//! directory is reached once or the file is refused, and what is not reached must be held by something that is open.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::{Inode, InodeId, Node, Quota, Tree};
use crate::linux::files::abi::{PATH_BYTES, S_IALLUGO};
use crate::linux::files::counters::Counter;
use crate::linux::files::directory::Directory;
use crate::linux::files::inode::Device;
use crate::linux::files::pipes::PIPE_CAPACITY;
use crate::linux::files::sockets::Socket;
use crate::linux::files::times::Times;
use crate::linux::state::StateError;
use crate::wire::{Reader, WireError, Writer};

const FILE: u8 = 0;
const DIRECTORY: u8 = 1;
const SYMLINK: u8 = 2;
const DEVICE: u8 = 3;
const PIPE: u8 = 4;
const SOCKET: u8 = 5;
const COUNTER: u8 = 6;
const EPOLL: u8 = 7;
/// A directory of the host's cannot be in a file: who reads one refuses it.
const MOUNT: u8 = 8;

/// Number, kind, permissions, three times.
const INODE_BYTES: u64 = 49;

impl Tree {
    pub(in crate::linux::files) fn encode(&self, writer: &mut Writer) {
        writer.count(self.bytes);
        writer.u64(self.next_inode.number());
        writer.count(self.inodes.len());
        for (id, inode) in &self.inodes {
            writer.u64(id.number());
            writer.u8(match inode.node {
                Node::File(_) => FILE,
                Node::Directory(_) => DIRECTORY,
                Node::Symlink(_) => SYMLINK,
                Node::Device(_) => DEVICE,
                Node::Pipe(_) => PIPE,
                Node::Socket(_) => SOCKET,
                Node::Counter(_) => COUNTER,
                Node::Epoll => EPOLL,
                Node::Mount(_) => MOUNT,
            });
            writer.u32(inode.permissions);
            inode.times.encode(writer);
            match &inode.node {
                Node::File(contents) => writer.bytes(contents),
                Node::Directory(directory) => directory.encode(writer),
                Node::Symlink(target) => writer.bytes(target),
                Node::Pipe(bytes) => {
                    let (first, second) = bytes.as_slices();
                    writer.bytes(&[first, second].concat());
                }
                Node::Device(device) => writer.u8(match device {
                    Device::Null => 0,
                    Device::Zero => 1,
                    Device::Random => 2,
                    Device::Full => 3,
                }),
                Node::Socket(socket) => socket.encode(writer),
                Node::Counter(counter) => counter.encode(writer),
                Node::Epoll | Node::Mount(_) => {}
            }
        }
    }

    /// Reads a tree. Whether what has no name is held is left to [`check_held`](Self::check_held).
    pub(in crate::linux::files) fn decode(reader: &mut Reader<'_>, quota: Quota) -> Result<Self, StateError> {
        let stored = reader.u64("bytes in files")?;
        if stored > quota.bytes as u64 {
            return Err(StateError::FileBytes { needed: stored, quota: quota.bytes as u64 });
        }
        let next_inode = InodeId::read(reader, "next inode")?;
        let count = reader.count("inodes", INODE_BYTES)?;
        // The root is there whatever the quota says.
        if count > quota.inodes.max(1) as u64 {
            return Err(StateError::FileCount { needed: count, quota: quota.inodes as u64 });
        }
        let mut tree = Self { next_inode, inodes: BTreeMap::new(), ..Self::bare(quota) };
        let mut counted = 0;
        let mut previous = InodeId::FIRST;
        for _ in 0..count {
            let id = InodeId::read(reader, "inode")?;
            if id <= previous {
                return Err(StateError::InodeOrder { inode: id.number(), previous: previous.number() });
            }
            previous = id;
            let inode = decode_inode(reader, id)?;
            counted += bytes(&inode.node);
            if counted > stored {
                return Err(StateError::Account { stored, counted });
            }
            tree.inodes.insert(id, inode);
        }
        if counted != stored {
            return Err(StateError::Account { stored, counted });
        }
        if next_inode <= previous {
            return Err(StateError::NextInode { next: next_inode.number(), last: previous.number() });
        }
        tree.bytes = usize::try_from(counted).unwrap_or(usize::MAX);
        tree.check_pairs()?;
        tree.find_names()?;
        tree.find_cut_off()?;
        Ok(tree)
    }

    /// Walks from the root and counts the names of what is reached.
    fn find_names(&mut self) -> Result<(), StateError> {
        match self.inodes.get_mut(&InodeId::ROOT) {
            Some(Inode { node: Node::Directory(root), names, .. }) if root.parent() == InodeId::ROOT => *names = 1,
            _ => return Err(StateError::Root),
        }
        let mut unread = vec![InodeId::ROOT];
        while let Some(id) = unread.pop() {
            let directory = id.number();
            let children: Vec<_> =
                self.directory(id).iter().flat_map(|names| names.names_from(0)).map(|(.., child)| child).collect();
            let mut subdirectories = 0;
            for child in children {
                let inode = child.number();
                let found = self.inodes.get_mut(&child).ok_or(StateError::Dangling { directory, inode })?;
                found.names += 1;
                if found.names > 1 {
                    self.more_names += 1;
                }
                if found.node.is_nameless() {
                    return Err(StateError::Nameless { directory, inode });
                }
                if let Node::Directory(names) = &found.node {
                    if found.names > 1 {
                        return Err(StateError::SecondName { directory, inode });
                    }
                    if names.parent() != id {
                        let parent = names.parent().number();
                        return Err(StateError::Parent { directory: inode, parent, named_in: directory });
                    }
                    subdirectories += 1;
                    unread.push(child);
                }
            }
            if let Ok(names) = self.directory_mut(id) {
                names.set_subdirectories(subdirectories);
            }
        }
        let (needed, quota) = (self.inodes.len().saturating_add(self.more_names), self.quota.inodes);
        if needed > quota.max(1) {
            return Err(StateError::FileCount { needed: needed as u64, quota: quota as u64 });
        }
        Ok(())
    }

    /// Takes note of the directories that were not reached. They are empty, and their `..` leads to a directory.
    fn find_cut_off(&mut self) -> Result<(), StateError> {
        for (&id, inode) in &self.inodes {
            let Node::Directory(names) = &inode.node else { continue };
            if inode.linked() {
                continue;
            }
            if !names.is_empty() {
                return Err(StateError::CutOffNotEmpty { directory: id.number() });
            }
            if self.directory(names.parent()).is_err() {
                return Err(StateError::CutOffParent { directory: id.number(), parent: names.parent().number() });
            }
            self.cut_off.insert((names.parent(), id));
        }
        Ok(())
    }

    /// Checks that the inodes without a name are those that `holders`, and the `..` of such, lead to.
    pub(in crate::linux::files) fn check_held(&self, holders: impl Iterator<Item = InodeId>) -> Result<(), StateError> {
        let mut held = BTreeSet::new();
        for mut at in holders {
            // From one without a name up to one with a name, or to one that an earlier walk came by.
            let mut walk = BTreeSet::new();
            while let Some(Inode { node, names: 0, .. }) = self.inodes.get(&at)
                && !held.contains(&at)
            {
                walk.insert(at);
                let Node::Directory(names) = node else { break };
                if walk.contains(&names.parent()) {
                    let (directory, parent) = (at.number(), names.parent().number());
                    return Err(StateError::CutOffParent { directory, parent });
                }
                at = names.parent();
            }
            held.append(&mut walk);
        }
        match self.inodes.iter().find(|(id, inode)| !inode.linked() && !held.contains(id)) {
            Some((id, _)) => Err(StateError::Leaked { inode: id.number() }),
            None => Ok(()),
        }
    }
}

/// An inode that nothing is known to lead to yet.
fn decode_inode(reader: &mut Reader<'_>, id: InodeId) -> Result<Inode, StateError> {
    let kind = reader.u8_up_to("kind of an inode", EPOLL)?;
    let permissions = reader.u32_up_to("permissions of an inode", S_IALLUGO)?;
    let times = Times::decode(reader)?;
    let node = match kind {
        FILE => Node::File(Arc::new(reader.bytes("contents of a file")?.to_vec())),
        DIRECTORY => Node::Directory(Arc::new(Directory::decode(reader, id)?)),
        SYMLINK => Node::Symlink(target(reader, id)?.into()),
        PIPE => Node::Pipe(queue(reader, id)?.into()),
        SOCKET => Node::Socket(Socket::decode(reader, id)?.into()),
        COUNTER => Node::Counter(Counter::decode(reader, id)?),
        EPOLL => Node::Epoll,
        _ => Node::Device(device(reader)?),
    };
    Ok(Inode { node, permissions, names: 0, times })
}

fn target<'a>(reader: &mut Reader<'a>, id: InodeId) -> Result<&'a [u8], StateError> {
    let target = reader.bytes("target of a symlink")?;
    if (1..=PATH_BYTES).contains(&target.len()) && !target.contains(&0) {
        Ok(target)
    } else {
        Err(StateError::Target { inode: id.number(), length: target.len() })
    }
}

/// What is in a pipe, or was sent to a socket.
pub(crate) fn queue(reader: &mut Reader<'_>, id: InodeId) -> Result<VecDeque<u8>, StateError> {
    let bytes = reader.bytes("bytes in a pipe")?;
    if bytes.len() > PIPE_CAPACITY {
        return Err(StateError::PipeBytes { inode: id.number(), length: bytes.len() });
    }
    Ok(bytes.iter().copied().collect())
}

fn device(reader: &mut Reader<'_>) -> Result<Device, WireError> {
    Ok(match reader.u8_up_to("device", 3)? {
        0 => Device::Null,
        1 => Device::Zero,
        2 => Device::Random,
        _ => Device::Full,
    })
}

/// Bytes that count against the quota, a directory's names included.
fn bytes(node: &Node) -> u64 {
    match node {
        Node::Directory(names) => names.name_bytes(),
        _ => node.bytes() as u64,
    }
}
