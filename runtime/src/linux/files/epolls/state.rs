//! The members of epoll sets as bytes: for each set in the tree, in ascending order of their inodes, what it waits for in its order.

use std::collections::BTreeMap;

use super::{EPOLLET, Epolls, Interest, MAX_INTERESTS};
use crate::linux::files::descriptors::{DescriptionId, Descriptors, Object};
use crate::linux::files::tree::Tree;
use crate::linux::state::StateError;
use crate::wire::{Reader, Writer};

/// Descriptor, description, events, data, edge.
const INTEREST_BYTES: u64 = 21;
/// Descriptors that a process starts with, whatever the limit.
const STREAMS: u16 = 3;

impl Epolls {
    /// Appends the members of the sets in `tree`; `numbers` are those of the descriptions in the file.
    pub(in crate::linux::files) fn encode(
        &self,
        writer: &mut Writer,
        tree: &Tree,
        numbers: &BTreeMap<DescriptionId, usize>,
    ) {
        for epoll in tree.epolls() {
            let members = self.0.get(&epoll).map_or(&[][..], Vec::as_slice);
            writer.count(members.len());
            for Interest { description, descriptor, events, data, is_edge } in members {
                writer.u32(descriptor.cast_unsigned());
                // A table has no more than a `u16` may hold, and a member is open.
                let number = numbers.get(description).and_then(|number| u32::try_from(*number).ok());
                writer.u32(number.unwrap_or(u32::MAX));
                writer.u32(*events);
                writer.u64(*data);
                writer.flag(*is_edge);
            }
        }
    }

    /// Reads the members of the sets in `tree`, which are open in `descriptors`, whose numbers are below `limit`.
    pub(in crate::linux::files) fn decode(
        reader: &mut Reader<'_>,
        tree: &Tree,
        descriptors: &Descriptors,
        limit: u16,
    ) -> Result<Self, StateError> {
        let mut epolls = Self::default();
        for epoll in tree.epolls() {
            let mut members: Vec<Interest> = Vec::new();
            for _ in 0..reader.count("members of an epoll set", INTEREST_BYTES)? {
                let descriptor = reader.u32("descriptor of a member")?;
                let number = reader.u32("description of a member")?;
                let events = reader.u32("events of a member")?;
                let data = reader.u64("data of a member")?;
                let is_edge = reader.flag("edge of a member")?;
                let member = member(descriptors, descriptor, number, limit)
                    .map(|(description, descriptor)| Interest { description, descriptor, events, data, is_edge })
                    .filter(|new| {
                        let is_new = members
                            .iter()
                            .all(|old| (old.description, old.descriptor) != (new.description, new.descriptor));
                        is_new && members.len() < MAX_INTERESTS && (events & EPOLLET != 0 || !is_edge)
                    });
                members.push(member.ok_or(StateError::Interest { inode: epoll.number(), descriptor })?);
            }
            if !members.is_empty() {
                epolls.0.insert(epoll, members);
            }
        }
        Ok(epolls)
    }
}

/// What can be a member: something that is open and can be waited for, by a descriptor that can be.
fn member(descriptors: &Descriptors, descriptor: u32, number: u32, limit: u16) -> Option<(DescriptionId, i32)> {
    let descriptor_number = u16::try_from(descriptor).ok().filter(|number| *number < limit.max(STREAMS))?;
    let description = descriptors.numbered(number)?;
    let object = descriptors.description(description)?.object;
    let can_be = matches!(object, Object::Stream(_) | Object::Pipe(_) | Object::Socket(_) | Object::Counter(_));
    can_be.then_some((description, descriptor_number.into()))
}
