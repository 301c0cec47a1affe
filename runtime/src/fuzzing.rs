//! What `cargo fuzz` and the property tests below throw bytes at. Not part of the interface: it is there with the feature `fuzzing` alone, and
//! takes nothing but bytes.
//!
//! Each function panics where a promise is broken, and comes back from everything else. Neither needs KVM.

#![allow(clippy::panic, reason = "a promise that does not hold ends by a panic")]

use crate::linux::rig::Rig;
use crate::linux::sources::Sources;
use crate::linux::{NotStarted, reply::Refusal};
use crate::program::{Program, promises};
use crate::sandbox::script;
use crate::vm::fake::FakeVcpu;

/// Pages of the machine that a program is loaded into.
const PAGES: u64 = 512;

/// An ELF file: parsed, asked for its symbols and its interface, and loaded. What is accepted keeps every promise that the rest relies on, and is in
/// memory as the file says.
pub fn elf(bytes: &[u8]) {
    for allow in [false, true] {
        match Program::options().allow_write_execute(allow).from_bytes(bytes) {
            Ok(program) => return accepted(&program, allow),
            Err(error) => assert!(!error.to_string().is_empty(), "every refusal has a reason"),
        }
    }
}

fn accepted(program: &Program, allow_write_execute: bool) {
    promises::keeps_its_promises(program, allow_write_execute);
    match program.interface() {
        Ok(interface) => drop(format!("{interface:?}")),
        Err(error) => assert!(!error.to_string().is_empty(), "every refusal has a reason"),
    }
    match Rig::over(FakeVcpu::new([]), program, PAGES, Sources::Deterministic(0)) {
        Ok(rig) => {
            rig.check();
            rig.check_loaded(program);
        }
        Err(NotStarted::OutOfMemory) => {}
        Err(NotStarted::Refused(Refusal::End(end))) => panic!("nobody asked for {end}"),
        Err(other) => panic!("{other:?}"),
    }
}

/// A script of exits, system calls and stores of a guest, played on a fake vCPU: after each, areas, page tables, frames, files and signals are in
/// order, and whatever ends the run has a name.
pub fn syscalls(bytes: &[u8]) {
    script::play(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn cases(number: u32) -> ProptestConfig {
        let factor = std::env::var("AMPOULE_TEST_SCALE").ok().and_then(|it| it.parse().ok()).unwrap_or(1);
        ProptestConfig::with_cases(number.saturating_mul(factor))
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn any_script_of_exits_calls_and_stores_leaves_everything_in_order(bytes in vec(any::<u8>(), 0..2000)) {
            super::syscalls(&bytes);
        }

        #[test]
        fn any_bytes_are_a_program_that_keeps_its_promises_or_none(bytes in vec(any::<u8>(), 0..300)) {
            super::elf(&bytes);
        }
    }
}
