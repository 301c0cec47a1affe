//! Calling the host: by one exit, or, while the ring is served, without.

use core::fmt;

use crate::errno::Errno;
use crate::gate::{self, Refusal};
use crate::ring;

/// Why a function of the host has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportError {
    /// The host has no such function.
    Unknown,
    /// The arguments are not what the host's function takes.
    BadArguments,
    /// The host's function failed.
    Failed(Reason),
    /// The reply is longer than its buffer, and lost.
    ReplyTooLong {
        /// Bytes that it needs.
        needed: usize,
    },
    /// The host answered with another error.
    Refused(Errno),
}

impl fmt::Display for ImportError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => formatter.write_str("the host has no such function"),
            Self::BadArguments => formatter.write_str("the arguments are not what the host's function takes"),
            Self::Failed(reason) => reason.fmt(formatter),
            Self::ReplyTooLong { needed } => write!(formatter, "the reply of {needed} bytes is longer than its buffer"),
            Self::Refused(errno) => write!(formatter, "the host answered with {errno}"),
        }
    }
}

impl core::error::Error for ImportError {}

impl ImportError {
    /// The error of a refusal; `fetch` gets the reason into a buffer of the length that it has.
    pub(crate) fn new(refusal: Refusal, fetch: impl FnOnce(&mut [u8]) -> Option<usize>) -> Self {
        match refusal.errno {
            Errno::NOENT => Self::Unknown,
            Errno::BADMSG => Self::BadArguments,
            Errno::MSGSIZE => Self::ReplyTooLong { needed: refusal.bytes },
            Errno::REMOTEIO => Self::Failed(Reason::receive(refusal.bytes, fetch)),
            other => Self::Refused(other),
        }
    }
}

/// What the host's function gives as the reason of its failure. Without an allocator it is cut to what an error can carry.
#[derive(Clone, PartialEq, Eq)]
pub struct Reason {
    #[cfg(feature = "alloc")]
    text: alloc::boxed::Box<str>,
    #[cfg(not(feature = "alloc"))]
    text: [u8; 96],
    #[cfg(not(feature = "alloc"))]
    length: usize,
}

impl Reason {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        #[cfg(feature = "alloc")]
        {
            &self.text
        }
        #[cfg(not(feature = "alloc"))]
        {
            self.text.get(..self.length).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default()
        }
    }

    #[cfg(feature = "alloc")]
    fn receive(length: usize, fetch: impl FnOnce(&mut [u8]) -> Option<usize>) -> Self {
        let mut bytes = alloc::vec::Vec::new();
        if bytes.try_reserve(length).is_err() {
            return Self::from("");
        }
        bytes.resize(length, 0);
        let fetched = fetch(&mut bytes).unwrap_or(0);
        Self { text: alloc::string::String::from_utf8_lossy(bytes.get(..fetched).unwrap_or_default()).into() }
    }

    #[cfg(not(feature = "alloc"))]
    fn receive(length: usize, fetch: impl FnOnce(&mut [u8]) -> Option<usize>) -> Self {
        let mut bytes = [0; 512];
        let fetched = bytes.get_mut(..length).and_then(fetch).unwrap_or(0);
        bytes.get(..fetched).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default().into()
    }
}

impl From<&str> for Reason {
    #[cfg(feature = "alloc")]
    fn from(text: &str) -> Self {
        Self { text: text.into() }
    }

    #[cfg(not(feature = "alloc"))]
    fn from(text: &str) -> Self {
        let mut cut = [0; 96];
        let length = text.floor_char_boundary(cut.len());
        cut.iter_mut().zip(text.bytes().take(length)).for_each(|(to, byte)| *to = byte);
        Self { text: cut, length }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(formatter)
    }
}

/// What can take the reply of a bytes import: a `Vec<u8>`, which becomes the reply, or a `[u8]` with room for it.
pub trait ReplyBuffer: Receive {
    /// What the import returns: `()` for a `Vec`, the bytes of the reply for a slice.
    type Received;

    /// Says how much has arrived.
    #[doc(hidden)]
    fn received(length: usize) -> Self::Received;
}

/// How a reply gets into a buffer. It is not nameable outside, so the two buffers stay the only ones.
pub trait Receive {
    /// Calls by an exit; the reply is at the buffer's beginning.
    fn import(&mut self, ordinal: u32, arguments: &[u8]) -> Result<usize, ImportError>;

    /// Room for a reply that is known to come, if there can be any.
    fn room(&mut self, length: usize) -> Option<&mut [u8]>;
}

fn fetch(buffer: &mut [u8]) -> Option<usize> {
    gate::fetch(buffer).ok()
}

impl Receive for [u8] {
    fn import(&mut self, ordinal: u32, arguments: &[u8]) -> Result<usize, ImportError> {
        gate::import(ordinal, arguments, self).map_err(|refusal| ImportError::new(refusal, fetch))
    }

    fn room(&mut self, length: usize) -> Option<&mut [u8]> {
        self.get_mut(..length)
    }
}

impl ReplyBuffer for [u8] {
    type Received = usize;

    fn received(length: usize) -> usize {
        length
    }
}

#[cfg(feature = "alloc")]
mod growing {
    use alloc::vec::Vec;

    use super::{Errno, ImportError, Receive, Refusal, ReplyBuffer, fetch, gate};

    /// Room that the first reply finds: fetching it would cost a second exit.
    const FIRST_BYTES: usize = 1024;

    impl Receive for Vec<u8> {
        #[inline]
        fn import(&mut self, ordinal: u32, arguments: &[u8]) -> Result<usize, ImportError> {
            if self.capacity() < FIRST_BYTES {
                self.clear();
                self.reserve(FIRST_BYTES);
            }
            match gate::import_into(ordinal, arguments, self) {
                Ok(()) => Ok(self.len()),
                Err(refusal @ Refusal { errno: Errno::MSGSIZE, bytes }) => {
                    let room = self.room(bytes).ok_or_else(|| ImportError::new(refusal, fetch))?;
                    gate::fetch(room).map_err(ImportError::Refused)
                }
                Err(refusal) => Err(ImportError::new(refusal, fetch)),
            }
        }

        fn room(&mut self, length: usize) -> Option<&mut [u8]> {
            self.truncate(length);
            self.try_reserve(length - self.len()).ok()?;
            self.resize(length, 0);
            Some(self)
        }
    }

    impl ReplyBuffer for Vec<u8> {
        type Received = ();

        fn received(_: usize) {}
    }
}

fn call<B: ReplyBuffer + ?Sized>(ordinal: u32, arguments: &[u8], reply: &mut B) -> Result<usize, ImportError> {
    match ring::import(ordinal, arguments, reply) {
        Some(result) => result,
        None => reply.import(ordinal, arguments),
    }
}

/// What a bytes import does.
///
/// # Errors
/// [`ImportError`]: the host's function has no result.
#[inline]
pub fn bytes<B: ReplyBuffer + ?Sized>(ordinal: u32, input: &[u8], reply: &mut B) -> Result<B::Received, ImportError> {
    call(ordinal, input, reply).map(B::received)
}

#[cfg(feature = "alloc")]
pub(crate) mod typed {
    use alloc::vec::Vec;
    use core::fmt;

    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use super::call;
    use crate::local::local;
    use crate::private::{decode, encode};
    use crate::reply::Reply;
    use crate::table::{Failure, Import};

    /// Buffers that are kept from call to call. A call takes them away while it lasts: `Serialize` is foreign code, and may call an import.
    struct Scratch {
        arguments: Reply<'static>,
        reply: Vec<u8>,
    }

    local!(SCRATCH: Option<Scratch> = None);

    /// What a typed import does.
    ///
    /// # Panics
    /// If the host's function has no result; what is being served then fails with the reason.
    #[track_caller]
    #[inline]
    pub fn import<A: Serialize, R: DeserializeOwned>(import: &Import, ordinal: u32, arguments: &A) -> R {
        let mut scratch = SCRATCH
            .with(Option::take)
            .flatten()
            .unwrap_or_else(|| Scratch { arguments: Reply::new(), reply: Vec::new() });
        scratch.arguments.clear();
        if let Err(Failure::Result(error)) = encode(&mut scratch.arguments, arguments) {
            fail(import, format_args!("its arguments cannot be encoded: {error}"));
        }
        let length = match call(ordinal, scratch.arguments.as_slice(), &mut scratch.reply) {
            Ok(length) => length,
            Err(error) => fail(import, format_args!("{error}")),
        };
        let Ok(result) = decode(scratch.reply.get(..length).unwrap_or_default()) else {
            fail(import, format_args!("its reply cannot be decoded"))
        };
        SCRATCH.with(|place| *place = Some(scratch));
        result
    }

    #[track_caller]
    #[cold]
    #[expect(clippy::panic, reason = "the declared result has no place for an error; serve reports it and goes on")]
    fn fail(import: &Import, reason: fmt::Arguments<'_>) -> ! {
        panic!("host function `{}` failed: {reason}", import.name)
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_by_its_number() {
        let error = |errno| {
            ImportError::new(Refusal { errno, bytes: 7 }, |buffer| {
                buffer.copy_from_slice(b"no luck");
                Some(7)
            })
        };
        assert_eq!(error(Errno::NOENT), ImportError::Unknown);
        assert_eq!(error(Errno::BADMSG), ImportError::BadArguments);
        assert_eq!(error(Errno::MSGSIZE), ImportError::ReplyTooLong { needed: 7 });
        assert_eq!(error(Errno::REMOTEIO), ImportError::Failed("no luck".into()));
        assert_eq!(error(Errno::NOSYS), ImportError::Refused(Errno::NOSYS));
    }

    #[test]
    fn a_vector_has_exactly_the_room_that_is_asked_for() {
        let mut reply = vec![1; 8];
        assert_eq!(reply.room(3).map(|room| room.len()), Some(3));
        assert_eq!(reply.room(5).map(|room| room.len()), Some(5));
        assert_eq!(<[u8] as Receive>::room(&mut [0; 4], 5), None);
    }
}
