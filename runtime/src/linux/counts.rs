//! Which system calls were made, how often, and which of them nobody serves.

use super::names;

/// Numbers that are counted apart; Linux has given out fewer than 500.
const NUMBERS: usize = 512;

/// The counts of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    made: Box<[u64; NUMBERS]>,
    unknown: Box<[bool; NUMBERS]>,
    /// Calls with a larger number.
    beyond: u64,
    /// Nothing was counted yet.
    clear: bool,
}

/// How often one system call was made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyscallCount {
    /// Its name; its number in digits if Linux has none.
    pub name: String,
    /// How often.
    pub count: u64,
    /// True if Ampoule does not serve it: the program got `ENOSYS`.
    pub unknown: bool,
}

impl Counts {
    pub(super) fn new() -> Self {
        Self { made: Box::new([0; NUMBERS]), unknown: Box::new([false; NUMBERS]), beyond: 0, clear: true }
    }

    /// Counts from zero again.
    pub(crate) fn clear(&mut self) {
        if !self.clear {
            self.made.fill(0);
            self.unknown.fill(false);
            (self.beyond, self.clear) = (0, true);
        }
    }

    pub(super) fn count(&mut self, number: u64) {
        self.clear = false;
        match usize::try_from(number).ok().and_then(|number| self.made.get_mut(number)) {
            Some(count) => *count += 1,
            None => self.beyond += 1,
        }
    }

    pub(super) fn mark_unknown(&mut self, number: u64) {
        if let Some(unknown) = usize::try_from(number).ok().and_then(|number| self.unknown.get_mut(number)) {
            *unknown = true;
        }
    }

    /// What was called, the most frequent first.
    pub(crate) fn list(&self) -> Vec<SyscallCount> {
        let mut list: Vec<_> = (0..)
            .zip(self.made.iter().zip(self.unknown.iter()))
            .filter(|(_, (count, _))| **count > 0)
            .map(|(number, (&count, &unknown))| SyscallCount {
                name: names::name(number).map_or_else(|| number.to_string(), str::to_owned),
                count,
                unknown,
            })
            .collect();
        if self.beyond > 0 {
            list.push(SyscallCount { name: format!("{NUMBERS} and above"), count: self.beyond, unknown: true });
        }
        list.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
        list
    }
}
