//! A VM shell: virtual machine, vCPU and memory slots, without anybody's program in it.
//!
//! A KVM virtual machine costs about a millisecond of its process's time over its life and taxes every address-space change while it
//! lives, so shells are what gets bounded and, later, recycled. A sandbox owns one while it runs and nothing else of KVM's.

use std::sync::Arc;

use ampoule_kernel::{abi, layout, ring};
use kvm_bindings::{
    KVM_CAP_EXIT_HYPERCALL, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE,
    KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, kvm_enable_cap, kvm_userspace_memory_region,
};
use kvm_ioctls::{IoEventAddress, VmFd};

use super::device::Device;
use super::dirty::DirtyPages;
use super::error::HostError;
use super::memory::{Geometry, GuestMemory, Slot};
use super::process;
use super::seam::{self, HostCall};
#[cfg(feature = "fuzz")]
use super::shared::WindowMemory;
use super::shared::{RegionMemory, RingMemory};
use super::vcpu::{KvmVcpu, SystemRegisters, Vcpu};

/// KVM's number for the ring's slot: behind those of [`GuestMemory`].
const RING_SLOT: u32 = 3;
/// KVM's number for the fuzzing windows' slot.
#[cfg(feature = "fuzz")]
const WINDOWS_SLOT: u32 = 4;
/// Slots before the regions'.
const OWN_SLOTS: u32 = 5;
/// Bytes of the event page.
const EVENTS_BYTES: u32 = 4096;

/// What a fresh vCPU is set up with.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// System registers.
    pub(crate) system: SystemRegisters,
    /// Model-specific registers: index, value.
    pub(crate) msrs: Vec<(u32, u64)>,
    /// Extended states to enable, if the CPU has any.
    pub(crate) xcr0: Option<u64>,
    /// Hypercalls are passed on as exits.
    pub(crate) hypercall_exits: bool,
}

/// VM + vCPU + slots.
#[derive(Debug)]
pub(crate) struct Shell {
    /// The vCPU goes first: it keeps the VM alive.
    pub(crate) vcpu: Box<dyn Vcpu>,
    /// The VM before the memory that its slots point to. None under a fake vCPU.
    vm: Option<VmFd>,
    /// The slots' memory.
    pub(crate) memory: GuestMemory,
    /// Which of the payload's pages were written.
    pub(crate) dirty: DirtyPages,
    /// The ring's, in shells that have one.
    ring: Option<Arc<RingMemory>>,
    /// A fuzz target's, in shells that have them.
    #[cfg(feature = "fuzz")]
    windows: Option<Arc<WindowMemory>>,
    /// The process that made it: KVM serves no other.
    owner: u32,
}

impl Shell {
    /// Makes a VM with its slots and one vCPU; `setup` is asked for the initial state with the vCPU's reset state at hand.
    pub(crate) fn new(
        device: &Device,
        geometry: Geometry,
        setup: impl FnOnce(SystemRegisters) -> Setup,
    ) -> Result<Self, HostError> {
        let memory = GuestMemory::new(geometry)?;
        let vm = device.create_vm()?;
        enable(&vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE.into())?;
        for slot in memory.slots() {
            let flags = if slot.number == memory.payload_slot().number { KVM_MEM_LOG_DIRTY_PAGES } else { 0 };
            set_slot(&vm, &memory, &slot, slot.bytes, flags)?;
        }
        let fd = seam::call(HostCall::CreateVcpu, || vm.create_vcpu(0))?;
        let mut vcpu = KvmVcpu::new(fd, device)?;
        let setup = setup(vcpu.system_registers()?);
        vcpu.set_system_registers(&setup.system)?;
        vcpu.set_msrs(&setup.msrs)?;
        if let Some(xcr0) = setup.xcr0 {
            vcpu.set_xcr0(xcr0)?;
        }
        if setup.hypercall_exits {
            enable(&vm, KVM_CAP_EXIT_HYPERCALL, 1 << abi::HYPERCALL_NUMBER)?;
        }
        Ok(Self::around(Box::new(vcpu), Some(vm), memory, geometry))
    }

    /// A shell around a fake vCPU: memory without a VM.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn fake(geometry: Geometry, vcpu: Box<dyn Vcpu>) -> Result<Self, HostError> {
        Ok(Self::around(vcpu, None, GuestMemory::new(geometry)?, geometry))
    }

    fn around(vcpu: Box<dyn Vcpu>, vm: Option<VmFd>, memory: GuestMemory, geometry: Geometry) -> Self {
        Self {
            vcpu,
            vm,
            memory,
            dirty: DirtyPages::new(geometry.payload_pages),
            ring: None,
            #[cfg(feature = "fuzz")]
            windows: None,
            owner: process::current(),
        }
    }

    /// Finds out which pages were written, for [`dirty`](Self::dirty).
    pub(crate) fn collect_dirty(&mut self) -> Result<(), HostError> {
        let slot = self.memory.payload_slot().number;
        self.dirty.collect(self.vm.as_ref().map(|vm| (vm, slot)), self.memory.written())
    }

    /// From now on writes to the pages that were left alone are noticed again.
    pub(crate) fn protect_clean(&mut self) -> Result<(), HostError> {
        let Some(vm) = &self.vm else { return Ok(()) };
        let slot = self.memory.payload_slot();
        self.dirty.protect(vm, slot.number, slot.bytes / layout::PAGE_SIZE)
    }

    /// Takes the page-table slot away and puts it back: KVM forgets everything that it derived from page tables in it, and the host
    /// may rewrite any entry directly.
    pub(crate) fn toggle_tables(&mut self) -> Result<(), HostError> {
        let Some(vm) = &self.vm else { return Ok(()) };
        let slot = self.memory.table_slot();
        set_slot(vm, &self.memory, &slot, 0, 0)?;
        set_slot(vm, &self.memory, &slot, slot.bytes, 0)
    }

    /// From now on stores to the event page are posted: found by [`Vcpu::drain_posted`], or exits where KVM cannot note them down.
    pub(crate) fn open_events(&mut self, device: &Device) -> Result<(), HostError> {
        let (Some(vm), Some(page)) = (&self.vm, device.posted_ring_page()) else { return Ok(()) };
        let zone = IoEventAddress::Mmio(layout::EVENTS_BASE);
        seam::call(HostCall::RegisterCoalesced, || vm.register_coalesced_mmio(zone, EVENTS_BYTES))?;
        self.vcpu.open_posted(page)
    }

    /// Gives the guest `region`, read-only, from guest-physical `base` on.
    pub(crate) fn add_region(
        &mut self,
        device: &Device,
        base: u64,
        region: &Arc<RegionMemory>,
    ) -> Result<(), HostError> {
        let number = OWN_SLOTS + u32::try_from(self.memory.region_count()).unwrap_or(u32::MAX - OWN_SLOTS);
        // Attached first: should the call fail half done, the memory stays for as long as the VM.
        self.memory.attach_region(base, Arc::clone(region));
        let Some(vm) = &self.vm else { return Ok(()) };
        let slot = kvm_userspace_memory_region {
            slot: number,
            flags: if device.has_read_only_slots() { KVM_MEM_READONLY } else { 0 },
            guest_phys_addr: base,
            memory_size: region.whole(),
            userspace_addr: region.host_address(),
        };
        seam::call(HostCall::SetMemory, || {
            // SAFETY: the range is a region's whole mapping, which `memory` now keeps until the VM is gone (field order), and no Rust
            // reference into it exists. It is mapped read-only, so that no guest's write reaches it.
            unsafe { vm.set_user_memory_region(slot) }
        })
    }

    /// Gives the guest the ring, at guest-physical `base`; the same ring the next time.
    pub(crate) fn add_ring(&mut self, base: u64) -> Result<Arc<RingMemory>, HostError> {
        if let Some(ring) = &self.ring {
            return Ok(Arc::clone(ring));
        }
        let ring = Arc::new(RingMemory::new()?);
        self.ring = Some(Arc::clone(&ring));
        let Some(vm) = &self.vm else { return Ok(ring) };
        let slot = kvm_userspace_memory_region {
            slot: RING_SLOT,
            flags: 0,
            guest_phys_addr: base,
            memory_size: ring::RING_BYTES,
            userspace_addr: ring.host_address(),
        };
        seam::call(HostCall::SetMemory, || {
            // SAFETY: the range is the ring's whole mapping, which `self.ring` keeps until the VM is gone (field order); host threads
            // reach it only through atomics and volatile copies.
            unsafe { vm.set_user_memory_region(slot) }
        })?;
        Ok(ring)
    }

    /// Gives the guest the windows of a fuzz target and the plan, from guest-physical `base` on. Once.
    #[cfg(feature = "fuzz")]
    pub(crate) fn add_windows(&mut self, base: u64, windows: &Arc<WindowMemory>) -> Result<(), HostError> {
        self.windows = Some(Arc::clone(windows));
        let Some(vm) = &self.vm else { return Ok(()) };
        let slot = kvm_userspace_memory_region {
            slot: WINDOWS_SLOT,
            flags: 0,
            guest_phys_addr: base,
            memory_size: windows.len(),
            userspace_addr: windows.host_address(),
        };
        seam::call(HostCall::SetMemory, || {
            // SAFETY: the range is the windows' whole mapping, which `self.windows` keeps until the VM is gone (field order); host threads reach
            // it only through volatile copies.
            unsafe { vm.set_user_memory_region(slot) }
        })
    }

    /// # Errors
    /// [`HostError::Forked`] in a process that inherited the shell.
    pub(crate) fn check_owner(&self) -> Result<(), HostError> {
        let current = process::current();
        if current == self.owner { Ok(()) } else { Err(HostError::Forked { owner: self.owner, current }) }
    }
}

/// Enables a capability with one argument.
fn enable(vm: &VmFd, cap: u32, argument: u64) -> Result<(), HostError> {
    let capability = kvm_enable_cap { cap, args: [argument, 0, 0, 0], ..Default::default() };
    seam::call(HostCall::EnableCapability, || vm.enable_cap(&capability))
}

/// Gives the VM a slot, or takes it away where `bytes` is 0. Whoever owns the VM keeps `memory` until the VM is gone.
pub(super) fn set_slot(vm: &VmFd, memory: &GuestMemory, slot: &Slot, bytes: u64, flags: u32) -> Result<(), HostError> {
    let region = kvm_userspace_memory_region {
        slot: slot.number,
        flags,
        guest_phys_addr: slot.base,
        memory_size: bytes,
        userspace_addr: memory.host_address(slot),
    };
    seam::call(HostCall::SetMemory, || {
        // SAFETY: the range is a slot's part of the mapping that `memory` owns. `Shell` and `BareVm` keep `memory` until the VM is
        // gone (field order), and no Rust reference into the range exists.
        unsafe { vm.set_user_memory_region(region) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::fake::FakeVcpu;

    #[test]
    fn a_shell_that_a_fork_inherited_says_so() {
        let geometry = Geometry { payload_pages: 1, table_pages: 1 };
        let mut shell = Shell::fake(geometry, Box::new(FakeVcpu::new([]))).unwrap();
        assert!(shell.check_owner().is_ok());
        // What the child of a fork sees: the same value, in a process with another number.
        shell.owner += 1;
        let current = std::process::id();
        let refused = shell.check_owner().unwrap_err();
        assert!(
            matches!(refused, HostError::Forked { owner, current: seen } if owner == current + 1 && seen == current)
        );
    }
}
