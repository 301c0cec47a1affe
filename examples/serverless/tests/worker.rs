//! Workers on a queue, with a real NATS server: what is submitted has a result, whoever is killed meanwhile.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that fails is a test that fails"
)]

mod nats;

use std::collections::{HashMap, HashSet};

use async_nats::HeaderMap;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use nats::{MISBEHAVES, Nats, Queue, SHOUT, TAKES, Told, WORD_COUNT, Worker, deploy, plain, run, with_headers};
use rustix::process::Signal;

/// Short waits: what is delivered again is so soon.
const QUICK: [&str; 4] = ["--ack-wait-ms", "3000", "--retry-ms", "20"];

#[tokio::test]
async fn what_is_submitted_has_a_result_that_says_who_answered_and_how_often_it_was_delivered() {
    let nats = Nats::start();
    let version = deploy(&nats, "shout", SHOUT, &[]);
    let worker = Worker::start(&nats, &["--name", "one"]);
    let mut queue = Queue::open(&nats).await;
    let told = queue.ask("shout", "first", b"quietly").await;
    assert_eq!((told.subject.as_str(), told.outcome()), ("ampoule.result.first", ("ok", "QUIETLY".to_owned())));
    let says = ["Function", "Version", "Attempt", "Worker"].map(|name| told.says(name));
    assert_eq!(says, ["shout", &version, "1", "one"]);
    assert!(!queue.submit("shout", "first", b"again").await, "an id is taken once");
    queue.drained().await;
    assert_eq!(queue.results().await, 1);

    let output = run(&nats, "submit", &["shout", "--wait-s", "60"], b"from a shell");
    assert_eq!((output.status.success(), output.stdout), (true, b"FROM A SHELL".to_vec()));
    let output = run(&nats, "submit", &["shout", "--id", "named"], b"");
    assert_eq!(output.stdout, b"named\n");

    assert_eq!(worker.get("/healthz").0, "HTTP/1.1 200 OK");
    assert!(worker.get("/metrics").1.contains("serverless_invocations_total{function=\"shout\",outcome=\"ok\"}"));
}

#[tokio::test]
async fn a_submitter_is_told_at_its_inbox_and_nowhere_else() {
    let nats = Nats::start();
    deploy(&nats, "shout", SHOUT, &[]);
    let _worker = Worker::start(&nats, &[]);
    let mut queue = Queue::open(&nats).await;
    let inbox = queue.client.new_inbox();
    let mut answers = queue.client.subscribe(inbox.clone()).await.unwrap();
    let mut elsewhere = queue.client.subscribe("elsewhere.>").await.unwrap();
    queue.client.flush().await.unwrap();
    for reply in ["elsewhere.a", "ampoule.invoke.shout", "$JS.API.STREAM.DELETE.ampoule-invocations", &inbox] {
        let mut headers = HeaderMap::new();
        headers.insert("Ampoule-Reply", reply);
        let sent = queue.context.publish_with_headers("ampoule.invoke.shout", headers, "a".into()).await.unwrap();
        sent.await.unwrap();
    }
    let answer = Told::of(answers.next().await.unwrap());
    assert_eq!((answer.says("Id"), answer.outcome()), ("seq-4", ("ok", "A".to_owned())));
    queue.drained().await;
    assert_eq!(queue.results().await, 4);
    queue.client.publish("elsewhere.end", "".into()).await.unwrap();
    assert_eq!(elsewhere.next().await.unwrap().subject.as_str(), "elsewhere.end");
}

#[tokio::test]
async fn what_is_the_functions_fault_is_a_result_at_once() {
    let nats = Nats::start();
    deploy(&nats, "misbehaves", MISBEHAVES, &["--cpu-ms", "200", "--wall-ms", "2000", "--memory-mib", "16"]);
    deploy(&nats, "shout", SHOUT, &[]);
    let worker = Worker::start(&nats, &QUICK);
    let mut queue = Queue::open(&nats).await;
    for (body, outcome, detail) in [
        ("crash", "crash", "null dereference"),
        ("exit", "exit", "exited with status 3"),
        ("fail", "failed", "no \\u{1b}[31mluck"),
        ("spin", "cpu_time", "CPU-time limit"),
        ("sleep", "wall_time", "wall-time limit"),
        ("allocate", "memory", "memory limit"),
    ] {
        let told = queue.ask("misbehaves", body, body.as_bytes()).await;
        assert_eq!((told.says("Outcome"), told.attempt(), told.answer.len()), (outcome, 1, 0), "{told:?}");
        assert!(told.says("Detail").contains(detail), "{told:?}");
        if body == "crash" {
            let (status, report) = worker.get(&format!("/reports/{}", told.says("Report")));
            assert!(status.ends_with("200 OK") && report.contains("misbehave"), "{status} {report}");
        }
    }
    let told = queue.ask("shout", "long", &vec![b'a'; 1_047_000]).await;
    assert_eq!((told.says("Outcome"), told.attempt()), ("reply_too_long", 1), "{}", told.says("Detail"));
    assert_eq!(queue.ask("misbehaves", "well", b"count").await.outcome(), ("ok", "1".to_owned()));
    queue.drained().await;

    let output = run(&nats, "submit", &["misbehaves", "--wait-s", "60"], b"crash");
    let why = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty() && why.contains("failed: crash: "), "{why}");
}

#[tokio::test]
async fn a_function_that_comes_later_answers_what_was_submitted_before_and_one_that_never_comes_is_a_failure() {
    let nats = Nats::start();
    let _worker = Worker::start(&nats, &[&QUICK[..], &["--max-deliver", "1000"]].concat());
    let mut queue = Queue::open(&nats).await;
    queue.submit("late", "early", b"at last").await;
    while queue.consumer().await.num_redelivered == 0 {}
    deploy(&nats, "late", SHOUT, &[]);
    let told = queue.next().await;
    assert_eq!((told.says("Id"), told.outcome()), ("early", ("ok", "AT LAST".to_owned())));
    assert!(told.attempt() > 1, "{told:?}");
    queue.drained().await;
    drop(_worker);

    let _worker = Worker::start(&nats, &[&QUICK[..], &["--max-deliver", "3"]].concat());
    let told = queue.ask("nobody", "never", b"").await;
    assert_eq!((told.says("Outcome"), told.attempt(), told.says("Version")), ("unknown_function", 3, ""));
    queue.drained().await;
}

#[tokio::test]
async fn a_new_version_is_taken_up_and_each_result_names_the_version_that_it_is_of() {
    let nats = Nats::start();
    let old = deploy(&nats, "f", SHOUT, &[]);
    let _worker = Worker::start(&nats, &[&QUICK[..], &["--max-deliver", "2"]].concat());
    let mut queue = Queue::open(&nats).await;
    assert_eq!(queue.ask("f", "old", b"a").await.outcome(), ("ok", "A".to_owned()));
    let new = deploy(&nats, "f", WORD_COUNT, &[]);
    for number in 0.. {
        let told = queue.ask("f", &number.to_string(), b"a").await;
        let expected = if told.says("Version") == old { "A" } else { "0 1 1\n" };
        assert_eq!(told.outcome(), ("ok", expected.to_owned()));
        if told.says("Version") == new {
            break;
        }
    }
    assert!(run(&nats, "deploy", &["--delete", "--name", "f"], b"").status.success());
    // Until the worker has heard of it, it answers.
    for number in 0.. {
        let told = queue.ask("f", &format!("gone-{number}"), b"a").await;
        if told.says("Outcome") == "unknown_function" {
            break;
        }
        assert_eq!(told.outcome(), ("ok", "0 1 1\n".to_owned()));
    }
}

#[tokio::test]
async fn what_is_no_function_is_left_alone_and_the_others_are_served() {
    let nats = Nats::start();
    let _worker = Worker::start(&nats, &[&QUICK[..], &["--image-mib", "1", "--max-deliver", "2"]].concat());
    let mut queue = Queue::open(&nats).await;
    deploy(&nats, "bad-elf", "Cargo.toml", &[]);
    let object = |name: &str, says: &str| {
        use base64::Engine;
        let token = base64::prelude::BASE64_URL_SAFE.encode(name);
        let says = says.replace('\'', "\"");
        (format!("$O.ampoule-functions.M.{token}"), says)
    };
    let place = "'bucket':'ampoule-functions','mtime':'2026-01-01T00:00:00Z'";
    for (name, says) in [
        ("bad-json", "\u{0}{".to_owned()),
        (
            "bad-link",
            format!(
                "{{'name':'bad-link',{place},'nuid':'N','options':{{'link':{{'name':'bad-link','bucket':'ampoule-functions'}}}}}}"
            ),
        ),
        ("bad-place", format!("{{'name':'bad-place',{place},'nuid':'>','size':10,'chunks':1,'digest':'SHA-256=x'}}")),
        (
            "bad-size",
            format!("{{'name':'bad-size',{place},'nuid':'N','size':1099511627776,'chunks':1,'digest':'SHA-256=x'}}"),
        ),
        ("bad-digest", format!("{{'name':'bad-digest',{place},'nuid':'N','size':0,'chunks':0,'digest':'SHA-256=x'}}")),
        (
            "bad-settings",
            format!(
                "{{'name':'bad-settings',{place},'nuid':'N','size':0,'chunks':0,'digest':'SHA-256=x','metadata':{{'settings':'{{}}}}'}}}}"
            ),
        ),
        ("../bad name", format!("{{'name':'../bad name',{place},'nuid':'N','size':0}}")),
    ] {
        let (subject, says) = object(name, &says);
        queue.context.publish(subject, says.into()).await.unwrap().await.unwrap();
    }
    deploy(&nats, "shout", SHOUT, &[]);
    loop {
        let told = queue.next_of("shout", b"well").await;
        if told.outcome() == ("ok", "WELL".to_owned()) {
            break;
        }
        assert_eq!(told.says("Outcome"), "unknown_function");
    }
    let told = queue.next_of("bad-elf", b"").await;
    assert_eq!(told.says("Outcome"), "unknown_function");
}

#[tokio::test]
async fn a_call_that_takes_longer_than_the_ack_wait_is_delivered_once() {
    let nats = Nats::start();
    deploy(&nats, "takes", TAKES, &["--wall-ms", "60000"]);
    let _worker = Worker::start(&nats, &QUICK);
    let mut queue = Queue::open(&nats).await;
    let told = queue.ask("takes", "long", b"8000").await;
    assert_eq!((told.outcome(), told.attempt()), (("ok", "8000".to_owned()), 1));
    queue.drained().await;
    assert_eq!((queue.results().await, queue.consumer().await.num_redelivered), (1, 0));
}

#[tokio::test]
async fn what_a_worker_was_killed_in_the_middle_of_is_delivered_to_another() {
    let nats = Nats::start();
    deploy(&nats, "takes", TAKES, &["--wall-ms", "60000"]);
    let mut worker = Worker::start(&nats, &[&QUICK[..], &["--name", "one"]].concat());
    let mut queue = Queue::open(&nats).await;
    queue.submit("takes", "long", b"4000").await;
    worker.wait_until_runs(1);
    worker.kill();
    let _worker = Worker::start(&nats, &[&QUICK[..], &["--name", "two"]].concat());
    let told = queue.next().await;
    assert_eq!((told.outcome(), told.says("Worker")), (("ok", "4000".to_owned()), "two"));
    assert!(told.attempt() > 1, "{told:?}");
    queue.drained().await;
    assert_eq!(queue.results().await, 1);
}

#[tokio::test]
async fn a_worker_that_is_told_to_end_finishes_what_it_has_and_takes_no_more() {
    let nats = Nats::start();
    deploy(&nats, "takes", TAKES, &["--wall-ms", "60000"]);
    let mut worker = Worker::start(&nats, &[&QUICK[..], &["--invocations", "1"]].concat());
    let mut queue = Queue::open(&nats).await;
    queue.submit("takes", "first", b"3000").await;
    worker.wait_until_runs(1);
    worker.signal(Signal::TERM);
    while !worker.get("/healthz").0.contains("503") {}
    queue.submit("takes", "second", b"0").await;
    assert!(worker.process.wait().unwrap().success());
    let told = queue.next().await;
    assert_eq!((told.says("Id"), told.outcome(), told.attempt()), ("first", ("ok", "3000".to_owned()), 1));
    assert_eq!(queue.results().await, 1);
    let left = queue.invocations.info().await.unwrap().state.messages;
    assert_eq!(left, 1, "the first is acknowledged, and the second is for others");
    let _worker = Worker::start(&nats, &QUICK);
    let told = queue.next().await;
    assert_eq!((told.says("Id"), told.attempt()), ("second", 1));
}

#[tokio::test]
async fn a_second_signal_ends_a_worker_at_once_and_nothing_is_lost() {
    let nats = Nats::start();
    deploy(&nats, "takes", TAKES, &["--wall-ms", "60000"]);
    let mut worker = Worker::start(&nats, &QUICK);
    let mut queue = Queue::open(&nats).await;
    queue.submit("takes", "long", b"4000").await;
    worker.wait_until_runs(1);
    worker.signal(Signal::INT);
    while !worker.get("/healthz").0.contains("503") {}
    worker.signal(Signal::INT);
    assert_eq!(worker.process.wait().unwrap().code(), Some(130));
    let _worker = Worker::start(&nats, &QUICK);
    let told = queue.next().await;
    assert_eq!(told.outcome(), ("ok", "4000".to_owned()));
    assert!(told.attempt() > 1, "{told:?}");
}

#[tokio::test]
async fn messages_that_make_no_sense_have_results_and_stop_nobody() {
    let nats = Nats::start();
    deploy(&nats, "shout", SHOUT, &[]);
    let _worker = Worker::start(&nats, &[&QUICK[..], &["--max-deliver", "2"]].concat());
    let mut queue = Queue::open(&nats).await;
    let shout = b"ampoule.invoke.shout";
    let long = "a".repeat(60_000);
    let headers = |lines: &str| format!("NATS/1.0\r\n{lines}\r\n\r\n").into_bytes();
    // The client ends over this one: nothing else may hide that.
    nats.send_raw(&[with_headers(shout, &headers("X: a\rb"), b"")]);
    let told = queue.next().await;
    assert_eq!((told.says("Id"), told.says("Outcome")), ("seq-1", "bad_message"));
    let expected = [
        (plain(shout, b"no headers"), "ok"),
        (with_headers(shout, &headers(&format!("X: {long}")), b"long headers"), "ok"),
        (with_headers(shout, &headers(&format!("Nats-Msg-Id: {}", "a".repeat(1000))), b""), "bad_message"),
        (with_headers(shout, &headers("Nats-Msg-Id: a.b"), b""), "bad_message"),
        (with_headers(shout, &headers("Nats-Msg-Id: *"), b""), "bad_message"),
        (with_headers(shout, b"NATS/1.0\r\nX: \xff\xfe\r\n\r\n", b""), "bad_message"),
        (with_headers(shout, b"NATS/1.0\r\nno colon\r\n\r\n", b""), "bad_message"),
        (with_headers(shout, b"NATS/1.0\r\nX: a\rb\r\n\r\n", b""), "bad_message"),
        (with_headers(shout, b"NATS/1.0 409 Consumer Deleted\r\n\r\n", b""), "bad_message"),
        (with_headers(shout, b"NATS/1.0 100 Idle Heartbeat\r\n\r\n", b""), "bad_message"),
        (with_headers(shout, b"no version\r\n\r\n", b""), "bad_message"),
        (plain(b"ampoule.invoke.\xff\xfe", b""), "bad_message"),
        (plain("ampoule.invoke.a\u{2003}b".as_bytes(), b""), "bad_message"),
        (plain(b"ampoule.invoke.a.b", b""), "unknown_function"),
        (plain(b"ampoule.invoke.*", b""), "unknown_function"),
        (plain(b"ampoule.invoke.>", b""), "unknown_function"),
        (plain(b"ampoule.invoke.SHOUT", b""), "unknown_function"),
        (plain(b"ampoule.invoke.nobody", b""), "unknown_function"),
        (plain(shout, b"at last"), "ok"),
    ];
    let messages: Vec<_> = expected.iter().map(|(message, _)| message.clone()).collect();
    nats.send_raw(&messages);
    let mut outcomes = HashMap::new();
    while outcomes.len() < expected.len() {
        let told = queue.next().await;
        outcomes.insert(told.says("Id").to_owned(), told.says("Outcome").to_owned());
    }
    for (sequence, (message, outcome)) in (2..).zip(&expected) {
        let start = String::from_utf8_lossy(&message[..message.len().min(80)]).into_owned();
        assert_eq!(outcomes.get(&format!("seq-{sequence}")).map(String::as_str), Some(*outcome), "{sequence}: {start}");
    }
    queue.drained().await;
}

#[tokio::test]
async fn a_server_that_goes_away_and_comes_back_loses_nothing() {
    const INVOCATIONS: usize = 600;
    let mut nats = Nats::start();
    deploy(&nats, "word-count", WORD_COUNT, &[]);
    let _worker = Worker::start(&nats, &QUICK);
    let mut queue = Queue::open(&nats).await;
    let mut ids = HashSet::new();
    for round in 0..3 {
        for number in 0..INVOCATIONS / 3 {
            queue.submit("word-count", &format!("{round}-{number}"), format!("{number}").as_bytes()).await;
        }
        // In the middle of the round's results.
        while ids.len() < round * INVOCATIONS / 3 + INVOCATIONS / 6 {
            let told = queue.next().await;
            assert_eq!(told.says("Outcome"), "ok", "{told:?}");
            ids.insert(told.says("Id").to_owned());
        }
        nats.restart();
        queue.read_again().await;
    }
    while ids.len() < INVOCATIONS {
        ids.insert(queue.next().await.says("Id").to_owned());
    }
    // A server that is killed can forget that it has removed what was acknowledged, but not that it was.
    loop {
        let consumer = queue.consumer().await;
        if consumer.num_pending == 0 && consumer.num_ack_pending == 0 {
            break;
        }
    }
}

/// Submissions of which the acknowledgements are waited for together.
const SUBMITTED_AT_ONCE: usize = 100;

/// A choice that a seed makes: splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % end
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// What is submitted, and what `wc` says of it.
fn body(number: usize) -> (String, String) {
    let body = format!("{number} {}\n", "word ".repeat(number % 7));
    let answer = format!("1 {} {}\n", 1 + number % 7, body.len());
    (body, answer)
}

/// `AMPOULE_TEST_SEED=7` makes other choices of who is killed, and when; `AMPOULE_TEST_SCALE=10` makes it ten times as many invocations.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn of_ten_thousand_invocations_none_is_lost_when_workers_are_killed_at_random() {
    let invocations = 10_000 * usize::try_from(variable("AMPOULE_TEST_SCALE").unwrap_or(1)).unwrap();
    let seed = variable("AMPOULE_TEST_SEED").unwrap_or(1);
    let mut random = Random(seed);
    let nats = Nats::start();
    deploy(
        &nats,
        "word-count",
        WORD_COUNT,
        &["--wall-ms", "60000", "--cpu-ms", "60000", "--queue", "64", "--wait-ms", "60000"],
    );
    let begin = |number: u64| {
        Worker::begin(&nats, &[&QUICK[..], &["--invocations", "8", "--name", &number.to_string()]].concat())
    };
    let mut workers =
        [Worker::start(&nats, &[&QUICK[..], &["--invocations", "8", "--name", "0"]].concat()), begin(1), begin(2)];
    let mut queue = Queue::open(&nats).await;
    let sender = queue.submitter();
    let submitter = tokio::spawn(async move {
        for start in (0..invocations).step_by(SUBMITTED_AT_ONCE) {
            let numbers = start..invocations.min(start + SUBMITTED_AT_ONCE);
            let sending = numbers.map(|number| {
                let sender = &sender;
                async move { assert!(sender.submit("word-count", &number.to_string(), body(number).0.as_bytes()).await) }
            });
            sending.collect::<FuturesUnordered<_>>().collect::<()>().await;
        }
    });

    let mut told = Vec::<Told>::new();
    let mut done = HashSet::new();
    let mut killed = 0;
    let mut next_kill = 1 + random.below(300);
    while done.len() < invocations {
        let result = queue.next().await;
        done.insert(result.says("Id").to_owned());
        told.push(result);
        if told.len() as u64 >= next_kill {
            let which = usize::try_from(random.below(3)).unwrap();
            // Killed in the middle of what it does: the next one begins when it is gone.
            workers[which].kill();
            workers[which] = begin(3 + killed);
            killed += 1;
            next_kill = told.len() as u64 + 1 + random.below(invocations as u64 / 20);
        }
    }
    submitter.await.unwrap();
    queue.drained().await;
    while told.len() as u64 != queue.results().await {
        told.push(queue.next().await);
    }

    // Every result is right, and two of one id are of two deliveries: at most one of them is of the first.
    let mut deliveries = HashSet::new();
    for result in &told {
        let number: usize = result.says("Id").parse().unwrap();
        assert_eq!(result.outcome(), ("ok", body(number).1), "seed {seed}: {result:?}");
        assert!(deliveries.insert((number, result.attempt())), "seed {seed}: {number} has two results of one delivery");
    }
    assert_eq!(deliveries.iter().map(|(number, _)| number).collect::<HashSet<_>>().len(), invocations, "seed {seed}");
    let duplicates = told.len() - invocations;
    let again = told.iter().filter(|result| result.attempt() > 1).count();
    println!(
        "{invocations} invocations, {killed} workers killed: {again} were delivered again, {duplicates} ran twice"
    );
    assert!(killed > 5, "seed {seed}: only {killed} were killed");
    assert!(
        again > 0 && again >= duplicates,
        "seed {seed}: {again} results of later deliveries, {duplicates} duplicates"
    );
}
