//! The clock that a program reads without asking: what it costs, what it shows, and that it stays one clock wherever the program goes on.

use std::time::Duration;

use ampoule::{Call, Command, End, HostProbe, Imports, Output, Program, Sandbox, Snapshot, Sources, State};
use ampoule_tests::{
    Guest, call_bytes, honest_call, program, resume_bytes, run_inside, sandbox, scale, variants_of, word,
};
use rustix::time::{ClockId, clock_gettime};

/// What a record is good for (`docs/architecture.md`).
const SPAN: Duration = Duration::from_millis(100);
/// What `reads` of the guests reads.
const READINGS: u64 = 10_000;

/// Guests that read the clock in C, C++ and Rust, with every libc.
fn readers() -> impl Iterator<Item = &'static Guest> {
    ["vdso", "cpp", "rust"].into_iter().flat_map(variants_of)
}

fn run(guest: &Guest, sources: Sources) -> Output {
    let program = Program::from_bytes(guest.image()).expect("a program");
    let output = Command::new(&program).arg("reads").sources(sources).call(honest_call()).output().expect("a run");
    assert_eq!(output.end, End::Exited(0), "{} ({})", guest.name, guest.variant);
    output
}

/// Nanoseconds that the readings took by the program's own clock: the line that is a number.
fn taken(output: &Output) -> u64 {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().find_map(|line| line.parse().ok()).unwrap_or_else(|| panic!("no nanoseconds: {text}"))
}

/// System calls that told the time.
fn asked(output: &Output) -> u64 {
    let tell = |name: &str| ["clock_gettime", "gettimeofday", "time"].contains(&name);
    output.stats.syscalls.iter().filter(|call| tell(&call.name)).map(|call| call.count).sum()
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    u64::try_from(time.tv_sec).expect("after 1970") * 1_000_000_000 + u64::try_from(time.tv_nsec).expect("nanoseconds")
}

/// True if guests read the clock here without a system call.
fn has_clock() -> bool {
    let probe = HostProbe::get().expect("a host");
    let step = probe.steps().iter().find(|step| step.question.contains("time-stamp counter")).expect("a step");
    step.failure.is_none()
}

#[test]
fn guests_have_a_clock_where_the_kernel_takes_its_time_from_the_counter() {
    let source = std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let is_counter = source.expect("a clock source").trim() == "tsc";
    let processor = std::fs::read_to_string("/proc/cpuinfo").expect("a processor");
    let is_invariant = processor.split_ascii_whitespace().any(|flag| flag == "nonstop_tsc");
    assert_eq!(has_clock(), is_counter && is_invariant);
}

#[test]
fn ten_thousand_readings_make_a_system_call_for_each_tenth_of_a_second_where_there_is_a_clock() {
    // The process measures how long a tick takes, for a millisecond.
    std::thread::scope(|scope| while scope.spawn(|| run_inside("hello", &[])).join().is_err() {});
    for guest in readers() {
        let output = run(guest, Sources::Real);
        let most = 1 + taken(&output) / u64::try_from(SPAN.as_nanos()).expect("small");
        let calls = if has_clock() { 0..=most } else { READINGS..=u64::MAX };
        assert!(calls.contains(&asked(&output)), "{} ({}): {:?}", guest.name, guest.variant, output.stats.syscalls);
    }
}

#[test]
fn a_clock_of_the_programs_own_is_read_by_system_calls_only() {
    for guest in readers().filter(|guest| guest.variant != "pie") {
        let deterministic = run(guest, Sources::Deterministic(7));
        assert!(asked(&deterministic) >= READINGS, "{} ({})", guest.name, guest.variant);
        let readings = taken(&deterministic) / 1000;
        assert!((READINGS..READINGS + 10).contains(&readings), "a microsecond each: {readings}");
        let frozen = run(guest, Sources::Frozen);
        assert_eq!((taken(&frozen), asked(&frozen)), (0, asked(&deterministic)), "{} ({})", guest.name, guest.variant);
    }
}

#[test]
fn a_machine_that_had_the_hosts_clock_has_it_no_more_for_a_program_with_its_own() {
    let guest = variants_of("vdso").next().expect("a variant");
    for sources in [Sources::Real, Sources::Frozen, Sources::Real, Sources::Deterministic(1), Sources::Frozen] {
        let taken = taken(&run(guest, sources));
        match sources {
            Sources::Frozen => assert_eq!(taken, 0),
            Sources::Deterministic(_) => assert!(taken.is_multiple_of(1000)),
            _ => assert!(taken > 0),
        }
    }
}

#[test]
fn clocks_show_what_the_hosts_show() {
    for guest in variants_of("sources") {
        let program = Program::from_bytes(guest.image()).expect("a program");
        for _ in 0..scale(5) {
            let clocks = [ClockId::Realtime, ClockId::Monotonic];
            let before = clocks.map(nanos);
            let output = Command::new(&program).arg("clocks").call(honest_call()).output().expect("a run");
            let after = clocks.map(nanos);
            let text = String::from_utf8(output.stdout).expect("text");
            let told: Vec<u64> = text.lines().take(2).map(|line| line.parse().expect("nanoseconds")).collect();
            for (index, told) in told.iter().enumerate() {
                assert!((before[index]..=after[index]).contains(told), "{told} of {before:?} to {after:?}");
            }
        }
    }
}

fn watching() -> Sandbox<()> {
    sandbox(&program("clock"), &Imports::new())
}

fn spawn(snapshot: &Snapshot) -> Sandbox<()> {
    snapshot.spawn(&Imports::new(), ()).expect("a twin")
}

fn through_a_file(snapshot: &Snapshot) -> Snapshot {
    let mut bytes = Vec::new();
    snapshot.write_to(&mut bytes).expect("written");
    Snapshot::from_bytes(&bytes).expect("loaded")
}

#[test]
fn the_clock_goes_on_in_calls_twins_restores_and_files() {
    let mut watching = watching();
    let mut latest = 0;
    for _ in 0..scale(5) {
        let mut twin = spawn(&watching.snapshot().expect("a snapshot"));
        let told = word(&call_bytes(&mut twin, "watches", b"2000").expect("a clock"));
        assert!(told > latest);
        let loaded = through_a_file(&twin.snapshot().expect("a snapshot"));
        latest = word(&call_bytes(&mut spawn(&loaded), "watches", b"2000").expect("a clock"));
        assert!(latest > told);
        let snapshot = watching.snapshot().expect("a snapshot");
        let told = word(&call_bytes(&mut watching, "watches", b"2000").expect("a clock"));
        watching.restore(&snapshot).expect("a restore");
        latest = word(&call_bytes(&mut watching, "watches", b"2000").expect("a clock"));
        assert!(latest > told);
    }
}

#[test]
fn a_reading_that_is_stopped_at_any_moment_goes_on_in_twins_and_out_of_files() {
    let mut watching = watching();
    let ready = watching.snapshot().expect("a snapshot");
    let mut reply = Vec::new();
    let mut stopped = 0;
    // A system call for each takes longer.
    let readings: &[u8] = if has_clock() { b"20000" } else { b"200" };
    for (round, _) in (0_u64..).zip(0..scale(60)) {
        watching.restore(&ready).expect("a restore");
        let limits = Call::new().wall(Duration::from_micros(60 + round * 137 % 1500));
        // It may be over before it begins, or come to its end.
        let ended = watching.call_bytes("watches", readings, &mut reply, &limits).is_err();
        if ended && watching.state() == State::Stopped {
            stopped += 1;
            let snapshot = watching.snapshot().expect("a snapshot");
            let told = word(&resume_bytes(&mut spawn(&snapshot), &honest_call()).expect("a clock"));
            let told_later =
                word(&resume_bytes(&mut spawn(&through_a_file(&snapshot)), &honest_call()).expect("a clock"));
            assert!(told_later > told);
            assert!(word(&resume_bytes(&mut watching, &honest_call()).expect("a clock")) > told_later);
        }
    }
    assert!(stopped > 0, "no limit struck in the middle");
}

#[test]
fn a_live_guest_has_the_clock_too() {
    let mut live = watching().into_live(super::live::idle()).expect("it serves the ring");
    let mut latest = 0;
    for _ in 0..10 {
        let told = word(&super::live::call_live(&mut live, "watches", b"5000").expect("a clock"));
        assert!(told > latest);
        latest = told;
    }
}
