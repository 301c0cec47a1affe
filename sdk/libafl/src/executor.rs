//! The executor: a harness and the observers that it fills.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use ampoule::fuzz::{FuzzError, Harness, Verdict};
use libafl::Error;
use libafl::executors::{Executor, ExitKind, HasObservers, HasTimeout, SetTimeout};
use libafl::inputs::ToTargetBytesConverter;
use libafl::observers::ObserversTuple;
use libafl::state::HasExecutions;
use libafl_bolts::Named;
use libafl_bolts::tuples::{Handle, Handled as _, MatchName, MatchNameRef as _, RefIndexable};

use crate::comparisons::{ComparisonsObserver, Log, Request};
use crate::counters::CounterMap;
use crate::crash::CrashObserver;

/// Runs each input in a machine that is put back to the byte afterwards.
///
/// `C` is the observer that takes the counters, `OT` the tuple of all observers. The target is in a virtual machine: nothing that it does can end this
/// process, so there are no handlers to install, and an input that crashes, hangs or runs out of memory is an [`ExitKind`] like any other. `Err` is
/// the host's failure, or [`Error::ShuttingDown`] after the harness's [cancel token](ampoule::fuzz::HarnessBuilder::cancel) was cancelled.
///
/// An input that is longer than the target takes is not run, and counts as one that reached nothing: tell the state with `set_max_size` what
/// [`Harness::max_input`] says.
pub struct AmpouleExecutor<C, OT> {
    harness: Harness,
    counters: Handle<C>,
    crash: Handle<CrashObserver>,
    log: Log,
    observers: OT,
}

impl<C, OT> AmpouleExecutor<C, OT>
where
    C: CounterMap + Named,
    OT: MatchName,
{
    /// An executor that runs inputs in this harness. `counters` is the handle of the one of the observers that takes the counters of edges; a
    /// [`CrashObserver`] among them takes the reports.
    ///
    /// # Errors
    /// [`Error::IllegalArgument`] if `counters` is none of the observers, or has not exactly as many entries as the target has edges.
    pub fn new(harness: Harness, counters: Handle<C>, mut observers: OT) -> Result<Self, Error> {
        let Some(map) = observers.get_mut(&counters) else {
            return Err(Error::illegal_argument(format!("`{}` is none of the observers", counters.name())));
        };
        let (entries, edges) = (map.counters_mut().len(), harness.edges().len());
        if entries != edges {
            let name = counters.name();
            return Err(Error::illegal_argument(format!(
                "`{name}` has {entries} entries, and the target {edges} edges: make it with edges_observer"
            )));
        }
        let crash = CrashObserver::new().handle();
        Ok(Self { harness, counters, crash, log: Log::default(), observers })
    }

    /// An observer of what this executor's inputs are compared with.
    #[must_use]
    pub fn comparisons_observer(&self) -> ComparisonsObserver {
        ComparisonsObserver::new(&self.log)
    }

    /// Runs the target, and fills the observers.
    fn execute(&mut self, input: &[u8]) -> Result<ExitKind, Error> {
        let verdict = match self.harness.run(input) {
            Ok(verdict) => verdict,
            Err(FuzzError::TooLong { .. }) => return Ok(ExitKind::Ok),
            Err(error) => return Err(failure(&error)),
        };
        fill(&mut self.observers, &self.counters, &self.crash, self.harness.counters(), &verdict);
        if let Request::Wanted = self.log.take() {
            let comparisons = self.harness.comparisons().map_err(|error| failure(&error))?;
            self.log.set(Request::Read(comparisons.entries));
        }
        exit_kind(&verdict)
    }

    /// Runs the target on inputs and their bytes in one [batch](Harness::run_batch), and tells `each` what the observers saw of each.
    ///
    /// # Errors
    /// As a run's, and the first of `each`, which is not called again then.
    pub(crate) fn run_batch<I, S, B>(
        &mut self,
        state: &mut S,
        inputs: &[(&I, B)],
        mut each: impl FnMut(&mut S, &I, &OT, &ExitKind) -> Result<(), Error>,
    ) -> Result<(), Error>
    where
        B: Deref<Target = [u8]>,
        OT: ObserversTuple<I, S>,
        S: HasExecutions,
    {
        let Self { harness, counters, crash, observers, .. } = self;
        let mut evaluate = |index: usize, verdict: &Verdict, counted: &[u8]| {
            let Some((input, _)) = inputs.get(index) else { return Ok(()) };
            *state.executions_mut() += 1;
            observers.pre_exec_all(state, input)?;
            fill(observers, counters, crash, counted, verdict);
            let exit_kind = exit_kind(verdict)?;
            observers.post_exec_all(state, input, &exit_kind)?;
            each(state, input, observers, &exit_kind)
        };
        let bytes: Vec<&[u8]> = inputs.iter().map(|(_, bytes)| &**bytes).collect();
        let mut evaluated = Ok(());
        let ran = harness.run_batch(&bytes, |index, verdict, counted| {
            if evaluated.is_ok() {
                evaluated = evaluate(index, verdict, counted);
            }
        });
        evaluated.and(ran.map_err(|error| failure(&error)))
    }
}

impl<C, OT> AmpouleExecutor<C, OT> {
    /// The harness.
    #[must_use]
    pub fn harness(&self) -> &Harness {
        &self.harness
    }

    /// The harness, to be told where inputs begin: [`Harness::advance`], [`Harness::go_to`].
    pub fn harness_mut(&mut self) -> &mut Harness {
        &mut self.harness
    }
}

impl<C, OT, EM, I, S, Z> Executor<EM, I, S, Z> for AmpouleExecutor<C, OT>
where
    C: CounterMap + Named,
    OT: MatchName,
    S: HasExecutions,
    Z: ToTargetBytesConverter<I, S>,
{
    fn run_target(&mut self, fuzzer: &mut Z, state: &mut S, _manager: &mut EM, input: &I) -> Result<ExitKind, Error> {
        *state.executions_mut() += 1;
        let bytes = fuzzer.convert_to_target_bytes(state, input);
        self.execute(&bytes)
    }
}

impl<C, OT> HasObservers for AmpouleExecutor<C, OT> {
    type Observers = OT;

    fn observers(&self) -> RefIndexable<&OT, OT> {
        RefIndexable::from(&self.observers)
    }

    fn observers_mut(&mut self) -> RefIndexable<&mut OT, OT> {
        RefIndexable::from(&mut self.observers)
    }
}

impl<C, OT> HasTimeout for AmpouleExecutor<C, OT> {
    fn timeout(&self) -> Duration {
        self.harness.timeout()
    }
}

impl<C, OT> SetTimeout for AmpouleExecutor<C, OT> {
    fn set_timeout(&mut self, timeout: Duration) {
        self.harness.set_timeout(timeout);
    }
}

impl<C, OT: fmt::Debug> fmt::Debug for AmpouleExecutor<C, OT> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmpouleExecutor")
            .field("harness", &self.harness)
            .field("observers", &self.observers)
            .finish_non_exhaustive()
    }
}

/// Gives the observers what a run left.
fn fill<C: CounterMap, OT: MatchName>(
    observers: &mut OT,
    map: &Handle<C>,
    crash: &Handle<CrashObserver>,
    counters: &[u8],
    verdict: &Verdict,
) {
    if let Some(map) = observers.get_mut(map) {
        for (entry, counter) in map.counters_mut().iter_mut().zip(counters) {
            *entry = *counter;
        }
    }
    if let (Some(found), Some(observer)) = (verdict.crash(), observers.get_mut(crash)) {
        observer.set(found);
    }
}

/// A verdict in LibAFL's terms.
fn exit_kind(verdict: &Verdict) -> Result<ExitKind, Error> {
    match verdict {
        Verdict::Ok => Ok(ExitKind::Ok),
        Verdict::Crash(_) => Ok(ExitKind::Crash),
        Verdict::Hang => Ok(ExitKind::Timeout),
        Verdict::OutOfMemory => Ok(ExitKind::Oom),
        other => Err(Error::unsupported(format!("a verdict that LibAFL has no word for: {other}"))),
    }
}

/// Why an input could not be run, in LibAFL's terms.
fn failure(error: &FuzzError) -> Error {
    match error {
        FuzzError::Cancelled => Error::shutting_down(),
        error => Error::runtime(error.to_string()),
    }
}
