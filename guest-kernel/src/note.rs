//! The interface note: what a guest exports and imports, in an ELF note that can be read without running anything.
//!
//! One note for each function, in section [`SECTION`], which linkers collect into a `PT_NOTE` segment (System V gABI, "Note Section").
//!
//! ```text
//! name         "Ampoule", NUL (8 bytes)
//! type         1: an export, 2: an import
//! description  ABI major (u16), ABI minor (u16), then text: score(name: string, n: u32) -> f64
//! ```
//! The text is that of [`schema`](crate::schema). A function that takes and returns bytes as they are has the text `name(bytes) -> bytes`.

use crate::call::{ABI_MAJOR, ABI_MINOR};
use crate::schema::Signature;

/// The section that holds the notes.
pub const SECTION: &str = ".note.ampoule";
/// The name in each note.
pub const NAME: [u8; 8] = *b"Ampoule\0";
/// The note's type for a function that the guest offers.
pub const EXPORT: u32 = 1;
/// The note's type for a function that the guest calls.
pub const IMPORT: u32 = 2;
/// Bytes before the text.
pub const VERSION_BYTES: usize = 4;
/// The signature of a function that takes and returns bytes as they are.
pub const BYTES_SIGNATURE: &str = "(bytes) -> bytes";
/// Longest text that a host reads.
pub const TEXT_MAX_BYTES: usize = 64 << 10;

/// One note, as it lies in its section. `N` is [`description_bytes`] rounded up to 4.
#[derive(Debug)]
#[repr(C, align(4))]
pub struct Note<const N: usize> {
    name_size: u32,
    description_size: u32,
    kind: u32,
    name: [u8; 8],
    description: [u8; N],
}

/// What a note says about a function's shape.
#[derive(Debug, Clone, Copy)]
pub enum Shape<'a> {
    /// Typed.
    Typed(&'a Signature),
    /// Bytes in, bytes out.
    Bytes,
}

/// Bytes of the description, padding included.
#[must_use]
pub const fn description_bytes(name: &str, shape: &Shape<'_>) -> usize {
    (VERSION_BYTES + write(name, shape, &mut [])).next_multiple_of(4)
}

impl<const N: usize> Note<N> {
    /// The note of one function. `kind` is [`EXPORT`] or [`IMPORT`].
    ///
    /// # Panics
    /// At compile time, if `N` is too small, or the name is none.
    #[must_use]
    pub const fn new(kind: u32, name: &str, shape: &Shape<'_>) -> Self {
        assert!(
            crate::call::is_name(name.as_bytes()),
            "a function's name is 1 to 255 graphic ASCII characters, without ( and )"
        );
        let mut description = [0; N];
        let [major, major_high] = ABI_MAJOR.to_le_bytes();
        let [minor, minor_high] = ABI_MINOR.to_le_bytes();
        assert!(N >= VERSION_BYTES, "N is what description_bytes says");
        let (version, text) = description.split_at_mut(VERSION_BYTES);
        version.copy_from_slice(&[major, major_high, minor, minor_high]);
        let length = write(name, shape, text);
        assert!(length <= text.len() && length <= TEXT_MAX_BYTES, "N is what description_bytes says");
        #[expect(clippy::cast_possible_truncation, reason = "at most TEXT_MAX_BYTES more")]
        let description_size = (VERSION_BYTES + length) as u32;
        Self { name_size: 8, description_size, kind, name: NAME, description }
    }
}

const fn write(name: &str, shape: &Shape<'_>, to: &mut [u8]) -> usize {
    let name = name.as_bytes();
    let room = if to.len() < name.len() { to.len() } else { name.len() };
    let (head, tail) = to.split_at_mut(room);
    head.copy_from_slice(name.split_at(room).0);
    name.len()
        + match shape {
            Shape::Typed(signature) => signature.write(tail),
            Shape::Bytes => {
                let text = BYTES_SIGNATURE.as_bytes();
                let room = if tail.len() < text.len() { tail.len() } else { text.len() };
                tail.split_at_mut(room).0.copy_from_slice(text.split_at(room).0);
                text.len()
            }
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Field, Schema};

    const SIGNATURE: Signature = Signature {
        parameters: &[Field { name: "name", ty: <&str>::TYPE }, Field { name: "n", ty: u32::TYPE }],
        result: f64::TYPE,
    };
    const SHAPE: Shape<'_> = Shape::Typed(&SIGNATURE);
    static NOTE: Note<{ description_bytes("score", &SHAPE) }> = Note::new(EXPORT, "score", &SHAPE);

    #[test]
    fn a_note_is_what_an_elf_reader_expects() {
        assert_eq!((NOTE.name_size, NOTE.kind, &NOTE.name), (8, 1, b"Ampoule\0"));
        let text = b"score(name: string, n: u32) -> f64";
        assert_eq!(NOTE.description_size as usize, VERSION_BYTES + text.len());
        assert_eq!(NOTE.description[..4], [1, 0, 0, 0]);
        assert_eq!(&NOTE.description[4..4 + text.len()], text);
        assert!(
            NOTE.description[4 + text.len()..].iter().all(|&byte| byte == 0)
                && NOTE.description.len().is_multiple_of(4)
        );
    }

    #[test]
    fn bytes_have_a_signature_of_their_own() {
        const NOTE: Note<{ description_bytes("raw", &Shape::Bytes) }> = Note::new(IMPORT, "raw", &Shape::Bytes);
        assert_eq!(&NOTE.description[4..], b"raw(bytes) -> bytes\0");
    }
}
