//! Functions to deploy: made from what the build script compiled, and by the library.

use std::fs;
use std::io::pipe;
use std::os::fd::OwnedFd;
use std::time::Duration;

use ampoule::{Call, Command, End, Imports, Limit, Limits, Program, Sandbox, Snapshot, Stdio};

use super::{MISBEHAVES, PLAINLY};

const MARKED: &str = env!("AMPOULE_GUEST_MARKED");
/// How the mark in that file begins, and how long it is: `tests/functions/marked.c` has it.
const BEGIN: &[u8] = b"MARK:";
const MARK: usize = 32;
/// How often it answers with the mark.
const TIMES: usize = 512;

pub(crate) fn misbehaves() -> Vec<u8> {
    fs::read(MISBEHAVES).unwrap()
}

pub(crate) fn plainly() -> Vec<u8> {
    fs::read(PLAINLY).unwrap()
}

/// A function that answers with `mark`; if it is something to do (`spin`, `crash`, …), it does so when it boots.
pub(crate) fn marked(mark: &str) -> Vec<u8> {
    let mut image = fs::read(MARKED).unwrap();
    let is_mark = |at: &usize| image[*at..].starts_with(BEGIN) && image[at + MARK] == 0;
    let places: Vec<usize> = (0..image.len() - MARK).filter(is_mark).collect();
    assert_eq!(places.len(), 1, "the mark is in the file once");
    let text = mark_text(mark);
    image[places[0]..places[0] + MARK].copy_from_slice(text.as_bytes());
    image
}

fn mark_text(mark: &str) -> String {
    format!("MARK:{mark:.<27}")
}

/// What a function answers that was marked so.
pub(crate) fn marks(mark: &str) -> Vec<u8> {
    mark_text(mark).repeat(TIMES).into_bytes()
}

/// What the library may give a snapshot so that the server's defaults have room for it.
fn limits() -> Limits {
    Limits::new().memory(16 << 20).message_bytes(1 << 20)
}

fn bytes(snapshot: &Snapshot) -> Vec<u8> {
    let mut bytes = Vec::new();
    snapshot.write_to(&mut bytes).unwrap();
    bytes
}

/// The misbehaving function as it is after some calls, waiting for the next.
pub(crate) fn called(times: u32) -> Vec<u8> {
    let program = Program::from_file(MISBEHAVES).unwrap();
    let mut sandbox = Sandbox::builder(&program, &Imports::new()).limits(limits()).build(()).unwrap();
    for time in 1..=times {
        let mut reply = Vec::new();
        sandbox.call_bytes("handle", b"count", &mut reply, &Call::new()).unwrap();
        assert_eq!(reply, time.to_string().as_bytes());
    }
    bytes(&sandbox.snapshot().unwrap())
}

/// The same, stopped in the middle of a call.
pub(crate) fn stopped_in_a_call() -> Vec<u8> {
    let program = Program::from_file(MISBEHAVES).unwrap();
    let mut sandbox = Sandbox::builder(&program, &Imports::new()).limits(limits()).build(()).unwrap();
    let call = Call::new().wall(Duration::from_millis(1));
    sandbox.call_bytes("handle", b"spin", &mut Vec::new(), &call).unwrap_err();
    bytes(&sandbox.snapshot().unwrap())
}

/// The program that was stopped before it had read anything.
pub(crate) fn stopped_program() -> Vec<u8> {
    let program = Program::from_file(PLAINLY).unwrap();
    // Nothing comes, and no end either. On a slow machine a short time is over before it has begun.
    let stopped = (1..).find_map(|time| {
        let (reader, _writer) = pipe().unwrap();
        let call = Call::new().wall(Duration::from_millis(20 * time));
        let mut command = Command::new(&program);
        let stopped = command.limits(limits()).stdin(Stdio::from(OwnedFd::from(reader))).call(call).stop().unwrap();
        assert!(matches!(stopped.end, End::Limit(Limit::Wall)), "{}", stopped.end);
        stopped.snapshot
    });
    bytes(&stopped.unwrap())
}

/// As if `crc32` were honest: what is changed in a snapshot's file is looked at, and not only noticed.
pub(crate) fn with_checksum(mut file: Vec<u8>) -> Vec<u8> {
    let end = file.len() - 4;
    let checksum = crc32fast::hash(&file[..end]);
    file[end..].copy_from_slice(&checksum.to_le_bytes());
    file
}
