//! The whole server, over the loopback: what a function does is its own request's business and nobody else's.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that fails is a test that fails"
)]

mod server;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Barrier;

use rustix::process::{Pid, Signal, kill_process};
use server::{BOTH, MISBEHAVES, answer, command, misbehaving, start};

/// A function that is not stopped before the test is over.
const ENDLESS: [&str; 4] = ["--wall-ms", "3600000", "--cpu-ms", "3600000"];

fn interrupt(server: &server::Server) {
    kill_process(Pid::from_child(&server.process), Signal::INT).unwrap();
}

#[test]
fn the_functions_that_the_server_brings_along_answer() {
    let server = start(&[]);
    assert_eq!(server.post("/invoke/word-count", b"one two\nthree\n"), (200, "2 3 14\n".to_owned()));
    assert_eq!(server.post("/invoke/shout", b"quietly"), (200, "QUIETLY".to_owned()));
}

#[test]
fn no_request_finds_what_another_left() {
    let server = misbehaving(&["--concurrency", "2"]);
    for _ in 0..50 {
        assert_eq!(server.post(BOTH[0], b"count"), (200, "1".to_owned()));
    }
}

#[test]
fn functions_that_spin_or_sleep_hold_up_no_other_and_end_when_their_clients_hang_up() {
    let server = misbehaving(&[&ENDLESS[..], &["--concurrency", "9"]].concat());
    for what in [&b"spin"[..], b"sleep"] {
        let busy: Vec<_> = (0..8).map(|client| server.send("POST", BOTH[client % 2], what)).collect();
        server.wait_for((4, 4));
        assert_eq!(server.post(BOTH[0], b"count"), (200, "1".to_owned()));
        assert_eq!(server.post(BOTH[1], b"hello"), (200, "hello".to_owned()));
        assert_eq!(server.serving(), (4, 4));
        drop(busy);
        server.wait_for((0, 0));
    }
}

#[test]
fn a_function_that_uses_up_its_cpu_time_is_a_504() {
    let server = misbehaving(&["--wall-ms", "3600000", "--cpu-ms", "200"]);
    for path in BOTH {
        assert_eq!(server.post(path, b"spin"), (504, "the function reached its CPU-time limit".to_owned()));
        assert_eq!(server.post(path, b"1"), (200, "1".to_owned()));
    }
}

#[test]
fn a_function_that_sleeps_for_too_long_is_a_504() {
    let server = misbehaving(&["--wall-ms", "2000"]);
    for path in BOTH {
        assert_eq!(server.post(path, b"sleep"), (504, "the function reached its wall-time limit".to_owned()));
        assert_eq!(server.post(path, b"1"), (200, "1".to_owned()));
    }
}

#[test]
fn a_function_that_allocates_without_end_is_a_507_and_the_next_request_is_well() {
    let server = misbehaving(&["--memory-mib", "16"]);
    for path in BOTH {
        assert_eq!(server.post(path, b"allocate"), (507, "the function reached its memory limit".to_owned()));
        assert_eq!(server.post(path, b"1"), (200, "1".to_owned()));
    }
}

#[test]
fn a_function_that_crashes_exits_or_fails_is_a_502_and_the_next_request_is_well() {
    let server = misbehaving(&["--concurrency", "1"]);
    let refused = |path, body: &[u8], says: &[&str]| {
        let (status, text) = server.post(path, body);
        assert_eq!(status, 502, "{text}");
        assert!(says.iter().all(|part| text.contains(part)), "{text}");
        assert!(!text.trim_end().contains(char::is_control), "{text:?}");
        assert_eq!(server.post(path, b"1"), (200, "1".to_owned()));
    };
    for path in BOTH {
        refused(path, b"crash", &["the function ended: trap: null dereference, in "]);
        refused(path, b"exit", &["exited with status 3"]);
        refused(path, b"hoard", &["ended by SIGABRT"]);
    }
    refused(BOTH[0], b"fail", &["the function failed: no \\u{1b}[31mluck, at ", "misbehaves.c:"]);
    refused(BOTH[1], b"exit", &["stderr ends with: \\u{1b}[31mno luck"]);
    assert_eq!(server.functions()[0]["pool"]["made"], 1, "no misbehaviour costs a machine");
}

#[test]
fn a_body_that_is_too_long_is_a_413() {
    let server = start(&["--body-kib", "1"]);
    assert_eq!(server.post("/invoke/word-count", &[b'a'; 1024]), (200, "0 1 1024\n".to_owned()));
    assert_eq!(server.post("/invoke/word-count", &[b'a'; 1025]).0, 413);
}

#[test]
fn a_function_that_nobody_has_is_a_404() {
    let (status, text) = start(&[]).post("/invoke/no%1bne", b"");
    assert_eq!((status, text.as_str()), (404, "no function is called no\\u{1b}ne: see /functions"));
}

#[test]
fn a_request_whose_turn_does_not_come_is_a_503() {
    let server = misbehaving(&[&ENDLESS[..], &["--concurrency", "1", "--wait-ms", "10"]].concat());
    let busy = BOTH.map(|path| server.send("POST", path, b"spin"));
    server.wait_for((1, 1));
    for path in BOTH {
        assert_eq!(server.post(path, b"1").0, 503);
    }
    drop(busy);
    server.wait_for((0, 0));
    assert_eq!(server.post(BOTH[0], b"count"), (200, "1".to_owned()));
}

#[test]
fn two_hundred_requests_at_once_get_two_hundred_right_answers() {
    const CLIENTS: usize = 200;
    let server = start(&["--wait-ms", "3600000", "--wall-ms", "3600000"]);
    let together = Barrier::new(CLIENTS);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (server, together) = (&server, &together);
            scope.spawn(move || {
                together.wait();
                let body = "word ".repeat(client);
                let (path, expected) = match client % 2 {
                    0 => ("/invoke/word-count", format!("0 {client} {}\n", body.len())),
                    _ => ("/invoke/shout", body.to_uppercase()),
                };
                assert_eq!(server.post(path, body.as_bytes()), (200, expected));
            });
        }
    });
    let functions = server.functions();
    let (shout, count) = (&functions[0], &functions[1]);
    assert_eq!((&shout["name"], &shout["kind"], &shout["running"]), (&"shout".into(), &"program".into(), &0.into()));
    assert_eq!((&count["name"], &count["kind"]), (&"word-count".into(), &"handler".into()));
    assert_eq!((&count["pool"]["taken"], &count["pool"]["replaced"]), (&0.into(), &0.into()));
    assert!(count["pool"]["made"].as_u64().unwrap() <= 8, "{count}");
}

/// Waits until nobody can connect any more.
fn wait_until_closed(server: &server::Server) {
    while TcpStream::connect(server.address).is_ok() {
        std::thread::yield_now();
    }
}

#[test]
fn ctrl_c_lets_requests_in_flight_finish() {
    let mut server = misbehaving(&[]);
    let mut stream = TcpStream::connect(server.address).unwrap();
    let head =
        "POST /invoke/misbehaves HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    interrupt(&server);
    wait_until_closed(&server);
    stream.write_all(b"count").unwrap();
    assert_eq!(answer(stream), (200, "1".to_owned()));
    assert!(server.process.wait().unwrap().success());
}

#[test]
fn a_second_ctrl_c_ends_what_the_first_waits_for() {
    let mut server = misbehaving(&ENDLESS);
    let busy = BOTH.map(|path| server.send("POST", path, b"spin"));
    server.wait_for((1, 1));
    interrupt(&server);
    wait_until_closed(&server);
    interrupt(&server);
    assert_eq!(server.process.wait().unwrap().code(), Some(130));
    drop(busy);
}

#[test]
fn what_cannot_be_served_is_refused_at_the_start() {
    for (files, says) in [
        (&["Cargo.toml"][..], "has no file name that can be a function's"),
        (&[MISBEHAVES, MISBEHAVES], "two functions are called \"misbehaves\""),
    ] {
        let output = command(files).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && message.contains(says), "{message}");
    }
}
