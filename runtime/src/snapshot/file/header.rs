//! What every version of the format begins and ends with: magic, version, length; checksum.

use std::io::Read;
use std::path::Path;

use super::{SnapshotFileError, options};
use crate::wire::{Reader, Writer};

/// A byte that is no text, the name, and the line ends that transfers of text change.
const MAGIC: [u8; 8] = *b"\x89AMP\r\n\x1a\n";
/// Of the format.
pub(super) const VERSION: u32 = 1;
/// Where the length is.
const LENGTH_OFFSET: usize = MAGIC.len() + 4;
/// Magic, version, length.
const HEADER_BYTES: usize = LENGTH_OFFSET + 8;
/// The checksum's.
const CHECKSUM_BYTES: usize = 4;

/// True if what is at `path` is a regular file that begins with the magic.
pub(super) fn is_in_file(path: &Path) -> bool {
    let mut start = [0; MAGIC.len()];
    let file = options::open(path).ok().filter(|file| file.metadata().is_ok_and(|metadata| metadata.is_file()));
    file.is_some_and(|mut file| file.read_exact(&mut start).is_ok()) && start == MAGIC
}

/// Begins a file.
pub(super) fn begin() -> Writer {
    let mut writer = Writer::new();
    writer.raw(&MAGIC);
    writer.u32(VERSION);
    writer.u64(0);
    writer
}

/// Ends it: now its length is known, and its checksum.
pub(super) fn end(writer: Writer) -> Vec<u8> {
    let mut bytes = writer.into_bytes();
    let length = bytes.len() as u64 + CHECKSUM_BYTES as u64;
    if let Some(place) = bytes.get_mut(LENGTH_OFFSET..HEADER_BYTES) {
        place.copy_from_slice(&length.to_le_bytes());
    }
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Checks a whole file's header and checksum; what is between them remains to be read.
///
/// # Errors
/// [`SnapshotFileError::Magic`], [`Version`](SnapshotFileError::Version), [`Length`](SnapshotFileError::Length) and
/// [`Checksum`](SnapshotFileError::Checksum), whichever is wrong first.
pub(super) fn check(bytes: &[u8]) -> Result<Reader<'_>, SnapshotFileError> {
    let start = bytes.get(..MAGIC.len()).unwrap_or(bytes);
    if !MAGIC.starts_with(start) {
        return Err(SnapshotFileError::Magic { found: start.to_vec() });
    }
    let mut reader = Reader::new(bytes);
    reader.raw("the file's first bytes", MAGIC.len() as u64)?;
    let version = reader.u32("version of the format")?;
    if version != VERSION {
        return Err(SnapshotFileError::Version { version, known: VERSION });
    }
    let (stated, found) = (reader.u64("length of the file")?, bytes.len() as u64);
    if stated != found {
        return Err(SnapshotFileError::Length { stated, found });
    }
    let (content, checksum) = bytes
        .split_last_chunk::<CHECKSUM_BYTES>()
        .filter(|(content, _)| content.len() >= HEADER_BYTES)
        .ok_or(SnapshotFileError::Length { stated, found })?;
    let (stored, computed) = (u32::from_le_bytes(*checksum), crc32fast::hash(content));
    if stored != computed {
        return Err(SnapshotFileError::Checksum { stored, computed });
    }
    let mut reader = Reader::new(content);
    reader.raw("header", HEADER_BYTES as u64)?;
    Ok(reader)
}
