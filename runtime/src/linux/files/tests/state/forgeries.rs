//! Forged files, one for each promise: written here field by field, by hand and not by the code under test.

use super::*;
use crate::wire::WireError;

/// A file's fields, as the format has them.
#[derive(Clone, Debug)]
struct Forged {
    umask: u32,
    current: u64,
    bytes: Option<u64>,
    next_inode: u64,
    inodes: Vec<Inode>,
    descriptors: Vec<Descriptor>,
}

#[derive(Clone, Debug)]
struct Inode {
    id: u64,
    permissions: u32,
    /// Nanoseconds of the time of last access; all else is 0.
    nanos: u32,
    node: Node,
}

#[derive(Clone, Debug)]
enum Node {
    File(&'static [u8]),
    Directory {
        parent: u64,
        next_position: u64,
        names: Vec<(u64, u64, Vec<u8>)>,
    },
    Symlink(Vec<u8>),
    Device(u8),
    Pipe(Vec<u8>),
    /// Bytes, peer, closed, reset.
    Socket(Vec<u8>, u64, u8, u8),
    Counter(u64, u8),
    /// Descriptor, description, events, edge.
    Epoll(Vec<(u32, u32, u32, u8)>),
}

#[derive(Clone, Debug)]
struct Descriptor {
    number: u32,
    close_on_exec: u8,
    description: u32,
    new: Option<Description>,
}

#[derive(Clone, Debug)]
struct Description {
    object: u8,
    inode: u64,
    status: u32,
    offset: u64,
}

const ROOT: usize = 0;

/// `/` with `d/`, `d/f` "hi", `l → f` and the device `n`; `f` open at 3 and 4, `d` at 5, and at 6 a directory `9` without a name whose
/// parent `8` has none either.
fn forged() -> Forged {
    let directory = |parent, names: &[(u64, &[u8])]| Node::Directory {
        parent,
        next_position: 10,
        names: (2..).zip(names).map(|(position, (inode, name))| (position, *inode, name.to_vec())).collect(),
    };
    let nodes = [
        (1, directory(1, &[(2, b"d"), (4, b"l"), (5, b"n")])),
        (2, directory(1, &[(3, b"f")])),
        (3, Node::File(b"hi")),
        (4, Node::Symlink(b"f".to_vec())),
        (5, Node::Device(1)),
        (8, directory(2, &[])),
        (9, directory(8, &[])),
    ];
    let opened = |number, description, inode| Descriptor {
        number,
        close_on_exec: 0,
        description,
        new: Some(Description { object: 3, inode, status: O_LARGEFILE, offset: 0 }),
    };
    let stream = Description { object: 0, inode: 0, status: 0, offset: 0 };
    Forged {
        umask: 0o22,
        current: 2,
        bytes: None,
        next_inode: 10,
        inodes: nodes.into_iter().map(|(id, node)| Inode { id, permissions: 0o755, nanos: 7, node }).collect(),
        descriptors: vec![
            Descriptor { number: 0, close_on_exec: 0, description: 0, new: Some(stream) },
            opened(3, 1, 3),
            Descriptor { number: 4, close_on_exec: 1, description: 1, new: None },
            opened(5, 2, 2),
            opened(6, 3, 9),
        ],
    }
}

impl Forged {
    fn read(&self) -> Result<Files, StateError> {
        let bytes = self.written();
        let files = read(&bytes, Quota { bytes: 512, inodes: 8 }, 8)?;
        assert_eq!(written(&files), bytes);
        Ok(files)
    }

    fn written(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut byte_count = 0;
        for Inode { id, permissions, nanos, node } in &self.inodes {
            bytes.extend(id.to_le_bytes());
            bytes.push(match node {
                Node::File(_) => 0,
                Node::Directory { .. } => 1,
                Node::Symlink(_) => 2,
                Node::Device(_) => 3,
                Node::Pipe(_) => 4,
                Node::Socket(..) => 5,
                Node::Counter(..) => 6,
                Node::Epoll(_) => 7,
            });
            bytes.extend(permissions.to_le_bytes());
            bytes.extend([0; 8]);
            bytes.extend(nanos.to_le_bytes());
            bytes.extend([0; 24]);
            let mut string = |bytes: &mut Vec<u8>, text: &[u8]| {
                byte_count += text.len() as u64;
                bytes.extend((text.len() as u64).to_le_bytes());
                bytes.extend(text);
            };
            match node {
                Node::File(contents) => string(&mut bytes, contents),
                Node::Directory { parent, next_position, names } => {
                    bytes.extend([*parent, *next_position, names.len() as u64].map(u64::to_le_bytes).concat());
                    for (position, inode, name) in names {
                        bytes.extend([*position, *inode].map(u64::to_le_bytes).concat());
                        string(&mut bytes, name);
                    }
                }
                Node::Symlink(target) => string(&mut bytes, target),
                Node::Device(device) => bytes.push(*device),
                Node::Pipe(held) => {
                    byte_count += 65_536;
                    bytes.extend((held.len() as u64).to_le_bytes());
                    bytes.extend(held);
                }
                Node::Socket(held, peer, closed, reset) => {
                    byte_count += 65_536;
                    bytes.extend((held.len() as u64).to_le_bytes());
                    bytes.extend(held);
                    bytes.extend(peer.to_le_bytes());
                    bytes.extend([*closed, *reset]);
                }
                Node::Counter(value, semaphore) => {
                    bytes.extend(value.to_le_bytes());
                    bytes.push(*semaphore);
                }
                Node::Epoll(_) => byte_count += 65_536,
            }
        }
        let mut all = self.umask.to_le_bytes().to_vec();
        let bytes_in_files = self.bytes.unwrap_or(byte_count);
        let head = [self.current, bytes_in_files, self.next_inode, self.inodes.len() as u64];
        all.extend(head.map(u64::to_le_bytes).concat());
        all.extend(bytes);
        all.extend((self.descriptors.len() as u64).to_le_bytes());
        for Descriptor { number, close_on_exec, description, new } in &self.descriptors {
            all.extend(number.to_le_bytes());
            all.push(*close_on_exec);
            all.extend(description.to_le_bytes());
            if let Some(Description { object, inode, status, offset }) = new {
                all.push(*object);
                if *object > 2 {
                    all.extend(inode.to_le_bytes());
                }
                all.extend(status.to_le_bytes());
                all.extend(offset.to_le_bytes());
            }
        }
        for Inode { node, .. } in &self.inodes {
            let Node::Epoll(members) = node else { continue };
            all.extend((members.len() as u64).to_le_bytes());
            for (descriptor, description, events, edge) in members {
                all.extend([*descriptor, *description, *events].map(u32::to_le_bytes).concat());
                all.extend(5_u64.to_le_bytes());
                all.push(*edge);
            }
        }
        all
    }

    fn names(&mut self, inode: usize) -> &mut Vec<(u64, u64, Vec<u8>)> {
        match &mut self.inodes[inode].node {
            Node::Directory { names, .. } => names,
            other => panic!("{other:?}"),
        }
    }

    fn parent(&mut self, inode: usize) -> &mut u64 {
        match &mut self.inodes[inode].node {
            Node::Directory { parent, .. } => parent,
            other => panic!("{other:?}"),
        }
    }

    fn description(&mut self, index: usize) -> &mut Description {
        self.descriptors[index].new.as_mut().unwrap()
    }
}

/// That a file with this change is refused, and why.
fn refused(change: impl FnOnce(&mut Forged), expected: StateError) {
    let mut file = forged();
    change(&mut file);
    assert_eq!(file.read().unwrap_err(), expected);
}

/// That a file with this change is refused for a field that is too large.
fn too_large(change: impl FnOnce(&mut Forged), expected: &str) {
    let mut file = forged();
    change(&mut file);
    match file.read() {
        Err(StateError::Wire(WireError::OutOfRange { field, .. })) => assert_eq!(field, expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_file_that_the_forgeries_start_from_is_accepted() {
    let mut files = forged().read().unwrap();
    assert_eq!(files.contents("/d/f"), Ok(&b"hi"[..]));
    assert_eq!(files.read_some(4, 9), Ok(b"hi".to_vec()));
    assert_eq!(files.getcwd(), Ok(b"/d".to_vec()));
    assert_eq!(files.stat_at(AT_FDCWD, b"/", 0).unwrap().nlink, 3);
}

#[test]
fn fields_with_a_limit_keep_it() {
    const TOO_FAR: u64 = 1 << 63;
    too_large(|file| file.umask = 0o1000, "umask");
    too_large(|file| file.inodes[2].permissions = 0o10_000, "permissions of an inode");
    too_large(|file| file.inodes[2].nanos = 1_000_000_000, "nanoseconds of a time");
    too_large(|file| file.inodes[4].node = Node::Device(4), "device");
    too_large(|file| file.next_inode = TOO_FAR, "next inode");
    too_large(|file| file.current = u64::MAX, "current directory");
    too_large(|file| file.descriptors[0].close_on_exec = 2, "close-on-exec");
    too_large(|file| file.description(1).object = 4, "kind of what is open");
    too_large(|file| file.description(1).offset = 1 << 63, "offset of what is open");
    too_large(|file| *file.parent(1) = TOO_FAR, "parent of a directory");
    too_large(
        |file| {
            let Node::Directory { next_position, .. } = &mut file.inodes[1].node else { panic!() };
            *next_position = TOO_FAR;
        },
        "next position in a directory",
    );
}

#[test]
fn the_root_is_a_directory_and_its_own_parent() {
    refused(|file| file.inodes[ROOT].node = Node::File(b""), StateError::Root);
    refused(|file| *file.parent(ROOT) = 2, StateError::Root);
    refused(|file| drop(file.inodes.remove(ROOT)), StateError::Root);
    refused(|file| file.inodes.clear(), StateError::Root);
}

#[test]
fn inodes_are_in_order_and_below_the_next_one() {
    refused(|file| file.inodes[2].id = 2, StateError::InodeOrder { inode: 2, previous: 2 });
    refused(|file| file.inodes[ROOT].id = 0, StateError::InodeOrder { inode: 0, previous: 0 });
    refused(|file| file.inodes.swap(1, 2), StateError::InodeOrder { inode: 2, previous: 3 });
    refused(|file| file.next_inode = 9, StateError::NextInode { next: 9, last: 9 });
}

#[test]
fn where_numbers_run_out_nothing_new_can_be_made_and_the_rest_goes_on() {
    let mut file = forged();
    file.next_inode = i64::MAX.unsigned_abs() - 1;
    let mut files = read(&file.written(), Quota::default(), 8).unwrap();
    assert_eq!(files.mkdir_at(AT_FDCWD, b"x", 0o755), Ok(()));
    assert_eq!(files.mkdir_at(AT_FDCWD, b"y", 0o755), Err(Errno::NOSPC));
    assert_eq!(files.unlink_at(AT_FDCWD, b"x", AT_REMOVEDIR), Ok(()));
    assert_eq!(again(&files).tree, files.tree);

    let mut file = forged();
    let Node::Directory { next_position, .. } = &mut file.inodes[1].node else { panic!() };
    *next_position = i64::MAX.unsigned_abs() - 1;
    let mut files = read(&file.written(), Quota::default(), 8).unwrap();
    assert_eq!(files.mkdir_at(AT_FDCWD, b"x", 0o755), Ok(()));
    assert_eq!(files.list(5).unwrap().last().map(|entry| (entry.name, entry.next)), Some((b"x"[..].into(), i64::MAX)));
    assert_eq!(files.mkdir_at(AT_FDCWD, b"y", 0o755), Err(Errno::NOSPC));
    assert_eq!(again(&files).tree, files.tree);
}

#[test]
fn names_are_what_a_walk_can_look_up() {
    let long = "x".repeat(256);
    for name in ["", ".", "..", "a/b", "/", "a\0", &long] {
        let change = |file: &mut Forged| file.names(1)[0].2 = name.into();
        let shown = name.get(..255).unwrap_or(name).to_owned();
        refused(change, StateError::FileName { directory: 2, name: shown });
    }
    refused(|file| file.names(ROOT)[1].2 = b"d".to_vec(), StateError::NameTwice { directory: 1, name: "d".into() });
}

#[test]
fn names_have_positions_that_were_given_out_once() {
    let position = |position, least| StateError::Position { directory: 1, position, least, next: 10 };
    refused(|file| file.names(ROOT)[0].0 = 1, position(1, 2));
    refused(|file| file.names(ROOT)[1].0 = 2, position(2, 3));
    refused(|file| file.names(ROOT)[2].0 = 10, position(10, 4));
    let change =
        |file: &mut Forged| file.inodes[5].node = Node::Directory { parent: 2, next_position: 1, names: vec![] };
    refused(change, StateError::Position { directory: 8, position: 1, least: 2, next: 2 });
}

#[test]
fn a_name_leads_to_what_is_there_and_a_directory_has_one() {
    refused(|file| file.names(1)[0].1 = 7, StateError::Dangling { directory: 2, inode: 7 });
    refused(|file| file.names(ROOT)[1].1 = 2, StateError::SecondName { directory: 1, inode: 2 });
    refused(|file| file.names(1)[0].1 = 1, StateError::SecondName { directory: 2, inode: 1 });
    refused(|file| file.names(1)[0].1 = 2, StateError::SecondName { directory: 2, inode: 2 });
}

#[test]
fn a_file_may_have_more_names_and_each_is_one_more_inode_of_the_quota() {
    let mut file = forged();
    file.names(ROOT).push((6, 3, b"second".to_vec()));
    file.names(1).push((6, 3, b"third".to_vec()));
    let read = |inodes| read(&file.written(), Quota { bytes: 512, inodes }, 8);
    assert_eq!(read(8).unwrap_err(), StateError::FileCount { needed: 9, quota: 8 });
    let mut files = read(9).unwrap();
    assert_eq!((files.stat(3).unwrap().nlink, files.tree.left().inodes), (3, 0));
    files.unlink_at(AT_FDCWD, b"/second", 0).unwrap();
    assert_eq!((files.stat(3).unwrap().nlink, files.tree.left().inodes), (2, 1));
    files.assert_sound();
}

#[test]
fn a_pipe_has_no_name_fits_and_is_open_as_a_pipe_is() {
    let with = |held: usize, status, named: bool| {
        let mut file = forged();
        let node = Node::Pipe(vec![7; held]);
        file.inodes.insert(5, Inode { id: 6, permissions: 0o600, nanos: 0, node });
        *file.description(1) = Description { object: 3, inode: 6, status, offset: 0 };
        if named {
            file.names(ROOT).push((6, 6, b"fifo".to_vec()));
        }
        read(&file.written(), Quota { bytes: 1 << 20, inodes: 9 }, 8)
    };
    let files = with(65_536, O_NONBLOCK, false).unwrap();
    let Ok(Object::Pipe(pipe)) = files.object(4) else { panic!("{:?}", files.object(4)) };
    assert_eq!(files.pipe_peek(pipe, 99_999), Ok(vec![7; 65_536]));
    assert_eq!(with(65_537, 0, false).unwrap_err(), StateError::PipeBytes { inode: 6, length: 65_537 });
    assert_eq!(with(1, 0, true).unwrap_err(), StateError::Nameless { directory: 1, inode: 6 });
    for status in [O_RDWR, O_LARGEFILE, O_PATH, O_DIRECTORY] {
        assert_eq!(with(1, status, false).unwrap_err(), StateError::Status { descriptor: 3, status });
    }
    let mut leaked = forged();
    leaked.inodes.insert(5, Inode { id: 6, permissions: 0o600, nanos: 0, node: Node::Pipe(Vec::new()) });
    let leaked = read(&leaked.written(), Quota { bytes: 1 << 20, inodes: 9 }, 8);
    assert_eq!(leaked.unwrap_err(), StateError::Leaked { inode: 6 });
}

#[test]
fn a_directorys_parent_is_where_its_name_is() {
    refused(|file| *file.parent(1) = 8, StateError::Parent { directory: 2, parent: 8, named_in: 1 });
}

#[test]
fn what_the_root_does_not_lead_to_is_empty_and_held() {
    refused(|file| file.names(6).push((2, 3, b"x".to_vec())), StateError::CutOffNotEmpty { directory: 9 });
    refused(|file| file.descriptors.truncate(4), StateError::Leaked { inode: 8 });
    refused(|file| *file.parent(6) = 2, StateError::Leaked { inode: 8 });
    // Nothing can hold a symlink.
    refused(|file| drop(file.names(ROOT).remove(1)), StateError::Leaked { inode: 4 });
}

#[test]
fn two_directories_that_name_each_other_are_not_in_the_tree() {
    let change = |file: &mut Forged| {
        *file.parent(5) = 9;
        file.names(5).push((2, 9, b"x".to_vec()));
        file.names(6).push((2, 8, b"y".to_vec()));
    };
    refused(change, StateError::CutOffNotEmpty { directory: 8 });
}

#[test]
fn the_way_up_from_a_directory_without_a_name_leads_to_the_tree() {
    refused(|file| *file.parent(5) = 9, StateError::CutOffParent { directory: 8, parent: 9 });
    refused(|file| *file.parent(6) = 9, StateError::CutOffParent { directory: 9, parent: 9 });
    refused(|file| *file.parent(6) = 3, StateError::CutOffParent { directory: 9, parent: 3 });
    refused(|file| *file.parent(6) = 7, StateError::CutOffParent { directory: 9, parent: 7 });
}

#[test]
fn symlinks_lead_somewhere() {
    for target in [&b""[..], b"a\0b", &[b'x'; 4096]] {
        let mut file = forged();
        file.inodes[3].node = Node::Symlink(target.to_vec());
        let expected = StateError::Target { inode: 4, length: target.len() };
        assert_eq!(read(&file.written(), Quota::default(), 8), Err(expected));
    }
}

#[test]
fn the_account_is_what_is_counted() {
    refused(|file| file.bytes = Some(6), StateError::Account { stored: 6, counted: 7 });
    refused(|file| file.bytes = Some(8), StateError::Account { stored: 8, counted: 7 });
    // No more is read than was announced.
    refused(|file| file.bytes = Some(3), StateError::Account { stored: 3, counted: 4 });
    refused(|file| file.bytes = Some(513), StateError::FileBytes { needed: 513, quota: 512 });
}

#[test]
fn the_current_directory_is_one() {
    for inode in [3, 7] {
        refused(|file| file.current = inode, StateError::CurrentDirectory { inode });
    }
}

#[test]
fn descriptors_are_in_order_and_below_the_limit() {
    refused(|file| file.descriptors[1].number = 0, StateError::DescriptorOrder { descriptor: 0, previous: 0 });
    refused(|file| file.descriptors[2].number = 2, StateError::DescriptorOrder { descriptor: 2, previous: 3 });
    for descriptor in [8, 1 << 16, u32::MAX] {
        refused(|file| file.descriptors[4].number = descriptor, StateError::OpenFiles { descriptor, limit: 8 });
    }
}

#[test]
fn descriptions_are_numbered_as_descriptors_come_to_them() {
    let change = |file: &mut Forged| file.descriptors[1].description = 2;
    refused(change, StateError::Description { descriptor: 3, description: 2, known: 1 });
    let change = |file: &mut Forged| file.descriptors[2].description = u32::MAX;
    refused(change, StateError::Description { descriptor: 4, description: u32::MAX, known: 2 });
}

#[test]
fn what_is_open_is_there_and_can_be_opened() {
    for inode in [4, 7] {
        refused(|file| file.description(1).inode = inode, StateError::OpenInode { descriptor: 3, inode });
    }
}

#[test]
fn a_stream_is_open_once() {
    refused(
        |file| *file.description(1) = Description { object: 0, inode: 0, status: 0, offset: 0 },
        StateError::StreamTwice { descriptor: 3 },
    );
}

#[test]
fn a_status_is_one_that_open_and_fcntl_leave() {
    let status = |descriptor, status| StateError::Status { descriptor, status };
    refused(|file| file.description(0).status = 1, status(0, 1));
    refused(|file| file.description(0).status = O_LARGEFILE, status(0, O_LARGEFILE));
    for (object, wrong) in [(1, 0), (1, O_RDWR), (2, O_WRONLY | O_LARGEFILE)] {
        let change =
            |file: &mut Forged| *file.description(0) = Description { object, inode: 0, status: wrong, offset: 0 };
        refused(change, status(0, wrong));
    }
    for wrong in
        [0, O_RDWR, O_LARGEFILE | O_DIRECTORY, O_LARGEFILE | O_CREAT, O_LARGEFILE | O_PATH, 1 << 31 | O_LARGEFILE]
    {
        refused(|file| file.description(1).status = wrong, status(3, wrong));
    }
    for wrong in [O_LARGEFILE | O_WRONLY, O_LARGEFILE | O_RDWR | O_DIRECTORY, O_LARGEFILE | 3] {
        refused(|file| file.description(3).status = wrong, status(5, wrong));
    }
}

#[test]
fn streams_and_devices_have_no_offset() {
    refused(|file| file.description(0).offset = 1, StateError::Offset { descriptor: 0, offset: 1 });
    let device = Description { object: 3, inode: 5, status: O_LARGEFILE, offset: 7 };
    refused(|file| *file.description(1) = device, StateError::Offset { descriptor: 3, offset: 7 });
}

/// The file with nodes 6 and 7 in place of what was open at 3, 5 and 6: what is at 3 (and 4), and at 5.
fn with_nameless(first: Node, second: Option<Node>) -> Forged {
    let mut file = forged();
    file.inodes.truncate(5);
    file.descriptors.truncate(if second.is_some() { 4 } else { 3 });
    for (id, node, description) in [(6, Some(first), 1), (7, second, 3)] {
        if let Some(node) = node {
            file.inodes.push(Inode { id, permissions: 0o600, nanos: 0, node });
            *file.description(description) = Description { object: 3, inode: id, status: O_RDWR, offset: 0 };
        }
    }
    file
}

fn read_large(file: &Forged) -> Result<Files, StateError> {
    let bytes = file.written();
    let files = read(&bytes, Quota { bytes: 1 << 20, inodes: 9 }, 8)?;
    assert_eq!(written(&files), bytes);
    files.assert_sound();
    Ok(files)
}

#[test]
fn sockets_are_pairs_or_have_lost_their_peer() {
    let socket = |peer, closed, reset| Node::Socket(b"sent".to_vec(), peer, closed, reset);
    let pair = with_nameless(socket(7, 0, 0), Some(socket(6, 1, 0)));
    let files = read_large(&pair).unwrap();
    assert_eq!(files.pipe_peek(pipe_at(&files, 4), 9), Ok(b"sent".to_vec()));
    read_large(&with_nameless(socket(9, 1, 1), None)).unwrap();
    let refused = |first, second: Option<Node>, inode, peer| {
        assert_eq!(read_large(&with_nameless(first, second)).unwrap_err(), StateError::SocketPair { inode, peer });
    };
    refused(socket(6, 1, 0), None, 6, 6);
    refused(socket(3, 1, 0), None, 6, 3);
    // To be given out later.
    refused(socket(10, 1, 0), None, 6, 10);
    refused(socket(0, 1, 0), None, 6, 0);
    refused(socket(9, 0, 0), None, 6, 9);
    refused(socket(7, 0, 1), Some(socket(6, 0, 0)), 6, 7);
    refused(socket(7, 0, 0), Some(socket(9, 1, 0)), 6, 7);
    refused(socket(7, 0, 0), Some(Node::Counter(0, 0)), 6, 7);
    let large = Node::Socket(vec![0; 65_537], 9, 1, 0);
    assert_eq!(
        read_large(&with_nameless(large, None)).unwrap_err(),
        StateError::PipeBytes { inode: 6, length: 65_537 }
    );
}

fn pipe_at(files: &Files, descriptor: i32) -> InodeId {
    files.object(descriptor).unwrap().inode().unwrap()
}

#[test]
fn what_has_no_name_is_held_has_none_and_is_open_once_with_its_status() {
    for node in [Node::Counter(1, 0), Node::Epoll(Vec::new()), Node::Socket(Vec::new(), 9, 1, 0)] {
        read_large(&with_nameless(node.clone(), None)).unwrap();
        let mut named = with_nameless(node.clone(), None);
        named.names(ROOT).push((6, 6, b"name".to_vec()));
        assert_eq!(read_large(&named).unwrap_err(), StateError::Nameless { directory: 1, inode: 6 });
        let mut leaked = with_nameless(node.clone(), None);
        leaked.description(1).inode = 3;
        leaked.description(1).status = O_LARGEFILE;
        assert_eq!(read_large(&leaked).unwrap_err(), StateError::Leaked { inode: 6 });
        for status in [0, O_WRONLY, O_RDWR | O_LARGEFILE, O_PATH, O_RDWR | O_DIRECTORY] {
            let mut file = with_nameless(node.clone(), None);
            file.description(1).status = status;
            assert_eq!(read_large(&file).unwrap_err(), StateError::Status { descriptor: 3, status });
        }
        let mut moved = with_nameless(node.clone(), None);
        moved.description(1).offset = 1;
        assert_eq!(read_large(&moved).unwrap_err(), StateError::Offset { descriptor: 3, offset: 1 });
        let mut twice = with_nameless(node.clone(), Some(Node::Counter(0, 0)));
        twice.description(3).inode = 6;
        assert_eq!(read_large(&twice).unwrap_err(), StateError::StreamTwice { descriptor: 5 });
    }
    assert_eq!(
        read_large(&with_nameless(Node::Counter(u64::MAX, 0), None)).unwrap_err(),
        StateError::Counter { inode: 6 }
    );
}

#[test]
fn the_members_of_an_epoll_set_are_open_once_there_and_can_be_waited_for() {
    const EDGES: u32 = 1 << 31;
    let with = |members: &[(u32, u32, u32, u8)]| {
        read_large(&with_nameless(Node::Epoll(members.to_vec()), Some(Node::Counter(1, 0))))
    };
    // By a number that leads nowhere now, too: it was closed, and a duplicate was not.
    with(&[(5, 2, 1, 0), (7, 2, 1 | EDGES, 1), (0, 0, u32::MAX, 0), (5, 0, 0, 0)]).unwrap();
    for (bad, descriptor) in [
        (&[(8, 2, 1, 0)][..], 8),
        (&[(u32::MAX, 2, 1, 0)], u32::MAX),
        (&[(5, 3, 1, 0)], 5),
        (&[(5, u32::MAX, 1, 0)], 5),
        (&[(3, 1, 1, 0)], 3),
        (&[(5, 2, 1, 1)], 5),
        (&[(5, 2, 1, 0), (5, 2, 4, 0)], 5),
    ] {
        assert_eq!(with(bad).unwrap_err(), StateError::Interest { inode: 6, descriptor }, "{bad:?}");
    }
}
