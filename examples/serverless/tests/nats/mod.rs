//! A NATS server of a test's own, workers as their user starts them, and what they put into the stream of results.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::thread::yield_now;

use async_nats::jetstream::consumer::push;
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, Context};
use async_nats::{Client, HeaderMap};
use futures_util::StreamExt;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const WORD_COUNT: &str = env!("AMPOULE_GUEST_WORD_COUNT");
pub(crate) const SHOUT: &str = env!("AMPOULE_GUEST_SHOUT");
pub(crate) const MISBEHAVES: &str = env!("AMPOULE_GUEST_MISBEHAVES");
/// A program that takes as many milliseconds as its body says.
pub(crate) const TAKES: &str = env!("AMPOULE_GUEST_TAKES");

/// A server with a store of its own; both are gone on drop.
pub(crate) struct Nats {
    process: Child,
    port: u16,
    directory: TempDir,
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Nats {
    pub(crate) fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let mut process = spawn(&directory, "-1");
        // The file is there before it is whole.
        let path = directory.path().join(format!("nats-server_{}.ports", process.id()));
        let port = loop {
            let ports = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
            if let Some(ports) = ports {
                let url = ports["nats"][0].as_str().unwrap();
                break url.rsplit_once(':').unwrap().1.parse().unwrap();
            }
            assert!(process.try_wait().unwrap().is_none(), "nats-server did not start, and has said why in its log");
            yield_now();
        };
        Self { process, port, directory }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Ends it at once, and starts it again where it was.
    pub(crate) fn restart(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = spawn(&self.directory, &self.port.to_string());
    }

    /// Sends bytes that no client would send, and waits until the server has read them.
    pub(crate) fn send_raw(&self, messages: &[Vec<u8>]) {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", self.port)).unwrap());
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        assert!(line.starts_with("INFO "), "{line}");
        let mut bytes = b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\n".to_vec();
        bytes.extend(messages.concat());
        bytes.extend(b"PING\r\n");
        stream.get_mut().write_all(&bytes).unwrap();
        line.clear();
        stream.read_line(&mut line).unwrap();
        assert_eq!(line, "PONG\r\n");
    }
}

fn spawn(directory: &TempDir, port: &str) -> Child {
    // Debian's is where only root looks.
    let path = format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("nats-server");
    command.env("PATH", path).args(["--addr", "127.0.0.1", "--port", port, "--jetstream"]);
    command.arg("--store_dir").arg(directory.path().join("store"));
    command.arg("--ports_file_dir").arg(directory.path());
    command.arg("--log").arg(directory.path().join("log"));
    command
        .spawn()
        .unwrap_or_else(|error| panic!("nats-server cannot be started: {error}. Install it: tests/setup nats-server"))
}

/// The bytes of a message with headers.
pub(crate) fn with_headers(subject: &[u8], headers: &[u8], body: &[u8]) -> Vec<u8> {
    let lengths = format!(" {} {}\r\n", headers.len(), headers.len() + body.len());
    [b"HPUB ", subject, lengths.as_bytes(), headers, body, b"\r\n"].concat()
}

/// The bytes of a message without headers.
pub(crate) fn plain(subject: &[u8], body: &[u8]) -> Vec<u8> {
    [b"PUB ", subject, format!(" {}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat()
}

/// A worker that runs, and is killed on drop.
pub(crate) struct Worker {
    pub(crate) process: Child,
    /// Where it tells of itself.
    address: String,
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Worker {
    /// Starts one, and waits until it has connected and taken up what is in the bucket.
    pub(crate) fn start(nats: &Nats, arguments: &[&str]) -> Self {
        let mut worker = Self::begin(nats, arguments);
        let mut line = String::new();
        BufReader::new(worker.process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(address) = line.trim().strip_prefix("listening on http://") else {
            panic!(
                "the worker did not start, and has said why on stderr. It needs access to /dev/kvm: see `cargo run -p ampoule-cli -- doctor`"
            )
        };
        address.clone_into(&mut worker.address);
        worker
    }

    /// Starts one, and lets it come when it can.
    pub(crate) fn begin(nats: &Nats, arguments: &[&str]) -> Self {
        // What goes wrong in these tests is meant to: AMPOULE_TEST_LOG=debug tells it.
        let level = std::env::var("AMPOULE_TEST_LOG").unwrap_or_else(|_| "error".to_owned());
        let mut command = serverless(nats, "worker", &["--address", "127.0.0.1:0", "--log-level", &level]);
        let process = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        Self { process, address: String::new() }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Ends it as nothing can be that it knows of.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// What is answered to GET: status line and body.
    pub(crate) fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    /// Waits until so many invocations of its only function run.
    pub(crate) fn wait_until_runs(&self, count: u64) {
        loop {
            let functions: Value = serde_json::from_str(&self.get("/functions").1).unwrap();
            if functions[0]["running"] == count {
                return;
            }
            yield_now();
        }
    }
}

fn serverless(nats: &Nats, command: &str, arguments: &[&str]) -> Command {
    let mut serverless = Command::new(env!("CARGO_BIN_EXE_serverless"));
    serverless.args([command, "--nats", &nats.url()]).args(arguments);
    // What the client library makes of garbage is a panic in a thread of its own. The worker goes on, and says so in a line.
    serverless.env("RUST_BACKTRACE", "0");
    serverless
}

/// Runs a command to its end.
pub(crate) fn run(nats: &Nats, command: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut process = serverless(nats, command, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who does not read it need not.
    let _ = process.stdin.take().unwrap().write_all(input);
    process.wait_with_output().unwrap()
}

/// Puts a function into the bucket. Returns its version.
pub(crate) fn deploy(nats: &Nats, name: &str, file: &str, settings: &[&str]) -> String {
    let output = run(nats, "deploy", &[&[file, "--name", name], settings].concat(), b"");
    let (told, why) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{why}");
    told.trim().rsplit_once(' ').unwrap().1.to_owned()
}

/// The queue as a submitter sees it.
pub(crate) struct Queue {
    pub(crate) client: Client,
    pub(crate) context: Context,
    pub(crate) invocations: Stream,
    results: Results,
}

/// What comes into the stream of results, from its start.
pub(crate) struct Results(push::Ordered);

impl Results {
    async fn subscribe(context: &Context) -> Result<Self, async_nats::Error> {
        let config = push::OrderedConfig {
            deliver_subject: context.client().new_inbox(),
            filter_subject: "ampoule.result.>".to_owned(),
            ..push::OrderedConfig::default()
        };
        Ok(Self(context.get_stream("ampoule-results").await?.create_consumer(config).await?.messages().await?))
    }

    /// The next result.
    pub(crate) async fn next(&mut self) -> Told {
        loop {
            // An error is one of the connection, which comes again.
            if let Some(Ok(message)) = self.0.next().await {
                return Told::of(message.message);
            }
        }
    }
}

/// Who puts invocations into the queue.
pub(crate) struct Submitter(Context);

impl Submitter {
    /// Submits an invocation. False if its id was there already.
    pub(crate) async fn submit(&self, function: &str, id: &str, body: &[u8]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", id);
        let subject = format!("ampoule.invoke.{function}");
        loop {
            let (subject, headers, body) = (subject.clone(), headers.clone(), body.to_vec().into());
            // While there is no server, it is tried again: the id sees to it that it is taken once.
            if let Ok(sent) = self.0.publish_with_headers(subject, headers, body).await
                && let Ok(stored) = sent.await
            {
                return !stored.duplicate;
            }
        }
    }
}

/// A result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) subject: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) answer: Vec<u8>,
}

impl Told {
    pub(crate) fn of(message: async_nats::Message) -> Self {
        let headers = message.headers.unwrap_or_default();
        let headers = headers.iter().map(|(name, values)| (name.to_string(), values[0].to_string())).collect();
        Self { subject: message.subject.to_string(), headers, answer: message.payload.to_vec() }
    }

    pub(crate) fn says(&self, name: &str) -> &str {
        self.headers.get(&format!("Ampoule-{name}")).map_or("", String::as_str)
    }

    pub(crate) fn attempt(&self) -> u64 {
        self.says("Attempt").parse().unwrap()
    }

    /// The outcome, and the answer as a text.
    pub(crate) fn outcome(&self) -> (&str, String) {
        (self.says("Outcome"), String::from_utf8(self.answer.clone()).unwrap())
    }
}

impl Queue {
    /// The queue that a worker has made.
    pub(crate) async fn open(nats: &Nats) -> Self {
        let client = async_nats::connect(nats.url()).await.unwrap();
        let context = jetstream::new(client.clone());
        let invocations = context.get_stream("ampoule-invocations").await.unwrap();
        let results = Results::subscribe(&context).await.unwrap();
        Self { client, context, invocations, results }
    }

    /// Reads all results once more. After a restart of the server, waiting for the old subscription to see it takes long.
    pub(crate) async fn read_again(&mut self) {
        self.results = loop {
            if let Ok(results) = Results::subscribe(&self.context).await {
                break results;
            }
        };
    }

    pub(crate) fn submitter(&self) -> Submitter {
        Submitter(self.context.clone())
    }

    /// See [`Submitter::submit`].
    pub(crate) async fn submit(&self, function: &str, id: &str, body: &[u8]) -> bool {
        self.submitter().submit(function, id, body).await
    }

    /// The next result.
    pub(crate) async fn next(&mut self) -> Told {
        self.results.next().await
    }

    /// Submits one, and waits for its result. One of another before it is a duplicate, which a busy machine can make.
    pub(crate) async fn ask(&mut self, function: &str, id: &str, body: &[u8]) -> Told {
        assert!(self.submit(function, id, body).await);
        loop {
            let told = self.next().await;
            if told.says("Id") == id {
                return told;
            }
        }
    }

    /// Submits one without an id, and waits for the next result.
    pub(crate) async fn next_of(&mut self, function: &str, body: &[u8]) -> Told {
        let sent = self.context.publish(format!("ampoule.invoke.{function}"), body.to_vec().into()).await.unwrap();
        sent.await.unwrap();
        self.next().await
    }

    /// Waits until nothing is in the queue.
    pub(crate) async fn drained(&mut self) {
        while self.invocations.info().await.unwrap().state.messages > 0 {}
    }

    /// How many results there are, those that nobody has read included.
    pub(crate) async fn results(&self) -> u64 {
        self.context.get_stream("ampoule-results").await.unwrap().cached_info().state.messages
    }

    /// What the server knows of the workers' consumer.
    pub(crate) async fn consumer(&self) -> jetstream::consumer::Info {
        self.invocations.consumer_info("workers").await.unwrap()
    }
}
