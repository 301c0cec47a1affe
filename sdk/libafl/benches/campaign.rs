//! What LibAFL's loop costs beside the runs themselves: the same inputs through the harness alone, the executor with its observers, the fuzzer with its
//! feedbacks, and as mutants of a campaign; singly and in batches.
//!
//! ```text
//! cargo bench -p ampoule-libafl
//! ```

#![allow(missing_docs, reason = "a benchmark has no readers of its interface")]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "all of this is a benchmark")]

#[path = "../tests/support/mod.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod support;

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ampoule::fuzz::Harness;
use ampoule_libafl::{AmpouleExecutor, BatchedStage, CrashObserver, NewCrashFeedback, edges_observer};
use libafl::prelude::*;
use libafl_bolts::Named;
use libafl_bolts::rands::StdRand;
use libafl_bolts::tuples::{Handled as _, tuple_list};

/// Executions of a campaign.
const EXECUTIONS: u64 = 50_000;

/// Writes every input down.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Recorder(#[serde(skip)] Rc<RefCell<Vec<BytesInput>>>, bool);

impl Named for Recorder {
    fn name(&self) -> &Cow<'static, str> {
        &Cow::Borrowed("recorder")
    }
}

impl<S> Observer<BytesInput, S> for Recorder {
    fn pre_exec(&mut self, _state: &mut S, input: &BytesInput) -> Result<(), Error> {
        if self.1 {
            self.0.borrow_mut().push(input.clone());
        }
        Ok(())
    }
}

/// How a campaign gets its inputs.
enum Way<'a> {
    /// By mutation, one by one.
    Mutated,
    /// By mutation, in batches.
    Batched,
    /// From a list.
    Evaluated(&'a [BytesInput]),
    /// From a list, without feedbacks.
    Executed(&'a [BytesInput]),
}

/// The time that a campaign takes, its executions, and its inputs if it is recorded.
fn campaign(way: &Way<'_>, is_recorded: bool) -> (Duration, u64, Vec<BytesInput>) {
    let harness = support::harness("parser");
    let edges = HitcountsMapObserver::new(edges_observer(&harness)).track_indices();
    let crash = CrashObserver::new();
    let mut feedback = feedback_and_fast!(feedback_not!(CrashFeedback::new()), MaxMapFeedback::new(&edges));
    let mut objective = NewCrashFeedback::new(&crash);
    let corpora = (InMemoryCorpus::<BytesInput>::new(), InMemoryCorpus::new());
    let state = StdState::new(StdRand::with_seed(1), corpora.0, corpora.1, &mut feedback, &mut objective);
    let mut state = state.expect("a state");
    state.set_max_size(64);
    let mut fuzzer = StdFuzzer::new(QueueScheduler::new(), feedback, objective);
    let mut manager = NopEventManager::new();
    let inputs = Rc::default();
    let recorder = Recorder(Rc::clone(&inputs), is_recorded);
    let handle = edges.handle();
    let mut executor = AmpouleExecutor::new(harness, handle, tuple_list!(edges, crash, recorder)).expect("an executor");
    for first in [&b"AMPL\x01n\x04\x31234"[..], b"AMPL\x01s\x04ABCD(\x02#\x00"] {
        fuzzer.add_input(&mut state, &mut executor, &mut manager, BytesInput::from(first)).expect("a first input");
    }
    let mutations = || HavocScheduledMutator::new(havoc_mutations());
    let (began, before) = (Instant::now(), *state.executions());
    match way {
        Way::Mutated => {
            let mut stages = tuple_list!(StdMutationalStage::new(mutations()));
            while *state.executions() < EXECUTIONS {
                fuzzer.fuzz_one(&mut stages, &mut executor, &mut state, &mut manager).expect("the host is well");
            }
        }
        Way::Batched => {
            let mut stages = tuple_list!(BatchedStage::new(mutations()));
            while *state.executions() < EXECUTIONS {
                fuzzer.fuzz_one(&mut stages, &mut executor, &mut state, &mut manager).expect("the host is well");
            }
        }
        Way::Evaluated(inputs) => {
            for input in *inputs {
                fuzzer.evaluate_input(&mut state, &mut executor, &mut manager, input).expect("the host is well");
            }
        }
        Way::Executed(inputs) => {
            for input in *inputs {
                executor.observers_mut().pre_exec_all(&mut state, input).expect("observers");
                let kind = executor.run_target(&mut fuzzer, &mut state, &mut manager, input).expect("the host is well");
                executor.observers_mut().post_exec_all(&mut state, input, &kind).expect("observers");
            }
        }
    }
    let took = (began.elapsed(), *state.executions() - before);
    let inputs = inputs.take();
    (took.0, took.1, inputs)
}

fn alone(mut run: impl FnMut(&mut Harness, &[&[u8]]), inputs: &[BytesInput]) -> Duration {
    let mut harness = support::harness("parser");
    let inputs: Vec<&[u8]> = inputs.iter().map(HasMutatorBytes::mutator_bytes).collect();
    let began = Instant::now();
    run(&mut harness, &inputs);
    began.elapsed()
}

fn main() {
    let (_, _, inputs) = campaign(&Way::Mutated, true);
    let (_, _, batched) = campaign(&Way::Batched, true);
    let crashes = vec![BytesInput::from(&b"AMPL\x01s\x04FUZZ"[..]); 2_000];
    let singly = |harness: &mut Harness, inputs: &[&[u8]]| {
        for input in inputs {
            harness.run(input).expect("the host is well");
        }
    };
    let in_batches = |harness: &mut Harness, inputs: &[&[u8]]| {
        for batch in inputs.chunks(64) {
            harness.run_batch(batch, |_, _, _| {}).expect("the host is well");
        }
    };
    println!("{:<44} {:>12} {:>10}", "parser.c", "execs/s", "ns each");
    let row = |name: &str, took: Duration, count: u64| {
        let seconds = took.as_secs_f64() / f64::from(u32::try_from(count).expect("a count"));
        println!("{name:<44} {:>12.0} {:>10.0}", 1.0 / seconds, seconds * 1e9);
    };
    let count = u64::try_from(inputs.len()).expect("a count");
    for _ in 0..3 {
        row("harness", alone(singly, &inputs), count);
        row("executor and observers, the same inputs", campaign(&Way::Executed(&inputs), false).0, count);
        row("and feedbacks", campaign(&Way::Evaluated(&inputs), false).0, count);
        let (took, executions, _) = campaign(&Way::Mutated, false);
        row("and mutation", took, executions);
        row("harness in batches of 64", alone(in_batches, &batched), u64::try_from(batched.len()).expect("a count"));
        let (took, executions, _) = campaign(&Way::Batched, false);
        row("BatchedStage", took, executions);
        row("harness, a crash", alone(singly, &crashes), 2_000);
        row("fuzzer, a crash that is known", campaign(&Way::Evaluated(&crashes), false).0, 2_000);
    }
}
