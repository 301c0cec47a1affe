//! One core: LibAFL's fuzzer over a harness, until it is told to stop.
//!
//! ```text
//! for each input of the queue    calibrate, the first time     which edges are not the same each time?
//!                                trace                         what is it compared with?
//!                                replace what is compared      input-to-state
//!                                havoc, and the dictionary
//!                                what other cores have found
//! ```

use std::borrow::Cow;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;

use ampoule::fuzz::Harness;
use ampoule_libafl::{AmpouleExecutor, CrashObserver, edges_observer};
use libafl::corpus::{Corpus as _, CorpusId, InMemoryCorpus, Testcase};
use libafl::events::NopEventManager;
use libafl::executors::ShadowExecutor;
use libafl::feedbacks::{ConstFeedback, CrashFeedback, MaxMapFeedback, TimeoutFeedback};
use libafl::inputs::BytesInput;
use libafl::mutators::{
    HavocScheduledMutator, I2SRandReplace, MutationResult, Mutator, Tokens, havoc_mutations, tokens_mutations,
};
use libafl::observers::{CanTrack as _, HitcountsMapObserver};
use libafl::schedulers::Scheduler;
use libafl::stages::calibrate::UnstableEntriesMetadata;
use libafl::stages::{CalibrationStage, ShadowTracingStage, StdMutationalStage};
use libafl::state::{HasCorpus, HasMaxSize, StdState};
use libafl::{Error, Evaluator, Fuzzer as _, HasMetadata as _, HasScheduler, StdFuzzer};
use libafl::{feedback_and_fast, feedback_not, feedback_or_fast};
use libafl_bolts::Named;
use libafl_bolts::rands::StdRand;
use libafl_bolts::tuples::{Handled as _, Merge as _, tuple_list};

use super::inputs::{self, Named as NamedInput};
use super::journal::Journal;
use super::judge::Judge;
use super::out::{Instance, Origin, Place};
use super::queue::Queue;
use super::shared::{Event, Events, Shared, lock};
use super::target::Target;

/// What all cores of a run have in common.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) target: Target,
    pub(super) root: PathBuf,
    /// How many.
    pub(super) cores: usize,
    /// Inputs to start from.
    pub(super) given: Vec<NamedInput>,
    /// Inputs of an earlier run with other directories.
    pub(super) foreign: Vec<(Origin, Vec<u8>)>,
    pub(super) longest: usize,
    pub(super) dictionary: Option<Tokens>,
    pub(super) seed: u64,
    pub(super) executions: Option<u64>,
    pub(super) command: String,
}

impl Plan {
    /// The part of the executions that is this core's.
    fn share(&self, core: usize) -> u64 {
        let Some(all) = self.executions else { return u64::MAX };
        let count = u64::try_from(self.cores).unwrap_or(1).max(1);
        let more = u64::try_from(core).is_ok_and(|core| core < all % count);
        all / count + u64::from(more)
    }
}

/// LibAFL numbers stages by a counter that threads share without a lock.
static STAGES: Mutex<()> = Mutex::new(());

/// Fuzzes until the run is stopped, or this core's executions are done.
pub(super) fn run(
    core: usize,
    instance: Instance,
    plan: &Plan,
    shared: &Arc<Shared>,
    events: &Events,
) -> Result<(), String> {
    let token = shared.cores.get(core).map(|figures| figures.token.clone()).unwrap_or_default();
    let harness = plan.target.builder().cancel(&token).build().map_err(|error| error.to_string())?;
    let edges = harness.edges().len();
    if let Some(figures) = shared.cores.get(core) {
        for (figure, place) in [(&figures.crashes, Place::Crashes), (&figures.hangs, Place::Hangs)] {
            figure.store(instance.next(place), Relaxed);
        }
    }
    // Nobody listens once the run is over.
    let _ = events.send(Event::Ready { edges });
    let journal = Journal::new(core, instance, edges, shared, events, &plan.command);
    match fuzz(harness, core, plan, &journal) {
        Ok(()) | Err(Error::ShuttingDown) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn fuzz(harness: Harness, core: usize, plan: &Plan, journal: &Rc<Journal>) -> Result<(), Error> {
    let count = harness.edges().len();
    let longest = plan.longest.min(harness.max_input());
    let edges = HitcountsMapObserver::new(edges_observer(&harness)).track_indices();
    let crash = CrashObserver::new();
    let map = MaxMapFeedback::new(&edges);
    let calibration = CalibrationStage::new(&map);
    let is_ill = feedback_or_fast!(CrashFeedback::new(), TimeoutFeedback::new());
    let mut feedback = feedback_and_fast!(feedback_not!(is_ill), map);
    // The judge keeps what crashes.
    let mut objective = ConstFeedback::new(false);
    let corpora = (InMemoryCorpus::<BytesInput>::new(), InMemoryCorpus::new());
    let seed = plan.seed.wrapping_add(u64::try_from(core).unwrap_or(0));
    let mut state = StdState::new(StdRand::with_seed(seed), corpora.0, corpora.1, &mut feedback, &mut objective)?;
    state.set_max_size(longest);
    state.add_metadata(plan.dictionary.clone().unwrap_or_default());
    let mut fuzzer = StdFuzzer::new(Queue::new(journal, count), feedback, objective);
    let mut manager = NopEventManager::new();
    let crash_handle = crash.handle();
    let executor = AmpouleExecutor::new(harness, edges.handle(), tuple_list!(edges, crash))?;
    let comparisons = executor.comparisons_observer();
    let judge = Judge::new(executor, crash_handle, journal, plan.share(core));
    let mut executor = ShadowExecutor::new(judge, tuple_list!(comparisons));
    let mut stages = {
        let _numbers = lock(&STAGES);
        let replace = Labelled::new("i2s", HavocScheduledMutator::new(tuple_list!(I2SRandReplace::new())), journal);
        let havoc = HavocScheduledMutator::new(havoc_mutations().merge(tokens_mutations()));
        tuple_list!(
            calibration,
            ShadowTracingStage::new(),
            StdMutationalStage::new(replace),
            StdMutationalStage::new(Labelled::new("havoc", havoc, journal)),
        )
    };

    begin(&mut fuzzer, &mut executor, &mut state, &mut manager, journal, plan)?;
    let mut seen = 0;
    loop {
        for find in journal.finds(&mut seen) {
            let input = Import { origin: find.origin.clone(), bytes: &find.bytes, need: Need::New };
            import(&mut fuzzer, &mut executor, &mut state, &mut manager, journal, input)?;
        }
        if journal.shared().is_stopping() {
            return Ok(());
        }
        journal.set_operation("calibration");
        fuzzer.fuzz_one(&mut stages, &mut executor, &mut state, &mut manager)?;
        let unstable = state.metadata::<UnstableEntriesMetadata>().map_or(0, |map| map.unstable_entries().len());
        journal.figures()?.unstable_edges.store(u64::try_from(unstable).unwrap_or(u64::MAX), Relaxed);
    }
}

/// An input from elsewhere.
struct Import<'a> {
    origin: Origin,
    bytes: &'a [u8],
    need: Need,
}

/// When an input is taken into the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// If it reaches something new.
    New,
    /// If it does not crash: there is no telling what it reaches.
    Well,
    /// In any case.
    None,
}

/// Takes in what there is to start from.
fn begin<E, EM, S, Z>(
    fuzzer: &mut Z,
    executor: &mut E,
    state: &mut S,
    manager: &mut EM,
    journal: &Journal,
    plan: &Plan,
) -> Result<(), Error>
where
    Z: Evaluator<E, EM, BytesInput, S> + HasScheduler<BytesInput, S>,
    Z::Scheduler: Scheduler<BytesInput, S>,
    S: HasCorpus<BytesInput> + HasMaxSize,
{
    let need = if journal.is_blind() { Need::Well } else { Need::New };
    let longest = state.max_size();
    let mut take = |state: &mut S, origin: Origin, bytes: &[u8], need: Need| {
        let bytes = bytes.get(..longest).unwrap_or(bytes);
        import(fuzzer, executor, state, manager, journal, Import { origin, bytes, need })
    };
    journal.set_recalling(true);
    for known in journal.instance().found()? {
        take(state, Origin::Given(known.name), &known.bytes, Need::New)?;
    }
    journal.set_recalling(false);
    for (id, input) in &journal.instance().resumed {
        take(state, Origin::Resumed(*id), &input.bytes, need)?;
    }
    for (origin, bytes) in &plan.foreign {
        take(state, origin.clone(), bytes, need)?;
    }
    for input in &plan.given {
        take(state, Origin::Given(input.name.clone()), &input.bytes, need)?;
    }
    let trivial = inputs::trivial();
    for input in trivial.iter().take_while(|_| plan.given.is_empty()) {
        if journal.instance().resumed.is_empty() {
            take(state, Origin::Given(input.name.clone()), &input.bytes, need)?;
        }
    }
    // Whatever it starts from crashes, hangs, or reaches nothing: what is made of it may not.
    for input in trivial {
        if state.corpus().count() == 0 {
            take(state, Origin::Given(input.name), &input.bytes, Need::None)?;
        }
    }
    Ok(())
}

fn import<E, EM, S, Z>(
    fuzzer: &mut Z,
    executor: &mut E,
    state: &mut S,
    manager: &mut EM,
    journal: &Journal,
    what: Import<'_>,
) -> Result<(), Error>
where
    Z: Evaluator<E, EM, BytesInput, S> + HasScheduler<BytesInput, S>,
    Z::Scheduler: Scheduler<BytesInput, S>,
    S: HasCorpus<BytesInput>,
{
    let input = BytesInput::new(what.bytes.to_vec());
    journal.set_origin(Some(what.origin));
    let (_, id) = fuzzer.evaluate_input(state, executor, manager, &input)?;
    let is_taken = what.need == Need::None || what.need == Need::Well && journal.was_well();
    if id.is_none() && is_taken {
        let id = state.corpus_mut().add(Testcase::new(input))?;
        fuzzer.scheduler_mut().on_add(state, id)?;
    }
    journal.set_origin(None);
    Ok(())
}

/// A mutator that says in the journal that it was it.
struct Labelled<M> {
    label: &'static str,
    mutator: M,
    journal: Rc<Journal>,
}

impl<M> Labelled<M> {
    fn new(label: &'static str, mutator: M, journal: &Rc<Journal>) -> Self {
        Self { label, mutator, journal: Rc::clone(journal) }
    }
}

impl<M: Named> Named for Labelled<M> {
    fn name(&self) -> &Cow<'static, str> {
        self.mutator.name()
    }
}

impl<I, S, M: Mutator<I, S>> Mutator<I, S> for Labelled<M> {
    fn mutate(&mut self, state: &mut S, input: &mut I) -> Result<MutationResult, Error> {
        self.journal.set_operation(self.label);
        self.mutator.mutate(state, input)
    }

    fn post_exec(&mut self, state: &mut S, new_corpus_id: Option<CorpusId>) -> Result<(), Error> {
        self.mutator.post_exec(state, new_corpus_id)
    }
}
