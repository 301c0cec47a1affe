//! Randomness: the host's own, or the program's stream ([`super::sources`]).

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::Kernel;
use super::reply::{Refusal, Reply};

/// Bytes handed out at a time.
const PIECE: usize = 4096;
/// `GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE`.
const KNOWN_FLAGS: u64 = 7;

/// Fills `buf` with the host's random bytes.
pub(super) fn fill(buf: &mut [u8]) -> Result<(), Errno> {
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

impl Kernel<'_> {
    pub(super) fn sys_getrandom(&mut self, address: u64, length: u64, flags: u64) -> Reply {
        if flags & !KNOWN_FLAGS != 0 {
            return Err(Errno::INVAL.into());
        }
        let before = self.process.supply.clone();
        let reply = self.give_random(address, length.min(super::user::MAX_TRANSFER));
        if matches!(reply, Err(Refusal::End(_))) {
            // It is made again when the run goes on, and takes the same bytes then.
            self.process.supply = before;
        }
        reply
    }

    fn give_random(&mut self, address: u64, length: u64) -> Reply {
        let mut done = 0;
        while done < length {
            if done > 0 {
                self.watch.check()?;
            }
            let mut piece = [0; PIECE];
            let wanted = usize::try_from(length - done).unwrap_or(PIECE).min(PIECE);
            let Some(piece) = piece.get_mut(..wanted) else { break };
            self.process.supply.fill(piece)?;
            self.write_all(address.wrapping_add(done), piece)?;
            done += wanted as u64;
        }
        Ok(done)
    }
}
