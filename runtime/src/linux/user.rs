//! The program's memory as system calls see it: copied in once, checked as a copy, `EFAULT` where it is not accessible.
//!
//! Pages of lazy areas (the stack, `MAP_NORESERVE`) get their frame when a system call touches them, as they do when the program
//! does. Nothing here allocates by a size that the program names.

use ampoule_kernel::layout::PAGE_SIZE;
use rustix::io::Errno;

use super::Kernel;
use super::reply::Refusal;

/// `UIO_MAXIOV`, limits.h.
const MAX_VECTORS: u64 = 1024;

/// Most bytes that one read or write moves, as Linux has it: `MAX_RW_COUNT`.
pub(crate) const MAX_TRANSFER: u64 = 0x7fff_f000;

/// One range of the program's memory, unchecked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// Its first byte.
    pub(crate) address: u64,
    /// Its length.
    pub(crate) length: u64,
}

impl Kernel<'_> {
    /// Copies out as much as can be read; an error only if that is nothing.
    pub(crate) fn read_some(&mut self, address: u64, buf: &mut [u8]) -> Result<usize, Refusal> {
        let mut done = 0;
        loop {
            let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) else {
                return Ok(done);
            };
            let at = address.wrapping_add(done as u64);
            let count = self.machine.copy_out(at, rest)?;
            done += count;
            if count == 0 && !self.fault_in(at, false)? {
                return if done == 0 { Err(Errno::FAULT.into()) } else { Ok(done) };
            }
        }
    }

    /// Copies in as much as can be written; an error only if that is nothing.
    pub(crate) fn write_some(&mut self, address: u64, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut done = 0;
        loop {
            let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) else {
                return Ok(done);
            };
            let at = address.wrapping_add(done as u64);
            let count = self.machine.copy_in(at, rest)?;
            done += count;
            if count == 0 && !self.fault_in(at, true)? {
                return if done == 0 { Err(Errno::FAULT.into()) } else { Ok(done) };
            }
        }
    }

    /// Copies out exactly `buf.len()` bytes.
    pub(crate) fn read_exact(&mut self, address: u64, buf: &mut [u8]) -> Result<(), Refusal> {
        if self.read_some(address, buf)? == buf.len() { Ok(()) } else { Err(Errno::FAULT.into()) }
    }

    /// Copies in all of `bytes`.
    pub(crate) fn write_all(&mut self, address: u64, bytes: &[u8]) -> Result<(), Refusal> {
        if self.write_some(address, bytes)? == bytes.len() { Ok(()) } else { Err(Errno::FAULT.into()) }
    }

    /// Reads a fixed number of bytes.
    pub(crate) fn read_array<const N: usize>(&mut self, address: u64) -> Result<[u8; N], Refusal> {
        let mut bytes = [0; N];
        self.read_exact(address, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads `N` little-endian words.
    pub(crate) fn read_words<const N: usize>(&mut self, address: u64) -> Result<[u64; N], Refusal> {
        let mut words = [0; N];
        for (word, at) in words.iter_mut().zip((0..).step_by(8)) {
            *word = u64::from_le_bytes(self.read_array(address.wrapping_add(at))?);
        }
        Ok(words)
    }

    /// Writes little-endian words.
    pub(crate) fn write_words(&mut self, address: u64, words: &[u64]) -> Result<(), Refusal> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.write_all(address, &bytes)
    }

    /// Reads a string up to its NUL; at most `max` bytes, or `ENAMETOOLONG`.
    pub(crate) fn read_string(&mut self, address: u64, max: usize) -> Result<Vec<u8>, Refusal> {
        let mut string = Vec::new();
        let mut at = address;
        while string.len() <= max {
            let mut piece = [0; 256];
            // Never across a page: the string may end just before one that cannot be read.
            let in_page = usize::try_from(PAGE_SIZE - at % PAGE_SIZE).unwrap_or(1).min(piece.len());
            let Some(piece) = piece.get_mut(..in_page) else { break };
            let count = self.read_some(at, piece)?;
            let piece = piece.get(..count).unwrap_or_default();
            if let Some(end) = piece.iter().position(|&byte| byte == 0) {
                string.extend_from_slice(piece.get(..end).unwrap_or_default());
                return if string.len() > max { Err(Errno::NAMETOOLONG.into()) } else { Ok(string) };
            }
            string.extend_from_slice(piece);
            at = at.wrapping_add(count as u64);
        }
        Err(Errno::NAMETOOLONG.into())
    }

    /// Reads an array of `struct iovec`, once; together they are at most [`MAX_TRANSFER`] bytes long.
    pub(crate) fn read_vectors(&mut self, address: u64, count: u64) -> Result<Vec<Span>, Refusal> {
        if count > MAX_VECTORS {
            return Err(Errno::INVAL.into());
        }
        let mut spans = Vec::new();
        let mut left = MAX_TRANSFER;
        for index in 0..count {
            let [address, length] = self.read_words(address.wrapping_add(index * 16))?;
            if i64::try_from(length).is_err() {
                return Err(Errno::INVAL.into());
            }
            let length = length.min(left);
            left -= length;
            spans.push(Span { address, length });
        }
        Ok(spans)
    }
}
