//! Snapshot files: `docs/snapshot-format.md`, byte by byte.
//!
//! ```text
//! write     Saved ──► bytes                    header   what it is, its length, its checksum
//! read      bytes ──► Saved, without trust     registers, position, pages   a chapter each, both ways
//! options   what a file may ask for            error    why not
//! ```
//! A file holds what a program could have brought about by itself: its memory, its registers, its files. Page tables, the guest kernel's pages
//! and system registers are not in it; they are made anew when it is loaded, which takes no virtual machine.

mod error;
mod header;
mod options;
mod pages;
mod position;
mod read;
mod registers;
#[cfg(test)]
mod tests;
mod write;

use std::fs;
use std::io::Write;
use std::path::Path;

pub use self::error::SnapshotFileError;
pub use self::options::SnapshotOptions;
use super::Snapshot;

impl Snapshot {
    /// Writes the snapshot to a file, which [`load`](Self::load) reads in any process on any host with the same processor features. A file
    /// that is there is replaced when all is written.
    ///
    /// The file holds the program itself, and everything that the guest holds: its memory may hold secrets, and whoever can change it decides
    /// what the guest does (nothing else: see [`load`](Self::load)). Its checksum is against accidents, not against attackers.
    ///
    /// # Errors
    /// [`SnapshotFileError::Io`]; [`SnapshotFileError::Regions`] if the sandbox shares regions with the host, [`SnapshotFileError::HostDirs`]
    /// if its guest has directories of the host's.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), SnapshotFileError> {
        let path = path.as_ref();
        let bytes = write::write(&self.0)?;
        let failed = |source| SnapshotFileError::Io { path: path.to_owned(), source };
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(format!(".{}.part", std::process::id()));
        let written = fs::write(&unfinished, &bytes).and_then(|()| fs::rename(&unfinished, path));
        written.map_err(|source| {
            // Perhaps it never came to be.
            let _ = fs::remove_file(&unfinished);
            failed(source)
        })
    }

    /// Writes the bytes of the file that [`save`](Self::save) makes. Equal snapshots are equal bytes.
    ///
    /// # Errors
    /// [`SnapshotFileError::Write`], and as [`save`](Self::save).
    pub fn write_to(&self, to: &mut impl Write) -> Result<(), SnapshotFileError> {
        to.write_all(&write::write(&self.0)?).map_err(|source| SnapshotFileError::Write { source })
    }

    /// Loads a snapshot from a file, within the default limits: the same as `Snapshot::options().load(path)`.
    ///
    /// Whoever wrote the file, the guest is as sealed as any: what a file says is what a program could have done. The file is copied, never
    /// mapped. No KVM is needed before the snapshot is used.
    ///
    /// ```no_run
    /// use ampoule::{Imports, Program, Sandbox, Snapshot};
    ///
    /// let program = Program::from_file("plugin")?;
    /// Sandbox::new(&program, &Imports::new(), ())?.snapshot()?.save("plugin.amp")?;
    ///
    /// let warm = Snapshot::load("plugin.amp")?;
    /// let handle = warm.program().func::<(String,), String>("handle")?;
    /// let mut plugin = warm.spawn(&Imports::new(), ())?;
    /// println!("{}", plugin.call(&handle, ("hello".to_owned(),))?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`SnapshotFileError`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, SnapshotFileError> {
        SnapshotOptions::default().load(path)
    }

    /// Loads a snapshot from bytes, within the default limits.
    ///
    /// # Errors
    /// [`SnapshotFileError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SnapshotFileError> {
        SnapshotOptions::default().from_bytes(bytes)
    }

    /// True if the file at `path` begins as snapshot files do. It may be damaged all the same.
    #[must_use]
    pub fn is_in_file(path: impl AsRef<Path>) -> bool {
        header::is_in_file(path.as_ref())
    }

    /// Options to load a snapshot with.
    #[must_use]
    pub fn options() -> SnapshotOptions {
        SnapshotOptions::default()
    }
}
