//! Which payload pages may have been written since their machine was what its base says: KVM's log of the guest's writes, and our marks of
//! the host's, which KVM's log never sees.
//!
//! The log is used with `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2`: reading it changes nothing, and a page stays writable, and in the log, until it
//! is cleared. A page that every run writes anyway is cheaper to copy back each time than to catch again (`docs/kvm.md`), so pages are
//! cleared only when they turn out to have been left alone:
//!
//! ```text
//!             in the log               still in the log: compared
//! protected ─────────────► seen once ─────────────────────────────► equal: cleared, protected again
//!     ▲                        ▲   └─ it was cleared before ──┐    └─► different ─┐
//!     └─ forgotten             │                              └───────────────────┴─► kept, copied back without a look
//!                              └──────── every now and then ──────────────────────────┘
//! ```
//! A page that is equal may have been written all the same, with what it held before: one that is caught again soon is kept.

use std::os::fd::AsRawFd;

use kvm_bindings::{kvm_clear_dirty_log, kvm_dirty_log};
use kvm_ioctls::VmFd;

use super::error::HostError;
use super::seam::{self, HostCall};

/// `_IOW(KVMIO, 0x42, struct kvm_dirty_log)`, linux/kvm.h.
const KVM_GET_DIRTY_LOG: libc::c_ulong = 0x4010_ae42;
/// `_IOWR(KVMIO, 0xc0, struct kvm_clear_dirty_log)`, linux/kvm.h.
const KVM_CLEAR_DIRTY_LOG: libc::c_ulong = 0xc018_aec0;

/// Looks at the log between two times that pages which are kept are compared again.
const REVIEW_EVERY: u32 = 256;
/// Looks between two times that it is forgotten which pages were cleared: one that is caught again before is written all the time.
const FORGET_EVERY: u32 = 8;

/// What becomes of a page that the log names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    /// It was written for the first time in a while, or by the host.
    New,
    /// It was in the log the last time as well. Is it different again? [`DirtyPages::found`] wants to know.
    Compare,
    /// It is different every time.
    Kept,
}

/// The pages of one slot, one bit each.
#[derive(Debug)]
pub(crate) struct DirtyPages {
    /// KVM's log as it was read last; zeros without a VM.
    log: Vec<u64>,
    /// That, and what the host wrote.
    all: Vec<u64>,
    /// In the log at the last look, for the first time.
    seen: Vec<u64>,
    /// Different at every look.
    kept: Vec<u64>,
    /// Protected again once, because it was equal.
    cleared: Vec<u64>,
    /// To be protected again.
    clear: Vec<u64>,
    any_clear: bool,
    looks: u32,
}

impl DirtyPages {
    pub(super) fn new(pages: u64) -> Self {
        // KVM reads and writes whole words; a slot whose size no `usize` holds could not be mapped.
        let words = usize::try_from(pages.div_ceil(64)).unwrap_or(0);
        let none = || vec![0; words];
        Self {
            log: none(),
            all: none(),
            seen: none(),
            kept: none(),
            cleared: none(),
            clear: none(),
            any_clear: false,
            looks: 0,
        }
    }

    /// Takes together what KVM's log has, where there is a VM, and what the host wrote.
    pub(super) fn collect(&mut self, log: Option<(&VmFd, u32)>, written: &[u64]) -> Result<(), HostError> {
        if let Some((vm, slot)) = log {
            self.read(vm, slot)?;
        }
        for (all, (log, written)) in self.all.iter_mut().zip(self.log.iter().zip(written)) {
            *all = log | written;
        }
        Ok(())
    }

    /// What [`collect`](Self::collect) found, one bit for each page.
    #[cfg(feature = "fuzz")]
    pub(crate) fn written(&self) -> &[u64] {
        &self.all
    }

    fn read(&mut self, vm: &VmFd, slot: u32) -> Result<(), HostError> {
        let mut request = kvm_dirty_log { slot, ..Default::default() };
        request.__bindgen_anon_1.dirty_bitmap = self.log.as_mut_ptr().cast();
        seam::call(HostCall::GetDirtyLog, || {
            // SAFETY: the kernel writes one bit for each page of the slot, rounded up to words: as many as `log` has, which was made for
            // this slot's size.
            seam::check(unsafe { libc::ioctl(vm.as_raw_fd(), KVM_GET_DIRTY_LOG, &raw const request) })
        })?;
        self.looks += 1;
        if self.looks.is_multiple_of(REVIEW_EVERY) {
            for (seen, kept) in self.seen.iter_mut().zip(&mut self.kept) {
                *seen |= std::mem::take(kept);
            }
        }
        if self.looks.is_multiple_of(FORGET_EVERY) {
            self.cleared.fill(0);
        }
        Ok(())
    }

    /// The first word at or after `from` that has a page in it, and the pages' bits.
    pub(crate) fn next(&self, from: usize) -> Option<(usize, u64)> {
        let rest = self.all.get(from..)?;
        rest.iter().position(|&bits| bits != 0).and_then(|at| Some((from + at, *rest.get(at)?)))
    }

    /// The word of pages that need no look: copied back whatever they hold.
    pub(crate) fn kept(&self, word: usize) -> u64 {
        self.kept.get(word).copied().unwrap_or(0)
    }

    /// What is known of a page.
    pub(crate) fn habit(&self, word: usize, bit: u64) -> Habit {
        let is_in = |words: &[u64]| words.get(word).is_some_and(|it| it & bit != 0);
        if is_in(&self.kept) {
            Habit::Kept
        } else if is_in(&self.seen) && is_in(&self.log) {
            Habit::Compare
        } else {
            Habit::New
        }
    }

    /// Tells what [`habit`](Self::habit) left open: whether the page differs.
    pub(crate) fn found(&mut self, word: usize, bit: u64, habit: Habit, differs: bool) {
        let (Some(log), Some(seen), Some(kept)) =
            (self.log.get(word), self.seen.get_mut(word), self.kept.get_mut(word))
        else {
            return;
        };
        let (Some(cleared), Some(clear)) = (self.cleared.get_mut(word), self.clear.get_mut(word)) else { return };
        match habit {
            Habit::New if *cleared & log & bit != 0 => *kept |= bit,
            Habit::New => *seen |= bit & log,
            Habit::Compare if differs => {
                *seen &= !bit;
                *kept |= bit;
            }
            Habit::Compare => {
                *seen &= !bit;
                *clear |= bit;
                *cleared |= bit;
                self.any_clear = true;
            }
            Habit::Kept => {}
        }
    }

    /// The same for a snapshot. Every page equals its base afterwards, so that a new one can be protected at once: otherwise the next
    /// snapshot would look at all that was ever written.
    pub(crate) fn saved(&mut self, word: usize, bit: u64, habit: Habit, differs: bool) {
        let is_caught_again = self.cleared.get(word).is_some_and(|cleared| cleared & bit != 0);
        match habit {
            Habit::New if !is_caught_again => self.found(word, bit, Habit::Compare, false),
            habit => self.found(word, bit, habit, differs),
        }
    }

    /// Protects the pages again that were left alone.
    pub(super) fn protect(&mut self, vm: &VmFd, slot: u32, pages: u64) -> Result<(), HostError> {
        if !std::mem::take(&mut self.any_clear) {
            return Ok(());
        }
        let mut request = kvm_clear_dirty_log {
            slot,
            // A number of pages that is not a multiple of 64 is allowed where it reaches the slot's end, and none has more than 2^26.
            num_pages: u32::try_from(pages).unwrap_or(u32::MAX),
            ..Default::default()
        };
        request.__bindgen_anon_1.dirty_bitmap = self.clear.as_mut_ptr().cast();
        let result = seam::call(HostCall::ClearDirtyLog, || {
            // SAFETY: the kernel reads one bit for each page of the slot, rounded up to words: as many as `clear` has.
            seam::check(unsafe { libc::ioctl(vm.as_raw_fd(), KVM_CLEAR_DIRTY_LOG, &raw const request) })
        });
        self.clear.fill(0);
        result.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(pages: &mut DirtyPages, word: u64) {
        pages.log[0] = word;
        pages.looks += 1;
    }

    #[test]
    fn a_page_that_differs_twice_is_kept_and_one_that_does_not_is_protected() {
        let mut pages = DirtyPages::new(64);
        logged(&mut pages, 0b11);
        for bit in [1, 2] {
            assert_eq!(pages.habit(0, bit), Habit::New);
            pages.found(0, bit, Habit::New, true);
        }
        for (bit, differs) in [(1, true), (2, false)] {
            assert_eq!(pages.habit(0, bit), Habit::Compare);
            pages.found(0, bit, Habit::Compare, differs);
        }
        assert_eq!((pages.habit(0, 1), pages.habit(0, 2)), (Habit::Kept, Habit::New));
        assert_eq!((pages.clear[0], pages.any_clear), (2, true));
    }

    #[test]
    fn a_page_that_is_written_with_what_it_held_is_protected_once() {
        let mut pages = DirtyPages::new(64);
        for habit in [Habit::New, Habit::Compare, Habit::New, Habit::Kept, Habit::Kept] {
            logged(&mut pages, 1);
            assert_eq!(pages.habit(0, 1), habit);
            pages.found(0, 1, habit, false);
        }
    }

    #[test]
    fn what_was_written_before_a_snapshot_is_protected_at_once_and_kept_if_it_is_caught_again() {
        let mut pages = DirtyPages::new(64);
        for (habit, protected) in [(Habit::New, 1), (Habit::New, 0), (Habit::Kept, 0)] {
            logged(&mut pages, 1);
            assert_eq!(pages.habit(0, 1), habit);
            pages.clear[0] = 0;
            pages.saved(0, 1, habit, true);
            assert_eq!(pages.clear[0], protected);
        }
    }

    #[test]
    fn what_the_host_alone_wrote_is_never_taken_for_a_habit_of_the_guests() {
        let mut pages = DirtyPages::new(192);
        pages.collect(None, &[0, 4, 0]).unwrap();
        assert_eq!((pages.next(0), pages.next(1), pages.next(2)), (Some((1, 4)), Some((1, 4)), None));
        pages.found(0, 4, Habit::New, true);
        assert_eq!(pages.habit(0, 4), Habit::New);
    }
}
