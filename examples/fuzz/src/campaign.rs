//! The search: LibAFL's mutators, corpus and schedule around the harness, until the bugs are found.
//!
//! ```text
//!            ┌──────────────── new edges, or new counts of them ◄─────────────┐
//!            ▼                                                                │
//!   corpus ──► comparisons of the input, once ──► mutated inputs ──► harness ─┤
//!                                                                             └──► a crash in a new place, a hang, no memory: a bug
//! ```
//! Mutated inputs run in batches, between which the guest puts itself back; what is unexpected in one is forgotten, and run singly.
//!
//! Nothing in it looks at a clock – the schedule is a queue – and the harness does the same for the same input, so that a seed says everything: the same
//! inputs are run in the same order each time and on every machine.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use ampoule::fuzz::{Harness, Verdict};
use ampoule_libafl::{AmpouleExecutor, BatchedStage, CrashObserver, NewCrashFeedback, edges_observer};
use libafl::corpus::{Corpus as _, CorpusId, InMemoryCorpus};
use libafl::events::NopEventManager;
use libafl::executors::{ExitKind, ShadowExecutor};
use libafl::feedbacks::map::MapFeedbackMetadata;
use libafl::feedbacks::{ExitKindFeedback, ExitKindLogic, MaxMapFeedback, TimeoutFeedback};
use libafl::inputs::BytesInput;
use libafl::mutators::{HavocScheduledMutator, I2SRandReplace, havoc_mutations};
use libafl::observers::{CanTrack as _, HitcountsMapObserver};
use libafl::schedulers::QueueScheduler;
use libafl::stages::ShadowTracingStage;
use libafl::state::{HasCorpus as _, HasExecutions as _, HasMaxSize as _, HasSolutions as _, StdState};
use libafl::{Evaluator as _, Fuzzer as _, HasNamedMetadata as _, StdFuzzer, feedback_and_fast, feedback_or_fast};
use libafl_bolts::rands::StdRand;
use libafl_bolts::tuples::{Handled as _, tuple_list};

use crate::error::Error;

/// Longest input that is made. Bugs of parsers seldom need more, and short inputs are faster in every way.
const LONGEST: usize = 512;

/// A search.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// What the mutators throw their dice with.
    pub seed: u64,
    /// Most executions.
    pub executions: u64,
    /// Different bugs to find.
    pub bugs: usize,
    /// Inputs to start from, besides one of a single zero.
    pub corpus: Vec<Vec<u8>>,
}

/// How far a campaign is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Inputs that were run.
    pub executions: u64,
    /// Edges that were taken.
    pub edges: usize,
    /// Edges that there are.
    pub all_edges: usize,
    /// Inputs that each did something new.
    pub corpus: usize,
    /// Different bugs.
    pub bugs: usize,
}

/// A bug.
#[derive(Debug, Clone, PartialEq)]
pub struct Bug {
    /// What it has in common with other inputs that find the same.
    pub key: String,
    /// The first input that found it.
    pub input: Vec<u8>,
    /// Executions up to the end of the round that found it.
    pub executions: u64,
}

/// What came of a campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The bugs, in the order in which they were found.
    pub bugs: Vec<Bug>,
    /// The inputs that each did something new, and ended well.
    pub corpus: Vec<Vec<u8>>,
    /// Inputs that were run.
    pub executions: u64,
    /// Edges that were taken.
    pub edges: usize,
}

/// What a verdict has in common with others of the same bug; none for [`Verdict::Ok`].
#[must_use]
pub fn key(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Ok => None,
        Verdict::Crash(crash) => Some(crash.key()),
        other => Some(other.to_string()),
    }
}

impl Campaign {
    /// Searches with `harness` until there are enough bugs, or enough executions, or `progress` breaks; it is asked after each round of mutations.
    /// `judge` is another harness of the same target, in which what was found is looked at.
    ///
    /// # Errors
    /// [`Error::Fuzz`] and [`Error::Run`]: the host failed.
    pub fn run(
        &self,
        harness: Harness,
        judge: &mut Harness,
        mut progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Found, Error> {
        let (all_edges, longest) = (harness.edges().len(), harness.max_input().min(LONGEST));
        let edges = HitcountsMapObserver::new(edges_observer(&harness)).track_indices();
        let crash = CrashObserver::new();
        let new_edges = MaxMapFeedback::new(&edges);
        let map = Cow::clone(libafl_bolts::Named::name(&new_edges));
        let mut feedback = feedback_and_fast!(ExitKindFeedback::<EndsWell>::new(), new_edges);
        let mut objective = feedback_or_fast!(
            NewCrashFeedback::new(&crash),
            TimeoutFeedback::new(),
            ExitKindFeedback::<EndsWithoutMemory>::new()
        );
        let mut state = StdState::new(
            StdRand::with_seed(self.seed),
            InMemoryCorpus::<BytesInput>::new(),
            InMemoryCorpus::new(),
            &mut feedback,
            &mut objective,
        )
        .map_err(fuzz)?;
        state.set_max_size(longest);
        let mut fuzzer = StdFuzzer::new(QueueScheduler::new(), feedback, objective);
        let mut manager = NopEventManager::new();

        let executor = AmpouleExecutor::new(harness, edges.handle(), tuple_list!(edges, crash)).map_err(fuzz)?;
        let comparisons = executor.comparisons_observer();
        let mut executor = ShadowExecutor::new(executor, tuple_list!(comparisons));
        let mut stages = tuple_list!(
            ShadowTracingStage::new(),
            BatchedStage::new(HavocScheduledMutator::new(tuple_list!(I2SRandReplace::new()))),
            BatchedStage::new(HavocScheduledMutator::new(havoc_mutations())),
        );

        for input in std::iter::once(&vec![0]).chain(&self.corpus) {
            let input = BytesInput::new(input.clone());
            fuzzer.evaluate_input(&mut state, &mut executor, &mut manager, &input).map_err(fuzz)?;
        }
        let mut bugs = BTreeMap::new();
        let mut solutions = 0;
        loop {
            for index in solutions..state.solutions().count() {
                let input = entry(state.solutions(), state.solutions().nth(index))?;
                let verdict = judge.run(&input).map_err(|source| Error::Run { source })?;
                if let Some(key) = key(&verdict) {
                    let executions = *state.executions();
                    bugs.entry(key.clone()).or_insert(Bug { key, input, executions });
                }
            }
            solutions = state.solutions().count();
            let covered = state.named_metadata::<MapFeedbackMetadata<u8>>(&map).map_err(fuzz)?.num_covered_map_indexes;
            let now = Progress {
                executions: *state.executions(),
                edges: covered,
                all_edges,
                corpus: state.corpus().count(),
                bugs: bugs.len(),
            };
            if progress(now).is_break() || bugs.len() >= self.bugs || now.executions >= self.executions {
                let mut bugs: Vec<Bug> = bugs.into_values().collect();
                bugs.sort_by_key(|bug| bug.executions);
                let corpus = state.corpus().ids().map(|id| entry(state.corpus(), id)).collect::<Result<_, _>>()?;
                return Ok(Found { bugs, corpus, executions: now.executions, edges: now.edges });
            }
            fuzzer.fuzz_one(&mut stages, &mut executor, &mut state, &mut manager).map_err(fuzz)?;
        }
    }
}

/// An input of a corpus.
fn entry(corpus: &InMemoryCorpus<BytesInput>, id: CorpusId) -> Result<Vec<u8>, Error> {
    let testcase = corpus.get(id).map_err(fuzz)?.borrow();
    let bytes = testcase.input().as_ref().map(|input| AsRef::<Vec<u8>>::as_ref(input).clone());
    Ok(bytes.unwrap_or_default())
}

fn fuzz(source: libafl::Error) -> Error {
    Error::Fuzz { source }
}

/// An input that ended well.
#[derive(Debug)]
struct EndsWell;

/// An input that needed more memory than there is.
#[derive(Debug)]
struct EndsWithoutMemory;

impl ExitKindLogic for EndsWell {
    const NAME: Cow<'static, str> = Cow::Borrowed("ends well");

    fn check_exit_kind(kind: &ExitKind) -> Result<bool, libafl::Error> {
        Ok(matches!(kind, ExitKind::Ok))
    }
}

impl ExitKindLogic for EndsWithoutMemory {
    const NAME: Cow<'static, str> = Cow::Borrowed("ends without memory");

    fn check_exit_kind(kind: &ExitKind) -> Result<bool, libafl::Error> {
        Ok(matches!(kind, ExitKind::Oom))
    }
}
