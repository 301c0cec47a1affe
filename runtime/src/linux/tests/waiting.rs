//! What a program waits for: where only itself could end the wait, it is a deadlock, and everything else ends within the limits.

use std::io::Write;

use rustix::io::Errno;

use super::*;
use crate::end::{End, Limit};
use crate::linux::files::{Object, Stream};
use crate::linux::streams::Input;
use crate::linux::streams::host_file::HostFile;

const READ: u64 = 0;
const WRITE: u64 = 1;
const CLOSE: u64 = 3;
const PIPE: u64 = 22;
const SELECT: u64 = 23;
const DUP: u64 = 32;
const SOCKETPAIR: u64 = 53;
const EPOLL_WAIT: u64 = 232;
const EPOLL_CTL: u64 = 233;
const EVENTFD2: u64 = 290;
const EPOLL_CREATE1: u64 = 291;
const POLL: u64 = 7;
const SENDFILE: u64 = 40;
const FCNTL: u64 = 72;
const CLOSE_RANGE: u64 = 436;

const ADD: u64 = 1;
const ET: u64 = 1 << 31;
const FOR_EVER: u64 = u64::MAX;

fn failed(errno: Errno) -> i64 {
    -i64::from(errno.raw_os_error())
}

fn rig() -> Rig {
    Rig::new(512)
}

fn add(rig: &mut Rig, set: u64, fd: u64, events: u64) -> i64 {
    rig.put_words(DATA, &[events | fd << 32, 0]);
    rig.call(EPOLL_CTL, &[set, ADD, fd, DATA])
}

#[test]
fn a_wait_that_nothing_can_end_is_a_deadlock() {
    let mut rig = rig();
    assert_eq!(rig.call(EPOLL_CREATE1, &[]), 3);
    assert_eq!(rig.ends(EPOLL_WAIT, &[3, DATA, 1, FOR_EVER]), End::Deadlock);
    assert_eq!(rig.call(PIPE, &[DATA]), 0);
    assert_eq!(add(&mut rig, 3, 4, 1), 0);
    assert_eq!(rig.ends(EPOLL_WAIT, &[3, DATA, 1, FOR_EVER]), End::Deadlock);
    assert!(rig.process.waited());
    rig.put_words(DATA, &[1 << 4]);
    assert_eq!(rig.ends(SELECT, &[5, DATA, 0, 0, 0]), End::Deadlock);
    assert_eq!(rig.ends(SELECT, &[]), End::Deadlock);
    assert_eq!(rig.call(EVENTFD2, &[0, 0]), 6);
    assert_eq!(rig.ends(READ, &[6, DATA, 8]), End::Deadlock);
    assert_eq!(rig.call(SOCKETPAIR, &[1, 1, 0, DATA]), 0);
    assert_eq!(rig.ends(READ, &[7, DATA, 8]), End::Deadlock);
    rig.put_words(DATA, &[3 | 1 << 32]);
    assert_eq!(rig.ends(POLL, &[DATA, 1, FOR_EVER]), End::Deadlock);
    rig.check();
}

#[test]
fn a_wait_with_a_time_out_ends_by_it_or_by_the_limit() {
    let mut rig = rig();
    rig.call(EPOLL_CREATE1, &[]);
    assert_eq!(rig.call(EPOLL_WAIT, &[3, DATA, 1, 1]), 0);
    rig.put_words(DATA, &[0, 1000]);
    assert_eq!(rig.call(SELECT, &[0, 0, 0, 0, DATA]), 0);
    assert_eq!((rig.word(DATA), rig.word(DATA + 8)), (0, 0));
    assert_eq!(rig.ends(EPOLL_WAIT, &[3, DATA, 1, 100_000]), End::Limit(Limit::Wall));
    assert!(rig.process.waited());
    rig.put_words(DATA, &[100, 0]);
    assert_eq!(rig.ends(SELECT, &[0, 0, 0, 0, DATA]), End::Limit(Limit::Wall));
    assert_eq!(rig.word(DATA), 100, "it can be made again");
}

#[test]
fn an_edge_of_a_stream_is_told_once_and_again_after_the_program_has_written() {
    let mut rig = rig();
    rig.call(EPOLL_CREATE1, &[]);
    assert_eq!(add(&mut rig, 3, 1, 4 | ET), 0);
    let wait = |rig: &mut Rig| rig.call(EPOLL_WAIT, &[3, DATA + 64, 4, 0]);
    assert_eq!((wait(&mut rig), wait(&mut rig)), (1, 0));
    assert_eq!(rig.call(WRITE, &[1, DATA, 1]), 1);
    assert_eq!((wait(&mut rig), wait(&mut rig)), (1, 0));
    // What it goes to takes everything and has nobody at its end.
    assert_eq!(rig.ends(EPOLL_WAIT, &[3, DATA, 1, FOR_EVER]), End::Deadlock);
}

#[test]
fn a_set_takes_as_many_members_as_it_has_paid_for_and_no_sets() {
    let mut rig = rig();
    rig.process.files = Files::new(Quota { bytes: 1 << 18, inodes: 64 }, 2000);
    assert_eq!((rig.call(EPOLL_CREATE1, &[]), rig.call(EPOLL_CREATE1, &[])), (3, 4));
    assert_eq!(rig.call(EVENTFD2, &[0, 0]), 5);
    assert_eq!(add(&mut rig, 3, 5, 1), 0);
    for fd in 6..1029 {
        assert_eq!(rig.call(DUP, &[5]), fd);
        assert_eq!(add(&mut rig, 3, fd.unsigned_abs(), 1), 0);
    }
    assert_eq!(rig.call(DUP, &[5]), 1029);
    assert_eq!(add(&mut rig, 3, 1029, 1), failed(Errno::NOSPC));
    assert_eq!(add(&mut rig, 4, 3, 1), failed(Errno::LOOP));
    rig.process.files.assert_interests();
    // The last number of what they wait for: they are gone.
    for fd in 5..1030 {
        assert_eq!(rig.call(CLOSE, &[fd]), 0);
    }
    assert_eq!(rig.call(EPOLL_WAIT, &[3, DATA, 1, 0]), 0);
    rig.process.files.assert_interests();
}

#[test]
fn what_has_no_name_is_charged_and_given_back() {
    let mut rig = rig();
    let quota = Quota { bytes: 200_000, inodes: 12 };
    rig.process.files = Files::new(quota, 32);
    let left = |rig: &Rig| rig.process.files.quota()[1];
    let before = left(&rig);
    assert_eq!(rig.call(SOCKETPAIR, &[1, 1, 0, DATA]), 0);
    assert_eq!(left(&rig), Quota { bytes: before.bytes - 2 * 65_536, inodes: before.inodes - 2 });
    assert_eq!(rig.call(EPOLL_CREATE1, &[]), 5);
    assert_eq!(left(&rig), Quota { bytes: before.bytes - 3 * 65_536, inodes: before.inodes - 3 });
    for refused in [(EPOLL_CREATE1, [0; 4]), (SOCKETPAIR, [1, 1, 0, DATA]), (PIPE, [DATA, 0, 0, 0])] {
        assert_eq!(rig.call(refused.0, &refused.1), failed(Errno::NFILE));
    }
    assert_eq!(rig.call(EVENTFD2, &[0, 0]), 6);
    assert_eq!(rig.call(EVENTFD2, &[0, 0]), failed(Errno::NFILE));
    rig.check();
    (3..7).for_each(|fd| assert_eq!(rig.call(CLOSE, &[fd]), 0));
    assert_eq!(left(&rig), before);
    // A place in memory that cannot be written: nothing stays open.
    assert_eq!(rig.call(SOCKETPAIR, &[1, 1, 0, 8]), failed(Errno::FAULT));
    assert_eq!(left(&rig), before);
    rig.check();
}

#[test]
fn a_stream_is_waited_for_once_however_often_it_is_named() {
    let mut rig = rig();
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"something").unwrap();
    rig.streams.input = Input::File(HostFile::own_pipe(reader.into()).unwrap());
    // The host polls no more descriptors than a process may have open.
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let count = usize::try_from(most.clamp(1 << 20, 4 << 20)).unwrap() + 1;
    let mut watch = watch(u64::MAX);
    let waited = vec![(Object::Stream(Stream::Stdin), 1); count];
    let mut kernel = rig.kernel(&mut watch);
    let mut patience = kernel.patience(None);
    assert!(kernel.wait_for(&waited, &mut patience).is_ok());
}

#[test]
fn what_is_done_piece_by_piece_ends_by_the_limit_and_goes_on_from_there() {
    let mut rig = rig();
    assert_eq!(rig.call(EPOLL_CREATE1, &[]), 3);
    assert_eq!(rig.call(PIPE, &[DATA]), 0);
    rig.put_words(DATA, &[3 | 1 << 32]);
    for (number, arguments) in [(POLL, [DATA, 1, 0]), (CLOSE_RANGE, [3, 9, 0])] {
        match rig.call_within(0, number, &arguments) {
            Err(Refusal::End(End::Limit(Limit::Wall))) => assert!(rig.process.waited()),
            other => panic!("{other:?}"),
        }
        assert_eq!(rig.call(number, &arguments), 0);
    }
    assert_eq!(rig.process.files.open_descriptors(), [0, 1, 2]);
}

#[test]
fn bytes_of_a_stream_are_not_taken_for_a_pipe_that_may_have_no_room_for_them() {
    let mut rig = rig();
    rig.streams.input = Input::Bytes { bytes: vec![7; 100_000].into(), position: 0 };
    assert_eq!(rig.call(PIPE, &[DATA]), 0);
    assert_eq!(rig.call(SENDFILE, &[4, 0, 0, 100_000]), failed(Errno::INVAL));
    assert_eq!(rig.streams.bytes_in, 0);
}

#[test]
fn a_stream_that_is_not_to_be_waited_for_is_not_waited_for_by_a_copy_either() {
    let mut rig = rig();
    let (reader, _writer) = std::io::pipe().unwrap();
    rig.streams.input = Input::File(HostFile::own_pipe(reader.into()).unwrap());
    assert_eq!(rig.call(FCNTL, &[0, 4, 0o4000]), 0);
    assert_eq!(rig.call_within(50_000_000, SENDFILE, &[1, 0, 0, 8]).unwrap().cast_signed(), failed(Errno::AGAIN));
}
