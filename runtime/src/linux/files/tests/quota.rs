use super::*;

/// Files with room for so many bytes and inodes beside `/tmp` and `/dev`.
fn with_room(bytes: usize, inodes: usize) -> Files {
    let unlimited = Files::new(Quota { bytes: usize::MAX, inodes: usize::MAX }, DEFAULT_OPEN_FILES);
    let left = unlimited.tree.left();
    let quota = Quota { bytes: usize::MAX - left.bytes + bytes, inodes: usize::MAX - left.inodes + inodes };
    let files = Files::new(quota, DEFAULT_OPEN_FILES);
    assert_eq!(files.tree.left(), Quota { bytes, inodes });
    files
}

#[test]
fn a_write_takes_what_fits_and_then_nothing() {
    let mut files = with_room(6, 1);
    let f = files.open_here("/f", O_CREAT | O_RDWR).unwrap();
    assert_eq!(files.write_all(f, b"1234567"), Ok(5));
    assert_eq!(files.write_all(f, b"x"), Err(Errno::NOSPC));
    assert_eq!(files.lseek(f, 0, SEEK_CUR), Ok(5));
    assert_eq!(files.write_all_at(f, 3, b"abc"), Ok(2));
    assert_eq!(files.contents("/f"), Ok(&b"123ab"[..]));
    files.assert_account();
}

#[test]
fn a_hole_is_paid_for_before_it_is_made() {
    let mut files = with_room(100, 1);
    let f = files.open_here("/f", O_CREAT | O_RDWR).unwrap();
    let quota = i64::try_from(files.tree.quota().bytes).unwrap();
    for (offset, end) in [
        (99, Err(Errno::NOSPC)),
        (quota - 1, Err(Errno::NOSPC)),
        (quota, Err(Errno::FBIG)),
        (1 << 40, Err(Errno::FBIG)),
        (i64::MAX - 1, Err(Errno::FBIG)),
        (98, Ok(1)),
    ] {
        assert_eq!(files.write_all_at(f, offset, b"x"), end, "at {offset}");
    }
    for (length, end) in [
        (100, Err(Errno::NOSPC)),
        (quota, Err(Errno::NOSPC)),
        (quota + 1, Err(Errno::FBIG)),
        (i64::MAX, Err(Errno::FBIG)),
        (99, Ok(())),
        (0, Ok(())),
        (99, Ok(())),
    ] {
        assert_eq!(files.ftruncate(f, length), end, "to {length}");
        files.assert_account();
    }
}

#[test]
fn names_and_inodes_cost_too() {
    let mut files = with_room(10, 3);
    assert_eq!(files.mkdir_at(AT_FDCWD, b"12345678901", 0), Err(Errno::NOSPC));
    assert_eq!(files.open_here("12345678901", O_CREAT), Err(Errno::NOSPC));
    assert_eq!(files.mkdir_at(AT_FDCWD, b"12345678", 0o755), Ok(()));
    assert!(files.open_here("1", O_CREAT).is_ok());
    assert!(files.open_here("2", O_CREAT).is_ok());
    assert_eq!(files.open_here("3", O_CREAT), Err(Errno::NOSPC));
    files.unlink_at(AT_FDCWD, b"12345678", AT_REMOVEDIR).unwrap();
    assert!(files.open_here("3", O_CREAT).is_ok());
    assert_eq!(files.open_here("4", O_CREAT), Err(Errno::NOSPC));
    files.assert_account();
}

#[test]
fn an_unlinked_file_gives_its_quota_back_when_it_goes() {
    let mut files = with_room(100, 2);
    let f = files.open_here("f", O_CREAT | O_RDWR).unwrap();
    assert_eq!(files.write_all(f, &[1; 99]), Ok(99));
    files.unlink_at(AT_FDCWD, b"f", 0).unwrap();
    assert_eq!(files.tree.left(), Quota { bytes: 1, inodes: 1 });
    files.close(f).unwrap();
    assert_eq!(files.tree.left(), Quota { bytes: 100, inodes: 2 });
}

#[test]
fn files_that_were_filled_and_emptied_keep_no_memory() {
    let mut files = with_room(1 << 20, 100);
    for n in 0..100 {
        let f = files.open_here(&format!("{n}"), O_CREAT | O_RDWR).unwrap();
        assert_eq!(files.write_all(f, &vec![1; 1 << 19]), Ok(1 << 19));
        files.ftruncate(f, n).unwrap();
        files.assert_account();
    }
}

#[test]
fn a_quota_too_small_for_anything_is_still_a_file_system() {
    let mut files = Files::new(Quota { bytes: 0, inodes: 0 }, DEFAULT_OPEN_FILES);
    assert_eq!(files.open_here("/tmp", 0), Err(Errno::NOENT));
    assert_eq!(files.open_here("/new", O_CREAT), Err(Errno::NOSPC));
    assert_eq!(files.open_here("/", 0), Ok(3));
    assert_eq!(files.list(3).unwrap().count(), 2);
}
