//! A mutational stage that runs a testcase's mutants in one batch.
//!
//! ```text
//! StdMutationalStage   mutate ► run ► evaluate ► mutate ► run ► evaluate ► …
//! BatchedStage         mutate ► mutate ► … ► run_batch ► evaluate ► evaluate ► …
//! ```
//! Between the inputs of a batch the guest itself puts back what inputs are known to write, and the host checks afterwards that nothing else happened:
//! [`run_batch`](ampoule::fuzz::Harness::run_batch). For the observers it is a run like any other, but for their clocks.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use libafl::corpus::HasCurrentCorpusId;
use libafl::executors::ShadowExecutor;
use libafl::inputs::{Input, ToTargetBytesConverter};
use libafl::mutators::{MutationResult, Mutator};
use libafl::observers::ObserversTuple;
use libafl::schedulers::Scheduler as _;
use libafl::stages::mutational::{DEFAULT_MUTATIONAL_MAX_ITERATIONS, MutatedTransform};
use libafl::stages::{Restartable, RetryCountRestartHelper, Stage};
use libafl::state::{HasCurrentTestcase, HasExecutions, HasRand};
use libafl::{Error, ExecutionProcessor, HasMetadata, HasNamedMetadata, HasScheduler};
use libafl_bolts::Named;
use libafl_bolts::rands::Rand as _;

use crate::counters::CounterMap;
use crate::executor::AmpouleExecutor;

/// An executor that has an [`AmpouleExecutor`] in it: itself, or a [`ShadowExecutor`] around it.
pub trait HasAmpouleExecutor {
    /// The observer that takes the counters.
    type Counters: CounterMap + Named;
    /// The observers.
    type Observers;

    /// The executor.
    fn ampoule_executor(&mut self) -> &mut AmpouleExecutor<Self::Counters, Self::Observers>;
}

impl<C: CounterMap + Named, OT> HasAmpouleExecutor for AmpouleExecutor<C, OT> {
    type Counters = C;
    type Observers = OT;

    fn ampoule_executor(&mut self) -> &mut Self {
        self
    }
}

impl<C, OT, I, S, SOT> HasAmpouleExecutor for ShadowExecutor<AmpouleExecutor<C, OT>, I, S, SOT>
where
    C: CounterMap + Named,
    OT: ObserversTuple<I, S>,
    SOT: ObserversTuple<I, S>,
{
    type Counters = C;
    type Observers = OT;

    fn ampoule_executor(&mut self) -> &mut AmpouleExecutor<C, OT> {
        self.executor_mut()
    }
}

/// Mutates the current testcase up to 128 times, runs the mutants in one batch, and evaluates each.
///
/// For targets that are wrong rather than malicious, and mutators that do not learn from what came of their last input: they are told after the batch.
/// Mutants that are longer than the target takes are left out, and the fuzzer's input filter is not asked.
#[derive(Debug)]
pub struct BatchedStage<I, M> {
    name: Cow<'static, str>,
    mutator: M,
    most: NonZeroUsize,
    input: PhantomData<fn() -> I>,
}

/// Stages so far: their progress is kept in the state by name.
static STAGES: AtomicUsize = AtomicUsize::new(0);

impl<I, M> BatchedStage<I, M> {
    /// A stage with this mutator.
    #[must_use]
    pub fn new(mutator: M) -> Self {
        let most = NonZeroUsize::new(DEFAULT_MUTATIONAL_MAX_ITERATIONS).unwrap_or(NonZeroUsize::MIN);
        Self::with_max_iterations(mutator, most)
    }

    /// A stage that makes so many mutants at most.
    #[must_use]
    pub fn with_max_iterations(mutator: M, most: NonZeroUsize) -> Self {
        let number = STAGES.fetch_add(1, Ordering::Relaxed);
        Self { name: Cow::Owned(format!("batched:{number}")), mutator, most, input: PhantomData }
    }

    /// Mutants of the current testcase that the target takes.
    fn mutants<S>(&mut self, state: &mut S) -> Result<Vec<I>, Error>
    where
        I: Input + MutatedTransform<I, S>,
        M: Mutator<I, S>,
        S: HasCurrentTestcase<I> + HasRand,
    {
        let count = 1 + state.rand_mut().below(self.most);
        let mut testcase = state.current_testcase_mut()?;
        let Ok(input) = I::try_transform_from(&mut testcase, state) else { return Ok(Vec::new()) };
        drop(testcase);
        let mut mutants = Vec::with_capacity(count);
        for _ in 0..count {
            let mut mutant = input.clone();
            if self.mutator.mutate(state, &mut mutant)? == MutationResult::Mutated {
                mutants.push(mutant);
            }
        }
        Ok(mutants)
    }
}

impl<E, EM, I, M, S, Z> Stage<E, EM, S, Z> for BatchedStage<I, M>
where
    E: HasAmpouleExecutor,
    E::Observers: ObserversTuple<I, S>,
    I: Input + MutatedTransform<I, S>,
    M: Mutator<I, S>,
    S: HasCurrentTestcase<I> + HasExecutions + HasRand,
    Z: ExecutionProcessor<EM, I, E::Observers, S> + HasScheduler<I, S> + ToTargetBytesConverter<I, S>,
{
    fn perform(&mut self, fuzzer: &mut Z, executor: &mut E, state: &mut S, manager: &mut EM) -> Result<(), Error> {
        let mutants = self.mutants(state)?;
        let executor = executor.ampoule_executor();
        let longest = executor.harness().max_input();
        let mut batch = Vec::with_capacity(mutants.len());
        for mutant in &mutants {
            let bytes = fuzzer.convert_to_target_bytes(state, mutant);
            if bytes.len() <= longest {
                batch.push((mutant, bytes));
            }
        }
        executor.run_batch(state, &batch, |state, mutant, observers, exit_kind| {
            fuzzer.scheduler_mut().on_evaluation(state, mutant, observers)?;
            let (_, id) = fuzzer.evaluate_execution(state, manager, mutant, observers, exit_kind, true)?;
            self.mutator.post_exec(state, id)
        })
    }
}

impl<I, M, S> Restartable<S> for BatchedStage<I, M>
where
    S: HasMetadata + HasNamedMetadata + HasCurrentCorpusId,
{
    fn should_restart(&mut self, state: &mut S) -> Result<bool, Error> {
        RetryCountRestartHelper::should_restart(state, &self.name, 3)
    }

    fn clear_progress(&mut self, state: &mut S) -> Result<(), Error> {
        RetryCountRestartHelper::clear_progress(state, &self.name)
    }
}
