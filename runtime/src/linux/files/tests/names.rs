//! Names that move and names beyond the first, where the random operations do not look.

use super::*;

fn here(path: &str) -> (i32, &[u8]) {
    (AT_FDCWD, path.as_bytes())
}

#[test]
fn a_file_lives_as_long_as_its_last_name_and_what_was_written_by_one_is_read_by_the_other() {
    let mut files = files();
    files.link_at(here("f"), here("d/h"), 0).unwrap();
    assert_eq!(files.stat_at(AT_FDCWD, b"f", 0), files.stat_at(AT_FDCWD, b"d/h", 0));
    let fd = files.open_here("f", O_WRONLY).unwrap();
    files.write_all(fd, b"J").unwrap();
    files.unlink_at(AT_FDCWD, b"f", 0).unwrap();
    files.close(fd).unwrap();
    assert_eq!(files.contents("d/h"), Ok(&b"Jello"[..]));
    files.unlink_at(AT_FDCWD, b"d/h", 0).unwrap();
    files.assert_sound();
}

#[test]
fn each_further_name_costs_its_bytes_and_an_inode_of_the_quota() {
    let mut files = Files::new(Quota { bytes: 100, inodes: 10 }, DEFAULT_OPEN_FILES);
    files.insert(b"/f", b"1".to_vec(), 0o644).unwrap();
    let left = files.tree.left();
    assert_eq!(left.inodes, 1);
    files.link_at(here("/f"), here("/second"), 0).unwrap();
    assert_eq!(files.tree.left(), Quota { bytes: left.bytes - 6, inodes: 0 });
    assert_eq!(files.link_at(here("/f"), here("/third"), 0), Err(Errno::NOSPC));
    files.unlink_at(AT_FDCWD, b"/f", 0).unwrap();
    assert_eq!(files.tree.left(), Quota { bytes: left.bytes - 5, inodes: 1 });
    files.assert_sound();
}

#[test]
fn a_rename_needs_room_for_no_more_than_what_the_name_grows_by() {
    let mut files = Files::new(Quota { bytes: 32, inodes: 9 }, DEFAULT_OPEN_FILES);
    files.insert(b"/f", Vec::new(), 0o644).unwrap();
    let room = files.tree.left().bytes;
    let (fits, long) = ("x".repeat(room + 1), "x".repeat(room + 2));
    assert_eq!(files.rename_at(here("/f"), (AT_FDCWD, format!("/{long}").as_bytes()), 0), Err(Errno::NOSPC));
    assert_eq!(files.rename_at(here("/f"), (AT_FDCWD, format!("/{fits}").as_bytes()), 0), Ok(()));
    assert_eq!(files.tree.left().bytes, 0);
    files.assert_sound();
}

#[test]
fn what_a_rename_replaces_stays_for_who_has_it_open() {
    let mut files = files();
    let fd = files.open_here("d/g", O_RDWR).unwrap();
    files.write_all(fd, b"old").unwrap();
    files.rename_at(here("f"), here("d/g"), 0).unwrap();
    assert_eq!(files.contents("d/g"), Ok(&b"hello"[..]));
    assert_eq!((files.stat(fd).unwrap().nlink, files.lseek(fd, 0, SEEK_SET)), (0, Ok(0)));
    assert_eq!(files.read_some(fd, 9), Ok(b"old".to_vec()));
    files.assert_sound();
}

#[test]
fn a_directory_that_moved_leads_up_to_where_it_is() {
    let mut files = files();
    files.mkdir_at(AT_FDCWD, b"e", 0o755).unwrap();
    files.chdir(b"d").unwrap();
    files.rename_at(here("/tmp/d"), here("/tmp/e/moved"), 0).unwrap();
    assert_eq!(files.getcwd(), Ok(b"/tmp/e/moved".to_vec()));
    files.chdir(b"..").unwrap();
    assert_eq!(files.getcwd(), Ok(b"/tmp/e".to_vec()));
    assert_eq!(files.stat_at(AT_FDCWD, b"/tmp", 0).unwrap().nlink, 3);
    assert_eq!(files.rename_at(here("/tmp/e"), here("/tmp/e/moved/e"), 0), Err(Errno::INVAL));
    files.assert_sound();
}

#[test]
fn an_exchange_changes_the_places_of_a_file_and_a_directory() {
    let mut files = files();
    files.rename_at(here("d/g"), here("d"), RENAME_EXCHANGE).unwrap_err();
    files.mkdir_at(AT_FDCWD, b"d/e", 0o755).unwrap();
    files.rename_at(here("f"), here("d/e"), RENAME_EXCHANGE).unwrap();
    assert_eq!(files.contents("d/e"), Ok(&b"hello"[..]));
    files.chdir(b"f").unwrap();
    assert_eq!(files.getcwd(), Ok(b"/tmp/f".to_vec()));
    assert_eq!(files.stat_at(AT_FDCWD, b"/tmp/d", 0).unwrap().nlink, 2);
    files.assert_sound();
}

#[test]
fn everything_has_one_owner_and_goes_to_nobody_else() {
    let mut files = files();
    files.chmod_at(AT_FDCWD, b"f", 0o6755, 0).unwrap();
    for ids in [[0, 1000], [1000, 0], [1001, u32::MAX]] {
        assert_eq!(files.chown_at(AT_FDCWD, b"f", ids, 0), Err(Errno::PERM));
    }
    assert_eq!(files.stat_at(AT_FDCWD, b"f", 0).unwrap().mode, S_IFREG | 0o6755);
    assert_eq!(files.chown_at(AT_FDCWD, b"f", [1000, u32::MAX], 0), Ok(()));
    assert_eq!(files.stat_at(AT_FDCWD, b"f", 0).unwrap().mode, S_IFREG | 0o755);
    assert_eq!(files.chmod_at(AT_FDCWD, b"lf", 0o600, AT_SYMLINK_NOFOLLOW), Err(Errno::OPNOTSUPP));
}
