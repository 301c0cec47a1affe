//! Crashes: what the executor found in the last run, and whether it is one that is known already.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use ampoule::fuzz::Crash;
use libafl::Error;
use libafl::observers::{Observer, ObserverWithHashField};
use libafl_bolts::Named;
use serde::{Deserialize, Serialize};

/// A crash as LibAFL keeps it: metadata of its testcase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashReport {
    /// What it has in common with every other crash of the same bug: [`Crash::key`].
    pub key: String,
    /// The report for people.
    pub text: String,
}

/// Keeps the last run's crash. Put it among the observers of an [`AmpouleExecutor`](crate::AmpouleExecutor), which fills it.
///
/// Its hash is the crash's [key](Crash::key), so that LibAFL's [`NewHashFeedback`](libafl::feedbacks::NewHashFeedback) works with it as with a
/// `BacktraceObserver`; [`NewCrashFeedback`](crate::NewCrashFeedback) keeps the report as well.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CrashObserver {
    name: Cow<'static, str>,
    /// Other clients have no use for it: a solution is its finder's.
    #[serde(skip)]
    last: Option<Crash>,
}

impl CrashObserver {
    /// The name of every one: an executor has one at most.
    const NAME: Cow<'static, str> = Cow::Borrowed("crash");

    /// An observer without a crash.
    #[must_use]
    pub fn new() -> Self {
        Self { name: Self::NAME, last: None }
    }

    /// The crash of the last run, if it was one.
    #[must_use]
    pub fn last(&self) -> Option<&Crash> {
        self.last.as_ref()
    }

    pub(crate) fn set(&mut self, crash: &Crash) {
        self.last = Some(crash.clone());
    }
}

impl Default for CrashObserver {
    fn default() -> Self {
        Self::new()
    }
}

impl Named for CrashObserver {
    fn name(&self) -> &Cow<'static, str> {
        &self.name
    }
}

impl<I, S> Observer<I, S> for CrashObserver {
    fn pre_exec(&mut self, _state: &mut S, _input: &I) -> Result<(), Error> {
        self.last = None;
        Ok(())
    }
}

impl ObserverWithHashField for CrashObserver {
    fn hash(&self) -> Option<u64> {
        self.last.as_ref().map(|crash| {
            let mut hasher = DefaultHasher::new();
            crash.key().hash(&mut hasher);
            hasher.finish()
        })
    }
}

impl CrashReport {
    /// The report of a crash.
    #[must_use]
    pub fn of(crash: &Crash) -> Self {
        let mut text = format!("{crash}\n");
        let stderr = crash.stderr().trim();
        if !stderr.is_empty() {
            text.push_str("it wrote to stderr\n");
            // The target chose what is in it, and a report is read in terminals.
            text.extend(stderr.chars().filter(|&it| it == '\n' || it == '\t' || !it.is_control()));
            text.push('\n');
        }
        Self { key: crash.key(), text }
    }
}
