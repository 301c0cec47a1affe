//! What guests may hold together, in a process that has nothing else: never more than the budget, and never anything left. And that their memory
//! is neither in a core dump nor in a fork.

use ampoule::{
    CallError, Command, HostCall, HostError, Idle, Imports, Limits, Pool, PoolError, Region, RunError, Sandbox,
    SandboxError, Stdio,
};
use ampoule_tests::{call_bytes, echoing, honest_call, program, sandbox, scale, word};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::fd::AsRawFd;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Runs `body` from nothing to nothing; it is told what one machine of the default size takes.
fn from_nothing(body: impl FnOnce(u64)) {
    ampoule::set_max_idle_machines(0);
    assert_eq!(ampoule::memory_in_use(), 0, "something is left of what was before");
    ampoule::set_max_idle_machines(32);
    drop(plugin());
    let one = ampoule::memory_in_use();
    assert!(one > Limits::DEFAULT_MEMORY, "an idle machine counts");
    body(one);
    ampoule::set_memory_budget(u64::MAX);
    ampoule::set_max_idle_machines(0);
    assert_eq!(ampoule::memory_in_use(), 0, "something is left");
    ampoule::set_max_idle_machines(32);
}

fn plugin() -> Sandbox<()> {
    sandbox(&program("plugin"), &echoing())
}

fn refusal(made: Result<Sandbox<()>, SandboxError>) -> Option<(u64, u64, u64)> {
    match made {
        Ok(_) => None,
        Err(SandboxError::Run(RunError::Host(HostError::MemoryBudget { needed, in_use, budget }))) => {
            Some((needed, in_use, budget))
        }
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn what_does_not_fit_is_refused_with_the_numbers() {
    from_nothing(|one| {
        assert_eq!(ampoule::memory_budget(), u64::MAX, "there is none unless said otherwise");
        ampoule::set_memory_budget(one);
        let mut first = plugin();
        assert_eq!(refusal(Sandbox::new(&program("plugin"), &echoing(), ())), Some((one, one, one)));
        let refused = Command::new(&program("hello")).output();
        assert!(matches!(refused, Err(RunError::Host(HostError::MemoryBudget { .. }))), "{refused:?}");
        assert_eq!(call_bytes(&mut first, "echo", b"still there").expect("a reply"), b"still there");
        let refused = first.into_live(Idle::spin(Duration::from_micros(20))).map(drop);
        assert!(refused.is_err(), "the ring does not fit");
        drop(plugin());
    });
}

pub(crate) fn idle_machines_make_room() {
    from_nothing(|one| {
        ampoule::set_memory_budget(one * 2);
        drop((plugin(), plugin()));
        assert_eq!((ampoule::idle_machines(), ampoule::memory_in_use()), (2, one * 2));
        // Of another size, so that neither can be used again; and it needs more than either leaves.
        let build = |memory| {
            let limits = Limits::new().memory(memory);
            Sandbox::builder(&program("plugin"), &echoing()).limits(limits).build(())
        };
        let large = build(2 * Limits::DEFAULT_MEMORY).expect("room for it");
        let in_use = ampoule::memory_in_use();
        assert!(one < in_use && in_use <= one * 2, "{in_use} beside {one}");
        assert_eq!(ampoule::idle_machines(), 0);
        drop(large);
        let (needed, told, budget) = refusal(build(4 * Limits::DEFAULT_MEMORY)).expect("it never fits");
        assert!(needed > budget && (told, budget) == (in_use, one * 2), "{needed}, {told}, {budget}");
        assert_eq!(ampoule::idle_machines(), 1, "nothing is destroyed in vain");
        // A smaller budget takes idle machines away at once.
        ampoule::set_memory_budget(one);
        assert_eq!((ampoule::idle_machines(), ampoule::memory_in_use()), (0, 0));
    });
}

pub(crate) fn threads_never_hold_more_than_the_budget() {
    from_nothing(|one| {
        let budget = one * 2;
        ampoule::set_memory_budget(budget);
        let (made, start) = (AtomicUsize::new(0), Barrier::new(4));
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (made, start) = (&made, &start);
                scope.spawn(move || {
                    start.wait();
                    for round in 0..scale(15) {
                        // Two sizes, so that machines are used again and make room in turn.
                        let memory = if (thread + round as u64).is_multiple_of(2) { 64 << 20 } else { 32 << 20 };
                        let built = Sandbox::builder(&program("plugin"), &echoing())
                            .limits(Limits::new().memory(memory))
                            .build(());
                        assert!(ampoule::memory_in_use() <= budget, "{} are in use", ampoule::memory_in_use());
                        match built {
                            Ok(mut plugin) => {
                                assert_eq!(call_bytes(&mut plugin, "echo", b"it fits").expect("a reply"), b"it fits");
                                made.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(SandboxError::Run(RunError::Host(HostError::MemoryBudget {
                                needed,
                                in_use,
                                budget: told,
                            }))) => {
                                assert!(told == budget && in_use <= budget && in_use + needed > budget);
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
        });
        assert!(made.load(Ordering::Relaxed) > 0);
    });
}

pub(crate) fn a_machine_that_fails_half_way_gives_its_memory_back() {
    from_nothing(|_| {
        ampoule::set_max_idle_machines(0);
        let before = getrlimit(Resource::Nofile);
        let program = program("hello");
        let run = || Command::new(&program).stdout(Stdio::null()).call(honest_call()).status();
        // The next descriptor's number, and with it the last limit that leaves none.
        let next = u64::from(rustix::io::dup(std::io::stdout()).expect("a descriptor").as_raw_fd().cast_unsigned());
        let mut failed = Vec::new();
        for room in 0..16 {
            let limit = Rlimit { current: Some(next + room), maximum: before.maximum };
            setrlimit(Resource::Nofile, limit).expect("a lower limit");
            let ran = run();
            setrlimit(Resource::Nofile, before).expect("the limit that was");
            assert_eq!(ampoule::memory_in_use(), 0, "with {room} descriptors: {ran:?}");
            match ran {
                Err(RunError::Host(HostError::OutOfDescriptors { call, .. })) => failed.push(call),
                Err(error) => assert!(matches!(error, RunError::Setup { .. }), "{error:?}"),
                Ok(_) => break,
            }
        }
        for call in [HostCall::CreateVm, HostCall::CreateVcpu] {
            assert!(failed.contains(&call), "{call} is not among {failed:?}");
        }
        let before = getrlimit(Resource::As);
        setrlimit(Resource::As, Rlimit { current: Some(1 << 20), maximum: before.maximum }).expect("a lower limit");
        let ran = run();
        setrlimit(Resource::As, before).expect("the limit that was");
        assert!(matches!(ran, Err(RunError::Host(HostError::Call { .. }))), "{ran:?}");
        assert_eq!(ampoule::memory_in_use(), 0, "the mapping itself failed");
    });
}

pub(crate) fn a_pool_waits_for_its_own_and_tells_of_others() {
    from_nothing(|one| {
        let ready = sandbox(&program("states"), &Imports::<()>::new()).snapshot().expect("a snapshot");
        ampoule::set_memory_budget(one * 2);
        let pool = Pool::builder(&ready, &Imports::new()).warm(0).max(8).build().expect("a pool");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..scale(25) {
                        let mut taken = pool.take(()).expect("it waits, although there might be eight");
                        assert_eq!(word(&call_bytes(&mut taken, "count", b"").expect("a count")[..8]), 1);
                    }
                });
            }
        });
        assert!(pool.stats().made <= 2, "{:?}", pool.stats());
        let taken = (pool.take(()).expect("one"), pool.take(()).expect("another"));
        let refused = pool.try_take(()).map(drop);
        assert!(matches!(refused, Err(PoolError::Host(HostError::MemoryBudget { .. }))), "{refused:?}");
        let refused = pool.take_timeout((), Duration::from_millis(5)).map(drop);
        assert!(matches!(refused, Err(PoolError::TimedOut { .. })), "{refused:?}");
        drop((taken, pool));
        // A sandbox that is not the pool's has all there is, and the pool none: nobody would wake who waits.
        ampoule::set_memory_budget(one);
        let mut parked = ready.spawn(&Imports::<()>::new(), ()).expect("it has no machine yet");
        let other = plugin();
        let refused = Pool::builder(&ready, &Imports::<()>::new()).build().map(drop);
        assert!(matches!(refused, Err(PoolError::Host(HostError::MemoryBudget { .. }))), "{refused:?}");
        let refused = call_bytes(&mut parked, "count", b"");
        assert!(matches!(refused, Err(CallError::Host(HostError::MemoryBudget { .. }))), "{refused:?}");
        drop(other);
        assert_eq!(word(&call_bytes(&mut parked, "count", b"").expect("it fits now")[..8]), 1);
    });
}

/// Bytes of this process's mappings that are neither in a core dump (`dd`) nor in a fork (`dc`): proc_pid_smaps(5).
fn kept_out() -> u64 {
    let smaps = std::fs::read_to_string("/proc/self/smaps").expect("a file of /proc");
    let (mut size, mut sum) = (0, 0);
    for line in smaps.lines() {
        if let Some(kilobytes) = line.strip_prefix("Size:") {
            size = kilobytes.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10;
        } else if let Some(flags) = line.strip_prefix("VmFlags:") {
            let has = |flag| flags.split_whitespace().any(|it| it == flag);
            sum += if has("dd") && has("dc") { size } else { 0 };
        }
    }
    sum
}

pub(crate) fn all_guest_memory_is_kept_out_of_core_dumps_and_forks() {
    from_nothing(|_| {
        assert_eq!(kept_out(), ampoule::memory_in_use());
        let region = Region::from_bytes(vec![1; 3 << 20]).expect("a region");
        let (region_bytes, before) = (kept_out() - ampoule::memory_in_use(), ampoule::memory_in_use());
        assert!(region_bytes >= 3 << 20, "{region_bytes}");
        let plugin = Sandbox::builder(&program("plugin"), &echoing()).region("shared", &region).build(());
        let mut live =
            plugin.expect("a sandbox").into_live(Idle::spin(Duration::from_micros(20))).expect("it serves the ring");
        let mut reply = Vec::new();
        live.call_bytes("echo", b"in the ring", &mut reply, &honest_call()).expect("a reply");
        assert!(ampoule::memory_in_use() > before);
        assert_eq!(kept_out(), ampoule::memory_in_use() + region_bytes);
    });
}
