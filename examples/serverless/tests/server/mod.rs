//! The server as its user starts it, and as little HTTP as it takes to talk to it.

#![allow(dead_code, reason = "each suite uses what it needs")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// Exports `handle`, and does what the body says.
pub(crate) const MISBEHAVES: &str = env!("AMPOULE_GUEST_MISBEHAVES");
/// The same as a program that knows nothing of Ampoule.
pub(crate) const PLAINLY: &str = env!("AMPOULE_GUEST_MISBEHAVES_PLAINLY");

/// The paths of both.
pub(crate) const BOTH: [&str; 2] = ["/invoke/misbehaves", "/invoke/misbehaves_plainly"];

/// A server that runs, and is killed on drop.
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) address: SocketAddr,
    /// Read no further, and open as long as the server may print.
    _stdout: BufReader<ChildStdout>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_serverless"));
    command.args(["--address", "127.0.0.1:0"]).args(arguments);
    command
}

/// A server of the two misbehaving functions.
pub(crate) fn misbehaving(arguments: &[&str]) -> Server {
    start(&[&[MISBEHAVES, PLAINLY], arguments].concat())
}

pub(crate) fn start(arguments: &[&str]) -> Server {
    let mut process = command(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(process.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").map(|address| address.parse().unwrap());
    let Some(address) = address else {
        panic!(
            "the server did not start, and has said why on stderr. It needs access to /dev/kvm: see `cargo run -p ampoule-cli -- doctor`"
        )
    };
    Server { process, address, _stdout: stdout }
}

impl Server {
    /// Sends a request, on a connection of its own.
    pub(crate) fn send(&self, method: &str, path: &str, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        stream
    }

    /// Status and body of the answer; of a problem, its detail.
    pub(crate) fn post(&self, path: &str, body: &[u8]) -> (u16, String) {
        answer(self.send("POST", path, body))
    }

    /// What `/functions` says of both functions: the requests that they serve at the moment.
    pub(crate) fn serving(&self) -> (u64, u64) {
        let functions = self.functions();
        (functions[0]["running"].as_u64().unwrap(), functions[1]["running"].as_u64().unwrap())
    }

    pub(crate) fn functions(&self) -> Value {
        let (status, body) = answer(self.send("GET", "/functions", b""));
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Waits until so many requests are served by each of both functions.
    pub(crate) fn wait_for(&self, serving: (u64, u64)) {
        while self.serving() != serving {
            std::thread::yield_now();
        }
    }
}

/// Reads an answer up to the end of the connection: its status, and its body or, of a problem, its detail.
pub(crate) fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    if status < 400 {
        return (status, body.to_owned());
    }
    assert!(head.contains("content-type: application/problem+json"), "{head}");
    let problem: Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["status"], status);
    (status, problem["detail"].as_str().unwrap().to_owned())
}
