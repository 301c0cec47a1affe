//! `import!`: for each declaration a function, its note, its entry in the table of imports, and the type that mocks it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Error, Expr, ExprLit, ForeignItemFn, Lit, Meta, Pat, ReturnType};

use crate::function::{ExternalName, Refused, Shape, conditions, note, parameters};

/// What can stand before a declaration and means to the function what it always means.
const PASSED_ON: [&str; 7] = ["doc", "cfg", "allow", "expect", "must_use", "deprecated", "inline"];

struct Declarations(Vec<ForeignItemFn>);

impl Parse for Declarations {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut declarations = Vec::new();
        while !input.is_empty() {
            declarations.push(input.parse()?);
        }
        Ok(Self(declarations))
    }
}

pub(crate) fn expand(items: TokenStream) -> syn::Result<TokenStream> {
    let Declarations(declarations) = syn::parse2(items)?;
    let mut refused = Refused::default();
    let mut all = TokenStream::new();
    for declaration in &declarations {
        match import(declaration) {
            Ok(tokens) => all.extend(tokens),
            Err(error) => refused.add_error(error),
        }
    }
    refused.into_result().map(|()| all)
}

struct Options {
    bytes: bool,
    name: ExternalName,
}

fn options(declaration: &ForeignItemFn) -> syn::Result<(Options, Vec<&Attribute>)> {
    let mut options = Options { bytes: false, name: ExternalName::of(&declaration.sig.ident)? };
    let mut passed_on = Vec::new();
    for attribute in &declaration.attrs {
        let path = attribute.path();
        if path.is_ident("bytes") {
            attribute.meta.require_path_only()?;
            options.bytes = true;
        } else if path.is_ident("name") {
            options.name = match &attribute.meta {
                Meta::NameValue(meta) => match &meta.value {
                    Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => ExternalName::from_literal(text)?,
                    other => return Err(Error::new_spanned(other, "the name is a string")),
                },
                other => return Err(Error::new_spanned(other, "the name is given as `#[name = \"…\"]`")),
            };
        } else if PASSED_ON.iter().any(|known| path.is_ident(known)) {
            passed_on.push(attribute);
        } else {
            return Err(Error::new_spanned(
                attribute,
                "an import can have `#[bytes]`, `#[name = \"…\"]`, documentation, conditions and lint levels",
            ));
        }
    }
    Ok((options, passed_on))
}

fn import(declaration: &ForeignItemFn) -> syn::Result<TokenStream> {
    let (Options { bytes, name }, passed_on) = options(declaration)?;
    let signature = &declaration.sig;
    let parameters = parameters(signature)?;
    for input in &signature.inputs {
        if let syn::FnArg::Typed(parameter) = input
            && let Pat::Ident(pattern) = &*parameter.pat
            && let Some(token) = &pattern.mutability
        {
            return Err(Error::new_spanned(token, "there is no body in which it could change"));
        }
    }
    let names: Vec<_> = parameters.iter().map(|parameter| parameter.name).collect();
    let types: Vec<_> = parameters.iter().map(|parameter| parameter.ty).collect();
    let (shape, call) = if bytes {
        let ([input, reply], ReturnType::Type(..)) = (names.as_slice(), &signature.output) else {
            return Err(Error::new_spanned(
                signature,
                "a bytes import is `fn(input: &[u8], reply: &mut Vec<u8>) -> Result<(), ImportError>`",
            ));
        };
        (Shape::Bytes, quote!(__ampoule::import_bytes(__ordinal, #input, #reply)))
    } else {
        let call = quote!(__ampoule::import_typed(&__IMPORT, __ordinal, &(#(&#names,)*)));
        (Shape::Typed(&parameters, &signature.output), call)
    };
    let note = note(&name, &shape, &quote!(__ampoule::NOTE_IMPORT));
    let conditions = conditions(&declaration.attrs);
    let visibility = &declaration.vis;
    let ident = &signature.ident;
    let result = match &signature.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => quote!(#ty),
    };
    let text = &name.text;
    let documentation = format!("Stands in for the import `{ident}` outside Ampoule.");
    Ok(quote! {
        #(#passed_on)*
        #[track_caller]
        #visibility #signature {
            use ::ampoule_guest::__private as __ampoule;
            #note
            #[__ampoule::distributed_slice(::ampoule_guest::__private::IMPORTS)]
            #[linkme(crate = ::ampoule_guest::__private::linkme)]
            static __IMPORT: __ampoule::Import = __ampoule::Import::new(#text, __SHAPE);
            match __IMPORT.ordinal() {
                ::core::option::Option::Some(__ordinal) => #call,
                ::core::option::Option::None => __ampoule::mocked!(#ident(#(#names),*)),
            }
        }
        #(#conditions)*
        #[doc = #documentation]
        #[allow(non_camel_case_types, dead_code)]
        #visibility enum #ident {}
        #(#conditions)*
        ::ampoule_guest::__private::mock! { #visibility #ident(#(#names: #types),*) -> #result }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(items: &str) -> syn::Result<String> {
        expand(items.parse().unwrap()).map(|tokens| tokens.to_string())
    }

    #[test]
    fn a_function_has_the_declared_signature_visibility_and_documentation() {
        let tokens = expanded("/// Finds it.\n pub fn lookup(key: &str) -> Option<String>; fn other(a: u32);").unwrap();
        assert!(
            tokens.starts_with(
                "# [doc = \" Finds it.\"] # [track_caller] pub fn lookup (key : & str) -> Option < String >"
            ),
            "{tokens}"
        );
        assert!(tokens.contains("fn other (a : u32) {"), "{tokens}");
    }

    #[test]
    fn what_is_no_import_is_refused_with_a_reason() {
        for (items, reason) in [
            ("fn f(a: u8) -> u8 { a }", "expected `;`"),
            ("#[test] fn f();", "an import can have"),
            ("#[name(\"x\")] fn f();", "given as"),
            ("#[name = 1] fn f();", "is a string"),
            ("#[name = \"a b\"] fn f();", "graphic ASCII"),
            ("fn f(mut a: u8);", "no body"),
            ("#[bytes] fn f(input: &[u8], reply: &mut Vec<u8>);", "Result<(), ImportError>"),
            ("#[bytes] fn f(input: &[u8]) -> Vec<u8>;", "Result<(), ImportError>"),
        ] {
            let error = expanded(items).unwrap_err().to_string();
            assert!(error.contains(reason), "{items}: {error}");
        }
    }

    #[test]
    fn every_refused_declaration_is_reported() {
        assert_eq!(expanded("async fn f(); fn g(); fn h(&self);").unwrap_err().into_iter().count(), 2);
    }
}
