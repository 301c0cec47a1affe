//! A corpus through a fuzz target, over and over: what an input takes, singly and in batches, and how much more two threads get done than one. `tests/fuzzers/run` sets it beside
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
        let make = || Harness::builder(&program).build().expect("a harness");
        let ratio = two_by_one(make, |harness| singly(harness, &inputs));
        println!("two threads ÷ one\t{ratio:.3}");
        let exit = |(): &mut ()| probe.measure_once(Floor::Exit).expect("an exit");
        println!("two threads ÷ one, bare exits\t{:.3}", two_by_one(|| (), exit));
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

/// How much more two threads get done than one, each with what `make` makes: the medians of rounds that take turns.
fn two_by_one<T>(make: impl Fn() -> T + Sync, measure: impl Fn(&mut T) -> Duration + Sync) -> f64 {
    let [one, two] = [1, 2].map(|threads| {
        let together = Barrier::new(threads);
        let rounds = || {
            let mut subject = make();
            measure(&mut subject);
            let mut times: Vec<_> = (0..2 * TIMES + 1)
                .map(|_| {
                    together.wait();
                    measure(&mut subject)
                })
                .collect();
            times.sort_unstable();
            times.get(times.len() / 2).copied().unwrap_or_default()
        };
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..threads).map(|_| scope.spawn(rounds)).collect();
            let times = all.into_iter().map(|thread| thread.join().expect("a thread"));
            times.map(|each| 1.0 / each.as_secs_f64()).sum::<f64>()
        })
    });
    two / one
}
