//! The reply of an export: bytes that are written where they will be sent from, into memory that is kept from call to call.

use core::fmt;

/// Where an export writes its reply.
///
/// It grows as it is written to. Over a buffer that cannot grow (`serve_with`), what does not fit fails the call, and the host is told how
/// much was missing; so writing has no result to look at.
#[derive(Debug)]
pub struct Reply<'a> {
    storage: Storage<'a>,
    /// Bytes that did not fit.
    missing: usize,
}

#[derive(Debug)]
enum Storage<'a> {
    #[cfg(feature = "alloc")]
    Growing(alloc::vec::Vec<u8>),
    Fixed {
        buffer: &'a mut [u8],
        length: usize,
    },
}

#[cfg(feature = "alloc")]
impl Reply<'static> {
    /// An empty reply that grows.
    #[must_use]
    pub const fn new() -> Self {
        Self { storage: Storage::Growing(alloc::vec::Vec::new()), missing: 0 }
    }
}

#[cfg(feature = "alloc")]
impl Default for Reply<'static> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Reply<'a> {
    /// An empty reply in a buffer that it cannot outgrow.
    #[must_use]
    pub const fn over(buffer: &'a mut [u8]) -> Self {
        Self { storage: Storage::Fixed { buffer, length: 0 }, missing: 0 }
    }

    /// What was written.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        match &self.storage {
            #[cfg(feature = "alloc")]
            Storage::Growing(bytes) => bytes,
            Storage::Fixed { buffer, length } => buffer.get(..*length).unwrap_or_default(),
        }
    }

    /// What was written, to be changed in place.
    #[must_use]
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        match &mut self.storage {
            #[cfg(feature = "alloc")]
            Storage::Growing(bytes) => bytes,
            Storage::Fixed { buffer, length } => buffer.get_mut(..*length).unwrap_or_default(),
        }
    }

    /// Appends bytes: all of them, or, if they do not fit, none.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        #[cfg(feature = "alloc")]
        if let Storage::Growing(to) = &mut self.storage
            && to.try_reserve(bytes.len()).is_ok()
        {
            return to.extend_from_slice(bytes);
        }
        if let Some(room) = self.append(bytes.len()) {
            room.copy_from_slice(bytes);
        }
    }

    /// Appends a byte.
    #[inline]
    pub fn push(&mut self, byte: u8) {
        self.extend_from_slice(&[byte]);
    }

    /// Appends `count` bytes, zero or left over from earlier, and lends them to be written in place. `None` if they do not fit.
    #[inline]
    pub fn append(&mut self, count: usize) -> Option<&mut [u8]> {
        let room = match &mut self.storage {
            #[cfg(feature = "alloc")]
            Storage::Growing(bytes) => match bytes.try_reserve(count) {
                Ok(()) => {
                    let start = bytes.len();
                    bytes.resize(start + count, 0);
                    bytes.get_mut(start..)
                }
                Err(_) => None,
            },
            Storage::Fixed { buffer, length } => {
                let start = *length;
                let end = start.saturating_add(count);
                let room = buffer.get_mut(start..end);
                if room.is_some() {
                    *length = end;
                }
                room
            }
        };
        if room.is_none() {
            self.missing = self.missing.saturating_add(count);
        }
        room
    }

    /// Forgets what was written, and what did not fit.
    #[inline]
    pub fn clear(&mut self) {
        self.missing = 0;
        match &mut self.storage {
            #[cfg(feature = "alloc")]
            Storage::Growing(bytes) => bytes.clear(),
            Storage::Fixed { length, .. } => *length = 0,
        }
    }

    /// Bytes that did not fit.
    #[inline]
    pub(crate) fn missing(&self) -> usize {
        self.missing
    }

    /// Appends as much of a text as fits.
    pub(crate) fn append_text(&mut self, text: &str) {
        let room = match &self.storage {
            #[cfg(feature = "alloc")]
            Storage::Growing(_) => text.len(),
            Storage::Fixed { buffer, length } => buffer.len().saturating_sub(*length),
        };
        self.extend_from_slice(text.get(..text.floor_char_boundary(room)).unwrap_or_default().as_bytes());
    }
}

impl fmt::Write for Reply<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.extend_from_slice(text.as_bytes());
        if self.missing == 0 { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(feature = "std")]
impl std::io::Write for Reply<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.extend_from_slice(bytes);
        if self.missing == 0 { Ok(bytes.len()) } else { Err(std::io::ErrorKind::StorageFull.into()) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What `postcard` writes into.
pub(crate) struct Encoder<'r, 'a>(pub(crate) &'r mut Reply<'a>);

impl postcard::ser_flavors::Flavor for Encoder<'_, '_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        if self.0.missing == 0 { Ok(()) } else { Err(postcard::Error::SerializeBufferFull) }
    }

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_reply_is_what_was_written() {
        let mut reply = Reply::new();
        reply.extend_from_slice(b"abc");
        reply.push(b'd');
        write!(reply, "{}", 12).unwrap();
        reply.append(2).unwrap().copy_from_slice(b"xy");
        reply.as_mut_slice().reverse();
        assert_eq!((reply.as_slice(), reply.missing()), (&b"yx21dcba"[..], 0));
        reply.clear();
        assert_eq!(reply.as_slice(), b"");
    }

    #[test]
    fn what_does_not_fit_is_counted_and_leaves_the_rest_alone() {
        let mut buffer = [0; 4];
        let mut reply = Reply::over(&mut buffer);
        reply.extend_from_slice(b"ab");
        reply.extend_from_slice(b"cde");
        assert_eq!((reply.as_slice(), reply.missing()), (&b"ab"[..], 3));
        assert!(reply.write_all(b"cd").is_err());
        reply.clear();
        assert!(reply.write_all(b"abcd").is_ok() && reply.append(1).is_none());
    }

    #[test]
    fn a_text_is_cut_where_a_character_ends() {
        let mut buffer = [0; 4];
        let mut reply = Reply::over(&mut buffer);
        reply.append_text("abcß");
        assert_eq!((reply.as_slice(), reply.missing()), (&b"abc"[..], 0));
    }

    #[test]
    fn memory_is_kept_from_call_to_call() {
        let mut reply = Reply::new();
        reply.extend_from_slice(&[1; 1000]);
        let address = reply.as_slice().as_ptr();
        reply.clear();
        reply.extend_from_slice(&[2; 1000]);
        assert_eq!(reply.as_slice().as_ptr(), address);
    }
}
