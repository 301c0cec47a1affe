//! What a type's values take on the wire, as far as that decides whether the host may decode them.
//!
//! postcard writes the length of a sequence and then its elements. Where an element takes no bytes, the length is all there is: ten bytes
//! claim 2^64 elements, and whoever decodes them is busy for years. Such a type crosses no call.

use std::fmt;

use ampoule_kernel::schema::{Content, Field, Type};

use super::signature::rendered;

/// A sequence or map of elements that take no bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unbounded {
    /// Where it is: `.rows[].0`; empty if it is the type itself.
    path: String,
    /// What it is: `[()]`.
    ty: String,
}

impl fmt::Display for Unbounded {
    /// `[()] at .rows[].0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.ty) } else { write!(f, "{} at {}", self.ty, self.path) }
    }
}

/// The first sequence or map in `ty` whose elements take no bytes.
pub(crate) fn unbounded(ty: &Type) -> Option<Unbounded> {
    find(ty, &mut String::new())
}

fn find(ty: &Type, path: &mut String) -> Option<Unbounded> {
    let is_unbounded = match ty {
        Type::Sequence(of) => takes_no_bytes(of),
        Type::Map(key, value) => takes_no_bytes(key) && takes_no_bytes(value),
        _ => false,
    };
    if is_unbounded {
        return Some(Unbounded { path: path.clone(), ty: rendered(ty) });
    }
    match ty {
        Type::Primitive(_) => None,
        Type::Option(of) => inside(path, "?", of),
        Type::Result(value, error) => inside(path, "::Ok", value).or_else(|| inside(path, "::Err", error)),
        Type::Map(key, value) => inside(path, "[key]", key).or_else(|| inside(path, "[value]", value)),
        Type::Sequence(of) | Type::Array(of, _) => inside(path, "[]", of),
        Type::Tuple(parts) => in_parts(path, parts),
        Type::Struct(fields) => in_fields(path, fields),
        Type::Enum(variants) => variants.iter().find_map(|variant| {
            let before = path.len();
            path.push_str("::");
            path.push_str(variant.name);
            let found = match variant.content {
                Content::Unit => None,
                Content::Tuple(parts) => in_parts(path, parts),
                Content::Struct(fields) => in_fields(path, fields),
            };
            path.truncate(before);
            found
        }),
    }
}

/// Looks into a part of what `path` leads to, and leaves `path` as it was.
fn inside(path: &mut String, step: &str, ty: &Type) -> Option<Unbounded> {
    let before = path.len();
    path.push_str(step);
    let found = find(ty, path);
    path.truncate(before);
    found
}

fn in_parts(path: &mut String, parts: &[&Type]) -> Option<Unbounded> {
    parts.iter().enumerate().find_map(|(index, part)| inside(path, &format!(".{index}"), part))
}

fn in_fields(path: &mut String, fields: &[Field]) -> Option<Unbounded> {
    fields.iter().find_map(|field| inside(path, &format!(".{}", field.name), field.ty))
}

/// True if postcard writes nothing for any value of the type. An enum, an option and a result have their variant's number, a sequence, a
/// map and a string their length.
fn takes_no_bytes(ty: &Type) -> bool {
    match ty {
        Type::Primitive(_) => *ty == Type::UNIT,
        Type::Array(of, count) => *count == 0 || takes_no_bytes(of),
        Type::Tuple(parts) => parts.iter().all(|part| takes_no_bytes(part)),
        Type::Struct(fields) => fields.iter().all(|field| takes_no_bytes(field.ty)),
        Type::Option(_) | Type::Result(..) | Type::Map(..) | Type::Sequence(_) | Type::Enum(_) => false,
    }
}
