//! A doorbell is how the gate tells the host of a system call. Where the host offers one, every program runs the same by it; where it
//! does not, asking for it is a typed error, and nothing hangs.

use ampoule::{Command, Doorbell, HostError, HostProbe, RunError};
use ampoule_tests::{honest_call, program, run_outside};

/// Guests whose system calls, faults, signals and page-table edits together use every way back into the program.
const GUESTS: [&str; 5] = ["hello", "faults", "signals", "maps", "heap"];

#[test]
fn programs_run_the_same_by_every_doorbell_that_the_host_offers() {
    let probe = HostProbe::get().expect("a host that can run guests");
    for doorbell in [Doorbell::Port, Doorbell::Hypercall] {
        let offered = probe.doorbell(doorbell);
        for name in GUESTS {
            let result = Command::new(&program(name)).doorbell(doorbell).call(honest_call()).output();
            match (&offered, result) {
                (Ok(()), result) => {
                    let inside = result.unwrap_or_else(|error| panic!("{name}, {doorbell:?}: {error}"));
                    let outside = run_outside(ampoule_tests::guest(name), &[], &[], &[]);
                    assert_eq!(ampoule_tests::ending(&inside.end), outside.ending, "{name}, {doorbell:?}");
                    assert_eq!(inside.stdout, outside.stdout, "{name}, {doorbell:?}");
                }
                (Err(_), Err(RunError::Host(HostError::NoDoorbell { .. }))) => assert_ne!(doorbell, Doorbell::Port),
                (Err(refusal), other) => panic!("{name}, {doorbell:?}: {refusal}, and yet {other:?}"),
            }
        }
    }
}
