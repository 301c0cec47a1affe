//! The ring's memory, as the guest touches it: words by atomics, pieces by copies that the compiler knows nothing about.

use core::ptr::with_exposed_provenance_mut;
use core::sync::atomic::{AtomicU64, Ordering};

use ampoule_kernel::layout;
use ampoule_kernel::ring::{Memory, RING_BYTES};

use super::{assert_attached, size};

/// Up to here a copy goes by words: `rep movsb` takes dozens of cycles to start.
const SMALL: usize = 64;

/// The memory at [`layout::RING`]. Who has one was told by the host that it is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RingMemory(());

impl RingMemory {
    /// For [`next`](super::next) alone: the host has just said so.
    pub(super) fn of_the_switch() -> Self {
        assert_attached();
        Self(())
    }

    /// The address of a range that lies inside, and begins at a word.
    #[inline]
    fn place(self, offset: u64, length: usize) -> Option<*mut u8> {
        let inside = offset.is_multiple_of(8) && offset < RING_BYTES && length as u64 <= RING_BYTES - offset;
        inside.then(|| with_exposed_provenance_mut(size(layout::RING + offset)))
    }

    #[inline]
    fn word(&self, offset: u64) -> Option<&AtomicU64> {
        let place = self.place(offset, 8)?.cast::<u64>();
        // SAFETY: an aligned word of memory that stays mapped for the life of the guest; both sides access it by atomics.
        Some(unsafe { AtomicU64::from_ptr(place) })
    }
}

impl Memory for RingMemory {
    #[inline]
    fn load(&self, offset: u64, order: Ordering) -> u64 {
        self.word(offset).map_or(0, |word| word.load(order))
    }

    #[inline]
    fn store(&self, offset: u64, value: u64, order: Ordering) {
        if let Some(word) = self.word(offset) {
            word.store(value, order);
        }
    }

    #[inline]
    fn read(&self, offset: u64, to: &mut [u8]) {
        let Some(from) = self.place(offset, to.len()) else { return };
        if to.len() > SMALL {
            // SAFETY: the range lies inside the ring, and `to` is not part of it.
            return unsafe { copy(from, to.as_mut_ptr(), to.len()) };
        }
        let mut words = to.chunks_exact_mut(8);
        let mut place = offset;
        for word in &mut words {
            word.copy_from_slice(&self.load(place, Ordering::Relaxed).to_le_bytes());
            place += 8;
        }
        // Offsets are multiples of 8, and so is where the ring ends: the last word is there whole.
        let tail = words.into_remainder();
        if !tail.is_empty() {
            let last = self.load(place, Ordering::Relaxed).to_le_bytes();
            tail.iter_mut().zip(last).for_each(|(byte, value)| *byte = value);
        }
    }

    #[inline]
    fn write(&self, offset: u64, from: &[u8]) {
        let Some(to) = self.place(offset, from.len()) else { return };
        if from.len() > SMALL {
            // SAFETY: the range lies inside the ring, and `from` is not part of it.
            return unsafe { copy(from.as_ptr(), to, from.len()) };
        }
        let (words, tail) = from.as_chunks::<8>();
        let mut place = offset;
        for word in words {
            self.store(place, u64::from_le_bytes(*word), Ordering::Relaxed);
            place += 8;
        }
        for (index, byte) in tail.iter().enumerate() {
            // SAFETY: the byte lies inside the range, which lies inside the ring.
            let place = unsafe { to.add(words.len() * 8 + index) };
            // SAFETY: as above; the host may look at it at any time, so the store is volatile.
            unsafe { place.write_volatile(*byte) };
        }
    }
}

/// Copies without the compiler's knowledge: the host can write while this reads, and read while it writes.
///
/// # Safety
/// `from` can be read and `to` written, `length` bytes each, and they do not overlap.
#[inline]
unsafe fn copy(from: *const u8, to: *mut u8, length: usize) {
    // SAFETY: the caller's promise; the direction flag is clear, as the ABI has it.
    unsafe {
        core::arch::asm!(
            "rep movsb",
            inout("rcx") length => _,
            inout("rsi") from => _,
            inout("rdi") to => _,
            options(nostack, preserves_flags),
        );
    }
}
