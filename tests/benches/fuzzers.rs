//! A corpus through a fuzz target, over and over: what an input takes, singly and in batches, on one core and on two. `tests/fuzzers/run` sets it beside
//! other fuzzers' ways; the figures stand on lines of their own, a name, a tab and microseconds.
//!
//! `cargo bench -p ampoule-tests --bench fuzzers -- TARGET INPUT...`

#![allow(clippy::expect_used, clippy::panic, reason = "a measurement that fails is a bench that fails")]

use std::path::PathBuf;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use ampoule::fuzz::Harness;
use ampoule::{Floor, HostProbe, Program};

/// Times that the least is taken of.
const TIMES: u32 = 20;
/// The corpus is run so often at a time.
const ROUNDS: u32 = 20;

fn main() {
    // cargo adds an option of its own.
    let mut arguments = std::env::args_os().skip(1).filter(|argument| argument != "--bench").map(PathBuf::from);
    let Some(target) = arguments.next() else {
        println!("nothing to measure: name a target and its inputs, or see tests/fuzzers/run");
        return;
    };
    let program = Program::from_file(target).expect("a target");
    let inputs: Vec<Vec<u8>> = arguments.map(|path| std::fs::read(path).expect("an input")).collect();
    assert!(!inputs.is_empty(), "no inputs");
    let probe = HostProbe::get().expect("a host that can run guests");
    report("bare exit", least(|| probe.measure_once(Floor::Exit).expect("an exit")));
    let mut harness = Harness::builder(&program).build().expect("a harness");
    report("Ampoule, singly", least(|| singly(&mut harness, &inputs)));
    let many: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).cycle().take(inputs.len() * 20).collect();
    report("Ampoule, in batches", least(|| in_batches(&mut harness, &many)));
    drop(harness);
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
        report("Ampoule, singly, two threads", on_two_threads(&program, &inputs));
    }
}

fn report(name: &str, each: Duration) {
    println!("{name}\t{:.3}", each.as_secs_f64() * 1e6);
}

fn least(mut measure: impl FnMut() -> Duration) -> Duration {
    (0..TIMES).map(|_| measure()).min().unwrap_or_default()
}

fn count(inputs: usize) -> u32 {
    u32::try_from(inputs).expect("a small corpus")
}

fn singly(harness: &mut Harness, inputs: &[Vec<u8>]) -> Duration {
    let from = Instant::now();
    for _ in 0..ROUNDS {
        for input in inputs {
            assert!(harness.run(input).expect("a run").is_ok());
        }
    }
    from.elapsed() / ROUNDS / count(inputs.len())
}

fn in_batches(harness: &mut Harness, inputs: &[&[u8]]) -> Duration {
    let from = Instant::now();
    harness.run_batch(inputs, |_, verdict, _| assert!(verdict.is_ok())).expect("a batch");
    from.elapsed() / count(inputs.len())
}

/// The time of an input when two threads, each with a harness of its own, run the corpus: half of what each of them sees.
fn on_two_threads(program: &Program, inputs: &[Vec<u8>]) -> Duration {
    let together = Barrier::new(2);
    let measure = || {
        let mut harness = Harness::builder(program).build().expect("a harness");
        singly(&mut harness, inputs);
        (0..TIMES)
            .map(|_| {
                together.wait();
                singly(&mut harness, inputs)
            })
            .min()
            .unwrap_or_default()
    };
    let slower = std::thread::scope(|scope| {
        let other = scope.spawn(measure);
        measure().max(other.join().expect("the other thread"))
    });
    slower / 2
}
