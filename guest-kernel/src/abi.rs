//! How the guest asks the host for something: one byte written to an I/O port.
//!
//! A port write is the one exit that works from both privilege levels on every KVM we know, with an 8-bit immediate port
//! it clobbers no register, so that a Linux system call passes through with its registers as they were.

/// Port that the syscall gates write to. All registers are then those of a Linux x86-64 system call.
///
/// It is the only port that the TSS bitmap opens to CPL3, and only on hosts whose `syscall` stays at CPL3. A write to it from
/// anywhere but the gate is the payload's own `out`, and is answered as the #GP that it would be on Linux.
pub const SYSCALL_PORT: u8 = 0xf4;

/// Port that the exception stubs write to; RIP tells the vector. Closed to CPL3.
pub const TRAP_PORT: u8 = 0xf5;

/// Port that the boot probe's tiny guests write to. Closed to CPL3 and unused outside the probe.
pub const PROBE_PORT: u8 = 0xf6;

/// The hypercall that KVM passes on to the host: `KVM_HC_MAP_GPA_RANGE` (Linux Documentation/virt/kvm/x86/hypercalls.rst), with the
/// arguments below. Only CPL0 may make it.
pub const HYPERCALL_NUMBER: u32 = 12;
/// RBX: a page-aligned guest-physical address. Nothing is there, and nothing is done to it.
pub const HYPERCALL_ADDRESS: u32 = 0x3fff_f000;
/// RCX: how many pages.
pub const HYPERCALL_PAGES: u32 = 1;

const _: () = assert!(
    SYSCALL_PORT / 8 == TRAP_PORT / 8,
    "the ports share one byte of the TSS I/O bitmap: see layout::IO_BITMAP_BYTES"
);
