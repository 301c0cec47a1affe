//! Whether a newer program may take an older one's place while the host goes on.
//!
//! The host holds typed handles to the older one's exports and functions for its imports. So the newer one may export more and import
//! less; it must not lack or change what the host calls, nor need or change what the host serves. Both are of the same major version of
//! the ABI, since no other is read.

use std::fmt;

use super::{Function, FunctionKind, Interface};

/// One reason why a program cannot take another's place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Incompatibility {
    /// The older one exports it, the newer one does not.
    MissingExport {
        /// The older one's function.
        older: Function,
    },
    /// The newer one imports it, the older one did not.
    NewImport {
        /// The newer one's function.
        newer: Function,
    },
    /// Both have it, with different signatures.
    Changed {
        /// Which kind of function.
        kind: FunctionKind,
        /// The older one's function.
        older: Function,
        /// The newer one's.
        newer: Function,
    },
}

impl fmt::Display for Incompatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingExport { older } => write!(f, "export {older} is missing"),
            Self::NewImport { newer } => write!(f, "import {newer} is new"),
            Self::Changed { kind, older, newer } => write!(f, "{kind} {older} has become {newer}"),
        }
    }
}

/// Why a program cannot take another's place: see [`Interface::can_replace`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incompatible {
    all: Vec<Incompatibility>,
}

impl Incompatible {
    /// Every reason; there is at least one. Exports come first, then imports, each in the order of the file.
    #[must_use]
    pub fn all(&self) -> &[Incompatibility] {
        &self.all
    }
}

impl fmt::Display for Incompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the newer program cannot take the older one's place: ")?;
        for (index, one) in self.all.iter().enumerate() {
            write!(f, "{}{one}", if index == 0 { "" } else { "; " })?;
        }
        f.write_str("; keep old signatures, and give what has changed a new name")
    }
}

impl std::error::Error for Incompatible {}

impl Interface {
    /// Tells whether a program with this interface can take the place of one with the interface `older`, under a host that goes on
    /// calling and serving as it did.
    ///
    /// It may export more and import less. Names of parameters may change.
    ///
    /// ```no_run
    /// use ampoule::Program;
    ///
    /// let (older, newer) = (Program::from_file("plugin-1")?, Program::from_file("plugin-2")?);
    /// newer.interface()?.can_replace(older.interface()?)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Incompatible`], which lists every export that is missing, every import that is new and every signature that has changed.
    pub fn can_replace(&self, older: &Self) -> Result<(), Incompatible> {
        let exports = older.exports().iter().filter_map(|old| match self.export(old.name()) {
            None => Some(Incompatibility::MissingExport { older: old.clone() }),
            Some(new) => changed(FunctionKind::Export, old, new),
        });
        let imports = self.imports().iter().filter_map(|new| match older.import(new.name()) {
            None => Some(Incompatibility::NewImport { newer: new.clone() }),
            Some(old) => changed(FunctionKind::Import, old, new),
        });
        let all: Vec<_> = exports.chain(imports).collect();
        if all.is_empty() { Ok(()) } else { Err(Incompatible { all }) }
    }
}

fn changed(kind: FunctionKind, older: &Function, newer: &Function) -> Option<Incompatibility> {
    (older.signature() != newer.signature()).then(|| Incompatibility::Changed {
        kind,
        older: older.clone(),
        newer: newer.clone(),
    })
}
