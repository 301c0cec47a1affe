//! What the macros need. It is no part of the interface.

pub use ampoule_kernel::note::{EXPORT as NOTE_EXPORT, IMPORT as NOTE_IMPORT, Note, Shape, description_bytes};
pub use ampoule_kernel::schema;
pub use linkme::{self, distributed_slice};
use serde::{Deserialize, Serialize};
#[cfg(feature = "std")]
pub use std;

pub use crate::import::bytes as import_bytes;
#[cfg(feature = "alloc")]
pub use crate::import::typed::import as import_typed;
#[cfg(feature = "std")]
pub use crate::mock::{Slot as MockSlot, get as get_mock, set as set_mock};
use crate::reply::Encoder;
pub use crate::reply::Reply;
pub use crate::table::{Call, EXPORTS, Export, Failure, IMPORTS, Import};
pub use crate::{__mock as mock, __mocked as mocked};

/// Decodes the arguments of an export.
///
/// # Errors
/// They are something else, or have something behind them.
#[inline]
pub fn decode<'de, T: Deserialize<'de>>(input: &'de [u8]) -> Result<T, Failure> {
    match postcard::take_from_bytes(input) {
        Ok((arguments, [])) => Ok(arguments),
        _ => Err(Failure::BadArguments),
    }
}

/// Encodes the result of an export.
///
/// # Errors
/// It cannot be encoded, or does not fit.
#[inline]
pub fn encode<T: Serialize + ?Sized>(reply: &mut Reply<'_>, result: &T) -> Result<(), Failure> {
    postcard::serialize_with_flavor(result, Encoder(reply)).map_err(Failure::Result)
}

/// What an import does where nobody has attached and nothing can be mocked.
///
/// # Panics
/// Always.
#[cfg(not(feature = "std"))]
#[track_caller]
#[cold]
#[expect(clippy::panic, reason = "the declared result has no place for an error")]
pub fn unattached(name: &str) -> ! {
    panic!("the import `{name}` was called before `serve` or `attach`")
}

/// Without `std` there are no mocks.
#[cfg(not(feature = "std"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __mock {
    ($($anything:tt)*) => {};
}

/// Without `std` there are no mocks.
#[cfg(not(feature = "std"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __mocked {
    ($name:ident($($parameter:ident),*)) => {{
        $(let _ = $parameter;)*
        $crate::__private::unattached(stringify!($name))
    }};
}
