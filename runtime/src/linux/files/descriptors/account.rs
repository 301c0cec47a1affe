//! A descriptor table, looked through anew: what the tests hold one against that was read from a file.

use std::collections::BTreeSet;

use super::*;

impl Descriptors {
    /// Every number is below the limit and leads to a description, every description is led to, and every offset is one.
    pub(crate) fn assert_sound(&self) {
        let used: BTreeSet<_> = self.slots.values().map(|slot| slot.description).collect();
        assert!(used.iter().eq(self.descriptions.keys()), "descriptions {used:?} are used");
        assert!(self.descriptions.keys().all(|id| *id < self.next_description));
        assert!(self.slots.keys().all(|&number| (0..self.limit.max(3)).contains(&number)));
        for description in self.descriptions.values() {
            assert!(i64::try_from(description.offset).is_ok(), "offset {}", description.offset);
        }
    }
}
