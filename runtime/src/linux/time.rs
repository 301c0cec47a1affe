//! Time: the host's clocks, and sleeping within the run's limits.

use rustix::io::Errno;
use rustix::time::{ClockId, clock_getres, clock_gettime};

use super::Kernel;
use super::reply::Reply;
use crate::vm::clock::{self, Nanos};

const CLOCK_REALTIME: u64 = 0;
const CLOCK_MONOTONIC: u64 = 1;
const CLOCK_PROCESS_CPUTIME_ID: u64 = 2;
const CLOCK_THREAD_CPUTIME_ID: u64 = 3;
const CLOCK_MONOTONIC_RAW: u64 = 4;
const CLOCK_REALTIME_COARSE: u64 = 5;
const CLOCK_MONOTONIC_COARSE: u64 = 6;
const CLOCK_BOOTTIME: u64 = 7;

const TIMER_ABSTIME: u64 = 1;
const SECOND: Nanos = 1_000_000_000;

/// The host's clock behind a number; none for the CPU clocks, which are the run's own.
fn host_clock(number: u64) -> Result<Option<ClockId>, Errno> {
    Ok(Some(match number {
        CLOCK_REALTIME => ClockId::Realtime,
        CLOCK_MONOTONIC => ClockId::Monotonic,
        CLOCK_MONOTONIC_RAW => ClockId::MonotonicRaw,
        CLOCK_REALTIME_COARSE => ClockId::RealtimeCoarse,
        CLOCK_MONOTONIC_COARSE => ClockId::MonotonicCoarse,
        CLOCK_BOOTTIME => ClockId::Boottime,
        CLOCK_PROCESS_CPUTIME_ID | CLOCK_THREAD_CPUTIME_ID => return Ok(None),
        _ => return Err(Errno::INVAL),
    }))
}

impl Kernel<'_> {
    fn now(&self, number: u64) -> Result<[u64; 2], Errno> {
        let Some(clock) = host_clock(number)? else {
            let used = self.watch.cpu_used_exactly();
            return Ok([used / SECOND, used % SECOND]);
        };
        let time = clock_gettime(clock);
        Ok([u64::from_le_bytes(time.tv_sec.to_le_bytes()), u64::from_le_bytes(time.tv_nsec.to_le_bytes())])
    }

    pub(super) fn sys_clock_gettime(&mut self, clock: u64, to: u64) -> Reply {
        let now = self.now(clock)?;
        self.write_words(to, &now)?;
        Ok(0)
    }

    pub(super) fn sys_clock_getres(&mut self, clock: u64, to: u64) -> Reply {
        let resolution = match host_clock(clock)? {
            Some(clock) => u64::try_from(clock_getres(clock).tv_nsec).unwrap_or(1),
            None => 1,
        };
        if to != 0 {
            self.write_words(to, &[0, resolution])?;
        }
        Ok(0)
    }

    pub(super) fn sys_gettimeofday(&mut self, to: u64, zone: u64) -> Reply {
        let [seconds, nanos] = self.now(CLOCK_REALTIME)?;
        if to != 0 {
            self.write_words(to, &[seconds, nanos / 1000])?;
        }
        if zone != 0 {
            self.write_words(zone, &[0])?;
        }
        Ok(0)
    }

    pub(super) fn sys_time(&mut self, to: u64) -> Reply {
        let [seconds, _] = self.now(CLOCK_REALTIME)?;
        if to != 0 {
            self.write_words(to, &[seconds])?;
        }
        Ok(seconds)
    }

    /// times(2): user time only, in ticks of 10 ms.
    pub(super) fn sys_times(&mut self, to: u64) -> Reply {
        const TICK: Nanos = SECOND / 100;
        if to != 0 {
            let used = self.watch.cpu_used_exactly() / TICK;
            self.write_words(to, &[used, 0, 0, 0])?;
        }
        Ok(clock::monotonic() / TICK)
    }

    pub(super) fn sys_nanosleep(&mut self, request: u64) -> Reply {
        let span = self.read_timeout(request)?.ok_or(Errno::FAULT)?;
        self.sleep_until(clock::monotonic().saturating_add(span))
    }

    pub(super) fn sys_clock_nanosleep(&mut self, number: u64, flags: u64, request: u64) -> Reply {
        let clock = host_clock(number)?.ok_or(Errno::INVAL)?;
        let request = self.read_timeout(request)?.ok_or(Errno::FAULT)?;
        let from = clock::monotonic();
        if flags & TIMER_ABSTIME == 0 {
            return self.sleep_until(from.saturating_add(request));
        }
        let now = clock_gettime(clock);
        let now =
            Nanos::try_from(now.tv_sec).unwrap_or(0).saturating_mul(SECOND) + Nanos::try_from(now.tv_nsec).unwrap_or(0);
        self.sleep_until(from.saturating_add(request.saturating_sub(now)))
    }

    /// No signal can come while the program sleeps, so that it always sleeps to the end.
    pub(super) fn sleep_until(&mut self, until: Nanos) -> Reply {
        self.watch.wait(&[], Some(until))?;
        Ok(0)
    }

    pub(super) fn sys_getrusage(&mut self, who: u64, to: u64) -> Reply {
        const SELF: i32 = 0;
        const CHILDREN: i32 = -1;
        const THREAD: i32 = 1;
        let used = match super::descriptor(who) {
            SELF | THREAD => self.watch.cpu_used_exactly(),
            CHILDREN => 0,
            _ => return Err(Errno::INVAL.into()),
        };
        let mut usage = [0; 18];
        let resident = self.machine.frames.peak() * 4;
        for (word, value) in usage.iter_mut().zip([used / SECOND, used % SECOND / 1000, 0, 0, resident]) {
            *word = value;
        }
        self.write_words(to, &usage)?;
        Ok(0)
    }
}
