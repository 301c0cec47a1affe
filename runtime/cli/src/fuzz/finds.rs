//! What the cores tell each other: finds, in memory, and which crashes and hangs are known.

use std::collections::HashSet;
use std::sync::Arc;

use super::out::Origin;

/// An input that reached something new.
#[derive(Debug)]
pub(super) struct Find {
    /// The core.
    pub(super) core: usize,
    /// Where the others have it from.
    pub(super) origin: Origin,
    pub(super) bytes: Vec<u8>,
}

/// All finds, in their order, for as long as somebody may ask: they are what the queues hold anyway.
#[derive(Debug, Default)]
pub(super) struct Finds(Vec<Arc<Find>>);

impl Finds {
    pub(super) fn push(&mut self, find: Find) {
        self.0.push(Arc::new(find));
    }

    /// What others have found since this core asked last; `seen` is how far it has come.
    pub(super) fn since(&self, seen: &mut usize, core: usize) -> Vec<Arc<Find>> {
        let new = self.0.get(*seen..).unwrap_or_default();
        *seen = self.0.len();
        new.iter().filter(|find| find.core != core).map(Arc::clone).collect()
    }
}

/// What crashes and hangs are known, so that each bug is kept once.
#[derive(Debug, Default)]
pub(super) struct Known {
    crashes: HashSet<String>,
    hangs: Reached,
    floods: Reached,
}

/// What inputs of one kind have reached.
#[derive(Debug, Default)]
struct Reached {
    edges: Vec<bool>,
    inputs: usize,
}

/// What was used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exhausted {
    Time,
    Memory,
}

impl Known {
    /// Without counters there is no telling one from another, and only so many are kept.
    const MOST_BLIND: usize = 16;

    /// Notes a crash by its key; true if there was none of this key.
    pub(super) fn note_crash(&mut self, key: &str) -> bool {
        !self.crashes.contains(key) && self.crashes.insert(key.to_owned())
    }

    /// True if an input that used up what it was granted has reached an edge that no other such input has.
    pub(super) fn is_new(&self, what: Exhausted, counters: &[u8]) -> bool {
        let reached = if what == Exhausted::Time { &self.hangs } else { &self.floods };
        if counters.is_empty() {
            return reached.inputs < Self::MOST_BLIND;
        }
        let edges = reached.edges.iter().copied().chain(std::iter::repeat(false));
        counters.iter().zip(edges).any(|(&count, is_known)| count > 0 && !is_known)
    }

    /// Notes what it has reached.
    pub(super) fn note(&mut self, what: Exhausted, counters: &[u8]) {
        let reached = if what == Exhausted::Time { &mut self.hangs } else { &mut self.floods };
        reached.inputs += 1;
        reached.edges.resize(counters.len(), false);
        for (edge, &count) in reached.edges.iter_mut().zip(counters) {
            *edge |= count > 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_told_once_of_what_others_found_and_never_of_its_own() {
        let mut finds = Finds::default();
        let find = |core, id| Find { core, origin: Origin::Resumed(id), bytes: Vec::new() };
        let (mut zero, mut one) = (0, 0);
        finds.push(find(0, 1));
        finds.push(find(1, 2));
        let ids = |finds: Vec<Arc<Find>>| finds.iter().map(|find| find.core).collect::<Vec<_>>();
        assert_eq!(ids(finds.since(&mut zero, 0)), [1]);
        assert_eq!(ids(finds.since(&mut zero, 0)), [0; 0]);
        finds.push(find(1, 3));
        assert_eq!(ids(finds.since(&mut zero, 0)), [1]);
        assert_eq!(ids(finds.since(&mut one, 1)), [0]);
    }

    #[test]
    fn a_crash_is_new_by_its_key_and_a_hang_by_an_edge() {
        let mut known = Known::default();
        assert!(known.note_crash("a") && known.note_crash("b") && !known.note_crash("a"));
        for what in [Exhausted::Time, Exhausted::Memory] {
            assert!(known.is_new(what, &[0, 3]));
            known.note(what, &[0, 3]);
            assert!(!known.is_new(what, &[0, 200]) && !known.is_new(what, &[0, 0]));
            assert!(known.is_new(what, &[1, 3]));
        }
    }

    #[test]
    fn without_counters_some_hangs_are_kept_and_not_all() {
        let mut known = Known::default();
        let kept = (0..100).filter(|_| {
            let is_new = known.is_new(Exhausted::Time, &[]);
            if is_new {
                known.note(Exhausted::Time, &[]);
            }
            is_new
        });
        assert_eq!(kept.count(), Known::MOST_BLIND);
        assert!(known.is_new(Exhausted::Memory, &[]));
    }
}
