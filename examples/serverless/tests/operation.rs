//! Operation: who may ask, what is told of what was done, and how it ends.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that fails is a test that fails"
)]

mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::process::Signal;
use serde_json::Value;
use server::files::{marked, misbehaves};
use server::http::{Client, Request};
use server::metrics::Metrics;
use server::{BOTH, ENDLESS, MISBEHAVES, Server, command, command_at, misbehaving, refusal, spawn, start};
use tempfile::NamedTempFile;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Every route that is not the same for everybody.
const GUARDED: [(&str, &str); 7] = [
    ("GET", "/functions"),
    ("GET", "/functions/shout"),
    ("PUT", "/functions/new"),
    ("DELETE", "/functions/word-count"),
    ("POST", "/invoke/shout"),
    ("GET", "/metrics"),
    ("GET", "/reports/0000000000000000"),
];
const CONSTANT: [&str; 4] = ["/", "/page/page.js", "/page/page.css", "/healthz"];

#[test]
fn with_a_token_nothing_is_answered_without_it_but_what_is_the_same_for_everybody() {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{TOKEN}\n")).unwrap();
    let by_file = spawn(command(&[]).arg("--token-file").arg(file.path()));
    let by_variable = spawn(command(&[]).env("SERVERLESS_TOKEN", TOKEN));
    for server in [by_file, by_variable] {
        for (method, path) in GUARDED {
            let wrong = format!("Bearer {}", TOKEN.replace('f', "e"));
            for given in [None, Some(""), Some("Bearer"), Some("Bearer "), Some(TOKEN), Some(&*wrong)] {
                let mut request = Request::new(method, path);
                if let Some(given) = given {
                    request = request.header("Authorization", given);
                }
                let answer = server.ask(&request);
                assert_eq!(answer.refusal(), (401, "unauthorized".to_owned()), "{method} {path} {given:?}");
                assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            }
        }
        let with = |method, path| {
            // Whoever has the token may come from anywhere.
            let request = Request::new(method, path).header("Authorization", format!("Bearer {TOKEN}"));
            server.ask(&request.header("Host", "functions.example").header("Origin", "https://elsewhere.example"))
        };
        assert_eq!(with("GET", "/functions").status, 200);
        assert_eq!(with("POST", "/invoke/shout").status, 200);
        assert_eq!(with("GET", "/metrics").status, 200);
        for path in CONSTANT {
            assert_eq!(server.get(path).status, 200, "{path}");
        }
    }
}

#[test]
fn the_token_is_in_no_log_no_help_and_no_process_list() {
    let server = spawn(command(&["--log", "json", "--log-level", "trace"]).env("SERVERLESS_TOKEN", TOKEN));
    server.ask(&Request::new("GET", "/functions").header("Authorization", format!("Bearer {TOKEN}")));
    let help = command(&["--help"]).env("SERVERLESS_TOKEN", TOKEN).output().unwrap();
    assert!(help.status.success() && !String::from_utf8(help.stdout).unwrap().contains(TOKEN));
    let line = std::fs::read(format!("/proc/{}/cmdline", server.process.id())).unwrap();
    assert!(!String::from_utf8(line).unwrap().contains(TOKEN));
    let (_, log) = server.end();
    assert!(!log.is_empty() && !log.iter().any(|line| line.contains(TOKEN)), "{}", log.join("\n"));
}

#[test]
fn without_a_token_it_listens_on_this_machine_only_and_a_short_one_is_none() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let says = refusal(&mut command_at(address, &[]));
        assert!(says.contains("there is no token"), "{says}");
    }
    let says = refusal(&mut command(&["--token", "123456789012345"]));
    assert!(says.contains("the token has 15 bytes"), "{says}");
    assert!(!says.contains("123456789012345"), "{says}");
    let says = refusal(&mut command(&["--token-file", "/nowhere"]));
    assert!(says.contains("cannot read \"/nowhere\""), "{says}");
    spawn(&mut command_at("0.0.0.0:0", &["--token", TOKEN]));
}

#[test]
fn without_a_token_a_page_of_another_site_is_a_403() {
    let server = start(&[]);
    let port = server.address.port();
    for (method, path) in GUARDED {
        for (host, origin) in [
            ("rebound.example".to_owned(), None),
            (format!("rebound.example:{port}"), None),
            (format!("localhost.example:{port}"), None),
            (format!("127.0.0.1.example:{port}"), None),
            (String::new(), None),
            (format!("localhost:{port}"), Some("https://elsewhere.example".to_owned())),
            (format!("localhost:{port}"), Some(format!("http://localhost:{}", port - 1))),
            (format!("localhost:{port}"), Some("null".to_owned())),
        ] {
            let mut request = Request::new(method, path).header("Host", host.clone());
            if let Some(origin) = &origin {
                request = request.header("Origin", origin.clone());
            }
            let answer = server.ask(&request);
            assert_eq!(answer.refusal(), (403, "forbidden".to_owned()), "{method} {path} {host} {origin:?}");
        }
    }
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        let own = Request::new("POST", "/invoke/shout").header("Origin", format!("http://{host}"));
        assert_eq!(server.ask(&own.header("Host", host).body(b"a")).text(), "A");
    }
    // What is the same for everybody is no secret.
    for path in CONSTANT {
        assert_eq!(server.ask(&Request::new("GET", path).header("Host", "rebound.example")).status, 200, "{path}");
    }
}

#[test]
fn what_cannot_be_served_is_refused_at_the_start() {
    for (arguments, says) in [
        (&["Cargo.toml"][..], "has no file name that can be a function's"),
        (&[MISBEHAVES, MISBEHAVES], "two functions are called \"misbehaves\""),
        (&["/nowhere/function"], "cannot read"),
        (&["tests"], "cannot read"),
        (&["--wall-ms", "0"], "--wall-ms: wall_ms is 1 to 86400000, and not 0"),
        (&["--store", "Cargo.toml"], "cannot make"),
    ] {
        let message = refusal(&mut command(arguments));
        assert!(message.contains(says), "{message}");
    }
    let message = refusal(&mut command_at("203.0.113.1:0", &["--token", TOKEN]));
    assert!(message.contains("cannot listen on 203.0.113.1:0"), "{message}");
}

#[test]
fn a_path_that_is_none_is_a_404_and_another_method_a_405() {
    let server = start(&[]);
    for path in
        ["/nothing", "/functions/a/b", "/invoke", "/invoke/", "/invoke/%ff", "/functions/%ff", "/reports/", "//"]
    {
        assert_eq!(server.get(path).problem()["status"].as_u64().unwrap() / 100, 4, "{path}");
    }
    for (method, path) in
        [("POST", "/functions"), ("GET", "/invoke/shout"), ("PATCH", "/functions/shout"), ("PUT", "/")]
    {
        assert_eq!(server.ask(&Request::new(method, path)).refusal(), (405, "method".to_owned()), "{method} {path}");
    }
}

#[test]
fn every_answer_has_the_requests_id_which_is_the_clients_own_if_it_is_sane() {
    let server = start(&["--log", "json", "--log-level", "debug"]);
    let ask = |id: &str| server.ask(&Request::new("POST", "/invoke/nobody").header("X-Request-Id", id));
    let own = "a-Client.s_own-1";
    let answer = ask(own);
    assert_eq!((answer.header("x-request-id"), &answer.problem()["request"]), (Some(own), &Value::from(own)));
    let mut made = BTreeSet::new();
    for insane in ["", "a b", "a\"b", "{}", "\u{e9}", "\t", &"a".repeat(65)] {
        let answer = ask(insane);
        let id = answer.header("x-request-id").unwrap().to_owned();
        assert_ne!(id, insane);
        assert!(made.insert(id));
    }
    for path in ["/", "/healthz", "/metrics", "/nothing", "/functions"] {
        assert!(made.insert(server.get(path).header("x-request-id").unwrap().to_owned()), "{path}");
    }
    assert_eq!(server.ask(&Request::new("POST", "/invoke/shout").header("X-Request-Id", "served")).status, 200);
    let (_, log) = server.end();
    let lines: Vec<Value> = log.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (id, message, status) in [(own, "failed", 404), ("served", "served", 200)] {
        let of_it: Vec<_> = lines.iter().filter(|line| line["id"] == *id).collect();
        assert_eq!(of_it.len(), 1, "{id}");
        assert_eq!((&of_it[0]["message"], &of_it[0]["status"]), (&message.into(), &status.into()));
        assert_eq!(of_it[0]["method"], "POST");
        assert!(of_it[0]["microseconds"].is_u64() && of_it[0]["path"].is_string());
    }
    for id in made {
        assert_eq!(lines.iter().filter(|line| line["id"] == id.as_str()).count(), 1, "{id}");
    }
}

#[test]
fn metrics_are_what_was_done() {
    let server = misbehaving(&["--wall-ms", "3600000", "--body-kib", "1", "--memory-mib", "8"]);
    let done: [(&[u8], &str, usize); 6] = [
        (b"count", "ok", 5),
        (b"spin", "cpu_time", 1),
        (b"allocate", "memory", 2),
        (b"crash", "crash", 3),
        (b"exit", "exit", 2),
        (&[b'a'; 1025], "body_too_long", 4),
    ];
    for path in BOTH {
        for (body, outcome, times) in done {
            for _ in 0..times {
                let answer = server.ask(&Request::new("POST", path).body(body));
                let told = if answer.status == 200 { "ok".to_owned() } else { answer.refusal().1 };
                assert_eq!(told, outcome);
            }
        }
    }
    server.post("/invoke/nobody", b"");
    let answer = server.get("/metrics");
    assert_eq!(answer.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let metrics = Metrics::parse(answer.text());
    let expected: BTreeMap<String, u64> =
        done.iter().map(|&(_, outcome, times)| (outcome.to_owned(), u64::try_from(times).unwrap())).collect();
    for (place, name) in ["misbehaves", "misbehaves_plainly"].into_iter().enumerate() {
        assert_eq!(metrics.outcomes(name), expected);
        let of = |metric: &str| metrics.get(metric, &[("function", name)]);
        assert_eq!(of("serverless_duration_seconds_count"), Some(17.0));
        assert!(of("serverless_duration_seconds_sum").unwrap() >= 0.05, "it has spun for so long");
        for (gauge, value) in [("running", 0.0), ("waiting", 0.0), ("version", 1.0)] {
            assert_eq!(of(&format!("serverless_{gauge}")), Some(value), "{gauge}");
        }
        let has_pool = (place == 0).then_some(0.0);
        assert_eq!(of("serverless_sandboxes_taken"), has_pool);
        // `/functions` tells the same.
        let function = &server.functions()[place];
        assert_eq!((&function["totals"]["ok"], &function["totals"]["failed"]["crash"]), (&5.into(), &3.into()));
        let counts = function["latency"]["counts"].as_array().unwrap();
        assert_eq!(
            (counts.last().unwrap(), counts.len()),
            (&17.into(), function["latency"]["le"].as_array().unwrap().len() + 1)
        );
    }
    assert!(metrics.get("serverless_memory_bytes", &[]).unwrap() > 0.0);
    assert!(!answer.text().contains("nobody"), "what has no function has no metrics");
}

#[test]
fn gauges_tell_what_runs_and_what_waits() {
    let server = misbehaving(&[&ENDLESS[..], &["--concurrency", "2", "--wait-ms", "3600000"]].concat());
    let busy: Vec<_> = (0..5).map(|_| server.begin(BOTH[0], b"spin")).collect();
    let gauge = |name: &str| {
        Metrics::parse(server.get("/metrics").text()).get(&format!("serverless_{name}"), &[("function", "misbehaves")])
    };
    server.wait_until(|| (gauge("running"), gauge("waiting")) == (Some(2.0), Some(3.0)));
    assert_eq!(gauge("sandboxes_taken"), Some(2.0));
    drop(busy);
    server.wait_until(|| (gauge("running"), gauge("waiting")) == (Some(0.0), Some(0.0)));
}

#[test]
fn a_log_of_text_has_a_line_for_each_event_whatever_a_function_writes() {
    let server = misbehaving(&["--log-level", "debug"]);
    for path in BOTH {
        server.post(path, b"exit");
        server.post(path, b"fail");
    }
    server.post("/invoke/%0aFORGED%1b[31m", b"");
    let (_, log) = server.end();
    for line in &log {
        assert!(line.starts_with("20") && !line.contains(char::is_control), "{line:?}");
    }
}

/// Invokes again and again as a client does that knows HTTP: where a connection ends with its answer, the next request has another. Comes
/// back when the server lets nobody in any more; how many were answered.
fn follow(server: &Server, body: &[u8], expected: &[u8], answered: &AtomicUsize) {
    let mut connection = None;
    loop {
        let mut client = match connection.take() {
            Some(client) => client,
            None => match Client::connect(server.address) {
                Ok(client) => client,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return,
                Err(error) => panic!("{error}"),
            },
        };
        let answer = client.ask(&Request::new("POST", BOTH[0]).body(body)).unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, expected), "{answer:?}");
        answered.fetch_add(1, Ordering::Relaxed);
        if !answer.closes() {
            connection = Some(client);
        }
    }
}

#[test]
fn sigterm_under_load_loses_no_request() {
    const CLIENTS: usize = 8;
    for _ in 0..3 {
        let mut server = misbehaving(&["--wait-ms", "3600000", "--wall-ms", "3600000", "--drain-ms", "1000"]);
        let (together, answered) = (Barrier::new(CLIENTS + 1), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    together.wait();
                    follow(&server, b"count", b"1", &answered);
                });
            }
            together.wait();
            server.wait_until(|| answered.load(Ordering::Relaxed) >= 10 * CLIENTS);
            server.signal(Signal::TERM);
        });
        assert_eq!(server.process.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn while_it_drains_it_is_not_healthy_and_each_answer_ends_its_connection() {
    let mut server = misbehaving(&[&ENDLESS[..], &["--drain-ms", "3600000"]].concat());
    assert_eq!((server.get("/healthz").status, server.get("/healthz").json()["status"].as_str()), (200, Some("ok")));
    let mut kept = server.connect();
    assert!(!kept.ask(&Request::new("GET", "/healthz")).unwrap().closes());
    server.signal(Signal::TERM);
    server.wait_until(|| server.get("/healthz").status == 503);
    let health = server.get("/healthz");
    assert_eq!((health.refusal(), health.closes()), ((503, "draining".to_owned()), true));
    // What comes all the same is served.
    let answer = kept.ask(&Request::new("POST", BOTH[0]).body(b"count")).unwrap();
    assert_eq!((answer.status, answer.text(), answer.closes()), (200, "1", true));
    assert_eq!(kept.rest(), b"");
    assert_eq!(server.put("/functions/late", &marked("late")).status, 201);
    server.signal(Signal::TERM);
    assert_eq!(server.process.wait().unwrap().code(), Some(130), "the second one ends what the first waits for");
}

#[test]
fn ctrl_c_lets_requests_in_flight_finish() {
    let mut server = misbehaving(&["--drain-ms", "0"]);
    let mut client = server.connect();
    let request = Request::new("POST", BOTH[0]).header("Expect", "100-continue").header("Content-Length", "5");
    client.send(&request).unwrap();
    client.wait_for_go().unwrap();
    server.signal(Signal::INT);
    server.wait_until_closed();
    client.write(b"count").unwrap();
    assert_eq!(client.read().unwrap().text(), "1");
    assert!(server.process.wait().unwrap().success());
}

#[test]
fn a_deployment_in_flight_is_finished_and_stored_before_the_end() {
    let store = tempfile::TempDir::new().unwrap();
    let open = || spawn(command(&["--drain-ms", "0"]).arg("--store").arg(store.path()));
    let mut server = open();
    let file = misbehaves();
    let mut client = server.connect();
    let length = file.len().to_string();
    let path = "/functions/late";
    client.send(&Request::new("PUT", path).header("Expect", "100-continue").header("Content-Length", length)).unwrap();
    client.wait_for_go().unwrap();
    server.signal(Signal::TERM);
    server.wait_until_closed();
    client.write(&file).unwrap();
    assert_eq!(client.read().unwrap().status, 201);
    assert!(server.process.wait().unwrap().success());
    assert_eq!(open().invoke("late", b"count").text(), "1");
}

#[test]
fn a_second_ctrl_c_ends_what_the_first_waits_for() {
    let mut server = misbehaving(&[&ENDLESS[..], &["--drain-ms", "0"]].concat());
    let busy = BOTH.map(|path| server.begin(path, b"spin"));
    server.wait_for((1, 1));
    server.signal(Signal::INT);
    server.wait_until_closed();
    server.signal(Signal::INT);
    assert_eq!(server.process.wait().unwrap().code(), Some(130));
    drop(busy);
}
