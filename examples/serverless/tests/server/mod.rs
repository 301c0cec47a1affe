//! The server as its user starts it, and those who talk to it.
//!
//! ```text
//! http      a client                    log       what the server wrote
//! files     functions to deploy         metrics   what it counts
//! ```
#![allow(dead_code, reason = "each suite needs another part of it")]

pub(crate) mod files;
pub(crate) mod http;
pub(crate) mod log;
pub(crate) mod metrics;

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use self::http::{Answer, Client, Request};
use self::log::Log;

/// Exports `handle`, and does what the body says.
pub(crate) const MISBEHAVES: &str = env!("AMPOULE_GUEST_MISBEHAVES");
/// The same as a program that knows nothing of Ampoule.
pub(crate) const PLAINLY: &str = env!("AMPOULE_GUEST_MISBEHAVES_PLAINLY");

/// The paths of both.
pub(crate) const BOTH: [&str; 2] = ["/invoke/misbehaves", "/invoke/misbehaves_plainly"];

/// A function that is not stopped before the test is over.
pub(crate) const ENDLESS: [&str; 4] = ["--wall-ms", "3600000", "--cpu-ms", "3600000"];

/// A server that runs, and is killed on drop.
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) address: SocketAddr,
    pub(crate) log: Log,
    /// Read no further, and open as long as the server may print.
    _stdout: BufReader<ChildStdout>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log.whole().join("\n"));
        }
    }
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    command_at("127.0.0.1:0", arguments)
}

pub(crate) fn command_at(address: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_serverless"));
    command.env_remove("SERVERLESS_TOKEN").args(["--address", address]).args(arguments);
    command
}

/// A server of the two misbehaving functions.
pub(crate) fn misbehaving(arguments: &[&str]) -> Server {
    start(&[&[MISBEHAVES, PLAINLY], arguments].concat())
}

pub(crate) fn start(arguments: &[&str]) -> Server {
    spawn(&mut command(arguments))
}

pub(crate) fn spawn(command: &mut Command) -> Server {
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = Log::read(process.stderr.take().unwrap());
    let mut line = String::new();
    let mut stdout = BufReader::new(process.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").map(|address| address.parse().unwrap());
    let Some(address) = address else {
        let _ = process.wait();
        panic!(
            "the server did not start. It needs access to /dev/kvm: see `cargo run -p ampoule-cli -- doctor`. It says:\n{}",
            log.whole().join("\n")
        )
    };
    Server { process, address, log, _stdout: stdout }
}

/// What a server that does not start says.
pub(crate) fn refusal(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let says = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{says}");
    says
}

impl Server {
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address).unwrap()
    }

    /// Asks on a connection of its own.
    pub(crate) fn ask(&self, request: &Request) -> Answer {
        self.connect().ask(request).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask(&Request::new("GET", path))
    }

    pub(crate) fn put(&self, path: &str, body: &[u8]) -> Answer {
        self.ask(&Request::new("PUT", path).body(body))
    }

    /// Deploys what has to be taken.
    pub(crate) fn deploy(&self, name: &str, body: &[u8]) -> Value {
        let answer = self.put(&format!("/functions/{name}"), body);
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
        answer.json()
    }

    pub(crate) fn invoke(&self, name: &str, body: &[u8]) -> Answer {
        self.ask(&Request::new("POST", &format!("/invoke/{name}")).body(body))
    }

    /// Sends an invocation, and waits for nothing.
    pub(crate) fn begin(&self, path: &str, body: &[u8]) -> Client {
        let mut client = self.connect();
        client.send(&Request::new("POST", path).body(body)).unwrap();
        client
    }

    /// Sends a request, on a connection of its own that ends with the answer.
    pub(crate) fn send(&self, method: &str, path: &str, body: &[u8]) -> Client {
        let mut client = self.connect();
        client.send(&Request::new(method, path).header("Connection", "close").body(body)).unwrap();
        client
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
        let answer = self.get("/functions");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    pub(crate) fn function(&self, name: &str) -> Value {
        let answer = self.get(&format!("/functions/{name}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Waits until so many requests are served by each of both functions.
    pub(crate) fn wait_for(&self, serving: (u64, u64)) {
        self.wait_until(|| self.serving() == serving);
    }

    /// Waits for what the server comes to by itself.
    pub(crate) fn wait_until(&self, is_so: impl Fn() -> bool) {
        while !is_so() {
            std::thread::yield_now();
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Ends it as its user does.
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<String>) {
        self.signal(Signal::TERM);
        let status = self.process.wait().unwrap();
        (status, self.log.whole())
    }

    /// Waits until nobody can connect any more.
    pub(crate) fn wait_until_closed(&self) {
        self.wait_until(|| TcpStream::connect(self.address).is_err());
    }

    /// Descriptors that it has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }

    /// Memory that it has, in KiB.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// Reads an answer: its status, and its body or, of a problem, its detail.
pub(crate) fn answer(client: impl Into<Client>) -> (u16, String) {
    let mut client: Client = client.into();
    let answer = client.read().unwrap();
    if answer.status < 400 {
        return (answer.status, answer.text().to_owned());
    }
    (answer.status, answer.problem()["detail"].as_str().unwrap().to_owned())
}
