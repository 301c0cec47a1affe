//! Limits that strike, and those that must not.

use std::os::fd::AsFd;

use super::*;

const FOREVER: Nanos = Nanos::MAX;

fn budget(wall: Nanos, cpu: Nanos, cancel: Option<&CancelToken>) -> Budget {
    Budget { wall, cpu, cancel: [cancel.cloned(), None], nudge: None, pipes: true, tick: None, slice: None }
}

#[test]
fn a_wait_ends_at_the_wall_deadline() {
    let mut watch = Watch::begin(budget(1_000_000, FOREVER, None)).unwrap();
    assert!(matches!(watch.wait(&[], None), Err(Halted::Stop(Stop::Wall))));
}

#[test]
fn a_wait_ends_at_the_time_asked_for_and_is_accounted() {
    let mut watch = Watch::begin(budget(FOREVER, FOREVER, None)).unwrap();
    let until = clock::monotonic() + 1_000_000;
    assert_eq!(watch.wait(&[], Some(until)).unwrap(), Woken::TimedOut);
    assert!(clock::monotonic() >= until);
    assert!(watch.waited() > 0 && watch.wall_used() >= watch.waited());
}

#[test]
fn in_a_slice_a_system_call_that_has_done_nothing_is_parked_and_no_other_wait_is() {
    let slice = || Budget { slice: Some(Slice { spent: 0 }), ..budget(FOREVER, FOREVER, None) };
    let mut watch = Watch::begin(slice()).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let fds = [(reader.as_fd(), PollFlags::IN)];
    let until = Some(clock::monotonic() + 3_600_000_000_000);
    match watch.wait_in_call(Done::Nothing, &fds, until) {
        Err(CutShort::Parked(parked)) => assert_eq!((parked.until, parked.files.len()), (until, 1)),
        other => panic!("{other:?}"),
    }
    assert!(matches!(watch.wait_in_call(Done::Nothing, &[], None), Err(CutShort::Parked(_))));
    // What is there, or over, or soon over, is not waited for elsewhere.
    rustix::io::write(&writer, b"x").unwrap();
    assert_eq!(watch.wait_in_call(Done::Nothing, &fds, until).unwrap(), Woken::Ready);
    for span in [0, 1, BRIEF] {
        let until = clock::monotonic() + span;
        assert_eq!(watch.wait_in_call(Done::Nothing, &[], Some(until)).unwrap(), Woken::TimedOut);
        assert!(clock::monotonic() >= until);
    }
    let until = clock::monotonic() + 2 * BRIEF;
    assert_eq!(watch.wait_in_call(Done::Something, &[], Some(until)).unwrap(), Woken::TimedOut);
    assert!(clock::monotonic() >= until);
    drop(watch);
    // A limit comes before everything else.
    let mut watch = Watch::begin(Budget { wall: 0, ..slice() }).unwrap();
    let stopped = watch.wait_in_call(Done::Nothing, &[], None);
    assert!(matches!(stopped, Err(CutShort::Halted(Halted::Stop(Stop::Wall)))), "{stopped:?}");
}

#[test]
fn a_run_in_slices_has_one_account_of_its_cpu_time() {
    let mut told = 0;
    for _ in 0..3 {
        let slice = Some(Slice { spent: told });
        let watch = Watch::begin(Budget { slice, ..budget(FOREVER, FOREVER, None) }).unwrap();
        let now = watch.cpu_used_exactly();
        assert!(now >= told);
        told = now;
    }
}

#[test]
fn a_cancel_from_another_thread_ends_a_wait_without_end() {
    let token = CancelToken::new();
    let mut watch = Watch::begin(budget(FOREVER, FOREVER, Some(&token))).unwrap();
    let other = std::thread::spawn(move || token.cancel());
    assert!(matches!(watch.wait(&[], None), Err(Halted::Stop(Stop::Cancelled))));
    other.join().unwrap();
}

#[test]
fn a_cancelled_token_ends_the_next_run_too_and_another_token_does_not() {
    let token = CancelToken::new();
    token.cancel();
    for _ in 0..2 {
        assert_eq!(Watch::begin(budget(FOREVER, FOREVER, Some(&token))).unwrap().check(), Err(Stop::Cancelled));
    }
    assert_eq!(Watch::begin(budget(FOREVER, FOREVER, Some(&CancelToken::new()))).unwrap().check(), Ok(()));
}

#[test]
fn spinning_ends_by_the_cpu_budget_and_waiting_does_not_use_it() {
    let mut watch = Watch::begin(budget(FOREVER, 2_000_000, None)).unwrap();
    let until = clock::monotonic() + 4_000_000;
    assert_eq!(watch.wait(&[], Some(until)).unwrap(), Woken::TimedOut);
    assert_eq!(watch.check(), Ok(()));
    let stop = loop {
        if let Err(stop) = watch.check() {
            break stop;
        }
    };
    assert_eq!(stop, Stop::Cpu);
    assert!(watch.cpu_used() >= 2_000_000);
}

#[test]
fn a_run_inside_a_run_takes_the_timer_and_the_outer_one_arms_it_again() {
    let outer = Watch::begin(budget(FOREVER, FOREVER, None)).unwrap();
    outer.enter().unwrap();
    {
        let inner = Watch::begin(budget(1, FOREVER, None)).unwrap();
        inner.enter().unwrap();
        assert!(!outer.timer.is_armed_by(outer.run));
    }
    assert!(!outer.timer.is_armed_by(outer.run));
    outer.enter().unwrap();
    assert!(outer.timer.is_armed_by(outer.run));
}

#[test]
fn a_timer_that_stands_from_an_earlier_run_strikes_nothing_between_and_no_later_deadline_is_missed() {
    for between in [0, 3_000_000] {
        let watch = Watch::begin(budget(2_000_000, FOREVER, None)).unwrap();
        watch.enter().unwrap();
        let standing = watch.wall_deadline();
        drop(watch);
        let until = clock::monotonic() + between;
        while clock::monotonic() < until {}
        let mut next = Watch::begin(budget(20_000_000, FOREVER, None)).unwrap();
        next.enter().unwrap();
        // What interrupts it first is the timer that stood, if that has not fired yet, and then its own.
        loop {
            while !next.blocked.drain() {
                let late = clock::monotonic().saturating_sub(next.wall_deadline());
                assert!(late < 10_000_000_000, "no timer stands for the run");
            }
            assert!(clock::monotonic() >= standing.min(next.wall_deadline()));
            match next.interrupted() {
                Ok(()) => {}
                Err(Halted::Stop(stop)) => break assert_eq!(stop, Stop::Wall),
                Err(Halted::Host(error)) => panic!("{error}"),
            }
        }
        assert!(clock::monotonic() >= next.wall_deadline());
    }
}

#[test]
fn entries_that_others_signals_cut_short_are_followed_by_one_that_only_the_kick_ends() {
    let mut watch = Watch::begin(budget(FOREVER, FOREVER, None)).unwrap();
    let open = watch.mask_inside();
    for _ in 0..PATIENCE {
        assert_eq!(watch.mask_inside(), open);
        watch.interrupted().unwrap();
    }
    assert_eq!(watch.mask_inside(), !watch.blocked.kick_bit());
    // The slice's timer fires; that kick is ours.
    watch.arm().unwrap();
    while !watch.blocked.drain() {}
}

#[test]
fn the_mask_inside_lets_the_kick_in_and_nothing_else() {
    let watch = Watch::begin(budget(FOREVER, FOREVER, None)).unwrap();
    let inner = Watch::begin(budget(FOREVER, FOREVER, None)).unwrap();
    assert_eq!(watch.mask_inside(), inner.mask_inside());
}
