//! The objective: a crash that no testcase has yet.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use libafl::corpus::Testcase;
use libafl::executors::ExitKind;
use libafl::feedbacks::{Feedback, NewHashFeedback, StateInitializer};
use libafl::inputs::Input;
use libafl::{Error, HasMetadata, HasNamedMetadata};
use libafl_bolts::Named;
use libafl_bolts::tuples::{Handle, Handled, MatchName, MatchNameRef};

use crate::crash::{CrashObserver, CrashReport};

/// Says of a crash that it is a solution if none with its [key](ampoule::fuzz::Crash::key) was before, and gives the testcase its [`CrashReport`] as metadata.
///
/// What it lets pass by is left to the feedback for the corpus: put `feedback_and_fast!(feedback_not!(CrashFeedback::new()), …)` there, or inputs that
/// crash are mutated on.
#[derive(Debug)]
pub struct NewCrashFeedback {
    new: NewHashFeedback<CrashObserver>,
    observer: Handle<CrashObserver>,
    reports: Option<PathBuf>,
}

impl NewCrashFeedback {
    /// A feedback about what this observer sees.
    #[must_use]
    pub fn new(observer: &CrashObserver) -> Self {
        Self { new: NewHashFeedback::new(observer), observer: observer.handle(), reports: None }
    }

    /// Writes each report into this directory as well, as `NAME.report.txt`, where `NAME` is what an
    /// [`OnDiskCorpus`](libafl::corpus::OnDiskCorpus) calls the input's file.
    #[must_use]
    pub fn with_reports(mut self, directory: impl AsRef<Path>) -> Self {
        self.reports = Some(directory.as_ref().to_owned());
        self
    }
}

impl Named for NewCrashFeedback {
    fn name(&self) -> &Cow<'static, str> {
        self.new.name()
    }
}

impl<S: HasNamedMetadata> StateInitializer<S> for NewCrashFeedback {
    fn init_state(&mut self, state: &mut S) -> Result<(), Error> {
        self.new.init_state(state)
    }
}

impl<EM, I, OT, S> Feedback<EM, I, OT, S> for NewCrashFeedback
where
    I: Input,
    OT: MatchName,
    S: HasNamedMetadata,
{
    fn is_interesting(
        &mut self,
        state: &mut S,
        manager: &mut EM,
        input: &I,
        observers: &OT,
        exit_kind: &ExitKind,
    ) -> Result<bool, Error> {
        if observers.get(&self.observer).is_none() {
            return Err(Error::illegal_argument("the executor's observers have no CrashObserver"));
        }
        self.new.is_interesting(state, manager, input, observers, exit_kind)
    }

    #[cfg(feature = "track_hit_feedbacks")]
    fn last_result(&self) -> Result<bool, Error> {
        Feedback::<EM, I, OT, S>::last_result(&self.new)
    }

    fn append_metadata(
        &mut self,
        _state: &mut S,
        _manager: &mut EM,
        observers: &OT,
        testcase: &mut Testcase<I>,
    ) -> Result<(), Error> {
        let Some(crash) = observers.get(&self.observer).and_then(CrashObserver::last) else { return Ok(()) };
        let report = CrashReport::of(crash);
        if let (Some(directory), Some(input)) = (&self.reports, testcase.input()) {
            let name = testcase.filename().clone().unwrap_or_else(|| input.generate_name(None));
            std::fs::create_dir_all(directory)?;
            std::fs::write(directory.join(format!("{name}.report.txt")), &report.text)?;
        }
        testcase.add_metadata(report);
        Ok(())
    }
}
