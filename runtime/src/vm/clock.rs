//! Time as the limits see it: nanoseconds on two clocks, saturating.

use rustix::time::{ClockId, Timespec};

/// A point on, or a span of, a clock: nanoseconds. 584 years fit.
pub(crate) type Nanos = u64;

/// `CLOCK_MONOTONIC`: answered by the vDSO, some 30 ns.
pub(crate) fn monotonic() -> Nanos {
    nanos(rustix::time::clock_gettime(ClockId::Monotonic))
}

/// `CLOCK_REALTIME`, in the same way; before 1970 is 1970.
pub(crate) fn realtime() -> Nanos {
    nanos(rustix::time::clock_gettime(ClockId::Realtime))
}

/// CPU time that this thread used, in the guest and in the host: a system call, some 200 ns.
pub(crate) fn thread_cpu() -> Nanos {
    nanos(rustix::time::clock_gettime(ClockId::ThreadCPUTime))
}

/// CPU time that a thread of this process used; 0 if there is no such thread. The clock's number is made of the thread's as
/// `pthread_getcpuclockid` makes it (Linux include/linux/posix-timers.h, `CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED`).
pub(crate) fn cpu_of_thread(thread: u32) -> Nanos {
    const OF_A_THREAD: u32 = 4 | 2;
    let clock = (!thread << 3 | OF_A_THREAD).cast_signed();
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec, or none and an error.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    nanos(Timespec { tv_sec: time.tv_sec, tv_nsec: time.tv_nsec })
}

/// A duration on these clocks; one that does not fit lasts forever.
pub(crate) fn from_duration(duration: std::time::Duration) -> Nanos {
    Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}

/// The kernel's form of a point in time.
pub(crate) fn timespec(at: Nanos) -> Timespec {
    const SECOND: Nanos = 1_000_000_000;
    Timespec {
        tv_sec: i64::try_from(at / SECOND).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(at % SECOND).unwrap_or(0),
    }
}

/// A clock's reading; before its start is its start.
pub(crate) fn nanos(time: Timespec) -> Nanos {
    let seconds = Nanos::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(Nanos::try_from(time.tv_nsec).unwrap_or(0))
}
