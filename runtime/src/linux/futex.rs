//! `futex`, without anybody else: a wake wakes nobody, and a wait without a time limit never ends.

use rustix::io::Errno;
use rustix::time::ClockId;

use super::Kernel;
use super::reply::Reply;
use crate::end::End;

const WAIT: u64 = 0;
const WAKE: u64 = 1;
const WAIT_BITSET: u64 = 9;
const WAKE_BITSET: u64 = 10;
/// `FUTEX_CLOCK_REALTIME`.
const ON_REALTIME: u64 = 256;
/// `FUTEX_PRIVATE_FLAG`: all of them are.
const PRIVATE: u64 = 128;

impl Kernel<'_> {
    pub(super) fn sys_futex(&mut self, [address, operation, value, timeout, _, bitset]: [u64; 6]) -> Reply {
        if !address.is_multiple_of(4) {
            return Err(Errno::INVAL.into());
        }
        let operation = operation & !PRIVATE;
        match operation & !ON_REALTIME {
            WAKE | WAKE_BITSET => Ok(0),
            WAIT | WAIT_BITSET => {
                if operation & !ON_REALTIME == WAIT_BITSET && bitset & u64::from(u32::MAX) == 0 {
                    return Err(Errno::INVAL.into());
                }
                let word = u32::from_le_bytes(self.read_array(address)?);
                if u64::from(word) != value & u64::from(u32::MAX) {
                    return Err(Errno::AGAIN.into());
                }
                let Some(time) = self.read_timeout(timeout)? else {
                    return Err(End::Deadlock.into());
                };
                let span = match operation {
                    WAIT => time,
                    WAIT_BITSET => self.until(ClockId::Monotonic, time),
                    _ => self.until(ClockId::Realtime, time),
                };
                self.sleep(span)?;
                Err(Errno::TIMEDOUT.into())
            }
            _ => Err(Errno::NOSYS.into()),
        }
    }
}
