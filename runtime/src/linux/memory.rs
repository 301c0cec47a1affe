//! Memory: `brk`, `mmap` and their kin, and page faults that are not errors.
//!
//! A mapping is charged to the memory limit when it is made: its pages get their frames at once, so that touching them costs no exit
//! and `ENOMEM` comes from `mmap`, never as a late end. What is reserved rather than asked for (`PROT_NONE`, `MAP_NORESERVE`, the
//! stack) costs nothing until it is used.

mod state;

use std::ops::Range;

use ampoule_kernel::layout::{self, PAGE_SIZE, USER_END};
use rustix::io::Errno;

use super::Kernel;
use super::areas::{self, Areas, Attributes, Purpose};
use super::mapped_files::Backing;
use super::reply::{Refusal, Reply, refused};
use crate::end::{End, Limit};
use crate::machine::Machine;
use crate::machine::load::Loaded;
use crate::machine::paging::Access;
use crate::machine::space::OutOfMemory;
use crate::trap::Place;
use crate::vm::watch::Watch;

/// Where the stack ends: a little below the end of the payload's half.
pub(crate) const STACK_TOP: u64 = USER_END - 16 * PAGE_SIZE;
/// The stack's size: Linux's default `RLIMIT_STACK`.
pub(crate) const STACK_BYTES: u64 = 8 << 20;
/// Nothing is mapped so close below the stack: Linux's `stack_guard_gap`, 256 pages.
const STACK_GUARD: u64 = 256 * PAGE_SIZE;
/// New mappings go below.
const MAPPING_TOP: u64 = STACK_TOP - STACK_BYTES - STACK_GUARD;

/// Pages of the stack that have frames from the start.
const STACK_PREFILL: u64 = 8 * PAGE_SIZE;
/// Pages that one fault fills around the page that was touched, aligned.
const FAULT_AROUND: u64 = 16 * PAGE_SIZE;

const PROT_READ: u64 = 1;
const PROT_WRITE: u64 = 2;
const PROT_EXEC: u64 = 4;
const PROT_KNOWN: u64 = PROT_READ | PROT_WRITE | PROT_EXEC;

const MAP_SHARED: u64 = 1;
const MAP_PRIVATE: u64 = 2;
const MAP_SHARED_VALIDATE: u64 = 3;
const MAP_TYPE: u64 = 0xf;
const MAP_FIXED: u64 = 0x10;
const MAP_ANONYMOUS: u64 = 0x20;
const MAP_NORESERVE: u64 = 0x4000;
const MAP_HUGETLB: u64 = 0x4_0000;
const MAP_FIXED_NOREPLACE: u64 = 0x10_0000;

const MREMAP_MAYMOVE: u64 = 1;
const MREMAP_FIXED: u64 = 2;

const MADV_DONTNEED: u64 = 4;
/// Advice that may be ignored: NORMAL RANDOM SEQUENTIAL WILLNEED, FREE, DONTFORK to PAGEOUT (10–21), COLLAPSE.
const MADV_IGNORED: [u64; 18] = [0, 1, 2, 3, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 25];

/// The program's mappings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) areas: Areas,
    heap_start: u64,
    heap_end: u64,
}

impl Memory {
    /// The mappings of a freshly loaded program. The stack has its first pages' frames from `Kernel::prepare_stack`.
    pub(crate) fn new(loaded: &Loaded) -> Result<Self, areas::TooMany> {
        let mut areas = Areas::default();
        for (range, access) in &loaded.segments {
            let attributes = Attributes { access: *access, lazy: false, purpose: Purpose::Program };
            areas.insert(range.clone(), attributes)?;
        }
        let stack = Attributes { access: Access::READ_WRITE, lazy: true, purpose: Purpose::Stack };
        areas.insert(STACK_TOP - STACK_BYTES..STACK_TOP, stack)?;
        Ok(Self { areas, heap_start: loaded.end, heap_end: loaded.end })
    }

    /// What is at `address`, for a report.
    pub(crate) fn place(&self, address: u64) -> Place {
        match self.areas.find(address) {
            Some((_, Attributes { access: Access { read, write, execute }, .. })) => {
                Place::Mapped { any: read || write || execute }
            }
            None if (STACK_TOP - STACK_BYTES - STACK_GUARD..STACK_TOP - STACK_BYTES).contains(&address) => {
                Place::BelowStack
            }
            None => Place::Unmapped,
        }
    }

    /// `/proc/self/maps`, as far as programs look: ranges, permissions, purpose.
    pub(crate) fn maps(&self) -> Vec<u8> {
        let mut text = String::new();
        for (range, Attributes { access, purpose, .. }) in self.areas.iter() {
            let letter = |allowed: bool, letter: char| if allowed { letter } else { '-' };
            let name = match purpose {
                Purpose::Heap => "                          [heap]",
                Purpose::Stack => "                          [stack]",
                Purpose::Program | Purpose::Anonymous | Purpose::File => "",
            };
            text.push_str(&format!(
                "{:012x}-{:012x} {}{}{}p 00000000 00:00 0{name}\n",
                range.start,
                range.end,
                letter(access.read, 'r'),
                letter(access.write, 'w'),
                letter(access.execute, 'x'),
            ));
        }
        for (start, letters, name) in [(layout::CLOCK, "r--p", "[vvar]"), (layout::VDSO, "r-xp", "[vdso]")] {
            let end = start + PAGE_SIZE;
            text.push_str(&format!(
                "{start:012x}-{end:012x} {letters} 00000000 00:00 0                          {name}\n"
            ));
        }
        text.into_bytes()
    }
}

fn access(protection: u64) -> Access {
    // The processor cannot write or execute without reading.
    Access {
        read: protection & PROT_KNOWN != 0,
        write: protection & PROT_WRITE != 0,
        execute: protection & PROT_EXEC != 0,
    }
}

/// Gives the top of the stack its frames: for what a program starts with, and some more.
pub(crate) fn prepare_stack(
    machine: &mut Machine,
    bytes: u64,
    watch: &mut Watch,
) -> Result<Result<(), OutOfMemory>, Refusal> {
    let start = STACK_TOP - (bytes + STACK_PREFILL).next_multiple_of(PAGE_SIZE).min(STACK_BYTES);
    Ok(machine.populate(start..STACK_TOP, Access::READ_WRITE, watch)?)
}

impl Kernel<'_> {
    /// Gives a lazy page its frame, if `address` is one's and allows the access; false if it is a real fault.
    pub(crate) fn fault_in(&mut self, address: u64, write: bool) -> Result<bool, Refusal> {
        let Some((area, attributes)) = self.process.memory.areas.find(address) else {
            return Ok(false);
        };
        if !attributes.lazy || !attributes.access.read || (write && !attributes.access.write) {
            return Ok(false);
        }
        let page = address & !(PAGE_SIZE - 1);
        if self.machine.is_mapped(page) {
            return Ok(false);
        }
        let around = address & !(FAULT_AROUND - 1);
        let around = around.max(area.start)..(around + FAULT_AROUND).min(area.end);
        for range in [around, page..page + PAGE_SIZE] {
            if self.machine.populate(range, attributes.access, self.watch)?.is_ok() {
                return Ok(true);
            }
        }
        Err(End::Limit(Limit::Memory).into())
    }

    pub(super) fn sys_brk(&mut self, to: u64) -> Reply {
        let memory = &self.process.memory;
        let (start, end) = (memory.heap_start, memory.heap_end);
        let (old, Some(new)) = (end.next_multiple_of(PAGE_SIZE), to.checked_next_multiple_of(PAGE_SIZE)) else {
            return Ok(end);
        };
        if to < start || new > MAPPING_TOP {
            return Ok(end);
        }
        if new > old {
            let heap = Attributes { access: Access::READ_WRITE, lazy: false, purpose: Purpose::Heap };
            if !self.process.memory.areas.is_free(old..new) || refused(self.map_range(old..new, heap))? {
                return Ok(end);
            }
        } else if new < old {
            self.unmap_range(new..old)?;
        }
        self.process.memory.heap_end = to;
        Ok(to)
    }

    pub(super) fn sys_mmap(&mut self, [hint, length, protection, flags, descriptor, offset]: [u64; 6]) -> Reply {
        if length == 0 || protection & !PROT_KNOWN != 0 {
            return Err(Errno::INVAL.into());
        }
        if !matches!(flags & MAP_TYPE, MAP_SHARED | MAP_PRIVATE | MAP_SHARED_VALIDATE) {
            return Err(Errno::INVAL.into());
        }
        let backing = if flags & MAP_ANONYMOUS != 0 {
            Backing::Zeros
        } else {
            // Without any access there would be nowhere to keep the copy.
            let writes = flags & MAP_TYPE != MAP_PRIVATE && protection & PROT_WRITE != 0 || protection == 0;
            self.backing(super::descriptor(descriptor), offset, length, writes)?
        };
        if flags & MAP_HUGETLB != 0 {
            return Err(Errno::NOMEM.into());
        }
        let range = self.choose_range(hint, length, flags)?;
        let (lazy, purpose) = match backing {
            Backing::Zeros => (flags & MAP_NORESERVE != 0, Purpose::Anonymous),
            Backing::File { .. } => (false, Purpose::File),
        };
        let attributes = Attributes { access: access(protection), lazy, purpose };
        if !self.process.memory.areas.is_free(range.clone()) {
            self.unmap_range(range.clone())?;
        }
        let start = range.start;
        match backing {
            Backing::Zeros => self.map_range(range, attributes)?,
            Backing::File { descriptor, offset } => self.map_file(range, attributes, descriptor, offset)?,
        };
        Ok(start)
    }

    fn choose_range(&self, hint: u64, length: u64, flags: u64) -> Result<Range<u64>, Errno> {
        let areas = &self.process.memory.areas;
        let length = length.checked_next_multiple_of(PAGE_SIZE).ok_or(Errno::NOMEM)?;
        if flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0 {
            if !hint.is_multiple_of(PAGE_SIZE) {
                return Err(Errno::INVAL);
            }
            if hint < ampoule_kernel::layout::USER_START {
                return Err(Errno::PERM);
            }
            let range = areas::valid(hint, length).ok_or(Errno::NOMEM)?;
            if flags & MAP_FIXED_NOREPLACE != 0 && !areas.is_free(range.clone()) {
                return Err(Errno::EXIST);
            }
            return Ok(range);
        }
        let hinted = areas::valid(hint & !(PAGE_SIZE - 1), length).filter(|range| areas.is_free(range.clone()));
        if let Some(range) = hinted.filter(|range| range.end <= MAPPING_TOP) {
            return Ok(range);
        }
        let start = areas.highest_free(length, MAPPING_TOP).ok_or(Errno::NOMEM)?;
        Ok(start..start + length)
    }

    /// Records a free range and gives its pages frames.
    fn map_range(&mut self, range: Range<u64>, attributes: Attributes) -> Reply {
        if attributes.is_backed() && self.machine.populate(range.clone(), attributes.access, self.watch)?.is_err() {
            return Err(Errno::NOMEM.into());
        }
        if self.process.memory.areas.insert(range.clone(), attributes).is_err() {
            self.machine.release(range, self.watch)?;
            return Err(Errno::NOMEM.into());
        }
        Ok(0)
    }

    fn unmap_range(&mut self, range: Range<u64>) -> Reply {
        self.process.memory.areas.remove(range.clone()).map_err(|_| Errno::NOMEM)?;
        self.machine.release(range, self.watch)?;
        Ok(0)
    }

    pub(super) fn sys_munmap(&mut self, start: u64, length: u64) -> Reply {
        let range = areas::valid(start, length).filter(|range| !range.is_empty()).ok_or(Errno::INVAL)?;
        self.unmap_range(range)
    }

    pub(super) fn sys_mprotect(&mut self, start: u64, length: u64, protection: u64) -> Reply {
        // PROT_GROWSDOWN and PROT_GROWSUP, which would change the range, are refused too: no C library uses them on x86-64.
        if !start.is_multiple_of(PAGE_SIZE) || protection & !PROT_KNOWN != 0 {
            return Err(Errno::INVAL.into());
        }
        if length == 0 {
            return Ok(0);
        }
        let range = areas::valid(start, length).ok_or(Errno::NOMEM)?;
        if !self.process.memory.areas.covers(range.clone()) {
            return Err(Errno::NOMEM.into());
        }
        let access = access(protection);
        let parts: Vec<_> = self.process.memory.areas.within(range.clone()).collect();
        for (index, (part, attributes)) in parts.into_iter().enumerate() {
            if index > 0 {
                self.watch.check()?;
            }
            // With the access that it has: should the next step fail, area and pages still agree.
            if (Attributes { access, ..attributes }).is_backed()
                && self.machine.populate(part.clone(), attributes.access, self.watch)?.is_err()
            {
                return Err(Errno::NOMEM.into());
            }
            self.process.memory.areas.protect(part.clone(), access).map_err(|_| Errno::NOMEM)?;
            self.machine.protect(part, access, self.watch)?;
        }
        Ok(0)
    }

    pub(super) fn sys_mremap(&mut self, [old, old_length, new_length, flags, new, _]: [u64; 6]) -> Reply {
        if flags & !(MREMAP_MAYMOVE | MREMAP_FIXED) != 0
            || (flags & MREMAP_FIXED != 0 && flags & MREMAP_MAYMOVE == 0)
            || new_length == 0
            || old_length == 0
        {
            return Err(Errno::INVAL.into());
        }
        let from = areas::valid(old, old_length).ok_or(Errno::INVAL)?;
        let length = new_length.checked_next_multiple_of(PAGE_SIZE).ok_or(Errno::INVAL)?;
        let (area, attributes) = self.process.memory.areas.find(from.start).ok_or(Errno::FAULT)?;
        if area.end < from.end {
            return Err(Errno::FAULT.into());
        }
        let old_length = from.end - from.start;
        if !self.process.memory.areas.can_move() {
            return Err(Errno::NOMEM.into());
        }
        let target = if flags & MREMAP_FIXED != 0 {
            let to = areas::valid(new, length).ok_or(Errno::INVAL)?;
            if to.start < from.end && from.start < to.end {
                return Err(Errno::INVAL.into());
            }
            self.unmap_range(to.clone())?;
            to
        } else if length <= old_length {
            if length < old_length {
                self.unmap_range(from.start + length..from.end)?;
            }
            return Ok(old);
        } else {
            let grown = from.end..from.start.checked_add(length).ok_or(Errno::NOMEM)?;
            if areas::valid(grown.start, grown.end - grown.start).is_some()
                && self.process.memory.areas.is_free(grown.clone())
                && (grown.end <= MAPPING_TOP || grown.start > STACK_TOP)
            {
                self.map_range(grown, attributes)?;
                return Ok(old);
            }
            if flags & MREMAP_MAYMOVE == 0 {
                return Err(Errno::NOMEM.into());
            }
            self.choose_range(0, length, 0)?
        };
        self.move_range(from, target, attributes)
    }

    /// Moves a mapping; the target is free, and longer or shorter than the source. The areas have room ([`Areas::can_move`]).
    fn move_range(&mut self, from: Range<u64>, to: Range<u64>, attributes: Attributes) -> Reply {
        let kept = (from.end - from.start).min(to.end - to.start);
        let grown = to.start + kept..to.end;
        if !grown.is_empty() {
            self.map_range(grown.clone(), attributes)?;
        }
        let (start, moved) = (to.start, from.start..from.start + kept);
        self.process.memory.areas.insert(start..start + kept, attributes).map_err(|_| Errno::NOMEM)?;
        if self.machine.relocate(moved, start, self.watch)?.is_err() {
            self.unmap_range(to)?;
            return Err(Errno::NOMEM.into());
        }
        self.unmap_range(from)?;
        Ok(start)
    }

    pub(super) fn sys_madvise(&mut self, start: u64, length: u64, advice: u64) -> Reply {
        if !start.is_multiple_of(PAGE_SIZE) || (advice != MADV_DONTNEED && !MADV_IGNORED.contains(&advice)) {
            return Err(Errno::INVAL.into());
        }
        if length == 0 {
            return Ok(0);
        }
        let range = areas::valid(start, length).ok_or(Errno::NOMEM)?;
        if advice == MADV_DONTNEED {
            let parts: Vec<_> = self.process.memory.areas.within(range.clone()).collect();
            for (part, attributes) in parts {
                if attributes.lazy {
                    self.machine.release(part, self.watch)?;
                } else if attributes.purpose != Purpose::File {
                    self.machine.clear(part, self.watch)?;
                }
            }
        }
        if self.process.memory.areas.covers(range) { Ok(0) } else { Err(Errno::NOMEM.into()) }
    }
}
