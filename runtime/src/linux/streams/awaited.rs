//! Input that is not there yet: a program that is fuzzed is stopped where it first asks for it, before anything of that has happened.

use crate::end::End;
use crate::linux::reply::Refusal;

/// What the program will ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// Something to read on stdin.
    Stdin,
    /// The file of this name, as the program names it.
    File(Vec<u8>),
    /// It has asked.
    Asked,
}

impl Awaited {
    /// The file's name, if it is a file.
    pub(crate) fn into_file(self) -> Option<Vec<u8>> {
        match self {
            Self::File(path) => Some(path),
            Self::Stdin | Self::Asked => None,
        }
    }

    /// The program reads stdin.
    pub(super) fn read(awaited: &mut Option<Self>) -> Result<(), Refusal> {
        Self::stop(awaited, |awaited| *awaited == Self::Stdin)
    }

    /// The program names a file.
    pub(crate) fn named(awaited: &mut Option<Self>, path: &[u8]) -> Result<(), Refusal> {
        Self::stop(awaited, |awaited| matches!(awaited, Self::File(name) if name == path))
    }

    /// Ends the run as somebody's token would: nobody but the harness, which looks, has the run.
    fn stop(awaited: &mut Option<Self>, is_asked: impl FnOnce(&Self) -> bool) -> Result<(), Refusal> {
        match awaited {
            Some(waiting) if is_asked(waiting) => {
                *waiting = Self::Asked;
                Err(End::Cancelled.into())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_question_for_the_input_stops_the_program() {
        let mut awaited = Some(Awaited::File(b"/input".to_vec()));
        assert!(Awaited::read(&mut awaited).is_ok() && Awaited::named(&mut awaited, b"/inputs").is_ok());
        assert!(matches!(Awaited::named(&mut awaited, b"/input"), Err(Refusal::End(End::Cancelled))));
        assert_eq!(awaited, Some(Awaited::Asked));
        assert!(Awaited::named(&mut awaited, b"/input").is_ok());
        let mut stdin = Some(Awaited::Stdin);
        assert!(Awaited::named(&mut stdin, b"/input").is_ok());
        assert!(Awaited::read(&mut stdin).is_err() && Awaited::read(&mut stdin).is_ok());
    }
}
