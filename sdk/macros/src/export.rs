//! `#[export]`: the function as it is, its note, and its entry in the table of exports.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Error, ItemFn, ReturnType, meta};

use crate::function::{ExternalName, Parameter, Shape, conditions, note, parameters};

#[derive(Default)]
struct Options {
    bytes: bool,
    name: Option<ExternalName>,
}

impl Options {
    fn parse(tokens: TokenStream) -> syn::Result<Self> {
        let mut options = Self::default();
        let parser = meta::parser(|option| {
            if option.path.is_ident("bytes") {
                options.bytes = true;
                Ok(())
            } else if option.path.is_ident("name") {
                options.name = Some(ExternalName::from_literal(&option.value()?.parse()?)?);
                Ok(())
            } else {
                Err(option.error("the options of an export are `bytes` and `name = \"…\"`"))
            }
        });
        syn::parse::Parser::parse2(parser, tokens)?;
        Ok(options)
    }
}

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let options = Options::parse(options)?;
    let function: ItemFn = syn::parse2(item.clone())
        .map_err(|error| Error::new(error.span(), format!("only a function can be exported: {error}")))?;
    let parameters = parameters(&function.sig)?;
    let name = options.name.map_or_else(|| ExternalName::of(&function.sig.ident), Ok)?;
    let (shape, call) = if options.bytes {
        (Shape::Bytes, bytes_call(&function, &parameters)?)
    } else {
        (Shape::Typed(&parameters, &function.sig.output), typed_call(&function, &parameters))
    };
    let note = note(&name, &shape, &quote!(__ampoule::NOTE_EXPORT));
    let conditions = conditions(&function.attrs);
    let text = &name.text;
    Ok(quote! {
        #item
        #(#conditions)*
        const _: () = {
            use ::ampoule_guest::__private as __ampoule;
            #note
            #call
            #[__ampoule::distributed_slice(::ampoule_guest::__private::EXPORTS)]
            #[linkme(crate = ::ampoule_guest::__private::linkme)]
            static __EXPORT: __ampoule::Export = __ampoule::Export::new(#text, __SHAPE, __call);
        };
    })
}

fn typed_call(function: &ItemFn, parameters: &[Parameter<'_>]) -> TokenStream {
    let ident = &function.sig.ident;
    let names: Vec<_> = (0..parameters.len()).map(|index| quote::format_ident!("__argument_{index}")).collect();
    let types = parameters.iter().map(|parameter| parameter.ty);
    let result = match &function.sig.output {
        ReturnType::Type(_, ty) => ty.span(),
        ReturnType::Default => ident.span(),
    };
    let encode = quote_spanned!(result=> __ampoule::encode(__reply, &__result));
    quote! {
        fn __call(
            __input: &[u8],
            __reply: &mut __ampoule::Reply<'_>,
        ) -> ::core::result::Result<(), __ampoule::Failure> {
            let (#(#names,)*): (#(#types,)*) = __ampoule::decode(__input)?;
            #[allow(clippy::let_unit_value)]
            let __result = #ident(#(#names),*);
            #encode
        }
    }
}

fn bytes_call(function: &ItemFn, parameters: &[Parameter<'_>]) -> syn::Result<TokenStream> {
    let signature = &function.sig;
    if parameters.len() != 2 || !matches!(signature.output, ReturnType::Default) {
        return Err(Error::new_spanned(
            signature,
            "a bytes function is `fn(input: &[u8], reply: &mut Reply)`: the reply is written, not returned",
        ));
    }
    let ident = &signature.ident;
    let typed =
        quote_spanned!(signature.inputs.span()=> let __function: fn(&[u8], &mut __ampoule::Reply<'_>) = #ident;);
    Ok(quote! {
        fn __call(
            __input: &[u8],
            __reply: &mut __ampoule::Reply<'_>,
        ) -> ::core::result::Result<(), __ampoule::Failure> {
            #typed
            __function(__input, __reply);
            ::core::result::Result::Ok(())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(options: &str, item: &str) -> syn::Result<String> {
        expand(options.parse().unwrap(), item.parse().unwrap()).map(|tokens| tokens.to_string())
    }

    #[test]
    fn the_function_stays_what_it_is() {
        let item = "#[inline] pub (crate) fn score (name : String , n : u32) -> f64 { 0.0 }";
        let tokens = expanded("", item).unwrap();
        assert!(tokens.starts_with(&item.parse::<TokenStream>().unwrap().to_string()), "{tokens}");
    }

    #[test]
    fn the_name_can_be_another() {
        let tokens = expanded("name = \"text.length\"", "fn length(text: &str) -> usize { text.len() }").unwrap();
        assert!(tokens.contains("\"text.length\"") && !tokens.contains("\"length\""), "{tokens}");
    }

    #[test]
    fn a_condition_holds_for_what_is_generated_too() {
        let tokens = expanded("", "#[cfg(feature = \"x\")] fn f() {}").unwrap();
        assert_eq!(tokens.matches("# [cfg (feature = \"x\")]").count(), 2, "{tokens}");
    }

    #[test]
    fn what_is_no_function_and_what_is_no_option_is_refused() {
        for (options, item, reason) in [
            ("", "struct S;", "only a function"),
            ("", "fn f();", "only a function"),
            ("fast", "fn f() {}", "the options of an export"),
            ("name = \"two words\"", "fn f() {}", "graphic ASCII"),
            ("bytes", "fn f(input: &[u8]) -> Vec<u8> { vec![] }", "the reply is written"),
            ("bytes", "fn f(input: &[u8], reply: &mut Reply) -> u8 { 0 }", "the reply is written"),
        ] {
            let error = expanded(options, item).unwrap_err().to_string();
            assert!(error.contains(reason), "{item}: {error}");
        }
    }
}
