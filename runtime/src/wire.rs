//! Bytes of a snapshot file: little-endian integers and byte strings with their length before them, written and read back.
//!
//! What is read was written by anybody: a file is truncated, damaged or forged. So a read names the field it is after, takes nothing that is
//! not there, and allocates nothing by a length that the file claims. A value has one form only: what is accepted is what would
//! be written.
//!
//! ```text
//! u8, u16, u32, u64     1, 2, 4, 8 bytes, the lowest first
//! flag                  one byte, 0 or 1
//! bytes                 u64 length, then so many bytes
//! list                  u64 count, then so many elements
//! ```

/// What is wrong with bytes that should be a part of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes end too early.
    #[error("{field} at offset {offset:#x} needs {needed} bytes and {left} are left: the file is truncated or damaged")]
    Truncated {
        /// What was to be read.
        field: &'static str,
        /// Where it starts.
        offset: u64,
        /// Bytes that it needs; for a list, the least that its elements need.
        needed: u64,
        /// Bytes that are left.
        left: u64,
    },
    /// An integer is larger than anything that this field may hold.
    #[error("{field} at offset {offset:#x} is {value:#x} and can be {max:#x} at most: the file is damaged or forged")]
    OutOfRange {
        /// What was read.
        field: &'static str,
        /// Where it starts.
        offset: u64,
        /// What it says.
        value: u64,
        /// The most that it may say.
        max: u64,
    },
    /// Bytes follow where the end should be.
    #[error("{count} bytes follow the end at offset {offset:#x}: the file is damaged or forged")]
    Trailing {
        /// Where the end should be.
        offset: u64,
        /// Bytes that follow.
        count: u64,
    },
}

/// Writes fields one after the other.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Everything that was written.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn flag(&mut self, value: bool) {
        self.u8(value.into());
    }

    /// A length, or the count that a list starts with.
    pub(crate) fn count(&mut self, count: usize) {
        self.u64(count as u64);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }

    /// Bytes whose number something else tells.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

/// Reads fields one after the other.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    offset: u64,
}

impl<'a> Reader<'a> {
    /// From the first of these bytes on.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset: 0 }
    }

    fn left(&self) -> u64 {
        self.rest.len() as u64
    }

    fn truncated(&self, field: &'static str, needed: u64) -> WireError {
        WireError::Truncated { field, offset: self.offset, needed, left: self.left() }
    }

    fn take(&mut self, field: &'static str, length: u64) -> Result<&'a [u8], WireError> {
        let (taken, rest) = usize::try_from(length)
            .ok()
            .and_then(|length| self.rest.split_at_checked(length))
            .ok_or_else(|| self.truncated(field, length))?;
        self.rest = rest;
        self.offset += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(|| self.truncated(field, N as u64))?;
        self.rest = rest;
        self.offset += N as u64;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, WireError> {
        self.array(field).map(u8::from_le_bytes)
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, WireError> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, WireError> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// A byte that is at most `max`.
    ///
    /// # Errors
    /// [`WireError::OutOfRange`] if it is larger.
    pub(crate) fn u8_up_to(&mut self, field: &'static str, max: u8) -> Result<u8, WireError> {
        let offset = self.offset;
        self.u8(field).and_then(|value| up_to(field, offset, value, max))
    }

    /// Four bytes that are at most `max`.
    ///
    /// # Errors
    /// [`WireError::OutOfRange`] if they are more.
    pub(crate) fn u32_up_to(&mut self, field: &'static str, max: u32) -> Result<u32, WireError> {
        let offset = self.offset;
        self.u32(field).and_then(|value| up_to(field, offset, value, max))
    }

    /// Eight bytes that are at most `max`.
    ///
    /// # Errors
    /// [`WireError::OutOfRange`] if they are more.
    pub(crate) fn u64_up_to(&mut self, field: &'static str, max: u64) -> Result<u64, WireError> {
        let offset = self.offset;
        self.u64(field).and_then(|value| up_to(field, offset, value, max))
    }

    pub(crate) fn flag(&mut self, field: &'static str) -> Result<bool, WireError> {
        self.u8_up_to(field, 1).map(|value| value == 1)
    }

    /// How many elements a list has, each of at least `each` bytes: as many must be left.
    ///
    /// # Errors
    /// [`WireError::Truncated`] if they are not, at the first element.
    pub(crate) fn count(&mut self, field: &'static str, each: u64) -> Result<u64, WireError> {
        let count = self.u64(field)?;
        let needed = count.saturating_mul(each);
        if needed > self.left() { Err(self.truncated(field, needed)) } else { Ok(count) }
    }

    /// A byte string, not copied.
    ///
    /// # Errors
    /// [`WireError::Truncated`] if it is longer than what is left.
    pub(crate) fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], WireError> {
        let length = self.u64(field)?;
        self.raw(field, length)
    }

    /// Bytes whose number something else tells, not copied.
    ///
    /// # Errors
    /// [`WireError::Truncated`] if they are more than what is left.
    pub(crate) fn raw(&mut self, field: &'static str, length: u64) -> Result<&'a [u8], WireError> {
        self.take(field, length)
    }

    /// Ends: nothing may be left.
    ///
    /// # Errors
    /// [`WireError::Trailing`] if something is.
    pub(crate) fn finish(self) -> Result<(), WireError> {
        match self.left() {
            0 => Ok(()),
            count => Err(WireError::Trailing { offset: self.offset, count }),
        }
    }
}

fn up_to<T: Copy + Ord + Into<u64>>(field: &'static str, offset: u64, value: T, max: T) -> Result<T, WireError> {
    if value <= max {
        Ok(value)
    } else {
        Err(WireError::OutOfRange { field, offset, value: value.into(), max: max.into() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_are_little_endian_and_strings_have_their_length_before_them() {
        let mut writer = Writer::new();
        writer.u8(1);
        writer.u32(0x0203_0405);
        writer.u64(0x0607_0809_0a0b_0c0d);
        writer.flag(true);
        writer.bytes(b"ab");
        let expected = [1, 5, 4, 3, 2, 13, 12, 11, 10, 9, 8, 7, 6, 1, 2, 0, 0, 0, 0, 0, 0, 0, b'a', b'b'];
        assert_eq!(writer.into_bytes(), expected);
    }

    #[test]
    fn a_field_that_is_not_all_there_says_where_it_starts_and_takes_nothing() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u8("first"), Ok(1));
        let error = WireError::Truncated { field: "second", offset: 1, needed: 4, left: 2 };
        assert_eq!(reader.u32("second"), Err(error));
        assert_eq!(reader.u8("second"), Ok(2));
    }

    #[test]
    fn offsets_count_what_was_read_before() {
        let bytes = [&2_u64.to_le_bytes()[..], b"ab"].concat();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.bytes("name"), Ok(&b"ab"[..]));
        assert_eq!(reader.u8("next"), Err(WireError::Truncated { field: "next", offset: 10, needed: 1, left: 0 }));
    }

    #[test]
    fn a_length_beyond_the_end_is_refused_before_anything_is_allocated() {
        for length in [1, 1 << 40, u64::MAX] {
            let bytes = u64::to_le_bytes(length);
            let error = WireError::Truncated { field: "name", offset: 8, needed: length, left: 0 };
            assert_eq!(Reader::new(&bytes).bytes("name"), Err(error));
        }
    }

    #[test]
    fn a_list_with_more_elements_than_bytes_is_refused() {
        let bytes = [u64::to_le_bytes(3), [0; 8]].concat();
        let error = WireError::Truncated { field: "areas", offset: 8, needed: 9, left: 8 };
        assert_eq!(Reader::new(&bytes).count("areas", 3), Err(error));
        assert_eq!(Reader::new(&bytes).count("areas", 2), Ok(3));
        assert!(Reader::new(&u64::MAX.to_le_bytes()).count("areas", u64::MAX).is_err());
    }

    #[test]
    fn a_value_that_is_too_large_is_named_with_its_limit() {
        let error = WireError::OutOfRange { field: "flag", offset: 0, value: 2, max: 1 };
        assert_eq!(Reader::new(&[2]).flag("flag"), Err(error));
        assert_eq!(
            Reader::new(&[0, 1, 0, 0]).u32_up_to("umask", 0o377),
            Err(WireError::OutOfRange { field: "umask", offset: 0, value: 0x100, max: 0xff })
        );
        assert_eq!(Reader::new(&[7, 0, 0, 0, 0, 0, 0, 0]).u64_up_to("offset", 7), Ok(7));
    }

    #[test]
    fn bytes_after_the_end_are_an_error() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u8("first"), Ok(1));
        assert_eq!(reader.finish(), Err(WireError::Trailing { offset: 1, count: 2 }));
        assert_eq!(Reader::new(&[]).finish(), Ok(()));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(a: u8, b: u32, c: u64, d: bool, text in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut writer = Writer::new();
            writer.u8(a);
            writer.bytes(&text);
            writer.u32(b);
            writer.flag(d);
            writer.u64(c);
            let bytes = writer.into_bytes();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.u8("a"), Ok(a));
            prop_assert_eq!(reader.bytes("text"), Ok(&text[..]));
            prop_assert_eq!(reader.u32("b"), Ok(b));
            prop_assert_eq!(reader.flag("d"), Ok(d));
            prop_assert_eq!(reader.u64("c"), Ok(c));
            prop_assert_eq!(reader.finish(), Ok(()));
        }
    }
}
