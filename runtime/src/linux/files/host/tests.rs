//! What a guest sees of a directory of the host's, and that it sees nothing beside it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::io::Errno;

use super::HostDir;
use crate::linux::files::abi::*;
use crate::linux::files::resolve::Resolved;
use crate::linux::files::tests::bytes_of;
use crate::linux::files::walk::FinalLink;
use crate::linux::files::{Files, NewTime, Quota, Sink, Time};

/// A directory `top` with a canary beside it, and files over it at `/data`.
struct Scene {
    directory: tempfile::TempDir,
    host: HostDir,
    files: Files,
}

fn scene(writable: bool) -> Scene {
    let directory = tempfile::tempdir().unwrap();
    let top = directory.path().join("top");
    fs::create_dir_all(top.join("a/b")).unwrap();
    fs::write(top.join("hello"), "hello").unwrap();
    fs::write(top.join("a/b/deep"), "deep").unwrap();
    fs::create_dir(directory.path().join("canary")).unwrap();
    fs::write(directory.path().join("canary/secret"), "secret").unwrap();
    let host = if writable { HostDir::read_write(&top) } else { HostDir::read_only(&top) }.unwrap();
    let mut files = Files::new(Quota::default(), 64);
    files.insert_mount(b"/data", &host).unwrap();
    Scene { directory, host, files }
}

impl Scene {
    fn top(&self) -> std::path::PathBuf {
        self.directory.path().join("top")
    }

    fn open(&mut self, path: &str, flags: u32) -> Result<i32, Errno> {
        self.files.open(AT_FDCWD, path.as_bytes(), flags, 0o666)
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, Errno> {
        let file = self.open(path, 0)?;
        let bytes = bytes_of(self.files.read(file, 1 << 20)?);
        self.files.close(file)?;
        Ok(bytes)
    }

    fn write(&mut self, file: i32, bytes: &[u8]) -> Result<usize, Errno> {
        match self.files.write(file)? {
            Sink::File(mut sink) => sink.write(bytes),
            other => panic!("{other:?}"),
        }
    }

    fn names(&mut self, path: &str) -> Vec<String> {
        let directory = self.open(path, O_DIRECTORY).unwrap();
        let mut names = Vec::new();
        loop {
            let listed: Vec<_> =
                self.files.list(directory).unwrap().map(|entry| (entry.next, entry.name.to_vec())).collect();
            let Some((next, _)) = listed.last() else { break };
            let next = *next;
            names.extend(listed.into_iter().map(|(_, name)| String::from_utf8(name).unwrap()));
            self.files.listed(directory, next).unwrap();
        }
        self.files.close(directory).unwrap();
        names.sort();
        names
    }
}

fn untouched(canary: &Path) {
    assert_eq!(fs::read_dir(canary).unwrap().count(), 1);
    assert_eq!(fs::read(canary.join("secret")).unwrap(), b"secret");
}

#[test]
fn what_is_there_is_read_listed_and_told_of() {
    let mut scene = scene(false);
    assert_eq!(scene.read("/data/hello").unwrap(), b"hello");
    assert_eq!(scene.read("/data/./a//b/../b/deep").unwrap(), b"deep");
    assert_eq!(scene.names("/data"), [".", "..", "a", "hello"]);
    assert!(scene.names("/").contains(&"data".to_owned()));
    let stat = scene.files.stat_at(AT_FDCWD, b"/data/hello", 0).unwrap();
    let real = fs::metadata(scene.top().join("hello")).unwrap();
    assert_eq!((stat.size, stat.ino, stat.nlink), (5, real.ino(), 1));
    assert_eq!((stat.uid, stat.gid), (1000, 1000), "this process's own are the program's own");
    assert_eq!(scene.read("/data/absent"), Err(Errno::NOENT));
    assert_eq!(scene.read("/data/hello/x"), Err(Errno::NOTDIR));
    assert_eq!(scene.read("/data/absent/x"), Err(Errno::NOENT));
    assert_eq!(scene.read("/data/a"), Err(Errno::ISDIR));
    scene.files.access_at(AT_FDCWD, b"/data/hello", R_OK, 0).unwrap();
}

#[test]
fn nothing_is_changed_where_it_may_only_be_read() {
    let mut scene = scene(false);
    for flags in [O_WRONLY, O_RDWR, O_TRUNC, O_CREAT | O_WRONLY] {
        assert_eq!(scene.open("/data/hello", flags), Err(Errno::ROFS), "{flags:o}");
    }
    assert_eq!(scene.open("/data/new", O_CREAT), Err(Errno::ROFS));
    let files = &mut scene.files;
    assert_eq!(files.mkdir_at(AT_FDCWD, b"/data/new", 0o777), Err(Errno::ROFS));
    assert_eq!(files.unlink_at(AT_FDCWD, b"/data/hello", 0), Err(Errno::ROFS));
    assert_eq!(files.access_at(AT_FDCWD, b"/data/hello", W_OK, 0), Err(Errno::ROFS));
    assert_eq!(fs::read(scene.top().join("hello")).unwrap(), b"hello");
}

#[test]
fn what_is_written_is_in_the_hosts_files() {
    let mut scene = scene(true);
    let file = scene.open("/data/new", O_CREAT | O_EXCL | O_RDWR).unwrap();
    assert_eq!(scene.write(file, b"one two").unwrap(), 7);
    assert_eq!(scene.files.lseek(file, 4, SEEK_SET).unwrap(), 4);
    assert_eq!(scene.write(file, b"2").unwrap(), 1);
    scene.files.ftruncate(file, 5).unwrap();
    scene.files.sync(file, true).unwrap();
    assert_eq!(fs::read(scene.top().join("new")).unwrap(), b"one 2");
    assert_eq!(scene.open("/data/new", O_CREAT | O_EXCL), Err(Errno::EXIST));
    let end = scene.open("/data/new", O_WRONLY | O_APPEND).unwrap();
    scene.write(end, b"!").unwrap();
    scene.write(end, b"?").unwrap();
    assert_eq!(scene.files.lseek(end, 0, SEEK_CUR).unwrap(), 7);
    assert_eq!(scene.read("/data/new").unwrap(), b"one 2!?");
    scene.files.mkdir_at(AT_FDCWD, b"/data/dir", 0o7777).unwrap();
    assert_eq!(fs::metadata(scene.top().join("dir")).unwrap().permissions().mode() & 0o6000, 0, "no set-user-ID bits");
    assert_eq!(scene.files.unlink_at(AT_FDCWD, b"/data/dir", 0), Err(Errno::ISDIR));
    scene.files.unlink_at(AT_FDCWD, b"/data/dir", AT_REMOVEDIR).unwrap();
    scene.files.unlink_at(AT_FDCWD, b"/data/new", 0).unwrap();
    assert!(!scene.top().join("new").exists() && !scene.top().join("dir").exists());
    assert_eq!(scene.files.unlink_at(AT_FDCWD, b"/data", AT_REMOVEDIR), Err(Errno::BUSY));
    untouched(&scene.directory.path().join("canary"));
}

#[test]
fn names_are_made_moved_and_given_to_others_as_the_host_does() {
    let mut scene = scene(true);
    let top = scene.top();
    let files = &mut scene.files;
    files.rename_at((AT_FDCWD, b"/data/hello"), (AT_FDCWD, b"/data/a/moved"), 0).unwrap();
    assert_eq!(fs::read(top.join("a/moved")).unwrap(), b"hello");
    files.link_at((AT_FDCWD, b"/data/a/moved"), (AT_FDCWD, b"/data/link"), 0).unwrap();
    files.symlink_at(b"a/moved", AT_FDCWD, b"/data/symlink").unwrap();
    assert_eq!(files.stat_at(AT_FDCWD, b"/data/symlink", 0).unwrap().nlink, 2);
    assert_eq!(fs::read_link(top.join("symlink")).unwrap(), Path::new("a/moved"));
    files.rename_at((AT_FDCWD, b"/data/link"), (AT_FDCWD, b"/data/a"), RENAME_EXCHANGE).unwrap();
    assert!(top.join("link/b/deep").exists() && top.join("a").is_file());
    let into_itself = files.rename_at((AT_FDCWD, b"/data/link"), (AT_FDCWD, b"/data/link/b/x"), 0);
    assert_eq!(into_itself, Err(Errno::INVAL));
    let taken = files.rename_at((AT_FDCWD, b"/data/a"), (AT_FDCWD, b"/data/symlink"), RENAME_NOREPLACE);
    assert_eq!(taken, Err(Errno::EXIST));
    // What the tree has and what the host has are two file systems.
    files.insert(b"/tmp/own", b"own".to_vec(), 0o644).unwrap();
    for (from, to) in [(&b"/tmp/own"[..], &b"/data/own"[..]), (b"/data/a", b"/tmp/a")] {
        assert_eq!(files.rename_at((AT_FDCWD, from), (AT_FDCWD, to), 0), Err(Errno::XDEV));
        assert_eq!(files.link_at((AT_FDCWD, from), (AT_FDCWD, to), 0), Err(Errno::XDEV));
    }
    for (from, to) in [(&b"/data"[..], &b"/other"[..]), (b"/tmp", b"/data"), (b"/data/a", b"/data/.")] {
        assert_eq!(files.rename_at((AT_FDCWD, from), (AT_FDCWD, to), 0), Err(Errno::BUSY));
    }
}

#[test]
fn permissions_and_times_are_the_hosts_but_for_rights_that_are_lent() {
    let mut scene = scene(true);
    let top = scene.top();
    let files = &mut scene.files;
    files.chmod_at(AT_FDCWD, b"/data/hello", 0o7754, 0).unwrap();
    assert_eq!(fs::metadata(top.join("hello")).unwrap().permissions().mode() & 0o7777, 0o754);
    let time = |secs| NewTime::At(Time { secs, nsecs: 7 });
    files.set_times_at(AT_FDCWD, b"/data/hello", [NewTime::Omit, time(1234)], 0).unwrap();
    let stat = files.stat_at(AT_FDCWD, b"/data/hello", 0).unwrap();
    assert_eq!(stat.modified, Time { secs: 1234, nsecs: 7 });
    assert_ne!(stat.accessed.secs, 1234);
    // Of a symlink itself, and not of what it leads to.
    symlink("../canary/secret", top.join("out")).unwrap();
    files.set_times_at(AT_FDCWD, b"/data/out", [time(1), time(1)], AT_SYMLINK_NOFOLLOW).unwrap();
    assert_eq!(files.set_times_at(AT_FDCWD, b"/data/out", [time(1), time(1)], 0), Err(Errno::NOENT));
    assert_ne!(fs::metadata(scene.directory.path().join("canary/secret")).unwrap().mtime(), 1);
    files.chown_at(AT_FDCWD, b"/data/hello", [1000, u32::MAX], 0).unwrap();
    assert_eq!(files.chown_at(AT_FDCWD, b"/data/hello", [0, 0], 0), Err(Errno::PERM));
    files.truncate(b"/data/hello", 2).unwrap();
    let file = files.open(AT_FDCWD, b"/data/hello", O_RDWR, 0).unwrap();
    files.fallocate(file, 0, 0, 100).unwrap();
    assert_eq!(fs::read(top.join("hello")).unwrap().len(), 100);
}

#[test]
fn a_file_that_is_replaced_gives_its_bytes_and_its_name_back() {
    let mut scene = scene(true);
    scene.host = scene.host.max_growth(100).max_names(2);
    let files = &mut scene.files;
    for _ in 0..10 {
        let file = files.open(AT_FDCWD, b"/data/new", O_CREAT | O_EXCL | O_RDWR, 0o644).unwrap();
        files.ftruncate(file, 90).unwrap();
        files.close(file).unwrap();
        files.rename_at((AT_FDCWD, b"/data/new"), (AT_FDCWD, b"/data/hello"), 0).unwrap();
        files.truncate(b"/data/hello", 5).unwrap();
    }
}

#[test]
fn no_path_leads_out() {
    let mut scene = scene(true);
    let canary = scene.directory.path().join("canary");
    symlink(&canary, scene.top().join("absolute")).unwrap();
    symlink("../canary", scene.top().join("relative")).unwrap();
    symlink("/proc/self/root", scene.top().join("magic")).unwrap();
    symlink("a/b/../../../../canary/secret", scene.top().join("winding")).unwrap();
    for path in [
        "/data/../canary/secret",
        "/data/a/../../canary/secret",
        "/data/absolute/secret",
        "/data/relative/secret",
        "/data/winding",
        "/data/magic/etc/passwd",
        "/data/a/b/../../../canary/secret",
    ] {
        assert_eq!(scene.read(path), Err(Errno::NOENT), "{path}");
        assert_eq!(scene.open(path, O_CREAT | O_WRONLY).map(|_| ()).unwrap_err(), Errno::NOENT, "{path}");
    }
    // Above its top is the guest's own root, and what symlinks say is looked for there.
    scene.files.insert(b"/canary/secret", b"the guest's own".to_vec(), 0o644).unwrap();
    for path in ["/data/../canary/secret", "/data/relative/secret", "/data/winding"] {
        assert_eq!(scene.read(path).unwrap(), b"the guest's own", "{path}");
    }
    scene.files.chdir(b"/data/a/b").unwrap();
    assert_eq!(scene.read("../../../canary/secret").unwrap(), b"the guest's own");
    assert_eq!(scene.read("../../hello").unwrap(), b"hello");
    untouched(&canary);
}

#[test]
fn symlinks_are_followed_as_linux_follows_them() {
    let mut scene = scene(false);
    symlink("hello", scene.top().join("link")).unwrap();
    symlink("a/b", scene.top().join("dir")).unwrap();
    symlink("loop", scene.top().join("loop")).unwrap();
    symlink("nowhere", scene.top().join("dangling")).unwrap();
    symlink("/data/hello", scene.top().join("round")).unwrap();
    assert_eq!(scene.read("/data/link").unwrap(), b"hello");
    assert_eq!(scene.read("/data/dir/deep").unwrap(), b"deep");
    assert_eq!(scene.read("/data/dir/../../link").unwrap(), b"hello");
    assert_eq!(scene.read("/data/round").unwrap(), b"hello");
    assert_eq!(scene.read("/data/loop"), Err(Errno::LOOP));
    assert_eq!(scene.read("/data/dangling"), Err(Errno::NOENT));
    assert_eq!(scene.open("/data/link", O_NOFOLLOW), Err(Errno::LOOP));
    assert_eq!(scene.open("/data/link/", 0), Err(Errno::NOTDIR));
    assert_eq!(*scene.files.readlink_at(AT_FDCWD, b"/data/link").unwrap(), *b"hello");
    assert_eq!(scene.files.readlink_at(AT_FDCWD, b"/data/hello"), Err(Errno::INVAL));
    let link = scene.files.stat_at(AT_FDCWD, b"/data/link", AT_SYMLINK_NOFOLLOW).unwrap();
    assert_eq!((link.mode & 0o170_000, link.size), (S_IFLNK, 5));
    // Forty links at most, however they are spread.
    for link in 0..50 {
        symlink(format!("l{}", link + 1), scene.top().join(format!("l{link}"))).unwrap();
    }
    fs::write(scene.top().join("l50"), "end").unwrap();
    assert_eq!(scene.read("/data/l10").unwrap(), b"end");
    assert_eq!(scene.read("/data/l9"), Err(Errno::LOOP));
}

#[test]
fn the_current_directory_is_known_whatever_is_renamed() {
    let mut scene = scene(true);
    scene.files.chdir(b"/data/a/b").unwrap();
    assert_eq!(scene.files.getcwd().unwrap(), b"/data/a/b");
    fs::rename(scene.top().join("a"), scene.top().join("c")).unwrap();
    assert_eq!(scene.files.getcwd().unwrap(), b"/data/c/b");
    assert_eq!(scene.read("../b/deep").unwrap(), b"deep");
    // Somebody moves it out of the directory: what is beneath it stays, but there is no way up.
    fs::rename(scene.top().join("c/b"), scene.directory.path().join("moved")).unwrap();
    assert_eq!(scene.files.getcwd(), Err(Errno::NOENT));
    assert_eq!(scene.read("../canary/secret"), Err(Errno::NOENT));
    assert_eq!(scene.read("deep").unwrap(), b"deep");
    scene.files.chdir(b"/data").unwrap();
    assert_eq!(scene.files.getcwd().unwrap(), b"/data");
    scene.files.chdir(b"..").unwrap();
    assert_eq!(scene.files.getcwd().unwrap(), b"/");
}

#[test]
fn a_file_that_is_removed_or_replaced_stays_open() {
    let mut scene = scene(true);
    let file = scene.open("/data/hello", O_RDWR).unwrap();
    let mut twin = scene.files.clone();
    scene.files.unlink_at(AT_FDCWD, b"/data/hello", 0).unwrap();
    fs::write(scene.top().join("hello"), "other").unwrap();
    assert_eq!(bytes_of(scene.files.read(file, 9).unwrap()), b"hello");
    scene.files.close(file).unwrap();
    assert_eq!(bytes_of(twin.read(file, 9).unwrap()), b"hello", "a snapshot has it open itself");
    assert_eq!(twin.advance(file, 2), Ok(()));
    assert_eq!(bytes_of(twin.read(file, 9).unwrap()), b"llo");
}

#[test]
fn what_is_neither_a_file_nor_a_directory_is_seen_but_not_opened() {
    let mut scene = scene(true);
    let socket = std::os::unix::net::UnixListener::bind(scene.top().join("socket")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, scene.top().join("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    for name in ["/data/socket", "/data/fifo"] {
        assert_eq!(scene.open(name, 0), Err(Errno::NXIO), "{name}");
        assert_eq!(scene.open(name, O_WRONLY | O_NONBLOCK), Err(Errno::NXIO), "{name}");
        scene.files.stat_at(AT_FDCWD, name.as_bytes(), 0).unwrap();
    }
    drop(socket);
}

#[test]
fn growth_and_names_are_bounded_for_everybody_together() {
    let mut scene = scene(true);
    scene.host = scene.host.max_growth(10).max_names(2);
    let mut other = scene.files.clone();
    let file = scene.open("/data/hello", O_RDWR).unwrap();
    assert_eq!(scene.write(file, b"HELLO").unwrap(), 5, "over what is there");
    assert_eq!(scene.write(file, b"0123456789ab").unwrap(), 10);
    assert_eq!(scene.write(file, b"x"), Err(Errno::NOSPC));
    assert_eq!(scene.files.ftruncate(file, 16), Err(Errno::NOSPC));
    assert_eq!(scene.files.ftruncate(file, i64::MAX), Err(Errno::NOSPC));
    other.mkdir_at(AT_FDCWD, b"/data/one", 0o777).unwrap();
    let two = scene.open("/data/two", O_CREAT | O_RDWR).unwrap();
    assert_eq!(other.mkdir_at(AT_FDCWD, b"/data/three", 0o777), Err(Errno::NOSPC));
    other.unlink_at(AT_FDCWD, b"/data/one", AT_REMOVEDIR).unwrap();
    other.mkdir_at(AT_FDCWD, b"/data/three", 0o777).unwrap();
    // What is cut off can be written again; what is removed, when nobody has it open any more.
    scene.files.ftruncate(file, 5).unwrap();
    assert_eq!(scene.write(two, b"0123456789ab").unwrap(), 10);
    scene.files.unlink_at(AT_FDCWD, b"/data/two", 0).unwrap();
    assert_eq!(scene.files.lseek(file, 0, SEEK_END).unwrap(), 5);
    assert_eq!(scene.write(file, b"x"), Err(Errno::NOSPC));
    scene.files.close(two).unwrap();
    assert_eq!(scene.write(file, b"x").unwrap(), 1);
    // A hole costs what it makes the file longer by.
    assert_eq!(scene.files.lseek(file, 1 << 40, SEEK_SET).unwrap(), 1 << 40);
    assert_eq!(scene.write(file, b"x"), Err(Errno::NOSPC));
}

#[test]
fn a_file_that_this_process_may_not_make_is_an_error_and_no_signal() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    // More than any other test of this process writes.
    const LARGEST: u64 = 1 << 40;
    let before = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(LARGEST), ..before }).unwrap();
    let mut scene = scene(true);
    scene.host = scene.host.max_growth(u64::MAX);
    let file = scene.open("/data/hello", O_RDWR).unwrap();
    let beyond = i64::try_from(LARGEST).unwrap();
    assert_eq!(scene.files.lseek(file, beyond, SEEK_SET).unwrap(), beyond);
    assert_eq!(scene.write(file, b"x"), Err(Errno::FBIG));
    assert_eq!(scene.files.ftruncate(file, beyond + 1), Err(Errno::FBIG));
    assert_eq!(scene.files.fallocate(file, 0, beyond, 1), Err(Errno::FBIG));
    scene.files.ftruncate(file, 1 << 20).unwrap();
    setrlimit(Resource::Fsize, before).unwrap();
}

#[test]
fn a_mount_covers_an_empty_directory_and_nothing_else() {
    let Scene { host, mut files, directory: _directory } = scene(false);
    files.insert_mount(b"/tmp", &host).unwrap();
    assert!(files.open(AT_FDCWD, b"/tmp/hello", 0, 0).is_ok());
    for path in [&b"/dev"[..], b"/dev/null", b"/data", b"/data/a"] {
        assert!(files.insert_mount(path, &host).is_err(), "{}", String::from_utf8_lossy(path));
    }
    assert!(files.insert(b"/data/x", Vec::new(), 0o644).is_err(), "the embedder's files are not put into it");
    assert_eq!(files.stat_at(AT_FDCWD, b"/", 0).unwrap().nlink, 5);
    files.assert_account();
}

#[test]
fn long_and_winding_paths_end() {
    let mut scene = scene(false);
    let deep: String = (0..600).map(|_| "d/").collect();
    fs::create_dir_all(scene.top().join(&deep)).unwrap();
    let inside = format!("/data/{deep}");
    scene.files.chdir(inside.as_bytes()).unwrap();
    assert_eq!(scene.files.getcwd().unwrap().len(), inside.len() - 1);
    let up: String = (0..600).map(|_| "../").collect();
    // Six hundred times up from six hundred deep is more looking up than any path may cause; less is not.
    assert!(matches!(scene.read(&format!("{up}hello")), Err(Errno::LOOP) | Ok(_)));
    let up: String = (0..50).map(|_| "../").collect();
    assert_eq!(scene.open(&up, O_DIRECTORY).map(|_| ()), Ok(()));
    let dots: String = (0..1300).map(|_| "a/../").collect::<String>();
    let dots = format!("/data/{}hello", dots.get(..4000).unwrap());
    assert_eq!(scene.read(&dots).unwrap(), b"hello");
    assert_eq!(scene.read(&"x".repeat(256)), Err(Errno::NAMETOOLONG));
    assert_eq!(scene.read(&format!("/data/{}", "x".repeat(256))), Err(Errno::NAMETOOLONG));
    assert_eq!(scene.read(&format!("/data/{}", "x/".repeat(3000))), Err(Errno::NAMETOOLONG));
}

#[test]
fn what_is_removed_counts_once_even_if_a_directory_is_there_twice() {
    let mut scene = scene(true);
    scene.host = scene.host.max_growth(100);
    let again = HostDir::read_write(scene.top()).unwrap().max_growth(100);
    scene.files.insert_mount(b"/again", &again).unwrap();
    for _ in 0..3 {
        let file = scene.open("/data/new", O_CREAT | O_EXCL | O_RDWR).unwrap();
        scene.files.ftruncate(file, 100).unwrap();
        let other = scene.open("/again/new", O_RDWR).unwrap();
        scene.files.close(file).unwrap();
        scene.files.unlink_at(AT_FDCWD, b"/data/new", 0).unwrap();
        scene.files.close(other).unwrap();
    }
    let file = scene.open("/again/more", O_CREAT | O_RDWR).unwrap();
    scene.files.ftruncate(file, 100).unwrap();
    assert_eq!(scene.files.ftruncate(file, 101), Err(Errno::NOSPC));
}

#[test]
fn what_is_removed_counts_as_what_it_is_then_and_not_as_what_a_path_led_to_before() {
    let mut scene = scene(true);
    scene.host = scene.host.max_growth(100);
    let file = scene.open("/data/new", O_CREAT | O_RDWR).unwrap();
    scene.files.ftruncate(file, 100).unwrap();
    scene.files.close(file).unwrap();
    let Ok(Resolved::Host(place)) = scene.files.resolve(AT_FDCWD, b"/data/new", FinalLink::Name, false) else {
        panic!("no place of the host's");
    };
    let Ok(Resolved::Host(from)) = scene.files.resolve(AT_FDCWD, b"/data/hello", FinalLink::Name, false) else {
        panic!("no place of the host's");
    };
    // Another program is quicker, and puts something small in its place.
    for _ in 0..2 {
        scene.files.clone().unlink_at(AT_FDCWD, b"/data/new", 0).unwrap();
        let small = scene.open("/data/new", O_CREAT | O_RDWR).unwrap();
        scene.files.close(small).unwrap();
    }
    place.unlink(false).unwrap();
    let small = scene.open("/data/new", O_CREAT | O_RDWR).unwrap();
    scene.files.close(small).unwrap();
    from.rename(&place, rustix::fs::RenameFlags::empty()).unwrap();
    let file = scene.open("/data/more", O_CREAT | O_RDWR).unwrap();
    scene.files.ftruncate(file, 100).unwrap();
    assert_eq!(scene.files.ftruncate(file, 101), Err(Errno::NOSPC));
}

#[test]
fn a_directory_that_became_a_symlink_is_not_entered_and_nothing_is_asked_of_where_it_leads() {
    let scene = scene(true);
    let Ok(Resolved::Host(place)) = scene.files.resolve(AT_FDCWD, b"/data/a", FinalLink::Follow, false) else {
        panic!("no place of the host's");
    };
    fs::rename(scene.top().join("a"), scene.top().join("b")).unwrap();
    let mut answers = Vec::new();
    for target in ["../canary", "../absent", "../canary/secret"] {
        symlink(target, scene.top().join("a")).unwrap();
        answers.push(place.enter().map(|_| ()).unwrap_err());
        fs::remove_file(scene.top().join("a")).unwrap();
    }
    assert_eq!(answers, [answers[0]; 3]);
}

#[test]
fn what_nobody_may_read_can_be_given_its_permissions_back() {
    let mut scene = scene(true);
    for path in [&b"/data/hello"[..], b"/data/a"] {
        scene.files.chmod_at(AT_FDCWD, path, 0, 0).unwrap();
        scene.files.chmod_at(AT_FDCWD, path, 0o700, 0).unwrap();
    }
    assert_eq!(scene.read("/data/hello").unwrap(), b"hello");
    assert_eq!(scene.read("/data/a/b/deep").unwrap(), b"deep");
}

#[test]
fn a_place_and_no_access_is_no_open_file_here_either() {
    let mut scene = scene(true);
    let place = scene.open("/data/hello", O_PATH).unwrap();
    assert_eq!(scene.files.lseek(place, 0, SEEK_CUR), Err(Errno::BADF));
    assert_eq!(scene.files.ftruncate(place, 0), Err(Errno::BADF));
    assert_eq!(scene.files.fcntl(place, F_SETFL, 0), Err(Errno::BADF));
    assert_eq!(scene.files.read(place, 1).map(|_| ()), Err(Errno::BADF));
}
