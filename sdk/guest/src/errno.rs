//! Error numbers, as Linux has them.

use core::fmt;

/// An error number that a call was answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(u16);

impl Errno {
    pub(crate) const NOENT: Self = Self(2);
    pub(crate) const INTR: Self = Self(4);
    pub(crate) const NOSYS: Self = Self(38);
    pub(crate) const PROTO: Self = Self(71);
    pub(crate) const BADMSG: Self = Self(74);
    pub(crate) const MSGSIZE: Self = Self(90);
    pub(crate) const REMOTEIO: Self = Self(121);

    /// The number in RAX, if it is one: Linux's range ends at 4095.
    pub(crate) fn from_result(rax: u64) -> Option<Self> {
        u16::try_from(rax.wrapping_neg()).ok().filter(|number| (1..4096).contains(number)).map(Self)
    }

    pub(crate) fn from_byte(number: u8) -> Self {
        Self(number.into())
    }

    /// The number: `errno.h`'s.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "errno {}", self.0)
    }
}

impl core::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_page_of_numbers_is_errors() {
        assert_eq!(Errno::from_result(2_u64.wrapping_neg()), Some(Errno::NOENT));
        assert_eq!(Errno::from_result(4095_u64.wrapping_neg()).map(Errno::number), Some(4095));
        for count in [0, 1, u64::from(u32::MAX), 4096_u64.wrapping_neg()] {
            assert_eq!(Errno::from_result(count), None);
        }
    }
}
