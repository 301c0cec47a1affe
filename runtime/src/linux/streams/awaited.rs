//! Input that is not there yet: a program is stopped where it first asks for it, before anything of that has happened.
//!
//! It asks when what it is told next depends on what the input is: bytes, how many there are, whether there are any. What is the same for every
//! input is no question: all stdins are pipes to `fstat`, none can be sought in or mapped, and none has hung up before somebody reads it.

use crate::end::End;
use crate::linux::reply::Refusal;

/// What the program will ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// Stdin.
    Stdin,
    /// The file of this name, as the program names it.
    #[cfg(feature = "fuzz")]
    File(Vec<u8>),
    /// It has asked.
    Asked,
}

impl Awaited {
    /// The file's name, if it is a file.
    #[cfg(feature = "fuzz")]
    pub(crate) fn into_file(self) -> Option<Vec<u8>> {
        match self {
            Self::File(path) => Some(path),
            Self::Stdin | Self::Asked => None,
        }
    }

    /// The program wants to know something of stdin.
    pub(super) fn stdin(awaited: &mut Option<Self>) -> Result<(), Refusal> {
        Self::stop(awaited, |awaited| *awaited == Self::Stdin)
    }

    /// The program names a file.
    #[cfg(feature = "fuzz")]
    pub(crate) fn named(awaited: &mut Option<Self>, path: &[u8]) -> Result<(), Refusal> {
        Self::stop(awaited, |awaited| matches!(awaited, Self::File(name) if name == path))
    }

    fn stop(awaited: &mut Option<Self>, is_asked: impl FnOnce(&Self) -> bool) -> Result<(), Refusal> {
        match awaited {
            Some(waiting) if is_asked(waiting) => {
                *waiting = Self::Asked;
                Err(End::AtInput.into())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_question_for_stdin_stops_the_program() {
        let mut stdin = Some(Awaited::Stdin);
        assert!(matches!(Awaited::stdin(&mut stdin), Err(Refusal::End(End::AtInput))));
        assert_eq!(stdin, Some(Awaited::Asked));
        assert!(Awaited::stdin(&mut stdin).is_ok() && Awaited::stdin(&mut None).is_ok());
    }

    #[test]
    #[cfg(feature = "fuzz")]
    fn a_file_is_asked_for_by_its_name() {
        let mut awaited = Some(Awaited::File(b"/input".to_vec()));
        assert!(Awaited::stdin(&mut awaited).is_ok() && Awaited::named(&mut awaited, b"/inputs").is_ok());
        assert!(matches!(Awaited::named(&mut awaited, b"/input"), Err(Refusal::End(End::AtInput))));
        assert!(Awaited::named(&mut awaited, b"/input").is_ok());
        assert!(Awaited::named(&mut Some(Awaited::Stdin), b"/input").is_ok());
    }
}
