//! Why `KVM_RUN` returned, as a plain value.
//!
//! The value owns what it says, so that a fake vCPU can produce any of them and the layers above never see `kvm_run`.

use std::fmt;

use kvm_bindings as kvm;

/// Why the vCPU stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The guest wrote to a port.
    PortOut { port: u16, size: u8, count: u32 },
    /// The guest read from a port.
    PortIn { port: u16, size: u8, count: u32 },
    /// The guest read where no slot is.
    MmioRead { address: u64, len: u32 },
    /// The guest wrote where no slot is.
    MmioWrite { address: u64, len: u32, data: [u8; 8] },
    /// A hypercall that KVM passes on.
    Hypercall { number: u64 },
    /// `hlt` at CPL0.
    Halt,
    /// Triple fault.
    Shutdown,
    /// The CPU refused the vCPU's state.
    FailEntry { reason: u64, cpu: u32 },
    /// KVM could not go on.
    InternalError { suberror: u32, data: [u64; 4] },
    /// A signal is pending for this thread: somebody's, not necessarily ours.
    Interrupted,
    /// KVM says that memory it needs is not what the host promised (`EFAULT` without an exit).
    MemoryFault,
    /// The host's memory under the guest is damaged (`EHWPOISON`).
    HardwarePoison,
    /// Any other exit reason, by its number in `linux/kvm.h`.
    Other { reason: u32 },
}

impl Exit {
    /// The kind, for statistics.
    pub(crate) fn kind(&self) -> ExitKind {
        match self {
            Self::PortOut { .. } | Self::PortIn { .. } => ExitKind::Port,
            Self::MmioRead { .. } | Self::MmioWrite { .. } => ExitKind::Mmio,
            Self::Hypercall { .. } => ExitKind::Hypercall,
            Self::Halt => ExitKind::Halt,
            Self::Shutdown => ExitKind::Shutdown,
            Self::Interrupted => ExitKind::Interrupted,
            Self::FailEntry { .. }
            | Self::InternalError { .. }
            | Self::MemoryFault
            | Self::HardwarePoison
            | Self::Other { .. } => ExitKind::Failure,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortOut { port, size, count } => {
                write!(f, "KVM_EXIT_IO (out, port {port:#x}, {count} × {size} bytes)")
            }
            Self::PortIn { port, size, count } => write!(f, "KVM_EXIT_IO (in, port {port:#x}, {count} × {size} bytes)"),
            Self::MmioRead { address, len } => write!(f, "KVM_EXIT_MMIO (read of {len} bytes at {address:#x})"),
            Self::MmioWrite { address, len, .. } => write!(f, "KVM_EXIT_MMIO (write of {len} bytes at {address:#x})"),
            Self::Hypercall { number } => write!(f, "KVM_EXIT_HYPERCALL (number {number})"),
            Self::Halt => f.write_str("KVM_EXIT_HLT"),
            Self::Shutdown => f.write_str("KVM_EXIT_SHUTDOWN (triple fault)"),
            Self::FailEntry { reason, cpu } => {
                write!(f, "KVM_EXIT_FAIL_ENTRY (hardware reason {reason:#x}, CPU {cpu})")
            }
            Self::InternalError { suberror, data } => {
                write!(f, "KVM_EXIT_INTERNAL_ERROR (suberror {suberror}, data {data:#x?})")
            }
            Self::Interrupted => f.write_str("KVM_EXIT_INTR"),
            Self::MemoryFault => f.write_str("EFAULT from KVM_RUN"),
            Self::HardwarePoison => f.write_str("EHWPOISON from KVM_RUN"),
            Self::Other { reason } => write!(f, "exit reason {reason}"),
        }
    }
}

/// The kinds of exit that statistics count apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ExitKind {
    /// A port access: a system call or a trap.
    Port,
    /// An access to where no memory is.
    Mmio,
    /// A hypercall: a system call, where that doorbell was chosen.
    Hypercall,
    /// `hlt` at CPL0.
    Halt,
    /// A triple fault.
    Shutdown,
    /// A signal: a deadline, a cancel, or somebody else's.
    Interrupted,
    /// KVM could not go on.
    Failure,
}

impl ExitKind {
    /// All of them.
    pub(crate) const ALL: [Self; 7] =
        [Self::Port, Self::Mmio, Self::Hypercall, Self::Halt, Self::Shutdown, Self::Interrupted, Self::Failure];
}

/// Reads the exit out of `run`.
pub(super) fn decode(run: &kvm::kvm_run) -> Exit {
    match run.exit_reason {
        kvm::KVM_EXIT_IO => {
            // SAFETY: the kernel filled this member for this exit reason; it is plain integers.
            let io = unsafe { run.__bindgen_anon_1.io };
            if u32::from(io.direction) == kvm::KVM_EXIT_IO_OUT {
                Exit::PortOut { port: io.port, size: io.size, count: io.count }
            } else {
                Exit::PortIn { port: io.port, size: io.size, count: io.count }
            }
        }
        kvm::KVM_EXIT_MMIO => {
            // SAFETY: as above.
            let mmio = unsafe { run.__bindgen_anon_1.mmio };
            if mmio.is_write == 0 {
                Exit::MmioRead { address: mmio.phys_addr, len: mmio.len }
            } else {
                Exit::MmioWrite { address: mmio.phys_addr, len: mmio.len, data: mmio.data }
            }
        }
        kvm::KVM_EXIT_HYPERCALL => {
            // SAFETY: as above.
            let hypercall = unsafe { run.__bindgen_anon_1.hypercall };
            Exit::Hypercall { number: hypercall.nr }
        }
        kvm::KVM_EXIT_HLT => Exit::Halt,
        kvm::KVM_EXIT_SHUTDOWN => Exit::Shutdown,
        kvm::KVM_EXIT_INTR => Exit::Interrupted,
        kvm::KVM_EXIT_FAIL_ENTRY => {
            // SAFETY: as above.
            let fail = unsafe { run.__bindgen_anon_1.fail_entry };
            Exit::FailEntry { reason: fail.hardware_entry_failure_reason, cpu: fail.cpu }
        }
        kvm::KVM_EXIT_INTERNAL_ERROR => {
            // SAFETY: as above.
            let internal = unsafe { run.__bindgen_anon_1.internal };
            let count = usize::try_from(internal.ndata).unwrap_or(usize::MAX);
            let mut data = [0; 4];
            for (to, from) in data.iter_mut().zip(internal.data.iter().take(count)) {
                *to = *from;
            }
            Exit::InternalError { suberror: internal.suberror, data }
        }
        kvm::KVM_EXIT_MEMORY_FAULT => Exit::MemoryFault,
        reason => Exit::Other { reason },
    }
}
