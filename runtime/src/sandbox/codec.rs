//! Typed values as messages: `postcard`, on buffers that are used again.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Writes `value` into `buffer`, which is cleared first.
pub(super) fn encode<T: Serialize + ?Sized>(value: &T, buffer: &mut Vec<u8>) -> Result<(), postcard::Error> {
    buffer.clear();
    *buffer = postcard::to_extend(value, std::mem::take(buffer))?;
    Ok(())
}

/// Reads a value that takes all of `bytes`.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, postcard::Error> {
    let (value, rest) = postcard::take_from_bytes(bytes)?;
    if rest.is_empty() { Ok(value) } else { Err(postcard::Error::DeserializeBadEncoding) }
}
