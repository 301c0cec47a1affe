//! Which process this is, without asking the kernel each time.
//!
//! KVM serves only the process that made a virtual machine, so every run asks. The number is kept in a page that the kernel wipes in
//! the child of a fork (madvise(2), `MADV_WIPEONFORK`); where it cannot, each question is a system call.

use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The page that a fork wipes.
struct Page(NonNull<AtomicU32>);

// SAFETY: an atomic, in a mapping that is never unmapped.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

/// The number of this process.
pub(crate) fn current() -> u32 {
    static PAGE: OnceLock<Option<Page>> = OnceLock::new();
    let Some(page) = PAGE.get_or_init(make) else { return std::process::id() };
    // SAFETY: the mapping is never unmapped, page-aligned, and holds nothing but this atomic.
    let number = unsafe { page.0.as_ref() };
    match number.load(Ordering::Relaxed) {
        0 => {
            let current = std::process::id();
            number.store(current, Ordering::Relaxed);
            current
        }
        known => known,
    }
}

fn make() -> Option<Page> {
    const BYTES: usize = 4096;
    // SAFETY: an anonymous mapping at an address of the kernel's choice replaces nothing.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the range is exactly the mapping.
    if unsafe { libc::madvise(start, BYTES, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: the mapping was just made, and nobody else knows it.
        unsafe { libc::munmap(start, BYTES) };
        return None;
    }
    NonNull::new(start.cast::<AtomicU32>()).map(Page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_the_kernels_in_the_process_and_in_its_fork() {
        assert_eq!(current(), std::process::id());
        // SAFETY: the child calls nothing but getpid and _exit.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let right = current() == std::process::id();
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(if right { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: the kernel writes one status.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0, "the child of a fork has a number of its own");
    }
}
