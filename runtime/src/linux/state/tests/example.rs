//! The worked example of `docs/snapshot-format.md`, held against the code.

use super::*;

const DOCUMENT: &str = include_str!("../../../../../docs/snapshot-format.md");

/// The bytes of the document's example: in the block that starts with `personality`, what is left of the bars.
fn example() -> Vec<u8> {
    let (_, block) = DOCUMENT.split_once("```text personality\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let digits = block.lines().filter_map(|line| line.split_once('│')).map(|(bytes, _)| bytes);
    digits.flat_map(str::split_whitespace).map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

#[test]
fn the_documents_example_is_what_is_written() {
    assert_eq!(example(), written(&small()));
}

#[test]
fn the_documents_example_can_be_read() {
    let process = read(&example()).unwrap();
    assert_eq!(process.name, b"p");
    assert_eq!(process.memory.areas.iter().count(), 2);
    process.assert_survives_a_file();
}
