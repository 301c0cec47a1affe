//! The only place that talks to KVM, and the only place with `unsafe`.
//!
//! ```text
//! device   /dev/kvm, opened once: version, capabilities, CPUID
//! shell    VM + vCPU + slots: what a sandbox borrows while it runs
//! bare     the least that is a virtual machine: what speed is measured against
//! budget   how much guest memory this process may hold
//! mapping  a mapping of the host's
//! memory   the slots and the one way to touch them: checked copies
//! dirty    which pages were written since their machine was what its snapshot says
//! shared   regions that many guests read, and the ring between a guest and host threads
//! posted   stores that KVM notes down instead of exiting: posted events
//! vcpu     registers and KVM_RUN; a trait, so that a fake can stand in
//! features what guests find in their processor and rely on
//! exit     why KVM_RUN returned, as a value
//! watch    the limits of one run: clocks, cancel, interruptible waiting
//! parked   a wait that nobody holds a thread for; readiness: who waits for its descriptors
//! kick     the per-thread timer and signal that end a run from outside
//! cancel   the token that another thread holds
//! clock    nanoseconds; cpu: a thread's CPU time, not asked for too often
//! file_lock record locks on the host's files
//! tsc      the time-stamp counter as a clock, and how long a tick takes
//! process  which process this is: VMs do not survive a fork
//! seam     every kernel call passes here and can fail on demand
//! requests KVM's requests by number, for a filter
//! error    what can go wrong, typed
//! ```
//!
//! Nothing here knows about programs, Linux or page tables.
#![allow(unsafe_code, reason = "the one module that may: every block states its invariant")]

pub(crate) mod bare;
pub(crate) mod budget;
pub(crate) mod cancel;
pub(crate) mod clock;
mod cpu;
pub(crate) mod device;
pub(crate) mod dirty;
pub(crate) mod error;
pub(crate) mod exit;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fake;
pub(crate) mod features;
pub(crate) mod file_lock;
#[cfg(test)]
mod interface_tests;
pub(crate) mod kick;
mod mapping;
pub(crate) mod memory;
pub(crate) mod parked;
pub(crate) mod posted;
pub(crate) mod process;
pub(crate) mod readiness;
#[cfg(test)]
pub(crate) mod report;
#[cfg(feature = "confine")]
pub(crate) mod requests;
pub(crate) mod seam;
pub(crate) mod shared;
pub(crate) mod shell;
pub(crate) mod tsc;
pub(crate) mod vcpu;
pub(crate) mod watch;
