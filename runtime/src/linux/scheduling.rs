//! How the process is scheduled, as far as it may know: one processor, the default policy, no priority. And what it may make of itself: what it is.

use rustix::io::Errno;

use super::identity::PROCESS;
use super::paths::low;
use super::reply::Reply;
use super::{Kernel, descriptor};

const SCHED_OTHER: u64 = 0;
const SCHED_FIFO: u32 = 1;
const SCHED_RR: u32 = 2;
/// `SCHED_BATCH`, `SCHED_IDLE` and `SCHED_DEADLINE`, as `SCHED_OTHER`, have no priorities.
const WITHOUT_PRIORITY: [u32; 4] = [0, 3, 5, 6];
/// `personality`: tell and change nothing.
const ASK: u32 = u32::MAX;
/// `PRIO_USER`, the last of the three.
const LAST_WHICH: u32 = 2;
/// What `getpriority` says of a nice value of 0: 20 less it.
const NICE_ZERO: u64 = 20;
/// Most bytes of a mask of processors that are looked at.
const MASK_BYTES: u64 = 128;

/// The process itself, by its number or as 0.
fn is_own(process: u64) -> bool {
    descriptor(process) == 0 || u64::try_from(descriptor(process)) == Ok(PROCESS)
}

fn own(process: u64) -> Result<(), Errno> {
    match descriptor(process) {
        ..0 => Err(Errno::INVAL),
        _ if is_own(process) => Ok(()),
        _ => Err(Errno::SRCH),
    }
}

impl Kernel<'_> {
    /// It leads its session, and nobody else is there.
    pub(super) fn sys_setpgid(process: u64, group: u64) -> Reply {
        Err(match (descriptor(process), descriptor(group)) {
            (_, ..0) => Errno::INVAL,
            _ if is_own(process) => Errno::PERM,
            _ => Errno::SRCH,
        }
        .into())
    }

    pub(super) fn sys_personality(persona: u64) -> Reply {
        if matches!(low(persona), 0 | ASK) { Ok(0) } else { Err(Errno::INVAL.into()) }
    }

    pub(super) fn sys_getpriority(which: u64, who: u64) -> Reply {
        nice_of(which, who)?;
        Ok(NICE_ZERO)
    }

    /// A lower priority than it has makes no difference to a process that is alone.
    pub(super) fn sys_setpriority(which: u64, who: u64, nice: u64) -> Reply {
        nice_of(which, who)?;
        if descriptor(nice) < 0 { Err(Errno::ACCESS.into()) } else { Ok(0) }
    }

    pub(super) fn sys_sched_getparam(&mut self, process: u64, to: u64) -> Reply {
        own(process)?;
        self.write_all(to, &[0; 4])?;
        Ok(0)
    }

    pub(super) fn sys_sched_setparam(&mut self, process: u64, from: u64) -> Reply {
        self.sys_sched_setscheduler(process, SCHED_OTHER, from)
    }

    pub(super) fn sys_sched_getscheduler(process: u64) -> Reply {
        own(process)?;
        Ok(SCHED_OTHER)
    }

    pub(super) fn sys_sched_setscheduler(&mut self, process: u64, policy: u64, from: u64) -> Reply {
        own(process)?;
        let priority = i32::from_le_bytes(self.read_array(from)?);
        match low(policy) {
            0 if priority == 0 => Ok(0),
            SCHED_FIFO | SCHED_RR if (1..=99).contains(&priority) => Err(Errno::PERM.into()),
            _ => Err(Errno::INVAL.into()),
        }
    }

    /// The least or highest priority of a policy.
    pub(super) fn sys_sched_priority(policy: u64, of_real_time: u64) -> Reply {
        match low(policy) {
            SCHED_FIFO | SCHED_RR => Ok(of_real_time),
            policy if WITHOUT_PRIORITY.contains(&policy) => Ok(0),
            _ => Err(Errno::INVAL.into()),
        }
    }

    /// Nobody else gets a turn.
    pub(super) fn sys_sched_rr_get_interval(&mut self, process: u64, to: u64) -> Reply {
        own(process)?;
        self.write_words(to, &[0, 0])?;
        Ok(0)
    }

    /// Any mask with the one processor in it.
    pub(super) fn sys_sched_setaffinity(&mut self, process: u64, length: u64, from: u64) -> Reply {
        own(process)?;
        let mut mask = vec![0; usize::try_from(length.min(MASK_BYTES)).unwrap_or(0)];
        self.read_exact(from, &mut mask)?;
        if mask.first().is_some_and(|first| first & 1 != 0) { Ok(0) } else { Err(Errno::INVAL.into()) }
    }
}

/// The process, its group or its user, by number or as 0.
fn nice_of(which: u64, who: u64) -> Result<(), Errno> {
    match low(which) {
        0 | 1 if is_own(who) => Ok(()),
        LAST_WHICH if matches!(low(who), 0 | super::identity::USER) => Ok(()),
        0..=LAST_WHICH => Err(Errno::SRCH),
        _ => Err(Errno::INVAL),
    }
}
