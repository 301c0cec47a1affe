//! Segments: what is copied into the guest, checked so that whoever maps them has nothing left to check.
//!
//! After [`check`], segments are sorted by address, no two need the same page, every page is an address that a program
//! may use, and every byte is in the file. The ELF standard demands ascending addresses, Linux does not look; here they
//! are sorted, for then a comparison of neighbours finds every overlap. Pages are what counts, since a page has one
//! protection: two segments in one page are refused even where their bytes do not meet. Linkers do not make them: with
//! `-z noseparate-code` text and data share a page of the file, but each has its own in memory.
//!
//! ```text
//!            page       page       page       page       page
//! memory     ├──────────┼──────────┼──────────┼──────────┼──────────┤
//! segment 0  │  ▓▓▓▓▓▓▓▓│▓▓▓▓▓▓▓   │          │          │          │   r-x   ▓ from the file
//! segment 1  │          │          │          │ ▓▓▓▓▓▓░░░│░░░░      │   rw-   ░ zero: memory_size is beyond the data
//! refused    │          │        ▓▓│▓▓▓       │          │          │   one page for two
//! ```

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use ampoule_kernel::layout::{PAGE_SIZE, PAYLOAD_MAX_BYTES, USER_END, USER_START};
use goblin::elf::program_header::{PF_R, PF_W, PF_X, PT_LOAD, ProgramHeader};

use super::elf::part;
use super::error::{ProgramError, SegmentFault};
use super::{Kind, Program};

/// Segments end below this: the last 4 GiB of the payload's half stay free for its stack and what is placed beside it.
const SEGMENTS_END: u64 = 0x7f7f_0000_0000;

const _: () = assert!(SEGMENTS_END.is_multiple_of(PAGE_SIZE) && SEGMENTS_END < USER_END, "see SEGMENTS_END");

/// What a program may do with the pages of a segment. The processor cannot write without reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Protection {
    /// Pages can be read.
    pub read: bool,
    /// Pages can be written.
    pub write: bool,
    /// Instructions can be fetched from the pages.
    pub execute: bool,
}

impl fmt::Display for Protection {
    /// As in `/proc/self/maps`: `r-x`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [(self.read, "r"), (self.write, "w"), (self.execute, "x")];
        letters.into_iter().try_for_each(|(set, letter)| f.write_str(if set { letter } else { "-" }))
    }
}

/// One loadable segment of a [`Program`], at least one byte long.
#[derive(Clone)]
pub struct Segment {
    index: usize,
    address: u64,
    memory_size: u64,
    protection: Protection,
    file: Range<usize>,
    bytes: Arc<Vec<u8>>,
}

impl Segment {
    /// First byte, as linked: a position-independent program is moved as a whole when it is loaded.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Bytes in memory. Those beyond [`data`](Self::data) are zero.
    #[must_use]
    pub fn memory_size(&self) -> u64 {
        self.memory_size
    }

    /// What the segment starts with; never longer than [`memory_size`](Self::memory_size).
    #[must_use]
    pub fn data(&self) -> &[u8] {
        self.bytes.get(self.file.clone()).unwrap_or_default()
    }

    /// What the program may do with its pages.
    #[must_use]
    pub fn protection(&self) -> Protection {
        self.protection
    }

    /// First byte beyond.
    pub(crate) fn end(&self) -> u64 {
        self.address.saturating_add(self.memory_size)
    }

    /// The whole pages that the segment needs, as addresses.
    pub(crate) fn pages(&self) -> Range<u64> {
        page_down(self.address)..page_down(self.end().saturating_add(PAGE_SIZE - 1))
    }

    /// Where `size` bytes at `offset` of the file are in memory, if this segment loads all of them.
    pub(super) fn address_of(&self, offset: u64, size: u64) -> Option<u64> {
        let inside = offset.checked_sub(self.file.start as u64)?;
        let end = inside.checked_add(size)?;
        (end <= self.data().len() as u64).then(|| self.address.saturating_add(inside))
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Segment({:#x}+{:#x} {}, {:#x} from the file)",
            self.address,
            self.memory_size,
            self.protection,
            self.file.len()
        )
    }
}

/// The segments of a program in ascending order, and their largest alignment.
///
/// Headers that load nothing are skipped.
pub(super) fn check(
    bytes: &Arc<Vec<u8>>,
    headers: &[ProgramHeader],
    kind: Kind,
    allow_write_execute: bool,
) -> Result<(Vec<Segment>, u64), ProgramError> {
    let mut segments = Vec::new();
    let mut alignment = PAGE_SIZE;
    for (index, header) in headers.iter().enumerate() {
        if header.p_type != PT_LOAD || (header.p_memsz == 0 && header.p_filesz == 0) {
            continue;
        }
        if segments.len() == Program::MAX_SEGMENTS {
            return Err(ProgramError::TooManySegments { max: Program::MAX_SEGMENTS });
        }
        let fault = |fault| ProgramError::Segment { index, address: header.p_vaddr, size: header.p_memsz, fault };
        segments.push(segment(bytes, index, header, kind, allow_write_execute).map_err(fault)?);
        alignment = alignment.max(header.p_align);
    }
    segments.sort_by_key(Segment::address);
    for (low, high) in segments.iter().zip(segments.iter().skip(1)) {
        if high.pages().start < low.pages().end {
            return Err(ProgramError::Overlap {
                index: high.index,
                address: high.address,
                size: high.memory_size,
                other: low.index,
                other_address: low.address,
                other_size: low.memory_size,
            });
        }
    }
    let size = match (segments.first(), segments.last()) {
        (Some(first), Some(last)) if kind == Kind::StaticPie => last.pages().end.saturating_sub(first.pages().start),
        (Some(_), Some(_)) => {
            segments.iter().map(Segment::pages).fold(0, |sum: u64, pages| sum.saturating_add(pages.end - pages.start))
        }
        _ => return Err(ProgramError::NoSegments),
    };
    if size > PAYLOAD_MAX_BYTES {
        return Err(ProgramError::ImageTooLarge { size, max: PAYLOAD_MAX_BYTES });
    }
    Ok((segments, alignment))
}

/// One segment, checked by itself.
fn segment(
    bytes: &Arc<Vec<u8>>,
    index: usize,
    header: &ProgramHeader,
    kind: Kind,
    allow_write_execute: bool,
) -> Result<Segment, SegmentFault> {
    let &ProgramHeader { p_flags, p_offset, p_vaddr, p_filesz, p_memsz, p_align, .. } = header;
    let protection = Protection { read: p_flags & PF_R != 0, write: p_flags & PF_W != 0, execute: p_flags & PF_X != 0 };
    if p_filesz > p_memsz {
        return Err(SegmentFault::Sizes { size: p_filesz });
    }
    if p_align > Program::MAX_ALIGNMENT || (p_align != 0 && !p_align.is_power_of_two()) {
        return Err(SegmentFault::Alignment { alignment: p_align, max: Program::MAX_ALIGNMENT });
    }
    // The linker places a position-independent program at 0; the loader will move it up.
    let start = if kind == Kind::StaticPie { 0 } else { USER_START };
    let end = p_vaddr.checked_add(p_memsz);
    if p_vaddr < start || end.is_none_or(|end| end > SEGMENTS_END) {
        return Err(SegmentFault::OutsideMemory { start, end: SEGMENTS_END });
    }
    // A segment of zeros alone has no place in the file, whatever its header says.
    let mut file = 0..0;
    if p_filesz != 0 {
        let outside = SegmentFault::OutsideFile { offset: p_offset, size: p_filesz, file: bytes.len() as u64 };
        let data = part(bytes, p_offset, p_filesz).ok_or(outside)?;
        if p_vaddr % PAGE_SIZE != p_offset % PAGE_SIZE {
            return Err(SegmentFault::Congruence { offset: p_offset });
        }
        let start = usize::try_from(p_offset).map_err(|_| outside)?;
        file = start..start.saturating_add(data.len());
    }
    if protection.write && protection.execute && !allow_write_execute {
        return Err(SegmentFault::WriteExecute);
    }
    Ok(Segment { index, address: p_vaddr, memory_size: p_memsz, protection, file, bytes: Arc::clone(bytes) })
}

/// The start of the page that holds `address`.
const fn page_down(address: u64) -> u64 {
    address & !(PAGE_SIZE - 1)
}
