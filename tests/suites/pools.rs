//! Pools: every taker has a state that nobody else has touched, however many come and whatever they leave behind.

use std::collections::HashSet;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use ampoule::{Imports, Pool, PoolError, Pooled, Sandbox, Snapshot, State};
use ampoule_tests::{call_bytes, honest_call, program, sandbox, word};

fn snapshot(name: &str) -> Snapshot {
    sandbox(&program(name), &Imports::<()>::new()).snapshot().expect("a snapshot")
}

fn pool(warm: usize, max: usize) -> Pool<()> {
    Pool::builder(&snapshot("states"), &Imports::new()).warm(warm).max(max).build().expect("a pool")
}

/// Which call of its life it is.
fn count(sandbox: &mut Sandbox<()>) -> u64 {
    word(&call_bytes(sandbox, "count", b"").expect("a count")[..8])
}

#[test]
fn every_taker_has_the_snapshots_state() {
    let pool = pool(1, 2);
    for _ in 0..20 {
        let mut taken = pool.take(()).expect("a sandbox");
        assert_eq!(count(&mut taken), 1);
        assert_eq!(count(&mut taken), 2);
    }
    let stats = pool.stats();
    assert_eq!((stats.taken, stats.replaced), (0, 0));
    assert!(stats.made <= 2, "{stats:?}");
}

#[test]
fn there_are_never_more_than_the_bound_and_whoever_may_not_wait_is_told() {
    let pool = pool(0, 2);
    let (first, second) = (pool.take(()).expect("the first"), pool.take(()).expect("the second"));
    assert!(matches!(pool.try_take(()), Err(PoolError::Exhausted { max: 2 })));
    let late = pool.take_timeout((), Duration::from_millis(5));
    assert!(matches!(late, Err(PoolError::TimedOut { max: 2 })), "{late:?}");
    assert_eq!(pool.stats().taken, 2);
    drop(first);
    drop(pool.try_take(()).expect("what was given back"));
    drop(second);
}

#[test]
fn whoever_waits_gets_what_is_given_back() {
    let pool = pool(0, 1);
    let taken = pool.take(()).expect("the only one");
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..4).map(|_| scope.spawn(|| count(&mut pool.take(()).expect("one")))).collect();
        while pool.stats().waiting < 4 {
            std::thread::yield_now();
        }
        drop(taken);
        for waiter in waiting {
            assert_eq!(waiter.join().expect("no panic"), 1);
        }
    });
    assert_eq!(pool.stats().made, 1);
}

/// Counts how often it was woken.
#[derive(Default)]
struct Woken(AtomicU64);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_task_that_waits_is_woken_and_one_that_gives_up_passes_it_on() {
    let pool = pool(0, 1);
    let taken = pool.take(()).expect("the only one");
    let (woken, other) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    let mut second = Box::pin(pool.take_async(()));
    let mut first = Box::pin(pool.take_async(()));
    let (waker, other_waker) = (Waker::from(Arc::clone(&woken)), Waker::from(Arc::clone(&other)));
    assert!(first.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(second.as_mut().poll(&mut Context::from_waker(&other_waker)).is_pending());
    drop(taken);
    assert_eq!((woken.0.load(Ordering::SeqCst), other.0.load(Ordering::SeqCst)), (1, 0));
    drop(first);
    assert_eq!(other.0.load(Ordering::SeqCst), 1, "what the first did not take is the second's");
    match second.as_mut().poll(&mut Context::from_waker(&other_waker)) {
        Poll::Ready(Ok(mut taken)) => assert_eq!(count(&mut taken), 1),
        _ => panic!("it was woken for nothing"),
    }
}

#[test]
fn a_task_takes_at_once_what_is_there() {
    let pool = pool(1, 1);
    let mut taken = pin!(pool.take_async(()));
    let Poll::Ready(Ok(mut sandbox)) = taken.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("one is idle")
    };
    assert_eq!(count(&mut sandbox), 1);
}

#[test]
fn a_replaced_snapshot_is_what_the_next_taker_has_and_calls_in_flight_finish_on_the_old_one() {
    let mut sandbox = sandbox(&program("states"), &Imports::new());
    let old = sandbox.snapshot().expect("a snapshot");
    for _ in 0..5 {
        count(&mut sandbox);
    }
    let new = sandbox.snapshot().expect("a snapshot");
    let pool = Pool::builder(&old, &Imports::new()).warm(2).max(3).build().expect("a pool");
    let mut in_flight = pool.take(()).expect("one of the old");
    assert_eq!(count(&mut in_flight), 1);
    pool.replace(&new).expect("another snapshot");
    assert_eq!(count(&mut pool.take(()).expect("one of the new")), 6);
    assert_eq!(count(&mut in_flight), 2);
    drop(in_flight);
    for _ in 0..4 {
        let mut all: Vec<_> = (0..3).map(|_| pool.take(()).expect("one of the new")).collect();
        assert!(all.iter_mut().all(|taken| count(taken) == 6));
    }
}

#[test]
fn whoever_replaces_last_every_shard_has_the_same_snapshot() {
    let pool = pool(0, 8);
    let mut guest = sandbox(&program("states"), &Imports::new());
    let snapshots = [(); 2].map(|()| {
        count(&mut guest);
        guest.snapshot().expect("a snapshot")
    });
    for _ in 0..ampoule_tests::scale(20) {
        std::thread::scope(|scope| {
            for snapshot in &snapshots {
                scope.spawn(|| pool.replace(snapshot).expect("another snapshot"));
            }
        });
        // Threads that follow each other have shards of their own, and none gives back what another could take.
        let taken = [(); 4].map(|()| {
            let take = || pool.take(()).expect("a sandbox");
            std::thread::scope(|scope| scope.spawn(take).join().expect("no panic"))
        });
        let seen: HashSet<u64> = taken.into_iter().map(|mut taken| count(&mut taken)).collect();
        assert_eq!(seen.len(), 1, "{seen:?}");
    }
}

#[test]
fn a_replaced_program_is_what_the_next_taker_has() {
    let pool = pool(1, 2);
    let old = pool.take(()).expect("one of the old");
    pool.replace(&snapshot("tasks")).expect("another program");
    let mut new = pool.take(()).expect("one of the new");
    assert_eq!(new.program().name(), program("tasks").name());
    call_bytes(&mut new, "computes", b"10").expect("a result");
    drop(old);
    drop(new);
    assert_eq!(pool.take(()).expect("one of the new").program().name(), program("tasks").name());
}

#[test]
fn whatever_a_taker_leaves_behind_the_next_one_is_well() {
    let pool = pool(1, 1);
    let mut reply = Vec::new();
    for round in 0..30 {
        let mut taken = pool.take(()).expect("a sandbox");
        match round % 3 {
            0 => {
                let short = ampoule::Call::new().wall(Duration::from_millis(1));
                assert!(taken.call_bytes("spins", b"", &mut reply, &short).is_err());
            }
            1 => {
                call_bytes(&mut taken, "protect", b"1024").expect("read-only");
                assert!(taken.call_bytes("dirty", b"1", &mut reply, &honest_call()).is_err());
                assert_eq!(taken.state(), State::Ended);
            }
            _ => drop(call_bytes(&mut taken, "maps", b"3000").expect("memory")),
        }
        drop(taken);
        assert_eq!(count(&mut pool.take(()).expect("a sandbox")), 1, "round {round}");
    }
    assert_eq!(pool.stats().made, 1, "an end of the guest's is no reason for another machine");
}

#[test]
fn a_host_function_that_panics_costs_nobody_else_anything() {
    let imports = ampoule_tests::echoing::<()>()
        .bytes("lookup", |_, _, _| -> Result<(), std::convert::Infallible> { panic!("on purpose") });
    let ready = sandbox(&program("plugin"), &imports).snapshot().expect("a snapshot");
    let pool = Pool::builder(&ready, &imports).warm(0).max(1).build().expect("a pool");
    for _ in 0..3 {
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut taken = pool.take(()).expect("a sandbox");
            let _ = call_bytes(&mut taken, "calls_host", b"x");
        }));
        assert!(panicked.is_err());
        assert_eq!(call_bytes(&mut pool.take(()).expect("a sandbox"), "echo", b"well").expect("a reply"), b"well");
    }
}

#[test]
fn a_sandbox_that_was_put_into_anothers_place_never_comes_to_the_next_taker() {
    let (ready, host) = (snapshot("states"), Imports::<()>::new());
    let pool = Pool::builder(&ready, &host).warm(0).max(1).build().expect("a pool");
    // Another program's, and a twin of the pool's own with the same functions.
    for other in [sandbox(&program("tasks"), &host), ready.spawn(&host, ()).expect("a twin")] {
        let mut taken = pool.take(()).expect("a sandbox");
        let mut other = other;
        std::mem::swap(&mut *taken, &mut other);
        drop(taken);
        let mut next = pool.take(()).expect("a sandbox");
        assert_eq!(next.program().name(), program("states").name());
        assert_eq!(count(&mut next), 1);
        assert_eq!(count(&mut other), 1, "what was taken out goes on");
    }
    assert_eq!(pool.stats().replaced, 2);
}

#[test]
fn threads_that_take_and_give_back_all_the_time_never_meet_anothers_state() {
    const THREADS: usize = 4;
    let pool = pool(2, 3);
    let barrier = Barrier::new(THREADS);
    let lives: Vec<HashSet<Vec<u8>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let mut lives = HashSet::new();
                    for _ in 0..ampoule_tests::scale(50) {
                        let mut taken = pool.take(()).expect("a sandbox");
                        assert_eq!(count(&mut taken), 1);
                        assert!(lives.insert(call_bytes(&mut taken, "life", b"").expect("a life")[..40].to_vec()));
                    }
                    lives
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let all: HashSet<_> = lives.iter().flatten().collect();
    assert_eq!(all.len(), lives.iter().map(HashSet::len).sum::<usize>(), "no two lives are alike");
    assert!(pool.stats().made <= 4, "{:?}", pool.stats());
}

#[test]
fn what_nobody_takes_for_a_while_is_given_up_and_what_is_missing_is_made() {
    let ready = snapshot("states");
    let builder = Pool::builder(&ready, &Imports::new()).warm(1).max(4).idle_time(Duration::from_millis(20));
    let pool = builder.build().expect("a pool");
    let taken: Vec<Pooled<()>> = (0..4).map(|_| pool.take(()).expect("a sandbox")).collect();
    assert_eq!(pool.stats().taken, 4);
    drop(taken);
    while pool.stats().idle != 1 {
        std::thread::yield_now();
    }
    let taken = pool.take(()).expect("a sandbox");
    while pool.stats().idle != 1 {
        std::thread::yield_now();
    }
    drop(taken);
}

#[test]
fn a_pool_is_for_every_thread() {
    fn shared<T: Clone + Send + Sync>(_: &T) {}
    fn sent<T: Send>(_: &T) {}
    let pool = pool(0, 1);
    shared(&pool);
    sent(&pool.take_async(()));
    sent(&pool.take(()).expect("a sandbox"));
}
