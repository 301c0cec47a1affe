//! The harness: an input in, a verdict out, and the machine as it was.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ampoule_kernel::fuzz::comparisons;

use super::batch::Batches;
use super::builder::HarnessBuilder;
use super::coverage::{self, Comparisons, Edge};
use super::error::FuzzError;
use super::finding::Finding;
use super::verdict::{Circumstances, Verdict};
use crate::end::End;
use crate::limits::Call;
use crate::program::{Program, Symbol};
use crate::sandbox::fuzzed::{Came, Fuzzed, Way};
use crate::sandbox::saved::Saved;
use crate::stats::Stats;
use crate::vm::cancel::CancelToken;
use crate::vm::clock;

/// A target in a machine of its own, run on one input after the other from the same state.
///
/// ```no_run
/// use ampoule::Program;
/// use ampoule::fuzz::Harness;
///
/// let mut harness = Harness::builder(&Program::from_file("parser")?).build()?;
/// let verdict = harness.run(b"{\"key\": [1, 2]}")?;
/// println!("{verdict}, {:?}", harness.last());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It belongs to one thread at a time; for more cores build more of them.
pub struct Harness {
    pub(super) guest: Fuzzed,
    pub(super) call: Call,
    edges: Arc<[Edge]>,
    pub(super) counters: Vec<u8>,
    comparisons: Vec<u8>,
    pub(super) wants_comparisons: bool,
    output: [Vec<u8>; 2],
    last: RunStats,
    /// The guest is not where inputs begin: the host failed.
    pub(super) is_stale: bool,
    pub(super) batches: Batches,
}

/// What an input cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RunStats {
    /// Wall time in the guest.
    pub guest: Duration,
    /// Wall time of putting the guest back.
    pub reset: Duration,
    /// Pages that were put back: those that the input wrote, and those that inputs always write.
    pub pages: u64,
}

/// A state that inputs begin in: [`Harness::checkpoint`]. Cheap to clone, and shares what it has in common with others.
#[derive(Debug, Clone)]
pub struct Checkpoint(Arc<Saved>);

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness")
            .field("program", self.guest.program())
            .field("way", self.guest.way())
            .field("counters", &self.counters.len())
            .finish_non_exhaustive()
    }
}

impl Harness {
    /// A harness for this program, to be told how it gets its inputs.
    #[must_use]
    pub fn builder(program: &Program) -> HarnessBuilder {
        HarnessBuilder::new(program)
    }

    pub(super) fn new(mut guest: Fuzzed, call: Call) -> Result<Self, FuzzError> {
        let edges = coverage::edges(&mut guest)?;
        let counters = vec![0; edges.len()];
        Ok(Self {
            guest,
            call,
            edges: edges.into(),
            counters,
            comparisons: Vec::new(),
            wants_comparisons: true,
            output: [Vec::new(), Vec::new()],
            last: RunStats::default(),
            is_stale: true,
            batches: Batches::default(),
        })
    }

    /// Runs the target on an input, and puts everything back afterwards.
    ///
    /// # Errors
    /// [`FuzzError::TooLong`], [`FuzzError::Cancelled`], and [`FuzzError::Run`] if the host failed. Whatever the target does is a [`Verdict`].
    pub fn run(&mut self, input: &[u8]) -> Result<Verdict, FuzzError> {
        let came = self.enter(input)?;
        let verdict = self.verdict(came)?;
        self.reset()?;
        verdict.ok_or(FuzzError::Cancelled)
    }

    /// Runs the target on an input, and begins every later one in the state that it leaves: the root of a subtree of inputs with a common beginning. Only
    /// after [`Verdict::Ok`], and only if the target then waits for another; otherwise inputs begin where they did.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn advance(&mut self, input: &[u8]) -> Result<Verdict, FuzzError> {
        let came = self.enter(input)?;
        let waits = matches!(came, Came::Done);
        let verdict = self.verdict(came)?;
        if waits {
            self.is_stale = true;
            self.guest.advance()?;
            self.is_stale = false;
        } else {
            self.reset()?;
        }
        verdict.ok_or(FuzzError::Cancelled)
    }

    /// The state that inputs begin in.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint(Arc::clone(self.guest.start()))
    }

    /// Begins every later input in a state that inputs of this harness began in before.
    ///
    /// # Errors
    /// [`FuzzError::OtherHarness`] if it is another harness's state.
    pub fn go_to(&mut self, checkpoint: &Checkpoint) -> Result<(), FuzzError> {
        if checkpoint.0.fittings != self.guest.start().fittings {
            return Err(FuzzError::OtherHarness);
        }
        self.guest.set_start(&checkpoint.0);
        self.is_stale = true;
        Ok(())
    }

    /// The counters of edges that the last input left, one byte for each of [`edges`](Self::edges).
    #[must_use]
    pub fn counters(&self) -> &[u8] {
        &self.counters
    }

    /// The edges that the counters count: as many as the target has.
    #[must_use]
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// The function that an edge is in.
    #[must_use]
    pub fn symbol(&self, edge: &Edge) -> Option<Symbol<'_>> {
        self.guest.program().symbol_at(edge.address?)
    }

    /// Whether targets that log what they compare do so from the next input on: they do unless said otherwise. It costs some nanoseconds a comparison.
    ///
    /// # Errors
    /// [`FuzzError::Run`] if the host fails.
    pub fn log_comparisons(&mut self, wanted: bool) -> Result<(), FuzzError> {
        self.wants_comparisons = wanted;
        Ok(self.guest.want_comparisons(wanted)?)
    }

    /// What the last input was compared with, if the target logs that.
    ///
    /// # Errors
    /// [`FuzzError::Run`] if the host fails.
    pub fn comparisons(&mut self) -> Result<Comparisons, FuzzError> {
        let mut bytes = std::mem::take(&mut self.comparisons);
        let is_there = self.read_window(comparisons::NAME, &mut bytes)?;
        let found = if is_there { Comparisons::parse(&bytes) } else { Comparisons::default() };
        self.comparisons = bytes;
        Ok(found)
    }

    /// Copies a window's content into `to`, whose memory is used again; false if the target asked for none of that name. Windows are left as they are
    /// when the target is put back: what is in them is what all inputs so far have left.
    ///
    /// # Errors
    /// [`FuzzError::Run`] if the host fails.
    pub fn read_window(&mut self, name: &str, to: &mut Vec<u8>) -> Result<bool, FuzzError> {
        to.clear();
        let Some(window) = self.guest.target().and_then(|target| target.windows.get(name).copied()) else {
            return Ok(false);
        };
        to.resize(usize::try_from(window.bytes).unwrap_or(0), 0);
        self.guest.memory().read(window.offset, to)?;
        Ok(true)
    }

    /// What the last input made the target write to stdout, if it is [kept](HarnessBuilder::output).
    #[must_use]
    pub fn stdout(&self) -> &[u8] {
        let [stdout, _] = &self.output;
        stdout
    }

    /// What it made it write to stderr.
    #[must_use]
    pub fn stderr(&self) -> &[u8] {
        let [_, stderr] = &self.output;
        stderr
    }

    /// What the last input cost; after a batch, what the last one that was run singly did.
    #[must_use]
    pub fn last(&self) -> RunStats {
        RunStats { pages: self.guest.pages_reset(), ..self.last }
    }

    /// What the last entry did, in detail: exits, system calls, memory.
    #[must_use]
    pub fn last_stats(&self) -> Stats {
        self.guest.stats()
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Program {
        self.guest.program()
    }

    /// Most bytes of an input.
    #[must_use]
    pub fn max_input(&self) -> usize {
        self.guest.max_input()
    }

    /// Sets the wall time and the CPU time that an input may take.
    pub fn set_timeout(&mut self, time: Duration) {
        self.call = self.call.clone().wall(time).cpu(time);
    }

    /// Lets another token end runs, or none: one that was cancelled ends every run from then on.
    pub fn set_cancel(&mut self, token: Option<&CancelToken>) {
        self.call.set_token(token);
    }

    /// The wall time that an input may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.call.times().0
    }

    /// Runs an input from where inputs begin, and copies out what it left.
    fn enter(&mut self, input: &[u8]) -> Result<Came, FuzzError> {
        let max = self.guest.max_input();
        if input.len() > max {
            return Err(FuzzError::TooLong { bytes: input.len(), max });
        }
        self.refresh()?;
        self.is_stale = true;
        let mut came = self.guest.run(input, &self.call)?;
        if self.guest.was_kept_waiting(&came) {
            self.reset()?;
            self.is_stale = true;
            came = self.guest.run(input, &self.call)?;
        }
        self.guest.read_counters(&mut self.counters)?;
        self.output = self.guest.take_output();
        self.last.guest = Duration::from_nanos(self.guest.guest_time());
        Ok(came)
    }

    fn verdict(&mut self, came: Came) -> Result<Option<Verdict>, FuzzError> {
        let is_called = matches!(self.guest.way(), Way::Called { .. });
        if matches!(came, Came::Done) || (!is_called && matches!(came, Came::Ended(End::Exited(_)))) {
            return Ok(Some(Verdict::Ok));
        }
        let finding = self.guest.target().and_then(|target| target.finding.take());
        let fault = match &came {
            Came::Ended(End::Trap(trap)) => trap.fault_address(),
            _ => None,
        };
        let circumstances = Circumstances {
            program: self.guest.program(),
            is_called,
            was_short_of_memory: self.guest.was_short_of_memory(),
            site: self.guest.site(fault),
            finding: finding.map(|(record, text)| Finding::parse(record.as_slice(), text)),
            stderr: self.guest.tail(),
        };
        Ok(Verdict::of(came, circumstances))
    }

    /// Puts the guest back.
    fn reset(&mut self) -> Result<(), FuzzError> {
        let began = clock::monotonic();
        self.is_stale = true;
        self.guest.reset()?;
        self.is_stale = false;
        self.last.reset = Duration::from_nanos(clock::monotonic().saturating_sub(began));
        self.batches.learn(&self.guest);
        Ok(())
    }

    /// Puts the guest back, if it is not where inputs begin.
    pub(super) fn refresh(&mut self) -> Result<(), FuzzError> {
        if self.is_stale {
            self.guest.reset()?;
            self.is_stale = false;
        }
        Ok(())
    }
}
