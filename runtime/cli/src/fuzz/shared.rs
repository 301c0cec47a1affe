//! What the threads of a run share: figures that the cores count and the main thread shows, and when to stop.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, OnceLock, PoisonError};

use ampoule::CancelToken;

use super::finds::{Finds, Known};

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) cores: Vec<Core>,
    pub(super) finds: Mutex<Finds>,
    pub(super) known: Mutex<Known>,
    /// For each edge, whether any core has reached it.
    edges: OnceLock<Vec<AtomicBool>>,
    is_stopping: AtomicBool,
}

/// What a core counts. Times are milliseconds of its run, 0 for never.
#[derive(Debug, Default)]
pub(super) struct Core {
    pub(super) token: CancelToken,
    pub(super) executions: AtomicU64,
    pub(super) edges: AtomicU64,
    pub(super) unstable_edges: AtomicU64,
    pub(super) corpus: AtomicU64,
    pub(super) favored: AtomicU64,
    pub(super) pending: AtomicU64,
    pub(super) pending_favored: AtomicU64,
    pub(super) current: AtomicU64,
    pub(super) cycles: AtomicU64,
    pub(super) imported: AtomicU64,
    pub(super) depth: AtomicU64,
    pub(super) hung: AtomicU64,
    pub(super) crashes: AtomicU64,
    pub(super) hangs: AtomicU64,
    pub(super) last_find: AtomicU64,
    pub(super) last_crash: AtomicU64,
    pub(super) last_hang: AtomicU64,
}

/// What a core tells the main thread.
#[derive(Debug)]
pub(super) enum Event {
    /// Its harness is there.
    Ready { edges: usize },
    /// A crash of a kind that was not there.
    Crash { key: String, path: PathBuf },
    /// A hang, or an input that takes too much memory.
    Hang { is_memory: bool, path: PathBuf },
    /// It has nothing more to do; or why it cannot go on.
    Ended(Result<(), String>),
}

/// Where events go.
pub(super) type Events = Sender<Event>;

impl Shared {
    pub(super) fn new(cores: usize) -> Self {
        Self { cores: (0..cores).map(|_| Core::default()).collect(), ..Self::default() }
    }

    /// Ends all cores, in the middle of an input if need be.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Relaxed);
        for core in &self.cores {
            core.token.cancel();
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Relaxed)
    }

    /// Notes that these of so many edges were reached.
    pub(super) fn reach(&self, edges: usize, reached: &[usize]) {
        let all = self.edges.get_or_init(|| (0..edges).map(|_| AtomicBool::new(false)).collect());
        for edge in reached.iter().filter_map(|&index| all.get(index)) {
            edge.store(true, Relaxed);
        }
    }

    /// Edges that any core has reached.
    pub(super) fn edges(&self) -> usize {
        self.edges.get().map_or(0, |all| all.iter().filter(|edge| edge.load(Relaxed)).count())
    }

    /// A figure of all cores together.
    pub(super) fn sum(&self, of: impl Fn(&Core) -> &AtomicU64) -> u64 {
        self.cores.iter().map(|core| of(core).load(Relaxed)).sum()
    }

    /// The part of the edges that are stable, of the core that has seen the least.
    pub(super) fn stability(&self) -> f64 {
        self.cores.iter().map(Core::stability).fold(1.0, f64::min)
    }
}

impl Core {
    /// The part of its edges that are stable, 0 to 1.
    pub(super) fn stability(&self) -> f64 {
        let [unstable, edges] = [&self.unstable_edges, &self.edges].map(|count| float(count.load(Relaxed)));
        if edges == 0.0 { 1.0 } else { (1.0 - unstable / edges).max(0.0) }
    }
}

/// A count to calculate with.
#[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

/// What a mutex protects: nobody leaves it half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
