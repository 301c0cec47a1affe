//! Waits of a task's run: a system call that has done nothing is given up and served again, and is then over when it was to be; no other is.

use std::io::{PipeWriter, Read, Write};

use super::*;
use crate::End;
use crate::end::Limit;
use crate::linux::rig::watch_slice;
use crate::linux::streams::awaited::Awaited;
use crate::linux::streams::host_file::HostFile;
use crate::linux::streams::{Input, Output};
use crate::vm::clock;
use crate::vm::parked::Parked;
use crate::vm::watch::Slice;

const READ: u64 = 0;
const WRITE: u64 = 1;
const POLL: u64 = 7;
const SELECT: u64 = 23;
const NANOSLEEP: u64 = 35;
const SENDFILE: u64 = 40;
const FUTEX: u64 = 202;
const CLOCK_NANOSLEEP: u64 = 230;
const PREADV2: u64 = 327;

const SECOND: u64 = 1_000_000_000;
const FOREVER: u64 = u64::MAX;

/// One whose stdin is an empty pipe.
fn listening() -> (Rig, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut rig = Rig::new(512);
    rig.streams.input = Input::File(HostFile::own_pipe(reader.into()).unwrap());
    (rig, writer)
}

/// Makes a system call in a slice of a task's run, or serves the last one again.
fn serve(rig: &mut Rig, call: Option<(u64, &[u64])>) -> Result<u64, Refusal> {
    if let Some((number, arguments)) = call {
        rig.set_call(number, arguments);
    }
    let mut watch = watch_slice(SECOND / 20, Some(Slice { spent: 0 }));
    let mut kernel = rig.kernel(&mut watch);
    if call.is_some() { kernel.syscall() } else { kernel.syscall_again() }?;
    Ok(rig.machine.registers().rax)
}

fn parked(served: Result<u64, Refusal>) -> Parked {
    match served {
        Err(Refusal::Parked(parked)) => parked,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wait_is_over_when_it_was_to_be_however_often_it_is_served_again_and_it_is_counted_once() {
    let mut rig = Rig::new(512);
    rig.put_words(DATA, &[3600, 0]);
    let calls: [(u64, &[u64]); 5] = [
        (NANOSLEEP, &[DATA]),
        (CLOCK_NANOSLEEP, &[1, 0, DATA]),
        (POLL, &[0, 0, 3_600_000]),
        (SELECT, &[0, 0, 0, 0, DATA]),
        (FUTEX, &[DATA + 8, 0, 0, DATA]),
    ];
    for (number, arguments) in calls {
        rig.process.counts.clear();
        let before = clock::monotonic();
        let first = parked(serve(&mut rig, Some((number, arguments))));
        let until = first.until.unwrap();
        assert!(until >= before + 3600 * SECOND && until <= clock::monotonic() + 3600 * SECOND, "{number}");
        for _ in 0..3 {
            assert!(rig.process.waited());
            assert_eq!(parked(serve(&mut rig, None)).until, Some(until), "{number}");
        }
        assert!(rig.process.counts.list().is_empty());
        // Its time has come.
        rig.process.waits_until = Some(before);
        serve(&mut rig, None).unwrap();
        assert_eq!(rig.process.counts.list().len(), 1);
        rig.put_words(DATA, &[3600, 0]);
    }
    // The next one has a time of its own.
    assert!(parked(serve(&mut rig, Some((NANOSLEEP, &[DATA])))).until.unwrap() > clock::monotonic());
}

#[test]
fn a_read_of_a_stream_is_parked_until_there_is_something() {
    let (mut rig, mut writer) = listening();
    rig.put_words(DATA + 64, &[DATA, 8]);
    let calls: [(u64, &[u64]); 3] =
        [(READ, &[0, DATA, 8]), (PREADV2, &[0, DATA + 64, 1, FOREVER]), (SENDFILE, &[1, 0, 0, 8])];
    for (number, arguments) in calls {
        let waits = parked(serve(&mut rig, Some((number, arguments))));
        assert_eq!((waits.until, waits.files.len()), (None, 1), "{number}");
        assert!(rig.process.waited(), "{number}");
        assert_eq!(parked(serve(&mut rig, None)).files.len(), 1, "{number}: there still is nothing");
        writer.write_all(b"bytes").unwrap();
        assert_eq!(serve(&mut rig, None).unwrap(), 5, "{number}");
    }
}

#[test]
fn a_write_is_parked_while_nothing_of_it_is_written_and_its_thread_waits_with_one_that_is_half_done() {
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let room = rustix::pipe::fcntl_getpipe_size(&writer).unwrap();
    writer.write_all(&vec![b'-'; room]).unwrap();
    let mut rig = Rig::new(512);
    rig.streams.output = Output::File(HostFile::own_pipe(writer.into()).unwrap());
    let waits = parked(serve(&mut rig, Some((WRITE, &[1, DATA, 5000]))));
    assert_eq!((waits.until, waits.files.len(), rig.process.waited()), (None, 1, true));
    let mut taken = vec![0; 4096];
    reader.read_exact(&mut taken).unwrap();
    // A page of it fits.
    match serve(&mut rig, None) {
        Err(Refusal::End(End::Limit(Limit::Wall))) => assert!(!rig.process.waited(), "it cannot be served again"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wait_for_input_that_nobody_has_given_yet_begins_when_somebody_goes_on() {
    let (mut rig, _writer) = listening();
    rig.streams.awaited = Some(Awaited::Stdin);
    rig.put_words(DATA, &[1 << 32]);
    let asks = serve(&mut rig, Some((POLL, &[DATA, 1, 3_600_000])));
    assert!(matches!(asks, Err(Refusal::End(End::AtInput))), "{asks:?}");
    assert!(rig.process.waited() && rig.process.waits_until.is_none());
    let before = clock::monotonic();
    assert!(parked(serve(&mut rig, None)).until.unwrap() >= before + 3600 * SECOND);
}

#[test]
fn a_limit_that_is_reached_is_a_limit_and_no_wait() {
    let mut rig = Rig::new(512);
    rig.put_words(DATA, &[3600, 0]);
    rig.set_call(NANOSLEEP, &[DATA]);
    let mut watch = watch_slice(0, Some(Slice { spent: 0 }));
    let served = rig.kernel(&mut watch).syscall();
    assert!(matches!(served, Err(Refusal::End(End::Limit(Limit::Wall)))), "{served:?}");
    assert!(rig.process.waited());
}
