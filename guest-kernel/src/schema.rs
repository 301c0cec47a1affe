//! What crosses a typed call, described structurally, at compile time.
//!
//! `postcard` writes no types and no names: an `i32` that is read as a `u32` arrives doubled and without an error. So both sides describe
//! what they mean, and the host compares before the first call. What is compared is the *shape*: `&str` is a `String`, `&[T]` a
//! `Vec<T>`, a newtype what it wraps; names of types do not matter, names of fields and variants do.
//!
//! ```text
//! type  ::= bool u8 u16 u32 u64 u128 i8 … i128 f32 f64 char string ()
//!         | option<type> | result<type, type> | map<type, type>
//!         | [type] | [type; count] | (type, …) | {field: type, …} | enum{Variant, Variant(type, …), Variant{field: type, …}}
//! call  ::= name(parameter: type, …) -> type
//! ```

/// The shape of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Type {
    /// A type without parts, by its name above.
    Primitive(&'static str),
    /// `option<T>`
    Option(&'static Type),
    /// `result<T, E>`
    Result(&'static Type, &'static Type),
    /// `map<K, V>`
    Map(&'static Type, &'static Type),
    /// `[T]`
    Sequence(&'static Type),
    /// `[T; n]`
    Array(&'static Type, usize),
    /// `(T, …)`; `(T)` has one part. `()` is [`UNIT`](Self::UNIT).
    Tuple(&'static [&'static Type]),
    /// `{field: T, …}`
    Struct(&'static [Field]),
    /// `enum{…}`
    Enum(&'static [Variant]),
}

/// A field or a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub ty: &'static Type,
}

/// A variant of an enum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Variant {
    /// Its name.
    pub name: &'static str,
    /// What it carries.
    pub content: Content,
}

/// What a variant carries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Content {
    /// Nothing.
    Unit,
    /// Parts without names.
    Tuple(&'static [&'static Type]),
    /// Parts with names.
    Struct(&'static [Field]),
}

/// A function's parameters and result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signature {
    /// In order.
    pub parameters: &'static [Field],
    /// `()` if it returns nothing.
    pub result: &'static Type,
}

impl Type {
    /// `()`
    pub const UNIT: Self = Self::Primitive("()");
}

/// A type whose values can cross a typed call.
///
/// It is derived (`#[derive(Schema)]` of `ampoule` and of `ampoule-guest`), next to serde's traits, with which it must agree: a type that
/// changes its serde encoding by attributes other than `rename` and `rename_all` has no `Schema`. Types that contain themselves have none
/// either.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no `Schema`: it cannot cross a typed call",
    note = "derive it: `#[derive(Serialize, Deserialize, Schema)]`"
)]
pub trait Schema {
    /// Its shape.
    const TYPE: &'static Type;
}

macro_rules! primitives {
    ($($rust:ty = $name:literal),+ $(,)?) => {
        $(impl Schema for $rust {
            const TYPE: &'static Type = &Type::Primitive($name);
        })+
    };
}

primitives! {
    bool = "bool", u8 = "u8", u16 = "u16", u32 = "u32", u64 = "u64", u128 = "u128", i8 = "i8", i16 = "i16", i32 = "i32", i64 = "i64",
    i128 = "i128", f32 = "f32", f64 = "f64", char = "char", str = "string", usize = "u64", isize = "i64", () = "()",
}

impl<T: Schema + ?Sized> Schema for &T {
    const TYPE: &'static Type = T::TYPE;
}

impl<T: Schema + ?Sized> Schema for &mut T {
    const TYPE: &'static Type = T::TYPE;
}

impl<T: Schema> Schema for [T] {
    const TYPE: &'static Type = &Type::Sequence(T::TYPE);
}

impl<T: Schema, const N: usize> Schema for [T; N] {
    const TYPE: &'static Type = &Type::Array(T::TYPE, N);
}

impl<T: Schema> Schema for Option<T> {
    const TYPE: &'static Type = &Type::Option(T::TYPE);
}

impl<T: Schema, E: Schema> Schema for Result<T, E> {
    const TYPE: &'static Type = &Type::Result(T::TYPE, E::TYPE);
}

impl Schema for core::time::Duration {
    const TYPE: &'static Type = &Type::Struct(&[
        Field { name: "secs", ty: &Type::Primitive("u64") },
        Field { name: "nanos", ty: &Type::Primitive("u32") },
    ]);
}

macro_rules! tuples {
    ($($($name:ident)+;)+) => {
        $(impl<$($name: Schema),+> Schema for ($($name,)+) {
            const TYPE: &'static Type = &Type::Tuple(&[$($name::TYPE),+]);
        })+
    };
}

tuples! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
}

#[cfg(feature = "alloc")]
mod with_alloc {
    use alloc::borrow::{Cow, ToOwned};
    use alloc::boxed::Box;
    use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
    use alloc::string::String;
    use alloc::vec::Vec;

    use super::{Schema, Type};

    impl Schema for String {
        const TYPE: &'static Type = str::TYPE;
    }

    impl<T: Schema> Schema for Vec<T> {
        const TYPE: &'static Type = <[T]>::TYPE;
    }

    impl<T: Schema> Schema for VecDeque<T> {
        const TYPE: &'static Type = <[T]>::TYPE;
    }

    impl<T: Schema> Schema for BTreeSet<T> {
        const TYPE: &'static Type = <[T]>::TYPE;
    }

    impl<T: Schema + ?Sized> Schema for Box<T> {
        const TYPE: &'static Type = T::TYPE;
    }

    impl<T: Schema + ToOwned + ?Sized> Schema for Cow<'_, T> {
        const TYPE: &'static Type = T::TYPE;
    }

    impl<K: Schema, V: Schema> Schema for BTreeMap<K, V> {
        const TYPE: &'static Type = &Type::Map(K::TYPE, V::TYPE);
    }
}

#[cfg(feature = "std")]
mod with_std {
    use std::collections::{HashMap, HashSet};

    use super::{Schema, Type};

    impl<T: Schema, S> Schema for HashSet<T, S> {
        const TYPE: &'static Type = <[T]>::TYPE;
    }

    impl<K: Schema, V: Schema, S> Schema for HashMap<K, V, S> {
        const TYPE: &'static Type = &Type::Map(K::TYPE, V::TYPE);
    }
}

/// Text that is written in a constant: first counted, then copied.
struct Text<'a> {
    to: &'a mut [u8],
    length: usize,
}

impl Text<'_> {
    const fn put(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut index = 0;
        while index < bytes.len() {
            self.put_byte(bytes, index);
            index += 1;
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a slice's `get` is not const; the bounds are checked in the same line"
    )]
    const fn put_byte(&mut self, from: &[u8], index: usize) {
        if self.length < self.to.len() && index < from.len() {
            self.to[self.length] = from[index];
        }
        self.length += 1;
    }

    const fn put_number(&mut self, number: usize) {
        if number >= 10 {
            self.put_number(number / 10);
        }
        self.put_byte(b"0123456789", number % 10);
    }

    const fn put_fields(&mut self, open: &str, fields: &[Field], close: &str) {
        self.put(open);
        let mut rest = fields;
        let mut first = true;
        while let [field, tail @ ..] = rest {
            if !first {
                self.put(", ");
            }
            first = false;
            self.put(field.name);
            self.put(": ");
            self.put_type(field.ty);
            rest = tail;
        }
        self.put(close);
    }

    const fn put_parts(&mut self, parts: &[&Type]) {
        self.put("(");
        let mut rest = parts;
        let mut first = true;
        while let [part, tail @ ..] = rest {
            if !first {
                self.put(", ");
            }
            first = false;
            self.put_type(part);
            rest = tail;
        }
        self.put(")");
    }

    const fn put_pair(&mut self, open: &str, one: &Type, other: &Type) {
        self.put(open);
        self.put_type(one);
        self.put(", ");
        self.put_type(other);
        self.put(">");
    }

    const fn put_type(&mut self, ty: &Type) {
        match ty {
            Type::Primitive(name) => self.put(name),
            Type::Option(of) => {
                self.put("option<");
                self.put_type(of);
                self.put(">");
            }
            Type::Result(value, error) => self.put_pair("result<", value, error),
            Type::Map(key, value) => self.put_pair("map<", key, value),
            Type::Sequence(of) => {
                self.put("[");
                self.put_type(of);
                self.put("]");
            }
            Type::Array(of, count) => {
                self.put("[");
                self.put_type(of);
                self.put("; ");
                self.put_number(*count);
                self.put("]");
            }
            Type::Tuple(parts) => self.put_parts(parts),
            Type::Struct(fields) => self.put_fields("{", fields, "}"),
            Type::Enum(variants) => {
                self.put("enum{");
                let mut rest = *variants;
                let mut first = true;
                while let [variant, tail @ ..] = rest {
                    if !first {
                        self.put(", ");
                    }
                    first = false;
                    self.put(variant.name);
                    match variant.content {
                        Content::Unit => {}
                        Content::Tuple(parts) => self.put_parts(parts),
                        Content::Struct(fields) => self.put_fields("{", fields, "}"),
                    }
                    rest = tail;
                }
                self.put("}");
            }
        }
    }

    const fn put_signature(&mut self, signature: &Signature) {
        self.put_fields("(", signature.parameters, ")");
        self.put(" -> ");
        self.put_type(signature.result);
    }
}

impl Type {
    /// True if both have the same shape.
    #[must_use]
    pub const fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Primitive(one), Self::Primitive(other)) => same_text(one, other),
            (Self::Option(one), Self::Option(other)) | (Self::Sequence(one), Self::Sequence(other)) => one.is(other),
            (Self::Result(one, error), Self::Result(other, its)) | (Self::Map(one, error), Self::Map(other, its)) => {
                one.is(other) && error.is(its)
            }
            (Self::Array(one, count), Self::Array(other, its)) => *count == *its && one.is(other),
            (Self::Tuple(one), Self::Tuple(other)) => same_parts(one, other),
            (Self::Struct(one), Self::Struct(other)) => same_fields(one, other),
            (Self::Enum(one), Self::Enum(other)) => same_variants(one, other),
            _ => false,
        }
    }

    /// Writes it as text into `to`, as far as that reaches; returns how long the whole text is.
    pub const fn write(&self, to: &mut [u8]) -> usize {
        let mut text = Text { to, length: 0 };
        text.put_type(self);
        text.length
    }
}

const fn same_text(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    while let ([a, one_tail @ ..], [b, other_tail @ ..]) = (one, other) {
        if *a != *b {
            return false;
        }
        (one, other) = (one_tail, other_tail);
    }
    one.is_empty() && other.is_empty()
}

const fn same_parts(one: &[&Type], other: &[&Type]) -> bool {
    let (mut one, mut other) = (one, other);
    while let ([a, one_tail @ ..], [b, other_tail @ ..]) = (one, other) {
        if !a.is(b) {
            return false;
        }
        (one, other) = (one_tail, other_tail);
    }
    one.is_empty() && other.is_empty()
}

const fn same_fields(one: &[Field], other: &[Field]) -> bool {
    let (mut one, mut other) = (one, other);
    while let ([a, one_tail @ ..], [b, other_tail @ ..]) = (one, other) {
        if !same_text(a.name, b.name) || !a.ty.is(b.ty) {
            return false;
        }
        (one, other) = (one_tail, other_tail);
    }
    one.is_empty() && other.is_empty()
}

const fn same_variants(one: &[Variant], other: &[Variant]) -> bool {
    let (mut one, mut other) = (one, other);
    while let ([a, one_tail @ ..], [b, other_tail @ ..]) = (one, other) {
        let same = match (&a.content, &b.content) {
            (Content::Unit, Content::Unit) => true,
            (Content::Tuple(one), Content::Tuple(other)) => same_parts(one, other),
            (Content::Struct(one), Content::Struct(other)) => same_fields(one, other),
            _ => false,
        };
        if !same || !same_text(a.name, b.name) {
            return false;
        }
        (one, other) = (one_tail, other_tail);
    }
    one.is_empty() && other.is_empty()
}

impl Signature {
    /// Writes `(parameter: type, …) -> type`, as [`Type::write`] does.
    pub const fn write(&self, to: &mut [u8]) -> usize {
        let mut text = Text { to, length: 0 };
        text.put_signature(self);
        text.length
    }
}

#[cfg(test)]
#[cfg(feature = "std")]
mod tests {
    use std::borrow::Cow;
    use std::collections::{BTreeMap, HashMap};
    use std::string::String;

    use super::*;

    fn text<T: Schema + ?Sized>() -> String {
        let mut bytes = vec![0; T::TYPE.write(&mut [])];
        T::TYPE.write(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn borrowed_and_owned_are_the_same_shape() {
        assert_eq!(<&str>::TYPE, String::TYPE);
        assert_eq!(<&[u8]>::TYPE, Vec::<u8>::TYPE);
        assert_eq!(Cow::<'_, str>::TYPE, String::TYPE);
        assert_eq!(HashMap::<String, u8>::TYPE, BTreeMap::<&str, u8>::TYPE);
    }

    #[test]
    fn shapes_are_the_same_exactly_when_their_texts_are() {
        const NAMED: Type = Type::Struct(&[Field { name: "x", ty: u8::TYPE }]);
        const RENAMED: Type = Type::Struct(&[Field { name: "y", ty: u8::TYPE }]);
        const ONE: Type = Type::Enum(&[Variant { name: "A", content: Content::Tuple(&[u8::TYPE]) }]);
        const OTHER: Type = Type::Enum(&[Variant { name: "A", content: Content::Struct(&[]) }]);
        let shapes = [
            u8::TYPE,
            str::TYPE,
            <()>::TYPE,
            <Option<u8>>::TYPE,
            <[u8]>::TYPE,
            <[u8; 3]>::TYPE,
            <[u8; 4]>::TYPE,
            <(u8,)>::TYPE,
            <(u8, u8)>::TYPE,
            <Result<u8, ()>>::TYPE,
            <BTreeMap<u8, u16>>::TYPE,
            <BTreeMap<u16, u8>>::TYPE,
            &NAMED,
            &RENAMED,
            &ONE,
            &OTHER,
        ];
        let text = |ty: &Type| {
            let mut bytes = vec![0; ty.write(&mut [])];
            ty.write(&mut bytes);
            bytes
        };
        for one in shapes {
            for other in shapes {
                assert_eq!(one.is(other), text(one) == text(other), "{one:?} {other:?}");
            }
        }
        assert!(<(&str, &[u32])>::TYPE.is(<(String, Vec<u32>)>::TYPE));
    }

    #[test]
    fn every_shape_has_its_text() {
        assert_eq!(text::<Option<Result<Vec<(u8, f64)>, ()>>>(), "option<result<[(u8, f64)], ()>>");
        assert_eq!(text::<[char; 120]>(), "[char; 120]");
        assert_eq!(text::<(bool,)>(), "(bool)");
        assert_eq!(text::<BTreeMap<i128, core::time::Duration>>(), "map<i128, {secs: u64, nanos: u32}>");
        let signs = Type::Enum(&[
            Variant { name: "None", content: Content::Unit },
            Variant { name: "One", content: Content::Tuple(&[u8::TYPE, str::TYPE]) },
            Variant { name: "Two", content: Content::Struct(&[Field { name: "x", ty: f32::TYPE }]) },
        ]);
        let mut bytes = [0; 40];
        assert_eq!(signs.write(&mut bytes), bytes.len());
        assert_eq!(&bytes, b"enum{None, One(u8, string), Two{x: f32}}");
    }

    #[test]
    fn a_short_buffer_gets_the_beginning_and_the_whole_length() {
        let mut bytes = [0; 5];
        assert_eq!(<Option<String>>::TYPE.write(&mut bytes), "option<string>".len());
        assert_eq!(&bytes, b"optio");
    }
}
