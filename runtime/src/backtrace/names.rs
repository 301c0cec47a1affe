//! Functions' names as people wrote them.
//!
//! A mangled name is a program that its demangler runs, and some of them make exponential work of it. So only names of a reasonable length
//! are demangled, what they become is cut, and recursion is limited; a name that is refused is shown as it is.

use std::fmt::{self, Write};

use cpp_demangle::{BorrowedSymbol, DemangleOptions, ParseOptions};

/// A longer name is not demangled.
const MAX_MANGLED_BYTES: usize = 512;
/// A name is cut here.
pub(super) const MAX_NAME_BYTES: usize = 1024;
/// How deeply C++ names may nest.
const MAX_DEPTH: u32 = 48;

/// A function's name in its language.
pub(super) fn demangle(name: &str) -> String {
    let mut text = Cut::default();
    if name.len() > MAX_MANGLED_BYTES || !is_mangled(name) {
        return cut(name);
    }
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        // Without the hash.
        let _ = write!(text, "{rust:#}");
        return text.0;
    }
    let limits = ParseOptions::default().recursion_limit(MAX_DEPTH);
    let options = DemangleOptions::new().no_params().no_return_type().recursion_limit(MAX_DEPTH);
    match BorrowedSymbol::with_tail_and_options(name.as_bytes(), &limits) {
        Ok((symbol, _)) => match symbol.structured_demangle(&mut text, &options) {
            Ok(()) => text.0,
            Err(_) => cut(name),
        },
        Err(_) => cut(name),
    }
}

fn is_mangled(name: &str) -> bool {
    name.starts_with("_Z") || name.starts_with("_R")
}

/// Text that is not longer than names are.
pub(super) fn cut(text: &str) -> String {
    text.get(..text.floor_char_boundary(MAX_NAME_BYTES)).unwrap_or_default().to_owned()
}

/// What is longer than a name is refused, so that the work ends too.
#[derive(Default)]
struct Cut(String);

impl Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > MAX_NAME_BYTES {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_people_wrote() {
        assert_eq!(demangle("main"), "main");
        assert_eq!(demangle("_ZN3foo3barEi"), "foo::bar");
        assert_eq!(demangle("_ZN4core9panicking5panic17h0123456789abcdefE"), "core::panicking::panic");
        assert_eq!(demangle("_RNvC7mycrate3foo"), "mycrate::foo");
    }

    #[test]
    fn a_name_that_is_none_is_shown_as_it_is() {
        for name in ["", "_Z", "_ZN", "_R", "_ZN3fo", "\u{e4}\u{f6}"] {
            assert_eq!(demangle(name), name);
        }
    }

    #[test]
    fn a_name_that_explodes_is_refused_and_a_long_one_is_cut() {
        let nested = format!("_ZN1aI{}E1fE", "1aIS_S_S_S_S_S_S_E".repeat(20));
        assert!(demangle(&nested).len() <= MAX_NAME_BYTES);
        let backward =
            format!("_Z1f{}", (0..60).map(|n| format!("P1aIS{}_S{}_E", base36(n), base36(n))).collect::<String>());
        assert!(demangle(&backward).len() <= MAX_NAME_BYTES);
        assert_eq!(demangle(&"x".repeat(5000)).len(), MAX_NAME_BYTES);
        assert!(demangle(&"\u{20ac}".repeat(5000)).len() <= MAX_NAME_BYTES);
    }

    fn base36(number: u32) -> String {
        if number == 0 {
            String::new()
        } else {
            char::from_digit((number - 1) % 36, 36).unwrap().to_uppercase().to_string()
        }
    }
}
