//! What an ELF file says about itself: for whom it is, whether it is a program, and its program headers.
//!
//! Only the tables that Linux reads at `execve` are read here, each bounded before it is touched. Goblin decodes the
//! single structures; its parser for whole files is not used, because it follows section headers, which a program does
//! not need and an attacker can fill with anything.
//!
//! ```text
//! 0        64            e_phoff
//! ├ header ┤  …          ├ program headers ┤  …   bytes of PT_LOAD, PT_DYNAMIC …   section headers (sections.rs)
//! ```

use goblin::container::{Container, Ctx};
use goblin::elf::dynamic::{DF_1_PIE, DT_DEBUG, DT_FLAGS_1, DT_NEEDED, DT_NULL};
use goblin::elf::header::{
    EI_CLASS, EI_DATA, EI_OSABI, EI_VERSION, ELFCLASS64, ELFDATA2LSB, ELFMAG, ELFOSABI_LINUX, ELFOSABI_NONE, EM_X86_64,
    ET_DYN, ET_EXEC, EV_CURRENT, SELFMAG,
};
use goblin::elf::program_header::{PT_DYNAMIC, PT_INTERP, ProgramHeader};
use goblin::elf64::header::{Header, SIZEOF_EHDR};
use goblin::elf64::program_header::SIZEOF_PHDR;
use goblin::error::Error as Undecoded;
use goblin::{container, elf64};

use super::error::{ElfField, ElfPart, ProgramError};
use super::{Kind, Program};

/// Dynamic tables have a few dozen entries. What stands beyond this many is not looked at.
const MAX_DYNAMIC_ENTRIES: usize = 4096;

/// Bytes of one dynamic entry: a tag and a value.
const DYNAMIC_ENTRY_BYTES: usize = elf64::dynamic::SIZEOF_DYN;

/// Bytes of one program header.
pub(super) const PROGRAM_HEADER_BYTES: u16 = 56;

const _: () = assert!(PROGRAM_HEADER_BYTES as usize == SIZEOF_PHDR, "see PROGRAM_HEADER_BYTES");

/// How goblin is told that a structure is 64-bit little-endian.
pub(super) const ELF64: Ctx = Ctx { container: Container::Big, le: container::Endian::Little };

/// An ELF header that is for us, with its program headers.
pub(super) struct Elf {
    pub(super) kind: Kind,
    pub(super) entry: u64,
    /// File offset of the program headers.
    pub(super) headers_offset: u64,
    /// How many there are, at most [`Program::MAX_PROGRAM_HEADERS`].
    pub(super) headers_count: u16,
    pub(super) headers: Vec<ProgramHeader>,
}

impl Elf {
    /// Reads the header and program headers of a static program.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ProgramError> {
        let header = header(bytes)?;
        if header.e_phnum > Program::MAX_PROGRAM_HEADERS {
            return Err(ProgramError::TooManyProgramHeaders {
                count: header.e_phnum,
                max: Program::MAX_PROGRAM_HEADERS,
            });
        }
        let size = u64::from(header.e_phnum) * u64::from(PROGRAM_HEADER_BYTES);
        let table = part(bytes, header.e_phoff, size);
        let headers = table.and_then(|table| ProgramHeader::parse(table, 0, usize::from(header.e_phnum), ELF64).ok());
        let headers = headers.ok_or_else(|| truncated(ElfPart::ProgramHeaders, bytes, header.e_phoff, size))?;
        Ok(Self {
            kind: kind(bytes, &header, &headers)?,
            entry: header.e_entry,
            headers_offset: header.e_phoff,
            headers_count: header.e_phnum,
            headers,
        })
    }
}

/// The bytes at `offset`, if the file has all of them.
pub(super) fn part(bytes: &[u8], offset: u64, size: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    bytes.get(start..end)
}

/// The ELF header, if it is one for 64-bit Linux on x86-64.
fn header(bytes: &[u8]) -> Result<Header, ProgramError> {
    if !bytes.starts_with(ELFMAG) {
        let mut start = [0; SELFMAG];
        start.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        return Err(ProgramError::NotElf { start });
    }
    let cut = |_: Undecoded| truncated(ElfPart::Header, bytes, 0, SIZEOF_EHDR as u64);
    let ident = |at: usize| bytes.get(at).copied().unwrap_or_default();
    // Class and byte order come first: they say how the rest is to be read.
    for (at, field, wanted) in [
        (EI_CLASS, ElfField::Class, ELFCLASS64),
        (EI_DATA, ElfField::ByteOrder, ELFDATA2LSB),
        (EI_VERSION, ElfField::Version, EV_CURRENT),
    ] {
        if bytes.len() > at && ident(at) != wanted {
            return Err(ProgramError::Unsupported { field, found: ident(at).into() });
        }
    }
    let header = Header::parse(bytes).map_err(cut)?;
    let os_abi = ident(EI_OSABI);
    for (supported, field, found) in [
        (header.e_version == u32::from(EV_CURRENT), ElfField::Version, header.e_version),
        ([ELFOSABI_NONE, ELFOSABI_LINUX].contains(&os_abi), ElfField::OsAbi, os_abi.into()),
        (header.e_machine == EM_X86_64, ElfField::Machine, header.e_machine.into()),
        ([ET_EXEC, ET_DYN].contains(&header.e_type), ElfField::Type, header.e_type.into()),
        (header.e_phentsize == PROGRAM_HEADER_BYTES, ElfField::ProgramHeaderSize, header.e_phentsize.into()),
    ] {
        if !supported {
            return Err(ProgramError::Unsupported { field, found });
        }
    }
    Ok(header)
}

/// Static, or static and position-independent; anything that needs a loader is refused.
///
/// A static-PIE and a shared library are both `ET_DYN` without an interpreter. The linker tells them apart by
/// `DF_1_PIE`; linkers too old for that flag still reserve `DT_DEBUG`, the debugger's slot, in programs only. A file
/// without any dynamic table cannot be a library, for nothing could be looked up in it.
fn kind(bytes: &[u8], header: &Header, headers: &[ProgramHeader]) -> Result<Kind, ProgramError> {
    if let Some(index) = headers.iter().position(|header| header.p_type == PT_INTERP) {
        return Err(ProgramError::NeedsInterpreter { index });
    }
    let mut libraries = 0_usize;
    let (mut dynamic, mut program) = (false, false);
    for header in headers.iter().filter(|header| header.p_type == PT_DYNAMIC) {
        let table = part(bytes, header.p_offset, header.p_filesz)
            .ok_or_else(|| truncated(ElfPart::Dynamic, bytes, header.p_offset, header.p_filesz))?;
        dynamic = true;
        for (tag, value) in dynamic_entries(table) {
            match tag {
                DT_NEEDED => libraries = libraries.saturating_add(1),
                DT_FLAGS_1 => program |= value & DF_1_PIE != 0,
                DT_DEBUG => program = true,
                _ => {}
            }
        }
    }
    match header.e_type {
        _ if libraries > 0 => Err(ProgramError::NeedsLibraries { count: libraries }),
        ET_EXEC => Ok(Kind::Static),
        _ if dynamic && !program => Err(ProgramError::SharedLibrary),
        _ => Ok(Kind::StaticPie),
    }
}

/// Tags and values up to `DT_NULL`.
fn dynamic_entries(table: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    let (words, _) = table.as_chunks::<8>();
    let (entries, _) = words.as_chunks::<{ DYNAMIC_ENTRY_BYTES / 8 }>();
    entries
        .iter()
        .map(|&[tag, value]| (u64::from_le_bytes(tag), u64::from_le_bytes(value)))
        .take_while(|&(tag, _)| tag != DT_NULL)
        .take(MAX_DYNAMIC_ENTRIES)
}

fn truncated(what: ElfPart, bytes: &[u8], offset: u64, size: u64) -> ProgramError {
    ProgramError::Truncated { what, size: bytes.len() as u64, needed: offset.saturating_add(size) }
}
