//! When things are read, written and changed, on a clock that the tests set.

use super::*;

/// Whole seconds.
fn at(secs: i64) -> Time {
    Time { secs, nsecs: 0 }
}

/// The seconds of access, modification and change.
fn times(files: &Files, path: &str) -> [i64; 3] {
    let stat = files.stat_at(AT_FDCWD, path.as_bytes(), AT_SYMLINK_NOFOLLOW).unwrap();
    [stat.accessed.secs, stat.modified.secs, stat.changed.secs]
}

/// Does something at second 9, and says what the times of `path` are then.
fn after(path: &str, something: impl FnOnce(&mut Files) -> Result<(), Errno>) -> [i64; 3] {
    let mut files = files();
    files.begin(at(1));
    files.set_time(at(9));
    assert_eq!(something(&mut files), Ok(()));
    files.assert_sound();
    times(&files, path)
}

#[test]
fn what_is_made_is_as_old_as_the_clock_says_and_so_is_the_change_of_its_directory() {
    let make = |files: &mut Files| files.open_here("d/new", O_CREAT | O_WRONLY).map(|_| ());
    assert_eq!(after("d/new", make), [9, 9, 9]);
    assert_eq!(after("d", make), [1, 9, 9]);
    assert_eq!(after("f", make), [1, 1, 1]);
    assert_eq!(after("d/e", |files| files.mkdir_at(AT_FDCWD, b"d/e", 0o755)), [9, 9, 9]);
    assert_eq!(after("d/s", |files| files.symlink_at(b"x", AT_FDCWD, b"d/s")), [9, 9, 9]);
    assert_eq!(after("d", |files| files.unlink_at(AT_FDCWD, b"d/g", 0)), [1, 9, 9]);
}

#[test]
fn writing_moves_the_time_of_modification_and_reading_moves_nothing() {
    let open = |files: &mut Files| files.open_here("f", O_RDWR).unwrap();
    let write = |files: &mut Files| {
        let fd = open(files);
        files.write_all(fd, b"x").map(|_| ())
    };
    assert_eq!(after("f", write), [1, 9, 9]);
    let nothing = |files: &mut Files| {
        let fd = open(files);
        files.write_all(fd, b"").map(|_| ())
    };
    assert_eq!(after("f", nothing), [1, 1, 1]);
    let read = |files: &mut Files| {
        let fd = open(files);
        files.read_some(fd, 9).map(|_| ())
    };
    assert_eq!(after("f", read), [1, 1, 1]);
}

#[test]
fn a_new_length_is_a_modification_and_the_same_one_only_by_descriptor() {
    assert_eq!(after("f", |files| files.truncate(b"f", 3)), [1, 9, 9]);
    assert_eq!(after("f", |files| files.truncate(b"f", 5)), [1, 1, 1]);
    let same = |files: &mut Files| {
        let fd = files.open_here("f", O_RDWR).unwrap();
        files.ftruncate(fd, 5)
    };
    assert_eq!(after("f", same), [1, 9, 9]);
    assert_eq!(after("f", |files| files.open_here("f", O_WRONLY | O_TRUNC).map(|_| ())), [1, 9, 9]);
}

#[test]
fn names_and_permissions_are_changes_and_no_modifications() {
    let here = |path: &'static str| (AT_FDCWD, path.as_bytes());
    assert_eq!(after("f", |files| files.chmod_at(AT_FDCWD, b"f", 0o600, 0)), [1, 1, 9]);
    assert_eq!(after("f", |files| files.chown_at(AT_FDCWD, b"f", [u32::MAX; 2], 0)), [1, 1, 9]);
    assert_eq!(after("f", |files| files.link_at(here("f"), here("d/f"), 0)), [1, 1, 9]);
    let rename = |files: &mut Files| files.rename_at(here("f"), here("d/f"), 0);
    assert_eq!(after("d/f", rename), [1, 1, 9]);
    assert_eq!((after("/tmp", rename), after("d", rename)), ([1, 9, 9], [1, 9, 9]));
}

#[test]
fn times_are_set_to_given_ones_to_now_or_not() {
    let set = |new| move |files: &mut Files| files.set_times_at(AT_FDCWD, b"lf", new, 0);
    assert_eq!(after("f", set([NewTime::At(at(-5)), NewTime::At(at(7))])), [-5, 7, 9]);
    assert_eq!(after("f", set([NewTime::Now, NewTime::Omit])), [9, 1, 9]);
    assert_eq!(after("lf", set([NewTime::Now, NewTime::Now])), [1, 1, 1]);
    let itself = |files: &mut Files| files.set_times_at(AT_FDCWD, b"lf", [NewTime::Now; 2], AT_SYMLINK_NOFOLLOW);
    assert_eq!(after("lf", itself), [9, 9, 9]);
    let mut files = files();
    let bad = NewTime::At(Time { secs: 0, nsecs: 1_000_000_000 });
    assert_eq!(files.set_times_at(AT_FDCWD, b"f", [bad, NewTime::Now], 0), Err(Errno::INVAL));
    assert_eq!(files.set_times_at(AT_FDCWD, b"absent", [bad, NewTime::Now], 0), Err(Errno::NOENT));
    assert_eq!(files.set_times(0, [NewTime::Now; 2]), Err(Errno::PERM));
}
