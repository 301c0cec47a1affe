//! serde's attributes, read for what they mean to a schema: names that change are followed, encodings that change are refused.
//!
//! The list of what is let through is the list of what is understood. An attribute that serde gains tomorrow is refused until somebody
//! has looked at what it does to the bytes.

use syn::meta::ParseNestedMeta;
use syn::{Attribute, LitStr, Token};

use crate::rename::Rule;

/// These change names that do not travel, trait bounds, or what is accepted from formats that `postcard` is not.
const WITHOUT_EFFECT: [&str; 7] = ["alias", "borrow", "bound", "crate", "default", "deny_unknown_fields", "expecting"];

/// What the attributes of one type, variant or field say.
#[derive(Default)]
pub(crate) struct SerdeAttributes {
    pub(crate) rename: Option<LitStr>,
    pub(crate) rename_all: Option<Rule>,
    pub(crate) rename_all_fields: Option<Rule>,
    pub(crate) transparent: bool,
}

impl SerdeAttributes {
    pub(crate) fn parse(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut all = Self::default();
        for attribute in attributes {
            if attribute.path().is_ident("serde") {
                attribute.parse_nested_meta(|meta| all.add(&meta))?;
            }
        }
        Ok(all)
    }

    fn add(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        if meta.path.is_ident("rename") {
            self.rename = Some(one_name(meta)?);
        } else if meta.path.is_ident("rename_all") {
            self.rename_all = Some(rule(meta)?);
        } else if meta.path.is_ident("rename_all_fields") {
            self.rename_all_fields = Some(rule(meta)?);
        } else if meta.path.is_ident("transparent") {
            self.transparent = true;
        } else if WITHOUT_EFFECT.iter().any(|name| meta.path.is_ident(name)) {
            if meta.input.peek(Token![=]) {
                meta.value()?.parse::<syn::Expr>()?;
            } else if meta.input.peek(syn::token::Paren) {
                let content;
                syn::parenthesized!(content in meta.input);
                content.parse::<proc_macro2::TokenStream>()?;
            }
        } else {
            return Err(meta.error(
                "this attribute changes how serde encodes the type, or may: such a type has no `Schema`; write one without it and convert",
            ));
        }
        Ok(())
    }
}

/// The attribute with one name for both ways; with two, the two sides would not see the same shape.
fn one_name(meta: &ParseNestedMeta<'_>) -> syn::Result<LitStr> {
    if meta.input.peek(Token![=]) {
        meta.value()?.parse()
    } else {
        Err(meta.error("a `Schema` has one name for both directions: `= \"…\"`"))
    }
}

fn rule(meta: &ParseNestedMeta<'_>) -> syn::Result<Rule> {
    let name = one_name(meta)?;
    Rule::from_name(&name.value()).ok_or_else(|| syn::Error::new(name.span(), "serde has no rule of this name"))
}
