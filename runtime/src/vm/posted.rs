//! Coalesced MMIO: stores that KVM notes down and goes on, instead of coming back.
//!
//! KVM writes the ring, the host reads it (Linux Documentation/virt/kvm/api.rst, `KVM_REGISTER_COALESCED_MMIO`). A store to a full
//! ring is an exit of its own, so nothing is lost. Before Linux 6.12 a ring that was read only in part loses entries (its modulo is
//! unsigned): it is always read to its end, between two entries into the guest.

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use kvm_bindings::{kvm_coalesced_mmio, kvm_coalesced_mmio_ring};
use kvm_ioctls::VcpuFd;

use super::error::HostError;
use super::seam::{self, HostCall};

/// The ring is one page of the vCPU's mapping.
const RING_BYTES: usize = 4096;
/// Entries that fit behind the two indices.
#[expect(clippy::cast_possible_truncation, reason = "far fewer than the page has bytes")]
const ENTRIES: u32 = ((RING_BYTES - size_of::<kvm_coalesced_mmio_ring>()) / size_of::<kvm_coalesced_mmio>()) as u32;

/// A store that the guest made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Posted {
    /// Guest-physical.
    pub(crate) address: u64,
    /// Bytes stored, at most 8.
    pub(crate) len: u32,
    /// What was stored; zeros behind `len`.
    pub(crate) data: [u8; 8],
}

/// The ring of one vCPU.
pub(super) struct PostedRing {
    page: NonNull<u8>,
}

// SAFETY: the mapping is plain memory that this value alone owns.
unsafe impl Send for PostedRing {}

impl fmt::Debug for PostedRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostedRing").finish_non_exhaustive()
    }
}

impl PostedRing {
    /// Maps the ring, which is `page` pages into the vCPU's mapping.
    pub(super) fn new(vcpu: &VcpuFd, page: i64) -> Result<Self, HostError> {
        let page = seam::call(HostCall::Map, || {
            // SAFETY: a mapping at an address of the kernel's choice replaces nothing.
            let start = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    RING_BYTES,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_SHARED,
                    vcpu.as_raw_fd(),
                    page * 4096,
                )
            };
            if start == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            NonNull::new(start.cast::<u8>()).ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))
        })?;
        Ok(Self { page })
    }

    fn index(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: `offset` is one of the two below: inside the page.
        let word = unsafe { self.page.add(offset) };
        // SAFETY: four aligned bytes of the mapping, which lives as long as `self`; the kernel's accesses are atomic as well.
        unsafe { AtomicU32::from_ptr(word.as_ptr().cast()) }
    }

    /// Reads the ring to its end. The vCPU is not running.
    pub(super) fn drain(&mut self, take: &mut dyn FnMut(Posted)) {
        let first = self.index(std::mem::offset_of!(kvm_coalesced_mmio_ring, first));
        let last = self.index(std::mem::offset_of!(kvm_coalesced_mmio_ring, last)).load(Ordering::Acquire) % ENTRIES;
        let mut at = first.load(Ordering::Relaxed) % ENTRIES;
        if at == last {
            return;
        }
        while at != last {
            let offset = size_of::<kvm_coalesced_mmio_ring>() + at as usize * size_of::<kvm_coalesced_mmio>();
            // SAFETY: `at` is below ENTRIES: the entry lies inside the page.
            let entry = unsafe { self.page.add(offset) };
            // SAFETY: the kernel wrote the entry before it published `last`, and leaves it alone until `first` has passed it; it is
            // plain integers.
            let entry = unsafe { entry.cast::<kvm_coalesced_mmio>().read_volatile() };
            let mut data = [0; 8];
            for (to, from) in data.iter_mut().zip(entry.data).take(entry.len as usize) {
                *to = from;
            }
            take(Posted { address: entry.phys_addr, len: entry.len, data });
            at = (at + 1) % ENTRIES;
        }
        first.store(at, Ordering::Release);
    }
}

impl Drop for PostedRing {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that `new` made; no reference into it outlives a method.
        unsafe { libc::munmap(self.page.as_ptr().cast(), RING_BYTES) };
    }
}
