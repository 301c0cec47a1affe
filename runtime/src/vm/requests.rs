//! KVM's requests by number, for a filter that lets them pass and no others.
//!
//! ```text
//! 31 30 │ 29 … 16       │ 15 … 8 │ 7 … 0
//! way   │ argument size │ KVMIO  │ number       asm-generic/ioctl.h
//! ```

use std::mem::size_of;

use kvm_bindings as kvm;

/// linux/kvm.h `KVMIO`.
const KVMIO: u32 = 0xae;
/// asm-generic/ioctl.h `_IOC_NONE`, `_IOC_WRITE` and `_IOC_READ`, in their place.
const NONE: u32 = 0;
const WRITE: u32 = 1 << 30;
const READ: u32 = 2 << 30;

pub(crate) const CREATE_VM: u32 = request::<()>(NONE, 0x01);
pub(crate) const CHECK_EXTENSION: u32 = request::<()>(NONE, 0x03);
pub(crate) const GET_VCPU_MMAP_SIZE: u32 = request::<()>(NONE, 0x04);
pub(crate) const CREATE_VCPU: u32 = request::<()>(NONE, 0x41);
pub(crate) const GET_DIRTY_LOG: u32 = request::<kvm::kvm_dirty_log>(WRITE, 0x42);
pub(crate) const SET_USER_MEMORY_REGION: u32 = request::<kvm::kvm_userspace_memory_region>(WRITE, 0x46);
pub(crate) const REGISTER_COALESCED_MMIO: u32 = request::<kvm::kvm_coalesced_mmio_zone>(WRITE, 0x67);
pub(crate) const RUN: u32 = request::<()>(NONE, 0x80);
pub(crate) const GET_SREGS: u32 = request::<kvm::kvm_sregs>(READ, 0x83);
pub(crate) const SET_SREGS: u32 = request::<kvm::kvm_sregs>(WRITE, 0x84);
pub(crate) const SET_MSRS: u32 = request::<kvm::kvm_msrs>(WRITE, 0x89);
pub(crate) const SET_SIGNAL_MASK: u32 = request::<kvm::kvm_signal_mask>(WRITE, 0x8b);
pub(crate) const SET_CPUID2: u32 = request::<kvm::kvm_cpuid2>(WRITE, 0x90);
pub(crate) const SET_VCPU_EVENTS: u32 = request::<kvm::kvm_vcpu_events>(WRITE, 0xa0);
pub(crate) const ENABLE_CAP: u32 = request::<kvm::kvm_enable_cap>(WRITE, 0xa3);
pub(crate) const GET_TSC_KHZ: u32 = request::<()>(NONE, 0xa3);
pub(crate) const GET_XSAVE: u32 = request::<[u32; 1024]>(READ, 0xa4);
pub(crate) const SET_XSAVE: u32 = request::<[u32; 1024]>(WRITE, 0xa5);
pub(crate) const SET_XCRS: u32 = request::<kvm::kvm_xcrs>(WRITE, 0xa7);
pub(crate) const SET_DEVICE_ATTR: u32 = request::<kvm::kvm_device_attr>(WRITE, 0xe1);
pub(crate) const CLEAR_DIRTY_LOG: u32 = request::<kvm::kvm_clear_dirty_log>(READ | WRITE, 0xc0);

/// `_IOC(way, KVMIO, number, size)`, asm-generic/ioctl.h.
const fn request<T>(way: u32, number: u32) -> u32 {
    // The largest argument has 4,096 bytes, and the field 14 bits.
    #[expect(clippy::cast_possible_truncation, reason = "a size that does not fit its field is refused right here")]
    let size = size_of::<T>() as u32;
    assert!(size < 1 << 14, "the argument does not fit");
    way | size << 16 | KVMIO << 8 | number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_the_numbers_that_strace_shows() {
        let numbers = [
            (CREATE_VM, 0xae01),
            (CHECK_EXTENSION, 0xae03),
            (GET_VCPU_MMAP_SIZE, 0xae04),
            (CREATE_VCPU, 0xae41),
            (GET_DIRTY_LOG, 0x4010_ae42),
            (SET_USER_MEMORY_REGION, 0x4020_ae46),
            (REGISTER_COALESCED_MMIO, 0x4010_ae67),
            (RUN, 0xae80),
            (GET_SREGS, 0x8138_ae83),
            (SET_SREGS, 0x4138_ae84),
            (SET_MSRS, 0x4008_ae89),
            (SET_SIGNAL_MASK, 0x4004_ae8b),
            (SET_CPUID2, 0x4008_ae90),
            (SET_VCPU_EVENTS, 0x4040_aea0),
            (ENABLE_CAP, 0x4068_aea3),
            (SET_DEVICE_ATTR, 0x4018_aee1),
            (GET_TSC_KHZ, 0xaea3),
            (GET_XSAVE, 0x9000_aea4),
            (SET_XSAVE, 0x5000_aea5),
            (SET_XCRS, 0x4188_aea7),
            (CLEAR_DIRTY_LOG, 0xc018_aec0),
        ];
        for (request, number) in numbers {
            assert_eq!(request, number, "{request:#x} is not {number:#x}");
        }
    }
}
