//! What restores and twins ask of the kernel: counts, which are the same on every machine.

use super::*;
use crate::limits::Call;
use crate::machine::shells::tests::with_only_new;
use crate::sandbox::instance::tests::echo;
use crate::vm::seam::{HostCall, fault};

/// Restores, or twins, before the first that is counted: what a guest writes in each of its lives is known by then.
const WARM_UP: usize = 5;
/// Twins that are counted: another test may take the machine that one of them would have had.
const TWINS: usize = 50;

fn call(sandbox: &mut Sandbox<()>) {
    let mut reply = Vec::new();
    sandbox.call_bytes("echo", b"12345678", &mut reply, &Call::new()).unwrap();
    assert_eq!(reply, b"12345678");
}

/// The kernel calls of `act`, but for the arming of the timer, which stands from one call to the next until it strikes.
fn calls(act: impl FnOnce()) -> Vec<HostCall> {
    let (_, mut calls) = fault::with_nth_failing(None, libc::EIO, act);
    calls.retain(|call| *call != HostCall::TimerSet);
    calls
}

/// A sandbox whose guest has served a call, and its state then.
fn warm() -> (Sandbox<()>, Snapshot) {
    let mut sandbox = Sandbox::new(&echo(), &Imports::new(), ()).unwrap();
    call(&mut sandbox);
    let snapshot = sandbox.snapshot().unwrap();
    (sandbox, snapshot)
}

#[test]
fn a_warm_restore_reads_the_dirty_log_and_asks_nothing_else_of_the_kernel() {
    let (mut sandbox, snapshot) = warm();
    for _ in 0..WARM_UP {
        call(&mut sandbox);
        sandbox.restore(&snapshot).unwrap();
    }
    for _ in 0..WARM_UP {
        call(&mut sandbox);
        assert_eq!(calls(|| sandbox.restore(&snapshot).unwrap()), [HostCall::GetDirtyLog]);
    }
}

#[test]
fn a_call_after_a_warm_restore_is_one_exit_and_asks_nothing_of_the_vcpu_but_to_run() {
    let (mut sandbox, snapshot) = warm();
    for _ in 0..WARM_UP {
        call(&mut sandbox);
        sandbox.restore(&snapshot).unwrap();
    }
    for _ in 0..WARM_UP {
        assert_eq!(calls(|| call(&mut sandbox)), [HostCall::SignalMask, HostCall::Run]);
        assert_eq!(sandbox.last_stats().exit_count(), 1);
        sandbox.restore(&snapshot).unwrap();
    }
}

#[test]
fn a_page_that_is_left_alone_is_protected_by_one_more_call() {
    // What is known of a page stays with the machine.
    let (mut sandbox, snapshot) = with_only_new(warm);
    // What the snapshot protected, and is caught again so soon, would be kept.
    for _ in 0..8 {
        sandbox.restore(&snapshot).unwrap();
    }
    call(&mut sandbox);
    let restores = [(); 4].map(|()| calls(|| sandbox.restore(&snapshot).unwrap()));
    let protecting = restores.iter().filter(|calls| calls.contains(&HostCall::ClearDirtyLog)).count();
    assert_eq!(protecting, 1, "{restores:?}");
    assert_eq!(restores.last().unwrap(), &[HostCall::GetDirtyLog]);
}

#[test]
fn a_snapshot_reads_the_dirty_log_and_one_state_of_the_vcpu() {
    let (mut sandbox, _) = warm();
    let snapshots = [(); 2 * WARM_UP].map(|()| {
        call(&mut sandbox);
        calls(|| drop(sandbox.snapshot().unwrap()))
    });
    for made in &snapshots[WARM_UP..] {
        assert_eq!(made, &[HostCall::GetXsave, HostCall::GetDirtyLog]);
    }
}

#[test]
fn a_machine_of_which_no_snapshot_could_be_taken_is_never_restored() {
    let (mut sandbox, snapshot) = with_only_new(warm);
    // What a failure of either call leaves: nobody knows any more which pages differ from what.
    for failing in [HostCall::GetDirtyLog, HostCall::ClearDirtyLog] {
        for _ in 0..8 {
            sandbox.restore(&snapshot).unwrap();
        }
        call(&mut sandbox);
        let made = calls(|| drop(sandbox.snapshot().unwrap()));
        let nth = made.iter().position(|call| *call == failing).unwrap();
        for _ in 0..8 {
            sandbox.restore(&snapshot).unwrap();
        }
        call(&mut sandbox);
        let (failed, made) = fault::with_nth_failing(Some(nth), libc::EIO, || sandbox.snapshot());
        assert!(failed.is_err() && made.get(nth) == Some(&failing), "{failed:?}, {made:?}");
        assert_eq!(sandbox.state(), State::Poisoned);
        let restored = with_only_new(|| calls(|| sandbox.restore(&snapshot).unwrap()));
        assert!(restored.contains(&HostCall::CreateVm), "{restored:?}");
        call(&mut sandbox);
    }
}

#[test]
fn pages_that_are_left_alone_between_snapshots_are_protected_and_no_longer_compared() {
    let mut sandbox = with_only_new(|| Sandbox::new(&echo(), &Imports::new(), ()).unwrap());
    call(&mut sandbox);
    let snapshots = [(); 4].map(|()| calls(|| drop(sandbox.snapshot().unwrap())));
    let protecting = snapshots.map(|calls| calls.contains(&HostCall::ClearDirtyLog));
    assert_eq!(protecting, [true, false, false, false]);
}

#[test]
fn a_twins_life_in_a_machine_that_a_twin_had_before_is_a_restore_and_a_call() {
    let (sandbox, snapshot) = warm();
    drop(sandbox);
    let life = || {
        let mut twin = snapshot.spawn(&Imports::new(), ()).unwrap();
        call(&mut twin);
        assert_eq!(twin.last_stats().exit_count(), 1);
    };
    (0..WARM_UP).for_each(|_| life());
    let fewest = (0..TWINS).map(|_| calls(life)).min_by_key(Vec::len).unwrap();
    assert_eq!(fewest, [HostCall::GetDirtyLog, HostCall::SignalMask, HostCall::Run]);
}
