//! Finding the notes: in the segments that a linker made for them, or in the section if it made none.
//!
//! A hostile file can claim any number of notes, overlapping each other and everything else, and claim the same gigabyte in every segment.
//! So the notes that are looked at are counted, whoever owns them; a note is known by where it starts, and counts once; and the texts
//! that are kept have a sum.
//!
//! ```text
//! name size │ description size │ type │ name, NUL ┊ pad │ description ┊ pad │ next note …
//! 4 bytes     4                  4      to a multiple of 4; or of 8, if the segment is aligned so
//! ```

use std::collections::btree_map::{BTreeMap, Entry};

use ampoule_kernel::call::ABI_MAJOR;
use ampoule_kernel::note::{EXPORT, IMPORT, NAME, SECTION, TEXT_MAX_BYTES, VERSION_BYTES};
use goblin::elf::program_header::{PT_NOTE, ProgramHeader};
use goblin::elf::section_header::SHT_NOBITS;

use super::FunctionKind;
use super::error::{AbiVersion, InterfaceError, NotePlace};
use crate::program::elf::part;
use crate::program::sections;

/// Notes looked at, of whatever owner. Programs have about four that are not Ampoule's.
const MAX_NOTES: usize = 1 << 16;

/// Bytes of all descriptions of Ampoule's notes: 256 for each of the most functions.
const MAX_DESCRIPTIONS_BYTES: u64 = 1 << 20;

/// Bytes of one of them.
const DESCRIPTION_MAX_BYTES: u64 = (VERSION_BYTES + TEXT_MAX_BYTES) as u64;

/// Bytes of a note before its name.
const HEADER_BYTES: u64 = 12;

/// A segment of notes, as its program header has it.
#[derive(Debug, Clone, Copy)]
pub(in crate::program) struct NoteSegment {
    index: usize,
    offset: u64,
    size: u64,
    alignment: u64,
}

impl NoteSegment {
    /// The segments of notes among all.
    pub(in crate::program) fn all(headers: &[ProgramHeader]) -> Vec<Self> {
        let notes = headers.iter().enumerate().filter(|(_, header)| header.p_type == PT_NOTE && header.p_filesz > 0);
        notes
            .map(|(index, header)| Self {
                index,
                offset: header.p_offset,
                size: header.p_filesz,
                alignment: header.p_align,
            })
            .collect()
    }
}

/// A note of Ampoule's that nobody has understood yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawNote<'a> {
    /// Where it starts in the file.
    pub(super) offset: u64,
    /// Its type.
    pub(super) kind: FunctionKind,
    description: &'a [u8],
}

impl<'a> RawNote<'a> {
    /// The version, which is one that is understood, and the text.
    pub(super) fn content(&self) -> Result<(AbiVersion, &'a str), InterfaceError> {
        let offset = self.offset;
        let Some((&[m0, m1, n0, n1], text)) = self.description.split_first_chunk::<VERSION_BYTES>() else {
            return Err(InterfaceError::NoVersion { offset, size: self.description.len() as u64 });
        };
        let version = AbiVersion { major: u16::from_le_bytes([m0, m1]), minor: u16::from_le_bytes([n0, n1]) };
        if version.major != ABI_MAJOR {
            return Err(InterfaceError::Version { offset, version, supported: ABI_MAJOR });
        }
        let text =
            str::from_utf8(text).map_err(|error| InterfaceError::NotUtf8 { offset, valid: error.valid_up_to() })?;
        Ok((version, text))
    }
}

/// All notes of Ampoule's, in the order of the file.
///
/// The section is for files whose segments tell nothing: made by a linker script without a segment for notes, or by a linker that puts
/// notes of both alignments into one, of which nobody can make sense.
pub(super) fn find<'a>(bytes: &'a [u8], segments: &[NoteSegment]) -> Result<Vec<RawNote<'a>>, InterfaceError> {
    let mut in_segments = Finder::new(bytes);
    let walked = segments.iter().try_for_each(|segment| {
        in_segments.walk(NotePlace::Segment(segment.index), segment.offset, segment.size, segment.alignment)
    });
    if walked.is_err() || in_segments.notes.is_empty() {
        let mut in_sections = Finder::new(bytes);
        for (index, section) in sections::named(bytes, SECTION) {
            if section.sh_type != SHT_NOBITS {
                let place = NotePlace::Section(index);
                in_sections.walk(place, section.sh_offset, section.sh_size, section.sh_addralign)?;
            }
        }
        if !in_sections.notes.is_empty() {
            return Ok(in_sections.notes.into_values().collect());
        }
    }
    walked.map(|()| in_segments.notes.into_values().collect())
}

struct Finder<'a> {
    bytes: &'a [u8],
    /// By where they start in the file.
    notes: BTreeMap<u64, RawNote<'a>>,
    looked_at: usize,
    /// What [`MAX_DESCRIPTIONS_BYTES`] leaves for further notes.
    left: u64,
}

impl<'a> Finder<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, notes: BTreeMap::new(), looked_at: 0, left: MAX_DESCRIPTIONS_BYTES }
    }

    /// Takes Ampoule's notes out of a segment or section.
    fn walk(&mut self, place: NotePlace, offset: u64, size: u64, alignment: u64) -> Result<(), InterfaceError> {
        let outside = InterfaceError::OutsideFile { place, offset, size, file: self.bytes.len() as u64 };
        let all = part(self.bytes, offset, size).ok_or(outside)?;
        let alignment = if alignment == 8 { 8 } else { 4 };
        // None of these sums can wrap: sizes in a note have 32 bits, and no file is longer than 1 GiB.
        let mut at = 0;
        while at < size {
            if self.looked_at == MAX_NOTES {
                return Err(InterfaceError::TooManyNotes { max: MAX_NOTES });
            }
            self.looked_at += 1;
            let start = offset + at;
            let left = size - at;
            let truncated = |needed| InterfaceError::Truncated { place, offset: start, needed, left };
            let words = part(all, at, HEADER_BYTES).ok_or_else(|| truncated(HEADER_BYTES))?;
            let (words, _) = words.as_chunks::<4>();
            let &[name_size, description_size, kind] = words else { return Err(truncated(HEADER_BYTES)) };
            let name_size = u64::from(u32::from_le_bytes(name_size));
            let description_size = u64::from(u32::from_le_bytes(description_size));
            let description_at = (at + HEADER_BYTES + name_size).next_multiple_of(alignment);
            let needed = description_at + description_size - at;
            let description = part(all, description_at, description_size).ok_or_else(|| truncated(needed))?;
            let kind = match u32::from_le_bytes(kind) {
                EXPORT => Some(FunctionKind::Export),
                IMPORT => Some(FunctionKind::Import),
                // Additions of later minor versions.
                _ => None,
            };
            let is_ours = part(all, at + HEADER_BYTES, name_size) == Some(&NAME);
            if let Some(kind) = kind.filter(|_| is_ours) {
                self.keep(RawNote { offset: start, kind, description })?;
            }
            at = (description_at + description_size).next_multiple_of(alignment);
        }
        Ok(())
    }

    /// Keeps the note, if it was not found before.
    fn keep(&mut self, note: RawNote<'a>) -> Result<(), InterfaceError> {
        if let Entry::Vacant(place) = self.notes.entry(note.offset) {
            let size = note.description.len() as u64;
            let most = self.left.min(DESCRIPTION_MAX_BYTES);
            if size > most {
                return Err(InterfaceError::Size { offset: note.offset, size, most });
            }
            self.left -= size;
            place.insert(note);
        }
        Ok(())
    }
}
