//! What a program offers to its host and needs from it, read from its notes without running it.
//!
//! A guest that knows about Ampoule carries a note for each function that it exports or imports ([`ampoule_kernel::note`]). The notes are
//! hints for people and for a check before the first call: what a guest really does is checked again when it is called. They are read on
//! first use, and as strictly as the rest of the file: what is not understood is an error, never left out.
//!
//! ```text
//! Program ── note ──▶ raw notes ── grammar ──▶ Interface ── replace ──▶ may it take an older one's place?
//!            find,    owner        text to       │
//!            cap      Ampoule      Signature     └──▶ compared with the Schema of a typed call; wire: may the host decode it?
//! ```

mod error;
mod grammar;
mod note;
mod replace;
mod signature;
mod wire;

use std::collections::HashMap;
use std::fmt;

use ampoule_kernel::call::{NAME_MAX_BYTES, is_name};

pub use error::{AbiVersion, InterfaceError, NotePlace, SignatureError, SignatureFault};
pub(super) use note::NoteSegment;
use note::RawNote;
pub use replace::{Incompatibility, Incompatible};
pub use signature::Signature;
pub(crate) use wire::unbounded;

/// Whether the guest offers a function or calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FunctionKind {
    /// The host calls it in the guest.
    Export,
    /// The guest calls it in the host.
    Import,
}

impl fmt::Display for FunctionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Export => "export",
            Self::Import => "import",
        })
    }
}

/// One function of an [`Interface`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    name: String,
    signature: Signature,
}

impl Function {
    /// Its name: 1 to 255 graphic ASCII characters.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it takes and returns.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }
}

impl fmt::Display for Function {
    /// `score(name: string, n: u32) -> f64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, self.signature)
    }
}

/// What a program exports and imports: see [`Program::interface`](crate::Program::interface).
#[derive(Debug, Clone, Default)]
pub struct Interface {
    version: Option<AbiVersion>,
    exports: Functions,
    imports: Functions,
}

/// Functions in order, and each by its name.
#[derive(Debug, Clone, Default)]
struct Functions {
    in_order: Vec<Function>,
    by_name: HashMap<String, usize>,
}

impl Functions {
    fn get(&self, name: &str) -> Option<&Function> {
        self.in_order.get(*self.by_name.get(name)?)
    }

    /// Takes the function in, unless there is one of its name.
    fn insert(&mut self, function: Function) -> Result<(), Function> {
        if self.by_name.contains_key(&function.name) {
            return Err(function);
        }
        self.by_name.insert(function.name.clone(), self.in_order.len());
        self.in_order.push(function);
        Ok(())
    }
}

impl Interface {
    /// Most exports and imports together.
    pub const MAX_FUNCTIONS: usize = 4096;

    /// The newest version of the ABI that a function was built for; `None` if there is no function.
    #[must_use]
    pub fn version(&self) -> Option<AbiVersion> {
        self.version
    }

    /// What the host can call, in the order of the file, which is the linker's and not that of the source.
    #[must_use]
    pub fn exports(&self) -> &[Function] {
        &self.exports.in_order
    }

    /// What the guest calls in the host, in the order of the file, as [`exports`](Self::exports).
    #[must_use]
    pub fn imports(&self) -> &[Function] {
        &self.imports.in_order
    }

    /// The export of this name.
    #[must_use]
    pub fn export(&self, name: &str) -> Option<&Function> {
        self.exports.get(name)
    }

    /// The import of this name.
    #[must_use]
    pub fn import(&self, name: &str) -> Option<&Function> {
        self.imports.get(name)
    }

    /// True if the program exports and imports nothing: it knows nothing of Ampoule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exports().is_empty() && self.imports().is_empty()
    }

    /// Reads the notes of a program's file.
    pub(super) fn read(bytes: &[u8], segments: &[NoteSegment]) -> Result<Self, InterfaceError> {
        let mut interface = Self::default();
        for note in note::find(bytes, segments)? {
            interface.add(&note)?;
        }
        Ok(interface)
    }

    fn add(&mut self, note: &RawNote<'_>) -> Result<(), InterfaceError> {
        let &RawNote { offset, kind, .. } = note;
        if self.exports().len() + self.imports().len() == Self::MAX_FUNCTIONS {
            return Err(InterfaceError::TooManyFunctions { max: Self::MAX_FUNCTIONS });
        }
        let (version, text) = note.content()?;
        let (name, signature) = text
            .find('(')
            .and_then(|at| text.split_at_checked(at))
            .map(|(name, signature)| (name.trim_ascii(), signature))
            .filter(|(name, _)| is_name(name.as_bytes()))
            .ok_or(InterfaceError::Name { offset, max: NAME_MAX_BYTES })?;
        let signature = grammar::signature(signature).map_err(|error| InterfaceError::Signature {
            kind,
            name: name.to_owned(),
            error,
        })?;
        self.version = self.version.max(Some(version));
        let functions = match kind {
            FunctionKind::Export => &mut self.exports,
            FunctionKind::Import => &mut self.imports,
        };
        functions
            .insert(Function { name: name.to_owned(), signature })
            .map_err(|Function { name, .. }| InterfaceError::Duplicate { kind, name })
    }
}
