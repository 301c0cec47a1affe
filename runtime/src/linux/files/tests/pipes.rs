//! Pipes, and descriptors that are only places.

use super::*;

/// Files with a pipe at 3 and 4, and what it is.
fn with_pipe() -> (Files, InodeId) {
    let mut files = files();
    assert_eq!(files.pipe(0), Ok([3, 4]));
    let Ok(Object::Pipe(pipe)) = files.object(3) else { panic!("{:?}", files.object(3)) };
    (files, pipe)
}

#[test]
fn bytes_come_out_of_a_pipe_in_the_order_in_which_they_went_in_and_as_many_as_fit() {
    let (mut files, pipe) = with_pipe();
    let bytes: Vec<u8> = (0..70_000_u32).map(|at| at.to_le_bytes()[1]).collect();
    assert_eq!(files.pipe_append(pipe, &bytes), Ok(PIPE_CAPACITY));
    assert_eq!(files.pipe_append(pipe, b"x"), Ok(0));
    assert_eq!(files.pipe_peek(pipe, 1000), Ok(bytes[..1000].to_vec()));
    files.pipe_consume(pipe, 1000).unwrap();
    assert_eq!(files.pipe_append(pipe, &bytes[PIPE_CAPACITY..]), Ok(1000));
    files.assert_sound();
    assert_eq!(files.pipe_peek(pipe, usize::MAX), Ok(bytes[1000..PIPE_CAPACITY + 1000].to_vec()));
}

#[test]
fn a_pipe_knows_which_of_its_ends_are_open() {
    let (mut files, pipe) = with_pipe();
    let state = |files: &Files| files.pipe_state(pipe).map(|state| (state.has_readers, state.has_writers));
    assert_eq!(state(&files), Ok((true, true)));
    let copy = files.dup(4).unwrap();
    files.close(4).unwrap();
    assert_eq!(state(&files), Ok((true, true)));
    files.close(copy).unwrap();
    assert_eq!(state(&files), Ok((true, false)));
    files.close(3).unwrap();
    assert_eq!(state(&files), Ok((false, false)), "it is gone");
    files.assert_sound();
}

#[test]
fn a_pipe_costs_its_capacity_and_an_inode_until_both_ends_are_closed() {
    let mut files = Files::new(Quota { bytes: PIPE_CAPACITY + 100, inodes: 10 }, 5);
    let left = files.tree.left();
    assert_eq!(files.pipe(0), Ok([3, 4]));
    let with_it = Quota { bytes: left.bytes - PIPE_CAPACITY, inodes: left.inodes - 1 };
    assert_eq!(files.tree.left(), with_it);
    assert_eq!(files.pipe(0), Err(Errno::NFILE));
    files.close(3).unwrap();
    assert_eq!(files.tree.left(), with_it);
    files.close(4).unwrap();
    assert_eq!(files.tree.left(), left);
    // No descriptor for the second end.
    files.dup(0).unwrap();
    assert_eq!(files.pipe(0), Err(Errno::MFILE));
    assert_eq!(files.tree.left(), left);
    files.assert_sound();
}

#[test]
fn a_pipe_is_no_file() {
    let (mut files, _) = with_pipe();
    let stat = files.stat(3).unwrap();
    assert_eq!((stat.mode, stat.nlink, stat.size), (S_IFIFO | 0o600, 1, 0));
    assert_eq!(files.stat(4), Ok(stat));
    assert_eq!(files.lseek(3, 0, SEEK_SET), Err(Errno::SPIPE));
    assert_eq!(files.read_at(3, 0, 1), Err(Errno::SPIPE));
    assert_eq!(files.read(4, 1), Err(Errno::BADF));
    assert_eq!(files.write(3).map(|_| ()).unwrap_err(), Errno::BADF);
    assert_eq!(files.ftruncate(4, 0), Err(Errno::INVAL));
    assert_eq!(files.fallocate(4, 0, 0, 1), Err(Errno::SPIPE));
    assert_eq!(files.fcntl(4, F_GETFL, 0), Ok(O_WRONLY.cast_signed()));
    assert_eq!(files.link_at((3, b""), (AT_FDCWD, b"named"), AT_EMPTY_PATH), Err(Errno::XDEV));
    for flags in [O_WRONLY, 0o40_000, O_APPEND] {
        assert_eq!(files.pipe(flags), Err(Errno::INVAL));
    }
    assert_eq!(files.pipe(O_CLOEXEC | O_NONBLOCK), Ok([5, 6]));
    assert_eq!((files.fcntl(5, F_GETFD, 0), files.fcntl(5, F_GETFL, 0)), (Ok(1), Ok(O_NONBLOCK.cast_signed())));
}

#[test]
fn a_place_can_be_asked_about_and_started_from_and_nothing_else() {
    let mut files = files();
    assert_eq!(files.open_here("d", O_PATH | O_RDWR | O_TRUNC), Ok(3));
    assert_eq!(files.open_here("f", O_PATH), Ok(4));
    assert_eq!(files.open_here("gone", O_PATH | O_NOFOLLOW | O_CLOEXEC), Ok(5));
    assert_eq!(files.open_here("lf", O_PATH | O_NOFOLLOW | O_DIRECTORY), Err(Errno::NOTDIR));
    assert_eq!(files.open_here("absent", O_PATH | O_CREAT), Err(Errno::NOENT));
    assert_eq!(files.stat(4), files.stat_at(AT_FDCWD, b"f", 0));
    assert_eq!(*files.readlink_at(5, b"").unwrap(), *b"nowhere");
    assert_eq!(files.readlink_at(4, b""), Err(Errno::NOENT));
    assert!(files.open(3, b"g", 0, 0).is_ok());
    assert_eq!(files.open(4, b"g", 0, 0), Err(Errno::NOTDIR));
    assert_eq!(files.fcntl(5, F_GETFL, 0), Ok((O_PATH | O_NOFOLLOW).cast_signed()));
    for descriptor in 3..6 {
        assert_eq!(files.object(descriptor), Err(Errno::BADF));
        assert_eq!(files.read(descriptor, 1), Err(Errno::BADF));
        assert_eq!(files.write(descriptor).map(|_| ()).unwrap_err(), Errno::BADF);
        assert_eq!(files.lseek(descriptor, 0, 99), Err(Errno::BADF));
        assert_eq!(files.ftruncate(descriptor, 0), Err(Errno::BADF));
        assert_eq!(files.chmod(descriptor, 0), Err(Errno::BADF));
        assert_eq!(files.list(descriptor).map(|_| ()), Err(Errno::BADF));
        assert_eq!(files.fcntl(descriptor, F_SETFL, 0), Err(Errno::BADF));
        assert!(files.fcntl(descriptor, F_DUPFD, 0).is_ok());
    }
    files.unlink_at(AT_FDCWD, b"gone", 0).unwrap();
    files.assert_sound();
    files.fchdir(3).unwrap();
    assert_eq!(files.getcwd(), Ok(b"/tmp/d".to_vec()));
    assert_eq!(files.fchdir(4), Err(Errno::NOTDIR));
}
