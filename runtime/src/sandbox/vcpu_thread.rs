//! The thread on which a live guest runs: it enters the guest, serves its system calls, sees that it sleeps when it has nothing to do, and
//! hands its core back when it is told to.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ampoule_kernel::call::{self, info};
use rustix::io::Errno;

use super::core::Core;
use super::error::{CallError, ProtocolError};
use super::halt::{Halt, Pause};
use super::imports::Import;
use super::live::{Idle, LiveStats};
use super::step::{Meter, Progress, Rules, step_with};
use crate::channel::hypercall::{Hypercall, failed};
use crate::channel::parking::{Parking, Woken};
use crate::end::End;
use crate::limits::Call;
use crate::linux::Kernel;
use crate::vm::cancel::CancelToken;
use crate::vm::clock::{self, Nanos};
use crate::vm::error::HostError;
use crate::vm::process;
use crate::vm::seam::HostCall;
use crate::vm::watch::{Budget, Watch};

/// How often the thread looks whether its guest has anything to do.
const TICK: Nanos = 2_000_000;

/// What the thread and its caller share.
#[derive(Debug)]
struct Shared {
    parking: Parking,
    /// Takes the guest out, for good.
    stop: CancelToken,
    /// The guest was told to leave the ring.
    leaving: AtomicBool,
    /// The thread runs its guest no more.
    over: AtomicBool,
    /// The kernel's number of the thread.
    thread: AtomicU32,
    parked: AtomicU64,
    made_to_park: AtomicU64,
    idle: AtomicU64,
    /// Calls that were begun.
    calls: AtomicU64,
    /// Bytes that the guest may write in the last of them.
    output: AtomicU64,
}

/// What a thread hands back: the guest, and why it does not go on, unless it left the ring.
type Handed<T> = (Box<Core<T>>, Option<Halt>);

/// A guest's time on its thread, from its caller's side.
pub(super) struct Leg<T> {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Handed<T>>>,
    exports: HashMap<Box<str>, u32>,
    bound: Vec<Arc<Import<T>>>,
    /// The process that has the thread.
    owner: u32,
}

impl<T: 'static> Leg<T> {
    /// Sends the guest, which waits for a call, into the ring on a thread of its own.
    pub(super) fn start(core: Box<Core<T>>, idle: Idle) -> Result<Self, CallError> {
        let shared = Arc::new(Shared {
            parking: Parking::new(),
            stop: CancelToken::new(),
            leaving: AtomicBool::new(false),
            over: AtomicBool::new(false),
            thread: AtomicU32::new(0),
            parked: AtomicU64::new(0),
            made_to_park: AtomicU64::new(0),
            idle: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            output: AtomicU64::new(Call::DEFAULT_OUTPUT),
        });
        let exports = core.channel.table.as_ref().map(|table| table.exports.clone()).unwrap_or_default();
        let bound = core.bound.clone();
        let theirs = Arc::clone(&shared);
        let mut core = core;
        let thread = std::thread::Builder::new()
            .name("ampoule-vcpu".to_owned())
            .spawn(move || {
                theirs.thread.store(rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned(), Ordering::Release);
                // A listener of the log's may panic: that is its caller's to know.
                let served = catch_unwind(AssertUnwindSafe(|| serve(&mut core, &theirs, idle)));
                let halt = served.unwrap_or_else(|panic| Err(Halt::Panic(panic))).err();
                theirs.over.store(true, Ordering::Release);
                (core, halt)
            })
            .map_err(|source| HostError::Call { call: HostCall::Thread, source })?;
        Ok(Self { shared, thread: Some(thread), exports, bound, owner: process::current() })
    }
}

impl<T> Leg<T> {
    /// # Errors
    /// [`HostError::Forked`] in a process that inherited it: neither the thread nor the ring's memory is there.
    pub(super) fn check_owner(&self) -> Result<(), HostError> {
        let current = process::current();
        if current == self.owner { Ok(()) } else { Err(HostError::Forked { owner: self.owner, current }) }
    }

    pub(super) fn export(&self, name: &str) -> Option<u32> {
        self.exports.get(name).copied()
    }

    pub(super) fn import(&self, ordinal: u32) -> Option<Arc<Import<T>>> {
        self.bound.get(usize::try_from(ordinal).ok()?).cloned()
    }

    /// A call that may write so many bytes begins. Comes before its message.
    pub(super) fn begin(&self, output: u64) {
        self.shared.output.store(output, Ordering::Relaxed);
        // Only the caller counts, so this need not be one step; a locked one would cost each call some nanoseconds.
        let calls = self.shared.calls.load(Ordering::Relaxed);
        self.shared.calls.store(calls.wrapping_add(1), Ordering::Release);
    }

    /// The guest has something to do: a message is in the ring.
    #[inline]
    pub(super) fn post(&self) {
        self.shared.parking.post();
    }

    /// What the guest wrote was taken.
    #[inline]
    pub(super) fn done(&self) {
        self.shared.parking.done();
    }

    /// From now on the guest may leave the ring.
    pub(super) fn leaving(&self) {
        self.shared.leaving.store(true, Ordering::Release);
    }

    /// True once the guest runs no more.
    pub(super) fn is_over(&self) -> bool {
        self.shared.over.load(Ordering::Acquire)
    }

    /// CPU time of the thread.
    pub(super) fn cpu_used(&self) -> Nanos {
        match self.shared.thread.load(Ordering::Acquire) {
            0 => 0,
            thread => clock::cpu_of_thread(thread),
        }
    }

    pub(super) fn stats(&self) -> LiveStats {
        LiveStats {
            calls: 0,
            parked: self.shared.parked.load(Ordering::Relaxed),
            made_to_park: self.shared.made_to_park.load(Ordering::Relaxed),
            idle: Duration::from_nanos(self.shared.idle.load(Ordering::Relaxed)),
        }
    }

    /// Takes the guest out, wherever it is, and ends the thread; says why it had stopped, if it had by itself.
    pub(super) fn stop(&mut self) -> Result<Option<Halt>, HostError> {
        let was_over = self.is_over();
        let halt = self.join().map(|(_, halt)| halt)?;
        Ok(halt.filter(|_| was_over))
    }

    /// Ends the thread and takes what it hands back.
    pub(super) fn end(mut self) -> Result<Handed<T>, HostError> {
        self.join()
    }

    fn join(&mut self) -> Result<Handed<T>, HostError> {
        self.shared.stop.cancel();
        self.shared.parking.stop();
        let gone = || HostError::Call { call: HostCall::Thread, source: std::io::ErrorKind::NotFound.into() };
        match self.thread.take().ok_or_else(gone)?.join() {
            Ok(handed) => Ok(handed),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl<T> Drop for Leg<T> {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        self.shared.parking.stop();
        let is_ours = self.check_owner().is_ok();
        if let Some(thread) = self.thread.take().filter(|_| is_ours) {
            // What it hands back is dropped, and a panic was somebody else's: nobody is left to be told.
            let _ = thread.join();
        }
    }
}

/// Runs the guest until it leaves the ring.
fn serve<T>(core: &mut Core<T>, shared: &Shared, idle: Idle) -> Result<(), Halt> {
    let mut watch = Watch::begin(Budget {
        wall: Nanos::MAX,
        cpu: Nanos::MAX,
        cancel: [Some(shared.stop.clone()), None],
        nudge: core.events.as_ref().map(|events| events.nudge().clone()),
        pipes: core.streams.has_files(),
        tick: Some(TICK),
        slice: None,
    })?;
    core.machine.attach(watch.mask_inside())?;
    let ticks = core.machine.vcpu().ticks_per_millisecond().map_or(0, |ticks| u64::from(ticks) / 1000);
    for (offset, word) in
        [(info::DEADLINE, u64::MAX), (info::IDLE, clock::from_duration(idle.time())), (info::TICKS, ticks)]
    {
        core.machine.write_info(offset, &word.to_le_bytes())?;
    }
    core.meter = Meter::default();
    core.process.counts.clear();
    core.enter_ring();
    let mut seen = Seen { posted: 0, at: clock::monotonic() };
    let mut calls = shared.calls.load(Ordering::Acquire);
    core.streams.begin(shared.output.load(Ordering::Relaxed));
    loop {
        let Core { machine, process, streams, program, meter, events, .. } = core;
        let mut kernel = Kernel { process, machine, watch: &mut watch, streams };
        let rules = Rules { hypercalls: true, events: events.as_ref() };
        // What a guest writes is limited for each call, which it takes without an exit: what it wants now may belong to another than before.
        let begin_call = |kernel: &mut Kernel<'_>| {
            let begun = shared.calls.load(Ordering::Acquire);
            if begun != calls {
                calls = begun;
                kernel.streams.begin(shared.output.load(Ordering::Relaxed));
            }
        };
        match step_with(&mut kernel, program, meter, rules, begin_call)? {
            Progress::Served => seen.rest(shared, clock::from_duration(idle.time())),
            Progress::Hypercall(hypercall) => {
                if serve_call(core, hypercall, shared, idle, &mut watch)? {
                    return Ok(());
                }
            }
        }
    }
}

/// What the thread saw of its guest's work.
struct Seen {
    posted: u64,
    at: Nanos,
}

impl Seen {
    /// Makes a guest sleep that had nothing to do for longer than it may, by a whole tick, and does not sleep by itself.
    fn rest(&mut self, shared: &Shared, idle: Nanos) {
        let (now, posted) = (clock::monotonic(), shared.parking.posted());
        let passed = now.saturating_sub(self.at);
        if passed < TICK {
            return;
        }
        if posted == self.posted && !shared.parking.is_outstanding() {
            if passed < idle.saturating_add(TICK) {
                return;
            }
            shared.idle.fetch_add(passed, Ordering::Relaxed);
            shared.made_to_park.fetch_add(1, Ordering::Relaxed);
            // Whatever woke it, the guest goes on where it was.
            shared.parking.park_unless_outstanding(None);
        }
        (self.posted, self.at) = (posted, clock::monotonic());
    }
}

/// Serves one of Ampoule's own calls; true if the guest has left the ring.
fn serve_call<T>(
    core: &mut Core<T>,
    hypercall: Hypercall,
    shared: &Shared,
    idle: Idle,
    watch: &mut Watch,
) -> Result<bool, Halt> {
    match hypercall {
        Hypercall::Park => {
            if !shared.parking.is_outstanding() {
                shared.parked.fetch_add(1, Ordering::Relaxed);
                shared.idle.fetch_add(clock::from_duration(idle.time()), Ordering::Relaxed);
            }
            let results = match shared.parking.park_unless_outstanding(None) {
                // It was quicker than the news, or did not look.
                Woken::Outstanding | Woken::Deadline => [0; 3],
                Woken::Stopping => return Err(Halt::End(End::Cancelled, Pause::Never)),
            };
            core.machine.set_results(results);
        }
        Hypercall::Next { outcome: call::OUTCOME_NONE, buffer, .. } if shared.leaving.load(Ordering::Acquire) => {
            core.left_ring(buffer);
            return Ok(true);
        }
        Hypercall::Next { .. } => {
            return Err(ProtocolError::Ring { what: "it left without being told".to_owned() }.into());
        }
        Hypercall::Attach { .. } | Hypercall::Import { .. } => core.machine.set_results(failed(Errno::BUSY, 0)),
        other => core.serve_in_ring(other, watch)?,
    }
    Ok(false)
}
