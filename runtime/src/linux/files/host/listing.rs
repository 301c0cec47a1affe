//! The names in a directory of the host's, from a position on.

use std::mem::MaybeUninit;

use rustix::fs::{FileType, RawDir, SeekFrom, seek};
use rustix::io::Errno;

use super::Handle;

/// Bytes of names read at a time.
const BUFFER: usize = 8 << 10;

/// A name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostName {
    pub(crate) ino: u64,
    /// The position after it: the host's own cookie.
    pub(crate) next: u64,
    pub(crate) kind: u8,
    pub(crate) name: Vec<u8>,
}

/// `d_type`, from `S_IFMT`'s bits of `st_mode`.
fn kind(file_type: FileType) -> u8 {
    u8::try_from(file_type.as_raw_mode() >> 12).unwrap_or(0)
}

impl Handle {
    /// Some names from `position` on, in the host's order; none at the end.
    ///
    /// # Errors
    /// `ENOTDIR`, `ENOENT` if the directory has been removed, and what the host says.
    pub(crate) fn list(&self, position: u64) -> Result<Vec<HostName>, Errno> {
        if !self.is_directory() {
            return Err(Errno::NOTDIR);
        }
        let _position = self.position.lock();
        seek(self, SeekFrom::Start(position))?;
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut entries = RawDir::new(self, &mut buffer);
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry?;
            names.push(HostName {
                ino: entry.ino(),
                next: entry.next_entry_cookie(),
                kind: kind(entry.file_type()),
                name: entry.file_name().to_bytes().to_vec(),
            });
            if entries.is_buffer_empty() {
                break;
            }
        }
        Ok(names)
    }
}
