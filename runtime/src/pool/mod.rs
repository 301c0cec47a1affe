//! Pools: sandboxes of one snapshot, ready for whoever comes, made what the snapshot says again by whoever leaves.
//!
//! ```text
//! take ── own shard ── others' shards ── make one, if there may be more ── wait                 waiting
//!  │
//! Pooled<T> ── call, call, …
//!  │
//! drop ── restored on this thread ──► own shard ──► wake one that waits
//!      └─ cannot be restored: gone, and another is made ── keeper: keeps enough ready, and no more than was wanted lately
//! ```
//! Each thread has a shard with a lock of its own; another's is tried only when the own one is empty, and never waited for.

mod builder;
mod error;
mod keeper;
mod waiting;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

pub use builder::PoolBuilder;
pub use error::PoolError;

use self::keeper::Keeper;
use self::waiting::{Look, Waiting};
use crate::sandbox::home::Home;
use crate::sandbox::imports::Imports;
use crate::sandbox::instance::Sandbox;
use crate::shard;
use crate::snapshot::Snapshot;
use crate::vm::error::HostError;

/// Sandboxes of one snapshot, for any number of threads and tasks: each is taken with a state that nobody else has touched.
///
/// Cloning shares it. A sandbox that is given back is restored by the thread that drops it, so that taking one costs nothing but finding it.
///
/// ```no_run
/// use ampoule::{Call, Imports, Pool, Program, Sandbox};
///
/// struct Request { id: u64 }
/// let imports = Imports::<Request>::new().func("id", |ctx, (): ()| ctx.data().id);
/// let program = Program::from_file("function")?;
/// let ready = Sandbox::new(&program, &imports, Request { id: 0 })?.snapshot()?;
///
/// let pool = Pool::builder(&ready, &imports).warm(4).max(64).build()?;
/// let mut sandbox = pool.take(Request { id: 7 })?;
/// let mut reply = Vec::new();
/// sandbox.call_bytes("handle", b"body", &mut reply, &Call::new())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pool<T: 'static>(Arc<Inner<T>>);

struct Inner<T: 'static> {
    shards: Box<[Mutex<Shard<T>>]>,
    /// A copy that nobody else has: it tells this pool's sandboxes from all others.
    imports: Imports<T>,
    warm: usize,
    max: usize,
    idle_time: Duration,
    /// Sandboxes that there are, taken or not, and those that are being made.
    count: AtomicUsize,
    /// Those of them that were made: whoever waits is woken when one is given back or is gone.
    alive: AtomicUsize,
    waiting: Waiting,
    keeper: Arc<Keeper>,
    /// Held while the snapshot is replaced: all shards end with the same.
    replacing: Mutex<()>,
    made: AtomicU64,
    replaced: AtomicU64,
}

/// What threads with this shard find.
struct Shard<T: 'static> {
    snapshot: Snapshot,
    /// How many times the snapshot was replaced.
    epoch: u64,
    idle: Vec<Idle<T>>,
}

struct Idle<T> {
    home: Home<T>,
    since: Instant,
}

/// What a pool did, and what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PoolStats {
    /// Sandboxes that wait to be taken.
    pub idle: usize,
    /// Sandboxes that are taken.
    pub taken: usize,
    /// As many as there may be.
    pub max: usize,
    /// Tasks and threads that wait for one.
    pub waiting: usize,
    /// Sandboxes made so far.
    pub made: u64,
    /// Sandboxes that could not be restored, and were replaced.
    pub replaced: u64,
}

impl<T> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Pool<T> {
    /// A pool of sandboxes in the snapshot's state.
    #[must_use]
    pub fn builder(snapshot: &Snapshot, imports: &Imports<T>) -> PoolBuilder<T> {
        PoolBuilder::new(snapshot, imports)
    }

    /// Takes a sandbox for `data`; waits for one if there are as many as there may be, or as many as the
    /// [memory budget](crate::set_memory_budget) has room for.
    ///
    /// # Errors
    /// [`PoolError::Host`] if there is none and none can be made.
    pub fn take(&self, data: T) -> Result<Pooled<T>, PoolError> {
        self.take_until(data, None)
    }

    /// The same, but waits at most `time`.
    ///
    /// # Errors
    /// [`PoolError::TimedOut`], and as [`take`](Self::take).
    pub fn take_timeout(&self, data: T, time: Duration) -> Result<Pooled<T>, PoolError> {
        self.take_until(data, Instant::now().checked_add(time))
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// [`PoolError::Exhausted`], and as [`take`](Self::take).
    pub fn try_take(&self, data: T) -> Result<Pooled<T>, PoolError> {
        match self.0.find(Look::Everywhere) {
            Ok(Some(found)) => Ok(self.lend(found, data)),
            Ok(None) => Err(PoolError::Exhausted { max: self.0.max }),
            Err(error) => {
                self.0.waiting.wake_one();
                Err(error)
            }
        }
    }

    /// The same for a task of any executor, which holds no thread while it waits. Drop the future to wait no longer.
    ///
    /// Where there may be more sandboxes and none is idle, one is made by the thread that polls, which takes it about a millisecond; and whoever drops
    /// one restores it, which takes some microseconds.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub async fn take_async(&self, data: T) -> Result<Pooled<T>, PoolError> {
        let found = self.0.waiting.until(|look| self.0.find_or_wait(look)).await?;
        Ok(self.lend(found, data))
    }

    fn take_until(&self, data: T, end: Option<Instant>) -> Result<Pooled<T>, PoolError> {
        match self.0.waiting.block_until(|look| self.0.find_or_wait(look), end)? {
            Some(found) => Ok(self.lend(found, data)),
            None => Err(PoolError::TimedOut { max: self.0.max }),
        }
    }

    fn lend(&self, found: Found<T>, data: T) -> Pooled<T> {
        let Found { home, snapshot, epoch } = found;
        Pooled { sandbox: snapshot.inhabit(home, data), pool: self.clone(), epoch }
    }

    /// From now on every sandbox that is taken has the state of another snapshot, perhaps of another program. Those that are taken at the
    /// moment finish as they are.
    ///
    /// # Errors
    /// [`PoolError::Sandbox`] if the imports do not fit, and [`PoolError::Host`] if none can be made; the pool is then as it was.
    pub fn replace(&self, snapshot: &Snapshot) -> Result<(), PoolError> {
        let inner = &self.0;
        let first = inner.make(snapshot)?;
        let replacing = inner.replacing.lock();
        let mut epoch = 0;
        for shard in &inner.shards {
            let old = {
                let mut shard = shard.lock();
                shard.snapshot = snapshot.clone();
                shard.epoch += 1;
                epoch = shard.epoch;
                std::mem::take(&mut shard.idle)
            };
            let gone = old.len();
            // Outside the lock: a machine of which there are enough is destroyed.
            drop(old);
            inner.alive.fetch_sub(gone, Ordering::SeqCst);
            inner.count.fetch_sub(gone, Ordering::AcqRel);
        }
        drop(replacing);
        if inner.admit() {
            inner.alive.fetch_add(1, Ordering::SeqCst);
            inner.put(first, epoch);
        }
        inner.keeper.call();
        inner.waiting.wake_all();
        Ok(())
    }

    /// The snapshot that sandboxes are taken in.
    #[must_use]
    pub fn snapshot(&self) -> Option<Snapshot> {
        self.0.shards.first().map(|shard| shard.lock().snapshot.clone())
    }
}

impl<T> Pool<T> {
    /// What it did, and what it has.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let inner = &self.0;
        let idle = inner.idle();
        PoolStats {
            idle,
            taken: inner.count.load(Ordering::Acquire).saturating_sub(idle),
            max: inner.max,
            waiting: inner.waiting.count(),
            made: inner.made.load(Ordering::Relaxed),
            replaced: inner.replaced.load(Ordering::Relaxed),
        }
    }
}

/// A sandbox that somebody can have.
struct Found<T> {
    home: Home<T>,
    snapshot: Snapshot,
    epoch: u64,
}

impl<T> Inner<T> {
    fn idle(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().idle.len()).sum()
    }

    /// Counts one more sandbox, if there may be more.
    fn admit(&self) -> bool {
        let admit = |count: usize| (count < self.max).then_some(count + 1);
        self.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, admit).is_ok()
    }

    /// One is gone.
    fn dismiss(&self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
        self.count.fetch_sub(1, Ordering::AcqRel);
    }

    /// As [`find`](Self::find), for somebody who can wait. If the memory budget is what is lacking, and this pool has sandboxes, one will be given back;
    /// if it has none, the memory is somebody else's, who does not know who waits here.
    fn find_or_wait(&self, look: Look) -> Result<Option<Found<T>>, PoolError> {
        // Asked before: should the last one go meanwhile, whoever waits is woken, and asks again.
        let has_some = self.alive.load(Ordering::SeqCst) > 0;
        match self.find(look) {
            Err(PoolError::Host(HostError::MemoryBudget { .. })) if has_some => Ok(None),
            Err(error) => {
                // Somebody may wait because there seemed to be one more in the making.
                self.waiting.wake_one();
                Err(error)
            }
            found => found,
        }
    }

    /// Finds a sandbox that is ready, or makes one; none if there are as many as there may be.
    fn find(&self, look: Look) -> Result<Option<Found<T>>, PoolError> {
        for (step, index) in shard::order(self.shards.len()).enumerate() {
            let Some(shard) = self.shards.get(index) else { continue };
            let locked = if step == 0 || look == Look::Everywhere { Some(shard.lock()) } else { shard.try_lock() };
            let Some(mut shard) = locked else { continue };
            if let Some(Idle { home, .. }) = shard.idle.pop() {
                return Ok(Some(Found { home, snapshot: shard.snapshot.clone(), epoch: shard.epoch }));
            }
        }
        let Some((snapshot, epoch)) = self.current().filter(|_| self.admit()) else { return Ok(None) };
        match self.make(&snapshot) {
            Ok(home) => {
                self.alive.fetch_add(1, Ordering::SeqCst);
                self.keeper.call();
                Ok(Some(Found { home, snapshot, epoch }))
            }
            Err(error) => {
                self.count.fetch_sub(1, Ordering::AcqRel);
                Err(error)
            }
        }
    }

    fn current(&self) -> Option<(Snapshot, u64)> {
        let shard = self.shards.get(shard::own(self.shards.len()))?.lock();
        Some((shard.snapshot.clone(), shard.epoch))
    }

    /// Makes a guest that has its machine.
    fn make(&self, snapshot: &Snapshot) -> Result<Home<T>, PoolError> {
        let mut home = snapshot.home(&self.imports)?;
        home.core()?;
        self.made.fetch_add(1, Ordering::Relaxed);
        Ok(home)
    }

    /// Puts a guest down that is what the snapshot of this epoch says.
    fn put(&self, home: Home<T>, epoch: u64) {
        let Some(shard) = self.shards.get(shard::own(self.shards.len())) else { return };
        let left = {
            let mut shard = shard.lock();
            if shard.epoch == epoch {
                shard.idle.push(Idle { home, since: Instant::now() });
                None
            } else {
                Some(home)
            }
        };
        if let Some(home) = left {
            // Replaced meanwhile: its state is nobody's any more.
            drop(home);
            self.dismiss();
        }
        self.waiting.wake_one();
    }

    /// Takes a guest back, as its snapshot has it.
    fn give(&self, mut home: Home<T>, epoch: u64) {
        let Some(shard) = self.shards.get(shard::own(self.shards.len())) else { return };
        let current = {
            let shard = shard.lock();
            (shard.epoch == epoch).then(|| shard.snapshot.clone())
        };
        // Whoever had it may have put another sandbox into its place.
        let is_ours = |snapshot: &Snapshot| home.is_of(snapshot.program(), &self.imports);
        if let Some(snapshot) = current.as_ref().filter(|snapshot| is_ours(snapshot))
            && snapshot.restore_home(&mut home).is_ok()
        {
            return self.put(home, epoch);
        }
        if current.is_some() {
            self.replaced.fetch_add(1, Ordering::Relaxed);
        }
        drop(home);
        self.dismiss();
        self.keeper.call();
        self.waiting.wake_one();
    }
}

impl<T> Drop for Inner<T> {
    fn drop(&mut self) {
        self.keeper.end();
    }
}

/// A sandbox that was taken from a [`Pool`]; it goes back when it is dropped.
pub struct Pooled<T: 'static> {
    sandbox: Sandbox<T>,
    pool: Pool<T>,
    epoch: u64,
}

impl<T: fmt::Debug> fmt::Debug for Pooled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sandbox.fmt(f)
    }
}

impl<T> Deref for Pooled<T> {
    type Target = Sandbox<T>;

    fn deref(&self) -> &Self::Target {
        &self.sandbox
    }
}

impl<T> DerefMut for Pooled<T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.sandbox
    }
}

impl<T> Drop for Pooled<T> {
    fn drop(&mut self) {
        let home = self.sandbox.home.move_out();
        self.pool.0.give(home, self.epoch);
    }
}
