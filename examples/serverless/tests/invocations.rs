//! Invocations: what a function does is its own request's business and nobody else's.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that fails is a test that fails"
)]

mod server;

use std::collections::BTreeSet;
use std::sync::Barrier;

use serde_json::Value;
use server::files::misbehaves;
use server::http::Request;
use server::metrics::Metrics;
use server::{BOTH, ENDLESS, misbehaving, start};

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

#[test]
fn who_is_too_many_is_a_429_whose_turn_does_not_come_a_503_and_both_are_told_when_to_try_again() {
    let server = misbehaving(&[&ENDLESS[..], &["--concurrency", "1", "--queue", "1", "--wait-ms", "3600000"]].concat());
    server.deploy("hasty?concurrency=1&queue=1&wait_ms=1", &misbehaves());
    for name in ["misbehaves", "misbehaves_plainly", "hasty"] {
        let busy = server.begin(&format!("/invoke/{name}"), b"spin");
        server.wait_until(|| server.function(name)["running"] == 1);
        let (refused, waiting) = if name == "hasty" {
            (server.invoke(name, b"1"), None)
        } else {
            let waiting = server.begin(&format!("/invoke/{name}"), b"1");
            server.wait_until(|| server.function(name)["waiting"] == 1);
            (server.invoke(name, b"1"), Some(waiting))
        };
        let expected = if name == "hasty" { (503, "waited_too_long") } else { (429, "queue_full") };
        assert_eq!(refused.refusal(), (expected.0, expected.1.to_owned()));
        assert_eq!((refused.header("retry-after"), &refused.problem()["function"]), (Some("1"), &name.into()));
        drop(busy);
        // Who waits is served when there is room.
        if let Some(mut waiting) = waiting {
            assert_eq!(waiting.read().unwrap().text(), "1");
        }
    }
}

#[test]
fn a_problem_has_the_fields_that_rfc_9457_knows_and_names_kind_function_and_request() {
    let server = misbehaving(&["--wall-ms", "3600000", "--memory-mib", "8", "--body-kib", "1"]);
    for path in BOTH {
        for (body, status, title, kind) in [
            (&b"spin"[..], 504, "Gateway Timeout", "cpu_time"),
            (b"allocate", 507, "Insufficient Storage", "memory"),
            (b"exit", 502, "Bad Gateway", "exit"),
            (b"crash", 502, "Bad Gateway", "crash"),
            (&[0; 1025], 413, "Payload Too Large", "body_too_long"),
        ] {
            let answer = server.ask(&Request::new("POST", path).header("X-Request-Id", "mine").body(body));
            let problem = answer.problem();
            let fields: Vec<_> = problem.as_object().unwrap().keys().map(String::as_str).collect();
            let expected = ["detail", "function", "kind", "report", "request", "status", "title", "type"];
            let is_expected = |field: &&&str| **field != "report" || kind == "crash";
            assert_eq!(fields, expected.iter().filter(is_expected).copied().collect::<Vec<_>>());
            assert_eq!((answer.status, &problem["title"], &problem["kind"]), (status, &title.into(), &kind.into()));
            assert_eq!((&problem["function"], &problem["request"]), (&path[8..].into(), &"mine".into()));
            assert_eq!(answer.header("retry-after"), None);
        }
    }
    let problem = server.invoke("nobody", b"").problem();
    assert_eq!((&problem["function"], &problem["kind"]), (&Value::Null, &"unknown_function".into()));
}

#[test]
fn a_crash_has_a_report_that_tells_the_place_and_counts_those_that_follow() {
    let server = misbehaving(&[]);
    for path in BOTH {
        let crash = |body: &[u8]| {
            let problem = server.ask(&Request::new("POST", path).body(body)).problem();
            problem["report"].as_str().unwrap_or_else(|| panic!("no report: {problem}")).to_owned()
        };
        let id = crash(b"crash");
        let report = server.get(&format!("/reports/{id}")).json();
        assert_eq!(
            (&report["id"], &report["function"], &report["version"]),
            (&id.into(), &path[8..].into(), &1.into())
        );
        assert_eq!(report["count"], 1);
        assert!(report["time"].as_u64().unwrap() > 1_700_000_000);
        assert!(report["end"].as_str().unwrap().contains("null dereference"), "{report}");
        let text = report["report"].as_str().unwrap();
        assert!(
            ["backtrace", if path == BOTH[0] { "handle+" } else { "main+" }, "rip", "rsp"]
                .iter()
                .all(|part| text.contains(part)),
            "{text}"
        );
        let again = crash(b"crash");
        assert_eq!(report["id"], again.as_str());
        assert_eq!(server.get(&format!("/reports/{again}")).json()["count"], 2);
        // Another end of the same function is another place.
        assert_ne!(crash(b"hoard"), again);
    }
    for id in ["0000000000000000", "", "..", "%00"] {
        assert_eq!(server.get(&format!("/reports/{id}")).status, 404, "{id}");
    }
}

#[test]
fn crashes_at_one_place_at_the_same_time_have_one_report() {
    const CLIENTS: usize = 8;
    let server = misbehaving(&[]);
    for path in BOTH {
        let together = Barrier::new(CLIENTS);
        let crash = || {
            together.wait();
            server.ask(&Request::new("POST", path).body(b"crash")).problem()["report"].as_str().unwrap().to_owned()
        };
        let ids: BTreeSet<_> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(crash)).collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        assert_eq!(ids.len(), 1);
        assert_eq!(server.get(&format!("/reports/{}", ids.first().unwrap())).json()["count"], CLIENTS);
    }
}

#[test]
fn who_hangs_up_is_counted_wherever_it_was() {
    let server = misbehaving(&[&ENDLESS[..], &["--concurrency", "2", "--wait-ms", "3600000"]].concat());
    for (path, name) in BOTH.into_iter().zip(["misbehaves", "misbehaves_plainly"]) {
        let of = |field: &str| server.function(name)[field].as_u64().unwrap();
        let busy: Vec<_> = (0..5).map(|_| server.begin(path, b"spin")).collect();
        server.wait_until(|| (of("running"), of("waiting")) == (2, 3));
        drop(busy);
        server.wait_until(|| (of("running"), of("waiting")) == (0, 0));
        let outcomes = || Metrics::parse(server.get("/metrics").text()).outcomes(name);
        server.wait_until(|| outcomes().get("hung_up") == Some(&5));
        // In the middle of its body.
        let mut cut = server.connect();
        cut.send(&Request::new("POST", path).header("Content-Length", "5").body(b"cou")).unwrap();
        cut.end().unwrap();
        server.wait_until(|| outcomes().get("body_lost") == Some(&1));
        assert_eq!(server.post(path, b"1").0, 200);
    }
}
