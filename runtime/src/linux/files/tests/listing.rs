use super::*;

fn names(files: &Files, descriptor: i32) -> Vec<String> {
    files.list(descriptor).unwrap().map(|entry| String::from_utf8_lossy(&entry.name).into_owned()).collect()
}

#[test]
fn a_listing_has_the_dots_first_and_says_what_each_name_is() {
    let mut files = files();
    let tmp = files.open_here(".", O_DIRECTORY).unwrap();
    let listed: Vec<_> = files.list(tmp).unwrap().map(|ListedName { name, kind, .. }| (name.to_vec(), kind)).collect();
    let expected: [(&[u8], u8); 9] = [
        (b".", 4),
        (b"..", 4),
        (b"f", 8),
        (b"d", 4),
        (b"lf", 10),
        (b"lf_slash", 10),
        (b"ld", 10),
        (b"gone", 10),
        (b"loop", 10),
    ];
    assert_eq!(listed, expected.map(|(name, kind)| (name.to_vec(), kind)));
    let dev = files.open_here("/dev", 0).unwrap();
    assert!(files.list(dev).unwrap().skip(2).all(|entry| entry.kind == 2));
    for entry in files.list(tmp).unwrap() {
        assert_eq!(entry.ino, files.stat_at(tmp, &entry.name, AT_SYMLINK_NOFOLLOW).unwrap().ino);
    }
}

#[test]
fn a_listing_goes_on_after_what_reached_the_guest_whatever_changed() {
    let mut files = files();
    let tmp = files.open_here(".", O_DIRECTORY).unwrap();
    let third = files.list(tmp).unwrap().nth(2).unwrap().next;
    files.listed(tmp, third).unwrap();
    for gone in [&b"f"[..], b"lf", b"ld"] {
        files.unlink_at(AT_FDCWD, gone, 0).unwrap();
    }
    files.mkdir_at(AT_FDCWD, b"new", 0o755).unwrap();
    assert_eq!(names(&files, tmp), ["d", "lf_slash", "gone", "loop", "new"]);
}

#[test]
fn a_listing_seeks_to_any_position_it_gave() {
    let mut files = files();
    let tmp = files.open_here(".", O_DIRECTORY).unwrap();
    let all = names(&files, tmp);
    let positions: Vec<_> = files.list(tmp).unwrap().map(|entry| entry.next).collect();
    for (n, position) in (1..).zip(positions) {
        assert_eq!(files.lseek(tmp, position, SEEK_SET), Ok(position));
        assert_eq!(names(&files, tmp), all[n..]);
        assert_eq!(files.lseek(tmp, 0, SEEK_CUR), Ok(position));
    }
    files.lseek(tmp, 0, SEEK_SET).unwrap();
    assert_eq!(names(&files, tmp), all);
    files.lseek(tmp, i64::MAX, SEEK_SET).unwrap();
    assert!(names(&files, tmp).is_empty());
    for (offset, whence) in [(-1, SEEK_SET), (1, SEEK_CUR), (0, SEEK_END), (0, SEEK_DATA), (0, SEEK_HOLE)] {
        assert_eq!(files.lseek(tmp, offset, whence), Err(Errno::INVAL));
    }
}

#[test]
fn only_directories_are_listed() {
    let mut files = files();
    let f = files.open_here("f", 0).unwrap();
    for (descriptor, end) in [(f, Errno::NOTDIR), (0, Errno::NOTDIR), (99, Errno::BADF)] {
        assert_eq!(files.list(descriptor).map(|_| ()), Err(end));
        assert_eq!(files.listed(descriptor, 0), Err(end));
    }
    let d = files.open_here("d", 0).unwrap();
    assert_eq!(files.listed(d, -1), Err(Errno::INVAL));
}
