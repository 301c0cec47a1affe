use super::*;

#[test]
fn a_file_is_there_with_the_directories_on_its_way() {
    let mut files = files();
    files.insert(b"/usr//lib/./x", b"bytes".to_vec(), 0o100_755).unwrap();
    assert_eq!(files.contents("/usr/lib/x"), Ok(&b"bytes"[..]));
    assert_eq!(files.stat_at(AT_FDCWD, b"/usr/lib/x", 0).unwrap().mode, S_IFREG | 0o755);
    assert_eq!(files.stat_at(AT_FDCWD, b"/usr", 0).unwrap().mode, S_IFDIR | 0o755);
    files.assert_account();
}

#[test]
fn a_file_that_is_there_is_replaced_also_for_who_has_it_open() {
    let mut files = files();
    let f = files.open_here("f", 0).unwrap();
    files.insert(b"/tmp/f", b"other!".to_vec(), 0o600).unwrap();
    assert_eq!(files.read_some(f, 99), Ok(b"other!".to_vec()));
    assert_eq!(files.stat(f).unwrap().mode, S_IFREG | 0o600);
    files.assert_account();
}

#[test]
fn what_is_something_else_is_in_the_way() {
    let mut files = files();
    let before = files.clone();
    for (path, at) in [("/tmp/f/x", "/tmp/f"), ("/tmp/ld/x", "/tmp/ld"), ("/tmp/d", "/tmp/d"), ("/tmp/lf", "/tmp/lf")] {
        let error = InsertError::InTheWay { path: path.into(), at: at.into() };
        assert_eq!(files.insert(path.as_bytes(), vec![1], 0o644), Err(error));
    }
    assert!(matches!(files.insert_symlink(b"/tmp/lf", b"d"), Err(InsertError::InTheWay { .. })));
    assert!(matches!(files.insert_directory(b"/tmp/f", 0o755), Err(InsertError::InTheWay { .. })));
    assert_eq!(files.insert_symlink(b"/tmp/lf", b"f"), Ok(()));
    assert_eq!(files.insert_directory(b"/tmp/d", 0o700), Ok(()));
    assert_eq!(files, before);
}

#[test]
fn paths_that_do_not_name_one_place_are_refused() {
    let mut files = files();
    for path in ["", "x", "/", "/x/", "/x/../y", "/..", "/x\0", "//."] {
        let error = InsertError::Path { path: path.into() };
        assert_eq!(files.insert(path.as_bytes(), vec![], 0o644), Err(error), "{path:?}");
    }
    let (long_name, long_path) = (format!("/{}", "x".repeat(256)), "/x".repeat(2048));
    for path in [long_name, long_path] {
        assert!(matches!(files.insert(path.as_bytes(), vec![], 0o644), Err(InsertError::TooLong { .. })));
    }
    for target in [&b""[..], b"a\0b", &[b'x'; 4096]] {
        assert!(matches!(files.insert_symlink(b"/x", target), Err(InsertError::Target { .. })));
    }
}

#[test]
fn what_does_not_fit_leaves_nothing_behind_and_says_what_it_needs() {
    let mut files = Files::new(Quota { bytes: 64, inodes: 16 }, DEFAULT_OPEN_FILES);
    files.insert(b"/f", b"old".to_vec(), 0o644).unwrap();
    let (before, left) = (files.clone(), files.tree.left());
    let error = InsertError::Quota { path: "/a/b/c".into(), bytes: 103, inodes: 3, left };
    assert_eq!(files.insert(b"/a/b/c", vec![0; 100], 0o644), Err(error.clone()));
    assert!(error.to_string().contains(&format!("{} and {} are left", left.bytes, left.inodes)), "{error}");
    assert!(matches!(files.insert(b"/f", vec![0; 100], 0o644), Err(InsertError::Quota { .. })));
    assert!(matches!(files.insert_directory(&b"/x".repeat(20), 0o755), Err(InsertError::Quota { .. })));
    assert_eq!(files, before);
    files.insert(b"/f", vec![0; left.bytes + 3], 0o644).unwrap();
    files.assert_account();
}
