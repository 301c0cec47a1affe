//! Where a run's counters go: the map of an observer of LibAFL's own, with one entry for each edge that the target has.
//!
//! The executor copies the harness's counters into the observer's own memory, once a run: nothing is shared, so there is nothing to alias, and
//! whatever LibAFL has for maps works on it. LibAFL looks at the whole map several times a run, so its length is what costs, and not the copy.

use ampoule::fuzz::Harness;
use libafl::observers::{ExplicitTracking, HitcountsMapObserver, OwnedMapObserver, StdMapObserver};

/// The map observer that [`edges_observer`] makes.
pub type EdgesObserver = StdMapObserver<'static, u8, false>;

/// An observer whose map a run's counters can be copied into.
pub trait CounterMap {
    /// The map.
    fn counters_mut(&mut self) -> &mut [u8];
}

/// A map observer with as many entries as the harness's target has edges.
///
/// Wrap it in [`HitcountsMapObserver`] for AFL's classes of counts.
#[must_use]
pub fn edges_observer(harness: &Harness) -> EdgesObserver {
    StdMapObserver::owned("edges", vec![0; harness.edges().len()])
}

impl<const DIFFERENTIAL: bool> CounterMap for StdMapObserver<'_, u8, DIFFERENTIAL> {
    fn counters_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl CounterMap for OwnedMapObserver<u8> {
    fn counters_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl<M: CounterMap> CounterMap for HitcountsMapObserver<M> {
    fn counters_mut(&mut self) -> &mut [u8] {
        (**self).counters_mut()
    }
}

impl<M: CounterMap, const INDICES: bool, const NOVELTIES: bool> CounterMap for ExplicitTracking<M, INDICES, NOVELTIES> {
    fn counters_mut(&mut self) -> &mut [u8] {
        self.as_mut().counters_mut()
    }
}
