use super::*;

#[test]
fn a_read_moves_the_offset_only_by_what_reached_the_guest() {
    let mut files = files();
    let f = files.open_here("f", 0).unwrap();
    assert_eq!(files.read(f, 3), Ok(Source::Bytes(b"hel")));
    assert_eq!(files.read(f, 3), Ok(Source::Bytes(b"hel")));
    files.advance(f, 2).unwrap();
    assert_eq!(files.read(f, 100), Ok(Source::Bytes(b"llo")));
    files.advance(f, 3).unwrap();
    assert_eq!(files.read(f, 100), Ok(Source::End));
    assert_eq!(files.read(f, 0), Ok(Source::End));
}

#[test]
fn a_write_takes_pieces_and_moves_the_offset_with_each() {
    let mut files = files();
    let f = files.open_here("new", O_CREAT | O_RDWR).unwrap();
    let Ok(Sink::File(mut sink)) = files.write(f) else { panic!("not a file") };
    assert_eq!(sink.write(b"ab"), Ok(2));
    assert_eq!(sink.write(b""), Ok(0));
    assert_eq!(sink.write(b"cd"), Ok(2));
    assert_eq!(files.lseek(f, 0, SEEK_CUR), Ok(4));
    assert_eq!(files.contents("new"), Ok(&b"abcd"[..]));
}

#[test]
fn positioned_calls_leave_the_offset_alone() {
    let mut files = files();
    let f = files.open_here("f", O_RDWR).unwrap();
    let Ok(Sink::File(mut sink)) = files.write_at(f, 1) else { panic!("not a file") };
    assert_eq!((sink.write(b"E"), sink.write(b"LL")), (Ok(1), Ok(2)));
    assert_eq!(files.read_at(f, 1, 3), Ok(Source::Bytes(b"ELL")));
    assert_eq!(files.read_at(f, 5, 3), Ok(Source::End));
    assert_eq!(files.lseek(f, 0, SEEK_CUR), Ok(0));
}

#[test]
fn a_gap_reads_as_zeros_and_an_empty_write_makes_none() {
    let mut files = files();
    let f = files.open_here("f", O_RDWR).unwrap();
    assert_eq!(files.write_all_at(f, 100, b""), Ok(0));
    assert_eq!(files.contents("f"), Ok(&b"hello"[..]));
    assert_eq!(files.write_all_at(f, 7, b"!"), Ok(1));
    assert_eq!(files.contents("f"), Ok(&b"hello\0\0!"[..]));
}

#[test]
fn appending_goes_to_the_end_wherever_the_offset_is() {
    let mut files = files();
    let f = files.open_here("f", O_RDWR | O_APPEND).unwrap();
    assert_eq!(files.write_all(f, b"1"), Ok(1));
    assert_eq!(files.lseek(f, 0, SEEK_CUR), Ok(6));
    assert_eq!(files.write_all_at(f, 0, b"2"), Ok(1));
    assert_eq!(files.contents("f"), Ok(&b"hello12"[..]));
    assert_eq!(files.lseek(f, 0, SEEK_CUR), Ok(6));
    files.fcntl(f, F_SETFL, 0).unwrap();
    assert_eq!(files.write_all_at(f, 0, b"H"), Ok(1));
    assert_eq!(files.contents("f"), Ok(&b"Hello12"[..]));
}

#[test]
fn the_access_mode_is_kept() {
    let mut files = files();
    let (r, w) = (files.open_here("f", 0).unwrap(), files.open_here("f", O_WRONLY).unwrap());
    let neither = files.open_here("f", 3).unwrap();
    for f in [w, neither] {
        assert_eq!(files.read(f, 1), Err(Errno::BADF));
        assert_eq!(files.read_at(f, 0, 1), Err(Errno::BADF));
    }
    for f in [r, neither] {
        assert_eq!(files.write(f).map(|_| ()), Err(Errno::BADF));
        assert_eq!(files.write_at(f, 0).map(|_| ()), Err(Errno::BADF));
        assert_eq!(files.ftruncate(f, 0), Err(Errno::INVAL));
    }
}

#[test]
fn directories_are_not_read_or_written() {
    let mut files = files();
    let d = files.open_here("d", 0).unwrap();
    assert_eq!(files.read(d, 1), Err(Errno::ISDIR));
    assert_eq!(files.read_at(d, 0, 0), Err(Errno::ISDIR));
    assert_eq!(files.write(d).map(|_| ()), Err(Errno::BADF));
    assert_eq!(files.ftruncate(d, 0), Err(Errno::INVAL));
}

#[test]
fn streams_are_the_callers_and_have_no_offset() {
    let mut files = files();
    assert_eq!(files.read(0, 10), Ok(Source::Stream(Stream::Stdin)));
    assert!(matches!(files.write(1), Ok(Sink::Stream(Stream::Stdout))));
    assert!(matches!(files.write(2), Ok(Sink::Stream(Stream::Stderr))));
    assert_eq!(files.read(1, 1), Err(Errno::BADF));
    assert_eq!(files.write(0).map(|_| ()), Err(Errno::BADF));
    assert_eq!(files.read_at(0, 0, 1), Err(Errno::SPIPE));
    assert_eq!(files.read_at(1, 0, 1), Err(Errno::SPIPE));
    assert_eq!(files.write_at(1, 0).map(|_| ()), Err(Errno::SPIPE));
    assert_eq!(files.lseek(0, 0, SEEK_CUR), Err(Errno::SPIPE));
    assert_eq!(files.lseek(0, 0, 5), Err(Errno::INVAL));
    assert_eq!(files.ftruncate(1, 0), Err(Errno::INVAL));
}

#[test]
fn devices_give_and_take_without_end_and_stay_at_zero() {
    let mut files = files();
    for (path, source) in [
        ("/dev/null", Source::End),
        ("/dev/zero", Source::Zeros(9)),
        ("/dev/random", Source::Random(9)),
        ("/dev/urandom", Source::Random(9)),
    ] {
        let device = files.open_here(path, O_RDWR).unwrap();
        assert!(matches!(files.object(device), Ok(Object::Device(Device::Null | Device::Zero | Device::Random, _))));
        assert_eq!(files.read(device, 9), Ok(source));
        assert_eq!(files.read_at(device, 1 << 40, 9), Ok(source));
        files.advance(device, 9).unwrap();
        assert!(matches!(files.write(device), Ok(Sink::Discard)));
        assert!(matches!(files.write_at(device, 7), Ok(Sink::Discard)));
        assert_eq!(files.lseek(device, -5, SEEK_END), Ok(0));
        assert_eq!(files.lseek(device, 0, 5), Err(Errno::INVAL));
        assert_eq!(files.ftruncate(device, 0), Err(Errno::INVAL));
    }
}

#[test]
fn no_source_is_longer_than_one_transfer_may_be() {
    let mut files = files();
    let zero = files.open_here("/dev/zero", 0).unwrap();
    assert_eq!(files.read(zero, usize::MAX >> 1), Ok(Source::Zeros(0x7fff_f000)));
    assert_eq!(files.read(zero, usize::MAX), Err(Errno::INVAL));
}

#[test]
fn seeks_end_as_in_linux() {
    let mut files = files();
    let f = files.open_here("f", O_RDWR).unwrap();
    for (offset, whence, end) in [
        (3, SEEK_SET, Ok(3)),
        (-1, SEEK_SET, Err(Errno::INVAL)),
        (-3, SEEK_CUR, Ok(0)),
        (-1, SEEK_CUR, Err(Errno::INVAL)),
        (-1, SEEK_END, Ok(4)),
        (-6, SEEK_END, Err(Errno::INVAL)),
        (i64::MAX, SEEK_END, Err(Errno::INVAL)),
        (i64::MAX, SEEK_SET, Ok(i64::MAX)),
        (1, SEEK_CUR, Err(Errno::INVAL)),
        (i64::MIN, SEEK_CUR, Err(Errno::INVAL)),
        (0, SEEK_CUR, Ok(i64::MAX)),
        (4, SEEK_DATA, Ok(4)),
        (5, SEEK_DATA, Err(Errno::NXIO)),
        (-1, SEEK_DATA, Err(Errno::NXIO)),
        (4, SEEK_HOLE, Ok(5)),
        (5, SEEK_HOLE, Err(Errno::NXIO)),
        (0, 5, Err(Errno::INVAL)),
        (0, u32::MAX, Err(Errno::INVAL)),
        (0, SEEK_CUR, Ok(5)),
    ] {
        assert_eq!(files.lseek(f, offset, whence), end, "lseek({offset}, {whence})");
    }
    assert_eq!(files.lseek(99, 0, 9), Err(Errno::BADF));
}

#[test]
fn nothing_is_read_or_written_past_the_largest_offset() {
    let mut files = files();
    let f = files.open_here("f", O_RDWR).unwrap();
    files.lseek(f, i64::MAX, SEEK_SET).unwrap();
    assert_eq!(files.read(f, 1), Err(Errno::INVAL));
    assert_eq!(files.read(f, 0), Ok(Source::End));
    assert_eq!(files.write_all(f, b"x"), Err(Errno::INVAL));
    assert_eq!(files.write_all(f, b""), Ok(0));
    files.advance(f, 1).unwrap();
    assert_eq!(files.lseek(f, 0, SEEK_CUR), Ok(i64::MAX));
    assert_eq!(files.read_at(f, i64::MAX - 9, 10), Err(Errno::INVAL));
    assert_eq!(files.read_at(f, -1, 0), Err(Errno::INVAL));
    assert_eq!(files.read_at(99, -1, 0), Err(Errno::INVAL));
    assert_eq!(files.write_all_at(f, i64::MAX - 9, b"0123456789"), Err(Errno::INVAL));
    assert_eq!(files.write_all_at(f, -1, b""), Err(Errno::INVAL));
}

#[test]
fn truncation_cuts_off_and_fills_with_zeros_and_leaves_the_offset() {
    let mut files = files();
    let f = files.open_here("f", O_RDWR).unwrap();
    files.lseek(f, 4, SEEK_SET).unwrap();
    files.ftruncate(f, 2).unwrap();
    assert_eq!(files.read(f, 9), Ok(Source::End));
    files.ftruncate(f, 5).unwrap();
    assert_eq!(files.contents("f"), Ok(&b"he\0\0\0"[..]));
    assert_eq!(files.lseek(f, 0, SEEK_CUR), Ok(4));
    assert_eq!(files.ftruncate(f, -1), Err(Errno::INVAL));
    assert_eq!(files.ftruncate(99, -1), Err(Errno::INVAL));
    assert_eq!(files.ftruncate(99, 0), Err(Errno::BADF));
}

#[test]
fn a_changed_file_does_not_change_in_an_earlier_clone() {
    let mut files = files();
    let snapshot = files.clone();
    let f = files.open_here("f", O_RDWR).unwrap();
    files.write_all(f, b"J").unwrap();
    files.unlink_at(AT_FDCWD, b"d/g", 0).unwrap();
    files.ftruncate(f, 3).unwrap();
    assert_eq!(snapshot.contents("f"), Ok(&b"hello"[..]));
    assert!(snapshot.stat_at(AT_FDCWD, b"d/g", 0).is_ok());
    assert_eq!(files.contents("f"), Ok(&b"Jel"[..]));
    snapshot.assert_account();
    files.assert_account();
}

#[test]
fn reading_and_closing_share_everything_with_an_earlier_clone() {
    let mut files = files();
    let snapshot = files.clone();
    let f = files.open_here("f", O_RDWR).unwrap();
    files.read_some(f, 5).unwrap();
    files.close(f).unwrap();
    files.chdir(b"d").unwrap();
    assert!(Arc::ptr_eq(&files.tree, &snapshot.tree));
}
