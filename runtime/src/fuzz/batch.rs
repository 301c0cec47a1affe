//! Many inputs in one entry, and when to try that.

use super::error::FuzzError;
use super::harness::Harness;
use super::verdict::Verdict;
use crate::end::End;
use crate::sandbox::fuzzed::batch::Known;
use crate::sandbox::fuzzed::{Came, Fuzzed};

/// Inputs that are run singly first, to see which pages they write.
const LESSONS: u32 = 4;
/// Inputs that are run singly after batches in a row that were not exact: twice as many each time, up to 2 to the power of this.
const MAX_PAUSE: u32 = 12;
/// Inputs of a batch, at first and at most.
const FIRST_SIZE: usize = 64;
const MAX_SIZE: usize = 4096;
/// Inputs of a batch, at least: after one that crashed, those that are likely to be done before the next.
const MIN_SIZE: usize = 8;
/// Batches after which it is learned anew which pages inputs write: one that wrote many must not cost all that follow.
const AGE: u32 = 256;

/// What is known of a target in batches.
#[derive(Debug)]
pub(super) struct Batches {
    known: Known,
    /// Resets that were learned from since inputs began where they do.
    lessons: u32,
    /// Somebody wants batches.
    are_used: bool,
    /// Batches in a row that were not exact.
    failed: u32,
    /// Inputs that are run singly before the next batch is tried.
    pause: u32,
    /// Batches since anything was forgotten.
    age: u32,
    /// Inputs of the next one.
    size: usize,
    /// Inputs that were told from batches.
    told: u64,
}

impl Default for Batches {
    fn default() -> Self {
        Self {
            known: Known::default(),
            lessons: 0,
            are_used: false,
            failed: 0,
            pause: 0,
            age: 0,
            size: FIRST_SIZE,
            told: 0,
        }
    }
}

impl Batches {
    /// Learns from the reset that was just done. What is missed is found by the first batch that it spoils.
    pub(super) fn learn(&mut self, guest: &Fuzzed) {
        if !self.known.is_of(guest) {
            self.lessons = 0;
        }
        if self.lessons < LESSONS || self.are_used {
            self.known.learn(guest);
            self.lessons = self.lessons.saturating_add(1);
        }
    }

    /// True if a batch may be tried.
    fn may_try(&mut self, guest: &Fuzzed) -> bool {
        if self.age >= AGE || !self.known.is_of(guest) {
            (self.known, self.lessons, self.age) = (Known::default(), 0, 0);
        }
        if self.pause > 0 {
            self.pause -= 1;
            return false;
        }
        self.lessons >= LESSONS
    }
}

impl Harness {
    /// Runs the target on many inputs; `each` is told the verdict on each by its index, with its counters.
    ///
    /// Between most of them only what inputs are known to write is put back, by code in the guest, so that many take one entry: for targets that are wrong
    /// rather than malicious. After each batch the dirty log, the host's own writes and the exits say whether anything else happened; if so, what came
    /// of it is forgotten, and its inputs are run singly. Only the counters are kept for inputs in a batch: no comparisons and no output. Targets that are
    /// not called are run singly.
    ///
    /// # Errors
    /// As [`run`](Self::run), for the first input that has one; those before it were told.
    pub fn run_batch<I: AsRef<[u8]>>(
        &mut self,
        inputs: &[I],
        mut each: impl FnMut(usize, &Verdict, &[u8]),
    ) -> Result<(), FuzzError> {
        let inputs: Vec<&[u8]> = inputs.iter().map(AsRef::as_ref).collect();
        let max = self.max_input();
        if let Some(input) = inputs.iter().find(|input| input.len() > max) {
            return Err(FuzzError::TooLong { bytes: input.len(), max });
        }
        self.batches.are_used = true;
        let mut next = 0;
        while let Some(rest) = inputs.get(next..).filter(|rest| !rest.is_empty()) {
            let batch = rest.get(..self.batches.size).unwrap_or(rest);
            let tried = self.batches.may_try(&self.guest);
            let told = if tried { self.batch(next, batch, &mut each)? } else { 0 };
            next += told;
            // The first of those that are left: it was where the batch ended, or there was no batch.
            let Some(input) = inputs.get(next).filter(|_| told < batch.len()) else { continue };
            let verdict = self.run(input)?;
            each(next, &verdict, &self.counters);
            next += 1;
        }
        Ok(())
    }

    /// How many inputs so far were run in batches that were exact; all others were run singly.
    #[must_use]
    pub fn batched(&self) -> u64 {
        self.batches.told
    }

    /// Runs a batch; how many of its inputs are done, and were told.
    fn batch(
        &mut self,
        first: usize,
        inputs: &[&[u8]],
        each: &mut impl FnMut(usize, &Verdict, &[u8]),
    ) -> Result<usize, FuzzError> {
        self.refresh()?;
        self.is_stale = true;
        self.guest.want_comparisons(false)?;
        let batch = self.guest.run_batch(inputs, &self.call, &mut self.batches.known);
        self.guest.want_comparisons(self.wants_comparisons)?;
        let batch = batch?;
        self.is_stale = false;
        let Some(batch) = batch else {
            // More pages than can be put back are known, perhaps by one input: they are learned anew, later.
            (self.batches.pause, self.batches.age) = (1 << MAX_PAUSE, AGE);
            return Ok(0);
        };
        self.batches.known.learn(&self.guest);
        self.batches.age += 1;
        let told = if batch.is_exact { batch.done } else { 0 };
        self.batches.told += told as u64;
        for index in 0..told {
            self.guest.read_batch_counters(index, &mut self.counters)?;
            each(first + index, &Verdict::Ok, &self.counters);
        }
        if matches!(batch.came, Came::Ended(End::Cancelled)) {
            return Err(FuzzError::Cancelled);
        }
        let Batches { failed, pause, size, .. } = &mut self.batches;
        if batch.is_exact {
            *failed = 0;
            let likely = if told == inputs.len() { size.saturating_mul(2) } else { told.saturating_mul(2) };
            *size = likely.clamp(MIN_SIZE, MAX_SIZE);
        } else {
            *pause = 1 << (*failed).min(MAX_PAUSE);
            *failed = failed.saturating_add(1);
        }
        Ok(told)
    }
}
