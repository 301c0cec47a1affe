//! `#[derive(Schema)]`: the shape of a type as a constant.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Data, DeriveInput, Error, Field, Fields, GenericParam, LitStr, Variant, parse_quote};

use crate::function::Refused;
use crate::rename::Rule;
use crate::serde_attributes::SerdeAttributes;

/// Implements `root::Schema`, where `root` is a module with everything that `ampoule_kernel::schema` has.
pub(crate) fn expand(item: TokenStream, root: &TokenStream) -> syn::Result<TokenStream> {
    let mut input: DeriveInput = syn::parse2(item)?;
    let attributes = SerdeAttributes::parse(&input.attrs)?;
    let shape = match &input.data {
        Data::Struct(data) => struct_shape(&data.fields, &attributes, root, &input.ident)?,
        Data::Enum(data) => {
            if attributes.transparent {
                return Err(Error::new_spanned(&input.ident, "an enum cannot be transparent"));
            }
            let variants = collect(data.variants.iter().map(|variant| variant_shape(variant, &attributes, root)))?;
            quote!(&#root::Type::Enum(&[#(#variants),*]))
        }
        Data::Union(_) => {
            return Err(Error::new_spanned(&input.ident, "a union has no `Schema`: nothing says which field is meant"));
        }
    };
    let bounds: Vec<syn::WherePredicate> = input
        .generics
        .params
        .iter()
        .filter_map(|parameter| match parameter {
            GenericParam::Type(parameter) => {
                let ident = &parameter.ident;
                Some(parse_quote!(#ident: #root::Schema))
            }
            _ => None,
        })
        .collect();
    if !bounds.is_empty() {
        input.generics.make_where_clause().predicates.extend(bounds);
    }
    let (implementation, arguments, clause) = input.generics.split_for_impl();
    let ident = &input.ident;
    Ok(quote! {
        #[automatically_derived]
        impl #implementation #root::Schema for #ident #arguments #clause {
            const TYPE: &'static #root::Type = #shape;
        }
    })
}

fn struct_shape(
    fields: &Fields,
    attributes: &SerdeAttributes,
    root: &TokenStream,
    ident: &Ident,
) -> syn::Result<TokenStream> {
    if attributes.transparent {
        let mut all = fields.iter();
        return match (all.next(), all.next()) {
            (Some(field), None) => {
                SerdeAttributes::parse(&field.attrs)?;
                Ok(type_of(field, root))
            }
            _ => Err(Error::new_spanned(ident, "a transparent struct with a `Schema` has exactly one field")),
        };
    }
    Ok(match fields {
        Fields::Unit => quote!(&#root::Type::UNIT),
        Fields::Named(_) => {
            let fields = named(fields, attributes.rename_all, root)?;
            quote!(&#root::Type::Struct(&[#(#fields),*]))
        }
        Fields::Unnamed(_) => match unnamed(fields, root)?.as_slice() {
            [] => quote!(&#root::Type::UNIT),
            [newtype] => newtype.clone(),
            parts => quote!(&#root::Type::Tuple(&[#(#parts),*])),
        },
    })
}

fn variant_shape(variant: &Variant, outer: &SerdeAttributes, root: &TokenStream) -> syn::Result<TokenStream> {
    let attributes = SerdeAttributes::parse(&variant.attrs)?;
    let name = name(&variant.ident, &attributes, outer.rename_all.map(|rule| move |name: &str| rule.variant(name)))?;
    let content = match &variant.fields {
        Fields::Unit => quote!(#root::Content::Unit),
        fields @ Fields::Unnamed(_) => {
            let parts = unnamed(fields, root)?;
            quote!(#root::Content::Tuple(&[#(#parts),*]))
        }
        fields @ Fields::Named(_) => {
            let fields = named(fields, attributes.rename_all.or(outer.rename_all_fields), root)?;
            quote!(#root::Content::Struct(&[#(#fields),*]))
        }
    };
    Ok(quote!(#root::Variant { name: #name, content: #content }))
}

fn named(fields: &Fields, rule: Option<Rule>, root: &TokenStream) -> syn::Result<Vec<TokenStream>> {
    collect(fields.iter().filter_map(|field| field.ident.as_ref().map(|ident| (field, ident))).map(|(field, ident)| {
        let attributes = SerdeAttributes::parse(&field.attrs)?;
        let name = name(ident, &attributes, rule.map(|rule| move |name: &str| rule.field(name)))?;
        let ty = type_of(field, root);
        Ok(quote!(#root::Field { name: #name, ty: #ty }))
    }))
}

fn unnamed(fields: &Fields, root: &TokenStream) -> syn::Result<Vec<TokenStream>> {
    collect(fields.iter().map(|field| SerdeAttributes::parse(&field.attrs).map(|_| type_of(field, root))))
}

fn type_of(field: &Field, root: &TokenStream) -> TokenStream {
    let ty = &field.ty;
    quote_spanned!(ty.span()=> <#ty as #root::Schema>::TYPE)
}

/// The name as serde has it. It becomes part of a text that is read again, so it cannot hold what separates names there.
fn name(ident: &Ident, attributes: &SerdeAttributes, rule: Option<impl Fn(&str) -> String>) -> syn::Result<LitStr> {
    let plain = ident.unraw().to_string();
    let name = match (&attributes.rename, rule) {
        (Some(name), _) => name.clone(),
        (None, Some(rule)) => LitStr::new(&rule(&plain), ident.span()),
        (None, None) => LitStr::new(&plain, ident.span()),
    };
    let text = name.value();
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control() || "(){}[]<>,:;".contains(c)) {
        return Err(Error::new(
            name.span(),
            "a name in a `Schema` is not empty and has no spaces and none of (){}[]<>,:;",
        ));
    }
    Ok(name)
}

fn collect(parts: impl Iterator<Item = syn::Result<TokenStream>>) -> syn::Result<Vec<TokenStream>> {
    let mut refused = Refused::default();
    let good = parts.filter_map(|part| part.map_err(|error| refused.add_error(error)).ok()).collect();
    refused.into_result().map(|()| good)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(item: &str) -> syn::Result<String> {
        expand(item.parse().unwrap(), &quote!(root)).map(|tokens| tokens.to_string())
    }

    #[test]
    fn an_attribute_that_changes_the_encoding_is_refused() {
        for attribute in [
            "skip",
            "skip_serializing",
            "skip_deserializing",
            "skip_serializing_if = \"f\"",
            "flatten",
            "with = \"m\"",
            "serialize_with = \"f\"",
            "deserialize_with = \"f\"",
            "getter = \"f\"",
            "default, skip",
        ] {
            let error = derived(&format!("struct S {{ #[serde({attribute})] a: u8 }}")).unwrap_err().to_string();
            assert!(error.contains("changes how serde encodes"), "{attribute}: {error}");
        }
        for attribute in [
            "tag = \"t\"",
            "content = \"c\"",
            "untagged",
            "from = \"T\"",
            "into = \"T\"",
            "try_from = \"T\"",
            "remote = \"T\"",
            "variant_identifier",
            "from_the_future",
        ] {
            let error = derived(&format!("#[serde({attribute})] enum E {{ A }}")).unwrap_err().to_string();
            assert!(error.contains("changes how serde encodes"), "{attribute}: {error}");
        }
        assert!(
            derived("enum E { #[serde(other)] A }").is_err() && derived("enum E { A(#[serde(skip)] u8) }").is_err()
        );
    }

    #[test]
    fn an_attribute_without_effect_is_let_through() {
        derived(
            "#[serde(bound = \"T: Copy\", crate = \"serde\", deny_unknown_fields, default)] #[other]
             struct S<T> { #[serde(default = \"f\", alias = \"b\", borrow, bound(serialize = \"\"))] a: T }",
        )
        .unwrap();
    }

    #[test]
    fn names_that_differ_by_direction_or_break_the_text_are_refused() {
        for item in [
            "struct S { #[serde(rename(serialize = \"x\", deserialize = \"y\"))] a: u8 }",
            "struct S { #[serde(rename = \"a: u8, b\")] a: u8 }",
            "struct S { #[serde(rename = \"\")] a: u8 }",
            "#[serde(rename_all = \"Title Case\")] struct S { a: u8 }",
        ] {
            assert!(derived(item).is_err(), "{item}");
        }
    }

    #[test]
    fn unions_and_what_is_transparent_by_mistake_are_refused() {
        for item in [
            "union U { a: u8 }",
            "#[serde(transparent)] enum E { A }",
            "#[serde(transparent)] struct S { a: u8, b: u8 }",
        ] {
            assert!(derived(item).is_err(), "{item}");
        }
    }

    #[test]
    fn every_wrong_field_is_reported() {
        let error = derived("struct S { #[serde(skip)] a: u8, b: u8, #[serde(flatten)] c: u8 }").unwrap_err();
        assert_eq!(error.into_iter().count(), 2);
    }

    #[test]
    fn type_parameters_need_a_schema_and_others_do_not() {
        let tokens = derived("struct S<'a, T: Copy, const N: usize> where T: Clone { a: &'a [T; N] }").unwrap();
        assert!(tokens.contains("where T : Clone , T : root :: Schema {"), "{tokens}");
    }
}
