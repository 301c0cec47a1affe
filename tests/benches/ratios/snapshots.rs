//! Restores, twins and machines that are used again, against what entering a guest and making a virtual machine cost at least.
//!
//! ```text
//! restores     restore, call, reply: the guest writes to pages that it always writes to, to pages that it left alone, or changes a mapping
//! twins        spawn, call, reply, drop: in a machine that is kept, or in a new one
//! snapshots    of a guest that wrote to some pages since the last one
//! pool         how much longer a request takes when another thread makes requests as well
//! ```
//! Each pair has a sandbox of its own, as in [`calls`]. Its guest has served a call before its snapshot, for the first makes it allocate.

use std::time::{Duration, Instant};

use ampoule::{
    Call, Command, End, Floor, Imports, Limits, Pool, Program, Sandbox, Snapshot, idle_machines, set_max_idle_machines,
};
use ampoule_tests::program;

use crate::calls::{WARM_UP, mean, timed, with_all_cpus};
use crate::report::Goal;
use crate::subjects::{Subject, floor, generous};

/// Restores or spawns that are timed together.
const ROUNDS: u32 = 100;
/// Those that take as long as making a virtual machine.
const SLOW_ROUNDS: u32 = 10;
/// Snapshots before the first that is timed: by then it is known which pages a guest has left alone since it booted.
const SETTLING: u32 = 3;
/// Pages of the guest's that it can be asked to write to.
const PAGES: u32 = 1024;
/// Pages that it writes to between two restores.
const FEW: u32 = 16;
/// Machines that are kept where a row uses them again.
const KEPT: usize = 4;
/// Sandboxes that are alive and idle.
const IDLE: usize = 1000;

/// These rows, in the order of the report.
pub(crate) fn all() -> Vec<Subject> {
    let row = |name, floor, most, margin, pair| Subject {
        name,
        floor,
        goal: Goal::Ratio { most, margin },
        time: Duration::from_secs(5),
        pair,
    };
    let unjudged = |name, floor, pair| Subject { name, floor, goal: Goal::None, time: Duration::from_secs(2), pair };
    vec![
        unjudged("restore, 0 pages", "bare exit", restore(0)),
        row("restore, 16 pages", "bare exit", 1.20, 0.05, restore(FEW)),
        row("restore, 256 pages", "bare exit", 1.45, 0.10, restore(256)),
        row("restore, 16 new pages", "bare exit", 2.60, 0.15, restore_new()),
        Subject {
            name: "restore, an mprotect",
            floor: "restore without it",
            goal: Goal::Difference { most: Duration::from_micros(15), margin: Duration::from_micros(3) },
            time: Duration::from_secs(5),
            pair: restore_protection(),
        },
        // 90 µs, where an exit takes 30.
        row("twin", "bare exit", 3.0, 0.3, twin(0)),
        row("twin beside 1,000 idle", "bare exit", 3.0, 0.3, twin(IDLE)),
        row("twin in a new machine", "bare VM's creation", 1.15, 0.10, twin_in_new()),
        row("Command, used machine", "bare VM's life", 0.30, 0.03, life_again()),
        // 100 µs.
        row("snapshot, 64 MiB", "bare exit", 3.3, 0.3, snapshot(64 << 20, 2_000)),
        row("snapshot, 1 GiB", "bare exit", 3.3, 0.3, snapshot(1 << 30, 20_000)),
        // Throughput on two threads ÷ one at least 0.95 of what bare exits reach: the other way round, for these are times.
        row("pool on two threads", "bare exits on two", 1.05, 0.10, pool_on_two_threads()),
    ]
}

/// A guest that is called in the same way each time.
struct Guest {
    sandbox: Sandbox<()>,
    reply: Vec<u8>,
    call: Call,
}

impl Guest {
    fn new(sandbox: Sandbox<()>) -> Self {
        Self { sandbox, reply: Vec::new(), call: generous() }
    }

    fn call(&mut self, name: &str, arguments: &str) {
        self.sandbox.call_bytes(name, arguments.as_bytes(), &mut self.reply, &self.call).expect("a reply");
    }

    fn restore(&mut self, snapshot: &Snapshot) {
        self.sandbox.restore(snapshot).expect("a restore");
    }
}

fn booted(program: &Program, limits: Limits) -> Guest {
    let sandbox = Sandbox::builder(program, &Imports::new()).limits(limits).build(()).expect("a sandbox");
    Guest::new(sandbox)
}

/// A guest that has served a call.
fn warm() -> Snapshot {
    let mut guest = booted(&program("states"), Limits::new());
    guest.call("dirty", "0");
    guest.sandbox.snapshot().expect("a snapshot")
}

fn spawn(snapshot: &Snapshot) -> Guest {
    Guest::new(snapshot.spawn(&Imports::new(), ()).expect("a twin"))
}

/// What the guest is asked for: to write to so many pages.
fn pages(count: u32) -> String {
    count.to_string()
}

/// Restore, call, reply; the guest writes to the same pages each time.
fn restore(count: u32) -> Box<dyn FnMut() -> (Duration, Duration)> {
    let (snapshot, arguments) = (warm(), pages(count));
    Box::new(move || {
        let mut guest = spawn(&snapshot);
        let taken = mean(ROUNDS, || {
            guest.restore(&snapshot);
            guest.call("dirty", &arguments);
        });
        drop(guest);
        (taken, floor(Floor::Exit))
    })
}

/// The same with pages that are present, and that no run before wrote to since they were protected: others each time.
fn restore_new() -> Box<dyn FnMut() -> (Duration, Duration)> {
    let snapshot = warm();
    let arguments: Vec<_> = (0..PAGES / FEW).map(|round| format!("{FEW} {}", round * FEW)).collect();
    Box::new(move || {
        let mut guest = spawn(&snapshot);
        guest.call("dirty", &pages(PAGES));
        for _ in 0..WARM_UP {
            guest.restore(&snapshot);
            guest.call("dirty", "0");
        }
        let mut arguments = arguments.iter();
        let taken = timed(PAGES / FEW, &mut || {
            guest.restore(&snapshot);
            guest.call("dirty", arguments.next().expect("pages that are new"));
        });
        drop(guest);
        (taken, floor(Floor::Exit))
    })
}

/// Restore, call, reply after a call that made a page read-only, and after one that changed nothing. The call before is not counted.
fn restore_protection() -> Box<dyn FnMut() -> (Duration, Duration)> {
    let snapshot = warm();
    Box::new(move || {
        let mut guest = spawn(&snapshot);
        let mut after = |arguments: &str| {
            let mut total = Duration::ZERO;
            for round in 0..WARM_UP + ROUNDS {
                guest.call("protect", arguments);
                let from = Instant::now();
                guest.restore(&snapshot);
                guest.call("dirty", "0");
                if round >= WARM_UP {
                    total += from.elapsed();
                }
            }
            total / ROUNDS
        };
        (after("1 0"), after("0 0"))
    })
}

/// Spawn, call, reply, drop, in a machine that is kept and had a twin before; beside so many that are alive without one.
fn twin(idle: usize) -> Box<dyn FnMut() -> (Duration, Duration)> {
    let (snapshot, arguments) = (warm(), pages(FEW));
    Box::new(move || {
        let taken = with_kept_machines(|| {
            let mut others: Vec<_> = (0..idle).map(|_| spawn(&snapshot)).collect();
            for other in &mut others {
                other.call("dirty", &arguments);
                other.sandbox.park().expect("parked");
            }
            let taken = mean(ROUNDS, || spawn(&snapshot).call("dirty", &arguments));
            assert_eq!(idle_machines(), 1, "all had the same");
            taken
        });
        (taken, floor(Floor::Exit))
    })
}

/// Spawn, call, reply where no machine is kept. Its drop is not counted.
fn twin_in_new() -> Box<dyn FnMut() -> (Duration, Duration)> {
    let (snapshot, arguments) = (warm(), pages(FEW));
    Box::new(move || {
        let from = Instant::now();
        let mut guest = spawn(&snapshot);
        guest.call("dirty", &arguments);
        let taken = from.elapsed();
        drop(guest);
        (taken, floor(Floor::VmCreation))
    })
}

/// From `Command::new` until its output is there and its machine is back.
fn life_again() -> Box<dyn FnMut() -> (Duration, Duration)> {
    let program = program("hello");
    Box::new(move || {
        let taken = with_kept_machines(|| {
            mean(SLOW_ROUNDS, || {
                let output = Command::new(&program).call(generous()).output().expect("a run");
                assert_eq!((output.end, output.stdout.as_slice()), (End::Exited(0), b"hello\n".as_slice()));
            })
        });
        (taken, floor(Floor::VmLife))
    })
}

/// A snapshot of a guest that wrote to 64 pages since the last one, with so much memory, of which it has used so many pages before.
fn snapshot(memory: u64, used: u32) -> Box<dyn FnMut() -> (Duration, Duration)> {
    let program = program("states");
    Box::new(move || {
        let mut guest = booted(&program, Limits::new().memory(memory));
        guest.call("maps", &pages(used));
        let mut last = None;
        let mut total = Duration::ZERO;
        for round in 0..SETTLING + SLOW_ROUNDS {
            guest.call("dirty", "64");
            let from = Instant::now();
            let next = guest.sandbox.snapshot().expect("a snapshot");
            if round >= SETTLING {
                total += from.elapsed();
            }
            last = Some(next);
        }
        drop((guest, last));
        (total / SLOW_ROUNDS, floor(Floor::Exit))
    })
}

/// Keeps machines that nobody uses, for as long as `measure` takes.
pub(crate) fn with_kept_machines<T>(measure: impl FnOnce() -> T) -> T {
    set_max_idle_machines(KEPT);
    let result = measure();
    set_max_idle_machines(0);
    result
}

/// What a second thread costs the first: its time for a request when both make some ÷ when it is alone, in milliseconds for a ratio of one;
/// and the same of bare exits.
fn pool_on_two_threads() -> Box<dyn FnMut() -> (Duration, Duration)> {
    const REQUESTS: u32 = 300;
    let pool = Pool::builder(&warm(), &Imports::new()).warm(2).max(2).build().expect("a pool");
    let request = move |pool: &Pool<()>| {
        let (call, mut reply) = (generous(), Vec::new());
        mean(REQUESTS, || {
            let mut taken = pool.take(()).expect("a sandbox");
            taken.call_bytes("dirty", pages(FEW).as_bytes(), &mut reply, &call).expect("a reply");
        })
    };
    Box::new(move || {
        with_all_cpus(|| {
            let requests = slowed(|| request(&pool));
            (requests, slowed(|| floor(Floor::Exit)))
        })
    })
}

/// What `act` takes on two threads at once ÷ on one, in milliseconds.
fn slowed(act: impl Fn() -> Duration + Sync) -> Duration {
    let alone = act();
    let both = std::thread::scope(|scope| {
        let other = scope.spawn(&act);
        (act() + other.join().expect("no panic")) / 2
    });
    Duration::from_millis(1).mul_f64(both.as_secs_f64() / alone.as_secs_f64())
}
