//! Where a program's time and randomness come from: the host, or a state of the program's own that nothing outside moves.
//!
//! ```text
//!                 clock_gettime, times, getrusage, …     nanosleep, futex, poll        getrandom, /dev/urandom, AT_RANDOM, SEED
//! Real            the host's clocks                      really waits                  the host's randomness
//! Frozen          always the same instant                over at once, moves nothing   a stream, always the same
//! Deterministic   the same start, then 1 µs a reading    over at once, moves by it     a stream, the seed's
//! ```
//! The state is plain data in the process: a copy of the process reads the same times and takes the same bytes as the original.

mod state;

use rustix::io::Errno;

use super::chacha::{Stream, halves};
use super::random;
use crate::vm::clock::Nanos;

/// Where a program's time and randomness come from.
///
/// ```no_run
/// use ampoule::{Command, Program, Sources};
///
/// let program = Program::from_file("simulation")?;
/// let once = Command::new(&program).sources(Sources::Deterministic(7)).output()?;
/// let again = Command::new(&program).sources(Sources::Deterministic(7)).output()?;
/// assert_eq!(once.stdout, again.stdout);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # With `Frozen` and `Deterministic`
/// - Clocks begin at a fixed instant: `CLOCK_REALTIME` at 2000-01-01T00:00:00Z; `CLOCK_MONOTONIC` and `CLOCK_BOOTTIME`, and with them what
///   `times` and `sysinfo` call the uptime, at one hour; the CPU-time clocks, `times` and `getrusage` at 0.
/// - Random bytes – `getrandom`, `/dev/random` and `/dev/urandom`, `AT_RANDOM`, a plugin's seed – are one ChaCha20 stream, in the order in
///   which the program takes them. Whoever knows the variant and the seed knows them all: they make no keys.
/// - A sleep, or any wait that nothing but its time-out can end, is over at once. A `poll` on a stream that is a file, a pipe or a terminal
///   outside really waits, for at most its time-out: what it waits for comes from outside.
/// - [`Limits`](crate::Limits) and [`Call`](crate::Call) count the host's time, as ever. The program does not see it: a plugin is told that
///   its calls have no deadline.
/// - A program does the same again if what else it takes in is the same: arguments, files, what host functions return, and streams with the
///   pieces that they come in. Where a limit stops it, a transfer of more than 64 KiB may come out short, after which it goes on as usual.
/// - Another version of Ampoule may have another stream for the same seed.
///
/// # What cannot be hidden
/// The processor's own instructions need no system call: `rdtsc` and `rdtscp` read the host's time-stamp counter, `rdrand` and `rdseed` give
/// the hardware's randomness, and `cpuid` tells processors apart. A thread outside that writes to shared memory, as that of a
/// [`Live`](crate::Live) sandbox does, is a clock, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Sources {
    /// The host's clocks, which sleeping waits for, and the host's randomness.
    #[default]
    Real,
    /// Every clock stands still, and random bytes are the same in every run.
    ///
    /// A sleep is over at once and moves nothing. A program that waits in a loop until a clock has moved never comes out of it: its run ends by
    /// its limits.
    Frozen,
    /// Every reading of a clock moves all of them by 1 µs; sleeping, and time-outs, by the time slept. Random bytes come from this seed.
    ///
    /// CPU time is the readings without the sleeps.
    Deterministic(u64),
}

/// `CLOCK_REALTIME` at the start: 2000-01-01T00:00:00Z.
const REALTIME: Nanos = 946_684_800_000_000_000;
/// `CLOCK_MONOTONIC` at the start: an hour, so that a program may subtract from it.
const MONOTONIC: Nanos = 3_600_000_000_000;
/// What a reading takes: a loop that waits for some milliseconds comes to its end, and two readings are never the same.
const READING: Nanos = 1_000;

/// What a process takes its time and randomness from, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Supply {
    /// The host.
    Host,
    /// Itself.
    Own(Clock, Stream),
}

/// A clock that only the program moves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Clock {
    is_frozen: bool,
    /// Time since the start…
    elapsed: Nanos,
    /// …and how much of it was slept.
    slept: Nanos,
}

/// What all of a program's clocks show at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Since 1970.
    pub(crate) realtime: Nanos,
    /// Since what the program takes for the boot.
    pub(crate) monotonic: Nanos,
    /// CPU time.
    pub(crate) cpu: Nanos,
}

impl Clock {
    fn now(&self) -> Reading {
        Reading {
            realtime: REALTIME.saturating_add(self.elapsed),
            monotonic: MONOTONIC.saturating_add(self.elapsed),
            cpu: self.elapsed.saturating_sub(self.slept),
        }
    }

    fn advance(&mut self, span: Nanos) {
        if !self.is_frozen {
            self.elapsed = self.elapsed.saturating_add(span);
        }
    }
}

/// The key of a program's stream. The kind is a part of it: no seed has the stream of a frozen program.
fn key(is_frozen: bool, seed: u64) -> [[u32; 4]; 2] {
    let [low, high] = halves(seed);
    [[low, high, u32::from(!is_frozen), 0], [0; 4]]
}

impl Supply {
    /// What a process starts with.
    pub(crate) fn new(sources: Sources) -> Self {
        let own = |is_frozen, seed| {
            Self::Own(Clock { is_frozen, ..Clock::default() }, Stream::after(key(is_frozen, seed), 0))
        };
        match sources {
            Sources::Real => Self::Host,
            Sources::Frozen => own(true, 0),
            Sources::Deterministic(seed) => own(false, seed),
        }
    }

    /// The program reads a clock; nothing if that is the host's.
    pub(crate) fn read(&mut self) -> Option<Reading> {
        let Self::Own(clock, _) = self else { return None };
        let now = clock.now();
        clock.advance(READING);
        Some(now)
    }

    /// What the program would read, without its reading; nothing if that is the host's.
    pub(crate) fn now(&self) -> Option<Reading> {
        match self {
            Self::Host => None,
            Self::Own(clock, _) => Some(clock.now()),
        }
    }

    /// The program has slept. The host's clocks need not be told.
    pub(crate) fn slept(&mut self, span: Nanos) {
        if let Self::Own(clock, _) = self {
            let before = clock.elapsed;
            clock.advance(span);
            clock.slept = clock.slept.saturating_add(clock.elapsed - before);
        }
    }

    /// True if waiting really takes time.
    pub(crate) fn is_host(&self) -> bool {
        matches!(self, Self::Host)
    }

    /// Fills `buf` with the next random bytes.
    pub(crate) fn fill(&mut self, buf: &mut [u8]) -> Result<(), Errno> {
        match self {
            Self::Host => random::fill(buf),
            Self::Own(_, stream) => {
                stream.fill(buf);
                Ok(())
            }
        }
    }

    /// The same for a few bytes that the host writes into the guest.
    pub(crate) fn fill_small(&mut self, buf: &mut [u8]) -> Result<(), Errno> {
        if self.is_host() { random::fill_small(buf) } else { self.fill(buf) }
    }

    /// A deadline on the host's `CLOCK_MONOTONIC`, in the program's; none if that has nothing to do with the host's.
    pub(crate) fn deadline(&self, at: Nanos) -> Nanos {
        if self.is_host() { at } else { Nanos::MAX }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    fn bytes<const N: usize>(supply: &mut Supply) -> [u8; N] {
        let mut bytes = [0; N];
        supply.fill(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_hosts_clocks_are_not_ours_and_its_randomness_is_never_the_same() {
        let mut host = Supply::new(Sources::default());
        host.slept(SECOND);
        assert_eq!((host.read(), host.now(), host.deadline(5)), (None, None, 5));
        assert_ne!(bytes::<32>(&mut host), bytes::<32>(&mut host.clone()));
    }

    #[test]
    fn a_frozen_clock_stands_still_whatever_is_read_or_slept() {
        let mut frozen = Supply::new(Sources::Frozen);
        let start = Reading { realtime: 946_684_800 * SECOND, monotonic: 3600 * SECOND, cpu: 0 };
        for _ in 0..3 {
            assert_eq!(frozen.read(), Some(start));
            frozen.slept(SECOND);
        }
        assert_eq!(frozen.deadline(5), u64::MAX);
    }

    #[test]
    fn a_deterministic_clock_moves_by_a_microsecond_a_reading_and_by_what_was_slept() {
        let mut supply = Supply::new(Sources::Deterministic(1));
        let start = Supply::new(Sources::Frozen).now().unwrap();
        assert_eq!(supply.read(), Some(start));
        assert_eq!(
            supply.now(),
            Some(Reading { realtime: start.realtime + 1000, monotonic: start.monotonic + 1000, cpu: 1000 })
        );
        supply.slept(5 * SECOND);
        let later = supply.read().unwrap();
        assert_eq!((later.monotonic - start.monotonic, later.cpu), (5 * SECOND + 1000, 1000));
        supply.slept(u64::MAX);
        let end = supply.read().unwrap();
        assert_eq!((end.monotonic, end.realtime), (u64::MAX, u64::MAX), "the end of time is its end");
        assert_eq!(supply.read(), Some(end));
        assert_eq!(supply.deadline(5), u64::MAX);
    }

    #[test]
    fn a_seed_has_one_stream_and_no_other_has_it() {
        let all =
            [Sources::Frozen, Sources::Deterministic(0), Sources::Deterministic(1), Sources::Deterministic(1 << 32)];
        let streams = all.map(|sources| bytes::<64>(&mut Supply::new(sources)));
        assert_eq!(streams, all.map(|sources| bytes::<64>(&mut Supply::new(sources))));
        for (index, stream) in streams.iter().enumerate() {
            assert!(!streams[..index].contains(stream), "{:?}", all[index]);
        }
    }

    #[test]
    fn a_copy_goes_on_as_the_original_does() {
        let mut supply = Supply::new(Sources::Deterministic(3));
        bytes::<5>(&mut supply);
        supply.read();
        supply.slept(SECOND);
        let mut copy = supply.clone();
        assert_eq!(copy.read(), supply.read());
        assert_eq!(bytes::<100>(&mut copy), bytes::<100>(&mut supply));
    }
}
