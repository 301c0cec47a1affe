//! `futex`, without anybody else: a wake wakes nobody, and a wait without a time limit never ends.

use rustix::io::Errno;

use super::Kernel;
use super::reply::Reply;
use crate::end::End;
use crate::vm::clock;

const WAIT: u64 = 0;
const WAKE: u64 = 1;
const WAIT_BITSET: u64 = 9;
const WAKE_BITSET: u64 = 10;
const CLOCK_REALTIME: u64 = 256;
/// `FUTEX_PRIVATE_FLAG`: all of them are.
const PRIVATE: u64 = 128;

impl Kernel<'_> {
    pub(super) fn sys_futex(&mut self, [address, operation, value, timeout, _, bitset]: [u64; 6]) -> Reply {
        if !address.is_multiple_of(4) {
            return Err(Errno::INVAL.into());
        }
        let operation = operation & !PRIVATE;
        match operation & !CLOCK_REALTIME {
            WAKE | WAKE_BITSET => Ok(0),
            WAIT | WAIT_BITSET => {
                if operation & !CLOCK_REALTIME == WAIT_BITSET && bitset & u64::from(u32::MAX) == 0 {
                    return Err(Errno::INVAL.into());
                }
                let word = u32::from_le_bytes(self.read_array(address)?);
                if u64::from(word) != value & u64::from(u32::MAX) {
                    return Err(Errno::AGAIN.into());
                }
                let Some(time) = self.read_timeout(timeout)? else {
                    return Err(End::Deadlock.into());
                };
                let from = clock::monotonic();
                let until = match operation {
                    WAIT => from.saturating_add(time),
                    WAIT_BITSET => time,
                    _ => from.saturating_add(time.saturating_sub(clock::realtime())),
                };
                self.sleep_until(until)?;
                Err(Errno::TIMEDOUT.into())
            }
            _ => Err(Errno::NOSYS.into()),
        }
    }
}
