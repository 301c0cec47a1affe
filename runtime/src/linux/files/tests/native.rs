//! Random operations end in [`Files`] as the running kernel ends them in a temporary directory of the host's.
//!
//! The paths here never lead above the directory they start in (`..` only after a name), because the host's root is not the guest's.
//! What differs by file system (sparse files, directory sizes and offsets) and by user is left to the model.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the operations use small numbers"
)]

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use rustix::fs::{self, AtFlags, Mode, OFlags, SeekFrom};

use super::operations::{Answer, Choice, Operation, World, operations};
use super::*;

const CHOICE: Choice = Choice {
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
        O_CREAT | O_RDWR | O_NOFOLLOW,
        O_CREAT,
        O_TRUNC,
        O_DIRECTORY,
        O_DIRECTORY | O_RDWR,
        O_DIRECTORY | O_NOFOLLOW,
        O_NOFOLLOW,
        O_RDWR | O_NOFOLLOW | O_TRUNC | O_NONBLOCK,
        O_PATH,
        O_PATH | O_NOFOLLOW | O_RDWR,
        O_PATH | O_DIRECTORY,
    ],
    modes: &[0o700],
    offsets: &[0, 1, 5, 30, 100, -1, -7, i64::MIN],
    whences: 3,
    symlinks: true,
};

/// What both sides start with, and their symlinks.
const DIRECTORIES: [&str; 3] = ["a", "a/b", "c"];
const LINKS: [(&str, &str); 9] = [
    ("la", "a"),
    ("lb", "a/b/"),
    ("lf", "f"),
    ("lfs", "f/"),
    ("gone", "nowhere"),
    ("loop", "loop"),
    ("two", "la/two"),
    ("a/two", "b/../f"),
    ("a/here", "."),
];

fn paths() -> BoxedStrategy<Vec<u8>> {
    let name = prop::sample::select(vec![
        "a", "a", "b", "b", "c", "f", "f", "la", "lb", "lf", "lfs", "gone", "nowhere", "loop", "two", "a", "b/..",
        "a/..", "f/..", ".",
    ]);
    let long = "x".repeat(256);
    let names = prop_oneof![3 => Just(1..2usize), 2 => Just(2..3), 1 => Just(0..5)]
        .prop_flat_map(move |count| prop::collection::vec(name.clone(), count))
        .prop_map(|names| names.join("/"));
    let names = prop_oneof![30 => names, 1 => Just(long)];
    (names, prop::bool::weighted(0.2))
        // Nothing begins with a slash: that would be the host's.
        .prop_map(|(names, slash)| if slash && !names.is_empty() { names + "/" } else { names }.into_bytes())
        .boxed()
}

#[derive(Debug)]
struct Native {
    root: PathBuf,
    current: OwnedFd,
    table: BTreeMap<i32, OwnedFd>,
    /// Keeps the guest's output pipes writable.
    _readers: Vec<std::io::PipeReader>,
}

impl Native {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ampoule-files-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let root = std::env::temp_dir().join(name);
        for directory in DIRECTORIES {
            std::fs::create_dir_all(root.join(directory)).unwrap();
        }
        for (link, target) in LINKS {
            std::os::unix::fs::symlink(target, root.join(link)).unwrap();
        }
        let current = fs::open(&root, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let [(stdin, _), (out_reader, out), (err_reader, err)] = [(); 3].map(|()| std::io::pipe().unwrap());
        let table = BTreeMap::from([(0, stdin.into()), (1, out.into()), (2, err.into())]);
        Self { root, current, table, _readers: vec![out_reader, err_reader] }
    }

    fn fd(&self, fd: i32) -> Result<BorrowedFd<'_>, Errno> {
        self.table.get(&fd).map(AsFd::as_fd).ok_or(Errno::BADF)
    }

    /// Where a path starts: Linux looks at an empty path before the descriptor.
    fn at(&self, at: i32, path: &[u8]) -> Result<BorrowedFd<'_>, Errno> {
        match at {
            AT_FDCWD => Ok(self.current.as_fd()),
            _ if path.is_empty() => Ok(self.fd(at).unwrap_or(self.current.as_fd())),
            _ => self.fd(at),
        }
    }

    /// The same where the kernel is to find out that a descriptor is not open.
    fn at_or_bad(&self, at: i32, path: &[u8]) -> BorrowedFd<'_> {
        self.at(at, path).unwrap_or(fs::ABS)
    }

    fn insert(&mut self, fd: OwnedFd) -> Answer {
        let number = (0..).find(|number| !self.table.contains_key(number)).unwrap();
        self.table.insert(number, fd);
        Answer::Number(number.into())
    }

    fn enter(&mut self, opened: Result<OwnedFd, Errno>) -> Result<Answer, Errno> {
        self.current = opened?;
        Ok(Answer::Done)
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

fn stat(stat: fs::Stat) -> Answer {
    let sized = stat.st_mode & (S_IFREG | S_IFDIR) == S_IFREG;
    Answer::Stat(stat.st_mode, stat.st_nlink, sized.then_some(stat.st_size))
}

fn place() -> OFlags {
    OFlags::PATH | OFlags::DIRECTORY
}

fn count(count: usize) -> Answer {
    Answer::Number(count.try_into().unwrap())
}

impl World for Native {
    fn apply(&mut self, operation: &Operation) -> Result<Answer, Errno> {
        use Operation::*;
        let mut buffer = [0; 64];
        match operation {
            Open { at, path, flags, mode } => {
                let (flags, mode) = (OFlags::from_bits_retain(*flags), Mode::from_raw_mode(*mode));
                let opened = fs::openat(self.at(*at, path)?, path.as_slice(), flags, mode)?;
                Ok(self.insert(opened))
            }
            Close(fd) => self.table.remove(fd).map(|_| Answer::Done).ok_or(Errno::BADF),
            Dup(fd) => {
                let duplicate = rustix::io::dup(self.fd(*fd)?)?;
                Ok(self.insert(duplicate))
            }
            Fcntl(fd, F_GETFL, _) => Ok(Answer::Number(fs::fcntl_getfl(self.fd(*fd)?)?.bits().into())),
            Fcntl(fd, F_SETFL, argument) => {
                let flags = OFlags::from_bits_retain((argument & 0o6000) as u32);
                fs::fcntl_setfl(self.fd(*fd)?, flags).map(|()| Answer::Number(0))
            }
            Read(fd, limit) => {
                let read = rustix::io::read(self.fd(*fd)?, &mut buffer[..*limit])?;
                Ok(Answer::Bytes(buffer[..read].to_vec()))
            }
            ReadAt(_, ..0, _) | WriteAt(_, ..0, _) => Err(Errno::INVAL),
            ReadAt(fd, offset, limit) => {
                let read = rustix::io::pread(self.fd(*fd)?, &mut buffer[..*limit], *offset as u64)?;
                Ok(Answer::Bytes(buffer[..read].to_vec()))
            }
            Write(fd, bytes) => rustix::io::write(self.fd(*fd)?, bytes).map(count),
            WriteAt(fd, offset, bytes) => rustix::io::pwrite(self.fd(*fd)?, bytes, *offset as u64).map(count),
            Seek(fd, offset, whence) => {
                let to = match *whence {
                    // The raw call takes a negative start, rustix does not.
                    SEEK_SET if *offset < 0 => SeekFrom::End(i64::MIN),
                    SEEK_SET => SeekFrom::Start(*offset as u64),
                    SEEK_CUR => SeekFrom::Current(*offset),
                    _ => SeekFrom::End(*offset),
                };
                Ok(Answer::Number(fs::seek(self.fd(*fd)?, to)? as i64))
            }
            Truncate(_, ..0) => Err(Errno::INVAL),
            Truncate(fd, length) => fs::ftruncate(self.fd(*fd)?, *length as u64).map(|()| Answer::Done),
            Stat(fd) => fs::fstat(self.fd(*fd)?).map(stat),
            StatAt { flags: 1, .. } => Err(Errno::INVAL),
            StatAt { at, path, flags: AT_EMPTY_PATH } if path.is_empty() && *at != AT_FDCWD => {
                fs::fstat(self.fd(*at)?).map(stat)
            }
            StatAt { at, path, flags } => {
                fs::statat(self.at(*at, path)?, path.as_slice(), AtFlags::from_bits_retain(*flags)).map(stat)
            }
            Access { mode: 8.., .. } => Err(Errno::INVAL),
            Access { at, path, mode } => {
                let access = fs::Access::from_bits_retain(*mode);
                fs::accessat(self.at(*at, path)?, path.as_slice(), access, AtFlags::empty()).map(|()| Answer::Done)
            }
            Readlink { at, path } => fs::readlinkat(self.at(*at, path)?, path.as_slice(), Vec::new())
                .map(|target| Answer::Bytes(target.into_bytes())),
            Mkdir { at, path, mode } => {
                let mode = Mode::from_raw_mode(*mode);
                fs::mkdirat(self.at(*at, path)?, path.as_slice(), mode).map(|()| Answer::Done)
            }
            Unlink { flags: 1, .. } => Err(Errno::INVAL),
            Unlink { at, path, flags } => {
                let flags = AtFlags::from_bits_retain(*flags);
                fs::unlinkat(self.at(*at, path)?, path.as_slice(), flags).map(|()| Answer::Done)
            }
            Rename { flags: 4, .. } | Link { flags: 1, .. } | Chmod { flags: 1, .. } => Err(Errno::INVAL),
            Rename { from, to, flags } => {
                let flags = fs::RenameFlags::from_bits_retain(*flags);
                let (from_at, to_at) = (self.at_or_bad(from.0, &from.1), self.at_or_bad(to.0, &to.1));
                fs::renameat_with(from_at, from.1.as_slice(), to_at, to.1.as_slice(), flags).map(|()| Answer::Done)
            }
            Link { from, to, flags } => {
                let flags = AtFlags::from_bits_retain(*flags);
                let (from_at, to_at) = (self.at_or_bad(from.0, &from.1), self.at_or_bad(to.0, &to.1));
                fs::linkat(from_at, from.1.as_slice(), to_at, to.1.as_slice(), flags).map(|()| Answer::Done)
            }
            Symlink { target, at, path } => {
                fs::symlinkat(target.as_slice(), self.at_or_bad(*at, path), path.as_slice()).map(|()| Answer::Done)
            }
            Chmod { at, path, mode, flags } => {
                let (mode, flags) = (Mode::from_raw_mode(*mode), AtFlags::from_bits_retain(*flags));
                fs::chmodat(self.at(*at, path)?, path.as_slice(), mode, flags).map(|()| Answer::Done)
            }
            TruncatePath(_, ..0) => Err(Errno::INVAL),
            TruncatePath(path, length) => {
                let opened = fs::openat(&self.current, path.as_slice(), OFlags::WRONLY, Mode::empty());
                fs::ftruncate(opened?, *length as u64).map(|()| Answer::Done)
            }
            Allocate(fd, mode, offset, length) => {
                let fd = self.fd(*fd)?;
                if fs::fcntl_getfl(fd)?.contains(OFlags::PATH) {
                    return Err(Errno::BADF);
                }
                if *offset < 0 || *length <= 0 {
                    return Err(Errno::INVAL);
                }
                let mode = fs::FallocateFlags::from_bits_retain(*mode);
                fs::fallocate(fd, mode, *offset as u64, *length as u64).map(|()| Answer::Done)
            }
            Chdir(path) => self.enter(fs::openat(&self.current, path.as_slice(), place(), Mode::empty())),
            Fchdir(fd) => self.enter(fs::openat(self.fd(*fd)?, ".", place(), Mode::empty())),
            List(fd) => {
                let directory = fs::openat(self.fd(*fd)?, ".", OFlags::DIRECTORY, Mode::empty())?;
                let mut space = [std::mem::MaybeUninit::uninit(); 4096];
                let mut listing = fs::RawDir::new(directory, &mut space);
                let mut names = Vec::new();
                while let Some(entry) = listing.next() {
                    names.push(entry?.file_name().to_bytes().to_vec());
                }
                names.sort();
                Ok(Answer::Names(names))
            }
            Dup2(..) | Dup3(..) | Fcntl(..) | Getcwd => panic!("not asked of the kernel: {operation:?}"),
        }
    }
}

/// What only the model knows: this process's own descriptors and current directory, and the offsets of directories.
fn is_asked(operation: &Operation, files: &Files) -> bool {
    use Operation::*;
    match operation {
        Dup2(..) | Dup3(..) | Getcwd => false,
        Fcntl(_, command, _) => matches!(*command, F_GETFL | F_SETFL),
        // Answered by the C library's substitute.
        Chmod { flags, .. } => *flags != AT_SYMLINK_NOFOLLOW,
        // The listing is asked for through another descriptor.
        List(fd) => files.object(*fd).is_ok(),
        Seek(fd, ..) => !matches!(files.object(*fd), Ok(Object::Directory(_))),
        _ => true,
    }
}

/// Some file systems count no subdirectories.
fn comparable(end: Result<Answer, Errno>) -> Result<Answer, Errno> {
    end.map(|answer| match answer {
        Answer::Stat(mode, links, size) if mode & 0o170_000 == S_IFDIR => {
            Answer::Stat(mode & !0o7777, links.min(1), size)
        }
        other => other,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn random_operations_end_as_in_the_running_kernel(operations in operations(CHOICE, 80)) {
        let mut files = Files::new(Quota::default(), DEFAULT_OPEN_FILES);
        for directory in DIRECTORIES {
            files.insert_directory(format!("/w/{directory}").as_bytes(), 0o700).unwrap();
        }
        for (link, target) in LINKS {
            files.insert_symlink(format!("/w/{link}").as_bytes(), target.as_bytes()).unwrap();
        }
        files.chdir(b"/w").unwrap();
        let mut native = Native::new();
        for operation in operations.iter().filter(|operation| !matches!(operation, Operation::Getcwd)) {
            if is_asked(operation, &files) {
                let (end, expected) = (files.apply(operation), native.apply(operation));
                prop_assert_eq!(comparable(end), comparable(expected), "{:?}", operation);
            }
        }
    }
}
