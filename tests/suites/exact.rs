//! Programs that follow each other in one machine: none can tell that it is not the first.

use std::collections::HashMap;
use std::time::Duration;

use std::sync::{Mutex, MutexGuard, PoisonError};

use ampoule::{
    Call, CancelToken, Command, End, Imports, Limits, Output, Program, RunError, Sandbox, Sources,
    set_max_idle_machines,
};
use ampoule_tests::{all_guests, call_bytes, honest_call, program, sandbox, scale};

/// What a mess ends in: see `guests/plugins/exact.c`.
const KINDS: [&str; 8] = ["returns", "spins", "steps", "faults", "gate", "restores", "stack", "port"];

/// These tests switch the whole process's recycling off and on.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `body` in machines that nobody used before.
fn in_new_machines<T>(body: impl FnOnce() -> T) -> T {
    set_max_idle_machines(0);
    let result = body();
    set_max_idle_machines(32);
    result
}

/// Limits that end what does not end.
fn short() -> Call {
    Call::new().wall(Duration::from_millis(30))
}

fn observe(sandbox: &mut Sandbox<()>) -> Vec<u8> {
    call_bytes(sandbox, "observe", b"").expect("what it sees")
}

/// Where two observations differ.
fn differing(ours: &[u8], theirs: &[u8]) -> Vec<(usize, u8, u8)> {
    assert_eq!(ours.len(), theirs.len());
    let both = ours.iter().zip(theirs).enumerate();
    both.filter(|(_, (ours, theirs))| ours != theirs)
        .map(|(at, (ours, theirs))| (at, *ours, *theirs))
        .take(40)
        .collect()
}

#[test]
fn after_a_mess_a_restored_guest_and_its_twins_see_what_they_see_in_a_new_machine() {
    let _alone = alone();
    let (snapshot, expected) = in_new_machines(|| {
        let snapshot = sandbox(&program("exact"), &Imports::new()).snapshot().expect("a snapshot");
        let expected = observe(&mut snapshot.spawn(&Imports::new(), ()).expect("a twin"));
        (snapshot, expected)
    });
    let mut sandbox = snapshot.spawn(&Imports::new(), ()).expect("a twin");
    let mut reply = Vec::new();
    for kind in KINDS {
        for _ in 0..2 {
            let _ = sandbox.call_bytes("scramble", kind.as_bytes(), &mut reply, &short());
            sandbox.restore(&snapshot).expect("a restore");
            assert_eq!(differing(&observe(&mut sandbox), &expected), [], "after {kind}");
            sandbox.restore(&snapshot).expect("a restore");
        }
        let mut messy = snapshot.spawn(&Imports::new(), ()).expect("a twin");
        let _ = messy.call_bytes("scramble", kind.as_bytes(), &mut reply, &short());
        drop(messy);
        let mut twin = snapshot.spawn(&Imports::new(), ()).expect("a twin");
        assert_eq!(differing(&observe(&mut twin), &expected), [], "in the machine of {kind}");
    }
}

#[test]
fn a_guest_that_was_stopped_in_its_mess_is_restored_to_it() {
    let _alone = alone();
    let mut first = sandbox(&program("exact"), &Imports::new());
    let ready = first.snapshot().expect("a snapshot");
    let mut reply = Vec::new();
    for kind in ["spins", "stack"] {
        let _ = first.call_bytes("scramble", kind.as_bytes(), &mut reply, &short());
        if let Ok(stopped) = first.snapshot() {
            // It goes on in its mess, and is stopped again; nobody takes the host for broken.
            for mut twin in [
                stopped.spawn(&Imports::new(), ()).expect("a twin"),
                stopped.spawn(&Imports::new(), ()).expect("a twin"),
            ] {
                let end = twin.resume_bytes(&mut reply, &short()).expect_err("no reply");
                assert!(matches!(end, ampoule::CallError::Ended(_)), "{kind}: {end}");
            }
        }
        first.restore(&ready).expect("a restore");
    }
}

fn command(program: &Program, args: &[&str], memory: u64, call: Call) -> Command {
    let mut command = Command::new(program);
    command.args(args).limits(Limits::new().memory(memory)).sources(Sources::Deterministic(7)).call(call);
    command
}

fn run(program: &Program, args: &[&str], memory: u64, call: Call) -> Output {
    command(program, args, memory, call).output().expect("a run")
}

#[test]
fn after_a_mess_the_next_program_sees_what_it_sees_in_a_new_machine() {
    let _alone = alone();
    let exact = program("exact");
    let see = || run(&exact, &["observe"], 8 << 20, honest_call());
    let expected = in_new_machines(see);
    assert!(matches!(expected.end, End::Exited(0)), "{:?}", expected.end);
    let ready = sandbox(&exact, &Imports::new()).snapshot().expect("a snapshot");
    let mut reply = Vec::new();
    for kind in KINDS {
        let _ = run(&exact, &["scramble", kind], 8 << 20, short());
        assert_eq!(differing(&see().stdout, &expected.stdout), [], "after the program {kind}");
        // The same slot as a sandbox has, whose life nobody else may learn of.
        let see = || run(&exact, &["observe"], ready_memory(), honest_call());
        let expected = in_new_machines(see);
        let mut messy = ready.spawn(&Imports::new(), ()).expect("a twin");
        let _ = messy.call_bytes("scramble", kind.as_bytes(), &mut reply, &short());
        drop(messy);
        assert_eq!(differing(&see().stdout, &expected.stdout), [], "after the sandbox {kind}");
    }
}

fn ready_memory() -> u64 {
    Limits::new().memory_bytes()
}

#[test]
fn what_a_program_hid_everywhere_no_other_program_finds() {
    let _alone = alone();
    let exact = program("exact");
    for memory in [4 << 20, 5 << 20, 16 << 20] {
        for before in [8 << 20, memory, 16 << 20, 4 << 20] {
            let hidden = run(&exact, &["hide"], before, honest_call());
            assert!(matches!(hidden.end, End::Exited(0)), "{:?}", hidden.end);
            let found = run(&exact, &["search"], memory, honest_call());
            assert_eq!((found.stdout.as_slice(), found.end), (&b"0\n"[..], End::Exited(0)), "{memory} after {before}");
        }
    }
}

/// Numbers that a round can be repeated with.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        // Marsaglia's xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).expect("a small number")
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// How a program behaves, as far as somebody outside can tell.
fn behaviour(output: Output) -> (End, Vec<u8>, Vec<u8>, String) {
    (output.end, output.stdout, output.stderr, format!("{:?}", output.stats.syscalls))
}

#[test]
fn whatever_ran_before_a_program_behaves_as_in_a_new_machine() {
    let _alone = alone();
    let second: Vec<_> = all_guests()
        .filter(|guest| ["args", "hello", "files", "cpp", "rust", "raw"].contains(&guest.name))
        .map(|guest| {
            (format!("{} ({})", guest.name, guest.variant), Program::from_bytes(guest.image()).expect("a program"))
        })
        .collect();
    let first: Vec<_> = all_guests()
        .filter_map(|guest| Some((guest.name, guest.variant, Program::from_bytes(guest.image()).ok()?)))
        .collect();
    let slots: [u64; 3] = [8 << 20, 64 << 20, 256 << 20];
    let own_limit = |slot: u64| slot - (slot >> 2);
    let mut expected = HashMap::new();
    in_new_machines(|| {
        for (name, program) in &second {
            for slot in slots {
                for _ in 0..2 {
                    let behaves = behaviour(run(program, &[], own_limit(slot), honest_call()));
                    let first_time = expected.entry((name.clone(), slot)).or_insert_with(|| behaves.clone());
                    assert_eq!(*first_time, behaves, "{name} behaves otherwise each time");
                }
            }
        }
    });
    for round in 0..scale(100) {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ (round as u64 + 1));
        let slot = *numbers.of(&slots);
        let mut history = Vec::new();
        for _ in 0..=numbers.below(3) {
            let (name, variant, program) = numbers.of(&first);
            let argument = *numbers.of(&["list", "all", "hide", "scramble", "1", ""]);
            let second_argument = *numbers.of(&KINDS);
            let memory = *numbers.of(&[slot, own_limit(slot), (slot >> 1) + 4096]);
            let wall = Duration::from_micros(numbers.below(6000) as u64);
            history.push(format!("{name} ({variant}) {argument} {second_argument}, {memory} bytes, {wall:?}"));
            let token = CancelToken::new();
            if numbers.below(9) == 0 {
                token.cancel();
            }
            // Some do not even fit.
            let call = Call::new().wall(wall).cancel(&token);
            let result = command(program, &[argument, second_argument], memory, call).output();
            assert!(!matches!(result, Err(RunError::Host(_))), "round {round}, {history:?}: {result:?}");
        }
        let (name, program) = numbers.of(&second);
        let behaves = behaviour(run(program, &[], own_limit(slot), honest_call()));
        assert_eq!(behaves, expected[&(name.clone(), slot)], "round {round}: {name} after {history:?}");
    }
}
