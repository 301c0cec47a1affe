//! The names in a directory, by name for look-ups and by age for listings.
//!
//! A listing stops when the guest's buffer is full and goes on later, in a directory that may have changed. So every name has a
//! position that is never used twice: a listing continues after the last position it showed, sees each name that stayed exactly once,
//! and never one twice.

mod state;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::inode::{COUNTER_MAX, InodeId};

/// A directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    parent: InodeId,
    names: BTreeMap<Arc<[u8]>, Entry>,
    by_age: BTreeMap<u64, Arc<[u8]>>,
    next_position: u64,
    subdirectories: u64,
}

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    inode: InodeId,
    position: u64,
}

impl Directory {
    /// Where listings find the first name. 0 is `.` and 1 is `..`.
    pub(crate) const FIRST_POSITION: u64 = 2;

    /// A directory with nothing in it, whose `..` leads to `parent`.
    pub(crate) fn empty(parent: InodeId) -> Self {
        Self {
            parent,
            names: BTreeMap::new(),
            by_age: BTreeMap::new(),
            next_position: Self::FIRST_POSITION,
            subdirectories: 0,
        }
    }

    /// Where `..` leads; the root's leads to itself.
    pub(crate) fn parent(&self) -> InodeId {
        self.parent
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Adds a name that is not there, and returns whether it could: only positions can run out.
    pub(crate) fn add(&mut self, name: &[u8], inode: InodeId, is_directory: bool) -> bool {
        if !self.has_position() {
            return false;
        }
        let position = self.next_position;
        self.next_position += 1;
        let name: Arc<[u8]> = name.into();
        self.names.insert(Arc::clone(&name), Entry { inode, position });
        self.by_age.insert(position, name);
        self.subdirectories = self.subdirectories.saturating_add(u64::from(is_directory));
        true
    }

    /// Takes a name out, if it is there.
    pub(crate) fn remove(&mut self, name: &[u8], is_directory: bool) {
        let Some(entry) = self.names.remove(name) else { return };
        self.by_age.remove(&entry.position);
        self.subdirectories = self.subdirectories.saturating_sub(u64::from(is_directory));
    }

    /// Lets a name that is there lead elsewhere. It keeps its position.
    pub(crate) fn redirect(&mut self, name: &[u8], inode: InodeId, was_directory: bool, is_directory: bool) {
        let Some(entry) = self.names.get_mut(name) else { return };
        entry.inode = inode;
        let others = self.subdirectories.saturating_sub(u64::from(was_directory));
        self.subdirectories = others.saturating_add(u64::from(is_directory));
    }

    /// Lets `..` lead elsewhere.
    pub(crate) fn set_parent(&mut self, parent: InodeId) {
        self.parent = parent;
    }

    /// Whether another name could be added.
    pub(crate) fn has_position(&self) -> bool {
        self.next_position < COUNTER_MAX
    }

    /// What `name` leads to.
    pub(crate) fn lookup(&self, name: &[u8]) -> Option<InodeId> {
        self.names.get(name).map(|entry| entry.inode)
    }

    /// The name that leads to `inode`.
    pub(crate) fn name_of(&self, inode: InodeId) -> Option<&[u8]> {
        self.names.iter().find(|(_, entry)| entry.inode == inode).map(|(name, _)| name.as_ref())
    }

    /// Names from `position` on, oldest first, each with its own position.
    pub(crate) fn names_from(&self, position: u64) -> impl Iterator<Item = (u64, &[u8], InodeId)> {
        self.by_age
            .range(position..)
            .filter_map(|(position, name)| Some((*position, name.as_ref(), self.lookup(name)?)))
    }

    /// `st_nlink` of a directory that has a name: that name, its own `.`, and the `..` of each directory in it.
    pub(crate) fn links(&self) -> u64 {
        self.subdirectories.saturating_add(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(directory: &Directory, from: u64) -> Vec<(u64, &[u8])> {
        directory.names_from(from).map(|(position, name, _)| (position, name)).collect()
    }

    #[test]
    fn a_listing_goes_on_where_it_stopped_whatever_came_and_went() {
        let mut directory = Directory::empty(InodeId::ROOT);
        for name in [b"c", b"a", b"b"] {
            assert!(directory.add(name, InodeId::ROOT, false));
        }
        assert_eq!(listed(&directory, 0), [(2, &b"c"[..]), (3, b"a"), (4, b"b")]);
        directory.remove(b"c", false);
        directory.remove(b"a", false);
        assert!(directory.add(b"a", InodeId::ROOT, false));
        assert_eq!(listed(&directory, 3), [(4, &b"b"[..]), (5, b"a")]);
    }

    proptest::proptest! {
        #[test]
        fn a_listing_in_pieces_shows_every_name_that_stayed_once_and_none_twice(
            start in 0u8..20,
            changes in proptest::collection::vec((0u8..30, 0usize..3), 0..60),
        ) {
            let mut directory = Directory::empty(InodeId::ROOT);
            let mut stayed: Vec<u8> = (0..start).collect();
            for name in 0..start {
                directory.add(&[name], InodeId::ROOT, false);
            }
            let (mut shown, mut next) = (Vec::new(), 0);
            for (name, piece) in changes {
                let piece: Vec<_> = listed(&directory, next).into_iter().take(piece).map(|(at, name)| (at, name[0])).collect();
                next = piece.last().map_or(next, |(position, _)| position + 1);
                shown.extend(piece.into_iter().map(|(_, name)| name));
                if directory.lookup(&[name]).is_some() {
                    directory.remove(&[name], false);
                    stayed.retain(|other| *other != name);
                } else if name >= start {
                    directory.add(&[name], InodeId::ROOT, false);
                }
            }
            shown.extend(listed(&directory, next).into_iter().map(|(_, name)| name[0]));
            for name in stayed {
                proptest::prop_assert_eq!(shown.iter().filter(|other| **other == name).count(), 1);
            }
        }
    }

    #[test]
    fn each_subdirectory_is_one_more_link() {
        let mut directory = Directory::empty(InodeId::ROOT);
        assert!(directory.add(b"d", InodeId::ROOT, true) && directory.add(b"f", InodeId::ROOT, false));
        assert_eq!(directory.links(), 3);
        directory.remove(b"d", true);
        assert_eq!(directory.links(), 2);
    }
}
