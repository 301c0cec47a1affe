//! Snapshot files: whatever the bytes are, loading them ends in an error or in a snapshot that is written as the same bytes. No KVM is needed.
//!
//! A fuzzer does not guess checksums, so each input is looked at twice: as it is, and with the magic, version, length and checksum that it should
//! have.

#![no_main]

use ampoule::Snapshot;
use libfuzzer_sys::fuzz_target;

/// What every file begins with: magic, version, length.
const HEADER: [u8; 20] = *b"\x89AMP\r\n\x1a\n\x01\0\0\0\0\0\0\0\0\0\0\0";
/// Where the length is.
const LENGTH: std::ops::Range<usize> = 12..20;

fn load(bytes: &[u8]) {
    if let Ok(snapshot) = Snapshot::from_bytes(bytes) {
        let mut written = Vec::new();
        assert!(snapshot.write_to(&mut written).is_ok(), "what was loaded can be written");
        assert!(written == bytes, "a snapshot has one form");
    }
}

/// The bytes between header and checksum, with those around them.
fn sealed(content: &[u8]) -> Vec<u8> {
    let mut file = [&HEADER[..], content].concat();
    let length = file.len() as u64 + 4;
    file[LENGTH].copy_from_slice(&length.to_le_bytes());
    let checksum = crc32fast::hash(&file);
    file.extend_from_slice(&checksum.to_le_bytes());
    file
}

fuzz_target!(|bytes: &[u8]| {
    load(bytes);
    let content = bytes.get(HEADER.len()..bytes.len().saturating_sub(4)).unwrap_or(bytes);
    load(&sealed(content));
});
