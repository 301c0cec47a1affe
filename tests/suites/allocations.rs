//! What a call allocates on the host, unless its values do: nothing, once its buffers have grown, and a restore no more; and what memory an idle
//! sandbox takes. Seen by an allocator that counts for the whole process, the thread of a live guest included, hence without the harness that runs
//! tests on threads of its own.

#![allow(clippy::expect_used, clippy::panic, reason = "this is a test, whose main is not marked as one")]
#![allow(missing_docs, reason = "a test has no readers of its interface")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use ampoule::{Idle, Imports, Program, Sandbox, Snapshot};
use ampoule_tests::{call_bytes, echoing, harness, honest_call, program, sandbox};

/// The system's allocator, with a count of what is asked of it.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static DEALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// Bytes given out and not given back.
static HELD: AtomicUsize = AtomicUsize::new(0);
/// The next request says where it comes from.
static LOUD: AtomicBool = AtomicBool::new(false);

// SAFETY: every request is the system allocator's to answer, unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(&ALLOCATIONS, "allocation");
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(&DEALLOCATIONS, "deallocation");
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above; what this allocator gave out is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(&ALLOCATIONS, "reallocation");
        HELD.fetch_add(size, Ordering::Relaxed);
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn count(counter: &AtomicU64, what: &str) {
    counter.fetch_add(1, Ordering::Relaxed);
    // Saying so allocates, and is not asked again.
    if LOUD.swap(false, Ordering::Relaxed) {
        eprintln!("{what}\n{}", std::backtrace::Backtrace::force_capture());
    }
}

/// Calls before the first that is counted.
const WARM_UP: usize = 100;
const CALLS: usize = 1000;

fn main() {
    for (promise, check) in [
        ("a warm call of bytes allocates nothing", || by_exits("echo", b"01234567")),
        ("a warm call of bytes that calls the host allocates nothing", || by_exits("calls_host", b"01234567")),
        ("a warm call of a long message allocates nothing", || by_exits("echo", &[7; 1 << 20])),
        ("a warm live call of bytes allocates nothing", || live("echo", b"01234567")),
        ("a warm live call of bytes that calls the host allocates nothing", || live("calls_host", b"01234567")),
        ("a warm live call of a long message allocates nothing", || live("echo", &[7; 1 << 20])),
        ("a warm call with numbers allocates nothing", typed),
        ("a warm restore and a call after it allocate nothing", restored),
        ("a twin's life in a used machine allocates a few times", twins),
        ("a warm input that is fuzzed allocates nothing", fuzzed),
        ("warm inputs in a batch allocate nothing each", fuzzed_in_batches),
        ("an idle sandbox of a snapshot takes a few KiB, and the pages that it wrote", idle),
    ] as [(&str, fn()); 12]
    {
        print!("{promise} ... ");
        std::io::stdout().flush().expect("stdout");
        check();
        println!("ok");
    }
}

fn by_exits(name: &str, input: &[u8]) {
    let mut plugin = sandbox(&program("plugin"), &echoing());
    let (mut reply, call) = (Vec::new(), honest_call());
    allocates_nothing(|| plugin.call_bytes(name, input, &mut reply, &call).expect("a reply"));
    assert_eq!(reply, input);
}

fn live(name: &str, input: &[u8]) {
    let plugin = sandbox(&program("plugin"), &echoing());
    let mut plugin = plugin.into_live(Idle::spin(Duration::from_millis(10))).expect("a live plugin");
    let (mut reply, call) = (Vec::new(), honest_call());
    allocates_nothing(|| plugin.call_bytes(name, input, &mut reply, &call).expect("a reply"));
    assert_eq!(reply, input);
}

fn typed() {
    let program = program("calls_plugin");
    let imports = Imports::new().func("host_next", |_, (number,): (u32,)| number.wrapping_add(1));
    let (mut plugin, call) = (sandbox(&program, &imports), honest_call());
    for name in ["next", "asks"] {
        let function = program.func::<(u32,), u32>(name).expect("a function of the guest");
        let mut number = 0;
        allocates_nothing(|| number = plugin.call_with(&function, (number,), &call).expect("a reply"));
        assert_eq!(usize::try_from(number), Ok(WARM_UP + CALLS));
    }
}

fn allocates_nothing(mut act: impl FnMut()) {
    let counts = || [&ALLOCATIONS, &DEALLOCATIONS].map(|count| count.load(Ordering::Relaxed));
    for _ in 0..WARM_UP {
        act();
    }
    let before = counts();
    for _ in 0..CALLS {
        act();
    }
    let after = counts();
    if after != before {
        LOUD.store(true, Ordering::Relaxed);
        act();
        panic!("{CALLS} calls: {before:?} allocations and deallocations before, {after:?} after");
    }
}

/// A guest that has served a call, and its state then.
fn warm(program: &Program) -> (Sandbox<()>, Snapshot) {
    let mut plugin = sandbox(program, &Imports::new());
    call_bytes(&mut plugin, "dirty", b"16").expect("a reply");
    let snapshot = plugin.snapshot().expect("a snapshot");
    (plugin, snapshot)
}

fn restored() {
    let (mut plugin, snapshot) = warm(&program("states"));
    let (mut reply, call) = (Vec::new(), honest_call());
    allocates_nothing(|| {
        plugin.restore(&snapshot).expect("a restore");
        plugin.call_bytes("dirty", b"16", &mut reply, &call).expect("a reply");
    });
}

/// Allocations in a twin's life: its core, its process's tables, its streams. Not one of them is in its machine.
const TWIN: u64 = 13;

fn twins() {
    let (plugin, snapshot) = warm(&program("states"));
    drop(plugin);
    let (mut reply, call, imports) = (Vec::new(), honest_call(), Imports::new());
    allocates_at_most(TWIN, || {
        let mut twin = snapshot.spawn(&imports, ()).expect("a twin");
        twin.call_bytes("dirty", b"16", &mut reply, &call).expect("a reply");
    });
}

fn fuzzed() {
    for guest in ["parser", "busy"] {
        let mut harness = harness(guest);
        allocates_nothing(|| assert!(harness.run(b"AMPL\x01n\x03123").expect("a verdict").is_ok()));
    }
}

/// Inputs of a batch, and what it may allocate: the list of its inputs, and what they write to.
const BATCH: usize = 100;
const BATCH_ALLOCATIONS: u64 = 10;

fn fuzzed_in_batches() {
    let mut harness = harness("parser");
    let inputs = [b"AMPL\x01n\x03123"; BATCH];
    allocates_at_most(BATCH_ALLOCATIONS, || {
        let mut told = 0;
        harness.run_batch(&inputs, |_, verdict, _| told += usize::from(verdict.is_ok())).expect("verdicts");
        assert_eq!(told, BATCH);
    });
}

/// Sandboxes that are alive and idle.
const IDLE_SANDBOXES: usize = 1000;
/// Bytes for each, before its first call and after. They have no mapping of their own, so that this is all that is theirs.
const IDLE_BYTES: [usize; 2] = [4 << 10, 64 << 10];

fn idle() {
    let (plugin, snapshot) = warm(&program("states"));
    drop(plugin);
    let spawn = || snapshot.spawn(&Imports::new(), ()).expect("a twin");
    let before = HELD.load(Ordering::Relaxed);
    let each = || (HELD.load(Ordering::Relaxed) - before) / IDLE_SANDBOXES;
    let mut twins: Vec<_> = (0..IDLE_SANDBOXES).map(|_| spawn()).collect();
    let spawned = each();
    for twin in &mut twins {
        call_bytes(twin, "dirty", b"0").expect("a reply");
        twin.park().expect("parked");
    }
    let held = [spawned, each()];
    print!("{held:?} bytes ... ");
    assert!(held.iter().zip(IDLE_BYTES).all(|(held, most)| *held <= most));
}

/// What each of many does, on average and rounded up.
fn allocates_at_most(most: u64, mut act: impl FnMut()) {
    for _ in 0..WARM_UP {
        act();
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..CALLS {
        act();
    }
    let each = (ALLOCATIONS.load(Ordering::Relaxed) - before).div_ceil(CALLS as u64);
    if each > most {
        LOUD.store(true, Ordering::Relaxed);
        act();
        panic!("{each} allocations, and there were {most}");
    }
}
