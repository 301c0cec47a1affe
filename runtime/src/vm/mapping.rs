//! A mapping of the host's: memory that guests have as slots, touched by the host through atomics and volatile copies only.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use vm_memory::VolatileSlice;

use super::budget::{BUDGET, Grant};
use super::error::HostError;
use super::process;
use super::seam::{self, HostCall};

/// A mapping of the host's, unmapped on drop.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    len: usize,
    /// The process that made it. A fork's child has no such mapping, and perhaps another one in its place.
    owner: u32,
    /// Its place in the memory budget, left after it is unmapped; regions have none, since they are the embedder's.
    _grant: Option<Grant>,
}

// SAFETY: the mapping is plain memory; every access to it goes through atomics or volatile copies.
unsafe impl Send for Mapping {}
// SAFETY: as above; the only references that are handed out are to atomics.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Anonymous memory of zeros, which costs nothing until it is touched, but counts in the memory budget at once.
    pub(super) fn anonymous(len: usize) -> Result<Self, HostError> {
        let grant = BUDGET.admit(len as u64)?;
        Self::new(len, libc::PROT_READ | libc::PROT_WRITE, None, Some(grant))
    }

    /// What `file` holds, to be read. Nobody makes it shorter: it is sealed.
    pub(super) fn of_sealed(file: &File, len: usize) -> Result<Self, HostError> {
        Self::new(len, libc::PROT_READ, Some(file), None)
    }

    /// Not inherited by a fork, not in core dumps.
    fn new(len: usize, protection: libc::c_int, file: Option<&File>, grant: Option<Grant>) -> Result<Self, HostError> {
        let (flags, descriptor) = match file {
            Some(file) => (libc::MAP_SHARED, file.as_raw_fd()),
            None => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1),
        };
        let start = seam::call(HostCall::Map, || {
            // SAFETY: a mapping at an address of the kernel's choice replaces nothing.
            let start = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, descriptor, 0) };
            if start == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            NonNull::new(start.cast::<u8>()).ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))
        })?;
        let mapping = Self { start, len, owner: process::current(), _grant: grant };
        for advice in [libc::MADV_DONTFORK, libc::MADV_DONTDUMP] {
            seam::call(HostCall::Advise, || {
                // SAFETY: the range is exactly this mapping, and neither advice changes its content.
                seam::check(unsafe { libc::madvise(mapping.start.as_ptr().cast(), mapping.len, advice) })
            })?;
        }
        Ok(mapping)
    }

    /// Where it starts.
    pub(super) fn address(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    /// Its length in bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// A part of it; none if any of that lies outside.
    #[inline]
    pub(super) fn slice(&self, offset: u64, len: usize) -> Option<VolatileSlice<'_>> {
        let offset = usize::try_from(offset).ok()?;
        if offset > self.len || len > self.len - offset {
            return None;
        }
        // SAFETY: `offset` is at most the mapping's length, as just checked.
        let start = unsafe { self.start.add(offset) };
        // SAFETY: the range lies in the mapping, as just checked, which lives as long as `self`, to which the slice's lifetime is bound;
        // all access to it is volatile or atomic. Whoever got a read-only mapping never writes through it.
        Some(unsafe { VolatileSlice::new(start.as_ptr(), len) })
    }

    /// A word of it, if `offset` is that of one. Only for mappings that may be written.
    #[inline]
    pub(super) fn word(&self, offset: u64) -> Option<&AtomicU64> {
        let offset = usize::try_from(offset).ok()?;
        if !offset.is_multiple_of(8) || offset.checked_add(8).is_none_or(|end| end > self.len) {
            return None;
        }
        // SAFETY: `offset` lies in the mapping, as just checked.
        let word = unsafe { self.start.add(offset) };
        // SAFETY: eight aligned bytes inside the mapping, which lives as long as `self`; host threads reach words only through atomics,
        // and the guest's accesses are the hardware's.
        Some(unsafe { AtomicU64::from_ptr(word.as_ptr().cast()) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.owner != process::current() {
            return;
        }
        // SAFETY: the range is exactly the mapping that `new` made in this process; KVM slots over it belong to shells that hold this value longer
        // than their VM (`Shell`'s field order).
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
