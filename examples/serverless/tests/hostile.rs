//! Clients and uploads that mean harm: each gets an answer or the end of its connection, and nobody else notices.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that fails is a test that fails"
)]

mod server;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::process::Command;
use std::thread;
use std::time::Duration;

use server::files::{called, marked, marks, misbehaves, plainly, stopped_program, with_checksum};
use server::http::{Answer, Client, Request};
use server::{BOTH, MISBEHAVES, Server, command, misbehaving, spawn, start};

/// Numbers that look random and are the same in every run: Marsaglia's xorshift.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// An honest client is served by the function that everybody else abuses.
fn serves(server: &Server) {
    assert_eq!(server.post(BOTH[0], b"count"), (200, "1".to_owned()));
    assert_eq!(server.post(BOTH[1], b"body"), (200, "body".to_owned()));
}

/// What a client hears that breaks the rules of HTTP: an answer, or nothing.
fn hears(server: &Server, bytes: &[u8]) -> Option<Answer> {
    let mut client = server.connect();
    // The server may close at any time.
    let _ = client.write(bytes);
    let _ = client.end();
    heard(&mut client)
}

fn heard(client: &mut Client) -> Option<Answer> {
    match client.read() {
        Ok(answer) => Some(answer),
        Err(error) => {
            let is_closed = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
            assert!(is_closed.contains(&error.kind()), "{error}");
            None
        }
    }
}

#[test]
fn a_head_that_comes_slowly_ends_its_connection_and_makes_room_for_others() {
    let server = misbehaving(&["--connections", "8", "--head-ms", "200"]);
    let mut slow: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for client in &mut slow {
        client.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").unwrap();
    }
    serves(&server);
    for client in &mut slow {
        assert!(heard(client).is_none_or(|answer| answer.status == 408 || answer.status == 400));
    }
    // A byte now and then is no head either.
    let mut client = server.connect();
    let ended = (0..).find(|_| client.write(b"G").is_err() || client.is_over(Duration::from_millis(5)));
    assert!(ended.is_some());
    serves(&server);
}

#[test]
fn a_body_that_comes_slowly_is_a_400_whether_it_is_to_invoke_or_to_deploy() {
    let server = misbehaving(&["--body-ms", "200", "--connections", "4"]);
    for (method, path) in [("POST", BOTH[0]), ("POST", BOTH[1]), ("PUT", "/functions/new")] {
        for length in [("Content-Length", "1000"), ("Transfer-Encoding", "chunked")] {
            let slow: Vec<_> = (0..4)
                .map(|_| {
                    let mut client = server.connect();
                    let head =
                        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{}: {}\r\n\r\n", length.0, length.1);
                    client.write(&[head.as_bytes(), b"1\r\n"].concat()).unwrap();
                    client
                })
                .collect();
            // There is no connection left, until they are told.
            serves(&server);
            for mut client in slow {
                let answer = client.read().unwrap();
                assert_eq!(answer.refusal(), (400, "body_lost".to_owned()), "{method} {path} {length:?}");
                assert_eq!(client.rest(), b"");
            }
        }
    }
    assert_eq!(server.function("misbehaves")["totals"]["failed"]["body_lost"], 8);
}

#[test]
fn a_client_that_reads_no_answer_loses_its_connection() {
    let arguments =
        ["--body-ms", "500", "--connections", "1", "--body-kib", "16384", "--cpu-ms", "60000", "--wall-ms", "60000"];
    let server = start(&arguments);
    // More than both ends keep in their buffers.
    let mut deaf = server.begin("/invoke/shout", &vec![b'a'; 16 << 20]);
    // The only connection is the deaf one's.
    assert_eq!(server.post("/invoke/shout", b"a"), (200, "A".to_owned()));
    assert!(deaf.read().is_err());
}

#[test]
fn a_body_beyond_the_limit_is_a_413_however_it_comes() {
    let server = misbehaving(&["--body-kib", "1", "--image-mib", "1"]);
    for (method, path, limit) in
        [("POST", BOTH[0], 1 << 10), ("POST", BOTH[1], 1 << 10), ("PUT", "/functions/new", 1 << 20)]
    {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        let chunks = b"400\r\n".iter().chain(&[b'a'; 0x400]).chain(b"\r\n").copied().collect::<Vec<u8>>();
        let mut client = server.connect();
        client.write(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).unwrap();
        for _ in 0..=limit / 0x400 {
            let _ = client.write(&chunks);
        }
        assert_eq!(client.read().unwrap().refusal(), (413, "body_too_long".to_owned()), "{method} {path}");
        // One that says so is not waited for.
        for length in [limit + 1, 1_u64 << 40] {
            let mut client = server.connect();
            client.write(format!("{head}Content-Length: {length}\r\n\r\n").as_bytes()).unwrap();
            assert_eq!(client.read().unwrap().refusal(), (413, "body_too_long".to_owned()), "{method} {path} {length}");
        }
        let chunk = format!("{head}Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\naaaa");
        assert!(hears(&server, chunk.as_bytes()).is_none_or(|answer| matches!(answer.status, 400 | 413)));
    }
    serves(&server);
}

#[test]
fn a_length_that_is_a_lie_is_no_request_of_anybodys() {
    let server = misbehaving(&[]);
    let before = server.function("misbehaves")["totals"]["ok"].clone();
    for (headers, body) in [
        ("Content-Length: 10", "count"),
        ("Content-Length: -1", "count"),
        ("Content-Length: 1e3", "count"),
        ("Content-Length: 0x5", "count"),
        ("Content-Length: 5, 6", "count"),
        ("Content-Length: 5\r\nContent-Length: 6", "count"),
        ("Content-Length: 99999999999999999999", "count"),
        ("Content-Length: 18446744073709551615", "count"),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", "count"),
        ("Transfer-Encoding: chunked", "count"),
        ("Transfer-Encoding: chunked", "-5\r\ncount\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", "ffffffffffffffffffff\r\ncount"),
        ("Transfer-Encoding: chunked", "5\r\ncountX\r\n0\r\n\r\n"),
        ("Transfer-Encoding: gzip", "count"),
        ("Transfer-Encoding: chunked, identity", "5\r\ncount\r\n0\r\n\r\n"),
    ] {
        let request = format!("POST {} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n{body}", BOTH[0]);
        let answer = hears(&server, request.as_bytes());
        assert!(
            answer.as_ref().is_none_or(|answer| matches!(answer.status, 400 | 413 | 431)),
            "{headers:?}: {answer:?}"
        );
    }
    assert_eq!(server.function("misbehaves")["totals"]["ok"], before);
    // What follows a body is the next request, and this is none.
    let mut client = server.connect();
    client.send(&Request::new("POST", BOTH[0]).header("Content-Length", "5").body(b"count and more\r\n\r\n")).unwrap();
    assert_eq!(client.read().unwrap().text(), "1");
    assert!(heard(&mut client).is_none_or(|answer| answer.status == 400));
    serves(&server);
}

#[test]
fn connections_that_do_nothing_are_no_more_than_there_may_be_and_do_not_keep_others_out() {
    const MOST: usize = 32;
    let server = misbehaving(&["--connections", &MOST.to_string(), "--head-ms", "100"]);
    serves(&server);
    let before = server.descriptors();
    let idle: Vec<_> = (0..MOST * 10).map(|_| server.connect()).collect();
    assert!(server.descriptors() <= before + MOST);
    serves(&server);
    assert!(server.descriptors() <= before + MOST);
    drop(idle);
    server.wait_until(|| server.descriptors() <= before);
}

#[test]
fn requests_that_come_at_once_on_one_connection_are_answered_in_their_order() {
    let server = misbehaving(&[]);
    let mut client = server.connect();
    let requests: Vec<u8> = (0..200)
        .flat_map(|number| {
            let body = format!("{number}");
            format!("POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", BOTH[1], body.len())
                .into_bytes()
        })
        .collect();
    thread::scope(|scope| {
        let mut writes = client.try_clone();
        scope.spawn(move || writes.write(&requests).unwrap());
        for number in 0..200 {
            assert_eq!(client.read().unwrap().text(), number.to_string());
        }
    });
}

#[test]
fn a_head_without_end_is_refused() {
    let server = misbehaving(&[]);
    let long = "a".repeat(1 << 20);
    let many: String = (0..10_000).map(|number| format!("X-{number}: 1\r\n")).collect();
    for head in [
        format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: {long}\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"),
        format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("{long} / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ] {
        let answer = hears(&server, head.as_bytes());
        assert!(answer.as_ref().is_none_or(|answer| matches!(answer.status, 400 | 414 | 431)), "{answer:?}");
    }
    serves(&server);
}

#[test]
fn what_is_no_http_is_refused_and_leaves_nothing_behind() {
    let server = misbehaving(&[]);
    serves(&server);
    let before = server.descriptors();
    let mut numbers = Numbers(1);
    let known: [&[u8]; 8] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: local\0host\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: yes\r\n\r\n",
        b"\r\n\r\n\r\n",
    ];
    let random: Vec<Vec<u8>> = (0..100).map(|size| numbers.bytes(size * 7)).collect();
    for bytes in known.into_iter().chain(random.iter().map(Vec::as_slice)) {
        let answer = hears(&server, bytes);
        let is_refused = answer.as_ref().is_none_or(|answer| matches!(answer.status, 400 | 414 | 431 | 505));
        assert!(is_refused, "{}: {answer:?}", bytes.escape_ascii());
    }
    server.wait_until(|| server.descriptors() <= before);
    serves(&server);
}

#[test]
fn no_path_leads_out_of_the_page_or_of_the_store() {
    let store = tempfile::TempDir::new().unwrap();
    let server = spawn(command(&[]).arg("--store").arg(store.path().join("store")));
    for path in [
        "/page/../Cargo.toml",
        "/page/..%2f..%2fCargo.toml",
        "/page/%2e%2e/%2e%2e/etc/passwd",
        "/page//etc/passwd",
        "/page/..\\..\\Cargo.toml",
        "/page/page.js%00.css",
        "/page/",
        "/../../../../etc/passwd",
        "/page/page.js/..",
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
    for name in ["..%2fout", "%2e%2e", ".%2e%2fout", "%2fetc%2fout", ".lock", ".writing-0", "shout.1", "a%00b"] {
        let answer = server.put(&format!("/functions/{name}"), &plainly());
        assert!(matches!(answer.status, 404 | 422), "{name}: {answer:?}");
        let answer = server.ask(&Request::new("DELETE", &format!("/functions/{name}")));
        assert_eq!(answer.status, 404, "{name}: {answer:?}");
    }
    let entries = |path| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(entries(store.path().to_owned()), ["store"]);
    let mut stored = entries(store.path().join("store"));
    stored.sort();
    assert_eq!(stored, [".lock", "shout.1", "word-count.1"]);
}

#[test]
fn nothing_that_is_sent_or_written_becomes_a_header() {
    let server = misbehaving(&[]);
    server.deploy("marked", &marked("x: y"));
    let split = "%0d%0aX-Injected:%20yes%0d%0a%0d%0aHTTP/1.1%20200%20OK";
    let known = ["content-type", "content-length", "date", "x-request-id", "retry-after", "allow", "connection"];
    let mut answers = vec![
        server.get(&format!("/functions/{split}")),
        server.get(&format!("/reports/{split}")),
        server.put(&format!("/functions/{split}"), b""),
        server.put(&format!("/functions/f?{split}={split}"), b""),
        server.invoke("marked", b""),
    ];
    for body in [&b"exit"[..], b"fail", b"hoard", b"\r\n\r\nHTTP/1.1 200 OK\r\nX-Injected: yes\r\n\r\n"] {
        answers.extend(BOTH.map(|path| server.ask(&Request::new("POST", path).body(body))));
    }
    for answer in answers {
        for (name, value) in &answer.headers {
            assert!(known.contains(&name.as_str()) && !value.contains(char::is_control), "{name}: {value:?}");
        }
        if answer.status >= 400 {
            answer.problem();
        }
    }
}

/// Files that are nearly functions, and some that are not at all.
fn uploads(numbers: &mut Numbers, count: usize) -> impl Iterator<Item = Vec<u8>> {
    let seeds = [misbehaves(), plainly(), marked("seed"), called(1), stopped_program()];
    (0..count).map(move |number| {
        let mut file = seeds[numbers.below(seeds.len())].clone();
        let is_elf = file.starts_with(b"\x7fELF");
        match number % 4 {
            0 => {
                let size = numbers.below(5000);
                let mut bytes = if number % 8 == 0 { b"\x7fELF\x02\x01\x01".to_vec() } else { Vec::new() };
                bytes.extend(numbers.bytes(size));
                return bytes;
            }
            1 => file.truncate(numbers.below(file.len())),
            _ => {
                // Heads are what is believed; the rest is what runs.
                let end = if numbers.below(2) == 0 { 1024 } else { file.len() };
                for _ in 0..=numbers.below(12) {
                    let at = numbers.below(end - 8);
                    let interesting = [0, 1, u64::MAX, i64::MAX.cast_unsigned(), 1 << 32, 1 << 47, numbers.next()];
                    match numbers.below(3) {
                        0 => file[at] ^= 1 << numbers.below(8),
                        1 => file[at] = numbers.next().to_le_bytes()[0],
                        _ => {
                            let word = interesting[numbers.below(interesting.len())];
                            file[at..at + 8].copy_from_slice(&word.to_le_bytes());
                        }
                    }
                }
            }
        }
        if is_elf || file.len() < 4 { file } else { with_checksum(file) }
    })
}

#[test]
fn whatever_is_uploaded_is_answered_and_costs_nothing_that_stays() {
    const UPLOADS: usize = 600;
    let server = misbehaving(&["--cpu-ms", "50", "--wall-ms", "200", "--memory-mib", "16"]);
    let mut numbers = Numbers(0x5eed);
    let mut statuses = BTreeMap::new();
    // The first ones make what stays by design: idle machines, threads, the allocator's room.
    let mut measured = Vec::new();
    for (number, file) in uploads(&mut numbers, UPLOADS).enumerate() {
        let name = format!("m{}", number % 3);
        let answer = server.put(&format!("/functions/{name}"), &file);
        *statuses.entry(answer.status).or_insert(0) += 1;
        assert!(matches!(answer.status, 200 | 201 | 422), "{number}: {answer:?}");
        if answer.status < 300 {
            let answer = server.invoke(&name, b"count");
            assert!(matches!(answer.status, 200 | 502 | 504 | 507), "{number}: {answer:?}");
        } else {
            answer.problem();
        }
        if number % (UPLOADS / 4) == UPLOADS / 4 - 1 {
            for name in ["m0", "m1", "m2"] {
                server.ask(&Request::new("DELETE", &format!("/functions/{name}")));
            }
            serves(&server);
            measured.push((server.resident(), server.descriptors()));
        }
    }
    assert!(statuses[&422] > UPLOADS / 4 && statuses.len() > 1, "not what it was to be: {statuses:?}");
    let ((before, open_before), (after, open_after)) = (measured[0], measured[3]);
    assert!(after < before + (48 << 10), "KiB of memory: {measured:?}");
    // At most the machines that are kept idle, of some descriptors each.
    assert!(open_after < open_before + 128, "{measured:?}");
}

#[test]
fn a_snapshot_that_claims_more_memory_than_its_function_may_have_is_a_422() {
    let server = misbehaving(&["--memory-mib", "16"]);
    let file = called(1);
    let honest = (16_u64 << 20).to_le_bytes();
    let places: Vec<usize> = (0..file.len() - 8).filter(|&at| file[at..at + 8] == honest).collect();
    assert!(!places.is_empty(), "the limit is in the file");
    let before = server.resident();
    for claim in [17 << 20, 64 << 20, 256 << 30, 1 << 46, u64::MAX] {
        // One of the places is the memory's; what the others are is none of the server's business.
        let answers = places.iter().map(|&at| {
            let mut forged = file.clone();
            forged[at..at + 8].copy_from_slice(&u64::to_le_bytes(claim));
            server.put("/functions/forged", &with_checksum(forged))
        });
        let statuses: Vec<_> = answers.map(|answer| answer.status).collect();
        assert!(
            statuses.contains(&422) && statuses.iter().all(|status| [200, 201, 422].contains(status)),
            "{statuses:?}"
        );
    }
    assert!(server.resident() < before + (64 << 10));
    assert_eq!(server.put("/functions/honest", &file).status, 201);
}

#[test]
fn functions_that_never_come_up_are_each_ended_by_their_own_limits() {
    let server = misbehaving(&["--cpu-ms", "100", "--memory-mib", "16"]);
    thread::scope(|scope| {
        let deploys: Vec<_> = (0..24)
            .map(|number| {
                let server = &server;
                scope.spawn(move || {
                    let what = ["spin", "sleep", "allocate"][number % 3];
                    let path = format!("/functions/never{number}?wall_ms=500");
                    server.put(&path, &marked(what))
                })
            })
            .collect();
        serves(&server);
        server.deploy("well", &marked("well"));
        assert_eq!(server.invoke("well", b"").body, marks("well"));
        for deploy in deploys {
            assert_eq!(deploy.join().unwrap().refusal(), (422, "no_function".to_owned()));
        }
    });
    assert_eq!(server.functions().as_array().unwrap().len(), 3);
}

/// Deploys until one is not taken, or `most` are; how many were, and the answer to the last.
fn fill(server: &Server, most: usize) -> (usize, Answer) {
    let mut taken = 0;
    loop {
        let answer = server.put(&format!("/functions/f{taken}"), &marked(&format!("f{taken}")));
        if answer.status != 201 {
            return (taken, answer);
        }
        taken += 1;
        if taken == most {
            return (taken, answer);
        }
    }
}

#[test]
fn a_thousand_functions_are_served_and_one_more_is_a_507() {
    let server = spawn(command(&[MISBEHAVES, "--memory-mib", "4"]).args(["--functions", "1000"]));
    let (taken, last) = fill(&server, 1000);
    assert_eq!((taken, last.refusal()), (999, (507, "too_many_functions".to_owned())));
    let mut client = server.connect();
    for number in (0..taken).step_by(7) {
        let answer = client.ask(&Request::new("POST", &format!("/invoke/f{number}"))).unwrap();
        assert_eq!((answer.status, answer.body), (200, marks(&format!("f{number}"))));
    }
    assert_eq!(server.get("/metrics").status, 200);
    assert_eq!(server.functions().as_array().unwrap().len(), 1000);
}

#[test]
fn where_descriptors_are_few_a_function_too_many_is_a_507_and_the_others_are_served() {
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 256 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_serverless")]);
    let server = spawn(limited.args(["--address", "127.0.0.1:0", MISBEHAVES, "--memory-mib", "4"]));
    // A function has a machine for as long as somebody invokes it, and a while after. So how many are taken is a matter of time.
    let (taken, last) = fill(&server, 200);
    assert!(taken > 20, "only {taken}");
    if taken < 200 {
        assert_eq!(last.refusal(), (507, "host_full".to_owned()));
        assert!(last.text().contains("ulimit -n"), "{}", last.text());
    }
    for number in 0..taken {
        assert_eq!(server.invoke(&format!("f{number}"), b"").body, marks(&format!("f{number}")));
    }
    // More connections than there are descriptors.
    let idle: Vec<_> = (0..300).map(|_| server.connect()).collect();
    drop(idle);
    assert_eq!(server.invoke("misbehaves", b"count").text(), "1");
    for number in 0..taken / 2 {
        assert_eq!(server.ask(&Request::new("DELETE", &format!("/functions/f{number}"))).status, 204);
    }
    server.deploy("more", &marked("more"));
}

#[test]
fn where_memory_is_little_a_function_too_many_is_a_507_and_an_invocation_too_many_a_503() {
    let arguments = [
        "--guests-mib",
        "100",
        "--concurrency",
        "100",
        "--memory-mib",
        "4",
        "--wall-ms",
        "3600000",
        "--cpu-ms",
        "3600000",
    ];
    let server = misbehaving(&arguments);
    let (taken, last) = fill(&server, 60);
    assert!(taken > 5, "only {taken}");
    if taken < 60 {
        assert_eq!(last.refusal(), (507, "host_full".to_owned()));
    }
    for number in 0..taken {
        assert_eq!(server.invoke(&format!("f{number}"), b"").body, marks(&format!("f{number}")));
    }
    let answer = server.put("/functions/huge?memory_mib=4096", &marked("huge"));
    assert_eq!(answer.refusal(), (507, "host_full".to_owned()));
    // Each function that is called has its machine. One that is run needs one more.
    let busy: Vec<_> = (0..30).map(|_| server.begin("/invoke/misbehaves_plainly", b"spin")).collect();
    let refusals = || server.function("misbehaves_plainly")["totals"]["failed"]["host_full"].clone();
    server.wait_until(|| refusals().as_u64() > Some(0));
    let refused = server.invoke("misbehaves_plainly", b"body");
    assert_eq!((refused.refusal(), refused.header("retry-after")), ((503, "host_full".to_owned()), Some("1")));
    drop(busy);
    server.wait_until(|| server.function("misbehaves_plainly")["running"] == 0);
    // Sandboxes that were used a while ago still have their machines, and those that were given up go one by one.
    server.wait_until(|| server.invoke("misbehaves_plainly", b"body").text() == "body");
    server.wait_until(|| server.invoke("f1", b"").body == marks("f1"));
}
