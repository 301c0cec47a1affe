//! The vDSO: a shared object that every program finds in its memory (`AT_SYSINFO_EHDR`), and that tells the time without a system call.
//!
//! It is one page of code for CPL3 and has no state. What it knows of the time is a record in the page before it, which the host writes before
//! it enters the guest:
//!
//! ```text
//! now = time in the record + (rdtsc - BASE) × MULTIPLIER / 2^32      while rdtsc - BASE < SPAN; a system call otherwise
//! ```
//! So a record that is all zeros is a clock that only system calls read, and a record that has become old is followed by a new one.
//!
//! Programs keep the addresses of functions, and snapshots keep programs. So the addresses here are the same in all versions, and a function
//! that a snapshot found in the middle is begun again: until it returns it leaves the stack and its arguments as they were.

use crate::layout::VDSO;

/// `clock_gettime(2)`.
pub const CLOCK_GETTIME: u64 = VDSO + 0x800;
/// `gettimeofday(2)`.
pub const GETTIMEOFDAY: u64 = VDSO + 0x900;
/// `time(2)`.
pub const TIME: u64 = VDSO + 0xa00;
/// `clock_getres(2)`.
pub const CLOCK_GETRES: u64 = VDSO + 0xb00;
/// `getcpu(2)`.
pub const GETCPU: u64 = VDSO + 0xc00;
/// Bytes from one function to the next.
pub const FUNCTION_BYTES: u64 = 0x100;
/// The `syscall` in which each function ends that does not know the answer…
pub const SYSTEM_CALL: u64 = VDSO + 0xd00;
/// …and the `ret` behind it.
pub const RETURN: u64 = SYSTEM_CALL + 2;

/// The record in the clock page, at [`layout::CLOCK`](crate::layout::CLOCK): little-endian words, read-only to the guest.
pub mod record {
    /// Another number for each record: whoever reads the record looks at it before and after.
    pub const SEQUENCE: u64 = 0x00;
    /// What the time-stamp counter showed at the times below.
    pub const BASE: u64 = 0x08;
    /// For how many ticks the record holds; 0 is for none.
    pub const SPAN: u64 = 0x10;
    /// Nanoseconds of a tick, times 2^32. [`SPAN`] ticks are less than a second.
    pub const MULTIPLIER: u64 = 0x18;
    /// `CLOCK_REALTIME`: seconds, and nanoseconds below 1,000,000,000 in the next word.
    pub const REALTIME: u64 = 0x20;
    /// `CLOCK_MONOTONIC`, in the same way.
    pub const MONOTONIC: u64 = 0x30;
    /// Bytes of the record.
    pub const BYTES: u64 = 0x40;
}

/// Where to go on instead, if a program is at `rip` in the vDSO and another version of it may be there when it goes on. None if that is
/// everywhere the same, or not in a function.
#[must_use]
pub const fn begun_again(rip: u64) -> Option<u64> {
    if rip < CLOCK_GETTIME || rip >= SYSTEM_CALL {
        return None;
    }
    Some(rip - (rip - CLOCK_GETTIME) % FUNCTION_BYTES)
}

/// True if every version of the vDSO can go on at `rip`.
#[must_use]
pub const fn is_lasting(rip: u64) -> bool {
    matches!(rip, CLOCK_GETTIME | GETTIMEOFDAY | TIME | CLOCK_GETRES | GETCPU | SYSTEM_CALL | RETURN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_in_a_function_begins_it_again_and_nobody_else_is_moved() {
        for entry in [CLOCK_GETTIME, GETTIMEOFDAY, TIME, CLOCK_GETRES, GETCPU] {
            for inside in [0, 1, 0x80, FUNCTION_BYTES - 1] {
                assert_eq!(begun_again(entry + inside), Some(entry));
            }
            assert!(is_lasting(entry) && !is_lasting(entry + 1));
        }
        for elsewhere in [0, VDSO, CLOCK_GETTIME - 1, SYSTEM_CALL, RETURN, VDSO + 0xfff, u64::MAX] {
            assert_eq!(begun_again(elsewhere), None, "{elsewhere:#x}");
        }
        assert!(is_lasting(SYSTEM_CALL) && is_lasting(RETURN) && !is_lasting(RETURN + 1));
    }
}
