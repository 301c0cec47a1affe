//! Who and where the program is: one process, one thread, one user without privileges, on a machine that says as little as it can.

use rustix::io::Errno;

use super::Kernel;
use super::memory::STACK_BYTES;
use super::reply::Reply;
use crate::vm::clock;

/// The process, which is also the thread.
pub(crate) const PROCESS: u64 = 100;
/// User and group.
pub(crate) const USER: u32 = 1000;

const ARCH_SET_GS: u64 = 0x1001;
const ARCH_SET_FS: u64 = 0x1002;
const ARCH_GET_FS: u64 = 0x1003;
const ARCH_GET_GS: u64 = 0x1004;

const PR_SET_NAME: u64 = 15;
const PR_GET_NAME: u64 = 16;
const PR_SET_PDEATHSIG: u64 = 1;
const PR_GET_PDEATHSIG: u64 = 2;
const PR_GET_KEEPCAPS: u64 = 7;
const PR_GET_SECCOMP: u64 = 21;
const PR_SET_TIMERSLACK: u64 = 29;
const PR_GET_TIMERSLACK: u64 = 30;
/// Linux's default: 50 µs.
const TIMER_SLACK: u64 = 50_000;
const PR_GET_DUMPABLE: u64 = 3;
const PR_SET_DUMPABLE: u64 = 4;
const PR_SET_NO_NEW_PRIVS: u64 = 38;
const PR_GET_NO_NEW_PRIVS: u64 = 39;

const RLIMIT_DATA: u64 = 2;
const RLIMIT_STACK: u64 = 3;
const RLIMIT_CORE: u64 = 4;
const RLIMIT_NPROC: u64 = 6;
const RLIMIT_NOFILE: u64 = 7;
const RLIMIT_AS: u64 = 9;
const RLIMITS: u64 = 16;
const RLIM_INFINITY: u64 = u64::MAX;

/// What kernel it says that it is.
pub(super) const RELEASE: &str = "6.1.0";
/// `struct new_utsname`: six fields of 65 bytes.
const UTSNAME: [&str; 6] = ["Linux", "ampoule", RELEASE, "#1 SMP Ampoule", "x86_64", "(none)"];
const UTSNAME_FIELD: usize = 65;

impl Kernel<'_> {
    pub(super) fn sys_uname(&mut self, to: u64) -> Reply {
        let mut bytes = Vec::with_capacity(UTSNAME.len() * UTSNAME_FIELD);
        for (index, field) in (1..).zip(UTSNAME) {
            bytes.extend_from_slice(field.as_bytes());
            bytes.resize(index * UTSNAME_FIELD, 0);
        }
        self.write_all(to, &bytes)?;
        Ok(0)
    }

    /// `struct sysinfo`: the memory limit is all the memory there is.
    pub(super) fn sys_sysinfo(&mut self, to: u64) -> Reply {
        let uptime = self.process.supply.read().map_or_else(clock::monotonic, |now| now.monotonic) / 1_000_000_000;
        let page = ampoule_kernel::layout::PAGE_SIZE;
        let (total, free) = (self.machine.frames.total() * page, self.machine.frames.left() * page);
        // uptime, three loads, total, free, shared, buffer, swap total, swap free, then u16 processes
        self.write_words(to, &[uptime, 0, 0, 0, total, free, 0, 0, 0, 0, 1, 0, 0, 1])?;
        Ok(0)
    }

    pub(super) fn sys_arch_prctl(&mut self, code: u64, address: u64) -> Reply {
        let mut system = self.machine.vcpu().system_registers()?;
        match code {
            ARCH_SET_FS | ARCH_SET_GS if address >= ampoule_kernel::layout::USER_END => return Err(Errno::PERM.into()),
            ARCH_SET_FS => system.fs.base = address,
            ARCH_SET_GS => system.gs.base = address,
            ARCH_GET_FS => return self.write_words(address, &[system.fs.base]).map(|()| 0),
            ARCH_GET_GS => return self.write_words(address, &[system.gs.base]).map(|()| 0),
            _ => return Err(Errno::INVAL.into()),
        }
        self.machine.vcpu().set_system_registers(&system)?;
        Ok(0)
    }

    pub(super) fn sys_prctl(&mut self, option: u64, argument: u64) -> Reply {
        match option {
            PR_SET_NAME => {
                self.read_some(argument, &mut [0; 16])?;
                Ok(0)
            }
            PR_GET_NAME => {
                let mut name = [0; 16];
                for (to, from) in name.iter_mut().take(15).zip(&self.process.name) {
                    *to = *from;
                }
                self.write_all(argument, &name)?;
                Ok(0)
            }
            PR_GET_DUMPABLE => Ok(1),
            // It has no parent to die, and its sleeps are as exact as they are.
            PR_SET_PDEATHSIG if argument <= 64 => Ok(0),
            PR_GET_PDEATHSIG => self.write_all(argument, &[0; 4]).map(|()| 0),
            PR_SET_DUMPABLE | PR_SET_NO_NEW_PRIVS | PR_SET_TIMERSLACK | PR_GET_KEEPCAPS | PR_GET_SECCOMP => Ok(0),
            PR_GET_TIMERSLACK => Ok(TIMER_SLACK),
            PR_GET_NO_NEW_PRIVS => Ok(1),
            _ => Err(Errno::INVAL.into()),
        }
    }

    fn resource_limit(&self, resource: u64) -> Result<u64, Errno> {
        if resource >= RLIMITS {
            return Err(Errno::INVAL);
        }
        Ok(match resource {
            RLIMIT_STACK => STACK_BYTES,
            RLIMIT_CORE => 0,
            RLIMIT_NPROC => 1,
            RLIMIT_NOFILE => u64::from(self.process.open_files),
            RLIMIT_DATA | RLIMIT_AS => self.machine.frames.total() * ampoule_kernel::layout::PAGE_SIZE,
            _ => RLIM_INFINITY,
        })
    }

    /// getrlimit(2) and prlimit(2). Limits are the host's: lowering one is taken note of by nobody, raising one is refused.
    pub(super) fn sys_prlimit(&mut self, process: u64, resource: u64, new: u64, old: u64) -> Reply {
        if process != 0 && process != PROCESS {
            return Err(Errno::SRCH.into());
        }
        let limit = self.resource_limit(resource)?;
        if new != 0 {
            let [soft, hard] = self.read_words(new)?;
            if soft > hard {
                return Err(Errno::INVAL.into());
            }
            if hard > limit {
                return Err(Errno::PERM.into());
            }
        }
        if old != 0 {
            self.write_words(old, &[limit, limit])?;
        }
        Ok(0)
    }

    /// One CPU.
    pub(super) fn sys_sched_getaffinity(&mut self, process: u64, length: u64, to: u64) -> Reply {
        if process != 0 && process != PROCESS {
            return Err(Errno::SRCH.into());
        }
        if length < 8 || !length.is_multiple_of(8) {
            return Err(Errno::INVAL.into());
        }
        self.write_words(to, &[1])?;
        Ok(8)
    }

    pub(super) fn sys_getcpu(&mut self, cpu: u64, node: u64) -> Reply {
        for address in [cpu, node] {
            if address != 0 {
                self.write_all(address, &[0; 4])?;
            }
        }
        Ok(0)
    }

    /// getresuid(2), getresgid(2).
    pub(super) fn sys_getres(&mut self, addresses: [u64; 3]) -> Reply {
        for address in addresses {
            self.write_all(address, &USER.to_le_bytes())?;
        }
        Ok(0)
    }
}
