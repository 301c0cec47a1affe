//! Random operations end in [`Files`] as in a model that is simple where `Files` is careful: nothing is shared, counted or dropped,
//! whether there is room is found out by adding up what can still be reached.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the operations use small numbers"
)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::operations::{Choice, World, operations};
use super::*;

mod calls;

pub(super) const QUOTA: Quota = Quota { bytes: 164, inodes: 19 };
pub(super) const LIMIT: i32 = 8;

pub(super) const CHOICE: Choice = Choice {
    paths,
    flags: &[
        0,
        O_WRONLY,
        O_RDWR,
        3,
        O_CREAT | O_RDWR,
        O_CREAT | O_RDWR | O_TRUNC,
        O_CREAT | O_WRONLY | O_EXCL,
        O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC,
        O_TRUNC,
        O_DIRECTORY,
        O_DIRECTORY | O_RDWR,
        O_CREAT | O_DIRECTORY,
    ],
    modes: &[0o777, 0o777, 0o700, 0o700, 0o600, 0o500, 0o400, 0o300, 0],
    offsets: &[0, 1, 3, 5, 9, 14, 30, 100, 159, 160, 161, 1 << 40, i64::MAX - 5, i64::MAX, -1, -7, i64::MIN],
    whences: 6,
    symlinks: false,
};

fn paths() -> BoxedStrategy<Vec<u8>> {
    let name =
        prop::sample::select(vec!["a", "a", "a", "b", "b", "b", "c", "f", "f", "..", "..", ".", "tmp", "dev", "zero"]);
    let names = prop_oneof![3 => Just(1..2usize), 2 => Just(2..3), 1 => Just(0..5)]
        .prop_flat_map(move |count| prop::collection::vec(name.clone(), count))
        .prop_map(|names| names.join("/"));
    (prop::bool::weighted(0.2), names, prop::bool::weighted(0.1))
        .prop_map(|(root, names, slash)| {
            format!("{}{names}{}", if root { "/" } else { "" }, if slash { "/" } else { "" }).into_bytes()
        })
        .boxed()
}

/// Nodes are numbered as they come and never go.
#[derive(Debug)]
struct Node {
    kind: Kind,
    mode: u32,
    parent: usize,
    names: usize,
}

#[derive(Debug)]
enum Kind {
    File(Vec<u8>),
    Directory(BTreeMap<Vec<u8>, usize>),
    Device,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum On {
    Stream,
    Node(usize),
}

#[derive(Debug)]
struct Open {
    on: On,
    status: u32,
    offset: i64,
}

#[derive(Debug)]
struct Model {
    nodes: Vec<Node>,
    opens: Vec<Open>,
    /// Index into `opens`, and close-on-exec.
    table: BTreeMap<i32, (usize, bool)>,
    current: usize,
}

type Spot = (usize, Option<Vec<u8>>, bool, Option<usize>);

impl Model {
    fn new() -> Self {
        let mut model = Self { nodes: Vec::new(), opens: Vec::new(), table: BTreeMap::new(), current: 0 };
        model.nodes.push(Node { kind: Kind::Directory(BTreeMap::new()), mode: 0o755, parent: 0, names: 1 });
        model.add(0, b"tmp", Kind::Directory(BTreeMap::new()), 0o1777);
        model.add(0, b"dev", Kind::Directory(BTreeMap::new()), 0o755);
        for device in ["null", "zero", "full", "random", "urandom"] {
            model.add(2, device.as_bytes(), Kind::Device, 0o666);
        }
        for (fd, status) in [(0, 0), (1, 1), (2, 1)] {
            model.opens.push(Open { on: On::Stream, status, offset: 0 });
            model.table.insert(fd, (model.opens.len() - 1, false));
        }
        model
    }

    fn add(&mut self, parent: usize, name: &[u8], kind: Kind, mode: u32) -> usize {
        let node = self.nodes.len();
        self.nodes.push(Node { kind, mode, parent, names: 1 });
        self.names_mut(parent).insert(name.to_vec(), node);
        node
    }

    fn names(&self, node: usize) -> Result<&BTreeMap<Vec<u8>, usize>, Errno> {
        if let Kind::Directory(names) = &self.nodes[node].kind { Ok(names) } else { Err(Errno::NOTDIR) }
    }

    fn names_mut(&mut self, node: usize) -> &mut BTreeMap<Vec<u8>, usize> {
        if let Kind::Directory(names) = &mut self.nodes[node].kind { names } else { panic!("no directory") }
    }

    fn check(&self, node: usize, bits: u32) -> Result<(), Errno> {
        if self.nodes[node].mode >> 6 & bits == bits { Ok(()) } else { Err(Errno::ACCESS) }
    }

    /// Everything that has a name, is open, is the current directory, or is the parent of such a directory.
    fn room(&self) -> (usize, usize) {
        let open = self.table.values().filter_map(|(open, _)| match self.opens[*open].on {
            On::Node(node) => Some(node),
            On::Stream => None,
        });
        let named = (0..self.nodes.len()).filter(|node| self.nodes[*node].names > 0);
        let mut kept: BTreeSet<usize> = named.chain(open).chain([self.current]).collect();
        for mut node in kept.clone() {
            while self.names(node).is_ok() && kept.insert(self.nodes[node].parent) | (node != 0) {
                node = self.nodes[node].parent;
            }
        }
        let bytes: usize = kept
            .iter()
            .map(|node| match &self.nodes[*node].kind {
                Kind::File(contents) => contents.len(),
                Kind::Directory(names) => names.keys().map(Vec::len).sum(),
                Kind::Device => 0,
            })
            .sum();
        let more_names: usize = self.nodes.iter().map(|node| node.names.saturating_sub(1)).sum();
        (QUOTA.bytes - bytes, QUOTA.inodes - kept.len() - more_names)
    }

    fn open(&self, fd: i32) -> Result<&Open, Errno> {
        self.table.get(&fd).map(|(open, _)| &self.opens[*open]).ok_or(Errno::BADF)
    }

    fn open_mut(&mut self, fd: i32) -> &mut Open {
        &mut self.opens[self.table[&fd].0]
    }

    fn free(&self, from: i32) -> Result<i32, Errno> {
        (from..LIMIT).find(|fd| !self.table.contains_key(fd)).ok_or(Errno::MFILE)
    }

    /// Directory, name unless it is a dot or the root, whether a slash follows, what is there.
    fn walk(&self, at: i32, path: &[u8]) -> Result<Spot, Errno> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        let mut here = match (path[0], at) {
            (b'/', _) => 0,
            (_, AT_FDCWD) => self.current,
            _ => match self.open(at)?.on {
                On::Node(node) if self.names(node).is_ok() => node,
                _ => return Err(Errno::NOTDIR),
            },
        };
        let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
        let slash = path.ends_with(b"/");
        for (n, name) in names.iter().enumerate() {
            let last = n + 1 == names.len();
            let entries = self.names(here)?;
            self.check(here, 1)?;
            let (named, next) = match *name {
                b"." => (None, Some(here)),
                b".." => (None, Some(self.nodes[here].parent)),
                name => (Some(name.to_vec()), entries.get(name).copied()),
            };
            if last {
                return Ok((here, named, slash, next));
            }
            here = next.ok_or(Errno::NOENT)?;
        }
        Ok((here, None, false, Some(here)))
    }

    fn find(&self, at: i32, path: &[u8]) -> Result<usize, Errno> {
        let (.., slash, node) = self.walk(at, path)?;
        let node = node.ok_or(Errno::NOENT)?;
        if slash {
            self.names(node)?;
        }
        Ok(node)
    }

    /// A new name, if the directory, its permissions and the quota allow it.
    fn make(&mut self, parent: usize, name: &[u8], kind: Kind, mode: u32) -> Result<usize, Errno> {
        if self.nodes[parent].names == 0 {
            return Err(Errno::NOENT);
        }
        self.check(parent, 3)?;
        let (bytes, inodes) = self.room();
        if inodes == 0 || bytes < name.len() {
            return Err(Errno::NOSPC);
        }
        Ok(self.add(parent, name, kind, mode & !0o022))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn random_operations_end_as_in_the_model_and_the_account_stays_right(operations in operations(CHOICE, 120)) {
        let (mut files, mut model) = (Files::new(QUOTA, LIMIT as u16), Model::new());
        for operation in &operations {
            let before = files.clone();
            let copy = files.clone();
            let (end, expected) = (files.apply(operation), model.apply(operation));
            prop_assert_eq!(&end, &expected, "{:?}", operation);
            prop_assert_eq!(&before, &copy, "{:?} reached into a clone", operation);
            files.assert_account();
            let (bytes, inodes) = model.room();
            prop_assert_eq!(files.tree.left(), Quota { bytes, inodes });
        }
    }
}
