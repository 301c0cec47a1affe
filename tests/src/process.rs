//! What the process that embeds Ampoule has of the system: seen before and after, in a test that is alone in its process.

use std::time::{Duration, Instant};

/// Bytes of a page on x86-64.
const PAGE: u64 = 4096;

/// Entries of a directory of /proc.
fn count(directory: &str) -> usize {
    std::fs::read_dir(directory).expect("a directory of /proc").count()
}

/// Open descriptors.
pub fn descriptors() -> usize {
    count("/proc/self/fd")
}

/// What they lead to, for the report of a leak.
pub fn open_files() -> Vec<String> {
    let entries = std::fs::read_dir("/proc/self/fd").expect("a directory of /proc").flatten();
    let mut files: Vec<_> =
        entries.filter_map(|entry| std::fs::read_link(entry.path()).ok()).map(|to| to.display().to_string()).collect();
    files.sort();
    files
}

/// Mappings.
pub fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").expect("a file of /proc").lines().count()
}

/// Memory that is resident, in bytes.
pub fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("a file of /proc");
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
    pages * PAGE
}

/// Threads, without those that recent kernels give each virtual machine.
pub fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("a directory of /proc");
    // A thread that has ended meanwhile has no name.
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
        .filter(|name| !name.starts_with("kvm-"))
        .count()
}

/// Waits until there are so many threads: one that was joined may be a moment from its end, when the system takes it off the list.
///
/// # Panics
/// If there are others after a minute, which no thread takes to end.
pub fn threads_settle_at(wanted: usize) {
    let patience = Instant::now() + Duration::from_secs(60);
    while threads() != wanted {
        assert!(Instant::now() < patience, "{} threads instead of {wanted}", threads());
        std::thread::yield_now();
    }
}
