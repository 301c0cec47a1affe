//! Randomness: the host's own, or the program's stream ([`super::sources`]).

use std::cell::RefCell;

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::Kernel;
use super::reply::{Refusal, Reply};
use crate::vm::process;

/// Bytes handed out at a time.
const PIECE: usize = 4096;
/// `GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE`.
const KNOWN_FLAGS: u64 = 7;

/// Bytes that a thread keeps for what is asked for often, and in small pieces.
const KEPT: usize = 256;

/// Random bytes that nobody has had yet.
struct Kept {
    bytes: [u8; KEPT],
    /// Those before this one were handed out, and are zeros.
    next: usize,
    /// The process that drew them: its fork has the same.
    owner: u32,
}

impl Kept {
    /// False if so much is never kept.
    fn take(&mut self, buf: &mut [u8]) -> Result<bool, Errno> {
        let current = process::current();
        if self.owner != current || KEPT - self.next < buf.len() {
            fill(&mut self.bytes)?;
            (self.next, self.owner) = (0, current);
        }
        let rest = self.bytes.get_mut(self.next..).unwrap_or_default();
        let Some(piece) = rest.get_mut(..buf.len()) else { return Ok(false) };
        buf.copy_from_slice(piece);
        piece.fill(0);
        self.next += buf.len();
        Ok(true)
    }
}

/// Fills `buf`, which is small, with random bytes that the kernel gave this thread for several such: a restore needs a few, and a system
/// call costs more than they do.
pub(super) fn fill_small(buf: &mut [u8]) -> Result<(), Errno> {
    thread_local! {
        static KEPT_HERE: RefCell<Kept> = const { RefCell::new(Kept { bytes: [0; KEPT], next: KEPT, owner: 0 }) };
    }
    match KEPT_HERE.try_with(|kept| kept.borrow_mut().take(buf)) {
        Ok(Ok(true)) => Ok(()),
        Ok(Err(errno)) => Err(errno),
        // More than is kept, or a thread that ends.
        Ok(Ok(false)) | Err(_) => fill(buf),
    }
}

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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn small_pieces_are_all_different_and_as_long_as_asked_for() {
        let mut seen = HashSet::new();
        for length in [40, 16, 40, 32, 255, 1, 40, 256, 300, 40] {
            let mut piece = vec![0; length];
            fill_small(&mut piece).unwrap();
            for part in piece.chunks_exact(16) {
                assert!(seen.insert(part.to_vec()));
            }
        }
        let other = std::thread::spawn(|| {
            let mut piece = [0; 16];
            fill_small(&mut piece).unwrap();
            piece
        });
        assert!(seen.insert(other.join().unwrap().to_vec()));
    }

    #[test]
    fn what_was_handed_out_is_kept_no_longer_and_a_fork_draws_its_own() {
        let mut kept = Kept { bytes: [0; KEPT], next: KEPT, owner: 0 };
        let mut piece = [0; 32];
        assert_eq!(kept.take(&mut piece), Ok(true));
        assert_eq!((kept.next, &kept.bytes[..32]), (32, &[0; 32][..]));
        let rest = kept.bytes;
        // What the child of a fork sees: the same value, in a process with another number.
        kept.owner += 1;
        assert_eq!(kept.take(&mut piece), Ok(true));
        assert_ne!(kept.bytes[32..], rest[32..]);
        assert_eq!(kept.take(&mut [0; KEPT + 1]), Ok(false));
    }
}
