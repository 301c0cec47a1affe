//! The kick: the one signal that makes `KVM_RUN` return, and the per-thread timer that sends it.
//!
//! The signal is blocked on the thread for as long as a run lasts and open only inside `KVM_RUN`, by `KVM_SET_SIGNAL_MASK`. So it
//! is never delivered: it needs no handler, there is no gap between arming and entering, and a kick that comes too late stays
//! pending until the run's end takes it away. Somebody else's use of the same signal is kept aside, or it would interrupt every entry,
//! and put back at the run's end.
//!
//! It is SIGURG unless chosen otherwise, which a process ignores by default. Between two runs a kick that comes then is dropped by the kernel,
//! so the timer may stand from one run to the next: a run that ends in time stops nothing, and the next one arms nothing if the timer comes
//! early enough. (While it is blocked a signal is kept although it would be ignored, and inside `KVM_RUN` the kernel still counts the
//! thread's own mask, `real_blocked`.) A real-time signal would end the process: its timer is stopped at each run's end.
//!
//! SIGPIPE is blocked as well: an embedder that is not a Rust program has not ignored it, and must not die of a program's output.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicI32, Ordering};

use super::clock::{self, Nanos, timespec};
use super::error::HostError;
use super::process;
use super::seam::{self, HostCall};

/// The kick signal.
static SIGNAL: AtomicI32 = AtomicI32::new(IGNORED);

/// Its default: "urgent data on a socket", which hardly anybody listens to and every process ignores unless it does.
const IGNORED: i32 = libc::SIGURG;

/// Marks the signals that are ours: its address travels as their value.
static COOKIE: u8 = 0;

/// At most this many foreign signals are put back after a run; the kernel queues more only for programs that misuse signals.
const MAX_FOREIGN: usize = 64;

/// The chosen real-time signal is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signal {signal} is not a real-time signal: choose one of {first}–{last}")]
pub struct NotARealTimeSignal {
    /// What was asked for.
    pub signal: i32,
    /// The first that would do.
    pub first: i32,
    /// The last that would do.
    pub last: i32,
}

/// Chooses a real-time signal to interrupt running guests, for the whole process: it is `SIGURG` unless chosen otherwise.
///
/// No handler is installed for it and none runs. Call this before the first sandbox if the program itself handles `SIGURG` (a Go runtime in
/// the same process does), which would see a kick now and then. A real-time signal costs a call into a sandbox some two microseconds more.
///
/// # Errors
/// [`NotARealTimeSignal`] if `signal` lies outside `SIGRTMIN..=SIGRTMAX`.
///
/// ```
/// ampoule::set_kick_signal(50)?;
/// assert!(ampoule::set_kick_signal(9).is_err());
/// # Ok::<(), ampoule::NotARealTimeSignal>(())
/// ```
pub fn set_kick_signal(signal: i32) -> Result<(), NotARealTimeSignal> {
    let (first, last) = (libc::SIGRTMIN(), libc::SIGRTMAX());
    if !(first..=last).contains(&signal) {
        return Err(NotARealTimeSignal { signal, first, last });
    }
    SIGNAL.store(signal, Ordering::Relaxed);
    Ok(())
}

fn chosen_signal() -> i32 {
    SIGNAL.load(Ordering::Relaxed)
}

/// A thread that can be kicked, with the signal that it listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ThreadId {
    thread: libc::pid_t,
    signal: i32,
    /// The kernel's id of its timer.
    timer: usize,
}

/// `siginfo_t` of a queued signal or a timer's, as the kernel lays it out on x86-64 (sigaction(2)).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct SignalInfo {
    signal: i32,
    errno: i32,
    code: i32,
    padding: i32,
    sender: i32,
    user: u32,
    value: usize,
    rest: [u64; 12],
}

const _: () = assert!(size_of::<SignalInfo>() == size_of::<libc::siginfo_t>());

impl SignalInfo {
    fn is_ours(&self) -> bool {
        match self.signal {
            // The kernel's for a write of this process, which says that it came from there.
            libc::SIGPIPE => self.code == libc::SI_USER && self.sender == process(),
            _ => {
                (self.code == libc::SI_TIMER || self.code == libc::SI_QUEUE)
                    && self.value == (&raw const COOKIE) as usize
            }
        }
    }
}

/// Makes the thread's `KVM_RUN` or wait return. The caller knows that the thread is inside a run.
pub(super) fn send(to: ThreadId) {
    let info = SignalInfo {
        signal: to.signal,
        errno: 0,
        code: libc::SI_QUEUE,
        padding: 0,
        sender: process(),
        user: rustix::process::getuid().as_raw(),
        value: (&raw const COOKIE) as usize,
        rest: [0; 12],
    };
    if queue(to.thread, &info).is_err() {
        // The signal queue is full (RLIMIT_SIGPENDING), and a plain real-time signal needs room in it too. A timer's has had its own
        // since the timer was made: the thread's timer fires at once. `Watch::arm` sees a cancel that it would undo.
        fire(to);
    }
}

fn fire(to: ThreadId) {
    let _ = set_timer(std::ptr::without_provenance_mut(to.timer), 1);
}

fn queue(thread: libc::pid_t, info: &SignalInfo) -> io::Result<()> {
    // SAFETY: the kernel reads one siginfo_t, whose layout SignalInfo has.
    let result =
        unsafe { libc::syscall(libc::SYS_rt_tgsigqueueinfo, process(), thread, info.signal, std::ptr::from_ref(info)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Lets a timer of this process fire at `at` on `CLOCK_MONOTONIC`; 0 stops it. True if it was to fire and had not yet.
fn set_timer(timer: libc::timer_t, at: Nanos) -> io::Result<bool> {
    let at = timespec(at);
    let spec = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: libc::timespec { tv_sec: at.tv_sec, tv_nsec: at.tv_nsec },
    };
    let mut before = spec;
    // SAFETY: the kernel looks the timer up by its id, which it lives as long as its thread is in a run; it reads one itimerspec and
    // writes another.
    seam::check(unsafe { libc::timer_settime(timer, libc::TIMER_ABSTIME, &raw const spec, &raw mut before) })?;
    Ok(before.it_value.tv_sec != 0 || before.it_value.tv_nsec != 0)
}

fn process() -> libc::pid_t {
    // The kernel's numbers are positive and fit.
    process::current().cast_signed()
}

thread_local! {
    static TIMER: RefCell<Option<Rc<ThreadTimer>>> = const { RefCell::new(None) };
}

/// This thread's timer.
#[derive(Debug)]
pub(super) struct ThreadTimer {
    id: ThreadId,
    process: libc::pid_t,
    timer: libc::timer_t,
    notices: OnceCell<OwnedFd>,
    /// The run that armed the timer last; another run on this thread re-arms.
    owner: Cell<u64>,
    /// When it fires, unless it was fired from outside meanwhile; 0 if it does not stand.
    armed: Cell<Nanos>,
}

impl ThreadTimer {
    /// The timer of the calling thread, made at first use (and again after a fork or a change of the signal).
    pub(super) fn current() -> Result<Rc<Self>, HostError> {
        TIMER.with_borrow_mut(|slot| {
            if let Some(timer) = slot
                && timer.process == process()
                && timer.id.signal == chosen_signal()
            {
                return Ok(Rc::clone(timer));
            }
            let timer = Rc::new(Self::new()?);
            *slot = Some(Rc::clone(&timer));
            Ok(timer)
        })
    }

    fn new() -> Result<Self, HostError> {
        let (thread, signal) = (rustix::thread::gettid().as_raw_nonzero().get(), chosen_signal());
        // SAFETY: all-zero bytes are a valid sigevent.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal;
        event.sigev_notify_thread_id = thread;
        event.sigev_value.sival_ptr = (&raw const COOKIE).cast_mut().cast();
        let mut timer: libc::timer_t = std::ptr::null_mut();
        seam::call(HostCall::TimerCreate, || {
            // SAFETY: the kernel reads one sigevent and writes one timer id.
            seam::check(unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) })
        })?;
        let id = ThreadId { thread, signal, timer: timer.addr() };
        Ok(Self { id, process: process(), timer, notices: OnceCell::new(), owner: Cell::new(0), armed: Cell::new(0) })
    }

    pub(super) fn id(&self) -> ThreadId {
        self.id
    }

    /// True if the timer still stands as `run` armed it.
    pub(super) fn is_armed_by(&self, run: u64) -> bool {
        self.owner.get() == run
    }

    /// Sends the kick at `at` on `CLOCK_MONOTONIC`, for `run`.
    ///
    /// A timer that stands from an earlier run, and comes no later, is good enough: the run it interrupts too early arms it again.
    pub(super) fn arm(&self, run: u64, at: Nanos) -> Result<(), HostError> {
        // Zero would disarm.
        let at = at.max(1);
        if self.armed.get() > at || self.armed.get() <= clock::monotonic() {
            self.armed.set(0);
            self.set(at)?;
            self.armed.set(at);
        }
        self.owner.set(run);
        Ok(())
    }

    /// The timer may have fired, or may have been fired: it has to be armed again.
    pub(super) fn forget(&self) {
        self.owner.set(0);
        self.armed.set(0);
    }

    /// The end of `run`: the timer stays if it may fire between two runs. True if no kick of its own has to be taken away.
    pub(super) fn leave(&self, run: u64) -> bool {
        if self.id.signal != IGNORED {
            return self.disarm(run);
        }
        if self.is_armed_by(run) {
            self.owner.set(0);
        }
        true
    }

    fn set(&self, at: Nanos) -> Result<bool, HostError> {
        seam::call(HostCall::TimerSet, || set_timer(self.timer, at))
    }

    /// Stops the timer if `run` was the last to arm it. True if it has certainly sent no kick.
    pub(super) fn disarm(&self, run: u64) -> bool {
        self.is_armed_by(run) && self.stop()
    }

    /// Stops the timer, whoever armed it; an outer run on this thread arms it again.
    ///
    /// True if it had not fired: so it never will.
    pub(super) fn stop(&self) -> bool {
        self.forget();
        // A timer that cannot be stopped fires once into the drain below or into a later run, which decides by the clock.
        self.set(0).is_ok_and(|left| left)
    }

    /// A descriptor that is readable while a kick is pending for the calling thread: signalfd(2).
    pub(super) fn notices(&self) -> Result<BorrowedFd<'_>, HostError> {
        if let Some(fd) = self.notices.get() {
            return Ok(fd.as_fd());
        }
        let set = only(self.id.signal);
        let fd = seam::call(HostCall::SignalFd, || {
            // SAFETY: the kernel reads one signal set and makes a new descriptor.
            seam::check(unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) })
        })?;
        // SAFETY: the descriptor was just made and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(self.notices.get_or_init(|| fd).as_fd())
    }
}

impl Drop for ThreadTimer {
    fn drop(&mut self) {
        // After a fork the timer does not exist in the child, and its number could be another's.
        if self.process == process() {
            // SAFETY: the timer is ours and is not used again.
            unsafe { libc::timer_delete(self.timer) };
        }
    }
}

/// The kick signal, and SIGPIPE for runs that write to pipes, blocked on this thread until drop; drop takes what is pending of ours away
/// and restores the thread's mask.
#[derive(Debug)]
pub(super) struct Blocked {
    id: ThreadId,
    before: libc::sigset_t,
    /// SIGPIPE is blocked, and none was pending before: what is pending at the end is ours to take away.
    takes_pipe: bool,
    /// No kick can be pending.
    quiet: Cell<bool>,
    /// Kicks that are not ours.
    foreign: RefCell<Vec<SignalInfo>>,
}

impl Blocked {
    pub(super) fn new(id: ThreadId, pipes: bool) -> Result<Self, HostError> {
        let mut set = only(id.signal);
        if pipes {
            add(&mut set, libc::SIGPIPE);
        }
        let mut before = empty();
        seam::call(HostCall::SignalMask, || {
            // SAFETY: both sets are initialised and live across the call.
            match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before) } {
                0 => Ok(()),
                errno => Err(io::Error::from_raw_os_error(errno)),
            }
        })?;
        let mut pending = empty();
        if pipes {
            // SAFETY: the kernel writes one signal set.
            unsafe { libc::sigpending(&raw mut pending) };
        }
        let takes_pipe = pipes && !contains(&pending, libc::SIGPIPE);
        Ok(Self { id, before, takes_pipe, quiet: Cell::new(false), foreign: RefCell::default() })
    }

    /// The mask for `KVM_RUN`: the thread's own and SIGPIPE, with the kick let in. Bit n - 1 is signal n.
    pub(super) fn mask_inside(&self) -> u64 {
        // A SIGPIPE that is pending must not interrupt every entry.
        (word(&self.before) | 1 << (libc::SIGPIPE - 1)) & !self.kick_bit()
    }

    /// The kick's bit in a 64-bit signal set.
    pub(super) fn kick_bit(&self) -> u64 {
        1 << (self.id.signal - 1)
    }

    /// Says that nobody has sent a kick that was not drained yet, nor will: the end need not look.
    pub(super) fn set_quiet(&self) {
        self.quiet.set(true);
    }

    /// Takes pending kicks away; true if one of them was ours. What is not ours is put back at the end.
    pub(super) fn drain(&self) -> bool {
        self.take(&only(self.id.signal))
    }

    fn take(&self, set: &libc::sigset_t) -> bool {
        let mut foreign = self.foreign.borrow_mut();
        let mut ours = false;
        while let Some(info) = take_pending(set) {
            if info.is_ours() {
                ours = true;
            } else if foreign.len() < MAX_FOREIGN {
                foreign.push(info);
            }
        }
        ours
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        if !self.quiet.get() {
            self.drain();
        }
        if self.takes_pipe {
            self.take(&only(libc::SIGPIPE));
        }
        for info in self.foreign.get_mut() {
            // As it was; if the queue is full by now, the sender's own next signal would have been lost as well.
            let _ = queue(self.id.thread, info);
        }
        // SAFETY: the set is the one that the kernel filled.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut()) };
    }
}

/// Runs `body` with every signal blocked on this thread; those that come meanwhile are delivered afterwards.
pub(super) fn with_signals_waiting<T>(body: impl FnOnce() -> T) -> Result<T, HostError> {
    let (mut all, mut before) = (empty(), empty());
    // SAFETY: the set is initialised.
    unsafe { libc::sigfillset(&raw mut all) };
    seam::call(HostCall::SignalMask, || {
        // SAFETY: both sets are initialised and live across the call.
        match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before) } {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    })?;
    let result = body();
    // SAFETY: the set is the one that the kernel filled. `body` makes one kernel call and cannot panic.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut()) };
    Ok(result)
}

fn take_pending(set: &libc::sigset_t) -> Option<SignalInfo> {
    let mut info = SignalInfo { signal: 0, errno: 0, code: 0, padding: 0, sender: 0, user: 0, value: 0, rest: [0; 12] };
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one siginfo_t, whose size SignalInfo has and all of whose bytes are plain integers.
    let signal = unsafe { libc::sigtimedwait(set, (&raw mut info).cast(), &raw const now) };
    (signal > 0).then_some(info)
}

fn empty() -> libc::sigset_t {
    // SAFETY: all-zero bytes are a valid (empty) signal set on Linux.
    unsafe { std::mem::zeroed() }
}

fn only(signal: i32) -> libc::sigset_t {
    let mut set = empty();
    add(&mut set, signal);
    set
}

fn add(set: &mut libc::sigset_t, signal: i32) {
    // SAFETY: the set is initialised; an unknown signal number is answered with -1.
    unsafe { libc::sigaddset(set, signal) };
}

/// The kernel's 64 signals of a set: bit n - 1 is signal n.
fn word(set: &libc::sigset_t) -> u64 {
    // SAFETY: the C library's set begins with the kernel's, eight bytes on x86-64, and is aligned for them.
    unsafe { std::ptr::from_ref(set).cast::<u64>().read() }
}

fn contains(set: &libc::sigset_t, signal: i32) -> bool {
    // SAFETY: as above.
    unsafe { libc::sigismember(set, signal) == 1 }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn pending(signal: i32) -> bool {
        let mut set = empty();
        // SAFETY: the kernel writes one signal set.
        unsafe { libc::sigpending(&raw mut set) };
        contains(&set, signal)
    }

    #[test]
    fn a_write_without_a_reader_leaves_no_sigpipe_behind() {
        let id = ThreadTimer::current().unwrap().id();
        // Blocked outside as well, so that what is left pending would be seen.
        let _outer = Blocked::new(id, true).unwrap();
        {
            let blocked = Blocked::new(id, true).unwrap();
            assert_eq!(blocked.mask_inside() >> (libc::SIGPIPE - 1) & 1, 1);
            let (reader, mut writer) = std::io::pipe().unwrap();
            drop(reader);
            assert_eq!(writer.write(b"x").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
            assert!(pending(libc::SIGPIPE));
        }
        assert!(!pending(libc::SIGPIPE));
    }

    #[test]
    fn somebody_elses_kick_is_kept_aside_and_put_back_at_the_end() {
        let id = ThreadTimer::current().unwrap().id();
        let outer = Blocked::new(id, true).unwrap();
        {
            let blocked = Blocked::new(id, true).unwrap();
            // SAFETY: no memory is passed; the signal is blocked.
            unsafe { libc::syscall(libc::SYS_tgkill, process(), id.thread, id.signal) };
            assert!(pending(id.signal));
            blocked.drain();
            assert!(!pending(id.signal), "or it would interrupt every entry");
        }
        assert!(pending(id.signal));
        assert!(!take_pending(&only(id.signal)).unwrap().is_ours());
        drop(outer);
    }

    #[test]
    fn a_threads_timer_can_be_fired_from_another_thread_and_is_ours() {
        let timer = ThreadTimer::current().unwrap();
        let (id, blocked) = (timer.id(), Blocked::new(timer.id(), true).unwrap());
        timer.arm(1, Nanos::MAX).unwrap();
        std::thread::spawn(move || fire(id)).join().unwrap();
        let began = std::time::Instant::now();
        while !pending(id.signal) {
            assert!(began.elapsed() < std::time::Duration::from_secs(10));
        }
        assert!(take_pending(&only(id.signal)).unwrap().is_ours());
        timer.disarm(1);
        drop(blocked);
    }
}
