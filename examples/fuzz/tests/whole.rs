//! The whole: found, told, and the same every time.
//!
//! Here the search for zlib's bug starts from a small gzip file instead of from nothing, so that a debug build has it in seconds: what an empty corpus
//! takes is in the README.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper that fails is a test that fails")]

use std::ops::ControlFlow;
use std::process::Command;
use std::time::Duration;

use ampoule::fuzz::{FindingKind, Harness, Verdict};
use ampoule_example_fuzz::campaign::{Campaign, Found, key};
use ampoule_example_fuzz::minimise::minimise;
use ampoule_example_fuzz::replay::{Replays, replay};
use ampoule_example_fuzz::target::Target;

/// `printf 'hello, hello' | gzip -n`
const GZIP: [u8; 29] = [
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xd7, 0x51, 0xc8, 0x00,
    0x51, 0x00, 0xff, 0xc5, 0xcc, 0xf3, 0x0c, 0x00, 0x00, 0x00,
];

fn harness(name: &str) -> Harness {
    // Long enough for a machine that is busy with other tests: only what hangs takes it.
    Target::named(name).unwrap().harness(Duration::from_secs(2), 16 << 20).unwrap()
}

fn search(seed: u64, executions: u64, corpus: &[&[u8]]) -> Found {
    let corpus = corpus.iter().map(|input| input.to_vec()).collect();
    let campaign = Campaign { seed, executions, bugs: 1, corpus };
    campaign.run(harness("zlib"), &mut harness("zlib"), |_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn the_overflow_in_zlib_is_found_named_and_the_same_a_thousand_times() {
    let found = search(0, 20_000, &[&GZIP]);
    let [bug] = &found.bugs[..] else { panic!("{found:?}") };
    let mut harness = harness("zlib");
    let input = minimise(&mut harness, &bug.input).unwrap();
    assert!(input.len() <= bug.input.len());
    let verdict = harness.run(&input).unwrap();
    let Verdict::Crash(crash) = &verdict else { panic!("{verdict}") };
    assert_eq!(crash.finding().map(|finding| finding.kind()), Some(FindingKind::HeapOverflow));
    assert!(verdict.to_string().contains("inflate.c"), "{verdict}");
    assert!(bug.key.contains("heap buffer overflow") && bug.key.contains("inflate"), "{}", bug.key);
    assert_eq!(key(&verdict).as_ref(), Some(&bug.key));
    assert_eq!(replay(&mut harness, &input, 1000).unwrap(), Replays { all: 1000, same: 1000, other: None });
}

#[test]
fn a_seed_finds_the_same_inputs_after_the_same_executions() {
    assert_eq!(search(3, 3000, &[]), search(3, 3000, &[]));
    assert_ne!(search(3, 3000, &[]).corpus, search(4, 3000, &[]).corpus);
}

#[test]
fn no_input_of_a_corpus_is_unstable() {
    let found = search(5, 3000, &[&GZIP]);
    assert!(found.corpus.len() > 2, "{found:?}");
    let stability = harness("zlib").stability(&found.corpus, 10).unwrap();
    assert!(stability.is_perfect() && stability.edges > 0, "{stability:?}");
}

#[test]
fn each_planted_bug_is_named() {
    let mut harness = harness("planted");
    assert_eq!(harness.run(b"AMP!N\x03\"aaS\x02O1S\x02U1S\x02C1C\x03+\x09\x01").unwrap(), Verdict::Ok);
    for (input, name) in [
        (&b"AMP!N\x14\"aaaaaaaaaaaaaaaaaaa"[..], "stack buffer overflow in name"),
        (b"AMP!S\x02O1S\x02C1S\x02U1", "use after free in session"),
        (b"AMP!S\x02O1S\x02C1S\x02C1", "double free in session"),
        (b"AMP!C\x03+\x01\0", "hang"),
    ] {
        let verdict = harness.run(input).unwrap();
        let key = key(&verdict).unwrap();
        assert!(key.contains(name), "{key:?} and not {name:?}: {verdict}");
    }
}

#[test]
fn the_program_prints_a_report_keeps_it_and_counts_its_replays() {
    let directory = std::env::temp_dir().join(format!("ampoule-example-fuzz-{}", std::process::id()));
    let (corpus, out) = (directory.join("corpus"), directory.join("out"));
    std::fs::create_dir_all(&corpus).unwrap();
    // It crashes by itself: what is tested here is what comes after the search.
    let extra = [&[0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 3, 100, 0][..], &[b'x'; 100]].concat();
    std::fs::write(corpus.join("extra.gz"), extra).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_fuzz"));
    let output = program.arg("--corpus").arg(&corpus).arg("--out").arg(&out).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    assert!(stdout.contains("heap buffer overflow: write of"), "{stdout}");
    assert!(stdout.contains("replayed: 1000 of 1000 times"), "{stdout}");
    let report = std::fs::read_to_string(out.join("bug-1.report.txt")).unwrap();
    assert!(report.contains("heap buffer overflow: write of"), "{report}");
    assert!(harness("zlib").run(&std::fs::read(out.join("bug-1")).unwrap()).unwrap().crash().is_some());
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_search_that_finds_too_little_fails_and_says_what_to_do() {
    let output = Command::new(env!("CARGO_BIN_EXE_fuzz")).args(["--executions", "100"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(stderr.contains("0 of 1 bugs were found") && stderr.contains("--executions"), "{stderr}");
}
