//! Timers that send signals, which there are none of: nothing interrupts a program between two of its instructions. So asking for one is refused, and to
//! ask what is set, or to stop what is not, has its answer. And children, which there are none of either.

use rustix::io::Errno;

use super::Kernel;
use super::paths::low;
use super::reply::Reply;

/// `ITIMER_PROF`, the last of the three.
const LAST_TIMER: u32 = 2;
/// `wait4`: WNOHANG, WUNTRACED, WCONTINUED, and Linux's own for threads and clones.
const WAIT_OPTIONS: u32 = 0xe000_000b;
/// `waitid`: WNOHANG, WSTOPPED, WEXITED, WCONTINUED, WNOWAIT, and Linux's own.
const WAITID_OPTIONS: u32 = 0xe100_000f;
/// `waitid`: it has to wait for something.
const WAITID_EVENTS: u32 = 0xe;
/// `P_PIDFD`, the last kind of what `waitid` waits for.
const LAST_KIND: u32 = 3;

impl Kernel<'_> {
    pub(super) fn sys_getitimer(&mut self, timer: u64, to: u64) -> Reply {
        if low(timer) > LAST_TIMER {
            return Err(Errno::INVAL.into());
        }
        self.write_words(to, &[0; 4])?;
        Ok(0)
    }

    /// `setitimer` to nothing, which is what is set.
    pub(super) fn sys_setitimer(&mut self, timer: u64, new: u64, old: u64) -> Reply {
        if low(timer) > LAST_TIMER {
            return Err(Errno::INVAL.into());
        }
        if new != 0 {
            let [.., seconds, micros] = self.read_words::<4>(new)?;
            if micros >= 1_000_000 || seconds.cast_signed() < 0 {
                return Err(Errno::INVAL.into());
            }
            if [seconds, micros] != [0, 0] {
                return Err(Errno::NOSYS.into());
            }
        }
        if old != 0 {
            self.write_words(old, &[0; 4])?;
        }
        Ok(0)
    }

    pub(super) fn sys_wait4(options: u64) -> Reply {
        Err(if low(options) & !WAIT_OPTIONS == 0 { Errno::CHILD } else { Errno::INVAL }.into())
    }

    pub(super) fn sys_waitid(kind: u64, options: u64) -> Reply {
        let options = low(options);
        let is_known = options & !WAITID_OPTIONS == 0 && options & WAITID_EVENTS != 0 && low(kind) <= LAST_KIND;
        Err(if is_known { Errno::CHILD } else { Errno::INVAL }.into())
    }
}
