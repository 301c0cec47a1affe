//! Thousands of runs of every kind, and thousands of programs that no linker made: each has the ending that it deserves, and the process that embeds them has
//! its descriptors, threads, mappings and memory back.
//!
//! `AMPOULE_TEST_SCALE=50` makes it 10,000 of each. A program that fails is found again by `AMPOULE_TEST_SEED`, which its failure names.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is a test, whose main is not marked as one"
)]
#![allow(missing_docs, reason = "a test has no readers of its interface")]

use ampoule::{
    Call, CallError, CancelToken, Command, End, Imports, Limit, Limits, Overflow, Pool, Program, RunError, Sandbox,
    Snapshot, State, Stdio,
};
use ampoule_tests::{
    call_bytes, call_bytes_within, echoing, guest, honest_call, mappings, open_files, program, resident, run_hello,
    sandbox, scale, threads_settle_at,
};
use std::io::{Read, Write};
use std::time::Duration;

/// What the process may have more of after any number of runs: the allocator's and the kept machines' slack, not a share of the runs.
const SLACK: u64 = 32 << 20;
/// Mappings of machines that are kept come and go by a few.
const MORE_MAPPINGS: usize = 8;
/// Machines that are kept for the next run.
const KEPT_MACHINES: usize = 4;
const SHORT: Duration = Duration::from_millis(2);

fn main() {
    ampoule::set_max_idle_machines(KEPT_MACHINES);
    for (promise, check) in [
        ("what a guest asks for, the host does not allocate", what_a_guest_asks_for_the_host_does_not_allocate as fn()),
        ("mixed runs leave nothing that grows", mixed_runs_leave_nothing_that_grows),
        ("programs with changed bytes each end with a name", changed_programs_each_end_with_a_name),
    ] {
        print!("{promise} ... ");
        std::io::stdout().flush().expect("stdout");
        check();
        println!("ok");
    }
}

/// What the process has while nothing runs.
struct Possessions {
    threads: usize,
    files: Vec<String>,
    mappings: usize,
    resident: u64,
}

impl Possessions {
    /// With so many threads: this one, and those that a pool has.
    fn with_threads(threads: usize) -> Self {
        threads_settle_at(threads);
        // How many machines are kept for the next run differs from one moment to the next.
        ampoule::set_max_idle_machines(0);
        let now = Self { threads, files: open_files(), mappings: mappings(), resident: resident() };
        ampoule::set_max_idle_machines(KEPT_MACHINES);
        now
    }

    fn have_not_grown(&self) {
        let now = Self::with_threads(self.threads);
        assert!(now.files.len() <= self.files.len(), "{:#?} became {:#?}", self.files, now.files);
        assert!(now.mappings <= self.mappings + MORE_MAPPINGS, "{} mappings became {}", self.mappings, now.mappings);
        assert!(now.resident <= self.resident + SLACK, "{} bytes became {}", self.resident, now.resident);
    }
}

fn end(name: &str, args: &[&str], limits: Limits, call: Call) -> End {
    Command::new(&program(name)).args(args).limits(limits).call(call).output().expect("a typed ending").end
}

fn small() -> Limits {
    Limits::new().memory(24 << 20)
}

/// A snapshot, what it looks like as a file, and a pool of it: made once, used by every round.
struct Shared {
    snapshot: Snapshot,
    file: Vec<u8>,
    pool: Pool<()>,
}

impl Shared {
    fn new() -> Self {
        let snapshot = sandbox(&program("states"), &Imports::new()).snapshot().expect("a snapshot");
        let mut file = Vec::new();
        snapshot.write_to(&mut file).expect("a file");
        let pool = Pool::builder(&snapshot, &Imports::new()).warm(1).max(2).build().expect("a pool");
        Self { snapshot, file, pool }
    }
}

/// One run of one kind; each is checked for its own ending.
type Kind = fn(&Shared);

const KINDS: &[Kind] = &[
    |_| run_hello(),
    |_| assert_eq!(end("exits", &["exit", "7"], small(), honest_call()), End::Exited(7)),
    |_| assert!(matches!(end("exits", &["abort"], small(), honest_call()), End::Signaled(_))),
    |_| assert!(matches!(end("memory", &["write null"], small(), honest_call()), End::Trap(_))),
    |_| assert!(matches!(end("memory", &["recurse"], small(), honest_call()), End::Trap(_))),
    |_| assert!(matches!(end("instructions", &["hlt"], small(), honest_call()), End::Trap(_))),
    |_| assert!(matches!(end("instructions", &["iretq-noncanonical"], small(), honest_call()), End::Trap(_))),
    |_| assert_eq!(end("endless", &["spin"], small(), honest_call().wall(SHORT)), End::Limit(Limit::Wall)),
    |_| assert_eq!(end("endless", &["syscall"], small(), honest_call().cpu(SHORT)), End::Limit(Limit::Cpu)),
    |_| assert_eq!(end("endless", &["sleep"], small(), honest_call().wall(SHORT)), End::Limit(Limit::Wall)),
    |_| assert_eq!(end("endless", &["write"], small(), honest_call().output(10_000)), End::Limit(Limit::Output)),
    |_| assert_eq!(end("endless", &["futex"], small(), honest_call()), End::Deadlock),
    |_| assert_eq!(end("hungry", &["touch"], small(), honest_call()), End::Limit(Limit::Memory)),
    |_| assert_eq!(end("hungry", &["map"], small(), honest_call()), End::Exited(0)),
    |_| assert_eq!(end("hungry", &["files"], small(), honest_call()), End::Exited(0)),
    |_| assert_eq!(end("hungry", &["unnamed files"], small(), honest_call()), End::Exited(0)),
    |_| {
        let token = CancelToken::new();
        token.cancel();
        assert_eq!(end("endless", &["spin"], small(), honest_call().cancel(&token)), End::Cancelled);
    },
    |_| {
        let mut child = Command::new(&program("endless"))
            .args(["read", "say"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .call(honest_call())
            .spawn()
            .expect("a child");
        child.stdout.as_mut().expect("a pipe").read_exact(&mut [0; 6]).expect("the first line");
        child.kill();
        assert_eq!(child.wait().expect("a typed ending").end, End::Cancelled);
    },
    |_| {
        let (builder, _events) = Sandbox::builder(&program("plugin"), &echoing()).events(8, Overflow::Stop);
        let mut plugin = builder.build(()).expect("a sandbox");
        assert_eq!(call_bytes(&mut plugin, "calls_host", b"text").expect("a reply"), b"text");
    },
    |_| {
        let mut tasks = sandbox(&program("tasks"), &Imports::new());
        assert!(matches!(call_bytes(&mut tasks, "faults", b""), Err(CallError::Ended(End::Trap(_)))));
        assert_eq!(tasks.state(), State::Ended);
    },
    |_| {
        let mut hostile = sandbox(&program("hostile_accesses"), &echoing());
        let call = honest_call().wall(SHORT);
        let result = call_bytes_within(&mut hostile, "misbehave", b"silence", &call);
        assert!(matches!(result, Err(CallError::Ended(End::Limit(Limit::Wall)))), "{result:?}");
    },
    |shared| {
        let mut twin = shared.snapshot.spawn(&Imports::new(), ()).expect("a twin");
        call_bytes(&mut twin, "dirty", b"100 3").expect("a reply");
        twin.restore(&shared.snapshot).expect("restored");
        twin.park().expect("parked");
        call_bytes(&mut twin, "count", b"").expect("a reply");
    },
    |shared| {
        let loaded = Snapshot::from_bytes(&shared.file).expect("a snapshot");
        let mut twin = loaded.spawn(&Imports::new(), ()).expect("a twin");
        call_bytes(&mut twin, "count", b"").expect("a reply");
        drop(twin.snapshot().expect("a snapshot"));
    },
    |shared| {
        let mut taken = shared.pool.take(()).expect("a sandbox");
        assert!(call_bytes_within(&mut taken, "spins", b"", &honest_call().wall(SHORT)).is_err());
    },
    |shared| {
        let mut taken = shared.pool.take(()).expect("a sandbox");
        call_bytes(&mut taken, "count", b"").expect("a reply");
    },
];

fn mixed_runs_leave_nothing_that_grows() {
    let shared = Shared::new();
    // The pool's keeper is one more.
    let threads = 2;
    let rounds = |count: usize| {
        for round in 0..count {
            KINDS[round * 7 % KINDS.len()](&shared);
        }
    };
    // A thread keeps the descriptor that it waits with from its first wait on: this program waits, however slow the machine is.
    assert_eq!(end("clocks", &[], small(), honest_call()), End::Exited(0));
    // What is kept for the next run is kept after the first of each kind.
    rounds(3 * KINDS.len());
    let before = Possessions::with_threads(threads);
    rounds(scale(200));
    before.have_not_grown();
    run_hello();
}

/// The most memory that was ever resident, in bytes.
fn highest() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a file of /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the highest resident set");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

fn what_a_guest_asks_for_the_host_does_not_allocate() {
    // Terabytes, billions of descriptors, gibibytes in one call, and vectors as long as they may be: within 24 MiB.
    let stdin = vec![0x2e; 10_000];
    let ask = || {
        for (name, args) in [
            ("pointers", &[][..]),
            ("vectors", &[]),
            ("paths", &[]),
            ("hungry", &["hole"]),
            ("hungry", &["seek"]),
            ("hungry", &["truncate"]),
            ("hungry", &["mappings"]),
            ("hungry", &["sparse"]),
            ("hungry", &["directories"]),
            ("hungry", &["signals"]),
            ("handlers", &["crash in handler, again and again"]),
        ] {
            let program = program(name);
            let mut command = Command::new(&program);
            command.args(args).stdin(Stdio::bytes(stdin.clone())).limits(small()).call(honest_call());
            command.output().expect("a typed ending");
        }
    };
    run_hello();
    let before = highest();
    ask();
    // The guest's own memory, its files within their quota, the page tables' mirror, and what describes its mappings.
    let most = before + (24 << 20) + 2 * u64::try_from(Limits::DEFAULT_FILE_BYTES).expect("64 bits") + SLACK;
    assert!(highest() <= most, "{before} bytes became {}, and {most} are plenty", highest());
}

/// Numbers that look random: splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).expect("64 bits");
        usize::try_from(self.next() % end).expect("64 bits")
    }
}

/// A program with some bytes changed: in its headers, its code or its data, one at a time or a word that is an edge.
fn changed(random: &mut Random) -> Vec<u8> {
    const EDGES: [u64; 10] = [0, 1, 0xfff, 0x1000, 0x40_0000, 1 << 31, 1 << 46, 0x7f80_0000_0000, 1 << 63, u64::MAX];
    let names = ["hello", "state", "streams", "instructions", "plugin", "raw"];
    let mut bytes = guest(names[random.below(names.len())]).to_vec();
    let headers = 64 + 56 * usize::from(bytes[56]);
    for _ in 0..1 + random.below(4) {
        // More than half of what accepts or refuses a file is in its first bytes.
        let within = if random.below(2) == 0 { headers } else { bytes.len() };
        let at = random.below(within - 8);
        match random.below(4) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next().to_le_bytes()[0],
            2 => bytes[at & !7..][..8].copy_from_slice(&EDGES[random.below(EDGES.len())].to_le_bytes()),
            _ => bytes[at..at + 4].copy_from_slice(&random.next().to_le_bytes()[..4]),
        }
    }
    if random.below(20) == 0 {
        bytes.truncate(random.below(bytes.len()));
    }
    bytes
}

/// Parses and runs one; false if it is none. Whatever it does, the host does not fail.
fn run_changed(seed: u64) -> bool {
    let mut random = Random(seed);
    let bytes = changed(&mut random);
    let Ok(program) = Program::options().allow_write_execute(random.below(2) == 0).from_bytes(bytes) else {
        return false;
    };
    if let Err(error) = program.interface() {
        assert!(!error.to_string().is_empty());
    }
    let limits = Limits::new().memory(16 << 20).file_bytes(1 << 20).file_count(16);
    let call = Call::new().wall(Duration::from_millis(20)).cpu(Duration::from_millis(20)).output(1 << 16);
    match Command::new(&program).arg("observe").limits(limits).call(call).output() {
        Ok(output) => assert!(!output.end.to_string().is_empty()),
        Err(RunError::TooLittleMemory { limit }) => assert_eq!(limit, 16 << 20),
        Err(error) => panic!("AMPOULE_TEST_SEED={seed}: the host failed: {error}"),
    }
    true
}

/// Says which program it was, if it is dropped by a panic.
struct Naming(u64);

impl Drop for Naming {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("AMPOULE_TEST_SEED={} is the program that failed", self.0);
        }
    }
}

fn changed_programs_each_end_with_a_name() {
    if let Some(seed) = std::env::var("AMPOULE_TEST_SEED").ok().and_then(|seed| seed.parse().ok()) {
        run_changed(seed);
        return;
    }
    let run = |seeds: std::ops::Range<u64>| {
        let programs = seeds.filter(|&seed| {
            let _naming = Naming(seed);
            run_changed(seed)
        });
        programs.count()
    };
    run(0..50);
    let before = Possessions::with_threads(1);
    let count = scale(200);
    let ran = run(50..50 + u64::try_from(count).expect("64 bits"));
    before.have_not_grown();
    assert!(ran >= count / 10, "only {ran} of {count} were programs at all");
    run_hello();
}
