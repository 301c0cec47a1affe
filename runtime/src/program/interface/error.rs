//! Why an interface cannot be read: which note, where it stands in the file, and what to do about it.
//!
//! Everything here comes from a hostile file. What is shown of it is numbers, and names that were found to be graphic ASCII: a message can
//! be logged or shown on a terminal as it is.

use std::fmt;

use super::FunctionKind;

/// Why the interface notes of a [`Program`](crate::Program) cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InterfaceError {
    /// A segment or section of notes is not all in the file.
    #[error(
        "{place} takes {size:#x} bytes at {offset:#x} of a file of {file:#x}: it was cut short, copy or build it again"
    )]
    OutsideFile {
        /// What should hold the notes.
        place: NotePlace,
        /// Where its bytes should start.
        offset: u64,
        /// How many there should be.
        size: u64,
        /// Bytes in the file.
        file: u64,
    },
    /// A note ends after the segment or section that it stands in.
    #[error(
        "the note at {offset:#x} of the file needs {needed} bytes, {place} has {left} left: notes follow each other \
         at multiples of 4 bytes, which in C takes `__attribute__((aligned(4)))` on each"
    )]
    Truncated {
        /// What holds the note.
        place: NotePlace,
        /// Where the note starts in the file.
        offset: u64,
        /// Bytes that the note says it has.
        needed: u64,
        /// Bytes from there to the end.
        left: u64,
    },
    /// More notes, of whatever owner, than any linker makes.
    #[error("more than {max} notes: link without a custom linker script")]
    TooManyNotes {
        /// The most that are looked at.
        max: usize,
    },
    /// More functions than an interface can have.
    #[error("more than {max} exports and imports: give several operations one function with an enum as its parameter")]
    TooManyFunctions {
        /// [`Interface::MAX_FUNCTIONS`](super::Interface::MAX_FUNCTIONS).
        max: usize,
    },
    /// A note that is too long, by itself or together with those before it.
    #[error(
        "the note at {offset:#x} of the file has {size} bytes, {most} are allowed there: make its signature shorter, \
         with fewer and flatter types"
    )]
    Size {
        /// Where the note starts in the file.
        offset: u64,
        /// Bytes of its description.
        size: u64,
        /// The most that this one may have, after those that were read before it.
        most: u64,
    },
    /// A note without a version.
    #[error(
        "the note at {offset:#x} of the file has {size} bytes, no version: build the program with Ampoule's guest SDK"
    )]
    NoVersion {
        /// Where the note starts in the file.
        offset: u64,
        /// Bytes of its description.
        size: u64,
    },
    /// Built for another major version of the ABI.
    #[error(
        "the note at {offset:#x} of the file is of ABI {version}, this host reads {supported}.x: build the program \
         with the guest SDK of this host's version"
    )]
    Version {
        /// Where the note starts in the file.
        offset: u64,
        /// The note's version.
        version: AbiVersion,
        /// The major version that is read.
        supported: u16,
    },
    /// A text that is not UTF-8.
    #[error("the note at {offset:#x} of the file is not UTF-8 after {valid} bytes of text: write it in UTF-8")]
    NotUtf8 {
        /// Where the note starts in the file.
        offset: u64,
        /// Bytes of text that are UTF-8.
        valid: usize,
    },
    /// A function that cannot have its name.
    #[error(
        "the note at {offset:#x} of the file has no function's name: 1 to {max} graphic ASCII characters, then a \
         signature in parentheses"
    )]
    Name {
        /// Where the note starts in the file.
        offset: u64,
        /// Most bytes of a name.
        max: usize,
    },
    /// A signature that is none.
    #[error("the signature of {kind} {name} is wrong {error}")]
    Signature {
        /// Which kind of function.
        kind: FunctionKind,
        /// Its name.
        name: String,
        /// What is wrong, and where.
        error: SignatureError,
    },
    /// Two exports, or two imports, with one name.
    #[error("{kind} {name} is there twice: declare it in one place, or give one of the two another name")]
    Duplicate {
        /// Which kind of function.
        kind: FunctionKind,
        /// The name.
        name: String,
    },
}

/// What notes stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotePlace {
    /// The segment with this number in `readelf -l`, from 0.
    Segment(usize),
    /// The section with this number in `readelf -S`, from 0.
    Section(usize),
}

impl fmt::Display for NotePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(index) => write!(f, "note segment {index}"),
            Self::Section(index) => write!(f, "note section {index}"),
        }
    }
}

/// A version of Ampoule's ABI for guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AbiVersion {
    /// Versions with another major number do not understand each other.
    pub major: u16,
    /// Grows with additions that older hosts can ignore.
    pub minor: u16,
}

impl fmt::Display for AbiVersion {
    /// `1.0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Why a text is not a [`Signature`](super::Signature).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {fault}")]
pub struct SignatureError {
    /// Bytes of the signature before what is wrong.
    pub at: usize,
    /// What is wrong there.
    pub fault: SignatureFault,
}

/// What is wrong with the text of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureFault {
    /// Something else has to stand here.
    #[error("{0} should stand here")]
    Expected(&'static str),
    /// A word that is no type.
    #[error(
        "there is no such type; there are bool, u8 to u128, i8 to i128, f32, f64, char, string, (), option<T>, \
         result<T, E>, map<K, V>, [T], [T; count], (T, …), {{field: T, …}} and enum{{Variant, …}}; bytes only as \
         (bytes) -> bytes"
    )]
    UnknownType,
    /// The name of a parameter, field or variant that is empty, or not printable.
    #[error("a name should stand here, of printable characters without spaces, quotes and any of ()[]{{}}<>,:;")]
    Name,
    /// The length of an array that is none.
    #[error("an array's length should stand here, in decimal digits and at most 18446744073709551615")]
    Length,
    /// Types inside types inside types.
    #[error("types nest deeper than {max}: make them flatter")]
    TooDeep {
        /// The most that are read.
        max: usize,
    },
    /// More text than is read.
    #[error("the text goes on for more than {max} bytes: make it shorter, with fewer and flatter types")]
    TooLong {
        /// The most that are read.
        max: usize,
    },
}
