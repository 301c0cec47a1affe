//! What a run did and what it cost.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::linux::counts::SyscallCount;
use crate::vm::exit::ExitKind;

/// What a run did and what it cost.
///
/// Times add up: `guest` is inside the guest, `personality` is Ampoule serving it, `waited` is waiting for the other end of a stream or
/// for a time to come; what is left of `wall` is the set-up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// From the start of the run to its end.
    pub wall: Duration,
    /// CPU time of the thread, in the guest and in the host on its behalf.
    pub cpu: Duration,
    /// Wall time inside the guest.
    pub guest: Duration,
    /// Wall time that the host spent serving it.
    pub personality: Duration,
    /// Wall time spent waiting, whether a thread was held or not.
    pub waited: Duration,
    /// Exits by kind.
    pub exits: BTreeMap<ExitKind, u64>,
    /// System calls, the most frequent first.
    pub syscalls: Vec<SyscallCount>,
    /// The most memory that was in use at once, in bytes, page tables included.
    pub memory_peak: u64,
    /// Log records of a sandbox's that were dropped since it was made: there were too many at once.
    pub log_records_dropped: u64,
    /// Bytes read from stdin.
    pub bytes_in: u64,
    /// Bytes written to stdout and stderr.
    pub bytes_out: u64,
}

impl Stats {
    /// Exits of all kinds together.
    #[must_use]
    pub fn exit_count(&self) -> u64 {
        self.exits.values().sum()
    }

    /// System calls of all kinds together.
    #[must_use]
    pub fn syscall_count(&self) -> u64 {
        self.syscalls.iter().map(|call| call.count).sum()
    }
}
