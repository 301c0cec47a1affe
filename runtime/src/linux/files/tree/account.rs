//! The account of a tree, counted anew: what the tests hold [`Tree`]'s running one against.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "checks for tests and fuzzing, which end by a panic"
)]

use super::*;
use crate::linux::files::pipes::PIPE_CAPACITY;

impl Tree {
    /// Counts everything anew and compares it with the account; `held` says what else keeps an inode alive.
    pub(crate) fn assert_account(&self, held: impl Fn(InodeId) -> bool) {
        let mut bytes = 0;
        let mut reached = BTreeMap::from([(InodeId::ROOT, 1)]);
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
                links += u64::from(matches!(self.inodes[&child].node, Node::Mount(_)));
                *reached.entry(child).or_insert(0) += 1;
                if let Ok(child) = self.directory(child) {
                    links += 1;
                    assert_eq!(child.parent(), id);
                }
            }
            assert_eq!(directory.links(), links);
            if !inode.linked() {
                cut_off.insert((directory.parent(), id));
                assert!(directory.is_empty());
            }
        }
        assert_eq!(bytes, self.bytes);
        assert_eq!(cut_off, self.cut_off);
        assert!(self.bytes <= self.quota.bytes && self.inodes.len() + self.more_names <= self.quota.inodes.max(1));
        assert_eq!(self.more_names, reached.values().map(|names| usize::try_from(names - 1).unwrap()).sum::<usize>());
        for (&id, inode) in &self.inodes {
            let names = reached.get(&id).copied().unwrap_or(0);
            assert_eq!(inode.names, names);
            assert!(names < 2 || self.directory(id).is_err(), "two names for a directory");
            assert!(inode.linked() || held(id) || self.is_parent_of_cut_off(id), "{id:?} is leaked");
        }
    }

    /// Looks at what the account does not count: that every way up ends at the root, that names are names, and that numbers to be
    /// given out are new.
    pub(crate) fn assert_sound(&self) {
        let root = self.inode(InodeId::ROOT).unwrap();
        assert!(self.check_pairs().is_ok());
        assert!(root.linked() && self.directory(InodeId::ROOT).unwrap().parent() == InodeId::ROOT);
        for (&id, inode) in &self.inodes {
            assert!(InodeId::FIRST < id && id < self.next_inode, "{id:?} of {:?}", self.next_inode);
            assert!(inode.permissions <= S_IALLUGO);
            let Times { accessed, modified, changed } = inode.times;
            assert!([accessed, modified, changed].iter().all(|time| time.nsecs < 1_000_000_000));
            match &inode.node {
                Node::Directory(directory) => self.assert_directory(id, directory),
                Node::Symlink(target) => assert!((1..4096).contains(&target.len()) && !target.contains(&0)),
                Node::Pipe(bytes) => assert!(bytes.len() <= PIPE_CAPACITY && !inode.linked()),
                Node::Socket(socket) => assert!(socket.incoming.len() <= PIPE_CAPACITY && !inode.linked()),
                Node::Counter(counter) => assert!(counter.value < u64::MAX && !inode.linked()),
                Node::Epoll => assert!(!inode.linked()),
                Node::File(_) | Node::Device(_) | Node::Mount(_) => {}
            }
        }
    }

    fn assert_directory(&self, id: InodeId, directory: &Directory) {
        let mut at = id;
        for _ in 0..=self.inodes.len() {
            at = self.directory(at).unwrap().parent();
        }
        assert_eq!(at, InodeId::ROOT, "the way up from {id:?}");
        for (position, name, _) in directory.names_from(0) {
            assert!(position >= Directory::FIRST_POSITION);
            assert!((1..256).contains(&name.len()), "a name of {} bytes", name.len());
            assert!(!name.contains(&b'/') && !name.contains(&0) && name != b"." && name != b"..", "{name:?}");
        }
        let mut grown = directory.clone();
        if grown.add(b"/", InodeId::ROOT, false) {
            let last = grown.names_from(0).last().map(|(_, name, _)| name);
            assert_eq!(last, Some(&b"/"[..]), "the newest name is the last");
        }
    }
}
