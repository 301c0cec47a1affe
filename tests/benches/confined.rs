//! What confinement costs: the same work on a thread that is free and on one that has the filter. Minima and medians of many rounds, in turns, so that
//! both see the same machine.
//!
//! cargo bench -p ampoule-tests --bench confined

#![allow(clippy::expect_used, clippy::indexing_slicing, missing_docs, reason = "a benchmark, run by hand")]

use ampoule::confine::Confinement;
use ampoule::{Command, Program, Sandbox, Stdio};
use ampoule_tests::{call_bytes, echoing, honest_call, program, sandbox};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Measurements of each subject on each thread.
const ROUNDS: usize = 200;

/// What is measured, each `repeat` times in a row.
struct Subjects {
    plugin: Sandbox<()>,
    hello: Program,
}

impl Subjects {
    fn new() -> Self {
        Self { plugin: sandbox(&program("plugin"), &echoing()), hello: program("hello") }
    }

    /// A warm call, a warm run, and the life of a run whose machine is made for it, in nanoseconds.
    fn measure(&mut self) -> [u64; 3] {
        let call = per_round(100, || drop(call_bytes(&mut self.plugin, "echo", b"x").expect("a reply")));
        let mut run = || {
            let mut command = Command::new(&self.hello);
            drop(command.stdout(Stdio::null()).call(honest_call()).status().expect("an ending"));
        };
        let warm = per_round(10, &mut run);
        ampoule::set_max_idle_machines(0);
        let life = per_round(2, &mut run);
        ampoule::set_max_idle_machines(32);
        run();
        [call, warm, life]
    }
}

fn per_round(repeat: u32, mut body: impl FnMut()) -> u64 {
    let began = Instant::now();
    (0..repeat).for_each(|_| body());
    u64::try_from((began.elapsed() / repeat).as_nanos()).unwrap_or(u64::MAX)
}

/// A thread that measures whenever it is asked.
fn measuring(confined: bool) -> (mpsc::Sender<()>, mpsc::Receiver<[u64; 3]>) {
    let ((ask, asked), (tell, told)) = (mpsc::channel::<()>(), mpsc::channel());
    std::thread::spawn(move || {
        if confined {
            Confinement::new().apply_to_this_thread().expect("a filter");
        }
        let mut subjects = Subjects::new();
        while asked.recv().is_ok() && tell.send(subjects.measure()).is_ok() {}
    });
    (ask, told)
}

fn main() {
    let threads = [false, true].map(measuring);
    let mut found: [[Vec<u64>; 3]; 2] = Default::default();
    for _ in 0..ROUNDS {
        for ((ask, told), found) in threads.iter().zip(&mut found) {
            ask.send(()).expect("a thread");
            let times = told.recv().expect("a measurement");
            found.iter_mut().zip(times).for_each(|(found, time)| found.push(time));
        }
    }
    found.iter_mut().flatten().for_each(|times| times.sort_unstable());
    let began = Instant::now();
    std::thread::spawn(|| Confinement::new().apply_to_this_thread().expect("a filter")).join().expect("a thread");
    println!("installing the filter, with a thread's life: {:?}", began.elapsed());
    for (index, name) in ["warm call", "warm run", "run, machine made for it"].into_iter().enumerate() {
        let [free, confined] = [0, 1].map(|thread| {
            let times: &Vec<u64> = &found[thread][index];
            (Duration::from_nanos(times[0]), Duration::from_nanos(times[times.len() / 2]))
        });
        println!(
            "{name:<26} free {:>9.2?} ({:>9.2?})   confined {:>9.2?} ({:>9.2?})",
            free.0, free.1, confined.0, confined.1
        );
    }
}
