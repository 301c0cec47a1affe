//! `/dev/kvm`, opened once for the process: what this KVM offers.

use std::sync::OnceLock;

use kvm_bindings::{self as kvm, CpuId, KVM_MAX_CPUID_ENTRIES};
use kvm_ioctls::{Kvm, VmFd};

use super::error::HostError;
use super::kick;
use super::seam::{self, HostCall};

/// `KVM_API_VERSION`, the same since Linux 2.6.22.
const API_VERSION: i32 = 12;

/// The opened device.
#[derive(Debug)]
pub(crate) struct Device {
    kvm: Kvm,
    cpuid: CpuId,
    features: Features,
}

/// CPU features that the guest's system registers depend on, as KVM offers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Features {
    /// No-execute pages.
    pub nx: bool,
    /// Supervisor-mode execution prevention.
    pub smep: bool,
    /// Supervisor-mode access prevention.
    pub smap: bool,
    /// User-mode instruction prevention.
    pub umip: bool,
    /// `XSAVE` and extended states.
    pub xsave: bool,
    /// `RDFSBASE` and its kin.
    pub fsgsbase: bool,
    /// The extended states that XCR0 may have.
    pub xcr0: u64,
    /// EDX of CPUID leaf 1, which Linux passes on as `AT_HWCAP`.
    pub leaf1_edx: u32,
}

/// A capability that Ampoule cannot do without, or makes use of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capability {
    /// Its name in the kernel's documents.
    pub name: &'static str,
    /// What `KVM_CHECK_EXTENSION` answers: 0 is absent.
    pub value: i32,
    /// True if Ampoule cannot work without it.
    pub required: bool,
}

/// Each capability that is used, and whether it is needed.
const CAPABILITIES: [(&str, u32, bool); 7] = [
    ("KVM_CAP_USER_MEMORY", kvm::KVM_CAP_USER_MEMORY, true),
    ("KVM_CAP_SYNC_REGS", kvm::KVM_CAP_SYNC_REGS, true),
    ("KVM_CAP_XSAVE", kvm::KVM_CAP_XSAVE, true),
    ("KVM_CAP_XCRS", kvm::KVM_CAP_XCRS, false),
    ("KVM_CAP_READONLY_MEM", kvm::KVM_CAP_READONLY_MEM, false),
    ("KVM_CAP_COALESCED_MMIO", kvm::KVM_CAP_COALESCED_MMIO, false),
    ("KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2", kvm::KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, true),
];

impl Device {
    /// The device of this process; only success is remembered.
    pub(crate) fn get() -> Result<&'static Self, HostError> {
        static DEVICE: OnceLock<Device> = OnceLock::new();
        if let Some(device) = DEVICE.get() {
            return Ok(device);
        }
        let device = Self::open()?;
        Ok(DEVICE.get_or_init(|| device))
    }

    fn open() -> Result<Self, HostError> {
        let device =
            seam::raw(HostCall::OpenDevice, || Ok(Kvm::new()?)).map_err(|source| HostError::NoDevice { source })?;
        let version = device.get_api_version();
        if version != API_VERSION {
            return Err(HostError::ApiVersion { version });
        }
        for (name, cap, required) in CAPABILITIES {
            if required && device.check_extension_raw(libc::c_ulong::from(cap)) <= 0 {
                return Err(HostError::MissingCapability { capability: name });
            }
        }
        let cpuid = seam::call(HostCall::SupportedCpuid, || device.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES))?;
        let features = Features::read(&cpuid);
        Ok(Self { kvm: device, cpuid, features })
    }

    pub(crate) fn capabilities(&self) -> Vec<Capability> {
        CAPABILITIES
            .iter()
            .map(|&(name, cap, required)| Capability {
                name,
                value: self.kvm.check_extension_raw(libc::c_ulong::from(cap)),
                required,
            })
            .collect()
    }

    /// True if slots can be read-only.
    pub(super) fn has_read_only_slots(&self) -> bool {
        self.kvm.check_extension_raw(libc::c_ulong::from(kvm::KVM_CAP_READONLY_MEM)) > 0
    }

    /// Where the ring of coalesced stores is in a vCPU's mapping, in pages; none if this KVM has no such ring.
    pub(super) fn posted_ring_page(&self) -> Option<i64> {
        let page = self.kvm.check_extension_raw(libc::c_ulong::from(kvm::KVM_CAP_COALESCED_MMIO));
        (page > 0).then_some(page.into())
    }

    pub(crate) fn features(&self) -> Features {
        self.features
    }

    pub(super) fn cpuid(&self) -> &CpuId {
        &self.cpuid
    }

    pub(super) fn create_vm(&self) -> Result<VmFd, HostError> {
        // Registering the MMU notifier gives up with EINTR when a signal is pending (mm_take_all_locks), and trying again could go on
        // for as long as somebody sends signals: they wait instead.
        kick::with_signals_waiting(|| seam::call(HostCall::CreateVm, || self.kvm.create_vm()))?
    }
}

impl Features {
    fn read(cpuid: &CpuId) -> Self {
        let mut features = Self::default();
        for entry in cpuid.as_slice() {
            match (entry.function, entry.index) {
                (1, _) => {
                    features.xsave = entry.ecx >> 26 & 1 == 1;
                    features.leaf1_edx = entry.edx;
                }
                (7, 0) => {
                    features.fsgsbase = entry.ebx & 1 == 1;
                    features.smep = entry.ebx >> 7 & 1 == 1;
                    features.smap = entry.ebx >> 20 & 1 == 1;
                    features.umip = entry.ecx >> 2 & 1 == 1;
                }
                (0xd, 0) => features.xcr0 = u64::from(entry.eax) | u64::from(entry.edx) << 32,
                (0x8000_0001, _) => features.nx = entry.edx >> 20 & 1 == 1,
                _ => {}
            }
        }
        features
    }
}
