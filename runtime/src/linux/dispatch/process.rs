//! System calls about the one process that is there, most of which have one answer.

use rustix::io::Errno;

use crate::linux::Kernel;
use crate::linux::identity::USER;
use crate::linux::paths::low;
use crate::linux::reply::Reply;

super::numbers! {
    MSYNC = 26, MINCORE = 27, GETITIMER = 36, ALARM = 37, SETITIMER = 38, WAIT4 = 61, SETPGID = 109, SETSID = 112, SETREUID = 113, SETREGID = 114,
    SETGROUPS = 116, SETRESUID = 117, SETRESGID = 119, SETFSUID = 122, SETFSGID = 123, PERSONALITY = 135, GETPRIORITY = 140,
    SETPRIORITY = 141, SCHED_SETPARAM = 142, SCHED_GETPARAM = 143, SCHED_SETSCHEDULER = 144, SCHED_GETSCHEDULER = 145,
    SCHED_GET_PRIORITY_MAX = 146, SCHED_GET_PRIORITY_MIN = 147, SCHED_RR_GET_INTERVAL = 148, MLOCK = 149, MUNLOCK = 150,
    MLOCKALL = 151, MUNLOCKALL = 152, SCHED_SETAFFINITY = 203, WAITID = 247, MLOCK2 = 325,
}

impl Kernel<'_> {
    pub(super) fn serve_process(&mut self, number: u64, arguments: [u64; 6]) -> Reply {
        let [a, b, c, d, ..] = arguments;
        match number {
            MSYNC => self.sys_msync(a, b, c),
            MINCORE => self.sys_mincore(a, b, c),
            MLOCK | MUNLOCK => self.sys_mlock(a, b, 0),
            MLOCK2 => self.sys_mlock(a, b, c),
            MLOCKALL => Kernel::sys_mlockall(a),
            MUNLOCKALL => Ok(0),
            ALARM if low(a) == 0 => Ok(0),
            GETITIMER => self.sys_getitimer(a, b),
            SETITIMER => self.sys_setitimer(a, b, c),
            WAIT4 => Kernel::sys_wait4(c),
            WAITID => Kernel::sys_waitid(a, d),
            SETPGID => Kernel::sys_setpgid(a, b),
            // It leads its session already.
            SETSID | SETGROUPS => Err(Errno::PERM.into()),
            SETREUID | SETREGID => own_user(&[a, b]),
            SETRESUID | SETRESGID => own_user(&[a, b, c]),
            SETFSUID | SETFSGID => Ok(u64::from(USER)),
            PERSONALITY => Kernel::sys_personality(a),
            GETPRIORITY => Kernel::sys_getpriority(a, b),
            SETPRIORITY => Kernel::sys_setpriority(a, b, c),
            SCHED_SETPARAM => self.sys_sched_setparam(a, b),
            SCHED_GETPARAM => self.sys_sched_getparam(a, b),
            SCHED_SETSCHEDULER => self.sys_sched_setscheduler(a, b, c),
            SCHED_GETSCHEDULER => Kernel::sys_sched_getscheduler(a),
            SCHED_GET_PRIORITY_MAX => Kernel::sys_sched_priority(a, 99),
            SCHED_GET_PRIORITY_MIN => Kernel::sys_sched_priority(a, 1),
            SCHED_RR_GET_INTERVAL => self.sys_sched_rr_get_interval(a, b),
            SCHED_SETAFFINITY => self.sys_sched_setaffinity(a, b, c),
            _ => Err(Errno::NOSYS.into()),
        }
    }
}

/// Users and groups may become what they are; -1 is that, too.
fn own_user(wanted: &[u64]) -> Reply {
    let is_own = wanted.iter().all(|&id| low(id) == USER || low(id) == u32::MAX);
    if is_own { Ok(0) } else { Err(Errno::PERM.into()) }
}
