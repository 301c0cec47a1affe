//! Looks at what became of each input: keeps crashes and hangs, counts, and ends the run when it is time.
//!
//! It stands between LibAFL and the executor, so that it sees every execution, whichever stage asks for it.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use ampoule_libafl::{AmpouleExecutor, CounterMap, CrashObserver};
use libafl::Error;
use libafl::corpus::Corpus as _;
use libafl::executors::{Executor, ExitKind, HasObservers};
use libafl::inputs::{BytesInput, HasMutatorBytes as _, ToTargetBytesConverter};
use libafl::state::{HasCorpus, HasExecutions};
use libafl_bolts::Named;
use libafl_bolts::tuples::{Handle, MatchName, MatchNameRef as _, RefIndexable};

use super::finds::Exhausted;
use super::journal::Journal;
use super::shared::lock;

#[derive(Debug)]
pub(super) struct Judge<C, OT> {
    executor: AmpouleExecutor<C, OT>,
    crash: Handle<CrashObserver>,
    journal: Rc<Journal>,
    /// Executions until the run is over.
    most: u64,
}

impl<C, OT> Judge<C, OT> {
    pub(super) fn new(
        executor: AmpouleExecutor<C, OT>,
        crash: Handle<CrashObserver>,
        journal: &Rc<Journal>,
        most: u64,
    ) -> Self {
        Self { executor, crash, journal: Rc::clone(journal), most }
    }
}

impl<C, EM, OT, S, Z> Executor<EM, BytesInput, S, Z> for Judge<C, OT>
where
    C: CounterMap + Named,
    OT: MatchName,
    S: HasExecutions + HasCorpus<BytesInput>,
    Z: ToTargetBytesConverter<BytesInput, S>,
{
    fn run_target(
        &mut self,
        fuzzer: &mut Z,
        state: &mut S,
        manager: &mut EM,
        input: &BytesInput,
    ) -> Result<ExitKind, Error> {
        let mut run = |state: &mut S, executor: &mut AmpouleExecutor<C, OT>| {
            if self.journal.shared().is_stopping() || *state.executions() >= self.most {
                return Err(Error::shutting_down());
            }
            let kind = executor.run_target(fuzzer, state, manager, input)?;
            self.journal.figures()?.executions.store(*state.executions(), Relaxed);
            Ok(kind)
        };
        let mut kind = run(state, &mut self.executor)?;
        let is_new = |what, executor: &AmpouleExecutor<C, OT>| {
            lock(&self.journal.shared().known).is_new(what, executor.harness().counters())
        };
        if kind == ExitKind::Timeout && is_new(Exhausted::Time, &self.executor) {
            // A busy machine may have been what was slow: a hang hangs twice.
            kind = run(state, &mut self.executor)?;
        }
        let parent = *state.corpus().current();
        let (executions, bytes) = (*state.executions(), input.mutator_bytes());
        let what = match kind {
            ExitKind::Timeout => Some(Exhausted::Time),
            ExitKind::Oom => Some(Exhausted::Memory),
            _ => None,
        };
        if let Some(what) = what.filter(|what| is_new(*what, &self.executor)) {
            lock(&self.journal.shared().known).note(what, self.executor.harness().counters());
            self.journal.exhausted(parent, executions, bytes, what)?;
        }
        let observers = self.executor.observers();
        if kind == ExitKind::Crash
            && let Some(crash) = observers.get(&self.crash).and_then(CrashObserver::last)
        {
            self.journal.crash(parent, executions, bytes, crash)?;
        }
        self.journal.set_was_well(kind == ExitKind::Ok);
        if kind == ExitKind::Timeout {
            self.journal.figures()?.hung.fetch_add(1, Relaxed);
        }
        // To LibAFL both are the same: nothing for the queue.
        Ok(if kind == ExitKind::Oom { ExitKind::Timeout } else { kind })
    }
}

impl<C, OT> HasObservers for Judge<C, OT> {
    type Observers = OT;

    fn observers(&self) -> RefIndexable<&OT, OT> {
        self.executor.observers()
    }

    fn observers_mut(&mut self) -> RefIndexable<&mut OT, OT> {
        self.executor.observers_mut()
    }
}
