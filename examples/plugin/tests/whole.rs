//! The whole example, as its user runs it; its results are compared with what plain Rust makes of the same file.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper that fails is a test that fails")]

mod native;

use std::process::{Command, Output};

use serde_json::Value;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ampoule-example-plugin")).args(arguments).output().unwrap()
}

fn stdout(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn close(value: &Value, expected: f64) {
    let value = value.as_f64().unwrap();
    assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
}

#[test]
fn plugins_score_a_file_as_plain_rust_does_and_nothing_hostile_disturbs_them() {
    let file = stdout(&["--sample", "--records", "3000"]);
    let expected = native::score(&file);
    assert!(expected.refused > 0 && expected.unknown > 0 && expected.levels.iter().all(|&count| count > 0));

    let report: Value = serde_json::from_str(&stdout(&["--records", "3000", "--workers", "2", "--json"])).unwrap();
    let job = &report["job"];
    let refused: u64 = job["refused"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!((job["lines"].as_u64(), refused), (Some(3000), expected.refused + expected.unknown));
    let levels = ["ordinary", "notable", "severe"].map(|level| job["levels"][level].as_u64().unwrap());
    assert_eq!(levels, expected.levels);
    assert_eq!(job["lookups"], job["scored"]);
    close(&job["summary"]["total"], expected.total);
    close(&job["highest"][0]["points"], expected.highest);
    // One event for a hundred records, and one for the rest.
    assert_eq!(job["events"].as_u64(), Some(job["scored"].as_u64().unwrap().div_ceil(100)));

    let cases = report["hostile"]["cases"].as_array().unwrap();
    let says = |function: &str, text: &str| {
        let mut all = cases.iter().filter(|case| case["function"] == function);
        assert!(all.any(|case| case["ending"].as_str().unwrap().contains(text)), "{function}, {text}: {cases:#?}");
    };
    for (function, text) in [
        ("spins", "wall-time limit"),
        ("spins", "CPU-time limit"),
        ("spins", "cancelled"),
        ("eats_memory", "memory limit"),
        ("floods_output", "output limit"),
        ("floods_host_calls", "limit of host calls"),
        ("floods_events", "more events than were taken"),
        ("dereferences_null", "null dereference at 0x0, in dereferences_null+"),
        ("overflows_the_stack", "stack overflow"),
        ("exits", "exited with status 3"),
        ("lies", "cannot decode the result of `lies`"),
        ("summarise", "a batch without records has no summary, at "),
        ("summarise", "stderr ends with: a batch without records"),
    ] {
        says(function, text);
    }
    assert!(report["hostile"]["undisturbed"].as_u64().unwrap() > 0);

    let versions = report["reload"]["versions"].as_array().unwrap();
    assert_eq!(versions.iter().map(|version| version["version"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    // The record of `hostile::reference`, by the formulas of both versions.
    let [first, second] = [26.5 / 9.5 + 1.3, 26.5 / 9.5 + 1.3 + 1.9];
    close(&versions[0]["points"], first);
    close(&versions[1]["points"], second);
    assert!(versions.iter().all(|version| version["calls"].as_u64().unwrap() >= 400));
    assert!(report["reload"]["refused"].as_str().unwrap().contains("export summarise"));

    let calls = report["latencies"].as_array().unwrap();
    assert_eq!(calls.len(), 6);
    for call in calls {
        let [median, p99, max] = ["median_ns", "p99_ns", "max_ns"].map(|name| call[name].as_u64().unwrap());
        assert!(call["count"].as_u64().unwrap() >= 600 && 0 < median && median <= p99 && p99 <= max, "{call}");
    }
}

#[test]
fn a_file_of_ones_own_takes_the_place_of_the_generated_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weather.csv");
    std::fs::write(&path, "egll,2024-05-01T10:00Z,53.6F,36 km/h,1010hPa,71%\r\nEGLL,too,short\n").unwrap();
    let report: Value = serde_json::from_str(&stdout(&["--json", path.to_str().unwrap()])).unwrap();
    assert_eq!((&report["job"]["lines"], &report["job"]["scored"]), (&2.into(), &1.into()));
    let highest = &report["job"]["highest"][0];
    assert_eq!(highest["place"], "London Heathrow");
    close(&highest["points"], 0.5 / 6.0 + 1.0);
}

#[test]
fn every_error_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nothing.csv");
    let path = path.to_str().unwrap();
    let missing = run(&[path]);
    let message = String::from_utf8(missing.stderr).unwrap();
    assert!(!missing.status.success() && message.contains("nothing.csv") && message.contains("name a CSV file"));

    std::fs::write(path, "no\nrecords\n").unwrap();
    let message = String::from_utf8(run(&[path]).stderr).unwrap();
    assert!(message.contains("see --sample for what records look like"), "{message}");
}

#[test]
fn help_has_examples() {
    assert!(stdout(&["--help"]).contains("ampoule-example-plugin --json | jq .latencies"));
}
