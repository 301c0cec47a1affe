//! One virtual CPU: its registers, and `KVM_RUN`.
//!
//! A trait, because everything above must work on a fake that produces exits no real KVM will give on demand.
//!
//! General registers travel through `kvm_run` (`KVM_CAP_SYNC_REGS`): reading them after an exit and replacing them before the next
//! entry costs no ioctl. System registers and extended state have their own calls and are off the hot path.

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;

use kvm_bindings::{
    KVM_SYNC_X86_REGS, KVM_SYNC_X86_SREGS, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, Msrs, kvm_device_attr,
    kvm_msr_entry, kvm_regs, kvm_segment, kvm_sregs, kvm_vcpu_events, kvm_xcr, kvm_xcrs, kvm_xsave,
};
use kvm_ioctls::VcpuFd;

use super::device::Device;
use super::error::HostError;
use super::exit::{self, Exit};
use super::posted::{Posted, PostedRing};
use super::seam::{self, HostCall};

/// General registers, as KVM has them.
pub(crate) type Registers = kvm_regs;

/// System registers, as KVM has them.
pub(crate) type SystemRegisters = kvm_sregs;

/// One segment register, as KVM has it.
pub(crate) type Segment = kvm_segment;

/// Extended state in the standard `XSAVE` format: as much as `KVM_GET_XSAVE` transfers.
pub(crate) const XSAVE_BYTES: usize = 4096;

/// `_IO(KVMIO, 0x80)`, linux/kvm.h.
const KVM_RUN: libc::c_ulong = 0xae80;
/// `_IOW(KVMIO, 0x8b, struct kvm_signal_mask)`, linux/kvm.h.
const KVM_SET_SIGNAL_MASK: libc::c_ulong = 0x4004_ae8b;
/// `_IOW(KVMIO, 0xe1, struct kvm_device_attr)`, linux/kvm.h. Also a vCPU's, which kvm-ioctls has not.
const KVM_SET_DEVICE_ATTR: libc::c_ulong = 0x4018_aee1;

/// A virtual CPU, real or fake.
pub(crate) trait Vcpu: Send + fmt::Debug {
    /// Runs the guest until something happens.
    ///
    /// # Errors
    /// Only what is neither an exit nor an interruption.
    fn run(&mut self) -> Result<Exit, HostError>;

    /// Finishes the instruction of the last exit without running on: afterwards the registers can be replaced whatever it was.
    fn complete(&mut self) -> Result<(), HostError>;

    /// General registers as the last exit left them, or as they were replaced since.
    fn registers(&self) -> Registers;

    /// Replaces the general registers from the next entry on.
    fn set_registers(&mut self, registers: &Registers);

    /// Reads the system registers.
    fn system_registers(&mut self) -> Result<SystemRegisters, HostError>;

    /// Replaces the system registers.
    fn set_system_registers(&mut self, registers: &SystemRegisters) -> Result<(), HostError>;

    /// Replaces the system registers from the next entry on; until then they cannot be read.
    fn enter_with(&mut self, registers: &SystemRegisters);

    /// Forgets an exception that is about to be delivered.
    fn clear_events(&mut self) -> Result<(), HostError>;

    /// Reads x87, SSE, AVX and further states.
    fn extended_state(&self) -> Result<Box<[u8; XSAVE_BYTES]>, HostError>;

    /// Replaces them. The kernel refuses what the CPU would refuse.
    fn set_extended_state(&mut self, state: &[u8; XSAVE_BYTES]) -> Result<(), HostError>;

    /// Ticks of the guest's time-stamp counter in a millisecond; none if KVM does not tell.
    fn ticks_per_millisecond(&self) -> Option<u32>;

    /// From now on the guest's time-stamp counter is the host's, if this KVM can do that.
    fn show_hosts_counter(&mut self) -> Result<(), HostError>;

    /// From now on stores to coalesced zones are found by [`drain_posted`](Self::drain_posted), where KVM has such zones.
    fn open_posted(&mut self, ring_page: i64) -> Result<(), HostError>;

    /// Takes every store that was posted since the last time, oldest first.
    fn drain_posted(&mut self, take: &mut dyn FnMut(Posted));

    /// The signals blocked inside `KVM_RUN`; bit n - 1 is signal n.
    fn set_signal_mask(&mut self, mask: u64) -> Result<(), HostError>;

    /// All that KVM tells of it; none of a fake.
    #[cfg(test)]
    fn report(&self) -> Option<super::report::Report>;
}

/// A vCPU of `/dev/kvm`.
pub(super) struct KvmVcpu {
    fd: VcpuFd,
    registers: Registers,
    /// The registers were replaced and KVM must be told.
    replaced: bool,
    /// System registers for the next entry.
    system: Option<Box<SystemRegisters>>,
    /// Those in `kvm_run` are what the vCPU has.
    has_system: bool,
    mask: Option<u64>,
    posted: Option<PostedRing>,
}

impl fmt::Debug for KvmVcpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KvmVcpu").field("registers", &self.registers).finish_non_exhaustive()
    }
}

/// The kernel's `struct kvm_signal_mask` with the eight bytes of an x86-64 signal set.
#[repr(C)]
struct SignalMask {
    len: u32,
    set: [u8; 8],
}

impl KvmVcpu {
    /// Takes a fresh vCPU; CPUID is the host's supported set, frozen at the first run.
    pub(super) fn new(mut fd: VcpuFd, device: &Device) -> Result<Self, HostError> {
        seam::call(HostCall::SetCpuid, || fd.set_cpuid2(device.cpuid()))?;
        fd.get_kvm_run().kvm_valid_regs = u64::from(KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS);
        Ok(Self {
            fd,
            registers: Registers::default(),
            replaced: true,
            system: None,
            has_system: false,
            mask: None,
            posted: None,
        })
    }

    /// Writes model-specific registers.
    pub(super) fn set_msrs(&mut self, entries: &[(u32, u64)]) -> Result<(), HostError> {
        let entries: Vec<_> =
            entries.iter().map(|&(index, data)| kvm_msr_entry { index, data, ..Default::default() }).collect();
        seam::call(HostCall::SetMsrs, || {
            let msrs = Msrs::from_entries(&entries).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
            let set = self.fd.set_msrs(&msrs)?;
            if set == entries.len() { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EINVAL)) }
        })
    }

    /// Runs until an interruption, through the pieces of an access that KVM splits.
    fn run_to_interruption(&mut self) -> Result<(), HostError> {
        // A store of 64 bytes at an odd address, in pieces of eight: more than any instruction that KVM emulates makes.
        const PIECES: usize = 9;
        let mut exit = self.run()?;
        for _ in 1..PIECES {
            if exit == Exit::Interrupted {
                break;
            }
            exit = self.run()?;
        }
        if exit == Exit::Interrupted { Ok(()) } else { Err(HostError::Broken { exit: exit.to_string() }) }
    }

    /// Enables extended states.
    pub(super) fn set_xcr0(&mut self, value: u64) -> Result<(), HostError> {
        let mut xcrs = kvm_xcrs { nr_xcrs: 1, ..Default::default() };
        if let Some(first) = xcrs.xcrs.first_mut() {
            *first = kvm_xcr { xcr: 0, value, ..Default::default() };
        }
        seam::call(HostCall::SetXcrs, || self.fd.set_xcrs(&xcrs))
    }
}

impl Vcpu for KvmVcpu {
    fn run(&mut self) -> Result<Exit, HostError> {
        let run = self.fd.get_kvm_run();
        if self.replaced {
            run.s.regs.regs = self.registers;
            run.kvm_dirty_regs = u64::from(KVM_SYNC_X86_REGS);
        }
        if let Some(system) = self.system.take() {
            run.s.regs.sregs = *system;
            run.kvm_dirty_regs |= u64::from(KVM_SYNC_X86_SREGS);
        }
        let fd = self.fd.as_raw_fd();
        let result = seam::raw(HostCall::Run, || {
            // SAFETY: the descriptor is a vCPU's, and KVM_RUN takes no argument. What it writes is `kvm_run`, which `VcpuFd` keeps
            // mapped, and the guest's slots, which `Shell` keeps mapped and to which no reference exists.
            seam::check(unsafe { libc::ioctl(fd, KVM_RUN, 0) })
        });
        let exit = match result {
            Ok(_) => exit::decode(self.fd.get_kvm_run()),
            Err(error) => match error.raw_os_error() {
                Some(libc::EINTR | libc::EAGAIN) => Exit::Interrupted,
                Some(libc::EFAULT) => Exit::MemoryFault,
                Some(libc::EHWPOISON) => Exit::HardwarePoison,
                _ => {
                    return Err(HostError::Call { call: HostCall::Run, source: error });
                }
            },
        };
        let run = self.fd.get_kvm_run();
        if run.kvm_dirty_regs == 0 {
            // SAFETY: `kvm_valid_regs` asks the kernel to fill this member at every return; it is plain integers.
            self.registers = unsafe { run.s.regs.regs };
            self.replaced = false;
            self.has_system = true;
        }
        Ok(exit)
    }

    fn complete(&mut self) -> Result<(), HostError> {
        self.fd.set_kvm_immediate_exit(1);
        let result = self.run_to_interruption();
        self.fd.set_kvm_immediate_exit(0);
        result
    }

    fn registers(&self) -> Registers {
        self.registers
    }

    fn set_registers(&mut self, registers: &Registers) {
        self.registers = *registers;
        self.replaced = true;
    }

    fn system_registers(&mut self) -> Result<SystemRegisters, HostError> {
        if self.has_system {
            // SAFETY: `kvm_valid_regs` asks the kernel to fill this member at every return, and nothing was set since the last; it is
            // plain integers.
            return Ok(unsafe { self.fd.get_kvm_run().s.regs.sregs });
        }
        seam::call(HostCall::GetSregs, || self.fd.get_sregs())
    }

    fn set_system_registers(&mut self, registers: &SystemRegisters) -> Result<(), HostError> {
        self.has_system = false;
        // They are later than those for the next entry, if there are any.
        self.system = None;
        seam::call(HostCall::SetSregs, || self.fd.set_sregs(registers))
    }

    fn enter_with(&mut self, registers: &SystemRegisters) {
        self.has_system = false;
        self.system = Some(Box::new(*registers));
    }

    fn clear_events(&mut self) -> Result<(), HostError> {
        seam::call(HostCall::SetEvents, || self.fd.set_vcpu_events(&kvm_vcpu_events::default()))
    }

    fn extended_state(&self) -> Result<Box<[u8; XSAVE_BYTES]>, HostError> {
        let state = seam::call(HostCall::GetXsave, || self.fd.get_xsave())?;
        let mut bytes = Box::new([0; XSAVE_BYTES]);
        for (to, word) in bytes.chunks_exact_mut(4).zip(state.region) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        Ok(bytes)
    }

    fn set_extended_state(&mut self, state: &[u8; XSAVE_BYTES]) -> Result<(), HostError> {
        let mut xsave = kvm_xsave::default();
        for (word, from) in xsave.region.iter_mut().zip(state.chunks_exact(4)) {
            if let Ok(bytes) = from.try_into() {
                *word = u32::from_le_bytes(bytes);
            }
        }
        seam::call(HostCall::SetXsave, || {
            // SAFETY: KVM_SET_XSAVE reads as much as KVM_CHECK_EXTENSION(KVM_CAP_XSAVE2) says, which is more than 4,096 bytes only
            // for a process that asked for dynamic features (arch_prctl ARCH_REQ_XCOMP_GUEST_PERM); Ampoule never does.
            unsafe { self.fd.set_xsave(&xsave) }
        })
    }

    fn ticks_per_millisecond(&self) -> Option<u32> {
        seam::call(HostCall::GetTscKhz, || self.fd.get_tsc_khz()).ok().filter(|&ticks| ticks > 0)
    }

    fn show_hosts_counter(&mut self) -> Result<(), HostError> {
        let offset = 0_u64;
        let attribute = kvm_device_attr {
            flags: 0,
            group: KVM_VCPU_TSC_CTRL,
            attr: KVM_VCPU_TSC_OFFSET.into(),
            addr: (&raw const offset).expose_provenance() as u64,
        };
        let fd = self.fd.as_raw_fd();
        seam::call(HostCall::SetTscOffset, || {
            // SAFETY: the descriptor is a vCPU's; the kernel reads the attribute, and for this one eight bytes at `addr`, which live for as
            // long as the call.
            seam::check(unsafe { libc::ioctl(fd, KVM_SET_DEVICE_ATTR, &raw const attribute) })
        })?;
        Ok(())
    }

    fn open_posted(&mut self, ring_page: i64) -> Result<(), HostError> {
        self.posted = Some(PostedRing::new(&self.fd, ring_page)?);
        Ok(())
    }

    #[inline]
    fn drain_posted(&mut self, take: &mut dyn FnMut(Posted)) {
        if let Some(ring) = &mut self.posted {
            ring.drain(take);
        }
    }

    fn set_signal_mask(&mut self, mask: u64) -> Result<(), HostError> {
        if self.mask == Some(mask) {
            return Ok(());
        }
        let set = SignalMask { len: 8, set: mask.to_le_bytes() };
        let fd = self.fd.as_raw_fd();
        seam::call(HostCall::SetSignalMask, || {
            // SAFETY: the descriptor is a vCPU's; the kernel reads `len` and the eight bytes that follow it.
            seam::check(unsafe { libc::ioctl(fd, KVM_SET_SIGNAL_MASK, &raw const set) })
        })?;
        self.mask = Some(mask);
        Ok(())
    }

    #[cfg(test)]
    fn report(&self) -> Option<super::report::Report> {
        Some(super::report::Report::of(&self.fd))
    }
}
