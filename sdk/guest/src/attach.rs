//! Telling the host what there is: once in a guest's life, before the first call in either direction.

use core::fmt;

use ampoule_kernel::call::{FEATURE_RING, TABLE_MAX_BYTES};

use crate::errno::Errno;
use crate::reply::Reply;
use crate::{gate, table};

/// Why there is no host to work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttachError {
    /// The program runs outside Ampoule, or as a command: nobody will call into it.
    NotCalled,
    /// Two functions have the same name.
    Duplicate {
        /// `export` or `import`.
        kind: &'static str,
        /// Their name.
        name: &'static str,
    },
    /// The names are too many, or the buffer for them too small.
    TableTooLong {
        /// Bytes that they need.
        bytes: usize,
    },
    /// The host speaks another version.
    Version,
    /// The host refused for another reason.
    Refused(Errno),
}

impl fmt::Display for AttachError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCalled => {
                formatter.write_str("nobody calls into this program: it does not run in an Ampoule sandbox")
            }
            Self::Duplicate { kind, name } => {
                write!(formatter, "two functions are {kind}ed as `{name}`: give one of them another name")
            }
            Self::TableTooLong { bytes } => write!(
                formatter,
                "the names of the exports and imports take {bytes} bytes: at most {TABLE_MAX_BYTES}, and no more than the buffer has"
            ),
            Self::Version => formatter.write_str(
                "the host speaks another version of the interface: build both with the same version of Ampoule",
            ),
            Self::Refused(errno) => write!(formatter, "the host refused the exports and imports ({errno})"),
        }
    }
}

impl core::error::Error for AttachError {}

/// Attaches to the host. [`serve`](crate::serve()) does it too; a program that calls imports, posts events or logs before it serves does it
/// earlier. Doing it again does nothing.
///
/// # Errors
/// [`AttachError`]: there is no host, or it refused.
#[cfg(feature = "alloc")]
pub fn attach() -> Result<(), AttachError> {
    attach_by(&mut Reply::new())
}

/// Attaches to the host with a buffer of the caller's, in which the names of all functions have to fit, and eight bytes more for each. Doing
/// it again does nothing.
///
/// # Errors
/// [`AttachError`]: there is no host, or it refused.
pub fn attach_with(buffer: &mut [u8]) -> Result<(), AttachError> {
    attach_by(&mut Reply::over(buffer))
}

pub(crate) fn attach_by(text: &mut Reply<'_>) -> Result<(), AttachError> {
    if gate::is_attached() {
        return Ok(());
    }
    table::write(text)?;
    gate::attach(text.as_slice(), FEATURE_RING).map_err(|errno| match errno {
        Errno::NOSYS => AttachError::NotCalled,
        Errno::PROTO => AttachError::Version,
        other => AttachError::Refused(other),
    })?;
    table::number_imports();
    Ok(())
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn outside_ampoule_nobody_calls() {
        assert_eq!(attach(), Err(AttachError::NotCalled));
        assert_eq!(attach_with(&mut [0; 256]), Err(AttachError::NotCalled));
    }
}
