//! `docs/threat-model.md` promises nothing that no test holds.

const DOCUMENT: &str = include_str!("../../docs/threat-model.md");

/// Files of tests, by the name that the document gives them.
const SOURCES: &[(&str, &str)] = &[
    ("alone", include_str!("alone.rs")),
    ("attributions", include_str!("attributions.rs")),
    ("bug_classes", include_str!("bug_classes.rs")),
    ("budget", include_str!("budget.rs")),
    ("confined", include_str!("confined.rs")),
    ("directed", include_str!("../../runtime/src/linux/tests/directed.rs")),
    ("endurance", include_str!("endurance.rs")),
    ("exact", include_str!("exact.rs")),
    ("forgeries", include_str!("../../runtime/src/snapshot/file/tests/forgeries.rs")),
    ("fuzz_batches", include_str!("fuzz_batches.rs")),
    ("fuzz_hostile", include_str!("fuzz_hostile.rs")),
    ("fuzz_state", include_str!("fuzz_state.rs")),
    ("fuzzing", include_str!("../../runtime/src/fuzzing.rs")),
    ("host_dirs", include_str!("host_dirs.rs")),
    ("host_tests", include_str!("../../runtime/src/linux/files/host/tests.rs")),
    ("hostile_calls", include_str!("hostile_calls.rs")),
    ("hostile_dirs", include_str!("hostile_dirs.rs")),
    ("hostile_instructions", include_str!("hostile_instructions.rs")),
    ("hostile_plugins", include_str!("hostile_plugins.rs")),
    ("hostile_programs", include_str!("hostile_programs.rs")),
    ("imports", include_str!("imports.rs")),
    ("instance_tests", include_str!("../../runtime/src/sandbox/instance_tests.rs")),
    ("isolation", include_str!("isolation.rs")),
    ("limits", include_str!("limits.rs")),
    ("live_endings", include_str!("live_endings.rs")),
    ("live_hostile", include_str!("live_hostile.rs")),
    ("memory", include_str!("memory.rs")),
    ("memory_of_the_host", include_str!("../../runtime/src/vm/memory.rs")),
    ("paging_tests", include_str!("../../runtime/src/machine/paging/tests.rs")),
    ("pools", include_str!("pools.rs")),
    ("properties", include_str!("../../runtime/src/program/tests/properties.rs")),
    ("random", include_str!("../../runtime/src/linux/tests/random.rs")),
    ("regions", include_str!("regions.rs")),
    ("restore_tests", include_str!("../../runtime/src/machine/restore_tests.rs")),
    ("sandbox_tests", include_str!("../../runtime/src/sandbox/tests.rs")),
    ("sandboxes", include_str!("sandboxes.rs")),
    ("signals", include_str!("signals.rs")),
    ("snapshot_files", include_str!("snapshot_files.rs")),
    ("snapshots", include_str!("snapshots.rs")),
    ("state_tests", include_str!("../../runtime/src/linux/state/tests/mod.rs")),
    ("warm", include_str!("warm.rs")),
];

/// The cells of every row of a table but its head.
fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| ") && !line.contains("| vulnerability? |"));
    rows.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
}

/// What is named as `file::test`.
fn named(cell: &str) -> impl Iterator<Item = (&str, &str)> {
    cell.split('`').skip(1).step_by(2).filter_map(|name| name.split_once("::"))
}

#[test]
fn every_promise_names_tests_and_every_test_that_it_names_is_there() {
    let mut promises = 0;
    for row in rows() {
        let held = row.get(2).copied().unwrap_or_default();
        match row[1].split(':').next() {
            Some("yes") => promises += 1,
            Some(answer) => {
                assert!(answer.starts_with("no"), "neither yes nor no: {row:?}");
                continue;
            }
            None => panic!("{row:?}"),
        }
        assert!(named(held).count() > 0, "no test holds this: {}", row[0]);
        for (file, test) in named(held) {
            let source = SOURCES.iter().find(|source| source.0 == file);
            let source =
                source.unwrap_or_else(|| panic!("the document names {file}, and this test does not know it")).1;
            assert!(source.contains(&format!("fn {test}(")), "{file} has no {test}");
        }
    }
    assert!(promises > 30, "only {promises} rows were understood");
}

#[test]
fn every_file_of_tests_that_is_known_here_is_named_there() {
    for (file, _) in SOURCES {
        assert!(DOCUMENT.contains(&format!("`{file}::")), "{file}");
    }
}
