//! Signatures: what a function takes and returns, as text that means the same whoever wrote it.
//!
//! A guest's note holds text, and the host's side of a typed call is a type that renders as text. So a signature *is* its canonical text:
//! two are equal if their texts are, once spaces are where the contract puts them and the parameters' names, which the wire does not
//! know, are left out. Nothing has to be kept as a tree: what a signature costs is its length, whatever it says.
//!
//! ```text
//! note     "score( name:string,n :u32 )->f64"   ──▶  text   (name: string, n: u32) -> f64
//!                                                    shape  (string, u32) -> f64 ◄── compared
//! Schema   (String, u32), f64                   ──▶  text and shape
//! ```

use std::fmt;
use std::str::FromStr;

use ampoule_kernel::note::BYTES_SIGNATURE;
use ampoule_kernel::schema::Type;

use super::error::SignatureError;
use super::grammar;

/// What a function takes and returns.
///
/// It is compared by shape: the names of parameters do not matter, those of fields and variants do, and so does the order of all of them.
/// A function that takes and returns bytes as they are has the signature `(bytes) -> bytes`, which is not that of `([u8]) -> [u8]`.
///
/// ```
/// use ampoule::Signature;
///
/// let one: Signature = "(name: string, n: u32) -> f64".parse()?;
/// let other: Signature = "( key:string,count:u32 )->f64".parse()?;
/// assert_eq!(one, other);
/// assert_eq!(other.to_string(), "(key: string, count: u32) -> f64");
/// assert_ne!(one, "(n: u32, name: string) -> f64".parse()?);
/// # Ok::<(), ampoule::SignatureError>(())
/// ```
#[derive(Clone)]
pub struct Signature {
    /// Canonical, with the names of parameters as far as they are known.
    text: Box<str>,
    /// The same without them.
    shape: Box<str>,
}

impl Signature {
    /// True if the function takes and returns bytes as they are.
    #[must_use]
    pub fn is_bytes(&self) -> bool {
        &*self.shape == BYTES_SIGNATURE
    }

    /// `(bytes) -> bytes`.
    pub(crate) fn bytes() -> Self {
        Self { text: BYTES_SIGNATURE.into(), shape: BYTES_SIGNATURE.into() }
    }

    /// What the compiler knows: `parameters` is a tuple, or `()`, of which the parts are the parameters. They have no names.
    pub(crate) fn of(parameters: &Type, result: &Type) -> Self {
        let shape: Box<str> = format!("{} -> {}", rendered(parameters), rendered(result)).into();
        Self { text: shape.clone(), shape }
    }

    pub(super) fn new(text: String, shape: String) -> Self {
        Self { text: text.into(), shape: shape.into() }
    }
}

/// The canonical text of a type.
pub(super) fn rendered(ty: &Type) -> String {
    let mut bytes = vec![0; ty.write(&mut [])];
    ty.write(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

impl FromStr for Signature {
    type Err = SignatureError;

    /// Reads `(parameter: type, …) -> type`, where names of parameters can be left out.
    fn from_str(text: &str) -> Result<Self, SignatureError> {
        grammar::signature(text)
    }
}

impl fmt::Display for Signature {
    /// In its canonical form: `(name: string, n: u32) -> f64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

impl PartialEq for Signature {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape
    }
}

impl Eq for Signature {}
