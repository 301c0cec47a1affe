//! A function's name: a part of a URL, a directory's name, a label of a metric, and a subject's last token.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

/// Longest name, in bytes: a DNS label's, so that it can become one.
const MAX_BYTES: usize = 63;

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(Box<str>);

/// A text that is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a function's name is 1 to {MAX_BYTES} of a-z, 0-9, - and _, and begins with a letter or a digit")]
pub(crate) struct BadName;

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_good = text.len() <= MAX_BYTES
            && text.bytes().next().is_some_and(is_plain)
            && text.bytes().all(|byte| is_plain(byte) || matches!(byte, b'-' | b'_'));
        if is_good { Ok(Self(text.into())) } else { Err(BadName) }
    }
}

/// So that a name is found by a text that may be none.
impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_directory_its_label_or_its_subject() {
        for good in ["a", "0", "word-count", "word_count", &"a".repeat(63)] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a/b", "a.b", "-a", "_a", "A", "a b", "a\0", "ä", "a*", "a>", "a\"", &"a".repeat(64)]
        {
            assert_eq!(bad.parse::<Name>(), Err(BadName), "{bad:?}");
        }
    }
}
