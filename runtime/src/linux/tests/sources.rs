//! Where time and randomness come from, as system calls show it.

use std::io::Write;
use std::time::Duration;

use rustix::io::Errno;

use super::*;
use crate::end::{End, Limit};

const POLL: u64 = 7;
const NANOSLEEP: u64 = 35;
const GETTIMEOFDAY: u64 = 96;
const GETRUSAGE: u64 = 98;
const SYSINFO: u64 = 99;
const TIMES: u64 = 100;
const TIME: u64 = 201;
const FUTEX: u64 = 202;
const CLOCK_GETTIME: u64 = 228;
const CLOCK_GETRES: u64 = 229;
const CLOCK_NANOSLEEP: u64 = 230;
const GETRANDOM: u64 = 318;

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3600;
/// 2000-01-01T00:00:00Z.
const YEAR_2000: u64 = 946_684_800;
const REALTIME: u64 = 0;
const MONOTONIC: u64 = 1;
const CPU: u64 = 2;
const ABSOLUTE: u64 = 1;
const WAIT_BITSET: u64 = 9;
const ON_REALTIME: u64 = 256;

/// Where the program keeps what it gives and gets.
const AT: u64 = DATA + 0x100;

fn rig(sources: Sources) -> Rig {
    Rig::with_sources(2048, sources)
}

impl Rig {
    fn clock(&mut self, number: u64) -> u64 {
        assert_eq!(self.call(CLOCK_GETTIME, &[number, AT]), 0);
        self.word(AT) * SECOND + self.word(AT + 8)
    }

    /// What its monotonic clock shows, without a reading.
    fn elapsed(&self) -> u64 {
        self.process.supply.now().unwrap().monotonic - HOUR * SECOND
    }

    fn random(&mut self, length: u64) -> Vec<u8> {
        assert_eq!(self.call(GETRANDOM, &[AT, length, 0]), i64::try_from(length).unwrap());
        (0..length.div_ceil(8)).flat_map(|word| self.word(AT + word * 8).to_le_bytes()).collect()
    }
}

#[test]
fn every_clock_of_a_frozen_program_stands_at_the_documented_instant() {
    let mut rig = rig(Sources::Frozen);
    for _ in 0..2 {
        for (number, seconds) in (0..).zip([YEAR_2000, HOUR, 0, 0, HOUR, YEAR_2000, HOUR, HOUR]) {
            assert_eq!(rig.clock(number), seconds * SECOND, "clock {number}");
        }
        assert_eq!(rig.call(TIME, &[0]).cast_unsigned(), YEAR_2000);
        assert_eq!((rig.call(GETTIMEOFDAY, &[AT, 0]), rig.word(AT), rig.word(AT + 8)), (0, YEAR_2000, 0));
        assert_eq!((rig.call(TIMES, &[AT]).cast_unsigned(), rig.word(AT)), (HOUR * 100, 0));
        assert_eq!((rig.call(GETRUSAGE, &[0, AT]), rig.word(AT), rig.word(AT + 8)), (0, 0, 0));
        assert_eq!((rig.call(SYSINFO, &[AT]), rig.word(AT)), (0, HOUR));
        rig.put_words(AT, &[HOUR, 5]);
        assert_eq!(rig.call(NANOSLEEP, &[AT, 0]), 0);
    }
}

#[test]
fn every_way_to_tell_the_time_is_a_reading_of_a_microsecond() {
    let mut rig = rig(Sources::Deterministic(1));
    let readings: [(u64, &[u64]); 6] = [
        (CLOCK_GETTIME, &[CPU, AT]),
        (GETTIMEOFDAY, &[AT, 0]),
        (TIME, &[0]),
        (TIMES, &[AT]),
        (GETRUSAGE, &[0, AT]),
        (SYSINFO, &[AT]),
    ];
    for (count, (number, arguments)) in (1..).zip(readings) {
        assert!(rig.call(number, arguments) >= 0);
        assert_eq!(rig.elapsed(), count * 1000, "system call {number}");
    }
    assert_eq!(rig.clock(REALTIME), YEAR_2000 * SECOND + 6000);
    assert_eq!(rig.clock(MONOTONIC), HOUR * SECOND + 7000);
    assert_eq!(rig.clock(CPU), 8000);
    assert_eq!(rig.call(CLOCK_GETTIME, &[99, AT]), -i64::from(Errno::INVAL.raw_os_error()));
    assert_eq!(rig.elapsed(), 9000, "what there is not is not read");
}

#[test]
fn the_hosts_resolution_is_not_shown() {
    for sources in [Sources::Frozen, Sources::Deterministic(1)] {
        let mut rig = rig(sources);
        for clock in 0..8 {
            assert_eq!((rig.call(CLOCK_GETRES, &[clock, AT]), rig.word(AT), rig.word(AT + 8)), (0, 0, 1));
        }
    }
}

/// Every wait that only its time-out ends, with an hour to wait, and what it returns.
fn waits(now: u64) -> [(u64, [u64; 6], [u64; 2], i64); 8] {
    let timed_out = -i64::from(Errno::TIMEDOUT.raw_os_error());
    let (monotonic, realtime) = (HOUR + now, YEAR_2000 + now);
    let futex = |operation| [AT + 64, operation, 0, AT, 0, 1];
    [
        (NANOSLEEP, [AT, 0, 0, 0, 0, 0], [HOUR, 0], 0),
        (CLOCK_NANOSLEEP, [REALTIME, 0, AT, 0, 0, 0], [HOUR, 0], 0),
        (CLOCK_NANOSLEEP, [MONOTONIC, ABSOLUTE, AT, 0, 0, 0], [monotonic + HOUR, 0], 0),
        (CLOCK_NANOSLEEP, [REALTIME, ABSOLUTE, AT, 0, 0, 0], [realtime + HOUR, 0], 0),
        (FUTEX, futex(0), [HOUR, 0], timed_out),
        (FUTEX, futex(WAIT_BITSET), [monotonic + HOUR, 0], timed_out),
        (FUTEX, futex(WAIT_BITSET | ON_REALTIME), [realtime + HOUR, 0], timed_out),
        (POLL, [0, 0, HOUR * 1000, 0, 0, 0], [0, 0], 0),
    ]
}

#[test]
fn a_wait_that_only_its_time_out_ends_is_over_at_once_and_moves_a_deterministic_clock_by_exactly_that() {
    for (sources, moved) in [(Sources::Frozen, 0), (Sources::Deterministic(1), HOUR)] {
        let mut rig = rig(sources);
        for index in 0..8 {
            let before = rig.elapsed();
            let (number, arguments, time, expected) = waits(before / SECOND)[index];
            rig.put_words(AT, &time);
            rig.put_words(AT + 64, &[0]);
            // Really waiting would be the end of the run.
            let result = rig.call_within(60 * SECOND, number, &arguments).unwrap();
            assert_eq!(result.cast_signed(), expected, "wait {index}");
            assert_eq!(rig.elapsed() - before, moved * SECOND, "wait {index}");
        }
        assert_eq!(rig.clock(CPU), 0, "sleeping takes no CPU time");
    }
}

#[test]
fn a_wait_for_a_point_in_time_that_is_past_moves_nothing() {
    let mut rig = rig(Sources::Deterministic(1));
    rig.put_words(AT, &[1, 0]);
    rig.put_words(AT + 64, &[0]);
    assert_eq!(rig.call(CLOCK_NANOSLEEP, &[MONOTONIC, ABSOLUTE, AT]), 0);
    rig.call(FUTEX, &[AT + 64, WAIT_BITSET, 0, AT, 0, 1]);
    assert_eq!(rig.call(POLL, &[0, 0, 0]), 0);
    assert_eq!(rig.elapsed(), 0);
}

#[test]
fn a_wait_without_a_time_out_is_a_deadlock_whatever_the_time() {
    for sources in [Sources::Frozen, Sources::Deterministic(1)] {
        let mut rig = rig(sources);
        rig.put_words(AT, &[0]);
        assert_eq!(rig.ends(POLL, &[0, 0, u64::MAX]), End::Deadlock);
        assert_eq!(rig.ends(FUTEX, &[AT, 0, 0, 0]), End::Deadlock);
    }
}

#[test]
fn a_poll_on_a_pipe_really_waits_and_moves_the_clock_only_if_nothing_came() {
    const POLLIN: u64 = 1 << 32;
    let mut rig = rig(Sources::Deterministic(1));
    let (reader, mut writer) = std::io::pipe().unwrap();
    rig.streams.input = crate::stdio::Stdio::from(reader).connect_input(crate::stdio::Pipes::Captured).unwrap().0;
    rig.put_words(AT, &[POLLIN]);
    let began = std::time::Instant::now();
    assert_eq!(rig.call(POLL, &[AT, 1, 20]), 0);
    assert!(began.elapsed() >= Duration::from_millis(20));
    assert_eq!(rig.elapsed(), 20_000_000);
    assert!(matches!(
        rig.call_within(10_000_000, POLL, &[AT, 1, 3_600_000]),
        Err(Refusal::End(End::Limit(Limit::Wall)))
    ));
    assert_eq!(rig.elapsed(), 20_000_000, "it will be made again");
    writer.write_all(b"x").unwrap();
    assert_eq!(rig.call(POLL, &[AT, 1, 3_600_000]), 1);
    assert_eq!(rig.elapsed(), 20_000_000);
}

#[test]
fn random_bytes_are_the_seeds_and_a_copy_of_the_process_goes_on_with_the_same() {
    let mut one = rig(Sources::Deterministic(7));
    let mut other = rig(Sources::Deterministic(7));
    assert_eq!(one.random(72), other.random(72));
    let saved = one.process.clone();
    let (bytes, seed, time) = (one.random(40), one.process.random::<32>().unwrap(), one.clock(MONOTONIC));
    one.process = saved;
    assert_eq!((one.random(40), one.process.random::<32>().unwrap(), one.clock(MONOTONIC)), (bytes, seed, time));
    assert_ne!(rig(Sources::Deterministic(8)).random(72), rig(Sources::Deterministic(7)).random(72));
    assert_ne!(rig(Sources::Real).random(72), rig(Sources::Real).random(72));
}

#[test]
fn a_getrandom_that_a_limit_cuts_short_gives_the_same_bytes_when_it_is_made_again() {
    const MMAP: u64 = 9;
    let mut rig = rig(Sources::Deterministic(7));
    let before = rig.process.supply.clone();
    let length = 4 << 20;
    let at = rig.call(MMAP, &[0, length, 3, 0x22, u64::MAX, 0]).cast_unsigned();
    // Limits are looked at between pieces, and this one is over before the second.
    assert!(matches!(rig.call_within(0, GETRANDOM, &[at, length, 0]), Err(Refusal::End(_))));
    assert_eq!(rig.process.supply, before);
}
