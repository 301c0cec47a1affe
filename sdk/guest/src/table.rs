//! The tables of what is exported and imported. The linker collects them from every crate of the program.

use core::sync::atomic::{AtomicU32, Ordering};

use ampoule_kernel::call::TABLE_MAX_BYTES;
use ampoule_kernel::note::{BYTES_SIGNATURE, Shape};

use crate::attach::AttachError;
use crate::reply::Reply;

/// Why an export has no result.
#[derive(Debug)]
pub enum Failure {
    /// The arguments are not what the function takes.
    BadArguments,
    /// The result cannot be encoded.
    Result(postcard::Error),
}

/// An export: decodes the arguments, calls the function, encodes the result.
pub type Call = fn(&[u8], &mut Reply<'_>) -> Result<(), Failure>;

/// An entry of the table of exports.
#[derive(Debug)]
pub struct Export {
    name: &'static str,
    shape: Shape<'static>,
    pub(crate) call: Call,
}

impl Export {
    /// What `#[export]` makes.
    #[must_use]
    pub const fn new(name: &'static str, shape: Shape<'static>, call: Call) -> Self {
        Self { name, shape, call }
    }
}

/// An entry of the table of imports.
#[derive(Debug)]
pub struct Import {
    pub(crate) name: &'static str,
    shape: Shape<'static>,
    /// Its place in the table, or [`UNATTACHED`].
    ordinal: AtomicU32,
}

const UNATTACHED: u32 = u32::MAX;

impl Import {
    /// What `import!` makes.
    #[must_use]
    pub const fn new(name: &'static str, shape: Shape<'static>) -> Self {
        Self { name, shape, ordinal: AtomicU32::new(UNATTACHED) }
    }

    /// What the host knows it by; `None` where there is no host.
    #[must_use]
    #[inline]
    pub fn ordinal(&self) -> Option<u32> {
        let ordinal = self.ordinal.load(Ordering::Relaxed);
        (ordinal != UNATTACHED).then_some(ordinal)
    }
}

/// All exports of the program; the place in it is the ordinal.
#[linkme::distributed_slice]
pub static EXPORTS: [Export];

/// All imports of the program; the place in it is the ordinal.
#[linkme::distributed_slice]
pub static IMPORTS: [Import];

/// Gives the imports their ordinals: the host has agreed to the table.
pub(crate) fn number_imports() {
    for (import, ordinal) in IMPORTS.iter().zip(0..UNATTACHED) {
        import.ordinal.store(ordinal, Ordering::Relaxed);
    }
}

/// Writes the text that ATTACH takes.
pub(crate) fn write(to: &mut Reply<'_>) -> Result<(), AttachError> {
    write_lines(to, "export", EXPORTS.iter().map(|export| export.name))?;
    write_lines(to, "import", IMPORTS.iter().map(|import| import.name))?;
    let bytes = to.as_slice().len().saturating_add(to.missing());
    if to.missing() > 0 || bytes > TABLE_MAX_BYTES {
        return Err(AttachError::TableTooLong { bytes });
    }
    Ok(())
}

fn write_lines(
    to: &mut Reply<'_>,
    kind: &'static str,
    names: impl Iterator<Item = &'static str> + Clone,
) -> Result<(), AttachError> {
    for (place, name) in names.clone().enumerate() {
        if names.clone().take(place).any(|earlier| earlier == name) {
            return Err(AttachError::Duplicate { kind, name });
        }
        for part in [kind, " ", name, "\n"] {
            to.extend_from_slice(part.as_bytes());
        }
    }
    Ok(())
}

/// Writes both tables for a human.
pub(crate) fn describe(to: &mut Reply<'_>) {
    describe_functions(to, "exports", EXPORTS.iter().map(|export| (export.name, &export.shape)));
    describe_functions(to, "imports", IMPORTS.iter().map(|import| (import.name, &import.shape)));
}

fn describe_functions<'s>(
    to: &mut Reply<'_>,
    title: &str,
    functions: impl Iterator<Item = (&'static str, &'s Shape<'s>)>,
) {
    for (place, (name, shape)) in functions.enumerate() {
        if place == 0 {
            to.append_text(title);
            to.append_text("\n");
        }
        to.append_text("  ");
        to.append_text(name);
        match shape {
            Shape::Bytes => to.append_text(BYTES_SIGNATURE),
            Shape::Typed(signature) => {
                if let Some(room) = to.append(signature.write(&mut [])) {
                    signature.write(room);
                }
            }
        }
        to.append_text("\n");
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_one_line_for_each_function() {
        let mut text = Reply::new();
        write_lines(&mut text, "export", ["a", "b.c"].into_iter()).unwrap();
        write_lines(&mut text, "import", ["a"].into_iter()).unwrap();
        assert_eq!(text.as_slice(), b"export a\nexport b.c\nimport a\n");
    }

    #[test]
    fn two_functions_of_one_name_are_an_error() {
        let error = write_lines(&mut Reply::new(), "import", ["a", "b", "a"].into_iter()).unwrap_err();
        assert_eq!(error, AttachError::Duplicate { kind: "import", name: "a" });
    }
}
