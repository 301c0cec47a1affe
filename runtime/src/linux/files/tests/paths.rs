use super::*;

#[test]
fn mkdir_ends_as_in_linux() {
    let long = "x".repeat(256);
    for (path, end) in [
        ("new", Ok(())),
        ("new_slash/", Ok(())),
        ("f", Err(Errno::EXIST)),
        ("f/", Err(Errno::EXIST)),
        ("f/.", Err(Errno::NOTDIR)),
        ("f/x", Err(Errno::NOTDIR)),
        ("d", Err(Errno::EXIST)),
        ("d/..", Err(Errno::EXIST)),
        (".", Err(Errno::EXIST)),
        ("/", Err(Errno::EXIST)),
        ("gone", Err(Errno::EXIST)),
        ("gone/", Err(Errno::EXIST)),
        ("loop/", Err(Errno::EXIST)),
        ("nowhere/x", Err(Errno::NOENT)),
        ("", Err(Errno::NOENT)),
        (&long, Err(Errno::NAMETOOLONG)),
    ] {
        assert_eq!(files().mkdir_at(AT_FDCWD, path.as_bytes(), 0o755), end, "mkdir({path:?})");
    }
}

#[test]
fn removing_a_directory_ends_as_in_linux() {
    for (path, end) in [
        ("f", Errno::NOTDIR),
        ("f/", Errno::NOTDIR),
        ("d", Errno::NOTEMPTY),
        ("d/.", Errno::INVAL),
        ("d/..", Errno::NOTEMPTY),
        (".", Errno::INVAL),
        ("/", Errno::BUSY),
        ("ld", Errno::NOTDIR),
        ("ld/", Errno::NOTDIR),
        ("gone/", Errno::NOTDIR),
        ("loop/", Errno::NOTDIR),
        ("nowhere/", Errno::NOENT),
        ("f/x", Errno::NOTDIR),
        ("", Errno::NOENT),
    ] {
        assert_eq!(files().unlink_at(AT_FDCWD, path.as_bytes(), AT_REMOVEDIR), Err(end), "rmdir({path:?})");
    }
}

#[test]
fn unlinking_ends_as_in_linux() {
    for (path, end) in [
        ("f", Ok(())),
        ("f/", Err(Errno::NOTDIR)),
        ("d", Err(Errno::ISDIR)),
        ("d/", Err(Errno::ISDIR)),
        ("d/.", Err(Errno::ISDIR)),
        ("..", Err(Errno::ISDIR)),
        ("/", Err(Errno::ISDIR)),
        ("ld", Ok(())),
        ("ld/", Err(Errno::NOTDIR)),
        ("gone/", Err(Errno::NOTDIR)),
        ("nowhere/", Err(Errno::NOENT)),
        ("/dev/null", Ok(())),
        ("", Err(Errno::NOENT)),
    ] {
        assert_eq!(files().unlink_at(AT_FDCWD, path.as_bytes(), 0), end, "unlink({path:?})");
    }
    assert_eq!(files().unlink_at(99, b"", 1), Err(Errno::INVAL));
}

#[test]
fn an_unlinked_file_lives_until_its_last_descriptor_closes() {
    let mut files = files();
    let f = files.open_here("f", O_RDWR).unwrap();
    let copy = files.dup(f).unwrap();
    files.unlink_at(AT_FDCWD, b"f", 0).unwrap();
    assert_eq!(files.open_here("f", 0), Err(Errno::NOENT));
    assert_eq!(files.stat(f).unwrap().nlink, 0);
    files.close(f).unwrap();
    assert_eq!(files.write_all_at(copy, 5, b"!"), Ok(1));
    assert_eq!(files.read_some(copy, 9), Ok(b"hello!".to_vec()));
    files.assert_account();
    assert_eq!(files.dup2(0, copy), Ok(copy));
    files.assert_account();
}

#[test]
fn a_removed_directory_has_no_names_and_takes_none_but_knows_its_parent() {
    let mut files = files();
    files.mkdir_at(AT_FDCWD, b"e", 0o755).unwrap();
    let e = files.open_here("e", 0).unwrap();
    files.unlink_at(AT_FDCWD, b"e", AT_REMOVEDIR).unwrap();
    assert_eq!(files.stat(e).unwrap().nlink, 0);
    assert_eq!(files.open(e, b"x", O_CREAT | O_RDWR, 0), Err(Errno::NOENT));
    assert_eq!(files.mkdir_at(e, b"x", 0), Err(Errno::NOENT));
    assert_eq!(files.stat_at(e, &[b'x'; 256], 0), Err(Errno::NOENT));
    assert_eq!(files.mkdir_at(e, b"..", 0), Err(Errno::EXIST));
    assert_eq!(files.list(e).map(|_| ()), Err(Errno::NOENT));
    assert_eq!(files.stat_at(e, b"..", 0), files.stat_at(AT_FDCWD, b"/tmp", 0));
    let Ok(Object::Directory(inode)) = files.object(e) else { panic!("no directory") };
    let made = files.tree_mut().create(inode, b"x", inode::Node::directory(inode), 0o755);
    assert_eq!(made, Err(Errno::NOENT));
    files.fchdir(e).unwrap();
    files.close(e).unwrap();
    assert_eq!(files.getcwd(), Err(Errno::NOENT));
    files.assert_account();
    files.chdir(b"..").unwrap();
    assert_eq!(files.getcwd(), Ok(b"/tmp".to_vec()));
    files.assert_account();
}

#[test]
fn removed_directories_keep_the_way_up_and_go_together() {
    let mut files = files();
    let empty = files.tree.left();
    files.mkdir_at(AT_FDCWD, b"1", 0o755).unwrap();
    files.mkdir_at(AT_FDCWD, b"1/2", 0o755).unwrap();
    files.mkdir_at(AT_FDCWD, b"1/2/3", 0o755).unwrap();
    files.chdir(b"1/2/3").unwrap();
    for path in [&b"../3"[..], b"../../2", b"/tmp/1"] {
        files.unlink_at(AT_FDCWD, path, AT_REMOVEDIR).unwrap();
        files.assert_account();
    }
    assert_eq!(files.stat_at(AT_FDCWD, b"../../..", 0), files.stat_at(AT_FDCWD, b"/tmp", 0));
    files.chdir(b"../..").unwrap();
    files.assert_account();
    files.chdir(b"/").unwrap();
    files.assert_account();
    assert_eq!(files.tree.left(), empty);
}

#[test]
fn a_directory_that_may_not_be_searched_hides_what_is_in_it() {
    let mut files = files();
    files.insert_directory(b"/tmp/p", 0o600).unwrap();
    files.insert(b"/tmp/p/f", Vec::new(), 0o644).unwrap();
    for path in [&b"p/f"[..], b"p/.", b"p/..", b"p/nowhere", b"p/nowhere/"] {
        assert_eq!(files.stat_at(AT_FDCWD, path, 0), Err(Errno::ACCESS));
    }
    assert!(files.stat_at(AT_FDCWD, b"p/", 0).is_ok());
    assert_eq!(files.chdir(b"p"), Err(Errno::ACCESS));
    let p = files.open_here("p", 0).unwrap();
    assert_eq!(files.fchdir(p), Err(Errno::ACCESS));
    assert_eq!(files.list(p).unwrap().count(), 3);
}

#[test]
fn a_directory_that_may_not_be_written_keeps_its_names() {
    let mut files = files();
    files.insert_directory(b"/tmp/p", 0o500).unwrap();
    files.insert(b"/tmp/p/f", Vec::new(), 0o644).unwrap();
    files.insert_directory(b"/tmp/p/d", 0o755).unwrap();
    assert!(files.open_here("p/f", O_CREAT | O_RDWR).is_ok());
    assert_eq!(files.open_here("p/new", O_CREAT), Err(Errno::ACCESS));
    assert_eq!(files.mkdir_at(AT_FDCWD, b"p/new", 0), Err(Errno::ACCESS));
    assert_eq!(files.mkdir_at(AT_FDCWD, b"p/d", 0), Err(Errno::EXIST));
    for (path, flags, end) in [
        (&b"p/f"[..], 0, Errno::ACCESS),
        (b"p/d", 0, Errno::ACCESS),
        (b"p/d/", 0, Errno::ISDIR),
        (b"p/f", AT_REMOVEDIR, Errno::ACCESS),
        (b"p/d", AT_REMOVEDIR, Errno::ACCESS),
        (b"p/nowhere", 0, Errno::NOENT),
        (b"p/nowhere", AT_REMOVEDIR, Errno::NOENT),
    ] {
        assert_eq!(files.unlink_at(AT_FDCWD, path, flags), Err(end));
    }
}

#[test]
fn stat_tells_kind_size_links_and_owner() {
    let mut files = files();
    files.mkdir_at(AT_FDCWD, b"d/sub", 0o700).unwrap();
    let stat = |path: &[u8], flags| files.stat_at(AT_FDCWD, path, flags).unwrap();
    let f = stat(b"lf", 0);
    assert_eq!((f.mode, f.size, f.blocks, f.nlink, f.uid, f.gid), (S_IFREG | 0o644, 5, 8, 1, 1000, 1000));
    let link = stat(b"lf", AT_SYMLINK_NOFOLLOW);
    assert_eq!((link.mode, link.size), (S_IFLNK | 0o777, 1));
    assert_eq!(stat(b"ld/", AT_SYMLINK_NOFOLLOW), stat(b"d", 0));
    assert_eq!((stat(b"d", 0).mode, stat(b"d", 0).nlink), (S_IFDIR | 0o755, 3));
    assert_eq!(stat(b"/tmp", 0).mode, S_IFDIR | 0o1777);
    let null = stat(b"/dev/null", 0);
    assert_eq!((null.mode, null.rdev), (S_IFCHR | 0o666, 0x103));
    assert_ne!(stat(b"/dev/random", 0).ino, stat(b"/dev/urandom", 0).ino);
    let stdin = files.stat(0).unwrap();
    assert_eq!((stdin.mode, stdin.nlink, stdin.size), (S_IFIFO | 0o600, 1, 0));
    assert_ne!((stdin.dev, stdin.ino), (files.stat(1).unwrap().dev, files.stat(1).unwrap().ino));
}

#[test]
fn an_empty_path_means_the_descriptor_only_when_asked() {
    let mut files = files();
    let f = files.open_here("f", 0).unwrap();
    assert_eq!(files.stat_at(f, b"", AT_EMPTY_PATH), files.stat(f));
    assert_eq!(files.stat_at(1, b"", AT_EMPTY_PATH), files.stat(1));
    assert_eq!(files.stat_at(AT_FDCWD, b"", AT_EMPTY_PATH), files.stat_at(AT_FDCWD, b".", 0));
    assert_eq!(files.stat_at(f, b"", 0), Err(Errno::NOENT));
    assert_eq!(files.stat_at(99, b"", AT_EMPTY_PATH), Err(Errno::BADF));
    assert_eq!(files.stat_at(AT_FDCWD, b"f", AT_EMPTY_PATH), files.stat(f));
}

#[test]
fn unknown_at_flags_are_refused() {
    let files = files();
    for flags in [1, 0x200, 0x400, 0x8000] {
        assert_eq!(files.stat_at(99, b"", flags), Err(Errno::INVAL));
    }
    for flags in [AT_NO_AUTOMOUNT, 0x2000, 0x4000, 0x6000] {
        assert!(files.stat_at(AT_FDCWD, b"f", flags).is_ok());
    }
    assert_eq!(files.access_at(99, b"", 0, 1), Err(Errno::INVAL));
    assert_eq!(files.access_at(99, b"", 8, 0), Err(Errno::INVAL));
}

#[test]
fn access_asks_for_the_owner() {
    let mut files = files();
    files.insert(b"/tmp/ro", Vec::new(), 0o477).unwrap();
    let access = |path: &[u8], mode, flags| files.access_at(AT_FDCWD, path, mode, flags);
    assert_eq!(access(b"ro", 0, 0), Ok(()));
    assert_eq!(access(b"ro", R_OK, 0), Ok(()));
    assert_eq!(access(b"ro", R_OK | W_OK, AT_EACCESS), Err(Errno::ACCESS));
    assert_eq!(access(b"f", X_OK, 0), Err(Errno::ACCESS));
    assert_eq!(access(b"gone", 0, 0), Err(Errno::NOENT));
    assert_eq!(access(b"gone", R_OK | W_OK | X_OK, AT_SYMLINK_NOFOLLOW), Ok(()));
    assert_eq!(files.access_at(0, b"", R_OK | W_OK, AT_EMPTY_PATH), Ok(()));
    assert_eq!(files.access_at(0, b"", X_OK, AT_EMPTY_PATH), Err(Errno::ACCESS));
}

#[test]
fn readlink_reads_the_link_itself() {
    let files = files();
    for (path, end) in [
        (&b"lf"[..], Ok(&b"f"[..])),
        (b"gone", Ok(b"nowhere")),
        (b"loop", Ok(b"loop")),
        (b"f", Err(Errno::INVAL)),
        (b"ld/", Err(Errno::INVAL)),
        (b"lf/", Err(Errno::NOTDIR)),
        (b"gone/", Err(Errno::NOENT)),
        (b"loop/", Err(Errno::LOOP)),
        (b"", Err(Errno::NOENT)),
    ] {
        assert_eq!(files.readlink_at(AT_FDCWD, path), end.map(std::borrow::Cow::Borrowed));
    }
}

#[test]
fn the_current_directory_has_a_path() {
    let mut files = files();
    assert_eq!(files.getcwd(), Ok(b"/tmp".to_vec()));
    files.chdir(b"ld/../ld").unwrap();
    assert_eq!(files.getcwd(), Ok(b"/tmp/d".to_vec()));
    files.chdir(b"/").unwrap();
    assert_eq!(files.getcwd(), Ok(b"/".to_vec()));
    assert_eq!(files.chdir(b"/tmp/f"), Err(Errno::NOTDIR));
    assert_eq!(files.chdir(b"nowhere"), Err(Errno::NOENT));
    assert_eq!((files.fchdir(0), files.fchdir(99)), (Err(Errno::NOTDIR), Err(Errno::BADF)));
}

#[test]
fn directories_may_nest_deeper_than_a_path_can_say_and_still_go_away() {
    let mut files = files();
    let name = [b'n'; 255];
    for _ in 0..20 {
        files.mkdir_at(AT_FDCWD, &name, 0o755).unwrap();
        files.chdir(&name).unwrap();
    }
    assert_eq!(files.getcwd(), Err(Errno::NAMETOOLONG));
    for _ in 0..20 {
        files.chdir(b"..").unwrap();
        files.unlink_at(AT_FDCWD, &name, AT_REMOVEDIR).unwrap();
    }
    assert_eq!(files.getcwd(), Ok(b"/tmp".to_vec()));
    files.assert_account();
}
