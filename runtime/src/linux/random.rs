//! Randomness: the host's own, `getrandom(2)`.

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::Kernel;
use super::reply::Reply;
use crate::vm::error::HostError;
use crate::vm::seam::HostCall;

/// Bytes handed out at a time.
const PIECE: usize = 4096;
/// `GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE`.
const KNOWN_FLAGS: u64 = 7;

/// Fills `buf` with random bytes.
pub(crate) fn fill(buf: &mut [u8]) -> Result<(), Errno> {
    let mut done = 0;
    while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match getrandom(rest, GetRandomFlags::empty()) {
            Ok(filled) => done += filled,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Fills `seed` with random bytes, for a guest that is told them before it asks.
pub(crate) fn fill_seed(seed: &mut [u8; 32]) -> Result<(), HostError> {
    fill(seed).map_err(|errno| HostError::Call { call: HostCall::Random, source: errno.into() })
}

impl Kernel<'_> {
    pub(super) fn sys_getrandom(&mut self, address: u64, length: u64, flags: u64) -> Reply {
        if flags & !KNOWN_FLAGS != 0 {
            return Err(Errno::INVAL.into());
        }
        let length = length.min(super::user::MAX_TRANSFER);
        let mut done = 0;
        while done < length {
            if done > 0 {
                self.watch.check()?;
            }
            let mut piece = [0; PIECE];
            let wanted = usize::try_from(length - done).unwrap_or(PIECE).min(PIECE);
            let Some(piece) = piece.get_mut(..wanted) else { break };
            fill(piece)?;
            self.write_all(address.wrapping_add(done), piece)?;
            done += wanted as u64;
        }
        Ok(done)
    }
}
