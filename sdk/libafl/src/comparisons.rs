//! What an input was compared with, for LibAFL's mutators that replace what an input has with what the target wants.
//!
//! ```text
//! tracing stage      executor              harness
//! pre_exec ──Wanted──► run_target ──────────► run
//!                      Read(log)  ◄────────── comparisons()
//! post_exec ◄──────────┘
//!   └─► CmpValuesMetadata ─► I2SRandReplace
//! ```
//! Reading the log costs more than most inputs, so that it is read only for a run that the observer was asked to observe.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use ampoule::fuzz::Comparison;
use libafl::executors::ExitKind;
use libafl::observers::Observer;
use libafl::observers::cmp::{CmpMap, CmpValues, CmpValuesMetadata};
use libafl::{Error, HasMetadata};
use libafl_bolts::Named;
use serde::{Deserialize, Serialize};

/// Puts the comparisons of a run into the state's [`CmpValuesMetadata`]: made by
/// [`AmpouleExecutor::comparisons_observer`](crate::AmpouleExecutor::comparisons_observer).
///
/// It belongs among the shadow observers of a [`ShadowExecutor`](libafl::executors::ShadowExecutor), whose
/// [`ShadowTracingStage`](libafl::stages::ShadowTracingStage) asks for it once for each testcase, or among the observers of the executor of a
/// [`TracingStage`](libafl::stages::TracingStage). Among the observers of the executor that runs mutated inputs it makes each of them read the log.
#[derive(Serialize, Deserialize)]
pub struct ComparisonsObserver {
    name: Cow<'static, str>,
    #[serde(skip)]
    log: Log,
}

/// What the observer and its executor have in common.
pub(crate) type Log = Rc<Cell<Request>>;

/// How far the log of a run has come.
#[derive(Default)]
pub(crate) enum Request {
    /// Nobody asked.
    #[default]
    None,
    /// The next run's is asked for.
    Wanted,
    /// It is here.
    Read(Vec<Comparison>),
}

impl ComparisonsObserver {
    pub(crate) fn new(log: &Log) -> Self {
        Self { name: Cow::Borrowed("comparisons"), log: Rc::clone(log) }
    }
}

impl fmt::Debug for ComparisonsObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComparisonsObserver").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Named for ComparisonsObserver {
    fn name(&self) -> &Cow<'static, str> {
        &self.name
    }
}

impl<I, S: HasMetadata> Observer<I, S> for ComparisonsObserver {
    fn pre_exec(&mut self, _state: &mut S, _input: &I) -> Result<(), Error> {
        self.log.set(Request::Wanted);
        Ok(())
    }

    fn post_exec(&mut self, state: &mut S, _input: &I, _exit_kind: &ExitKind) -> Result<(), Error> {
        let mut places = match self.log.take() {
            Request::Read(log) => Places::of(&log),
            Request::None | Request::Wanted => Places::default(),
        };
        let metadata = state.metadata_or_insert_with(CmpValuesMetadata::new);
        // LibAFL's own, because it leaves out the counters of loops.
        metadata.add_from(places.len(), &mut places);
        Ok(())
    }
}

/// Comparisons by the place in the program that makes them.
#[derive(Debug, Default)]
struct Places(Vec<Vec<CmpValues>>);

impl Places {
    fn of(log: &[Comparison]) -> Self {
        let mut places = BTreeMap::<u64, Vec<CmpValues>>::new();
        for comparison in log {
            places.entry(comparison.address).or_default().push(values(comparison));
        }
        Self(places.into_values().collect())
    }
}

impl CmpMap for Places {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn executions_for(&self, index: usize) -> usize {
        self.0.get(index).map_or(0, Vec::len)
    }

    fn usable_executions_for(&self, index: usize) -> usize {
        self.executions_for(index)
    }

    fn values_of(&self, index: usize, execution: usize) -> Option<CmpValues> {
        self.0.get(index)?.get(execution).cloned()
    }

    fn reset(&mut self) -> Result<(), Error> {
        self.0.clear();
        Ok(())
    }
}

/// A comparison in LibAFL's terms.
fn values(comparison: &Comparison) -> CmpValues {
    let Comparison { left, right, is_constant, .. } = *comparison;
    let ([l0, l1, l2, l3, ..], [r0, r1, r2, r3, ..]) = (left.to_le_bytes(), right.to_le_bytes());
    match comparison.size {
        1 => CmpValues::U8((l0, r0, is_constant)),
        2 => CmpValues::U16((u16::from_le_bytes([l0, l1]), u16::from_le_bytes([r0, r1]), is_constant)),
        4 => {
            let [left, right] = [[l0, l1, l2, l3], [r0, r1, r2, r3]].map(u32::from_le_bytes);
            CmpValues::U32((left, right, is_constant))
        }
        _ => CmpValues::U64((left, right, is_constant)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(address: u64, size: u8, left: u64, right: u64) -> Comparison {
        Comparison { address, size, is_constant: true, left, right }
    }

    #[test]
    fn operands_have_the_width_that_was_compared() {
        let wide = 0x1122_3344_5566_7788;
        let of = |size| values(&comparison(1, size, wide, 1));
        assert_eq!(of(1), CmpValues::U8((0x88, 1, true)));
        assert_eq!(of(2), CmpValues::U16((0x7788, 1, true)));
        assert_eq!(of(4), CmpValues::U32((0x5566_7788, 1, true)));
        assert_eq!(of(8), CmpValues::U64((wide, 1, true)));
    }

    #[test]
    fn a_counter_of_a_loop_is_left_out_and_what_stands_beside_it_is_kept() {
        let mut log: Vec<_> = (0..20).map(|count| comparison(1, 4, count, 100)).collect();
        log.push(comparison(2, 4, 7, 0x5a5a));
        let mut metadata = CmpValuesMetadata::new();
        let mut places = Places::of(&log);
        metadata.add_from(places.len(), &mut places);
        assert_eq!(metadata.list, [CmpValues::U32((7, 0x5a5a, true))]);
    }
}
