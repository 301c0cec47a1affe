//! System calls, exceptions and every other exit over memory that the guest filled as it likes: each ends in a value, an errno or an ending with a name,
//! and everything is in order afterwards. On a fake vCPU: no KVM is needed.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ampoule::fuzzing::syscalls(bytes));
