//! Deployments: what is taken, what is refused, and that nobody who invokes a function notices that there is a new one.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that fails is a test that fails"
)]

mod server;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::process::Signal;
use serde_json::{Value, json};
use server::files::{called, marked, marks, misbehaves, plainly, stopped_in_a_call, stopped_program};
use server::http::Request;
use server::metrics::Metrics;
use server::{Server, command, refusal, spawn, start};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// A server with the store; when it is empty, the two that the server brings along are stored first.
fn stored(store: &Path) -> Server {
    spawn(command(&["--log", "json"]).arg("--store").arg(store))
}

fn answers(server: &Server, name: &str, body: &[u8], expected: &[u8]) {
    let answer = server.invoke(name, body);
    assert_eq!((answer.status, answer.body.escape_ascii().to_string()), (200, expected.escape_ascii().to_string()));
}

#[test]
fn a_program_with_the_sdk_one_without_and_a_snapshot_of_either_are_functions() {
    let server = start(&[]);
    for (name, file, kind) in [
        ("sdk", misbehaves(), "handler"),
        ("plain", plainly(), "program"),
        ("called", called(2), "handler"),
        ("stopped", stopped_program(), "program"),
    ] {
        let answer = server.put(&format!("/functions/{name}"), &file);
        let description = answer.json();
        assert_eq!((answer.status, &description["kind"]), (201, &json!(kind)), "{name}: {description}");
        assert_eq!((&description["version"], &description["bytes"]), (&json!(1), &json!(file.len())), "{description}");
        assert_eq!(server.function(name), description);
    }
    for _ in 0..3 {
        answers(&server, "sdk", b"count", b"1");
        answers(&server, "plain", b"body", b"body");
        // Each goes on from where it was when the snapshot was taken.
        answers(&server, "called", b"count", b"3");
        answers(&server, "stopped", b"body", b"body");
    }
}

#[test]
fn a_new_function_is_a_201_a_new_version_a_200_and_both_are_listed() {
    let server = start(&[]);
    for (version, status) in [(1, 201), (2, 200), (3, 200)] {
        let answer = server.put("/functions/f", &marked(&format!("v{version}")));
        assert_eq!((answer.status, &answer.json()["version"]), (status, &json!(version)));
        answers(&server, "f", b"", &marks(&format!("v{version}")));
    }
    let names: Vec<_> =
        server.functions().as_array().unwrap().iter().map(|function| function["name"].clone()).collect();
    assert_eq!(names, ["f", "shout", "word-count"]);
}

#[test]
fn what_is_deleted_is_gone_and_can_be_deployed_again() {
    let server = start(&[]);
    server.deploy("f", &plainly());
    let delete = || server.ask(&Request::new("DELETE", "/functions/f"));
    let deleted = delete();
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    for answer in [delete(), server.get("/functions/f"), server.invoke("f", b"")] {
        assert_eq!(answer.refusal(), (404, "unknown_function".to_owned()));
    }
    assert_eq!(server.put("/functions/f", &marked("again")).status, 201);
    answers(&server, "f", b"", &marks("again"));
}

#[test]
fn settings_are_parameters_of_the_deployment_and_hold() {
    let server = start(&["--cpu-ms", "900"]);
    let query = "wall_ms=3600000&cpu_ms=1000&memory_mib=8&body_kib=1&reply_kib=2&concurrency=1&queue=3&wait_ms=7";
    let settings = json!({
        "wall_ms": 3_600_000, "cpu_ms": 1000, "memory_mib": 8, "body_kib": 1, "reply_kib": 2, "concurrency": 1, "queue": 3,
        "wait_ms": 7, "streaming": false, "cold": false,
    });
    assert_eq!(server.deploy(&format!("f?{query}"), &misbehaves())["settings"], settings);
    assert_eq!(server.deploy(&format!("p?{query}"), &plainly())["settings"], settings);
    for name in ["f", "p"] {
        assert_eq!(server.invoke(name, b"spin").refusal(), (504, "cpu_time".to_owned()));
        assert_eq!(server.invoke(name, b"allocate").refusal(), (507, "memory".to_owned()));
        assert_eq!(server.invoke(name, &[0; 1025]).refusal(), (413, "body_too_long".to_owned()));
        assert_eq!(server.invoke(name, &[0; 1024]).status, 200);
    }
    server.deploy("long?reply_kib=2", &marked("long"));
    assert_eq!(server.invoke("long", b"").refusal(), (502, "reply_too_long".to_owned()));
    // A new version has the server's own where it says nothing, not those of the one before.
    assert_eq!(server.deploy("f", &misbehaves())["settings"]["cpu_ms"], 900);
}

#[test]
fn a_setting_that_is_unknown_of_another_type_or_out_of_range_is_a_422_that_says_what_it_can_be() {
    let server = start(&[]);
    for (query, says) in [
        ("wall=1", "there is no setting \"wall\": there are "),
        ("wall_ms=fast", "wall_ms is a number up to 4294967295, and \"fast\" is none"),
        ("wall_ms=-1", "\"-1\" is none"),
        ("wall_ms=1.5", "\"1.5\" is none"),
        ("wall_ms=4294967296", "\"4294967296\" is none"),
        ("wall_ms=0", "wall_ms is 1 to 86400000, and not 0"),
        ("cpu_ms=86400001", "cpu_ms is 1 to 86400000, and not 86400001"),
        ("memory_mib=65537", "memory_mib is 1 to 65536, and not 65537"),
        ("concurrency=0", "concurrency is 1 to 1024, and not 0"),
        ("queue=65537", "queue is 0 to 65536, and not 65537"),
        ("streaming=maybe", "streaming is a true or false, and \"maybe\" is none"),
        ("wall_ms", "\"\" is none"),
        ("wall_ms=%00%ff%1b", "is none"),
        ("cpu_ms=1&wall_ms=0", "wall_ms is 1 to"),
    ] {
        let answer = server.put(&format!("/functions/f?{query}"), &plainly());
        assert_eq!(answer.refusal(), (422, "setting".to_owned()), "{query}");
        let detail = answer.problem()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(says), "{query}: {detail}");
    }
    assert_eq!(server.get("/functions/f").status, 404);
    // A function that is called takes whole bodies.
    assert_eq!(server.put("/functions/f?streaming=true", &misbehaves()).refusal(), (422, "no_function".to_owned()));
}

#[test]
fn a_name_is_letters_digits_and_hyphens() {
    let server = start(&[]);
    for name in ["a", "0", "a-b", &"a".repeat(63)] {
        assert_eq!(server.put(&format!("/functions/{name}"), &plainly()).status, 201, "{name}");
    }
    for name in ["A", "-a", "a.b", "a%20b", "a%00", "%c3%a4", "..%2f..%2fetc", "a%2fb", &"a".repeat(64)] {
        assert_eq!(server.put(&format!("/functions/{name}"), &plainly()).refusal(), (422, "name".to_owned()), "{name}");
    }
    assert_eq!(server.put("/functions/%ff", &plainly()).refusal(), (404, "no_route".to_owned()));
}

#[test]
fn what_is_no_function_is_a_422_and_the_version_before_goes_on() {
    let server = start(&["--memory-mib", "16", "--wall-ms", "3600000"]);
    server.deploy("f", &marked("first"));
    let cut = misbehaves();
    for (file, says) in [
        (Vec::new(), "neither an ELF nor a snapshot"),
        (b"#!/bin/sh\n".to_vec(), "neither an ELF nor a snapshot"),
        (b"\x7fELF".to_vec(), "it is no program"),
        (cut[..cut.len() / 2].to_vec(), "it is no program"),
        (called(1)[..1000].to_vec(), "it is truncated or damaged"),
        (stopped_in_a_call(), "take one of a sandbox that waits for its next call"),
        (marked("exit"), "the program ended before it could be called (exited with status 3)"),
        (marked("crash"), "the program ended before it could be called"),
        (marked("allocate"), "memory"),
        (marked("spin"), "CPU"),
    ] {
        let answer = server.put("/functions/f", &file);
        assert_eq!(answer.refusal(), (422, "no_function".to_owned()), "{says}");
        let detail = answer.problem()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(says), "{says}: {detail}");
    }
    answers(&server, "f", b"", &marks("first"));
    assert_eq!(server.function("f")["version"], 1);
    // Without the change that follows it would be a good one.
    let mut changed = called(1);
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    assert_eq!(server.put("/functions/f", &changed).refusal(), (422, "no_function".to_owned()));
}

#[test]
fn a_file_that_is_too_long_is_a_413_and_one_function_too_many_a_507() {
    let server = start(&["--image-mib", "1", "--functions", "2"]);
    assert_eq!(server.put("/functions/f", &vec![0; (1 << 20) + 1]).refusal(), (413, "body_too_long".to_owned()));
    // The two that the server brings along are as many as there may be.
    assert_eq!(server.put("/functions/f", &plainly()).refusal(), (507, "too_many_functions".to_owned()));
    assert_eq!(server.put("/functions/shout", &plainly()).status, 200);
    server.ask(&Request::new("DELETE", "/functions/shout"));
    assert_eq!(server.put("/functions/f", &plainly()).status, 201);
}

#[test]
fn new_versions_under_load_fail_no_request_and_each_answer_is_of_one_version() {
    const VERSIONS: usize = 20;
    let server = start(&["--wall-ms", "3600000", "--cpu-ms", "3600000", "--wait-ms", "3600000"]);
    server.deploy("f", &marked("v0"));
    // The version that is there for certain, and the one that may be.
    let (deployed, deploying) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let client = || {
            let mut client = server.connect();
            let mut seen = 0;
            while !over.load(Ordering::Relaxed) {
                let oldest = deployed.load(Ordering::SeqCst);
                let answer = client.ask(&Request::new("POST", "/invoke/f")).unwrap();
                let newest = deploying.load(Ordering::SeqCst);
                assert_eq!(answer.status, 200, "{}", answer.text());
                let is_one = |version: &usize| answer.body == marks(&format!("v{version}"));
                let version = (oldest..=newest).find(is_one);
                assert!(version.is_some(), "not of v{oldest} to v{newest}: {}", &answer.text()[..64]);
                seen = seen.max(version.unwrap());
            }
            seen
        };
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(client)).collect();
        for version in 1..=VERSIONS {
            deploying.store(version, Ordering::SeqCst);
            let answer = server.put("/functions/f", &marked(&format!("v{version}")));
            assert_eq!(answer.status, 200, "{}", answer.text());
            deployed.store(version, Ordering::SeqCst);
        }
        over.store(true, Ordering::Relaxed);
        let seen: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        assert!(seen.iter().any(|&seen| seen > 0), "nobody invoked while versions followed each other: {seen:?}");
    });
    let function = server.function("f");
    assert_eq!((&function["version"], &function["totals"]["failed"]), (&json!(VERSIONS + 1), &json!({})));
    answers(&server, "f", b"", &marks(&format!("v{VERSIONS}")));
}

#[test]
fn what_runs_when_its_function_is_deleted_or_replaced_is_finished() {
    let server = start(&["--wall-ms", "3600000", "--cpu-ms", "1500", "--concurrency", "1"]);
    for (name, file) in [("f", misbehaves()), ("p", plainly())] {
        server.deploy(name, &file);
        // It ends by its own limit: nothing else ends it, and its outcome is its own function's.
        let mut running = server.begin(&format!("/invoke/{name}"), b"spin");
        server.wait_until(|| server.function(name)["running"] == 1);
        assert_eq!(server.put(&format!("/functions/{name}"), &marked("new")).status, 200);
        answers(&server, name, b"", &marks("new"));
        assert_eq!(server.ask(&Request::new("DELETE", &format!("/functions/{name}"))).status, 204);
        assert_eq!(server.invoke(name, b"").status, 404);
        assert_eq!(running.read().unwrap().refusal(), (504, "cpu_time".to_owned()));
    }
}

#[test]
fn a_deployment_that_boots_for_long_holds_up_no_other_and_no_invocation() {
    let server = start(&[]);
    let memory = || Metrics::parse(server.get("/metrics").text()).get("serverless_memory_bytes", &[]).unwrap();
    let before = memory();
    let mut slow = server.connect();
    let path = "/functions/slow?wall_ms=3600000&cpu_ms=3600000&memory_mib=512";
    slow.send(&Request::new("PUT", path).body(&marked("spin"))).unwrap();
    // It boots: a machine of its size is there.
    server.wait_until(|| memory() - before >= f64::from(512 << 20));
    for name in ["f", "g", "f"] {
        server.deploy(name, &marked("quick"));
        answers(&server, name, b"", &marks("quick"));
    }
    assert_eq!(server.ask(&Request::new("DELETE", "/functions/g")).status, 204);
    assert_eq!(server.get("/functions/slow").status, 404);
}

#[test]
fn a_restart_serves_what_is_stored_with_its_settings_and_versions() {
    let store = TempDir::new().unwrap();
    let server = stored(store.path());
    for (name, file) in [("plain", plainly()), ("called", called(2)), ("stopped", stopped_program())] {
        server.deploy(&format!("{name}?wall_ms=1234&queue=5"), &file);
    }
    server.deploy("marked", &marked("old"));
    server.deploy("marked?cpu_ms=77", &marked("new"));
    server.deploy("deleted", &plainly());
    server.ask(&Request::new("DELETE", "/functions/deleted"));
    let described = |server: &Server| -> Vec<Value> {
        let functions = server.functions();
        let kept = ["name", "kind", "version", "bytes", "deployed", "settings"];
        let of = |function: &Value| kept.iter().map(|&field| function[field].clone()).collect();
        functions.as_array().unwrap().iter().map(of).collect()
    };
    let before = described(&server);
    let (status, _) = server.end();
    assert_eq!(status.code(), Some(0));
    let server = stored(store.path());
    assert_eq!(described(&server), before);
    answers(&server, "plain", b"body", b"body");
    answers(&server, "called", b"count", b"3");
    answers(&server, "stopped", b"body", b"body");
    answers(&server, "marked", b"", &marks("new"));
    assert_eq!(server.deploy("marked", &marked("newer"))["version"], 3);
}

#[test]
fn a_restart_boots_no_function_again_whose_warm_state_is_kept() {
    let store = TempDir::new().unwrap();
    let server = stored(store.path());
    server.deploy("f", &marked("booted"));
    drop(server);
    // The program is another now: who boots it answers otherwise.
    let other = marked("other");
    let directory = store.path().join("f.1");
    let manifest = fs::read_to_string(directory.join("manifest.json")).unwrap();
    let mut manifest: Value = serde_json::from_str(&manifest).unwrap();
    let digest: String = Sha256::digest(&other).iter().map(|byte| format!("{byte:02x}")).collect();
    manifest["sha256"] = digest.into();
    fs::write(directory.join("manifest.json"), manifest.to_string()).unwrap();
    fs::write(directory.join("function"), &other).unwrap();
    answers(&stored(store.path()), "f", b"", &marks("booted"));
    fs::remove_file(directory.join("warm")).unwrap();
    answers(&stored(store.path()), "f", b"", &marks("other"));
}

#[test]
fn a_server_that_is_killed_while_it_deploys_leaves_the_old_version_or_the_new() {
    const ROUNDS: usize = 20;
    let store = TempDir::new().unwrap();
    let mut server = stored(store.path());
    server.deploy("f", &marked("v0"));
    server.deploy("keeps", &plainly());
    // The newest that was sent, and the one that the store had last.
    let (mut newest, mut kept) = (0, 0);
    for round in 0..ROUNDS {
        let mut version = newest;
        let sent = thread::scope(|scope| {
            let (server, version) = (&server, &mut version);
            // Before it can be killed.
            let mut client = server.connect();
            // Versions follow each other, and now and then it is deleted, until the server is no more.
            let deploys = scope.spawn(move || {
                loop {
                    *version += 1;
                    let file = marked(&format!("v{version}"));
                    let deploy = Request::new("PUT", "/functions/f").body(&file);
                    match client.ask(&deploy) {
                        Ok(answer) => assert!(matches!(answer.status, 200 | 201), "{}", answer.text()),
                        Err(_) => break *version,
                    }
                    if *version % 3 == 0 && client.ask(&Request::new("DELETE", "/functions/f")).is_err() {
                        break *version;
                    }
                }
            });
            // Each round at another place: after so many looks at the store.
            let entries = || fs::read_dir(store.path()).unwrap().count();
            let mut looks = (round * 37) % 101;
            let mut last = entries();
            while looks > 0 {
                let now = entries();
                looks -= usize::from(now != last).max(1);
                last = now;
            }
            server.signal(Signal::KILL);
            deploys.join().unwrap()
        });
        drop(server);
        server = stored(store.path());
        answers(&server, "keeps", b"body", b"body");
        let answer = server.invoke("f", b"");
        if answer.status == 404 {
            server.deploy("f", &marked(&format!("v{sent}")));
            kept = sent;
        } else {
            let is_one = |version: &usize| answer.body == marks(&format!("v{version}"));
            let found = (kept..=sent).find(is_one);
            assert!(found.is_some(), "not of v{kept} to v{sent}: {}", &answer.text()[..64]);
            kept = found.unwrap();
        }
        newest = sent;
        let strange: Vec<_> = fs::read_dir(store.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with(".writing"))
            .collect();
        assert!(strange.is_empty(), "{strange:?}");
    }
    let (_, log) = server.end();
    assert!(!log.iter().any(|line| line.contains("ERROR")), "{}", log.join("\n"));
}

#[test]
fn a_damaged_entry_of_the_store_is_told_and_the_others_are_served() {
    let store = TempDir::new().unwrap();
    let server = stored(store.path());
    let files = ["function", "manifest.json", "warm"];
    for file in files {
        for damage in ["truncated", "changed", "missing"] {
            let name = format!("{}-{damage}", file.trim_end_matches(".json"));
            server.deploy(&name, &marked(&name));
        }
    }
    for name in ["well", "linked"] {
        server.deploy(name, &marked(name));
    }
    drop(server);
    for file in files {
        let path = |damage| store.path().join(format!("{}-{damage}.1", file.trim_end_matches(".json"))).join(file);
        let mut content = fs::read(path("truncated")).unwrap();
        fs::write(path("truncated"), &content[..content.len() / 2]).unwrap();
        content = fs::read(path("changed")).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 0x80;
        fs::write(path("changed"), &content).unwrap();
        fs::remove_file(path("missing")).unwrap();
    }
    let outside = TempDir::new().unwrap();
    fs::rename(store.path().join("linked.1"), outside.path().join("linked.1")).unwrap();
    symlink(outside.path().join("linked.1"), store.path().join("linked.1")).unwrap();
    for strange in ["lost+found", "well.01", "..well", "WELL.9"] {
        fs::create_dir(store.path().join(strange)).unwrap();
    }
    fs::write(store.path().join("well.2"), b"no directory").unwrap();

    let server = stored(store.path());
    let names: Vec<String> = server
        .functions()
        .as_array()
        .unwrap()
        .iter()
        .map(|function| function["name"].as_str().unwrap().to_owned())
        .collect();
    // What is warm can be made anew.
    assert_eq!(names, ["shout", "warm-changed", "warm-missing", "warm-truncated", "well", "word-count"]);
    for name in names.iter().filter(|name| name.starts_with('w') && *name != "word-count") {
        answers(&server, name, b"", &marks(name));
    }
    // Its next version does not take the damaged one's place, and is served after a restart.
    assert_eq!(server.deploy("well", &marked("better"))["version"], 3);
    assert_eq!(server.deploy("function-missing", &marked("mended"))["version"], 2);
    assert_eq!(server.ask(&Request::new("DELETE", "/functions/function-changed")).status, 204);
    let (_, log) = server.end();
    for told in [
        "function-truncated.1",
        "function-changed.1",
        "function-missing.1",
        "manifest-truncated.1",
        "manifest-changed.1",
        "manifest-missing.1",
        "linked.1",
        "lost+found",
        "well.01",
        "..well",
        "WELL.9",
        "well.2",
    ] {
        let is_told = |line: &String| line.contains("a stored function is not served") && line.contains(told);
        assert!(log.iter().any(is_told), "{told} is not told:\n{}", log.join("\n"));
    }
    assert!(outside.path().join("linked.1").join("function").exists(), "what a link leads to is left alone");
    let server = stored(store.path());
    answers(&server, "well", b"", &marks("better"));
    answers(&server, "function-missing", b"", &marks("mended"));
    assert!(!store.path().join("function-changed.1").exists());
}

#[test]
fn two_servers_cannot_have_the_same_store() {
    let store = TempDir::new().unwrap();
    let server = stored(store.path());
    let says = refusal(command(&[]).arg("--store").arg(store.path()));
    assert!(says.contains("is in use by another server"), "{says}");
    drop(server);
    stored(store.path());
}

#[test]
fn a_function_that_is_deployed_anew_is_not_told_of_by_its_predecessors_reports() {
    let server = start(&[]);
    let crash = |file: &[u8]| {
        server.deploy("f", file);
        let problem = server.invoke("f", b"crash").problem();
        let report = server.get(&format!("/reports/{}", problem["report"].as_str().unwrap())).json();
        assert_eq!(server.ask(&Request::new("DELETE", "/functions/f")).status, 204);
        (report["id"].clone(), report["count"].clone())
    };
    // Both crash at the same instruction, and are the first version of their function.
    let (first, second) = (crash(&marked("one")), crash(&marked("two")));
    assert_ne!(first.0, second.0);
    assert_eq!((first.1, second.1), (json!(1), json!(1)));
}
