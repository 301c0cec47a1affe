//! One clock, whatever it is read by: programs that read records, make system calls, sleep and move between machines, on a host whose clock is
//! slewed.

use proptest::prelude::*;

use super::*;
use crate::vm::tsc::Rate;

/// Ticks in a microsecond.
const TICKS: u64 = 2_600;

/// A host: its counter, and its clock, which runs beside it as fast as it is slewed.
struct Host {
    /// Since the host was started, in nanoseconds of the counter.
    counter: f64,
    monotonic: f64,
    /// Parts in a million by which the clock is too quick.
    slew: f64,
    /// What the wall clock is before the other.
    epoch: Nanos,
    rate: Rate,
}

impl Host {
    fn new() -> Self {
        Self { counter: 3e12, monotonic: 5e12, slew: 0.0, epoch: 1_700_000_000_000_000_000, rate: Rate::default() }
    }

    fn pass(&mut self, nanos: f64) {
        self.counter += nanos;
        self.monotonic += nanos * (1.0 + self.slew / 1e6);
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "far from any end")]
    fn ticks(&self) -> u64 {
        (self.counter * TICKS as f64 / 1000.0) as u64
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "far from any end")]
    fn monotonic(&self) -> Nanos {
        self.monotonic as u64
    }

    fn reading(&mut self) -> Reading {
        let before = self.ticks();
        self.pass(25.0);
        let realtime = self.monotonic() + self.epoch;
        self.pass(25.0);
        let monotonic = self.monotonic();
        self.pass(25.0);
        Reading { before, monotonic, realtime, after: self.ticks() }
    }

    /// What every entry does.
    fn enter(&mut self, clock: &mut Clock) {
        if !clock.is_good(self.monotonic()) {
            let now = self.reading();
            let rate = self.rate.observe(&now);
            clock.follow(&now, rate);
        }
        self.pass(2_000.0);
    }

    /// As the vDSO reads the clocks; none is a system call.
    fn read(&self, clock: &Clock) -> Option<Times> {
        let record = clock.record?;
        let ticks = self.ticks().wrapping_sub(record.base);
        (ticks < record.span).then(|| record.at(self.ticks()))
    }

    /// What a program is told, one way or the other.
    fn tell(&mut self, clock: &mut Clock, asks: bool) -> Times {
        if let Some(read) = self.read(clock).filter(|_| !asks) {
            return read;
        }
        let (now, ticks) = (self.monotonic(), self.ticks());
        let told = clock.tell(Times { realtime: now + self.epoch, monotonic: now }, ticks);
        self.pass(10_000.0);
        self.enter(clock);
        told
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Reads the clock.
    Read,
    /// Asks for it by a system call.
    Ask,
    /// Something else takes its time.
    Pass(u32),
    /// It comes out for another reason, and goes on.
    Exit,
    /// It sleeps.
    Sleep(u32),
    /// The host's clock goes quicker or slower from now on.
    Slew(i32),
    /// A snapshot of it goes on in the other machine.
    Move,
    /// Somebody sets the wall clock.
    Set(i64),
}

fn step(slew: i32) -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Read),
        2 => Just(Step::Ask),
        3 => (1_u32..3_000_000).prop_map(Step::Pass),
        1 => (1_u32..300_000_000).prop_map(Step::Pass),
        2 => Just(Step::Exit),
        1 => (1_u32..5_000_000).prop_map(Step::Sleep),
        1 => (-slew..=slew).prop_map(Step::Slew),
        1 => Just(Step::Move),
        1 => (-1_000_000_000_i64..1_000_000_000).prop_map(Step::Set),
    ]
}

/// Runs the steps; `each` sees what the program was told, and the host's clock then.
fn run(steps: &[Step], mut each: impl FnMut(Times, Nanos)) {
    let mut host = Host::new();
    let mut clocks = [(); 2].map(|()| Clock { is_possible: true, ..Clock::default() });
    for clock in &mut clocks {
        host.enter(clock);
        host.pass(2_000_000.0);
        host.enter(clock);
    }
    let [mut here, mut there] = clocks;
    for step in steps {
        match *step {
            Step::Read | Step::Ask => {
                let told = host.tell(&mut here, matches!(step, Step::Ask));
                each(told, host.monotonic());
            }
            Step::Pass(nanos) => host.pass(nanos.into()),
            Step::Exit => host.enter(&mut here),
            Step::Sleep(nanos) => {
                let until = host.tell(&mut here, false).monotonic + u64::from(nanos);
                here.is_due = true;
                while host.monotonic() < until {
                    host.pass(f64::from(nanos) / 2.0 + 1.0);
                }
                host.enter(&mut here);
                let told = host.tell(&mut here, false);
                assert!(told.monotonic >= until, "it woke too early");
                each(told, host.monotonic());
            }
            Step::Slew(slew) => host.slew = slew.into(),
            Step::Move => {
                there.take_over(here.told(host.ticks()));
                host.enter(&mut there);
                std::mem::swap(&mut here, &mut there);
            }
            Step::Set(by) => host.epoch = host.epoch.saturating_add_signed(by),
        }
    }
}

proptest! {
    #[test]
    fn the_clock_never_goes_back_whatever_it_is_read_by_and_however_the_hosts_is_slewed(
        steps in prop::collection::vec(step(80_000), 1..200),
    ) {
        let mut last = 0;
        run(&steps, |told, host| {
            assert!(told.monotonic >= last, "{} after {last}", told.monotonic);
            last = told.monotonic;
            assert!(told.monotonic <= host + 20_000_000, "{} at {host}", told.monotonic);
        });
    }

    #[test]
    fn the_wall_clock_goes_back_only_if_it_was_set_back(
        steps in prop::collection::vec(step(80_000).prop_filter("nobody sets it", |step| !matches!(step, Step::Set(_))), 1..200),
    ) {
        let mut last = 0;
        run(&steps, |told, _| {
            assert!(told.realtime >= last, "{} after {last}", told.realtime);
            last = told.realtime;
        });
    }

    #[test]
    fn with_a_clock_that_is_slewed_as_usual_it_is_never_far_from_the_hosts(
        steps in prop::collection::vec(step(2), 1..200),
    ) {
        run(&steps, |told, host| {
            // The host's was read after the program was told, at most an exit later.
            let behind = host.saturating_sub(told.monotonic);
            assert!(behind < 25_000, "{behind} ns behind");
            assert!(told.monotonic < host + 1_000, "{} at {host}", told.monotonic);
        });
    }
}

#[test]
fn a_record_that_runs_ahead_is_slowed_down_until_the_hosts_clock_has_caught_up() {
    let now = Reading { before: 900, monotonic: 1_000_000_000, realtime: 2_000_000_000, after: 1000 };
    let rate = (1000_u64 << 32) / TICKS;
    let told = Times { realtime: 2_001_000_000, monotonic: 1_001_000_000 };
    let record = Record::following(told, &now, rate).unwrap();
    assert_eq!(record.times, told);
    let end = record.at(record.base + record.span);
    assert!(end.monotonic.abs_diff(now.monotonic + SPAN) < 100, "{end:?}");
    let too_far = Times { monotonic: now.monotonic + MOST_AHEAD + 1, ..told };
    assert_eq!(Record::following(too_far, &now, rate), None);
    for ahead in [SPAN - 1, SPAN, SPAN + 1, 1000 * SPAN] {
        let told = Times { monotonic: now.monotonic + ahead, ..told };
        assert_eq!(Record::following(told, &now, rate), None, "{ahead} ns ahead");
    }
}

#[test]
fn a_wall_clock_that_was_set_is_followed_at_once() {
    let now = Reading { before: 900, monotonic: 1_000_000_000, realtime: 20_000_000_000, after: 1000 };
    for realtime in [10_000_000_000, 20_000_002_000, 30_000_000_000] {
        let told = Times { realtime, monotonic: 999_000_000 };
        let record = Record::following(told, &now, 1 << 31).unwrap();
        assert_eq!(record.times, Times { realtime: now.realtime, monotonic: now.monotonic });
    }
}

#[test]
fn a_counter_that_went_back_is_not_believed_and_the_clock_still_does_not_go_back() {
    let now = Reading { before: 2_600_000_000, monotonic: 1_000_000_000, realtime: 0, after: 2_600_000_100 };
    let mut clock = Clock { is_possible: true, ..Clock::default() };
    clock.follow(&now, Some((1000_u64 << 32) / TICKS));
    let most = clock.told(now.after - 1000).monotonic;
    assert!(most > now.monotonic + SPAN - 1000, "it may have shown anything meanwhile");
    let tell = |clock: &mut Clock, monotonic, ticks| clock.tell(Times { realtime: 0, monotonic }, ticks).monotonic;
    assert_eq!(tell(&mut clock, 1_000_100_000, now.after - 1000), most);
    let later = Reading { before: 100, after: 200, monotonic: 1_000_200_000, realtime: 0 };
    assert_eq!(clock.follow(&later, Some((1000_u64 << 32) / TICKS)), None, "too far ahead");
    assert_eq!(tell(&mut clock, 1_000_300_000, 300), most);
    assert_eq!(tell(&mut clock, most + 1, 300), most + 1);
}

#[test]
fn the_page_holds_what_the_functions_read() {
    let times = Times { realtime: 1_700_000_000_123_456_789, monotonic: 5_000_000_001 };
    let bytes = Record { base: 7, span: 8, multiplier: 9, times }.bytes(6);
    let words: Vec<_> = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    assert_eq!(words, [6, 7, 8, 9, 1_700_000_000, 123_456_789, 5, 1]);
}
