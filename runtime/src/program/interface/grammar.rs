//! The text of a signature, read once from left to right and written again with its spaces in their places.
//!
//! The grammar is that of [`ampoule_kernel::schema`]. Each byte is looked at a bounded number of times, types nest [`MAX_DEPTH`] deep at
//! most, and what is written is no longer than twice what was read.

use ampoule_kernel::note::TEXT_MAX_BYTES;

use super::error::{SignatureError, SignatureFault};
use super::signature::Signature;

/// Types inside types: people write about five, and the reader's stack has to end somewhere.
pub(super) const MAX_DEPTH: usize = 64;

/// Types that are one word.
const PRIMITIVES: [&str; 15] =
    ["bool", "u8", "u16", "u32", "u64", "u128", "i8", "i16", "i32", "i64", "i128", "f32", "f64", "char", "string"];

/// What ends a word, besides space.
const PUNCTUATION: [char; 11] = ['(', ')', '[', ']', '{', '}', '<', '>', ',', ':', ';'];

/// Reads all of `text` as a signature.
pub(super) fn signature(text: &str) -> Result<Signature, SignatureError> {
    if text.len() > TEXT_MAX_BYTES {
        return Err(SignatureError { at: TEXT_MAX_BYTES, fault: SignatureFault::TooLong { max: TEXT_MAX_BYTES } });
    }
    if is_bytes(text) {
        return Ok(Signature::bytes());
    }
    let mut reader = Reader { length: text.len(), rest: text, shape: String::with_capacity(text.len()) };
    let mut named = String::with_capacity(text.len());
    reader.parameters(&mut named)?;
    let parameters_end = reader.shape.len();
    if !reader.take("->") {
        return Err(reader.expected("`->`"));
    }
    reader.shape.push_str(" -> ");
    reader.ty(MAX_DEPTH)?;
    if !reader.is_at_end() {
        return Err(reader.expected("nothing more"));
    }
    named.push_str(reader.written_since(parameters_end));
    Ok(Signature::new(named, reader.shape))
}

/// True for `(bytes) -> bytes`, with any spaces between its tokens.
fn is_bytes(text: &str) -> bool {
    let mut rest = text;
    let mut tokens = ["(", "bytes", ")", "->", "bytes"].into_iter();
    tokens.all(|token| rest.trim_ascii_start().strip_prefix(token).map(|tail| rest = tail).is_some())
        && rest.trim_ascii_start().is_empty()
}

struct Reader<'a> {
    /// Bytes of the whole text.
    length: usize,
    rest: &'a str,
    /// What was read, in canonical form and without the names of parameters.
    shape: String,
}

impl<'a> Reader<'a> {
    /// `(name: type, …)`, where names can be left out. They are written to `named` only.
    fn parameters(&mut self, named: &mut String) -> Result<(), SignatureError> {
        if !self.take("(") {
            return Err(self.expected("`(`"));
        }
        self.shape.push('(');
        self.list(")", "`,` or `)`", |reader| {
            named.push_str(if named.is_empty() { "(" } else { ", " });
            if let Some(name) = reader.parameter_name()? {
                named.push_str(name);
                named.push_str(": ");
            }
            let start = reader.shape.len();
            reader.ty(MAX_DEPTH)?;
            named.push_str(reader.written_since(start));
            Ok(())
        })?;
        named.push_str(if named.is_empty() { "()" } else { ")" });
        Ok(())
    }

    /// A name and its colon, if that is what comes next.
    fn parameter_name(&mut self) -> Result<Option<&'a str>, SignatureError> {
        let (_, after) = self.split_word();
        if !after.trim_ascii_start().starts_with(':') {
            return Ok(None);
        }
        let name = self.name()?;
        self.take(":");
        Ok(Some(name))
    }

    /// A type, with at most `depth` types inside each other.
    fn ty(&mut self, depth: usize) -> Result<(), SignatureError> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(self.fault(SignatureFault::TooDeep { max: MAX_DEPTH }));
        };
        if self.copy("(") {
            return self.parts(depth);
        }
        if self.copy("{") {
            return self.fields(depth);
        }
        if self.copy("[") {
            return self.elements(depth);
        }
        let (word, after) = self.split_word();
        if !PRIMITIVES.contains(&word) && !["option", "result", "map", "enum"].contains(&word) {
            return Err(self.fault(SignatureFault::UnknownType));
        }
        self.rest = after;
        self.shape.push_str(word);
        match word {
            "option" => self.arguments(1, depth),
            "result" | "map" => self.arguments(2, depth),
            "enum" => self.variants(depth),
            _ => Ok(()),
        }
    }

    /// `type, …)`
    fn parts(&mut self, depth: usize) -> Result<(), SignatureError> {
        self.list(")", "`,` or `)`", |reader| reader.ty(depth))
    }

    /// `field: type, …}`
    fn fields(&mut self, depth: usize) -> Result<(), SignatureError> {
        self.list("}", "`,` or `}`", |reader| {
            let name = reader.name()?;
            if !reader.take(":") {
                return Err(reader.expected("`:`"));
            }
            reader.shape.push_str(name);
            reader.shape.push_str(": ");
            reader.ty(depth)
        })
    }

    /// `type]` or `type; count]`
    fn elements(&mut self, depth: usize) -> Result<(), SignatureError> {
        self.ty(depth)?;
        if self.take(";") {
            let (digits, after) = self.split_word();
            let length = Some(digits).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
            let length = length.and_then(|digits| digits.parse::<u64>().ok());
            let length = length.ok_or_else(|| self.fault(SignatureFault::Length))?;
            self.rest = after;
            self.shape.push_str(&format!("; {length}"));
        }
        if self.copy("]") { Ok(()) } else { Err(self.expected("`]`")) }
    }

    /// `<type, …>` with so many types.
    fn arguments(&mut self, count: usize, depth: usize) -> Result<(), SignatureError> {
        if !self.copy("<") {
            return Err(self.expected("`<`"));
        }
        for index in 0..count {
            if index > 0 {
                if !self.take(",") {
                    return Err(self.expected("`,`"));
                }
                self.shape.push_str(", ");
            }
            self.ty(depth)?;
        }
        if self.copy(">") { Ok(()) } else { Err(self.expected("`>`")) }
    }

    /// `{Variant, Variant(type, …), Variant{field: type, …}, …}`
    fn variants(&mut self, depth: usize) -> Result<(), SignatureError> {
        if !self.copy("{") {
            return Err(self.expected("`{`"));
        }
        self.list("}", "`,` or `}`", |reader| {
            let name = reader.name()?;
            reader.shape.push_str(name);
            if reader.copy("(") {
                return reader.parts(depth);
            }
            if reader.copy("{") {
                return reader.fields(depth);
            }
            Ok(())
        })
    }

    /// Items with commas between them, up to and with `close`.
    fn list(
        &mut self,
        close: &'static str,
        expected: &'static str,
        mut item: impl FnMut(&mut Self) -> Result<(), SignatureError>,
    ) -> Result<(), SignatureError> {
        if self.copy(close) {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.copy(close) {
                return Ok(());
            }
            if !self.take(",") {
                return Err(self.expected(expected));
            }
            self.shape.push_str(", ");
        }
    }

    /// The name that comes next: what `Debug` shows as it is, so that it cannot rearrange a terminal either.
    fn name(&mut self) -> Result<&'a str, SignatureError> {
        let (word, after) = self.split_word();
        if word.is_empty() || !word.escape_debug().eq(word.chars()) {
            return Err(self.fault(SignatureFault::Name));
        }
        self.rest = after;
        Ok(word)
    }

    /// What comes before the next space or punctuation, and the rest.
    fn split_word(&mut self) -> (&'a str, &'a str) {
        self.skip_space();
        let ends = |c: char| c.is_ascii_whitespace() || PUNCTUATION.contains(&c);
        self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()))
    }

    /// Takes `token` if it comes next.
    fn take(&mut self, token: &str) -> bool {
        self.skip_space();
        self.rest.strip_prefix(token).map(|after| self.rest = after).is_some()
    }

    /// Takes `token` if it comes next, and writes it.
    fn copy(&mut self, token: &str) -> bool {
        let taken = self.take(token);
        if taken {
            self.shape.push_str(token);
        }
        taken
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_space();
        self.rest.is_empty()
    }

    fn written_since(&self, start: usize) -> &str {
        self.shape.get(start..).unwrap_or_default()
    }

    fn expected(&mut self, what: &'static str) -> SignatureError {
        self.fault(SignatureFault::Expected(what))
    }

    /// What is wrong where the next token starts.
    fn fault(&mut self, fault: SignatureFault) -> SignatureError {
        self.skip_space();
        SignatureError { at: self.length - self.rest.len(), fault }
    }
}
