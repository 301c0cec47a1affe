//! A program: bytes that were checked once and cannot change any more.
//!
//! An ELF file is the first thing that an attacker controls, and whatever boots a guest takes its numbers at their
//! word. So the bytes are read once, into memory, and checked whole; a [`Program`] is the proof. It owns the bytes,
//! nothing in it can be set, and no check is repeated or left for later. It needs no KVM, can be shared between
//! threads, and costs a pointer to clone.
//!
//! ```text
//! path ── file ──▶ bytes ── elf ──▶ kind, program headers ── segments ──▶ Program ─┬ symbols (on first use) ──▶ names
//!         capped            for us? static?                  disjoint,            └ interface (on first use) ──▶ exports, imports
//!                                                            inside the user half
//! ```
//!
//! Sums are checked for wrap-around, counts are compared with the constants of [`Program`] before they are used, and no
//! unchecked length sizes an allocation.

mod elf;
mod error;
mod file;
mod interface;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod promises;
mod sections;
mod segments;
mod symbols;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::fmt;
#[cfg(feature = "backtrace")]
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use elf::{Elf, PROGRAM_HEADER_BYTES};
pub use error::{ElfField, ElfPart, ProgramError, SegmentFault};
use interface::NoteSegment;
pub(crate) use interface::unbounded;
pub use interface::{
    AbiVersion, Function, FunctionKind, Incompatibility, Incompatible, Interface, InterfaceError, NotePlace, Signature,
    SignatureError, SignatureFault,
};
pub use segments::{Protection, Segment};
pub use symbols::Symbol;
use symbols::Symbols;

/// How a program is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// For fixed addresses (`-static`).
    Static,
    /// Position-independent: it runs at any address and relocates itself (`-static-pie`).
    StaticPie,
}

/// A validated, immutable static Linux program for x86-64.
///
/// Cloning it copies a pointer. What makes a program acceptable:
/// - a 64-bit little-endian ELF file for x86-64 Linux, at most [`Self::MAX_FILE_BYTES`];
/// - statically linked: no interpreter, no shared libraries. A static-PIE is fine;
/// - at most [`Self::MAX_SEGMENTS`] segments that do not share pages and lie where Linux lets a program lie;
/// - no segment both writable and executable, unless [`ProgramOptions::allow_write_execute`] says so.
///
/// Whether its stack asks to be executable (`PT_GNU_STACK`) does not matter: no stack is.
///
/// ```
/// use ampoule::{Kind, Program};
///
/// // The smallest program, in 64-bit words: an ELF header, one program header, and `mov eax, 60; syscall`.
/// let elf: [u64; 16] = [
///     0x0001_0102_464c_457f, 0, 0x0000_0001_003e_0002, 0x40_0078, 64, 0, 0x0038_0040_0000_0000, 1,
///     0x0000_0005_0000_0001, 0, 0x40_0000, 0x40_0000, 128, 128, 0x1000, 0x9005_0f00_0000_3cb8,
/// ];
/// let program = Program::from_bytes(elf.map(u64::to_le_bytes).concat())?;
/// assert_eq!(program.kind(), Kind::Static);
/// assert_eq!(program.entry(), 0x40_0078);
/// # Ok::<(), ampoule::ProgramError>(())
/// ```
#[derive(Clone)]
pub struct Program(Arc<Inner>);

struct Inner {
    name: String,
    kind: Kind,
    entry: u64,
    headers: ProgramHeaders,
    segments: Vec<Segment>,
    alignment: u64,
    bytes: Arc<Vec<u8>>,
    symbols: OnceLock<Symbols>,
    notes: Vec<NoteSegment>,
    interface: OnceLock<Result<Interface, InterfaceError>>,
    memo: OnceLock<Box<dyn Any + Send + Sync>>,
    #[cfg(feature = "backtrace")]
    debug_memo: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// The program headers as the program itself finds them, through its auxiliary vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProgramHeaders {
    /// Where they are in memory, as linked; `None` if no segment loads all of them.
    pub(crate) address: Option<u64>,
    /// How many.
    pub(crate) count: u16,
    /// Bytes of one.
    pub(crate) entry_size: u16,
}

impl Program {
    /// Largest file, in bytes: 1 GiB. Programs with debug information reach a few hundred megabytes.
    pub const MAX_FILE_BYTES: u64 = 1 << 30;

    /// Most program headers. Linkers make about a dozen.
    pub const MAX_PROGRAM_HEADERS: u16 = 256;

    /// Most loadable segments. Linkers make two to five.
    pub const MAX_SEGMENTS: usize = 64;

    /// Largest alignment of a segment, in bytes: 1 GiB, the largest page that the processor has.
    pub const MAX_ALIGNMENT: u64 = 1 << 30;

    /// Reads and validates the program at `path`.
    ///
    /// The file is read once. It can be changed or removed afterwards.
    ///
    /// ```no_run
    /// let program = ampoule::Program::from_file("target/x86_64-unknown-linux-musl/release/plugin")?;
    /// assert_eq!(program.name(), "plugin");
    /// # Ok::<(), ampoule::ProgramError>(())
    /// ```
    ///
    /// # Errors
    /// [`ProgramError::Io`] if it cannot be read, [`ProgramError::NotAFile`] for a directory, a pipe or a device, and
    /// every other [`ProgramError`] if it is not a static program.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ProgramError> {
        Self::options().from_file(path)
    }

    /// Validates the program in `bytes`.
    ///
    /// ```
    /// let error = ampoule::Program::from_bytes(*b"#!/bin/sh\n").unwrap_err();
    /// assert!(error.to_string().starts_with("not an ELF file"));
    /// ```
    ///
    /// # Errors
    /// A [`ProgramError`] that says what is wrong, where, and what to do about it.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self, ProgramError> {
        Self::options().from_bytes(bytes)
    }

    /// Options to read a program with.
    #[must_use]
    pub fn options() -> ProgramOptions {
        ProgramOptions::default()
    }

    /// The file's name without its directories, or `program` if it came as bytes, unless [`ProgramOptions::name`] said otherwise.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Bytes of the file.
    #[must_use]
    pub fn file_size(&self) -> u64 {
        self.0.bytes.len() as u64
    }

    /// How it is linked.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Address of its first instruction, as linked. It is inside the data of an executable segment.
    #[must_use]
    pub fn entry(&self) -> u64 {
        self.0.entry
    }

    /// What is loaded, in ascending order of addresses. There is at least one segment, and no two share a page.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.0.segments
    }

    /// The function that covers `address` (as linked), the nearest one before it if several do.
    ///
    /// A function without a size reaches to the next one. `None` if the program was stripped, or for what is not code.
    /// The table is built by the first call, which takes some milliseconds for a program with many functions.
    #[must_use]
    pub fn symbol_at(&self, address: u64) -> Option<Symbol<'_>> {
        let symbols = self.0.symbols.get_or_init(|| Symbols::parse(&self.0.bytes, &self.0.segments));
        symbols.resolve(&self.0.bytes, address)
    }

    /// What it exports and imports, as its notes tell: read by the first call, without running anything.
    ///
    /// A program that knows nothing of Ampoule has an empty interface.
    ///
    /// ```no_run
    /// let program = ampoule::Program::from_file("plugin")?;
    /// for export in program.interface()?.exports() {
    ///     println!("{export}"); // score(name: string, n: u32) -> f64
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// An [`InterfaceError`] that says which note is wrong, where it stands, and what to do about it. The program can be run all the same.
    pub fn interface(&self) -> Result<&Interface, InterfaceError> {
        let interface = self.0.interface.get_or_init(|| Interface::read(&self.0.bytes, &self.0.notes));
        interface.as_ref().map_err(InterfaceError::clone)
    }

    /// Which value this is: the same for its clones, another for every other.
    pub(crate) fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// What whoever runs the program keeps with it, for as long as the program is there. There is one kind of it; another finds none.
    pub(crate) fn memo<V: Any + Send + Sync + Default>(&self) -> Option<&V> {
        self.0.memo.get_or_init(|| Box::new(V::default())).downcast_ref()
    }

    /// The same for whoever explains how it crashed: made by the first call.
    #[cfg(feature = "backtrace")]
    pub(crate) fn debug_memo<V: Any + Send + Sync>(&self, make: impl FnOnce(&Self) -> V) -> Option<&V> {
        self.0.debug_memo.get_or_init(|| Box::new(make(self))).downcast_ref()
    }

    /// The first section of this name that has bytes in the file: its address as linked, and where it lies.
    #[cfg(feature = "backtrace")]
    pub(crate) fn section(&self, name: &str) -> Option<(u64, Range<usize>)> {
        sections::bytes_of(&self.0.bytes, name)
    }

    /// The file.
    pub(crate) fn file(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The program headers, for the auxiliary vector.
    pub(crate) fn program_headers(&self) -> ProgramHeaders {
        self.0.headers
    }

    /// End of the last segment, as linked: where the heap may start, rounded up to a page.
    pub(crate) fn highest_address(&self) -> u64 {
        self.0.segments.last().map(Segment::end).unwrap_or_default()
    }

    /// A power of two, at least a page. A position-independent program is moved by a multiple of it.
    pub(crate) fn alignment(&self) -> u64 {
        self.0.alignment
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { name, kind, entry, segments, .. } = &*self.0;
        write!(f, "Program({name:?}, {kind:?}, entry {entry:#x}, {} segments)", segments.len())
    }
}

/// What else may be accepted as a [`Program`].
///
/// ```
/// use ampoule::Program;
///
/// let just_in_time = Program::options().allow_write_execute(true);
/// assert!(just_in_time.from_bytes(*b"still has to be a program").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProgramOptions {
    write_execute: bool,
    name: Option<String>,
}

impl ProgramOptions {
    /// Accepts segments that are writable and executable at once, as `ld -N` makes them. Refused by default: with one,
    /// any stray write becomes code.
    #[must_use]
    pub fn allow_write_execute(mut self, allow: bool) -> Self {
        self.write_execute = allow;
        self
    }

    /// What the program is called, in reports and as its own argument zero. Unless said otherwise it is the file's name, or `program` if it
    /// comes as bytes.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Reads and validates the program at `path`, as [`Program::from_file`] does.
    ///
    /// # Errors
    /// As [`Program::from_file`].
    pub fn from_file(self, path: impl AsRef<Path>) -> Result<Program, ProgramError> {
        let path = path.as_ref();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        self.validate(name, file::read(path)?)
    }

    /// Validates the program in `bytes`, as [`Program::from_bytes`] does.
    ///
    /// # Errors
    /// As [`Program::from_bytes`].
    pub fn from_bytes(self, bytes: impl Into<Vec<u8>>) -> Result<Program, ProgramError> {
        self.validate(None, bytes.into())
    }

    fn validate(self, name: Option<String>, bytes: Vec<u8>) -> Result<Program, ProgramError> {
        file::check_size(bytes.len() as u64, Program::MAX_FILE_BYTES)?;
        let Elf { kind, entry, headers_offset, headers_count, headers } = Elf::parse(&bytes)?;
        let bytes = Arc::new(bytes);
        let (segments, alignment) = segments::check(&bytes, &headers, kind, self.write_execute)?;
        let starts_in = |segment: &Segment| {
            let inside = entry.checked_sub(segment.address());
            segment.protection().execute && inside.is_some_and(|inside| inside < segment.data().len() as u64)
        };
        if !segments.iter().any(starts_in) {
            return Err(ProgramError::Entry { address: entry });
        }
        let notes = NoteSegment::all(&headers);
        // Only what is loaded counts, as for Linux: PT_PHDR may claim any address.
        let size = u64::from(headers_count) * u64::from(PROGRAM_HEADER_BYTES);
        let headers = ProgramHeaders {
            address: segments.iter().find_map(|segment| segment.address_of(headers_offset, size)),
            count: headers_count,
            entry_size: PROGRAM_HEADER_BYTES,
        };
        let name = self.name.or(name).unwrap_or_else(|| "program".to_owned());
        Ok(Program(Arc::new(Inner {
            name,
            kind,
            entry,
            headers,
            segments,
            alignment,
            bytes,
            symbols: OnceLock::new(),
            notes,
            interface: OnceLock::new(),
            memo: OnceLock::new(),
            #[cfg(feature = "backtrace")]
            debug_memo: OnceLock::new(),
        })))
    }
}
