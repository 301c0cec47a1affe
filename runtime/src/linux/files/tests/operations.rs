//! Random operations, and how [`Files`] ends them: the same for both oracles, the model and the running kernel.

use proptest::prelude::*;

use super::*;

/// One call of a guest's.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Open { at: i32, path: Vec<u8>, flags: u32, mode: u32 },
    Close(i32),
    Dup(i32),
    Dup2(i32, i32),
    Dup3(i32, i32, u32),
    Fcntl(i32, u32, u64),
    Read(i32, usize),
    ReadAt(i32, i64, usize),
    Write(i32, Vec<u8>),
    WriteAt(i32, i64, Vec<u8>),
    Seek(i32, i64, u32),
    Truncate(i32, i64),
    Stat(i32),
    StatAt { at: i32, path: Vec<u8>, flags: u32 },
    Access { at: i32, path: Vec<u8>, mode: u32 },
    Readlink { at: i32, path: Vec<u8> },
    Mkdir { at: i32, path: Vec<u8>, mode: u32 },
    Unlink { at: i32, path: Vec<u8>, flags: u32 },
    Rename { from: (i32, Vec<u8>), to: (i32, Vec<u8>), flags: u32 },
    Link { from: (i32, Vec<u8>), to: (i32, Vec<u8>), flags: u32 },
    Symlink { target: Vec<u8>, at: i32, path: Vec<u8> },
    Chmod { at: i32, path: Vec<u8>, mode: u32, flags: u32 },
    TruncatePath(Vec<u8>, i64),
    Allocate(i32, u32, i64, i64),
    Chdir(Vec<u8>),
    Fchdir(i32),
    Getcwd,
    List(i32),
}

/// What a call that succeeds answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Number(i64),
    Bytes(Vec<u8>),
    /// Mode, links and, where it means something, size.
    Stat(u32, u64, Option<i64>),
    /// Sorted.
    Names(Vec<Vec<u8>>),
}

/// What calls can be made on.
pub(super) trait World {
    fn apply(&mut self, operation: &Operation) -> Result<Answer, Errno>;
}

/// What [`operations`] draws from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) paths: fn() -> BoxedStrategy<Vec<u8>>,
    pub(super) flags: &'static [u32],
    pub(super) modes: &'static [u32],
    pub(super) offsets: &'static [i64],
    pub(super) whences: u32,
    /// Whether symlinks are made.
    pub(super) symlinks: bool,
}

/// Descriptors that may be open, and some that never are.
pub(super) fn descriptor() -> impl Strategy<Value = i32> {
    prop_oneof![12 => 3..7, 2 => 0..9, 1 => prop::sample::select(vec![-1, 99, i32::MIN, i32::MAX])]
}

fn start() -> impl Strategy<Value = i32> {
    prop_oneof![4 => Just(AT_FDCWD), 1 => descriptor()]
}

/// What every sequence begins with, so that there is something to succeed on.
fn setup() -> Vec<Operation> {
    use Operation::*;
    let (at, mode) = (AT_FDCWD, 0o700);
    let mkdir = |path: &[u8]| Mkdir { at, path: path.to_vec(), mode };
    let open = |path: &[u8], flags| Open { at, path: path.to_vec(), flags, mode };
    vec![
        mkdir(b"a"),
        mkdir(b"a/b"),
        mkdir(b"c"),
        open(b"f", O_CREAT | O_RDWR),
        open(b"a", O_DIRECTORY),
        open(b"a/f", O_CREAT | O_RDWR | O_APPEND),
    ]
}

/// Sequences of up to `longest` operations.
pub(super) fn operations(choice: Choice, longest: usize) -> impl Strategy<Value = Vec<Operation>> {
    use Operation::*;
    let path = choice.paths;
    let fd = descriptor;
    let mode = move || prop::sample::select(choice.modes);
    let offset = move || prop::sample::select(choice.offsets);
    let bytes = || prop::collection::vec(any::<u8>(), 0..24);
    let one = prop_oneof![
        6 => (start(), path(), prop::sample::select(choice.flags), mode())
            .prop_map(|(at, path, flags, mode)| Open { at, path, flags, mode }),
        1 => fd().prop_map(Close),
        1 => fd().prop_map(Dup),
        1 => (fd(), fd()).prop_map(|(old, new)| Dup2(old, new)),
        1 => (fd(), fd(), prop::sample::select(vec![0, O_CLOEXEC, 1])).prop_map(|(old, new, flags)| Dup3(old, new, flags)),
        1 => (fd(), prop::sample::select(vec![0, 1, 2, 3, 4, 1030, 7777]), prop_oneof![0u64..10, Just(0o6000)])
            .prop_map(|(fd, command, argument)| Fcntl(fd, command, argument)),
        2 => (fd(), 0usize..30).prop_map(|(fd, limit)| Read(fd, limit)),
        1 => (fd(), offset(), 0usize..30).prop_map(|(fd, offset, limit)| ReadAt(fd, offset, limit)),
        4 => (fd(), bytes()).prop_map(|(fd, bytes)| Write(fd, bytes)),
        2 => (fd(), offset(), bytes()).prop_map(|(fd, offset, bytes)| WriteAt(fd, offset, bytes)),
        2 => (fd(), offset(), 0..choice.whences).prop_map(|(fd, offset, whence)| Seek(fd, offset, whence)),
        2 => (fd(), offset()).prop_map(|(fd, length)| Truncate(fd, length)),
        2 => fd().prop_map(Stat),
        3 => (start(), path(), prop::sample::select(vec![0, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, 0x1]))
            .prop_map(|(at, path, flags)| StatAt { at, path, flags }),
        1 => (start(), path(), 0u32..9).prop_map(|(at, path, mode)| Access { at, path, mode }),
        1 => (start(), path()).prop_map(|(at, path)| Readlink { at, path }),
        4 => (start(), path(), mode()).prop_map(|(at, path, mode)| Mkdir { at, path, mode }),
        3 => (start(), path(), prop::sample::select(vec![0, AT_REMOVEDIR, 1]))
            .prop_map(|(at, path, flags)| Unlink { at, path, flags }),
        4 => ((start(), path()), (start(), path()), prop::sample::select(vec![0, 0, 0, 1, 2, 2, 3, 4]))
            .prop_map(|(from, to, flags)| Rename { from, to, flags }),
        3 => ((start(), path()), (start(), path()), prop::sample::select(vec![0, 0, 0, AT_SYMLINK_FOLLOW, 0x1]))
            .prop_map(|(from, to, flags)| Link { from, to, flags }),
        2 => (prop::sample::select(vec!["f", "a", "../f", "b/", "nowhere", "loop", ""]), start(), path())
            .prop_map(move |(target, at, path)| match choice.symlinks {
                true => Symlink { target: target.into(), at, path },
                false => Getcwd,
            }),
        1 => (start(), path(), mode(), prop::sample::select(vec![0, 0, AT_SYMLINK_NOFOLLOW, 0x1]))
            .prop_map(|(at, path, mode, flags)| Chmod { at, path, mode, flags }),
        1 => (path(), offset()).prop_map(|(path, length)| TruncatePath(path, length)),
        1 => (fd(), prop::sample::select(vec![0, 0, 1, 1 << 30]), offset(), offset())
            .prop_map(|(fd, mode, offset, length)| Allocate(fd, mode, offset, length)),
        2 => path().prop_map(Chdir),
        1 => fd().prop_map(Fchdir),
        1 => Just(Getcwd),
        1 => fd().prop_map(List),
    ];
    prop::collection::vec(one, 0..longest).prop_map(|operations| [setup(), operations].concat())
}

impl World for Files {
    fn apply(&mut self, operation: &Operation) -> Result<Answer, Errno> {
        use Operation::*;
        let done = |()| Answer::Done;
        let number = |number: i32| Answer::Number(number.into());
        let count = |count: usize| Answer::Number(count.try_into().unwrap());
        let stat = |stat: super::Stat| {
            let sized = stat.mode & (S_IFREG | S_IFDIR) == S_IFREG;
            Answer::Stat(stat.mode, stat.nlink, sized.then_some(stat.size))
        };
        match operation {
            Open { at, path, flags, mode } => self.open(*at, path, *flags, *mode).map(number),
            Close(fd) => self.close(*fd).map(done),
            Dup(fd) => self.dup(*fd).map(number),
            Dup2(old, new) => self.dup2(*old, *new).map(number),
            Dup3(old, new, flags) => self.dup3(*old, *new, *flags).map(number),
            Fcntl(fd, command, argument) => self.fcntl(*fd, *command, *argument).map(number),
            Read(fd, limit) => self.read_some(*fd, *limit).map(Answer::Bytes),
            ReadAt(fd, offset, limit) => self.read_at(*fd, *offset, *limit).map(bytes_of).map(Answer::Bytes),
            Write(fd, bytes) => self.write_all(*fd, bytes).map(count),
            WriteAt(fd, offset, bytes) => self.write_all_at(*fd, *offset, bytes).map(count),
            Seek(fd, offset, whence) => self.lseek(*fd, *offset, *whence).map(Answer::Number),
            Truncate(fd, length) => self.ftruncate(*fd, *length).map(done),
            Stat(fd) => self.stat(*fd).map(stat),
            StatAt { at, path, flags } => self.stat_at(*at, path, *flags).map(stat),
            Access { at, path, mode } => self.access_at(*at, path, *mode, 0).map(done),
            Readlink { at, path } => self.readlink_at(*at, path).map(|target| Answer::Bytes(target.to_vec())),
            Mkdir { at, path, mode } => self.mkdir_at(*at, path, *mode).map(done),
            Unlink { at, path, flags } => self.unlink_at(*at, path, *flags).map(done),
            Rename { from, to, flags } => self.rename_at((from.0, &from.1), (to.0, &to.1), *flags).map(done),
            Link { from, to, flags } => self.link_at((from.0, &from.1), (to.0, &to.1), *flags).map(done),
            Symlink { target, at, path } => self.symlink_at(target, *at, path).map(done),
            Chmod { at, path, mode, flags } => self.chmod_at(*at, path, *mode, *flags).map(done),
            TruncatePath(path, length) => self.truncate(path, *length).map(done),
            Allocate(fd, mode, offset, length) => self.fallocate(*fd, *mode, *offset, *length).map(done),
            Chdir(path) => self.chdir(path).map(done),
            Fchdir(fd) => self.fchdir(*fd).map(done),
            Getcwd => self.getcwd().map(Answer::Bytes),
            List(fd) => {
                self.listed(*fd, 0)?;
                let mut names: Vec<_> = self.list(*fd)?.map(|entry| entry.name.to_vec()).collect();
                names.sort();
                Ok(Answer::Names(names))
            }
        }
    }
}
