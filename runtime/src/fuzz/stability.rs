//! Does the same input do the same each time? What cannot be put back shows here.

use std::collections::BTreeMap;

use super::coverage::Edge;
use super::error::FuzzError;
use super::harness::Harness;

/// What [`Harness::stability`] found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Stability {
    /// Edges that any of the inputs took.
    pub edges: usize,
    /// Those of them whose counters were not the same in all rounds, in their order.
    pub unstable: Vec<UnstableEdge>,
    /// Inputs, by their index, on which the verdict was not the same in all rounds.
    pub verdicts: Vec<usize>,
}

/// An edge that some input took in some rounds and not in others, or not as often.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct UnstableEdge {
    /// Its index among the counters.
    pub index: usize,
    /// The edge.
    pub edge: Edge,
    /// The function that it is in, if the program has symbols.
    pub symbol: Option<String>,
    /// Inputs for which it was unstable.
    pub inputs: usize,
}

impl Stability {
    /// The part of the edges that are stable, 0 to 1; 1 if there are none.
    #[must_use]
    pub fn score(&self) -> f64 {
        let [unstable, edges] =
            [self.unstable.len(), self.edges].map(|count| u32::try_from(count).map_or(f64::MAX, f64::from));
        if edges == 0.0 { 1.0 } else { 1.0 - unstable / edges }
    }

    /// True if nothing was unstable.
    #[must_use]
    pub fn is_perfect(&self) -> bool {
        self.unstable.is_empty() && self.verdicts.is_empty()
    }
}

impl Harness {
    /// Runs each input `rounds` times, singly, and says what was not the same each time.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn stability<I: AsRef<[u8]>>(&mut self, inputs: &[I], rounds: u32) -> Result<Stability, FuzzError> {
        let mut taken = vec![false; self.counters().len()];
        let mut unstable = BTreeMap::<usize, usize>::new();
        let mut verdicts = Vec::new();
        for (number, input) in inputs.iter().enumerate() {
            let first = self.run(input.as_ref())?;
            let counters = self.counters().to_vec();
            let mut differs = vec![false; counters.len()];
            let mut is_same = true;
            for round in 0..rounds.max(1) {
                if round > 0 {
                    is_same &= self.run(input.as_ref())? == first;
                }
                let now = self.counters().iter().zip(&counters);
                for ((taken, differs), (now, before)) in taken.iter_mut().zip(&mut differs).zip(now) {
                    *taken |= *now > 0;
                    *differs |= now != before;
                }
            }
            for (index, _) in differs.iter().enumerate().filter(|(_, differs)| **differs) {
                *unstable.entry(index).or_default() += 1;
            }
            if !is_same {
                verdicts.push(number);
            }
        }
        let described = unstable.into_iter().filter_map(|(index, inputs)| {
            let edge = *self.edges().get(index)?;
            let symbol = self.symbol(&edge).map(|symbol| symbol.name.to_owned());
            Some(UnstableEdge { index, edge, symbol, inputs })
        });
        Ok(Stability { edges: taken.iter().filter(|taken| **taken).count(), unstable: described.collect(), verdicts })
    }
}
