//! Files without a machine: the document's example, what can happen to it, and what can be forged in it.

mod document;
mod forgeries;
mod properties;

use ampoule_kernel::layout::PAGE_SIZE;

use super::*;
use crate::vm::memory::PAGE_BYTES;

const DOCUMENT: &str = include_str!("../../../../../docs/snapshot-format.md");

/// The bytes of one of the document's examples, by its title: what is left of the bars.
fn block(title: &str) -> Vec<u8> {
    let (_, block) = DOCUMENT.split_once(&format!("```text {title}\n")).unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let digits = block.lines().filter_map(|line| line.split_once('│')).map(|(bytes, _)| bytes);
    digits.flat_map(str::split_whitespace).map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// List of runs, address, count, kind: what is before the first page.
const BEFORE_PAGE: usize = 8 + 17;

/// The document's example, whole.
fn example() -> Vec<u8> {
    let (before, after) = (block("before the personality"), block("after the personality"));
    let (runs, end) = after.split_at(BEFORE_PAGE);
    let mut page = vec![0; PAGE_BYTES];
    page[..128].copy_from_slice(program(&before));
    [&before, &block("personality")[..], runs, &page, end].concat()
}

/// Header, ABI, features, length of the program.
const PROGRAM_AT: usize = 20 + 8 + 8 + 8;

/// The program in the example.
fn program(file: &[u8]) -> &[u8] {
    &file[PROGRAM_AT..PROGRAM_AT + 128]
}

/// The file with the length and the checksum that it should have.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = bytes.len() as u64;
    bytes[12..20].copy_from_slice(&length.to_le_bytes());
    let end = bytes.len() - 4;
    let checksum = crc32fast::hash(&bytes[..end]);
    bytes[end..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn written(snapshot: &Snapshot) -> Vec<u8> {
    let mut bytes = Vec::new();
    snapshot.write_to(&mut bytes).unwrap();
    bytes
}

/// Loads what may be anything: an error, or a snapshot that is written as the same bytes.
fn load_anything(bytes: &[u8]) {
    if let Ok(snapshot) = Snapshot::from_bytes(bytes) {
        assert!(written(&snapshot) == bytes, "a second form of one snapshot");
    }
}
