//! Section headers: hints that a linker left, of which nothing that runs depends.
//!
//! A hostile file can say anything here, so what makes no sense is as good as absent.

use std::ffi::CStr;
#[cfg(feature = "backtrace")]
use std::ops::Range;

use goblin::elf::section_header::SectionHeader;
#[cfg(feature = "backtrace")]
use goblin::elf::section_header::{SHF_COMPRESSED, SHT_NOBITS};
use goblin::elf64::header::Header;
use goblin::elf64::section_header::SIZEOF_SHDR;

use super::elf::{ELF64, part};

/// The section headers, at most as many as 16 bits count.
pub(super) fn all(bytes: &[u8]) -> Vec<SectionHeader> {
    Header::parse(bytes).ok().and_then(|header| table(bytes, &header)).unwrap_or_default()
}

/// The sections of this name, with their numbers.
pub(super) fn named(bytes: &[u8], name: &str) -> Vec<(usize, SectionHeader)> {
    let Ok(header) = Header::parse(bytes) else { return Vec::new() };
    let sections = table(bytes, &header).unwrap_or_default();
    let names = sections.get(usize::from(header.e_shstrndx));
    let names = names.and_then(|names| part(bytes, names.sh_offset, names.sh_size)).unwrap_or_default();
    let has_name = |section: &SectionHeader| {
        let rest = names.get(section.sh_name..).and_then(|rest| rest.get(..=name.len())).unwrap_or_default();
        CStr::from_bytes_with_nul(rest).is_ok_and(|found| found.to_bytes() == name.as_bytes())
    };
    sections.into_iter().enumerate().filter(|(_, section)| has_name(section)).collect()
}

/// The first section of this name that has bytes in the file, and has them as they are: its address, and where it lies.
#[cfg(feature = "backtrace")]
pub(super) fn bytes_of(bytes: &[u8], name: &str) -> Option<(u64, Range<usize>)> {
    let is_plain =
        |section: &SectionHeader| section.sh_type != SHT_NOBITS && section.sh_flags & u64::from(SHF_COMPRESSED) == 0;
    let (_, section) = named(bytes, name).into_iter().find(|(_, section)| is_plain(section))?;
    let start = usize::try_from(section.sh_offset).ok()?;
    let length = part(bytes, section.sh_offset, section.sh_size)?.len();
    Some((section.sh_addr, start..start.checked_add(length)?))
}

fn table(bytes: &[u8], header: &Header) -> Option<Vec<SectionHeader>> {
    if usize::from(header.e_shentsize) != SIZEOF_SHDR {
        return None;
    }
    let count = usize::from(header.e_shnum);
    let table = part(bytes, header.e_shoff, (count * SIZEOF_SHDR) as u64).filter(|table| !table.is_empty())?;
    SectionHeader::parse_from(table, 0, count, ELF64).ok()
}
