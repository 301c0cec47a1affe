//! What a pool is made with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use parking_lot::Mutex;

use super::keeper::{self, Keeper};
use super::waiting::Waiting;
use super::{Inner, Pool, PoolError, Shard};
use crate::sandbox::imports::Imports;
use crate::snapshot::Snapshot;

/// Most shards: more threads than that meet now and then.
const MAX_SHARDS: usize = 64;

/// What a [`Pool`] is made with: [`Pool::builder`].
#[derive(Debug)]
pub struct PoolBuilder<T> {
    snapshot: Snapshot,
    imports: Imports<T>,
    warm: usize,
    max: usize,
    idle_time: Duration,
}

impl<T: Send + 'static> PoolBuilder<T> {
    pub(super) fn new(snapshot: &Snapshot, imports: &Imports<T>) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            snapshot: snapshot.clone(),
            imports: imports.clone(),
            warm: threads,
            max: threads * 8,
            idle_time: Duration::from_secs(10),
        }
    }

    /// How many are kept ready when nobody has them: one for each CPU unless said otherwise.
    #[must_use]
    pub fn warm(mut self, count: usize) -> Self {
        self.warm = count;
        self
    }

    /// How many there may be at once, taken ones included: eight for each CPU unless said otherwise. At least one.
    #[must_use]
    pub fn max(mut self, count: usize) -> Self {
        self.max = count.max(1);
        self
    }

    /// How long one that nobody takes is kept beyond those that are kept [warm](Self::warm): 10 s unless said otherwise.
    #[must_use]
    pub fn idle_time(mut self, time: Duration) -> Self {
        self.idle_time = time;
        self
    }

    /// Makes the pool, with its first sandbox; the others are made in the background.
    ///
    /// # Errors
    /// [`PoolError::Sandbox`] if snapshot and imports do not fit, [`PoolError::Host`] if the host cannot make a sandbox or a thread.
    pub fn build(self) -> Result<Pool<T>, PoolError> {
        let Self { snapshot, imports, warm, max, idle_time } = self;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let shard = || Mutex::new(Shard { snapshot: snapshot.clone(), epoch: 0, idle: Vec::new() });
        let inner = Arc::new(Inner {
            shards: (0..(threads * 2).next_power_of_two().min(MAX_SHARDS)).map(|_| shard()).collect(),
            imports: imports.copy(),
            warm: warm.min(max),
            max,
            idle_time,
            count: AtomicUsize::new(1),
            alive: AtomicUsize::new(1),
            waiting: Waiting::default(),
            keeper: Arc::new(Keeper::default()),
            replacing: Mutex::new(()),
            made: AtomicU64::new(0),
            replaced: AtomicU64::new(0),
        });
        let first = inner.make(&snapshot)?;
        inner.put(first, 0);
        keeper::start(&inner)?;
        inner.keeper.call();
        Ok(Pool(inner))
    }
}
