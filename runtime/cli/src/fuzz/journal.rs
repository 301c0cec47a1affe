//! What a core writes down: each input that is kept, with where it comes from.
//!
//! LibAFL tells the scheduler of a new testcase, and the executor sees crashes and hangs; both ask here where the present input comes from.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ampoule::fuzz::Crash;
use ampoule_libafl::CrashReport;
use libafl::Error;
use libafl::corpus::CorpusId;

use super::finds::{Exhausted, Find};
use super::out::{Instance, Origin, Place};
use super::shared::{Core, Event, Events, Shared, lock};

#[derive(Debug)]
pub(super) struct Journal {
    number: usize,
    instance: Instance,
    shared: Arc<Shared>,
    events: Events,
    /// How the run was started.
    command: String,
    /// The numbers of the queue's inputs, by their place in the corpus.
    ids: RefCell<Vec<u64>>,
    /// Where the present input comes from, if it was not made here.
    from: RefCell<Option<Origin>>,
    operation: Cell<&'static str>,
    /// What is found is what an earlier run has found.
    is_recalling: Cell<bool>,
    /// What became of the last input.
    was_well: Cell<bool>,
    /// The target has no counters.
    is_blind: bool,
}

impl Journal {
    pub(super) fn new(
        number: usize,
        instance: Instance,
        edges: usize,
        shared: &Arc<Shared>,
        events: &Events,
        command: &str,
    ) -> Rc<Self> {
        Rc::new(Self {
            number,
            instance,
            shared: Arc::clone(shared),
            events: events.clone(),
            command: command.to_owned(),
            ids: RefCell::default(),
            from: RefCell::default(),
            operation: Cell::new("none"),
            is_recalling: Cell::new(false),
            was_well: Cell::new(true),
            is_blind: edges == 0,
        })
    }

    pub(super) fn instance(&self) -> &Instance {
        &self.instance
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The figures of this core.
    pub(super) fn figures(&self) -> Result<&Core, Error> {
        self.shared.cores.get(self.number).ok_or_else(|| Error::illegal_state("a core without figures"))
    }

    /// The inputs that follow come from there; from none: they are made here.
    pub(super) fn set_origin(&self, origin: Option<Origin>) {
        self.from.replace(origin);
    }

    /// The inputs that follow are made by this.
    pub(super) fn set_operation(&self, operation: &'static str) {
        self.operation.set(operation);
    }

    /// The inputs that follow are crashes and hangs that are kept already.
    pub(super) fn set_recalling(&self, is_recalling: bool) {
        self.is_recalling.set(is_recalling);
    }

    /// The last input neither crashed nor used up what it was granted.
    pub(super) fn was_well(&self) -> bool {
        self.was_well.get()
    }

    pub(super) fn set_was_well(&self, was_well: bool) {
        self.was_well.set(was_well);
    }

    /// There is no telling what an input reaches.
    pub(super) fn is_blind(&self) -> bool {
        self.is_blind
    }

    fn origin(&self, parent: Option<CorpusId>) -> Origin {
        let given = self.from.borrow().clone();
        given.unwrap_or_else(|| {
            let source = parent.and_then(|id| self.ids.borrow().get(usize::from(id)).copied()).unwrap_or(0);
            Origin::Made { source, operation: self.operation.get() }
        })
    }

    /// An input has come into the queue, which reaches these edges of so many.
    pub(super) fn keep_in_queue(
        &self,
        parent: Option<CorpusId>,
        executions: u64,
        bytes: &[u8],
        edges: (usize, &[usize]),
    ) -> Result<(), Error> {
        let origin = self.origin(parent);
        let kept = self.instance.keep(Place::Queue, &origin, executions, "", bytes)?;
        self.ids.borrow_mut().push(kept.id);
        self.shared.reach(edges.0, edges.1);
        let figures = self.figures()?;
        if let Origin::Made { .. } = origin {
            self.stamp(&figures.last_find);
            if self.shared.cores.len() > 1 {
                let origin = Origin::Synced { instance: self.instance.name.clone(), id: kept.id };
                lock(&self.shared.finds).push(Find { core: self.number, origin, bytes: bytes.to_vec() });
            }
        } else if let Origin::Synced { .. } = origin {
            figures.imported.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    /// What other cores have found since the last time.
    pub(super) fn finds(&self, seen: &mut usize) -> Vec<Arc<Find>> {
        lock(&self.shared.finds).since(seen, self.number)
    }

    /// An input crashed; it is kept if no other crashed like it.
    pub(super) fn crash(
        &self,
        parent: Option<CorpusId>,
        executions: u64,
        bytes: &[u8],
        crash: &Crash,
    ) -> Result<(), Error> {
        let key = crash.key();
        if !lock(&self.shared.known).note_crash(&key) || self.is_recalling.get() {
            return Ok(());
        }
        let report = CrashReport::of(crash);
        let origin = self.origin(parent);
        let kept = self.instance.keep_crash(&origin, executions, bytes, &report.text, &self.command)?;
        let figures = self.figures()?;
        figures.crashes.fetch_add(1, Relaxed);
        self.stamp(&figures.last_crash);
        self.tell(Event::Crash { key, path: kept.path });
        Ok(())
    }

    /// An input used up what it was granted; it is kept.
    pub(super) fn exhausted(
        &self,
        parent: Option<CorpusId>,
        executions: u64,
        bytes: &[u8],
        what: Exhausted,
    ) -> Result<(), Error> {
        if self.is_recalling.get() {
            return Ok(());
        }
        let is_memory = what == Exhausted::Memory;
        let note = if is_memory { ",+oom" } else { "" };
        let kept = self.instance.keep(Place::Hangs, &self.origin(parent), executions, note, bytes)?;
        let figures = self.figures()?;
        figures.hangs.fetch_add(1, Relaxed);
        self.stamp(&figures.last_hang);
        self.tell(Event::Hang { is_memory, path: kept.path });
        Ok(())
    }

    fn stamp(&self, of: &AtomicU64) {
        let time = u64::try_from(self.instance.run_time().as_millis()).unwrap_or(u64::MAX);
        of.store(time.max(1), Relaxed);
    }

    /// Nobody listens once the run is over.
    fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }
}
