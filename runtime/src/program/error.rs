//! Why a file is not a program that Ampoule runs: what was found, where it stands, and what to do about it.
//!
//! Each value in a variant comes from a hostile file, so every one is a number that was read, never text: a message can
//! be logged or shown on a terminal as it is. Segments are named by their number in `readelf -l`, counted from 0.

use std::fmt;
use std::fs::FileType;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

/// The three ways in which a dynamic program is usually made static.
macro_rules! link_statically {
    () => {
        "link it statically: `-static` or `-static-pie` (C, C++), `-C target-feature=+crt-static` (Rust), \
         `CGO_ENABLED=0` (Go)"
    };
}

/// Why bytes or a file did not become a [`Program`](super::Program).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// The file could not be opened or read.
    #[error("cannot read {path:?}: {source}")]
    Io {
        /// The path as it was given.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The path names a directory, a pipe, a socket or a device. None of them has a size that could be checked first.
    #[error("{path:?} is {}: give a regular file, or read it yourself and use `Program::from_bytes`", describe(.found))]
    NotAFile {
        /// The path as it was given.
        path: PathBuf,
        /// What it names.
        found: FileType,
    },
    /// There are more bytes than a program may have.
    #[error("the program has {size} bytes or more, {max} are allowed: strip its debug information")]
    TooLarge {
        /// Bytes that are there at least.
        size: u64,
        /// [`Program::MAX_FILE_BYTES`](super::Program::MAX_FILE_BYTES).
        max: u64,
    },
    /// The bytes do not start as an ELF file does.
    #[error(
        "not an ELF file: it starts with {start:02x?}, not with 7f 45 4c 46 \
         (a script needs its interpreter as the program)"
    )]
    NotElf {
        /// The first four bytes; zero where the file has none.
        start: [u8; 4],
    },
    /// The file ends before something that it says it has.
    #[error(
        "the file ends after {size} bytes, its {what} would need {needed}: it was cut short, copy or build it again"
    )]
    Truncated {
        /// What is cut off.
        what: ElfPart,
        /// Bytes in the file.
        size: u64,
        /// Bytes needed; `u64::MAX` if the end is beyond what 64 bits can count.
        needed: u64,
    },
    /// An ELF file, but not one for 64-bit Linux on x86-64, or not a program.
    #[error("ELF {field} {found} is not supported: {}", field.advice(*.found))]
    Unsupported {
        /// The header field that tells.
        field: ElfField,
        /// Its value.
        found: u32,
    },
    /// The program asks for a dynamic loader (`PT_INTERP`).
    #[error("the program is dynamically linked (program header {index} names an interpreter): {}", link_statically!())]
    NeedsInterpreter {
        /// Number of the program header.
        index: usize,
    },
    /// The program needs shared libraries (`DT_NEEDED`).
    #[error("the program needs {count} shared libraries: {}", link_statically!())]
    NeedsLibraries {
        /// How many its dynamic table lists.
        count: usize,
    },
    /// A position-independent file that no linker marked as a program.
    #[error("a shared library is not a program (no DF_1_PIE, no DT_DEBUG): {}", link_statically!())]
    SharedLibrary,
    /// More program headers than any linker makes.
    #[error("{count} program headers, {max} are allowed: link without a custom linker script")]
    TooManyProgramHeaders {
        /// As the file says; 65,535 announces that the real count stands elsewhere (`PN_XNUM`).
        count: u16,
        /// [`Program::MAX_PROGRAM_HEADERS`](super::Program::MAX_PROGRAM_HEADERS).
        max: u16,
    },
    /// More loadable segments than any linker makes.
    #[error("more than {max} loadable segments: link without a custom linker script")]
    TooManySegments {
        /// [`Program::MAX_SEGMENTS`](super::Program::MAX_SEGMENTS).
        max: usize,
    },
    /// Nothing to load.
    #[error("no loadable segment: this is not a linked program, or a tool has emptied it")]
    NoSegments,
    /// A segment that cannot be loaded.
    #[error("segment {index} ({address:#x}+{size:#x}) {fault}")]
    Segment {
        /// Number of its program header.
        index: usize,
        /// Its address (`p_vaddr`).
        address: u64,
        /// Bytes in memory (`p_memsz`).
        size: u64,
        /// What is wrong with it.
        fault: SegmentFault,
    },
    /// Two segments need the same page.
    #[error(
        "segment {index} ({address:#x}+{size:#x}) shares a page with segment {other} ({other_address:#x}\
         +{other_size:#x}): link with `-z max-page-size=4096`, or with one text and one data segment"
    )]
    Overlap {
        /// Number of the program header with the higher address.
        index: usize,
        /// Its address.
        address: u64,
        /// Bytes in memory.
        size: u64,
        /// Number of the program header with the lower address.
        other: usize,
        /// Its address.
        other_address: u64,
        /// Bytes in memory.
        other_size: u64,
    },
    /// The segments together take more memory than a sandbox can have.
    #[error("the program takes {size:#x} bytes of memory, {max:#x} are allowed: make its static arrays smaller")]
    ImageTooLarge {
        /// Bytes in whole pages; for a position-independent program from its first to its last.
        size: u64,
        /// The most that a sandbox can have.
        max: u64,
    },
    /// The first instruction is not one that the file holds.
    #[error(
        "entry point {address:#x} is not in the file bytes of an executable segment: link with `-e _start`, and run \
         the program, not its separate debug file"
    )]
    Entry {
        /// The entry point (`e_entry`).
        address: u64,
    },
}

/// What is wrong with one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentFault {
    /// Its bytes are not all in the file.
    #[error("takes {size:#x} bytes at {offset:#x} of a file of {file:#x}: it was cut short, copy or build it again")]
    OutsideFile {
        /// Where its bytes should start (`p_offset`).
        offset: u64,
        /// How many there should be (`p_filesz`).
        size: u64,
        /// Bytes in the file.
        file: u64,
    },
    /// More bytes in the file than in memory.
    #[error("has {size:#x} bytes in the file, more than in memory: build it again")]
    Sizes {
        /// Bytes in the file (`p_filesz`).
        size: u64,
    },
    /// Not a power of two, or too large to honour.
    #[error("has alignment {alignment:#x}, not a power of two up to {max:#x}: link with `-z max-page-size=4096`")]
    Alignment {
        /// The alignment (`p_align`).
        alignment: u64,
        /// [`Program::MAX_ALIGNMENT`](super::Program::MAX_ALIGNMENT).
        max: u64,
    },
    /// Its address and its place in the file differ in their offset into a page: no system can map such a file.
    #[error(
        "lies at {offset:#x} in the file, which has another offset into its page than the address: link without `-n`"
    )]
    Congruence {
        /// Where its bytes start (`p_offset`).
        offset: u64,
    },
    /// Not wholly inside the addresses that a program may use, or its end is beyond what 64 bits can count.
    #[error("is not inside {start:#x}..{end:#x}: link it at the usual 0x400000, or with `-static-pie`")]
    OutsideMemory {
        /// First address allowed.
        start: u64,
        /// First address no longer allowed.
        end: u64,
    },
    /// Both writable and executable.
    #[error("is writable and executable: link without `-N`, or allow it with `ProgramOptions::allow_write_execute`")]
    WriteExecute,
}

/// A part of the file that can be cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ElfPart {
    /// The ELF header, the first 64 bytes.
    Header,
    /// The program headers.
    ProgramHeaders,
    /// The dynamic table (`PT_DYNAMIC`).
    Dynamic,
}

impl fmt::Display for ElfPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "ELF header",
            Self::ProgramHeaders => "program headers",
            Self::Dynamic => "dynamic table",
        })
    }
}

/// A field of the ELF header that tells whom a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ElfField {
    /// 32 or 64 bits (`EI_CLASS`).
    Class,
    /// Little or big endian (`EI_DATA`).
    ByteOrder,
    /// Version of the format (`EI_VERSION`, `e_version`).
    Version,
    /// The operating system (`EI_OSABI`).
    OsAbi,
    /// The processor (`e_machine`).
    Machine,
    /// Program, library, object or core dump (`e_type`).
    Type,
    /// Bytes of one program header (`e_phentsize`).
    ProgramHeaderSize,
}

impl ElfField {
    fn advice(self, found: u32) -> &'static str {
        match (self, found) {
            (Self::Class, _) => "build for 64 bits (class 2), without -m32 or -mx32",
            (Self::ByteOrder, _) => "build for a little-endian machine (1)",
            (Self::Version, _) => "there is no version but 1",
            (Self::OsAbi, _) => "build for Linux (System V, 0, or GNU/Linux, 3)",
            (Self::Machine, _) => "build for x86-64 (62)",
            (Self::Type, 1) => "an object file has to be linked first",
            (Self::Type, 4) => "a core dump cannot run, give the program that left it",
            (Self::Type, _) => "give a static program (2) or a static-PIE (3)",
            (Self::ProgramHeaderSize, _) => "there is no size but 56",
        }
    }
}

impl fmt::Display for ElfField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Class => "class",
            Self::ByteOrder => "byte order",
            Self::Version => "version",
            Self::OsAbi => "OS ABI",
            Self::Machine => "machine",
            Self::Type => "type",
            Self::ProgramHeaderSize => "program header size",
        })
    }
}

fn describe(found: &FileType) -> &'static str {
    match found {
        found if found.is_dir() => "a directory",
        found if found.is_fifo() => "a pipe",
        found if found.is_socket() => "a socket",
        _ => "a device",
    }
}
