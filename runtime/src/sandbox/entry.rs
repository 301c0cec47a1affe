//! Programs as they are before their first instruction: loaded once, and from their second run on restored.
//!
//! ```text
//! first run     an empty machine ── load ──► run
//! second run    an empty machine ── load ──► saved with the program ──► run
//! from then on  a machine, rather one that had this program before ── restore ──► run
//! ```
//! What differs from run to run comes afterwards: arguments, environment, files, randomness. The first run keeps nothing, for most programs
//! have no second one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::RwLock;

use super::run::Job;
use crate::linux::{self, NotStarted};
use crate::machine::Machine;
use crate::machine::load::{self, Loaded};
use crate::machine::restore::MachineState;
use crate::machine::shared::NoRoom;
use crate::machine::shells::{self, Fittings};
use crate::vm::watch::Watch;

/// Memory limits that a program is kept for, at most: one is usual.
const MAX_ENTRIES: usize = 4;

/// What is kept with a program.
#[derive(Debug, Default)]
struct Entries {
    runs: AtomicU32,
    entries: RwLock<Vec<Arc<Entry>>>,
}

/// A program that was loaded, within one memory limit.
#[derive(Debug)]
struct Entry {
    pages: u64,
    state: MachineState,
    loaded: Loaded,
}

/// A machine with the job's program in it, and its stack; nothing has run.
pub(super) fn load(
    job: &Job,
    fittings: &Fittings,
    watch: &mut Watch,
) -> Result<Result<(Machine, Loaded), NoRoom>, NotStarted> {
    watch.check()?;
    let (entries, pages) = (job.program.memo::<Entries>(), job.limits.pages());
    let kept = entries.and_then(|entries| {
        let entries = entries.entries.read();
        entries.iter().find(|entry| entry.pages == pages).map(Arc::clone)
    });
    if let Some(entry) = kept {
        let machine = shells::lend(fittings, &entry.state)?;
        return Ok(machine.map(|machine| (machine, entry.loaded.clone())));
    }
    let mut machine = match shells::lend(fittings, &MachineState::empty(pages))? {
        Ok(machine) => machine,
        Err(no_room) => return Ok(Err(no_room)),
    };
    match load_into(&mut machine, job, watch) {
        Ok(loaded) => {
            if let Some(entries) = entries.filter(|entries| entries.runs.fetch_add(1, Ordering::Relaxed) > 0) {
                entries.keep(Entry { pages, state: machine.save()?, loaded: loaded.clone() });
            }
            Ok(Ok((machine, loaded)))
        }
        Err(not_started) => {
            shells::give(machine, fittings.clone());
            Err(not_started)
        }
    }
}

/// Loads the job's program into an empty machine.
pub(super) fn load_into(machine: &mut Machine, job: &Job, watch: &mut Watch) -> Result<Loaded, NotStarted> {
    let loaded = load::load(machine, &job.program, watch)??;
    linux::prepare_stack(machine, 1, watch)??;
    Ok(loaded)
}

impl Entries {
    fn keep(&self, entry: Entry) {
        let mut entries = self.entries.write();
        if entries.iter().any(|kept| kept.pages == entry.pages) {
            return;
        }
        if entries.len() == MAX_ENTRIES {
            entries.remove(0);
        }
        entries.push(Arc::new(entry));
    }
}
