//! Machines that nobody uses at the moment, kept because making one costs a millisecond and keeping one costs every other's memory calls
//! (`docs/kvm.md`): few, and used again by whoever comes.
//!
//! ```text
//! lend ── one that had the same state before (a restore then copies little)
//!      ── any other that fits (a restore copies everything)              own shard first, then the others'
//!      ── a new one
//! give ── into this thread's shard, as its last tenant left it; what saw a failure is destroyed
//! ```
//! A machine is cleaned by the restore that begins its next use, never by trust in its last one. Threads have a shard each as far as there
//! are enough, so that two do not meet on one lock; entering a vCPU from the thread that it ran on last is also what is quickest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ampoule_kernel::layout;
use parking_lot::Mutex;

use super::Machine;
use super::boot::Doorbell;
use super::probe::HostProbe;
use super::restore::MachineState;
use super::shared::NoRoom;
use crate::shard;
use crate::vm::budget::BUDGET;
use crate::vm::device::Device;
use crate::vm::error::HostError;
use crate::vm::shared::RegionMemory;
#[cfg(feature = "fuzz")]
use crate::vm::shared::WindowMemory;

/// Shards: more than there are threads that run guests at once, on most machines.
const SHARDS: usize = 64;
/// Memory of idle machines, in pages: 1 GiB. One that would exceed it is destroyed instead.
const MAX_IDLE_PAGES: usize = 1 << 18;
/// Idle machines unless said otherwise.
const DEFAULT_MAX_IDLE: usize = 32;
/// The smallest slot, in pages: 4 MiB.
const MIN_PAGES: u64 = 1 << 10;

static STORE: Store = Store {
    shards: [const { Mutex::new(Vec::new()) }; SHARDS],
    idle: AtomicUsize::new(0),
    idle_pages: AtomicUsize::new(0),
    max_idle: AtomicUsize::new(DEFAULT_MAX_IDLE),
};

struct Store {
    shards: [Mutex<Vec<Kept>>; SHARDS],
    idle: AtomicUsize,
    idle_pages: AtomicUsize,
    max_idle: AtomicUsize,
}

/// An idle machine.
#[derive(Debug)]
struct Kept {
    machine: Machine,
    fittings: Fittings,
    /// Pages of the host's that it may hold.
    pages: usize,
}

/// What a machine is made with and keeps for life.
#[derive(Debug, Clone)]
pub(crate) struct Fittings {
    /// Pages of its payload slot: a power of two, so that programs with different limits can follow each other.
    pages: u64,
    doorbell: Doorbell,
    events: bool,
    regions: Vec<Arc<RegionMemory>>,
    /// A fuzz target's, which no other guest may find.
    #[cfg(feature = "fuzz")]
    windows: Option<Arc<WindowMemory>>,
}

impl PartialEq for Fittings {
    fn eq(&self, other: &Self) -> bool {
        (self.pages, self.doorbell, self.events) == (other.pages, other.doorbell, other.events)
            && self.regions.len() == other.regions.len()
            && self.regions.iter().zip(&other.regions).all(|(ours, theirs)| Arc::ptr_eq(ours, theirs))
            && self.has_windows_of(other)
    }
}

impl Fittings {
    /// For a memory limit in pages.
    pub(crate) fn new(pages: u64, doorbell: Doorbell) -> Self {
        let pages = pages.checked_next_power_of_two().unwrap_or(pages).max(MIN_PAGES);
        Self {
            pages,
            doorbell,
            events: false,
            regions: Vec::new(),
            #[cfg(feature = "fuzz")]
            windows: None,
        }
    }

    /// With windows of a fuzz target: a machine of its own, which goes with it.
    #[cfg(feature = "fuzz")]
    pub(crate) fn with_windows(self, windows: &Arc<WindowMemory>) -> Self {
        Self { windows: Some(Arc::clone(windows)), ..self }
    }

    #[cfg(feature = "fuzz")]
    fn has_windows_of(&self, other: &Self) -> bool {
        match (&self.windows, &other.windows) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            _ => false,
        }
    }

    #[cfg(not(feature = "fuzz"))]
    fn has_windows_of(&self, _: &Self) -> bool {
        true
    }

    /// True if nobody else could use such a machine.
    fn is_private(&self) -> bool {
        #[cfg(feature = "fuzz")]
        return self.windows.is_some();
        #[cfg(not(feature = "fuzz"))]
        false
    }

    /// Where each region is in the guest.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = u64> + '_ {
        self.regions.iter().scan(layout::REGIONS, |next, region| {
            let address = *next;
            *next += region.whole();
            Some(address)
        })
    }

    /// With an event page and regions, whose addresses follow from their order.
    pub(crate) fn with(self, events: bool, regions: Vec<Arc<RegionMemory>>) -> Self {
        Self { events, regions, ..self }
    }
}

/// Sets how many machines that nobody uses are kept, in the whole process, to be used again: 32 unless said otherwise, none after a 0.
///
/// Making a virtual machine costs about a millisecond, using one again a tenth of that. But each that exists makes every change of this
/// process's address space a little dearer, so that there should not be many more of them than guests run at once. After a 0 those that are kept
/// are destroyed; otherwise they stay until they are used.
pub fn set_max_idle_machines(count: usize) {
    STORE.max_idle.store(count, Ordering::Relaxed);
    if count == 0 {
        for shard in &STORE.shards {
            let kept = std::mem::take(&mut *shard.lock());
            kept.iter().for_each(|kept| STORE.leaves(kept));
        }
    }
}

/// Machines that are kept at the moment because nobody uses them: see [`set_max_idle_machines`].
#[must_use]
pub fn idle_machines() -> usize {
    STORE.idle.load(Ordering::Relaxed)
}

/// Sets how much memory the guests of this process may have together, in bytes: as much as they like unless said otherwise, or after a
/// [`u64::MAX`].
///
/// A machine counts with all that its guest may touch, for as long as it exists: the memory limit rounded up to a power of two (at least 4 MiB), about 1 %
/// of that and 1 MiB for page tables and the guest kernel, and 2 MiB for the ring of a [`Live`](crate::Live). One that does not fit makes idle machines
/// go first, and is otherwise refused with [`HostError::MemoryBudget`] – before its memory is there, since a kill by the kernel (a cgroup's
/// `memory.max`, the OOM killer) is not an ending that a program can handle. Machines that exist already stay when the budget becomes
/// smaller, the idle ones aside.
///
/// What is kept on the host's side – snapshots, in-memory files, messages, regions – is not in it. There is no budget by default: guests seldom touch all
/// that they may, so that one derived from the machine's memory would refuse what works.
///
/// ```
/// ampoule::set_memory_budget(4 << 30);
/// assert_eq!(ampoule::memory_budget(), 4 << 30);
/// # ampoule::set_memory_budget(u64::MAX);
/// ```
pub fn set_memory_budget(bytes: u64) {
    BUDGET.set_max(bytes);
    while BUDGET.in_use() > bytes && STORE.destroy_one() {}
}

/// How much memory the guests of this process may have together: see [`set_memory_budget`]. [`u64::MAX`] is no bound.
#[must_use]
pub fn memory_budget() -> u64 {
    BUDGET.max()
}

/// How much memory the machines of this process have at the moment, idle ones included: see [`set_memory_budget`].
#[must_use]
pub fn memory_in_use() -> u64 {
    BUDGET.in_use()
}

/// Makes something that takes guest memory; if there is too little of it, idle machines go, one by one, and then it is tried again.
pub(crate) fn with_room<T>(mut make: impl FnMut() -> Result<T, HostError>) -> Result<T, HostError> {
    loop {
        match make() {
            Err(refused @ HostError::MemoryBudget { needed, budget, .. }) => {
                if needed > budget || !STORE.destroy_one() {
                    return Err(refused);
                }
            }
            made => return made,
        }
    }
}

/// Lends a machine with this state; rather one that had a state of its family before.
pub(crate) fn lend(fittings: &Fittings, state: &MachineState) -> Result<Result<Machine, NoRoom>, HostError> {
    let mut machine = match STORE.take(fittings, state.family()) {
        Some(machine) => machine,
        None => match with_room(|| make(fittings))? {
            Ok(machine) => machine,
            Err(no_room) => return Ok(Err(no_room)),
        },
    };
    machine.restore(state)?;
    Ok(Ok(machine))
}

fn make(fittings: &Fittings) -> Result<Result<Machine, NoRoom>, HostError> {
    let (device, probe) = (Device::get()?, HostProbe::get()?);
    let mut machine = Machine::new(device, probe, fittings.doorbell, fittings.pages)?;
    if fittings.events {
        machine.open_events(device)?;
    }
    for region in &fittings.regions {
        if machine.add_region(device, region)?.is_err() {
            return Ok(Err(NoRoom));
        }
    }
    #[cfg(feature = "fuzz")]
    if let Some(windows) = &fittings.windows {
        machine.open_windows(windows)?;
    }
    Ok(Ok(machine))
}

/// Takes a machine back.
pub(crate) fn give(machine: Machine, fittings: Fittings) {
    if fittings.is_private() || !machine.can_be_restored() {
        return;
    }
    let pages = usize::try_from(machine.touched()).unwrap_or(usize::MAX);
    let max = STORE.max_idle.load(Ordering::Relaxed);
    // Counted first: at most as many as there may be, whoever else gives one back now.
    let idle = STORE.idle.fetch_add(1, Ordering::Relaxed);
    let idle_pages = STORE.idle_pages.fetch_add(pages, Ordering::Relaxed);
    let kept = Kept { machine, fittings, pages };
    let has_room = idle < max && idle_pages.saturating_add(pages) <= MAX_IDLE_PAGES;
    let Some(shard) = STORE.shards.get(shard::own(SHARDS)) else { return };
    let destroyed = {
        let mut shard = shard.lock();
        if has_room {
            shard.push(kept);
            None
        } else if shard.is_empty() || max == 0 {
            Some(kept)
        } else {
            // The oldest makes room: what was used last is likelier to be wanted again.
            let oldest = shard.remove(0);
            shard.push(kept);
            Some(oldest)
        }
    };
    if let Some(destroyed) = destroyed {
        STORE.leaves(&destroyed);
    }
}

impl Store {
    /// The best machine that fits: of this family in this thread's shard, any in this thread's shard, any in another that nobody holds.
    fn take(&self, fittings: &Fittings, family: u64) -> Option<Machine> {
        if self.idle.load(Ordering::Relaxed) == 0 {
            return None;
        }
        #[cfg(test)]
        if tests::ONLY_NEW.get() {
            return None;
        }
        let mut shards = shard::order(SHARDS).filter_map(|index| self.shards.get(index));
        let own = shards.next()?;
        let own = pick(&mut own.lock(), fittings, family);
        let kept = own.or_else(|| shards.find_map(|shard| pick(&mut *shard.try_lock()?, fittings, family)))?;
        self.leaves(&kept);
        kept.machine.can_be_restored().then_some(kept.machine)
    }

    /// Destroys an idle machine, the oldest of the first shard that has one; false if there is none.
    fn destroy_one(&self) -> bool {
        let oldest = shard::order(SHARDS).filter_map(|index| self.shards.get(index)).find_map(|shard| {
            let mut shard = shard.lock();
            (!shard.is_empty()).then(|| shard.remove(0))
        });
        // Outside the lock: it takes a while.
        oldest.map(|kept| self.leaves(&kept)).is_some()
    }

    fn leaves(&self, kept: &Kept) {
        self.idle.fetch_sub(1, Ordering::Relaxed);
        self.idle_pages.fetch_sub(kept.pages, Ordering::Relaxed);
    }
}

fn pick(shard: &mut Vec<Kept>, fittings: &Fittings, family: u64) -> Option<Kept> {
    let fits = |kept: &Kept| kept.fittings == *fittings;
    // The last one given back is the one whose memory the processor still has in its caches.
    let at = shard
        .iter()
        .rposition(|kept| fits(kept) && kept.machine.family() == family)
        .or_else(|| shard.iter().rposition(fits))?;
    Some(shard.swap_remove(at))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        pub(super) static ONLY_NEW: Cell<bool> = const { Cell::new(false) };
    }

    /// Runs `body` with machines that nobody had before, on this thread.
    pub(crate) fn with_only_new<T>(body: impl FnOnce() -> T) -> T {
        ONLY_NEW.set(true);
        let result = body();
        ONLY_NEW.set(false);
        result
    }

    #[test]
    fn slots_have_sizes_that_programs_with_different_limits_share() {
        let pages = |pages| Fittings::new(pages, Doorbell::Port).pages;
        assert_eq!([1, 1024, 1025, 16_384, u64::MAX].map(pages), [1024, 1024, 2048, 16_384, u64::MAX]);
    }
}
