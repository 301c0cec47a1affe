//! What an export and an import have in common: a function that can be described, its name, and the static items that describe it.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Attribute, Error, FnArg, Pat, ReturnType, Safety, Signature, Type};

/// serde can do sixteen; more than eight are a struct that has not been written yet.
const MAX_PARAMETERS: usize = 8;
/// `ampoule_kernel::call::NAME_MAX_BYTES`, which the note checks again.
const NAME_MAX_BYTES: usize = 255;

/// A parameter with a name.
pub(crate) struct Parameter<'a> {
    pub(crate) name: &'a Ident,
    pub(crate) ty: &'a Type,
}

/// Checks that a function can be called from the other side.
pub(crate) fn parameters(signature: &Signature) -> syn::Result<Vec<Parameter<'_>>> {
    let mut refused = Refused::default();
    if let Some(token) = &signature.asyncness {
        refused.add(token, "a function that crosses the sandbox's wall cannot be async: it returns its result");
    }
    if let Safety::Unsafe(token) = &signature.safety {
        refused.add(
            token,
            "a function that crosses the sandbox's wall cannot be unsafe: the other side can promise nothing",
        );
    }
    if let Some(abi) = &signature.abi {
        refused.add(abi, "no ABI is needed here: the function is an ordinary Rust function");
    }
    if !signature.generics.params.is_empty() {
        refused.add(
            &signature.generics,
            "a function that crosses the sandbox's wall cannot be generic: write the types, and lifetimes as `'_`",
        );
    }
    if let Some(clause) = &signature.generics.where_clause {
        refused.add(clause, "a function that crosses the sandbox's wall cannot be generic: there is nothing to bound");
    }
    if let Some(variadic) = &signature.variadic {
        refused.add(variadic, "the number of parameters has to be known");
    }
    let mut parameters = Vec::new();
    for input in &signature.inputs {
        match input {
            FnArg::Receiver(receiver) => refused.add(receiver, "a method cannot cross: write a free function"),
            FnArg::Typed(parameter) => match &*parameter.pat {
                Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => {
                    if let Type::ImplTrait(ty) = &*parameter.ty {
                        refused.add(ty, "write the type: its shape is part of the interface");
                    }
                    parameters.push(Parameter { name: &pattern.ident, ty: &parameter.ty });
                }
                pattern => refused.add(pattern, "a parameter needs a plain name: it is part of the interface"),
            },
        }
    }
    if let ReturnType::Type(_, ty) = &signature.output
        && let Type::ImplTrait(ty) = &**ty
    {
        refused.add(ty, "write the type: its shape is part of the interface");
    }
    if let Some(parameter) = parameters.get(MAX_PARAMETERS) {
        refused.add(parameter.name, "at most 8 parameters: put them into a struct");
    }
    refused.into_result().map(|()| parameters)
}

/// Everything that is wrong with an item, so that one compilation shows it.
#[derive(Default)]
pub(crate) struct Refused(Option<Error>);

impl Refused {
    pub(crate) fn add(&mut self, tokens: impl quote::ToTokens, message: &str) {
        self.add_error(Error::new_spanned(tokens, message));
    }

    pub(crate) fn add_error(&mut self, error: Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            none => *none = Some(error),
        }
    }

    pub(crate) fn into_result(self) -> syn::Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

/// A name under which the other side knows the function.
pub(crate) struct ExternalName {
    pub(crate) text: String,
    pub(crate) span: Span,
}

impl ExternalName {
    pub(crate) fn of(ident: &Ident) -> syn::Result<Self> {
        Self { text: ident.unraw().to_string(), span: ident.span() }.checked()
    }

    pub(crate) fn from_literal(literal: &syn::LitStr) -> syn::Result<Self> {
        Self { text: literal.value(), span: literal.span() }.checked()
    }

    fn checked(self) -> syn::Result<Self> {
        let graphic = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'(' | b')');
        if self.text.is_empty() || self.text.len() > NAME_MAX_BYTES || !self.text.bytes().all(graphic) {
            return Err(Error::new(
                self.span,
                "a function's name on the other side is 1 to 255 graphic ASCII characters, without ( and ); \
                 another can be given with `name = \"…\"`",
            ));
        }
        Ok(self)
    }
}

/// How a function is described in its note.
pub(crate) enum Shape<'a> {
    Typed(&'a [Parameter<'a>], &'a ReturnType),
    Bytes,
}

/// The constant `__SHAPE` and the note. They stand in a scope of their own, where `__ampoule` is `ampoule_guest::__private`.
pub(crate) fn note(name: &ExternalName, shape: &Shape<'_>, kind: &TokenStream) -> TokenStream {
    let text = &name.text;
    let shape = match shape {
        Shape::Bytes => quote!(__ampoule::Shape::Bytes),
        Shape::Typed(parameters, result) => {
            let fields = parameters.iter().map(|Parameter { name, ty }| {
                let name = name.unraw().to_string();
                let shape = type_of(ty);
                quote!(__ampoule::schema::Field { name: #name, ty: #shape })
            });
            let result = match result {
                ReturnType::Default => quote!(<() as __ampoule::schema::Schema>::TYPE),
                ReturnType::Type(_, ty) => type_of(ty),
            };
            quote! {
                __ampoule::Shape::Typed(&__ampoule::schema::Signature { parameters: &[#(#fields),*], result: #result })
            }
        }
    };
    // The section's name is `ampoule_kernel::note::SECTION`; an attribute takes nothing but a literal.
    quote! {
        const __SHAPE: __ampoule::Shape<'static> = #shape;
        #[used]
        #[unsafe(link_section = ".note.ampoule")]
        static __NOTE: __ampoule::Note<{ __ampoule::description_bytes(#text, &__SHAPE) }> =
            __ampoule::Note::new(#kind, #text, &__SHAPE);
    }
}

/// The shape of a type, so that a missing `Schema` is reported at the type.
fn type_of(ty: &Type) -> TokenStream {
    quote_spanned!(ty.span()=> <#ty as __ampoule::schema::Schema>::TYPE)
}

/// The attributes that decide whether an item exists: what is generated for it has them too.
pub(crate) fn conditions(attributes: &[Attribute]) -> Vec<&Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let signature: Signature = syn::parse_str(text).unwrap();
        let error = parameters(&signature).err().unwrap_or_else(|| panic!("{text} was accepted"));
        error.into_iter().map(|error| error.to_string()).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn what_cannot_cross_is_refused_with_a_reason() {
        for (text, reason) in [
            ("async fn f()", "async"),
            ("unsafe fn f()", "unsafe"),
            ("extern \"C\" fn f()", "ABI"),
            ("fn f<T>(x: T)", "generic"),
            ("fn f<'a>(x: &'a str) -> &'a str", "lifetimes as `'_`"),
            ("fn f(x: u8) where u8: Copy", "generic"),
            ("fn f(&self)", "method"),
            ("fn f((a, b): (u8, u8))", "plain name"),
            ("fn f(_: u8)", "plain name"),
            ("fn f(ref a: u8)", "plain name"),
            ("fn f(a: impl Copy)", "write the type"),
            ("fn f() -> impl Copy", "write the type"),
            ("fn f(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8)", "at most 8"),
        ] {
            let refusal = refusal(text);
            assert!(refusal.contains(reason), "{text}: {refusal}");
        }
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        assert_eq!(refusal("async unsafe fn f(&self, _: u8)").matches("; ").count(), 3);
    }

    #[test]
    fn ordinary_functions_are_accepted() {
        for text in [
            "fn f()",
            "const fn f(a: u8) -> u8",
            "fn f(mut a: Vec<u8>, b: &'static str, c: Cow<'_, str>) -> Option<(u8, f64)>",
        ] {
            parameters(&syn::parse_str(text).unwrap()).unwrap();
        }
    }

    #[test]
    fn a_name_that_the_other_side_cannot_have_is_refused() {
        assert_eq!(ExternalName::of(&Ident::new_raw("type", Span::call_site())).unwrap().text, "type");
        assert!(ExternalName::of(&Ident::new("größe", Span::call_site())).is_err());
        for name in ["", "two words", "call(", "new\nline"] {
            assert!(ExternalName::from_literal(&syn::LitStr::new(name, Span::call_site())).is_err(), "{name:?}");
        }
    }
}
