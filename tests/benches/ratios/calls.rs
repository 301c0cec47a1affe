//! Calls into a guest that waits for them, against what a crossing costs at least.
//!
//! Each pair has a sandbox of its own: one that lived on would be in the way of the other rows. What crosses between two cores is the least
//! mean of many short batches on both sides, for either core can be lent to others meanwhile; differences are those of least times; calls by exits
//! are one mean.

use std::hint::black_box;
use std::io::{Read, Write};
use std::process::{self, Stdio};
use std::time::{Duration, Instant};

use ampoule::{Events, Floor, Func, Idle, Imports, Live, Overflow, Program, Sandbox};
use ampoule_tests::program;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::report::Goal;
use crate::subjects::{Subject, floor, generous};

/// A function that takes a number and returns one.
type Numbers = Func<(u32,), u32>;

/// Calls before the first that is timed.
pub(crate) const WARM_UP: u32 = 20;
/// Calls that are timed together, as many as the floor has exits.
const CALLS: u32 = 100;
/// Events between two exits: as many as the floor has stores.
const EVENTS: u32 = 80;
/// Calls or round trips of a batch, and batches: as many as the floor has.
const BATCH: u32 = 100;
const BATCHES: u32 = 200;
/// A machine that lends its cores out all the time gets no more batches than fit into this, as with the floor.
const BATCH_TIME: Duration = Duration::from_millis(500);
/// Bytes that go in and come out.
const MESSAGE: usize = 1 << 20;
/// Times that they do.
const MESSAGES: u32 = 20;
/// Longer than anything between two calls of a row.
const IDLE: Duration = Duration::from_millis(100);

/// These rows, in the order of the report.
pub(crate) fn all() -> Vec<Subject> {
    let row = |name, floor, most, margin, pair| Subject {
        name,
        floor,
        goal: Goal::Ratio { most, margin },
        time: Duration::from_secs(5),
        pair,
    };
    vec![
        row("call", "bare exit", 1.10, 0.05, hypercall("next")),
        row("call that calls the host", "bare exit", 2.15, 0.10, hypercall("asks")),
        row("live call, bytes", "bare ping-pong", 1.5, 0.2, live_bytes()),
        row("live call, typed", "bare ping-pong", 3.0, 0.3, live_typed()),
        row("posted event", "bare posted store", 1.10, 0.05, posted_event()),
        row("echo of 1 MiB", "its 3 memcpys", 2.5, 0.2, echo()),
        row("live echo of 1 MiB", "its 3 memcpys", 2.5, 0.2, live_echo()),
        Subject {
            name: "worker behind two pipes",
            floor: "bare exit",
            goal: Goal::None,
            time: Duration::from_secs(2),
            pair: worker(),
        },
    ]
}

/// The host's function that the guest needs.
fn imports() -> Imports<()> {
    Imports::new().func("host_next", |_, (number,): (u32,)| number.wrapping_add(1))
}

fn sandbox(program: &Program) -> Sandbox<()> {
    Sandbox::new(program, &imports(), ()).expect("a sandbox")
}

fn live(program: &Program) -> Live<()> {
    sandbox(program).into_live(Idle::spin(IDLE)).expect("a live sandbox")
}

fn function(program: &Program, name: &str) -> Numbers {
    program.func(name).expect("a function of the guest")
}

/// The mean of `count` times of `act`, after a warm-up.
pub(crate) fn mean(count: u32, mut act: impl FnMut()) -> Duration {
    for _ in 0..WARM_UP {
        act();
    }
    timed(count, &mut act)
}

/// The least of `batches` such means.
fn least(batches: u32, count: u32, mut act: impl FnMut()) -> Duration {
    for _ in 0..WARM_UP {
        act();
    }
    let began = Instant::now();
    let mut least = Duration::MAX;
    for _ in 0..batches {
        least = least.min(timed(count, &mut act));
        if began.elapsed() >= BATCH_TIME {
            break;
        }
    }
    least
}

pub(crate) fn timed(count: u32, act: &mut impl FnMut()) -> Duration {
    let from = Instant::now();
    for _ in 0..count {
        act();
    }
    from.elapsed() / count
}

/// A typed call by exits.
fn hypercall(name: &'static str) -> Box<dyn FnMut() -> (Duration, Duration)> {
    let program = program("calls_plugin");
    let (function, call) = (function(&program, name), generous());
    Box::new(move || {
        let mut guest = sandbox(&program);
        let taken = mean(CALLS, || {
            assert_eq!(guest.call_with(&function, (41,), &call).expect("a reply"), 42);
        });
        drop(guest);
        (taken, floor(Floor::Exit))
    })
}

fn live_bytes() -> Box<dyn FnMut() -> (Duration, Duration)> {
    let program = program("calls_plugin");
    let call = generous();
    let mut reply = Vec::new();
    Box::new(move || {
        with_all_cpus(|| {
            let mut guest = live(&program);
            let taken = least(BATCHES, BATCH, || {
                guest.call_bytes("echo", b"01234567", &mut reply, &call).expect("a reply");
            });
            assert_eq!(reply, b"01234567");
            drop(guest);
            (taken, floor(Floor::PingPong))
        })
    })
}

fn live_typed() -> Box<dyn FnMut() -> (Duration, Duration)> {
    let program = program("calls_plugin");
    let (function, call) = (function(&program, "next"), generous());
    Box::new(move || {
        with_all_cpus(|| {
            let mut guest = live(&program);
            let taken = least(BATCHES, BATCH, || {
                assert_eq!(guest.call_with(&function, (41,), &call).expect("a reply"), 42);
            });
            drop(guest);
            (taken, floor(Floor::PingPong))
        })
    })
}

/// What a call that posts takes longer than one that does not: the store, and the host's taking of the event.
fn posted_event() -> Box<dyn FnMut() -> (Duration, Duration)> {
    let program = program("calls_plugin");
    let (function, call) = (function(&program, "posts"), generous());
    Box::new(move || {
        let builder = Sandbox::builder(&program, &imports());
        let (builder, events) = builder.events(usize::try_from(EVENTS).unwrap_or(usize::MAX), Overflow::Stop);
        let mut guest = builder.build(()).expect("a sandbox");
        let mut with = |count: u32| {
            let mut least = Duration::MAX;
            for _ in 0..CALLS {
                let from = Instant::now();
                guest.call_with(&function, (count,), &call).expect("a reply");
                least = least.min(from.elapsed());
                assert_eq!(taken(&events), count);
            }
            least
        };
        let (posting, silent) = (with(EVENTS), with(0));
        drop(guest);
        (posting.saturating_sub(silent) / EVENTS, floor(Floor::PostedWrite))
    })
}

/// How many events there were.
fn taken(events: &Events) -> u32 {
    let mut count = 0;
    while events.try_next().is_some() {
        count += 1;
    }
    count
}

fn echo() -> Box<dyn FnMut() -> (Duration, Duration)> {
    let program = program("calls_plugin");
    let call = generous();
    let (message, mut reply) = (message(), Vec::new());
    Box::new(move || {
        let mut guest = sandbox(&program);
        let taken = least(MESSAGES, 1, || {
            guest.call_bytes("echo", black_box(&message), &mut reply, &call).expect("a reply");
        });
        assert_eq!(reply, message);
        drop(guest);
        (taken, copies(&message))
    })
}

fn live_echo() -> Box<dyn FnMut() -> (Duration, Duration)> {
    let program = program("calls_plugin");
    let call = generous();
    let (message, mut reply) = (message(), Vec::new());
    Box::new(move || {
        with_all_cpus(|| {
            let mut guest = live(&program);
            let taken = least(MESSAGES, 1, || {
                guest.call_bytes("echo", black_box(&message), &mut reply, &call).expect("a reply");
            });
            assert_eq!(reply, message);
            drop(guest);
            (taken, copies(&message))
        })
    })
}

fn message() -> Vec<u8> {
    (0..=u8::MAX).cycle().take(MESSAGE).collect()
}

/// What an echo cannot do without: from the host's memory into the guest's, from input to reply, and back. Between four buffers that stay, as
/// those of host and guest do.
fn copies(message: &[u8]) -> Duration {
    let mut buffers = [vec![0; MESSAGE], vec![0; MESSAGE], vec![0; MESSAGE]];
    let taken = least(MESSAGES, 1, || {
        let mut from = black_box(message);
        for buffer in &mut buffers {
            buffer.copy_from_slice(from);
            from = black_box(buffer);
        }
    });
    assert!(buffers.iter().all(|buffer| buffer == message));
    taken
}

/// The same eight bytes to a process and back: `cat`, on the same CPU as this thread where that is pinned.
fn worker() -> Box<dyn FnMut() -> (Duration, Duration)> {
    Box::new(|| {
        let spawned = process::Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.expect("cat: install coreutils");
        let (mut to, mut from) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let mut reply = [0; 8];
        let taken = mean(CALLS, || {
            to.write_all(b"01234567").and_then(|()| from.read_exact(&mut reply)).expect("an echo");
        });
        drop(to);
        child.wait().expect("its end");
        (taken, floor(Floor::Exit))
    })
}

/// Lets this thread, and those that it starts, run on every CPU meanwhile: a live guest and its caller need one each, and whoever starts the
/// benchmarks may have pinned them to one.
pub(crate) fn with_all_cpus<T>(measure: impl FnOnce() -> T) -> T {
    let before = sched_getaffinity(None).expect("the CPUs of this thread");
    let mut all = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|cpu| all.set(cpu));
    // Those that do not exist, or are not for this process, are left out by the kernel.
    sched_setaffinity(None, &all).expect("all CPUs for this thread");
    let result = measure();
    sched_setaffinity(None, &before).expect("the CPUs of before");
    result
}
