//! Which input is mutated next: AFL's queue, as a scheduler of LibAFL's.
//!
//! For each edge the shortest input that reaches it is the best; the *favored* ones are a set of best ones that reaches all edges. They come first, and the
//! others are mostly skipped. LibAFL's own minimising scheduler goes through a map in an order that is another in each process, and a run is to be
//! the same again with the same seed.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use libafl::corpus::{Corpus, CorpusId};
use libafl::feedbacks::MapIndexesMetadata;
use libafl::inputs::{BytesInput, HasMutatorBytes as _};
use libafl::schedulers::Scheduler;
use libafl::state::{HasCorpus, HasExecutions, HasRand};
use libafl::{Error, HasMetadata as _};
use libafl_bolts::rands::Rand as _;

use super::journal::Journal;

/// How likely one that is not favored is skipped: while favored ones wait, and then those that were and were not mutated before. AFL's config.h,
/// `SKIP_TO_NEW_PROB`, `SKIP_NFAV_OLD_PROB`, `SKIP_NFAV_NEW_PROB`.
const SKIP: [f64; 3] = [0.99, 0.95, 0.75];

#[derive(Debug)]
pub(super) struct Queue {
    journal: Rc<Journal>,
    entries: Vec<Entry>,
    /// For each edge, the shortest input that reaches it.
    best: Vec<Option<usize>>,
    next: usize,
    cycles: u64,
    has_changed: bool,
}

#[derive(Debug)]
struct Entry {
    id: CorpusId,
    bytes: usize,
    depth: u64,
    is_favored: bool,
    was_mutated: bool,
    /// Edges that it is the best for.
    best_for: usize,
    /// All that it reaches, as long as it is the best for one.
    edges: Vec<usize>,
}

impl Queue {
    /// For a target with so many edges.
    pub(super) fn new(journal: &Rc<Journal>, edges: usize) -> Self {
        Self {
            journal: Rc::clone(journal),
            entries: Vec::new(),
            best: vec![None; edges],
            next: 0,
            cycles: 0,
            has_changed: false,
        }
    }

    fn add(&mut self, id: CorpusId, bytes: usize, depth: u64, edges: Vec<usize>) {
        let number = self.entries.len();
        let mut best_for = 0;
        for &edge in &edges {
            let Some(best) = self.best.get_mut(edge) else { continue };
            if let Some(old) = best.and_then(|old| self.entries.get_mut(old)) {
                if old.bytes <= bytes {
                    continue;
                }
                old.best_for -= 1;
                if old.best_for == 0 {
                    old.edges = Vec::new();
                }
            }
            *best = Some(number);
            best_for += 1;
        }
        // Where there are no counters nobody is better than others.
        let is_favored = self.best.is_empty();
        let edges = if best_for > 0 { edges } else { Vec::new() };
        self.entries.push(Entry { id, bytes, depth, is_favored, was_mutated: false, best_for, edges });
        self.has_changed |= best_for > 0;
    }

    /// Chooses the favored ones.
    fn cull(&mut self) {
        if !std::mem::take(&mut self.has_changed) {
            return;
        }
        for entry in &mut self.entries {
            entry.is_favored = false;
        }
        let mut reached = vec![false; self.best.len()];
        for edge in 0..self.best.len() {
            if reached.get(edge).copied().unwrap_or(true) {
                continue;
            }
            let best = self.best.get(edge).copied().flatten();
            let Some(entry) = best.and_then(|number| self.entries.get_mut(number)) else { continue };
            entry.is_favored = true;
            for &edge in &entry.edges {
                if let Some(reached) = reached.get_mut(edge) {
                    *reached = true;
                }
            }
        }
    }

    fn count(&self, of: impl Fn(&Entry) -> bool) -> u64 {
        u64::try_from(self.entries.iter().filter(|entry| of(entry)).count()).unwrap_or(u64::MAX)
    }

    /// The next entry's number; `skip` throws a coin.
    fn choose(&mut self, mut skip: impl FnMut(f64) -> bool) -> Option<usize> {
        self.cull();
        let has_favored = self.entries.iter().any(|entry| entry.is_favored && !entry.was_mutated);
        let [to_favored, old, new] = SKIP;
        loop {
            if self.next >= self.entries.len() {
                self.next = 0;
                self.cycles += 1;
            }
            let number = self.next;
            let entry = self.entries.get_mut(number)?;
            self.next += 1;
            let likely = match (has_favored, entry.is_favored, entry.was_mutated) {
                (true, true, false) | (false, true, _) => 0.0,
                (true, ..) => to_favored,
                (false, false, true) => old,
                (false, false, false) => new,
            };
            if likely == 0.0 || !skip(likely) {
                entry.was_mutated = true;
                return Some(number);
            }
        }
    }

    fn publish(&self, current: usize) -> Result<(), Error> {
        let figures = self.journal.figures()?;
        let edges = self.best.iter().filter(|best| best.is_some()).count();
        for (figure, value) in
            [(&figures.corpus, self.entries.len()), (&figures.edges, edges), (&figures.current, current)]
        {
            figure.store(u64::try_from(value).unwrap_or(u64::MAX), Relaxed);
        }
        figures.favored.store(self.count(|entry| entry.is_favored), Relaxed);
        figures.pending.store(self.count(|entry| !entry.was_mutated), Relaxed);
        figures.pending_favored.store(self.count(|entry| entry.is_favored && !entry.was_mutated), Relaxed);
        figures.cycles.store(self.cycles, Relaxed);
        figures.depth.store(self.entries.iter().map(|entry| entry.depth).max().unwrap_or(0), Relaxed);
        Ok(())
    }
}

impl<S> Scheduler<BytesInput, S> for Queue
where
    S: HasCorpus<BytesInput> + HasRand + HasExecutions,
{
    fn on_add(&mut self, state: &mut S, id: CorpusId) -> Result<(), Error> {
        let parent = *state.corpus().current();
        let executions = *state.executions();
        let mut testcase = state.corpus().get(id)?.borrow_mut();
        testcase.set_parent_id_optional(parent);
        let edges = testcase.metadata_map_mut().remove::<MapIndexesMetadata>().map_or_else(Vec::new, |map| map.list);
        let bytes = testcase.input().as_ref().map_or(&[][..], |input| input.mutator_bytes());
        self.journal.keep_in_queue(parent, executions, bytes, (self.best.len(), &edges))?;
        let depth = parent.and_then(|id| self.entries.get(usize::from(id))).map_or(0, |parent| parent.depth);
        self.add(id, bytes.len(), depth + 1, edges);
        self.publish(self.next)
    }

    fn next(&mut self, state: &mut S) -> Result<CorpusId, Error> {
        let chosen = self.choose(|likely| state.rand_mut().coinflip(likely));
        let number = chosen.ok_or_else(|| Error::empty("the queue is empty"))?;
        self.publish(number)?;
        let id = self.entries.get(number).map(|entry| entry.id);
        <Self as Scheduler<BytesInput, S>>::set_current_scheduled(self, state, id)?;
        id.ok_or_else(|| Error::illegal_state("an entry that is not there"))
    }

    fn set_current_scheduled(&mut self, state: &mut S, next_id: Option<CorpusId>) -> Result<(), Error> {
        *state.corpus_mut().current_mut() = next_id;
        Ok(())
    }
}
