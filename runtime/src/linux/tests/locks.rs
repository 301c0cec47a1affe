//! Locks on files of the host's: others may hold them, who waits for one waits within the limits, and none outlives the program that took it.

use std::fs::File;
use std::os::fd::AsFd;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::*;
use crate::end::{End, Limit};
use crate::linux::files::HostDir;
use crate::linux::files::abi::{AT_FDCWD, O_RDWR};
use crate::vm::file_lock::{LockKind, RecordLock};

const CLOSE: u64 = 3;
const FCNTL: u64 = 72;
const FLOCK: u64 = 73;

const SETLK: u64 = 6;
const SETLKW: u64 = 7;
const OFD_SETLK: u64 = 37;
const SHARED: u64 = 0;
const EXCLUSIVE: u64 = 1;
const ALL: RecordLock = RecordLock { kind: LockKind::Exclusive, start: 0, length: 0 };

/// A program with a directory of the host's at `/data`, and a file in it that the host has open.
fn rig() -> (Rig, tempfile::TempDir, File) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "contents").unwrap();
    let file = File::options().read(true).write(true).open(directory.path().join("file")).unwrap();
    let mut rig = Rig::new(256);
    rig.process.files.insert_mount(b"/data", &HostDir::read_write(directory.path()).unwrap()).unwrap();
    (rig, directory, file)
}

fn open(rig: &mut Rig, flags: u32) -> u64 {
    rig.process.files.open(AT_FDCWD, b"/data/file", flags, 0).unwrap().try_into().unwrap()
}

fn set_lock(rig: &mut Rig, fd: u64, command: u64, kind: u64) -> i64 {
    rig.put_words(DATA, &[kind, 0, 0, 0]);
    rig.call(FCNTL, &[fd, command, DATA])
}

fn failed(errno: Errno) -> i64 {
    -i64::from(errno.raw_os_error())
}

fn free(file: &File) -> Result<(), Errno> {
    ALL.set(file.as_fd())?;
    RecordLock { kind: LockKind::Unlocked, ..ALL }.set(file.as_fd())
}

#[test]
fn a_lock_of_a_whole_file_is_the_hosts() {
    let (mut rig, _directory, file) = rig();
    let fd = open(&mut rig, O_RDWR);
    flock(&file, FlockOperation::NonBlockingLockShared).unwrap();
    assert_eq!(rig.call(FLOCK, &[fd, 2 | 4]), failed(Errno::AGAIN));
    assert_eq!(rig.call(FLOCK, &[fd, 1]), 0);
    assert_eq!(rig.ends(FLOCK, &[fd, 2]), End::Limit(Limit::Wall));
    assert!(rig.process.waited(), "it can be made again");
    flock(&file, FlockOperation::NonBlockingUnlock).unwrap();
    assert_eq!(rig.call(FLOCK, &[fd, 2]), 0);
    assert_eq!(flock(&file, FlockOperation::NonBlockingLockShared), Err(Errno::AGAIN));
    assert_eq!(rig.call(CLOSE, &[fd]), 0);
    flock(&file, FlockOperation::NonBlockingLockShared).unwrap();
}

#[test]
fn who_waits_for_a_range_can_go_on_waiting_in_the_next_run() {
    let (mut rig, _directory, file) = rig();
    let fd = open(&mut rig, O_RDWR);
    ALL.set(file.as_fd()).unwrap();
    assert_eq!(set_lock(&mut rig, fd, SETLK, EXCLUSIVE), failed(Errno::AGAIN));
    assert_eq!(rig.ends(FCNTL, &[fd, SETLKW, DATA]), End::Limit(Limit::Wall));
    assert!(rig.process.waited());
}

#[test]
fn a_process_has_its_locks_on_a_file_whichever_descriptor_it_took_them_through() {
    let (mut rig, _directory, file) = rig();
    let (reads, both) = (open(&mut rig, 0), open(&mut rig, O_RDWR));
    assert_eq!(set_lock(&mut rig, reads, SETLK, SHARED), 0);
    assert_eq!(set_lock(&mut rig, reads, SETLK, EXCLUSIVE), failed(Errno::BADF));
    assert_eq!(set_lock(&mut rig, both, SETLK, EXCLUSIVE), 0);
    assert_eq!(free(&file), Err(Errno::AGAIN));
    assert_eq!(
        set_lock(&mut rig, both, OFD_SETLK, EXCLUSIVE),
        failed(Errno::AGAIN),
        "that would be the open file's own"
    );
    assert_eq!(rig.call(CLOSE, &[reads]), 0);
    free(&file).unwrap();
}

#[test]
fn a_lock_is_gone_with_the_process_that_took_it_even_if_a_snapshot_has_the_file_open() {
    let (mut rig, _directory, file) = rig();
    let fd = open(&mut rig, O_RDWR);
    let saved = rig.process.clone();
    assert_eq!(set_lock(&mut rig, fd, SETLK, EXCLUSIVE), 0);
    assert_eq!(free(&file), Err(Errno::AGAIN));
    rig.process.restore(&saved);
    free(&file).unwrap();
    assert_eq!(set_lock(&mut rig, fd, SETLK, EXCLUSIVE), 0);
    drop(rig);
    free(&file).unwrap();
}
