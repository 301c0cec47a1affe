//! Compiles every guest in `guests/` by its suffix and writes a table that holds them all, so that a test binary carries its guests and
//! needs nothing else where it runs.
//!
//! ```text
//! suffix   variants                                     compiler
//! .c       musl, glibc, pie   (hostile, bench: musl)    musl-gcc -static, gcc -static, gcc -static-pie
//! .cpp     glibc, pie                                   g++ -static, g++ -static-pie
//! .rs      static, pie                                  rustc, libc linked statically
//! .S       bare                                         gcc -nostdlib -static
//!
//! in guests/fuzz, linked with sdk/c/fuzz.c; a guest that says nothing is built as the first:
//! .c       coverage, memory, guard, plain               clang with counters; and checks of memory; and guard pages; gcc with nothing
//! .cpp     coverage, memory                             clang++, the same
//! .rs      coverage                                     rustc with counters
//! .c       bare, outside                                gcc without fuzz.c; the same counters without it, for the reference
//! ```
//! A first line that holds `guest: variants=… flags=…` (values separated by commas) narrows the variants and adds flags at the end.
//! Headers are the guests' to include.
//!
//! A compiler that is not installed does not fail the build: the table says what to install, and a test that asks for the guest fails
//! with it. A guest that does not compile fails the build with the compiler's message.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};

/// One source in one variant.
struct Job {
    source: PathBuf,
    honest: bool,
    name: String,
    suffix: &'static str,
    variant: &'static Variant,
    flags: Vec<String>,
}

/// A directory of guests, whether they are honest, whether those in C are built in every variant or in the first one, and its rules.
const DIRECTORIES: &[(&str, bool, bool, &[Rule])] = &[
    ("guests/honest", true, true, RULES),
    // What these print is not the same outside.
    ("guests/inside", false, true, RULES),
    ("guests/hostile", false, false, RULES),
    ("guests/crashes", false, true, RULES),
    ("guests/bench", false, false, RULES),
    // A plugin does nothing outside, so that there is nothing to compare with.
    ("guests/plugins", false, true, RULES),
    ("guests/plugins/hostile", false, false, RULES),
    // Targets, which do nothing outside but read one input.
    ("guests/fuzz", false, false, FUZZ_RULES),
];

/// A name, a compiler, its flags, and the Debian package that brings it.
type Variant = (&'static str, &'static str, &'static [&'static str], &'static str);
/// A suffix with its variants.
type Rule = (&'static str, &'static [Variant]);

const RULES: &[Rule] = &[
    (
        "c",
        &[
            ("musl", "musl-gcc", &["-static"], "musl-tools"),
            ("glibc", "gcc", &["-static", "-fno-pie", "-no-pie"], "gcc libc6-dev"),
            ("pie", "gcc", &["-static-pie", "-fPIE"], "gcc libc6-dev"),
        ],
    ),
    (
        "cpp",
        &[
            ("glibc", "g++", &["-std=c++20", "-static", "-fno-pie", "-no-pie"], "g++"),
            ("pie", "g++", &["-std=c++20", "-static-pie", "-fPIE"], "g++"),
        ],
    ),
    ("rs", &[("pie", "rustc", &[], "rustc"), ("static", "rustc", &["-Crelocation-model=static"], "rustc")]),
    ("S", &[("bare", "gcc", &["-nostdlib", "-static", "-no-pie"], "gcc")]),
];

/// With lines, for reports.
const FUZZ_RULES: &[Rule] = &[
    (
        "c",
        &[
            ("coverage", "clang", &["@../sdk/c/fuzz/coverage.flags", FUZZ_LINES, FUZZ_SOURCE], "clang"),
            ("memory", "clang", &["@../sdk/c/fuzz/memory-clang.flags", FUZZ_LINES, FUZZ_SOURCE], "clang"),
            (
                "guard",
                "clang",
                &["@../sdk/c/fuzz/coverage.flags", "-DAMPOULE_FUZZ_GUARD_PAGES", FUZZ_LINES, FUZZ_SOURCE],
                "clang",
            ),
            ("plain", "gcc", &["-static", "-g1", FUZZ_SOURCE], "gcc libc6-dev"),
            ("bare", "gcc", &["-static", "-g1"], "gcc libc6-dev"),
            (
                "outside",
                "clang",
                &[
                    "-O1",
                    "-fno-omit-frame-pointer",
                    "-static",
                    "-fsanitize-coverage=inline-8bit-counters,pc-table,trace-cmp",
                    "-fno-sanitize-link-runtime",
                    "guests/fuzz/outside/counters.c",
                ],
                "clang",
            ),
        ],
    ),
    (
        "cpp",
        &[
            (
                "coverage",
                "clang++",
                &["@../sdk/c/fuzz/coverage.flags", FUZZ_LINES, "-xc", FUZZ_SOURCE, "-xc++"],
                "clang g++",
            ),
            (
                "memory",
                "clang++",
                &["@../sdk/c/fuzz/memory-clang.flags", FUZZ_LINES, "-xc", FUZZ_SOURCE, "-xc++"],
                "clang g++",
            ),
        ],
    ),
    (
        "rs",
        &[(
            "coverage",
            "rustc",
            &["@../sdk/c/fuzz/rustc.flags", "-Clink-arg=-O2", "-Clink-arg=../sdk/c/fuzz.c"],
            "rustc gcc libc6-dev",
        )],
    ),
];
const FUZZ_SOURCE: &str = "../sdk/c/fuzz.c";
const FUZZ_LINES: &str = "-gline-tables-only";

/// No debug information, unless a guest asks for it: symbols are enough for most, and the guests are carried in every test binary.
const C_FLAGS: &[&str] = &["-O2", "-g0", "-Wall", "-Wextra", "-Wno-infinite-recursion"];
const RUST_FLAGS: &[&str] =
    &["--edition=2024", "--target=x86_64-unknown-linux-gnu", "-O", "-Ctarget-feature=+crt-static", "-Cstrip=debuginfo"];

fn main() -> ExitCode {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    for watched in ["build.rs", "guests", "../sdk/c"] {
        println!("cargo::rerun-if-changed={watched}");
    }
    for variable in ["RUSTC", "PATH"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    match jobs().map(|jobs| compile_all(&jobs, &out)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(message)) | Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Every guest in every variant, by name.
fn jobs() -> Result<Vec<Job>, String> {
    let mut jobs = Vec::new();
    for &(directory, honest, every_variant, rules) in DIRECTORIES {
        let entries = std::fs::read_dir(directory).map_err(|error| format!("{directory}: {error}"))?;
        for entry in entries {
            let source = entry.map_err(|error| format!("{directory}: {error}"))?.path();
            let suffix = source.extension().and_then(|it| it.to_str()).unwrap_or_default();
            if suffix == "h" || source.is_dir() {
                continue;
            }
            let Some((suffix, variants)) = rules.iter().find(|rule| rule.0 == suffix) else {
                return Err(format!("{}: no rule for this suffix (see build.rs)", source.display()));
            };
            let text = std::fs::read_to_string(&source).map_err(|error| format!("{}: {error}", source.display()))?;
            let first = text.lines().next().unwrap_or_default();
            let list = |key: &str| -> Vec<String> {
                let words = first.split_once("guest:").map_or("", |(_, rest)| rest).split_whitespace();
                let values = words.filter_map(|word| word.strip_prefix(key)?.strip_prefix('='));
                values.flat_map(|value| value.split(',')).map(str::to_owned).collect()
            };
            let wanted = list("variants");
            for (index, variant) in variants.iter().enumerate() {
                let usual = every_variant || *suffix != "c" || index == 0;
                if if wanted.is_empty() { usual } else { wanted.iter().any(|it| it == variant.0) } {
                    let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                    jobs.push(Job { source: source.clone(), honest, name, suffix, variant, flags: list("flags") });
                }
            }
        }
    }
    jobs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(jobs)
}

/// Compiles all, as many at once as cargo allows, and writes the table.
fn compile_all(jobs: &[Job], out: &Path) -> Result<(), String> {
    let workers = std::env::var("NUM_JOBS").ok().and_then(|it| it.parse().ok()).unwrap_or(1);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut results = Vec::new();
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            results.push((job, compile(job, out)));
        }
        results
    };
    let mut results = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    if results.len() != jobs.len() {
        return Err("a worker of the build script panicked".into());
    }
    results.sort_by_key(|(job, _)| (&job.name, job.variant.0));

    let mut table = String::from("&[\n");
    let mut errors = String::new();
    for (job, result) in results {
        let image = match result {
            Ok(Outcome::Built) => format!("Ok(include_bytes!({:?}))", file_name(job)),
            Ok(Outcome::CompilerMissing(reason)) => {
                // Named but never made: the build script runs again next time, when the compiler may be there.
                println!("cargo::rerun-if-changed={}", out.join("compiler-missing").display());
                println!("cargo::warning=guest {} ({}): {reason}", job.name, job.variant.0);
                format!("Err({reason:?})")
            }
            Err(message) => {
                errors += &message;
                continue;
            }
        };
        let Job { name, suffix, variant: (variant, ..), honest, .. } = job;
        let _ = writeln!(
            table,
            "Guest {{ name: {name:?}, suffix: {suffix:?}, variant: {variant:?}, honest: {honest}, image: {image} }},"
        );
    }
    table += "]\n";
    if !errors.is_empty() {
        return Err(errors);
    }
    std::fs::write(out.join("guests.rs"), table).map_err(|error| format!("the table of guests: {error}"))
}

enum Outcome {
    Built,
    CompilerMissing(String),
}

fn file_name(job: &Job) -> String {
    format!("{}.{}.{}", job.name, job.suffix, job.variant.0)
}

fn compile(job: &Job, out: &Path) -> Result<Outcome, String> {
    let (name, compiler, flags, package) = job.variant;
    let mut command;
    if job.suffix == "rs" {
        command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from(compiler)));
        command.args(RUST_FLAGS).args(*flags).args(&job.flags).arg(&job.source);
        // Intermediate files are named after the crate, and two variants may be built at once.
        command.arg(format!("--crate-name={}_{name}", job.name));
        // A guest is built the same way whatever the crate around it is built with.
        for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
            command.env_remove(variable);
        }
    } else {
        command = Command::new(compiler);
        // Libraries are named after what needs them, so a guest's own flags come last.
        command.args(C_FLAGS).args(*flags).arg(&job.source).args(&job.flags);
    }
    command.arg("-o").arg(out.join(file_name(job)));
    match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Outcome::CompilerMissing(format!(
            "{compiler} is not installed; install {package}: apt-get install {package}"
        ))),
        Err(error) => Err(format!("{command:?}: {error}\n")),
        Ok(output) if output.status.success() => Ok(Outcome::Built),
        Ok(output) => Err(format!("{command:?} failed:\n{}\n", String::from_utf8_lossy(&output.stderr))),
    }
}
