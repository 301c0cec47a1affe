//! Loading: a validated program's segments into an empty machine.

use std::ops::Range;

use ampoule_kernel::layout;

use super::Machine;
use super::paging::Access;
use super::space::OutOfMemory;
use crate::program::{Kind, Program};
use crate::vm::watch::{Halted, Watch};

/// Where position-independent programs go: high enough for any heap below the mappings, and the same every time.
const PIE_BASE: u64 = 0x5555_4000_0000;

/// What was loaded where.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// Added to every address as linked.
    pub(crate) bias: u64,
    /// First instruction.
    pub(crate) entry: u64,
    /// Where the program headers are in memory.
    pub(crate) headers: Option<u64>,
    /// The pages of each segment.
    pub(crate) segments: Vec<(Range<u64>, Access)>,
    /// First page after the last segment.
    pub(crate) end: u64,
}

/// Where `program` goes.
pub(crate) fn bias(program: &Program) -> u64 {
    match program.kind() {
        Kind::Static => 0,
        Kind::StaticPie => PIE_BASE.next_multiple_of(program.alignment()),
    }
}

/// Puts the segments into memory. Fails if the memory limit has no room for them.
pub(crate) fn load(
    machine: &mut Machine,
    program: &Program,
    watch: &mut Watch,
) -> Result<Result<Loaded, OutOfMemory>, Halted> {
    let bias = bias(program);
    let mut segments = Vec::with_capacity(program.segments().len());
    for segment in program.segments() {
        let pages = segment.pages();
        let range = pages.start + bias..pages.end + bias;
        let protection = segment.protection();
        let access = Access { read: protection.read, write: protection.write, execute: protection.execute };
        if machine.populate(range.clone(), access, watch)?.is_err() {
            return Ok(Err(OutOfMemory));
        }
        if machine.load(segment.address() + bias, segment.data())?.is_err() {
            return Ok(Err(OutOfMemory));
        }
        segments.push((range, access));
    }
    let end = (program.highest_address() + bias).next_multiple_of(layout::PAGE_SIZE);
    let headers = program.program_headers().address.map(|address| address + bias);
    Ok(Ok(Loaded { bias, entry: program.entry() + bias, headers, segments, end }))
}
