//! Programs that read their input while it comes, and whose answer goes out while they write.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

mod server;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use server::{PLAINLY, Server, answer, start};

/// Answers each piece of its input.
const STREAMS: &str = env!("AMPOULE_GUEST_STREAMS");

/// A request whose body comes in chunks.
fn open(server: &Server, function: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).unwrap();
    let head = format!(
        "POST /invoke/{function} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

fn send(stream: &mut TcpStream, piece: &[u8]) {
    let head = format!("{:x}\r\n", piece.len());
    stream.write_all(&[head.as_bytes(), piece, b"\r\n"].concat()).unwrap();
}

/// Reads a head up to its empty line; returns the status.
fn head(reader: &mut impl BufRead) -> u16 {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    status
}

/// The next chunk; None at the end. An answer that breaks off is an error.
fn chunk(reader: &mut impl BufRead) -> Result<Option<Vec<u8>>, std::io::Error> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let length = usize::from_str_radix(line.trim_end(), 16).unwrap();
    let mut piece = vec![0; length + 2];
    reader.read_exact(&mut piece)?;
    piece.truncate(length);
    Ok((length > 0).then_some(piece))
}

#[test]
fn a_piece_is_answered_before_the_next_is_sent() {
    let server = start(&[STREAMS, "--streaming"]);
    let mut stream = open(&server, "streams");
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    send(&mut stream, b"first");
    assert_eq!(head(&mut reader), 200);
    assert_eq!(chunk(&mut reader).unwrap().unwrap(), b"first");
    for piece in [&b"second"[..], b"third"] {
        send(&mut stream, piece);
        assert_eq!(chunk(&mut reader).unwrap().unwrap(), piece);
    }
    send(&mut stream, b"");
    assert_eq!(chunk(&mut reader).unwrap(), None);
}

#[test]
fn a_body_far_larger_than_memory_goes_through_and_one_beyond_the_bound_does_not() {
    const MIB: usize = 1 << 20;
    let server = start(&[
        STREAMS,
        "--streaming",
        "--memory-mib",
        "4",
        "--body-kib",
        "65536",
        "--reply-kib",
        "65536",
        "--wall-ms",
        "600000",
        "--cpu-ms",
        "600000",
    ]);
    let piece = vec![b'x'; MIB];
    let mut stream = open(&server, "streams");
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let count = std::thread::spawn(move || {
        assert_eq!(head(&mut reader), 200);
        let mut all = 0;
        while let Some(piece) = chunk(&mut reader).unwrap() {
            all += piece.len();
        }
        all
    });
    for _ in 0..64 {
        send(&mut stream, &piece);
    }
    send(&mut stream, b"");
    assert_eq!(count.join().unwrap(), 64 * MIB);

    let server = start(&[STREAMS, "--streaming", "--body-kib", "1"]);
    let mut stream = open(&server, "streams");
    send(&mut stream, &[b'x'; 1025]);
    assert_eq!(answer(stream).0, 413);
}

#[test]
fn a_program_that_fails_early_has_its_status_and_one_that_fails_late_breaks_off() {
    let server = start(&[STREAMS, PLAINLY, "--streaming"]);
    let (status, detail) = server.post("/invoke/streams", b"all of it, and then fail\n");
    assert_eq!((status, detail.as_str()), (502, "the function ended: exited with status 3"));
    let (status, detail) = server.post("/invoke/misbehaves_plainly", b"crash");
    assert!(status == 502 && detail.contains("null dereference"), "{status} {detail}");

    let mut stream = open(&server, "streams");
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    send(&mut stream, b"begins well");
    assert_eq!(head(&mut reader), 200);
    assert_eq!(chunk(&mut reader).unwrap().unwrap(), b"begins well");
    send(&mut stream, b"fail\n");
    send(&mut stream, b"");
    // What was written last may go with the connection; an end that could be taken for a good one never comes.
    let end = loop {
        match chunk(&mut reader) {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(end.is_err(), "{end:?}");
}

#[test]
fn a_client_that_hangs_up_in_the_middle_stops_the_program() {
    let server = start(&[STREAMS, "--streaming", "--wall-ms", "3600000"]);
    let mut stream = open(&server, "streams");
    send(&mut stream, b"first");
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    assert_eq!(head(&mut reader), 200);
    assert_eq!(server.functions()[0]["running"], 1);
    drop((stream, reader));
    // The server finds out by what it reads, or by what it writes.
    let stopped = |server: &Server| {
        let function = server.functions()[0].take();
        let failed = &function["totals"]["failed"];
        function["running"] == 0 && (failed["hung_up"] == 1 || failed["body_lost"] == 1)
    };
    while !stopped(&server) {
        std::thread::yield_now();
    }
}

#[test]
fn a_function_with_the_sdk_takes_whole_bodies() {
    let output = server::command(&[server::MISBEHAVES, "--streaming"]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && message.contains("only programs that read stdin can be streaming"),
        "{message}"
    );
}
