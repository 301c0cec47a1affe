//! How much work a hostile file can make: every loop over what a file says pays for each of its rounds, and ends when nothing is left.

/// Steps that are left; one takes some nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    left: u64,
}

impl Budget {
    pub(super) fn new(steps: u64) -> Self {
        Self { left: steps }
    }

    /// Pays for `steps`; none if that is more than is left, and then nothing is left.
    pub(super) fn pay(&mut self, steps: usize) -> Option<()> {
        let left = self.left.checked_sub(steps as u64);
        self.left = left.unwrap_or(0);
        left.map(|_| ())
    }

    #[cfg(test)]
    pub(super) fn left(&self) -> u64 {
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_pay_has_nothing_left() {
        let mut budget = Budget::new(3);
        assert_eq!(budget.pay(2), Some(()));
        assert_eq!(budget.pay(2), None);
        assert_eq!(budget.pay(1), None);
        assert_eq!(budget.pay(0), Some(()));
    }
}
