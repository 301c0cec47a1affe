//! Time: the host's clocks or the program's own ([`super::sources`]), and sleeping within the run's limits.

use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::Kernel;
use super::reply::Reply;
use super::sources::Reading;
use crate::vm::clock::{self, Nanos};
use crate::vm::error::HostError;
use crate::vm::parked::Done;

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

/// The host's clock behind a number; none for the CPU clocks, which are the run's own. The coarse clocks are for who wants to save the time
/// that others take to read, and here they take the same.
fn host_clock(number: u64) -> Result<Option<ClockId>, Errno> {
    Ok(Some(match number {
        CLOCK_REALTIME | CLOCK_REALTIME_COARSE => ClockId::Realtime,
        CLOCK_MONOTONIC | CLOCK_MONOTONIC_COARSE => ClockId::Monotonic,
        CLOCK_MONOTONIC_RAW => ClockId::MonotonicRaw,
        CLOCK_BOOTTIME => ClockId::Boottime,
        CLOCK_PROCESS_CPUTIME_ID | CLOCK_THREAD_CPUTIME_ID => return Ok(None),
        _ => return Err(Errno::INVAL),
    }))
}

/// What one of the clocks shows; none is the CPU clock.
fn shown(now: Reading, clock: Option<ClockId>) -> Nanos {
    match clock {
        Some(ClockId::Realtime) => now.realtime,
        Some(_) => now.monotonic,
        None => now.cpu,
    }
}

fn split(time: Nanos) -> [u64; 2] {
    [time / SECOND, time % SECOND]
}

impl Kernel<'_> {
    fn now(&mut self, number: u64) -> Result<[u64; 2], Errno> {
        let clock = host_clock(number)?;
        if let Some(now) = self.process.supply.read() {
            return Ok(split(shown(now, clock)));
        }
        let Some(clock) = clock else {
            return Ok(split(self.watch.cpu_used_exactly()));
        };
        Ok(split(match clock {
            ClockId::Realtime => self.machine.tell_time().realtime,
            ClockId::Monotonic => self.machine.tell_time().monotonic,
            other => clock::nanos(clock_gettime(other)),
        }))
    }

    /// Before each entry, at `now` on the host's `CLOCK_MONOTONIC`.
    pub(crate) fn show_clock(&mut self, now: Nanos) -> Result<(), HostError> {
        let is_hosts = self.process.supply.is_host();
        self.machine.show_clock(is_hosts, now)
    }

    pub(super) fn sys_clock_gettime(&mut self, clock: u64, to: u64) -> Reply {
        let now = self.now(clock)?;
        self.write_words(to, &now)?;
        Ok(0)
    }

    pub(super) fn sys_clock_getres(&mut self, clock: u64, to: u64) -> Reply {
        host_clock(clock)?;
        if to != 0 {
            self.write_words(to, &[0, 1])?;
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
        let own = self.process.supply.read();
        if to != 0 {
            let used = own.map_or_else(|| self.watch.cpu_used_exactly(), |now| now.cpu);
            self.write_words(to, &[used / TICK, 0, 0, 0])?;
        }
        Ok(own.map_or_else(clock::monotonic, |now| now.monotonic) / TICK)
    }

    pub(super) fn sys_nanosleep(&mut self, request: u64) -> Reply {
        let span = self.read_timeout(request)?.ok_or(Errno::FAULT)?;
        self.sleep(span)
    }

    pub(super) fn sys_clock_nanosleep(&mut self, number: u64, flags: u64, request: u64) -> Reply {
        let clock = host_clock(number)?.ok_or(Errno::INVAL)?;
        let request = self.read_timeout(request)?.ok_or(Errno::FAULT)?;
        self.sleep(if flags & TIMER_ABSTIME == 0 { request } else { self.until(clock, request) })
    }

    /// How long it is until one of the clocks shows `at`; the program does not see that it was read.
    pub(super) fn until(&self, clock: ClockId, at: Nanos) -> Nanos {
        let now = match self.process.supply.now() {
            Some(now) => shown(now, Some(clock)),
            None => clock::nanos(clock_gettime(clock)),
        };
        at.saturating_sub(now)
    }

    /// When a wait is over that the system call begins now, or began when it was first served.
    pub(super) fn end_of_wait(&mut self, span: Nanos) -> Nanos {
        *self.process.waits_until.get_or_insert_with(|| clock::monotonic().saturating_add(span))
    }

    /// No signal can come while the program sleeps, so that it always sleeps to the end.
    pub(super) fn sleep(&mut self, span: Nanos) -> Reply {
        if self.process.supply.is_host() {
            self.machine.clock_was_waited_for();
            let until = self.end_of_wait(span);
            self.watch.wait_in_call(Done::Nothing, &[], Some(until))?;
        } else {
            self.watch.check()?;
            self.process.supply.slept(span);
        }
        Ok(0)
    }

    pub(super) fn sys_getrusage(&mut self, who: u64, to: u64) -> Reply {
        const SELF: i32 = 0;
        const CHILDREN: i32 = -1;
        const THREAD: i32 = 1;
        let used = match super::descriptor(who) {
            SELF | THREAD => match self.process.supply.read() {
                Some(now) => now.cpu,
                None => self.watch.cpu_used_exactly(),
            },
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
