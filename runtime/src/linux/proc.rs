//! `/proc`: what the personality knows of the process, as files that are made anew whenever their path is used.
//!
//! They are ordinary files of the program's own tree, so that there is nothing to reach through them. A path that names a descriptor
//! (`/proc/self/fd/3`, `/dev/stdin`) means that descriptor. Only absolute paths are looked at, as they are written.
//!
//! ```text
//!   /proc/self → 100     /proc/100/{cmdline,comm,environ,exe,fd/,maps,mountinfo,mounts,stat,statm,status}
//!   /proc/{cpuinfo,meminfo,mounts}     /proc/sys/kernel/{ngroups_max,osrelease}
//!   /dev/fd → /proc/self/fd     /dev/{stdin,stdout,stderr} → /proc/self/fd/{0,1,2}
//! ```

use std::fmt::Write as _;

use ampoule_kernel::layout::PAGE_SIZE;

use super::Kernel;
use super::identity::{PROCESS, RELEASE, USER};

/// The process's directory.
const HOME: &str = "/proc/100";
/// What is in it, as files.
const NAMES: [&str; 9] = ["cmdline", "comm", "environ", "maps", "mountinfo", "mounts", "stat", "statm", "status"];
/// Files about the machine.
const GLOBAL: [&str; 4] =
    ["/proc/cpuinfo", "/proc/meminfo", "/proc/sys/kernel/ngroups_max", "/proc/sys/kernel/osrelease"];
/// Links that are always the same.
const LINKS: [(&str, &str); 6] = [
    ("/proc/self", "100"),
    ("/proc/mounts", "self/mounts"),
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// The descriptor that a path names.
pub(super) fn named_descriptor(path: &[u8]) -> Option<i32> {
    let number = match path {
        b"/dev/stdin" => return Some(0),
        b"/dev/stdout" => return Some(1),
        b"/dev/stderr" => return Some(2),
        _ => [&b"/proc/self/fd/"[..], b"/proc/100/fd/", b"/dev/fd/"].iter().find_map(|at| path.strip_prefix(*at))?,
    };
    let number = std::str::from_utf8(number).ok()?;
    // As the links are written, and no other way.
    number.parse::<i32>().ok().filter(|descriptor| *descriptor >= 0 && descriptor.to_string() == number)
}

impl Kernel<'_> {
    /// Makes what a path may lead to. Where the quota cannot bear it, or the program put something else there, it is not made.
    pub(super) fn show(&mut self, path: &[u8]) {
        let is_link = LINKS.iter().any(|(link, _)| path.starts_with(link.as_bytes()));
        if !path.starts_with(b"/proc") && !is_link {
            return;
        }
        for (link, target) in LINKS {
            let _ = self.process.files.insert_symlink(link.as_bytes(), target.as_bytes());
        }
        for name in GLOBAL {
            if name.as_bytes() == path || path == b"/proc" {
                let _ = self.process.files.insert(name.as_bytes(), self.tell(name).into_bytes(), 0o444);
            }
        }
        if path == b"/proc/mounts" {
            return self.show_file("mounts");
        }
        let Some(name) = [&b"/proc/self"[..], HOME.as_bytes()].iter().find_map(|home| path.strip_prefix(*home)) else {
            return;
        };
        match name {
            b"" | b"/" => {
                NAMES.iter().for_each(|name| self.show_file(name));
                self.show_links();
            }
            _ if name.starts_with(b"/fd") || name == b"/exe" => self.show_links(),
            _ => {
                let named = NAMES.iter().find(|known| name.strip_prefix(b"/") == Some(known.as_bytes()));
                named.into_iter().for_each(|name| self.show_file(name));
            }
        }
    }

    fn show_file(&mut self, name: &str) {
        let bytes = match name {
            "cmdline" => self.process.arguments.to_vec(),
            "environ" => self.process.environment.to_vec(),
            "maps" => self.process.memory.maps(),
            _ => self.tell(name).into_bytes(),
        };
        let _ = self.process.files.insert(format!("{HOME}/{name}").as_bytes(), bytes, 0o444);
    }

    /// A link for each descriptor, and the one to the program.
    fn show_links(&mut self) {
        let directory = format!("{HOME}/fd");
        let _ = self.process.files.insert_directory(directory.as_bytes(), 0o700);
        self.process.files.clear(directory.as_bytes());
        for descriptor in self.process.files.open_descriptors() {
            // Each one is looked for in the whole tree. When the run is over, nobody sees what is missing.
            if self.watch.check().is_err() {
                return;
            }
            if let Ok(target) = self.process.files.link_to(descriptor) {
                let link = format!("{directory}/{descriptor}");
                let _ = self.process.files.insert_symlink(link.as_bytes(), &target);
            }
        }
        let _ = self.process.files.insert_symlink(format!("{HOME}/exe").as_bytes(), &self.process.executable.clone());
    }

    fn tell(&self, name: &str) -> String {
        let name_bytes = self.process.name.get(..15).unwrap_or(&self.process.name);
        let comm = String::from_utf8_lossy(name_bytes);
        let bytes =
            self.process.mappings(0..u64::MAX).fold(0, |sum, mapping| sum + (mapping.range.end - mapping.range.start));
        let frames = &self.machine.frames;
        let kib = |pages: u64| pages * (PAGE_SIZE / 1024);
        match name {
            "comm" => format!("{comm}\n"),
            "mounts" => "tmpfs / tmpfs rw,noatime 0 0\n".to_owned(),
            "mountinfo" => "1 1 0:1 / / rw,noatime - tmpfs tmpfs rw\n".to_owned(),
            "statm" => format!("{} {} 0 0 0 {} 0\n", bytes / PAGE_SIZE, frames.used(), bytes / PAGE_SIZE),
            // Number, name, state, parent, group, session, terminal and its group; then 14 zeros up to the start, size and pages, and the rest.
            "stat" => {
                let zeros = |count| " 0".repeat(count);
                let head = format!("{PROCESS} ({comm}) R 0 {PROCESS} {PROCESS} 0 -1");
                format!("{head}{} 20 0 1 0 0 {bytes} {} {}{}\n", zeros(9), frames.used(), u64::MAX, zeros(27))
            }
            "status" => {
                let mut text =
                    format!("Name:\t{comm}\nState:\tR (running)\nTgid:\t{PROCESS}\nPid:\t{PROCESS}\nPPid:\t0\n");
                let ids = format!("{USER}\t{USER}\t{USER}\t{USER}");
                // Writing to a string cannot fail.
                let _ = write!(text, "TracerPid:\t0\nUid:\t{ids}\nGid:\t{ids}\nVmSize:\t{:8} kB\n", bytes / 1024);
                let _ = write!(text, "VmHWM:\t{:8} kB\nVmRSS:\t{:8} kB\n", kib(frames.peak()), kib(frames.used()));
                text + "Threads:\t1\nNoNewPrivs:\t1\n"
            }
            "/proc/meminfo" => {
                let (total, free) = (kib(frames.total()), kib(frames.left()));
                let line = |name: &str, value: u64| format!("{:<15} {value:8} kB\n", format!("{name}:"));
                [("MemTotal", total), ("MemFree", free), ("MemAvailable", free), ("Buffers", 0), ("Cached", 0)]
                    .into_iter()
                    .chain([("SwapTotal", 0), ("SwapFree", 0)])
                    .map(|(name, value)| line(name, value))
                    .collect()
            }
            "/proc/cpuinfo" => "processor\t: 0\n\n".to_owned(),
            "/proc/sys/kernel/ngroups_max" => "65536\n".to_owned(),
            "/proc/sys/kernel/osrelease" => format!("{RELEASE}\n"),
            _ => String::new(),
        }
    }
}
