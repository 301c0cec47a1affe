//! The pages' chapter: runs of pages that follow each other, zeros or with their content.
//!
//! What a page allows is not in it, for that follows from what the guest has mapped: a page of a range that allows nothing is held, and the others
//! allow what their range allows.

use ampoule_kernel::layout::{PAGE_SIZE, USER_END, USER_START};

use super::SnapshotFileError;
use crate::limits::Limits;
use crate::linux::Process;
use crate::linux::state::Mapping;
use crate::machine::paging::Page;
use crate::machine::restore::MachineState;
use crate::machine::restore::parts::AddressSpace;
use crate::vm::memory::{PAGE_BYTES, ZEROS};
use crate::wire::{Reader, Writer};

/// Address, count, kind.
const RUN_BYTES: u64 = 17;

/// Pages that follow each other and are all zeros, or all something else.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: u64,
    count: u64,
    has_content: bool,
}

impl Run {
    fn end(&self) -> u64 {
        self.start + self.count * PAGE_SIZE
    }
}

pub(super) fn write(writer: &mut Writer, machine: &MachineState, process: &Process) -> Result<(), SnapshotFileError> {
    let space = AddressSpace::of(machine)?;
    let pages = agreeing(&space, process)?;
    let mut runs: Vec<Run> = Vec::new();
    for &(address, content) in &pages {
        let has_content = content.is_some();
        match runs.last_mut() {
            Some(run) if run.end() == address && run.has_content == has_content => run.count += 1,
            _ => runs.push(Run { start: address, count: 1, has_content }),
        }
    }
    let mut contents = pages.iter().filter_map(|(_, content)| *content);
    writer.count(runs.len());
    for run in runs {
        writer.u64(run.start);
        writer.u64(run.count);
        writer.flag(run.has_content);
        if run.has_content {
            let count = usize::try_from(run.count).unwrap_or(usize::MAX);
            contents.by_ref().take(count).for_each(|content| writer.raw(content));
        }
    }
    Ok(())
}

/// A page's address and content; none is zeros.
type Content<'a> = (u64, Option<&'a [u8; PAGE_BYTES]>);

/// The pages, as they agree with what is mapped. Only a system call that was cut short leaves others: it is made again before the program goes
/// on, and so brings about what it was about to, from the mappings as they are.
fn agreeing<'a>(space: &'a AddressSpace, process: &Process) -> Result<Vec<Content<'a>>, SnapshotFileError> {
    let check = |address, what| {
        if process.waited() { Ok(()) } else { Err(SnapshotFileError::Pages { address, what }) }
    };
    let mut pages = Vec::new();
    let mut there = space.pages().peekable();
    for mapping in process.mappings(USER_START..USER_END) {
        while let Some((address, _)) = there.next_if(|(address, _)| *address < mapping.range.start) {
            check(address, "nothing is mapped there")?;
        }
        let mut next = mapping.range.start;
        let mut fill_up_to = |end: u64, pages: &mut Vec<Content<'a>>| -> Result<(), SnapshotFileError> {
            while mapping.is_backed && next < end {
                check(next, "they are mapped and not there")?;
                pages.push((next, None));
                next += PAGE_SIZE;
            }
            next = end + PAGE_SIZE;
            Ok(())
        };
        while let Some(page) = there.next_if(|(address, _)| *address < mapping.range.end) {
            fill_up_to(page.0, &mut pages)?;
            pages.push(page);
        }
        fill_up_to(mapping.range.end, &mut pages)?;
    }
    there.try_for_each(|(address, _)| check(address, "nothing is mapped there"))?;
    Ok(pages)
}

/// Makes the pages anew, charged to the limit.
pub(super) fn read(
    reader: &mut Reader<'_>,
    limits: &Limits,
    process: &Process,
    no_execute: bool,
) -> Result<AddressSpace, SnapshotFileError> {
    let mut space = AddressSpace::empty(limits.pages(), no_execute)?;
    let backed = |part: &Mapping| if part.is_backed { length(part) / PAGE_SIZE } else { 0 };
    let mut missing: u64 = process.mappings(USER_START..USER_END).map(|part| backed(&part)).sum();
    let mut before: Option<Run> = None;
    for _ in 0..reader.count("runs of pages", RUN_BYTES)? {
        let run = run(reader, before, space.left(), limits)?;
        before = Some(run);
        let mut at = run.start;
        for part in process.mappings(run.start..run.end()) {
            if part.range.start != at {
                break;
            }
            at = part.range.end;
            missing = missing.saturating_sub(backed(&part));
            add(reader, &mut space, &part, run.has_content, limits)?;
        }
        if at != run.end() {
            return Err(SnapshotFileError::Pages { address: at, what: "nothing is mapped there" });
        }
    }
    if missing == 0 { Ok(space) } else { Err(SnapshotFileError::MissingPages { missing }) }
}

/// A run after the one before, with no more pages than are left.
fn run(reader: &mut Reader<'_>, before: Option<Run>, left: u64, limits: &Limits) -> Result<Run, SnapshotFileError> {
    let start = reader.u64("address of a run of pages")?;
    let count = reader.u64("number of pages in a run")?;
    let has_content = reader.flag("content of a run of pages")?;
    let wrong = |what| SnapshotFileError::Pages { address: start, what };
    if count > left {
        return Err(SnapshotFileError::Memory { limit: limits.memory_bytes() });
    }
    let room = USER_END.saturating_sub(start) / PAGE_SIZE;
    if !start.is_multiple_of(PAGE_SIZE) || start < USER_START || count == 0 || count > room {
        return Err(wrong("they are none that a program can have"));
    }
    if let Some(before) = before {
        if start < before.end() {
            return Err(wrong("they come after pages with higher addresses"));
        }
        if start == before.end() && has_content == before.has_content {
            return Err(wrong("they go on from the run before and are like it: they are one"));
        }
    }
    Ok(Run { start, count, has_content })
}

fn add(
    reader: &mut Reader<'_>,
    space: &mut AddressSpace,
    part: &Mapping,
    has_content: bool,
    limits: &Limits,
) -> Result<(), SnapshotFileError> {
    let mut at = part.range.start;
    while let Some(page) = Page::containing(at).filter(|_| at < part.range.end) {
        let content: Option<&[u8; PAGE_BYTES]> = if has_content {
            let content = reader.raw("content of a page", PAGE_SIZE)?.first_chunk();
            if content == Some(&ZEROS) {
                return Err(SnapshotFileError::Pages {
                    address: at,
                    what: "a page is said to have content and is all zeros",
                });
            }
            content
        } else {
            None
        };
        let added = space.add(page, part.access, content)?;
        added.map_err(|_| SnapshotFileError::Memory { limit: limits.memory_bytes() })?;
        at += PAGE_SIZE;
    }
    Ok(())
}

fn length(part: &Mapping) -> u64 {
    part.range.end.saturating_sub(part.range.start)
}
