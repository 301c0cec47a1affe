use super::*;

/// Files with `f` open at 3.
fn with_f() -> Files {
    let mut files = files();
    assert_eq!(files.open_here("f", O_RDWR), Ok(3));
    files
}

#[test]
fn the_lowest_free_number_comes_first() {
    let mut files = with_f();
    assert_eq!((files.dup(3), files.dup(3)), (Ok(4), Ok(5)));
    files.close(0).unwrap();
    files.close(4).unwrap();
    assert_eq!(files.open_here("f", 0), Ok(0));
    assert_eq!(files.dup(0), Ok(4));
    assert_eq!(files.open_here("f", 0), Ok(6));
}

#[test]
fn a_duplicate_shares_offset_and_status_and_not_close_on_exec() {
    let mut files = with_f();
    files.fcntl(3, F_SETFD, 1).unwrap();
    let copy = files.dup(3).unwrap();
    assert_eq!((files.fcntl(3, F_GETFD, 0), files.fcntl(copy, F_GETFD, 0)), (Ok(1), Ok(0)));
    files.lseek(copy, 2, SEEK_SET).unwrap();
    assert_eq!(files.lseek(3, 0, SEEK_CUR), Ok(2));
    files.fcntl(3, F_SETFL, u64::from(O_APPEND)).unwrap();
    assert_eq!(files.fcntl(copy, F_GETFL, 0), Ok((O_RDWR | O_APPEND | O_LARGEFILE).cast_signed()));
    let other = files.open_here("f", O_RDWR).unwrap();
    assert_eq!(files.lseek(other, 0, SEEK_CUR), Ok(0));
}

#[test]
fn dup2_replaces_what_was_there_and_onto_itself_does_nothing() {
    let mut files = with_f();
    assert_eq!(files.dup2(3, 1), Ok(1));
    assert!(matches!(files.object(1), Ok(Object::File(_))));
    files.fcntl(3, F_SETFD, 1).unwrap();
    assert_eq!(files.dup2(3, 3), Ok(3));
    assert_eq!(files.fcntl(3, F_GETFD, 0), Ok(1));
    assert_eq!(files.dup2(3, 255), Ok(255));
}

#[test]
fn dup2_and_dup3_fail_as_in_linux() {
    let mut files = with_f();
    let before = files.clone();
    for (old, new) in [(99, 99), (99, 3), (3, 256), (3, -1), (256, 256), (-1, 3)] {
        assert_eq!(files.dup2(old, new), Err(Errno::BADF), "dup2({old}, {new})");
    }
    for (old, new, flags, end) in [
        (3, 3, 0, Errno::INVAL),
        (99, 99, 0, Errno::INVAL),
        (3, 4, 1, Errno::INVAL),
        (3, 4, O_CLOEXEC | O_NONBLOCK, Errno::INVAL),
        (99, 256, 0, Errno::BADF),
        (3, -1, 0, Errno::BADF),
        (99, 3, O_CLOEXEC, Errno::BADF),
    ] {
        assert_eq!(files.dup3(old, new, flags), Err(end), "dup3({old}, {new}, {flags:#o})");
    }
    assert_eq!(files.dup(99), Err(Errno::BADF));
    assert_eq!(files, before);
}

#[test]
fn dup3_sets_close_on_exec_on_the_copy_alone() {
    let mut files = with_f();
    assert_eq!(files.dup3(3, 9, O_CLOEXEC), Ok(9));
    assert_eq!((files.fcntl(9, F_GETFD, 0), files.fcntl(3, F_GETFD, 0)), (Ok(1), Ok(0)));
    assert_eq!(files.dup3(9, 3, 0), Ok(3));
    assert_eq!(files.read_some(3, 9), Ok(b"hello".to_vec()));
}

#[test]
fn f_dupfd_searches_from_its_argument() {
    let mut files = with_f();
    assert_eq!(files.fcntl(3, F_DUPFD, 3), Ok(4));
    assert_eq!(files.fcntl(3, F_DUPFD, 200), Ok(200));
    assert_eq!(files.fcntl(3, F_DUPFD_CLOEXEC, 200), Ok(201));
    assert_eq!((files.fcntl(200, F_GETFD, 0), files.fcntl(201, F_GETFD, 0)), (Ok(0), Ok(1)));
    assert_eq!(files.fcntl(3, F_DUPFD, 255), Ok(255));
    assert_eq!(files.fcntl(3, F_DUPFD, 255), Err(Errno::MFILE));
    assert_eq!(files.fcntl(3, F_DUPFD, 256), Err(Errno::INVAL));
    assert_eq!(files.fcntl(3, F_DUPFD, u64::MAX), Err(Errno::INVAL));
    assert_eq!(files.fcntl(99, F_DUPFD, 256), Err(Errno::BADF));
    assert_eq!(files.fcntl(3, F_DUPFD, 1 << 32), Ok(5));
}

#[test]
fn f_setfl_changes_append_and_nonblock_and_nothing_else() {
    let mut files = with_f();
    files.fcntl(3, F_SETFL, u64::MAX).unwrap();
    assert_eq!(files.fcntl(3, F_GETFL, 0), Ok(0o106_002));
    files.fcntl(3, F_SETFL, 0).unwrap();
    assert_eq!(files.fcntl(3, F_GETFL, 0), Ok(0o100_002));
}

#[test]
fn f_getfl_shows_what_linux_shows() {
    let mut files = files();
    for (path, flags, shown) in [
        ("f", 0, 0o100_000),
        ("f", O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0o100_002),
        ("f", O_EXCL, 0o100_000),
        ("f", 3, 0o100_003),
        ("f", O_RDWR | O_APPEND | O_NONBLOCK, 0o106_002),
        ("d", O_DIRECTORY, 0o300_000),
        ("f", O_NOFOLLOW, 0o500_000),
        ("f", 0o4_010_000, 0o4_110_000),
        ("f", 0o40_000_000, 0o100_000),
    ] {
        let descriptor = files.open_here(path, flags).unwrap();
        assert_eq!(files.fcntl(descriptor, F_GETFL, 0), Ok(shown), "{flags:#o}");
    }
    assert_eq!((files.fcntl(0, F_GETFL, 0), files.fcntl(1, F_GETFL, 0)), (Ok(0), Ok(1)));
}

#[test]
fn f_setfd_looks_at_its_one_flag() {
    let mut files = with_f();
    files.fcntl(3, F_SETFD, 3).unwrap();
    assert_eq!(files.fcntl(3, F_GETFD, 0), Ok(1));
    files.fcntl(3, F_SETFD, 2).unwrap();
    assert_eq!(files.fcntl(3, F_GETFD, 0), Ok(0));
    let opened = files.open_here("f", O_CLOEXEC).unwrap();
    assert_eq!(files.fcntl(opened, F_GETFD, 0), Ok(1));
}

#[test]
fn other_fcntl_commands_are_refused_after_the_descriptor() {
    let mut files = with_f();
    assert_eq!(files.fcntl(3, 9999, 0), Err(Errno::INVAL));
    assert_eq!(files.fcntl(99, 9999, 0), Err(Errno::BADF));
}

#[test]
fn a_closed_descriptor_is_no_descriptor() {
    let mut files = with_f();
    let copy = files.dup(3).unwrap();
    files.close(3).unwrap();
    assert_eq!(files.close(3), Err(Errno::BADF));
    assert_eq!(files.read(3, 1), Err(Errno::BADF));
    assert_eq!(files.close(-1), Err(Errno::BADF));
    assert_eq!(files.read_some(copy, 5), Ok(b"hello".to_vec()));
}

#[test]
fn a_limit_below_three_leaves_the_streams_and_opens_nothing() {
    let mut files = Files::new(Quota::default(), 0);
    assert_eq!(files.object(2), Ok(Object::Stream(Stream::Stderr)));
    assert_eq!(files.dup(0), Err(Errno::MFILE));
    assert_eq!(files.dup2(0, 1), Err(Errno::BADF));
    assert_eq!(files.fcntl(0, F_DUPFD, 0), Err(Errno::INVAL));
}
