//! What a file is loaded with: the limits that its loader grants, whatever the file says.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use super::{SnapshotFileError, read};
use crate::limits::Limits;
use crate::program::Program;
use crate::snapshot::Snapshot;

/// Opens what may be anything: a pipe without a writer is not waited for, and a terminal does not become this process's.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// What a snapshot file may ask for: [`Snapshot::options`].
///
/// The guest goes on within the limits that it was started with; they are in the file. A file that asks for more than is granted here is refused
/// with both numbers, and never loaded with less: its guest would see another machine than it was started in.
///
/// ```no_run
/// use ampoule::{Limits, Snapshot};
///
/// let snapshot = Snapshot::options().limits(Limits::new().memory(1 << 30)).load("large.amp")?;
/// # Ok::<(), ampoule::SnapshotFileError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotOptions {
    pub(super) limits: Limits,
    pub(super) write_execute: bool,
    pub(super) events: usize,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        Self { limits: Limits::new(), write_execute: false, events: Self::DEFAULT_EVENTS }
    }
}

impl SnapshotOptions {
    /// Events that may wait to be taken, unless said otherwise.
    pub const DEFAULT_EVENTS: usize = 1 << 16;

    /// The most that the snapshot's limits may be: [`Limits::new`] unless said otherwise.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The most that the capacity of the snapshot's queue of events may be.
    #[must_use]
    pub fn events(mut self, capacity: usize) -> Self {
        self.events = capacity;
        self
    }

    /// Accepts a program with segments that are writable and executable at once: see
    /// [`ProgramOptions::allow_write_execute`](crate::ProgramOptions::allow_write_execute).
    #[must_use]
    pub fn allow_write_execute(mut self, allow: bool) -> Self {
        self.write_execute = allow;
        self
    }

    /// Loads the snapshot in the file at `path`. The file is read once, and can be changed or removed afterwards.
    ///
    /// # Errors
    /// [`SnapshotFileError`].
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Snapshot, SnapshotFileError> {
        let path = path.as_ref();
        let failed = |source| SnapshotFileError::Io { path: path.to_owned(), source };
        let file = open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(SnapshotFileError::NotAFile { path: path.to_owned() });
        }
        let max = self.most_bytes();
        if metadata.len() > max {
            return Err(SnapshotFileError::TooLarge { size: metadata.len(), max });
        }
        let mut bytes = Vec::new();
        let reserve = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
        bytes.try_reserve(reserve).map_err(|_| failed(io::ErrorKind::OutOfMemory.into()))?;
        // It may have grown since.
        file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        self.from_bytes(&bytes)
    }

    /// Loads the snapshot in `bytes`, as [`Snapshot::write_to`] has written it.
    ///
    /// # Errors
    /// [`SnapshotFileError`].
    pub fn from_bytes(&self, bytes: &[u8]) -> Result<Snapshot, SnapshotFileError> {
        let (size, max) = (bytes.len() as u64, self.most_bytes());
        if size > max {
            return Err(SnapshotFileError::TooLarge { size, max });
        }
        Ok(Snapshot(Arc::new(read::read(bytes, self)?)))
    }

    /// The most bytes that a snapshot within these limits has: its memory, its files, a message that waits, its program; and the lists that are
    /// limited anyhow.
    fn most_bytes(&self) -> u64 {
        const LISTS: u64 = 16 << 20;
        const RUN: u64 = 32;
        const INODE: u64 = 64;
        let memory = self.limits.memory_bytes();
        let runs = self.limits.pages() * RUN;
        let (file_bytes, file_count) = self.limits.file_quota();
        let files = (file_bytes as u64).saturating_add((file_count as u64).saturating_mul(INODE));
        [runs, files, self.limits.message() as u64, Program::MAX_FILE_BYTES, LISTS]
            .into_iter()
            .fold(memory, u64::saturating_add)
    }
}
