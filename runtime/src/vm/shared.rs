//! Memory that more than one party holds: regions that many guests read, the ring that a guest shares with host threads, and what a fuzz target shares
//! with its harness.
//!
//! ```text
//! region   a sealed memfd, mapped read-only: nobody can write it or make it shorter, so a guest's read is never a SIGBUS here
//! ring     anonymous memory; the guest writes it while the host reads, so words are atomics and bytes are copied out once
//! windows  anonymous memory that no reset touches; the guest can write the first part of it
//! ```

use std::fs::File;
use std::io;
use std::sync::atomic::Ordering;

use ampoule_kernel::layout::REGION_ALIGN;
#[cfg(feature = "fuzz")]
use ampoule_kernel::layout::{PLAN_BYTES, WINDOWS_BYTES};
use ampoule_kernel::ring::{self, RING_BYTES};
use rustix::fs::{MemfdFlags, SealFlags};
use vm_memory::VolatileSlice;

use super::error::HostError;
use super::mapping::Mapping;
use super::seam::HostCall;

/// A sealed, read-only piece of memory.
#[derive(Debug)]
pub(crate) struct RegionMemory {
    mapping: Mapping,
    /// Bytes of content; the mapping is longer, and zero behind them.
    len: u64,
}

impl RegionMemory {
    /// Copies what `fill` writes, at most `max` bytes.
    pub(crate) fn new(max: u64, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<Self> {
        let mut file =
            File::from(rustix::fs::memfd_create("ampoule-region", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
        fill(&mut file)?;
        let len = file.metadata()?.len();
        if len > max {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let whole = len.max(1).next_multiple_of(REGION_ALIGN);
        file.set_len(whole)?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let bytes = usize::try_from(whole).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let mapping = Mapping::of_sealed(&file, bytes).map_err(|error| match error {
            HostError::Call { source, .. } => source,
            other => io::Error::other(other),
        })?;
        Ok(Self { mapping, len })
    }

    /// Bytes of content.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of the mapping: what a guest can see of it.
    pub(crate) fn whole(&self) -> u64 {
        self.mapping.len() as u64
    }

    pub(super) fn host_address(&self) -> u64 {
        self.mapping.address()
    }

    pub(super) fn slice(&self, offset: u64, len: usize) -> Option<VolatileSlice<'_>> {
        self.mapping.slice(offset, len)
    }
}

/// The ring's memory.
#[derive(Debug)]
pub(crate) struct RingMemory {
    mapping: Mapping,
}

impl RingMemory {
    /// A ring of zeros.
    pub(crate) fn new() -> Result<Self, HostError> {
        let len = usize::try_from(RING_BYTES)
            .map_err(|_| HostError::Call { call: HostCall::Map, source: io::Error::from_raw_os_error(libc::ENOMEM) })?;
        Ok(Self { mapping: Mapping::anonymous(len)? })
    }

    pub(super) fn host_address(&self) -> u64 {
        self.mapping.address()
    }

    /// Makes it empty again: no stamp and no progress is left. The guest is not running.
    pub(crate) fn clear(&self) {
        for offset in (0..ring::CONTROL_BYTES).step_by(8) {
            ring::Memory::store(self, offset, 0, Ordering::Relaxed);
        }
    }
}

impl ring::Memory for RingMemory {
    #[inline]
    fn load(&self, offset: u64, order: Ordering) -> u64 {
        self.mapping.word(offset).map_or(0, |word| word.load(order))
    }

    #[inline]
    fn store(&self, offset: u64, value: u64, order: Ordering) {
        if let Some(word) = self.mapping.word(offset) {
            word.store(value, order);
        }
    }

    #[inline]
    fn read(&self, offset: u64, to: &mut [u8]) {
        if let Some(slice) = self.mapping.slice(offset, to.len()) {
            slice.copy_to(to);
        }
    }

    #[inline]
    fn write(&self, offset: u64, from: &[u8]) {
        if let Some(slice) = self.mapping.slice(offset, from.len()) {
            slice.copy_from(from);
        }
    }
}

/// The windows of a fuzz target, and the plan of a batch behind them.
#[cfg(feature = "fuzz")]
#[derive(Debug)]
pub(crate) struct WindowMemory {
    mapping: Mapping,
}

#[cfg(feature = "fuzz")]
impl WindowMemory {
    /// Zeros.
    pub(crate) fn new() -> Result<Self, HostError> {
        let len = usize::try_from(WINDOWS_BYTES + PLAN_BYTES)
            .map_err(|_| HostError::Call { call: HostCall::Map, source: io::Error::from_raw_os_error(libc::ENOMEM) })?;
        Ok(Self { mapping: Mapping::anonymous(len)? })
    }

    pub(super) fn host_address(&self) -> u64 {
        self.mapping.address()
    }

    /// Bytes of both parts.
    pub(super) fn len(&self) -> u64 {
        self.mapping.len() as u64
    }

    /// Copies out.
    ///
    /// # Errors
    /// [`HostError::OutOfRange`] if that is not all inside.
    pub(crate) fn read(&self, offset: u64, to: &mut [u8]) -> Result<(), HostError> {
        let len = to.len();
        self.mapping.slice(offset, len).ok_or(HostError::OutOfRange { start: offset, len })?.copy_to(to);
        Ok(())
    }

    /// Copies in.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn write(&self, offset: u64, from: &[u8]) -> Result<(), HostError> {
        let len = from.len();
        self.mapping.slice(offset, len).ok_or(HostError::OutOfRange { start: offset, len })?.copy_from(from);
        Ok(())
    }

    /// A little-endian word.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn word(&self, offset: u64) -> Result<u64, HostError> {
        let mut bytes = [0; 8];
        self.read(offset, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Writes a little-endian word.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn set_word(&self, offset: u64, word: u64) -> Result<(), HostError> {
        self.write(offset, &word.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use ring::Memory;

    use super::*;

    #[test]
    fn a_region_holds_what_was_written_and_zeros_to_its_end() {
        let region = RegionMemory::new(1 << 30, |file| file.write_all(b"model")).unwrap();
        assert_eq!((region.len(), region.whole()), (5, REGION_ALIGN));
        let mut bytes = [7; 6];
        region.slice(0, 6).unwrap().copy_to(&mut bytes);
        assert_eq!(&bytes, b"model\0");
        assert!(region.slice(REGION_ALIGN - 1, 2).is_none() && region.slice(u64::MAX, 1).is_none());
    }

    #[test]
    fn a_region_beyond_its_bound_is_refused() {
        let refused = RegionMemory::new(4, |file| file.write_all(b"model")).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::FileTooLarge);
    }

    #[cfg(feature = "fuzz")]
    #[test]
    fn the_windows_refuse_what_is_not_all_inside() {
        let windows = WindowMemory::new().unwrap();
        let end = windows.len();
        windows.set_word(end - 8, 7).unwrap();
        assert_eq!(windows.word(end - 8).unwrap(), 7);
        for offset in [end - 7, end, u64::MAX - 3] {
            assert!(matches!(windows.word(offset), Err(HostError::OutOfRange { len: 8, .. })));
            assert!(matches!(windows.set_word(offset, 1), Err(HostError::OutOfRange { len: 8, .. })));
        }
    }

    #[test]
    fn the_ring_answers_no_access_outside_itself() {
        let ring = RingMemory::new().unwrap();
        for offset in [RING_BYTES, RING_BYTES - 4, 4, u64::MAX - 7] {
            ring.store(offset, 1, Ordering::Relaxed);
            assert_eq!(ring.load(offset, Ordering::Relaxed), 0);
        }
        ring.write(RING_BYTES - 1, b"ab");
        let mut last = [9];
        ring.read(RING_BYTES - 1, &mut last);
        assert_eq!(last, [0]);
    }
}
