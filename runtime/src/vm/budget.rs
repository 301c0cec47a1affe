//! How much guest memory this process may hold: admission before the memory is there, since what comes after is a kill by the kernel.
//!
//! ```text
//! admit(bytes) ── fits ──► Grant ── mapping ── dropped ──► the bytes are free again
//!      └── does not fit: HostError::MemoryBudget, and nothing has changed
//! ```
//! What counts is what guests *may* touch, whole mappings, and not what they have touched: a guest can touch the rest at any moment, and then
//! nobody asks. One atomic number is the sum; a grant is made and given back by one step each, so that the sum is exact whoever else
//! does the same.

use std::sync::atomic::{AtomicU64, Ordering};

use super::error::HostError;

/// No bound.
pub(crate) const UNBOUNDED: u64 = u64::MAX;

/// This process's.
pub(crate) static BUDGET: Budget = Budget::new(UNBOUNDED);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Budget {
    max: AtomicU64,
    in_use: AtomicU64,
}

/// Bytes that are one's own until it is dropped.
#[derive(Debug)]
pub(super) struct Grant {
    budget: &'static Budget,
    bytes: u64,
}

impl Budget {
    const fn new(max: u64) -> Self {
        Self { max: AtomicU64::new(max), in_use: AtomicU64::new(0) }
    }

    /// What may be in use at once.
    pub(crate) fn max(&self) -> u64 {
        self.max.load(Ordering::Relaxed)
    }

    /// What was granted stays granted.
    pub(crate) fn set_max(&self, bytes: u64) {
        self.max.store(bytes, Ordering::Relaxed);
    }

    /// What is granted at the moment.
    pub(crate) fn in_use(&self) -> u64 {
        self.in_use.load(Ordering::Relaxed)
    }

    /// Grants `needed` bytes.
    ///
    /// # Errors
    /// [`HostError::MemoryBudget`] if they do not fit beside what is granted.
    pub(super) fn admit(&'static self, needed: u64) -> Result<Grant, HostError> {
        let budget = self.max();
        let fits = |in_use: u64| in_use.checked_add(needed).filter(|&sum| sum <= budget);
        match self.in_use.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Ok(Grant { budget: self, bytes: needed }),
            Err(in_use) => Err(HostError::MemoryBudget { needed, in_use, budget }),
        }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.budget.in_use.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use proptest::prelude::*;

    use super::*;

    /// Tests want one each, for as long as they run.
    fn budget(max: u64) -> &'static Budget {
        Box::leak(Box::new(Budget::new(max)))
    }

    #[test]
    fn a_refusal_tells_what_was_asked_for_and_what_there_is_and_takes_nothing() {
        let budget = budget(100);
        let grant = budget.admit(60).unwrap();
        let refused = budget.admit(41).unwrap_err();
        assert!(
            matches!(refused, HostError::MemoryBudget { needed: 41, in_use: 60, budget: 100 }),
            "{refused:?}: {refused}"
        );
        let rest = budget.admit(40).unwrap();
        assert_eq!(budget.in_use(), 100);
        drop((grant, rest));
        assert_eq!(budget.in_use(), 0);
    }

    #[test]
    fn no_sum_overflows_its_way_past_the_budget() {
        let budget = budget(UNBOUNDED);
        let _most = budget.admit(u64::MAX - 1).unwrap();
        assert!(budget.admit(2).is_err());
        assert!(budget.admit(1).is_ok());
    }

    #[test]
    fn a_budget_below_what_is_in_use_refuses_all_and_takes_nothing_away() {
        let budget = budget(100);
        let grant = budget.admit(80).unwrap();
        budget.set_max(50);
        assert_eq!((budget.max(), budget.in_use()), (50, 80));
        assert!(budget.admit(1).is_err());
        drop(grant);
        assert!(budget.admit(50).is_ok());
    }

    #[test]
    fn threads_that_ask_at_once_never_have_more_than_the_budget_and_leave_nothing_behind() {
        const MAX: u64 = 1000;
        let (budget, held, start) = (budget(MAX), &AtomicU64::new(0), &Barrier::new(4));
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                scope.spawn(move || {
                    start.wait();
                    for round in 0..20_000_u64 {
                        let bytes = (thread * 7919 + round * 104_729) % 600 + 1;
                        let Ok(grant) = budget.admit(bytes) else { continue };
                        // Our own count, beside the budget's: added after a grant and taken away before its end, so never more than is granted.
                        assert!(held.fetch_add(bytes, Ordering::SeqCst) + bytes <= MAX);
                        held.fetch_sub(bytes, Ordering::SeqCst);
                        drop(grant);
                    }
                });
            }
        });
        assert_eq!(budget.in_use(), 0);
    }

    proptest! {
        #[test]
        fn what_is_in_use_is_the_sum_of_the_grants_that_are_left(
            max in 0..500_u64,
            steps in prop::collection::vec((any::<bool>(), 0..200_u64), 0..64),
        ) {
            let budget = budget(max);
            let mut grants = Vec::new();
            for (take, bytes) in steps {
                let sum: u64 = grants.iter().map(|grant: &Grant| grant.bytes).sum();
                prop_assert_eq!(budget.in_use(), sum);
                if take {
                    let granted = budget.admit(bytes);
                    prop_assert_eq!(granted.is_ok(), sum + bytes <= max);
                    grants.extend(granted);
                } else if !grants.is_empty() {
                    grants.swap_remove(usize::try_from(bytes).unwrap() % grants.len());
                }
            }
        }
    }
}
