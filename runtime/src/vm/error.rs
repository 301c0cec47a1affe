//! What can go wrong between Ampoule and the kernel. Never the guest's doing: a guest's doing is an [`End`](crate::End).

use std::io;

use super::seam::HostCall;

/// The host could not do what running a guest takes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// `/dev/kvm` cannot be opened.
    #[error("cannot open /dev/kvm: {source}; {}", advice(source))]
    NoDevice {
        /// The operating system's reason.
        source: io::Error,
    },
    /// The KVM API is not the one version that exists.
    #[error("/dev/kvm speaks API version {version}, not 12: this is no KVM that Ampoule knows")]
    ApiVersion {
        /// What `KVM_GET_API_VERSION` answered.
        version: i32,
    },
    /// KVM lacks something without which Ampoule cannot work.
    #[error("this KVM lacks {capability}, which Ampoule needs: use Linux 5.4 or later")]
    MissingCapability {
        /// The capability's name in the kernel's documents.
        capability: &'static str,
    },
    /// The doorbell that was asked for does not work on this KVM.
    #[error("the hypercall doorbell does not work on this KVM ({reason}): use Doorbell::Port")]
    NoDoorbell {
        /// What the probe saw.
        reason: ProbeFailure,
    },
    /// A kernel call failed.
    #[error("{call} failed: {source}{}{}", if call_advice(*call, source).is_empty() { "" } else { "; " }, call_advice(*call, source))]
    Call {
        /// Which one.
        call: HostCall,
        /// The operating system's reason.
        source: io::Error,
    },
    /// This process has as many descriptors open as it may have.
    #[error("{call} failed: all {limit} descriptors of this process are in use; {OUT_OF_DESCRIPTORS}")]
    OutOfDescriptors {
        /// The call that needed one more.
        call: HostCall,
        /// `RLIMIT_NOFILE`, the soft limit.
        limit: u64,
    },
    /// What guests may hold in this process at once does not suffice: see [`set_memory_budget`](crate::set_memory_budget).
    #[error(
        "{needed} bytes of guest memory do not fit: {in_use} of the budget of {budget} are in use; run fewer guests at once, give them less memory (Limits::memory), or raise it with set_memory_budget"
    )]
    MemoryBudget {
        /// Bytes that the machine needed: its memory limit rounded up to a power of two, and what goes with it.
        needed: u64,
        /// Bytes that were in use.
        in_use: u64,
        /// The budget.
        budget: u64,
    },
    /// Running the boot probe's tiny guests showed no way to enter and leave CPL3.
    #[error("no system-call gate works on this KVM: {reason}; `ampoule doctor` shows each step")]
    NoGate {
        /// What the probe saw.
        reason: ProbeFailure,
    },
    /// A sandbox was asked for something while its guest was elsewhere: nothing that Ampoule does.
    #[error("the sandbox has no guest: this is a bug of Ampoule's, please report it")]
    NoGuest,
    /// KVM stopped the vCPU with something that is neither the guest's doing nor a failed call.
    #[error("KVM gave up on the guest: {exit}; the virtual machine is destroyed, other sandboxes are not affected")]
    Broken {
        /// The exit, with what KVM tells of it.
        exit: String,
    },
    /// The guest's ring-0 image took an exception. No program can make it: this is a bug of Ampoule's, or a KVM that changed its ways.
    #[error(
        "the guest kernel took exception {vector} at {rip:#x}: please report it with the output of `ampoule doctor --json`"
    )]
    KernelFault {
        /// The vector.
        vector: u8,
        /// Where in the image.
        rip: u64,
    },
    /// The process forked after the virtual machine was made; KVM serves only the process that made it.
    #[error(
        "this virtual machine belongs to process {owner}, and this is its fork {current}: make sandboxes after forking"
    )]
    Forked {
        /// The process that made it.
        owner: u32,
        /// This process.
        current: u32,
    },
    /// A guest-physical access that no slot covers completely. Guest-made addresses are checked before: this is a bug of the host's.
    #[error("guest range {start:#x}..+{len:#x} is not inside one memory slot")]
    OutOfRange {
        /// First guest-physical byte asked for.
        start: u64,
        /// Length in bytes.
        len: usize,
    },
}

/// How a probe's tiny guest ended when it should have rung the doorbell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeFailure {
    /// It took an exception.
    #[error("the probe took exception {vector} at {rip:#x}")]
    Exception {
        /// The vector.
        vector: u8,
        /// Where.
        rip: u64,
    },
    /// It needs CPL0, which this KVM only emulates.
    #[error("hypercalls belong to CPL0, which programs do not enter on this KVM")]
    Level,
    /// It was still running when its time was over.
    #[error("the probe did not come back")]
    Hung,
    /// A changed page-table entry was not seen.
    #[error("the probe's changed page-table entry was not seen")]
    StaleEntry,
    /// Its time-stamp counter, or the host's, is no clock that both could read.
    #[error("{0}")]
    Counter(&'static str),
    /// KVM left the guest in a way that the probe does not expect.
    #[error("the probe ended with {0}")]
    Exit(String),
}

/// What to do about EMFILE.
const OUT_OF_DESCRIPTORS: &str = "raise `ulimit -n` (a running sandbox takes two descriptors)";

fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        _ if source.raw_os_error() == Some(libc::EMFILE) => OUT_OF_DESCRIPTORS,
        io::ErrorKind::NotFound => {
            "load the module (modprobe kvm_intel, kvm_amd or kvm_pvm), or enable nested virtualization"
        }
        // A device that the control group does not have is EPERM, whoever asks.
        _ if source.raw_os_error() == Some(libc::EPERM) => {
            "give the container or service the device (docker run --device /dev/kvm, systemd DeviceAllow=)"
        }
        io::ErrorKind::PermissionDenied => "join its group (usermod -aG kvm $USER, then log in again)",
        _ => "see `ampoule doctor`",
    }
}

fn call_advice(call: HostCall, source: &io::Error) -> &'static str {
    match (call, source.raw_os_error()) {
        (_, Some(libc::ENFILE)) => "raise fs.file-max: the whole system is out of descriptors",
        (_, Some(libc::ENOMEM)) => "run fewer sandboxes or smaller ones",
        (HostCall::TimerCreate, Some(libc::EAGAIN)) => "raise `ulimit -i`",
        _ => "",
    }
}
