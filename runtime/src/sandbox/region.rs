//! Memory that many guests read: a model, a dictionary, a batch of records.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use ampoule_kernel::layout::REGIONS_MAX_BYTES;

use crate::vm::shared::RegionMemory;

/// A read-only piece of memory, shared by the sandboxes that it is given to; their guests see it as `&'static [u8]`.
///
/// It is copied once, into sealed memory: nothing can change it or make it shorter afterwards, neither a guest nor whoever owns the file
/// that it came from. It costs each sandbox a memory slot and no copy, and is not charged to its memory limit. Cloning shares it.
///
/// ```
/// let dictionary = ampoule::Region::from_bytes(b"aardvark\nabacus\n")?;
/// assert_eq!(dictionary.len(), 16);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Region(pub(super) Arc<RegionMemory>);

impl Region {
    /// Most bytes: 16 GiB, of all regions of a sandbox together, each rounded up to 2 MiB.
    pub const MAX_BYTES: u64 = REGIONS_MAX_BYTES;

    /// A region of these bytes.
    ///
    /// # Errors
    /// If the kernel has no memory for it, or it has more than [`MAX_BYTES`](Self::MAX_BYTES).
    pub fn from_bytes(bytes: impl AsRef<[u8]>) -> io::Result<Self> {
        Self::new(|file| file.write_all(bytes.as_ref()))
    }

    /// A region of a file's content as it is now.
    ///
    /// # Errors
    /// If it cannot be read, and as [`from_bytes`](Self::from_bytes).
    pub fn from_file(path: impl AsRef<Path>) -> io::Result<Self> {
        let source = File::open(path)?;
        Self::new(|file| {
            // One byte more shows that there is too much, however long a file that grows meanwhile becomes.
            io::copy(&mut source.take(REGIONS_MAX_BYTES + 1), file).map(|_| ())
        })
    }

    fn new(fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<Self> {
        Ok(Self(Arc::new(RegionMemory::new(REGIONS_MAX_BYTES, fill)?)))
    }

    /// Bytes that it has.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// True if it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
