//! Confinement of the process that runs guests: what it could do to its host is taken from it before the first guest runs.
//!
//! A guest that found a way out of its virtual machine – a defect of KVM's, or of Ampoule's – would be in this process, with all that this process
//! may do. So it should be able to do little. Two mechanisms of the kernel's, neither of which can be undone:
//!
//! ```text
//! apply_to_process       landlock   which files it may open, no TCP, no signals to others        for all threads to come
//! apply_to_this_thread   seccomp    which system calls it may make: those that running guests takes   and for threads that it starts
//! ```
//! ```no_run
//! use ampoule::confine::Confinement;
//! use ampoule::{Command, Program};
//!
//! let program = Program::from_file("untrusted")?;
//! let confinement = Confinement::new().allow_read("/srv/models");
//! let enforced = confinement.apply_to_process()?;
//! log::info!("{enforced}");
//! std::thread::spawn(move || {
//!     confinement.apply_to_this_thread()?;
//!     Command::new(&program).output().map_err(Box::<dyn std::error::Error + Send + Sync>::from)
//! });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! What it costs and how to use it: docs/hardening.md.

mod calls;
mod error;
mod filter;
mod paths;

use std::fmt;
use std::path::PathBuf;

pub use self::error::ConfineError;
use crate::vm::device::Device;
use crate::vm::{clock, tsc};

/// What happens to a thread that makes a system call which it may not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Denied {
    /// The whole process is killed with SIGSYS. A call that is not on the list is one that Ampoule never makes: whoever makes it has left the guest, or is
    /// a host function that was not thought of. Going on would give the first one another try.
    #[default]
    Kill,
    /// The call fails with EPERM. For finding out what a host's own functions need, and for hosts that rather go on.
    Refuse,
}

/// What a process that runs guests may still do: nothing else.
///
/// See [the module](self) for an example.
#[derive(Debug, Clone, Default)]
pub struct Confinement {
    /// Each with whether it may be written.
    paths: Vec<(PathBuf, bool)>,
    network: bool,
    denied: Denied,
    further: Vec<i64>,
}

/// What landlock enforces in this process from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an older kernel enforces less, or nothing"]
pub struct Enforced {
    landlock: Option<u32>,
    network: bool,
}

impl Confinement {
    /// No file, no network.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Files at or below `path` may be opened for reading, directories be listed.
    #[must_use]
    pub fn allow_read(mut self, path: impl Into<PathBuf>) -> Self {
        self.paths.push((path.into(), false));
        self
    }

    /// Files at or below `path` may be opened for reading and writing, made, renamed and removed, and so may directories and links.
    #[must_use]
    pub fn allow_write(mut self, path: impl Into<PathBuf>) -> Self {
        self.paths.push((path.into(), true));
        self
    }

    /// The process may go on using TCP and abstract Unix sockets: for a server, which confines only its threads that run guests.
    #[must_use]
    pub fn allow_network(mut self) -> Self {
        self.network = true;
        self
    }

    /// Threads may make this system call, by its number (`libc::SYS_…`), whatever its arguments are: for what host functions, writers and executors
    /// need that run on the same threads.
    #[must_use]
    pub fn allow_system_call(mut self, number: i64) -> Self {
        self.further.push(number);
        self
    }

    /// What happens at a system call that is not on the list: the process is killed unless said otherwise.
    #[must_use]
    pub fn denied(mut self, denied: Denied) -> Self {
        self.denied = denied;
        self
    }

    /// Confines the whole process with landlock: from now on it opens nothing but what was allowed, opens no TCP connection and listens on no
    /// port, sends no signal to other processes, and gains no privileges (`no_new_privs`). `/dev/kvm` is opened before.
    ///
    /// A kernel with an older landlock enforces what it knows, and one without (before Linux 5.13, or not enabled) nothing of it: the result says.
    ///
    /// # Errors
    /// [`ConfineError`]; the process is then as free as it was. It is one if there are other threads, since they would not be confined.
    pub fn apply_to_process(&self) -> Result<Enforced, ConfineError> {
        prepare()?;
        let count = threads().map_err(|source| ConfineError::Uncounted { source })?;
        if count > 1 {
            return Err(ConfineError::Threads { count });
        }
        paths::restrict(self)
    }

    /// Confines this thread, and those that it will start, with seccomp: from now on it makes the system calls that running guests takes, and no others.
    ///
    /// Those are: KVM's requests, memory that is not executable, threads, timers and signals of this process, streams, and files beneath what landlock
    /// allows. Not among them are other processes, sockets, and executing anything. `/dev/kvm` is opened before. A second time is harmless: both lists
    /// hold then.
    ///
    /// # Errors
    /// [`ConfineError`]; the thread is then as free as it was, or starts threads by an older call than before.
    pub fn apply_to_this_thread(&self) -> Result<(), ConfineError> {
        prepare()?;
        let programs = filter::programs(self.denied, &self.further)
            .map_err(|error| ConfineError::Seccomp { reason: error.into() })?;
        for program in &programs {
            seccompiler::apply_filter(program).map_err(|error| ConfineError::Seccomp { reason: error.into() })?;
        }
        Ok(())
    }
}

/// Opens and reads what is opened and read once in a process.
fn prepare() -> Result<(), ConfineError> {
    Device::get()?;
    // The clock source's name, by which guests have a clock of their own or not.
    let _ = tsc::is_clock();
    // Before Linux 6.4, rustix reads the auxiliary vector from a file to find the kernel's clock.
    let _ = clock::monotonic();
    Ok(())
}

/// The version of this kernel's landlock; none if it has none, or it is not enabled.
#[must_use]
pub fn landlock_version() -> Option<u32> {
    paths::version()
}

impl Enforced {
    /// The version of the kernel's landlock; none if nothing is enforced.
    #[must_use]
    pub fn landlock(&self) -> Option<u32> {
        self.landlock
    }

    /// Only allowed files can be opened, made, renamed and removed (Linux 5.13).
    #[must_use]
    pub fn files(&self) -> bool {
        self.has(1)
    }

    /// Files that may not be written cannot be cut either (Linux 6.2).
    #[must_use]
    pub fn truncation(&self) -> bool {
        self.has(3)
    }

    /// No TCP (Linux 6.7).
    #[must_use]
    pub fn tcp(&self) -> bool {
        self.network && self.has(4)
    }

    /// No requests to devices that are opened from now on (Linux 6.10).
    #[must_use]
    pub fn devices(&self) -> bool {
        self.has(5)
    }

    /// No signals to other processes (Linux 6.12).
    #[must_use]
    pub fn signals(&self) -> bool {
        self.has(6)
    }

    fn has(&self, version: u32) -> bool {
        self.landlock.is_some_and(|landlock| landlock >= version)
    }
}

impl fmt::Display for Enforced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(version) = self.landlock else {
            return f.write_str("landlock is not there: nothing is enforced");
        };
        write!(f, "landlock {version} enforces: files")?;
        let parts = [
            (self.truncation(), "truncation"),
            (self.tcp(), "TCP"),
            (self.devices(), "devices"),
            (self.signals(), "signals"),
        ];
        parts.iter().filter(|(is, _)| *is).try_for_each(|(_, name)| write!(f, ", {name}"))
    }
}

/// This process's threads, without those that recent kernels give each virtual machine.
fn threads() -> std::io::Result<usize> {
    let mut count = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        // A thread that has ended meanwhile has no name.
        let Ok(name) = std::fs::read_to_string(task?.path().join("comm")) else { continue };
        if !name.starts_with("kvm-") {
            count += 1;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_enforced_follows_from_the_version_and_from_what_was_asked() {
        let none = Enforced { landlock: None, network: true };
        assert!(!none.files() && !none.tcp());
        assert_eq!(none.to_string(), "landlock is not there: nothing is enforced");
        let old = Enforced { landlock: Some(3), network: true };
        assert!(old.files() && old.truncation() && !old.tcp() && !old.signals());
        assert_eq!(old.to_string(), "landlock 3 enforces: files, truncation");
        let server = Enforced { landlock: Some(7), network: false };
        assert_eq!(server.to_string(), "landlock 7 enforces: files, truncation, devices, signals");
    }

    #[test]
    fn a_process_with_threads_is_told_that_they_would_stay_free() {
        // The harness runs tests on threads.
        let refused = Confinement::new().apply_to_process();
        assert!(matches!(refused, Err(ConfineError::Threads { count }) if count > 1), "{refused:?}");
    }
}
