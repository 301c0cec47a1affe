//! ELF files: whatever the bytes are, they are refused with a reason, or they are a program that keeps every promise that the loader relies on, and lies
//! in memory as the file says. No KVM is needed.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ampoule::fuzzing::elf(bytes));
