//! How much memory all guests may have together: as much as this machine, or this process's control group, has to spare. A kernel that has to kill
//! somebody for memory would kill the server, with every request.

use std::fs;
use std::path::Path;

/// What guests may have of it, in quarters; the rest is the server's and the machine's.
const QUARTERS: u64 = 3;

/// What guests may have unless somebody says otherwise, in MiB.
pub(crate) fn default_mib() -> u32 {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| of_machine(&text));
    let group = read(Path::new("/proc/self/cgroup")).and_then(|text| {
        // A limit of a group holds for all groups in it.
        let group = Path::new("/sys/fs/cgroup").join(path_of(&text)?.trim_start_matches('/'));
        let limits = group.ancestors().take_while(|path| path.starts_with("/sys/fs/cgroup"));
        limits.filter_map(|path| read(&path.join("memory.max"))?.trim().parse().ok()).min()
    });
    // Not knowing is no reason to refuse what works.
    let bytes = machine.into_iter().chain(group).min().unwrap_or(u64::MAX);
    u32::try_from((bytes >> 20) / 4 * QUARTERS).unwrap_or(u32::MAX)
}

/// `MemTotal` of /proc/meminfo, in bytes.
fn of_machine(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The path in the unified hierarchy: cgroups(7).
fn path_of(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_tells_is_read_and_something_else_is_not() {
        assert_eq!(of_machine("MemFree: 5 kB\n"), None);
        assert_eq!(of_machine("MemTotal:       24000 kB\nMemFree: 5 kB\n"), Some(24_000 << 10));
        assert_eq!(of_machine("MemTotal: many kB\n"), None);
        assert_eq!(
            path_of("5:memory:/old\n0::/system.slice/serverless.service\n"),
            Some("/system.slice/serverless.service")
        );
        assert_eq!(path_of("5:memory:/old\n"), None);
        assert!(default_mib() > 0);
    }
}
