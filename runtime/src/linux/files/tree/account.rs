//! The account of a tree, counted anew: what the tests hold [`Tree`]'s running one against.

use super::*;

impl Tree {
    /// What the tree may cost.
    pub(crate) fn quota(&self) -> Quota {
        self.quota
    }

    /// Counts everything anew and compares it with the account; `held` says what else keeps an inode alive.
    pub(crate) fn assert_account(&self, held: impl Fn(InodeId) -> bool) {
        let mut bytes = 0;
        let mut reached = BTreeSet::from([InodeId::ROOT]);
        let mut cut_off = BTreeSet::new();
        for (&id, inode) in &self.inodes {
            bytes += inode.node.bytes();
            if let Node::File(contents) = &inode.node {
                assert!(
                    contents.capacity() <= SMALL_CAPACITY.max(2 * contents.len()),
                    "capacity {}",
                    contents.capacity()
                );
            }
            let Node::Directory(directory) = &inode.node else {
                continue;
            };
            let mut links = 2;
            for (_, name, child) in directory.names_from(0) {
                bytes += name.len();
                assert_eq!(directory.lookup(name), Some(child));
                assert!(reached.insert(child), "two names for one inode");
                if let Ok(child) = self.directory(child) {
                    links += 1;
                    assert_eq!(child.parent(), id);
                }
            }
            assert_eq!(directory.links(), links);
            if !inode.linked {
                cut_off.insert((directory.parent(), id));
                assert!(directory.is_empty());
            }
        }
        assert_eq!(bytes, self.bytes);
        assert_eq!(cut_off, self.cut_off);
        assert!(self.bytes <= self.quota.bytes && self.inodes.len() <= self.quota.inodes);
        for (&id, inode) in &self.inodes {
            assert_eq!(inode.linked, reached.contains(&id));
            assert!(inode.linked || held(id) || self.is_parent_of_cut_off(id), "{id:?} is leaked");
        }
    }
}
