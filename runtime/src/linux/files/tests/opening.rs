use super::*;

const RD: u32 = 0;
const WR: u32 = O_WRONLY;
const NEW: u32 = O_CREAT | O_WRONLY;

/// Opens each path with each set of flags in fresh files and compares how it ends.
fn assert_ends(table: &[(&str, u32, Result<(), Errno>)]) {
    for (path, flags, end) in table {
        let mut files = files();
        let before = files.clone();
        let opened = files.open_here(path, *flags);
        assert_eq!(opened.map(|_| ()), *end, "open({path:?}, {flags:#o})");
        if end.is_err() {
            assert_eq!(files, before, "a failed open changed something: {path:?}");
        }
        files.assert_account();
    }
}

#[test]
fn paths_lead_where_they_lead_in_linux() {
    let long = "x".repeat(256);
    assert_ends(&[
        ("f", RD, Ok(())),
        ("f/", RD, Err(Errno::NOTDIR)),
        ("f/.", RD, Err(Errno::NOTDIR)),
        ("f/..", RD, Err(Errno::NOTDIR)),
        ("f/x", RD, Err(Errno::NOTDIR)),
        ("d/", RD, Ok(())),
        ("d/.//../f", RD, Ok(())),
        ("/../../tmp/f", RD, Ok(())),
        ("/", RD, Ok(())),
        ("//", RD, Ok(())),
        ("", RD, Err(Errno::NOENT)),
        ("nowhere", RD, Err(Errno::NOENT)),
        ("nowhere/x", NEW, Err(Errno::NOENT)),
        ("lf", RD, Ok(())),
        ("lf/", RD, Err(Errno::NOTDIR)),
        ("lf_slash", RD, Err(Errno::NOTDIR)),
        ("ld/g", RD, Ok(())),
        ("gone", RD, Err(Errno::NOENT)),
        ("loop", RD, Err(Errno::LOOP)),
        ("loop/x", RD, Err(Errno::LOOP)),
        (&long, RD, Err(Errno::NAMETOOLONG)),
        (&long[1..], RD, Err(Errno::NOENT)),
        (&format!("f/{long}"), RD, Err(Errno::NOTDIR)),
        (&format!("{}f", "./".repeat(2047)), RD, Ok(())),
        (&format!("{}/f", "./".repeat(2047)), RD, Err(Errno::NAMETOOLONG)),
    ]);
}

#[test]
fn creating_ends_as_in_linux() {
    let long = "x".repeat(256);
    assert_ends(&[
        ("new", NEW, Ok(())),
        ("f", NEW, Ok(())),
        ("f", NEW | O_EXCL, Err(Errno::EXIST)),
        ("new/", NEW, Err(Errno::ISDIR)),
        ("f/", NEW, Err(Errno::ISDIR)),
        ("loop/", NEW, Err(Errno::ISDIR)),
        (&format!("{long}/"), NEW, Err(Errno::ISDIR)),
        (&long, NEW, Err(Errno::NAMETOOLONG)),
        ("d", O_CREAT, Err(Errno::ISDIR)),
        ("d", O_CREAT | O_EXCL, Err(Errno::EXIST)),
        ("d/", O_CREAT | O_EXCL, Err(Errno::ISDIR)),
        (".", NEW | O_EXCL, Err(Errno::EXIST)),
        ("/", O_CREAT, Err(Errno::ISDIR)),
        ("gone", NEW | O_EXCL, Err(Errno::EXIST)),
        ("gone", NEW | O_NOFOLLOW, Err(Errno::LOOP)),
        ("lf_slash", NEW, Err(Errno::ISDIR)),
        ("loop", NEW, Err(Errno::LOOP)),
        ("loop", NEW | O_EXCL, Err(Errno::EXIST)),
        ("new", NEW | O_DIRECTORY, Err(Errno::INVAL)),
    ]);
}

#[test]
fn what_is_there_opens_only_as_what_it_is() {
    assert_ends(&[
        ("f", RD | O_DIRECTORY, Err(Errno::NOTDIR)),
        ("d", RD | O_DIRECTORY, Ok(())),
        ("d", WR, Err(Errno::ISDIR)),
        ("d", RD | O_TRUNC, Err(Errno::ISDIR)),
        ("d", WR | O_DIRECTORY, Err(Errno::ISDIR)),
        ("d", 3, Err(Errno::ISDIR)),
        ("lf", RD | O_NOFOLLOW, Err(Errno::LOOP)),
        ("ld", RD | O_NOFOLLOW | O_DIRECTORY, Err(Errno::NOTDIR)),
        ("ld/", RD | O_NOFOLLOW, Ok(())),
        ("lf/", RD | O_NOFOLLOW, Err(Errno::NOTDIR)),
        ("gone/", RD | O_NOFOLLOW, Err(Errno::NOENT)),
        ("loop/", RD | O_NOFOLLOW, Err(Errno::LOOP)),
        ("/dev/null", RD | O_TRUNC, Ok(())),
        ("/dev/null/", RD, Err(Errno::NOTDIR)),
    ]);
}

#[test]
fn flags_that_are_not_served_are_refused_and_unknown_ones_ignored() {
    let tmpfile = O_TMPFILE_BIT | O_DIRECTORY;
    assert_ends(&[
        ("d", tmpfile | O_RDWR, Err(Errno::OPNOTSUPP)),
        ("d", tmpfile, Err(Errno::INVAL)),
        ("d", O_TMPFILE_BIT | O_RDWR, Err(Errno::INVAL)),
        ("d", tmpfile | O_RDWR | O_CREAT, Err(Errno::INVAL)),
        ("f", 0x8000_0000 | 0o40_000_000, Ok(())),
    ]);
}

#[test]
fn a_dangling_symlink_is_created_through() {
    let mut files = files();
    let descriptor = files.open_here("gone", NEW).unwrap();
    files.write_all(descriptor, b"x").unwrap();
    assert_eq!(files.contents("nowhere"), Ok(&b"x"[..]));
}

#[test]
fn an_absolute_symlink_starts_at_the_root_from_wherever_it_is() {
    let mut files = files();
    files.insert_symlink(b"/tmp/d/up", b"/tmp").unwrap();
    files.insert_symlink(b"/tmp/d/root", b"//").unwrap();
    for (path, same) in [("d/up/f", "f"), ("d/up", "."), ("d/root", "/"), ("d/root/", "/"), ("d/root/tmp/d/", "d")] {
        assert_eq!(files.stat_at(AT_FDCWD, path.as_bytes(), 0), files.stat_at(AT_FDCWD, same.as_bytes(), 0), "{path}");
    }
}

#[test]
fn forty_symlinks_are_followed_and_not_one_more() {
    let mut files = files();
    files.insert_symlink(b"/tmp/l0", b"f").unwrap();
    for n in 1..=40 {
        files.insert_symlink(format!("/tmp/l{n}").as_bytes(), format!("l{}", n - 1).as_bytes()).unwrap();
    }
    assert!(files.open_here("l39", RD).is_ok());
    assert_eq!(files.open_here("l40", RD), Err(Errno::LOOP));
}

#[test]
fn truncation_needs_write_permission_and_empties_files_only() {
    let mut files = files();
    files.insert(b"/tmp/ro", b"kept".to_vec(), 0o444).unwrap();
    assert_eq!(files.open_here("ro", O_TRUNC), Err(Errno::ACCESS));
    assert_eq!(files.contents("ro"), Ok(&b"kept"[..]));
    assert!(files.open_here("f", O_TRUNC).is_ok());
    assert_eq!(files.contents("f"), Ok(&b""[..]));
}

#[test]
fn the_owners_permission_bits_decide() {
    let mut files = files();
    for (mode, flags, end) in [
        (0o400, RD, Ok(())),
        (0o400, WR, Err(Errno::ACCESS)),
        (0o400, O_RDWR, Err(Errno::ACCESS)),
        (0o400, 3, Err(Errno::ACCESS)),
        (0o200, RD, Err(Errno::ACCESS)),
        (0o200, WR, Ok(())),
        (0o077, RD, Err(Errno::ACCESS)),
    ] {
        files.insert(b"/tmp/m", Vec::new(), mode).unwrap();
        assert_eq!(files.open_here("m", flags).map(|_| ()), end, "{mode:o} {flags:o}");
    }
}

#[test]
fn who_creates_a_file_may_use_it_whatever_its_mode() {
    let mut files = files();
    let descriptor = files.open(AT_FDCWD, b"mine", O_CREAT | O_RDWR, 0).unwrap();
    assert_eq!(files.write_all(descriptor, b"x"), Ok(1));
    assert_eq!(files.open_here("mine", RD), Err(Errno::ACCESS));
}

#[test]
fn the_umask_is_taken_off_new_files_and_directories() {
    let mut files = files();
    assert_eq!(files.set_umask(0o17_077), 0o022);
    let descriptor = files.open(AT_FDCWD, b"new", NEW, 0o17_777).unwrap();
    files.mkdir_at(AT_FDCWD, b"dir", 0o7777).unwrap();
    assert_eq!(files.stat(descriptor).unwrap().mode, S_IFREG | 0o7700);
    assert_eq!(files.stat_at(AT_FDCWD, b"dir", 0).unwrap().mode, S_IFDIR | 0o1700);
    assert_eq!(files.set_umask(0), 0o077);
}

#[test]
fn a_full_table_is_noticed_before_the_path_and_creates_nothing() {
    let mut files = Files::new(Quota::default(), 3);
    let before = files.clone();
    assert_eq!(files.open(AT_FDCWD, b"/tmp/new", NEW, 0), Err(Errno::MFILE));
    assert_eq!(files.open(77, b"x", RD, 0), Err(Errno::MFILE));
    assert_eq!(files.open(77, b"", RD, 0), Err(Errno::NOENT));
    assert_eq!(files.open(77, &[b'x'; 4096], RD, 0), Err(Errno::NAMETOOLONG));
    assert_eq!(files, before);
}

#[test]
fn a_directory_descriptor_counts_for_relative_paths_only() {
    let mut files = files();
    let (directory, file) = (files.open_here("d", RD).unwrap(), files.open_here("f", RD).unwrap());
    assert!(files.open(directory, b"g", RD, 0).is_ok());
    assert_eq!(files.open(file, b"g", RD, 0), Err(Errno::NOTDIR));
    assert_eq!(files.open(1, b"g", RD, 0), Err(Errno::NOTDIR));
    for bad in [99, -1, -5, i32::MIN] {
        assert_eq!(files.open(bad, b"g", RD, 0), Err(Errno::BADF));
        assert!(files.open(bad, b"/tmp/f", RD, 0).is_ok());
    }
}

#[test]
fn names_are_bytes() {
    let mut files = files();
    let name = [0xff, 0xfe, b'\n', 1];
    let descriptor = files.open(AT_FDCWD, &name, NEW, 0o600).unwrap();
    assert_eq!(files.stat_at(AT_FDCWD, &name, 0), files.stat(descriptor));
}
