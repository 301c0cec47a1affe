//! The macros of `ampoule` and `ampoule-guest`.
//!
//! They are used, and documented, under the names of those crates: `#[ampoule_guest::export]`, `ampoule_guest::import!` and the derive
//! macro `Schema` of each. Everything here turns tokens into tokens with functions that can be tested without a compiler; a mistake in the
//! input becomes an error at its place.
#![forbid(unsafe_code)]

mod export;
mod function;
mod import;
mod rename;
mod schema;
mod serde_attributes;

use proc_macro::TokenStream;
use quote::quote;

/// Offers a function to the host.
///
/// ```text
/// #[ampoule_guest::export]
/// fn score(name: String, n: u32) -> Result<f64, Refused> { … }
///
/// #[ampoule_guest::export(name = "text.length")]
/// fn length(text: &str) -> usize { … }
///
/// #[ampoule_guest::export(bytes)]
/// fn handle(input: &[u8], reply: &mut ampoule_guest::Reply) { … }
/// ```
///
/// The function stays what it is and can be called and tested like any other. It takes up to eight parameters, each with a plain name, of
/// types that are `Deserialize` and `Schema`; what it returns is `Serialize` and `Schema`. What serde can borrow (`&str`, `&[u8]`, types that
/// hold them) is borrowed from the buffer in which the arguments arrived.
///
/// With `bytes` the function gets the input as it came, without a copy, and writes its answer where it will be sent from. A reply that
/// is handed in, rather than a `Vec` that is returned, keeps its memory from one call to the next.
#[proc_macro_attribute]
pub fn export(options: TokenStream, item: TokenStream) -> TokenStream {
    export::expand(options.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Declares functions of the host.
///
/// ```text
/// ampoule_guest::import! {
///     /// Finds what is known about a key.
///     pub fn lookup(key: &str) -> Option<String>;
///     #[name = "clock.now"]
///     fn now() -> u64;
///     #[bytes]
///     fn raw(input: &[u8], reply: &mut Vec<u8>) -> Result<(), ampoule_guest::ImportError>;
/// }
/// ```
///
/// Each becomes a function of that signature. A typed one panics if the host's function fails, with the host's reason; the panic ends the
/// export that is being served and nothing else. A bytes one returns an `ImportError`; its reply is a `&mut Vec<u8>`, or, for guests
/// without an allocator, a `&mut [u8]` with `Result<usize, ImportError>`.
///
/// Beside the function stands a type of the same name with `mock`: `let _mock = lookup::mock(|key| …);` answers the calls of this thread
/// outside Ampoule, until the guard is dropped.
#[proc_macro]
pub fn import(items: TokenStream) -> TokenStream {
    import::expand(items.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Derives `ampoule_guest::Schema`: the type can cross a typed call.
///
/// A newtype is what it wraps, and so is a struct with `#[serde(transparent)]`. `#[serde(rename)]`, `rename_all` and `rename_all_fields` are
/// honoured. Other attributes that change how serde encodes the type (`skip`, `flatten`, `with`, `tag`, `untagged`, `from`, …) are
/// refused: the schema could not be what travels.
#[proc_macro_derive(Schema, attributes(serde))]
pub fn derive_guest_schema(item: TokenStream) -> TokenStream {
    derive(item, &quote!(::ampoule_guest::__private::schema))
}

/// Derives `ampoule::Schema`, like [`Schema`](macro@Schema).
#[proc_macro_derive(HostSchema, attributes(serde))]
pub fn derive_host_schema(item: TokenStream) -> TokenStream {
    derive(item, &quote!(::ampoule::__private::schema))
}

/// Derives `ampoule_kernel::schema::Schema`, like [`Schema`](macro@Schema).
#[proc_macro_derive(KernelSchema, attributes(serde))]
pub fn derive_kernel_schema(item: TokenStream) -> TokenStream {
    derive(item, &quote!(::ampoule_kernel::schema))
}

fn derive(item: TokenStream, root: &proc_macro2::TokenStream) -> TokenStream {
    schema::expand(item.into(), root).unwrap_or_else(syn::Error::into_compile_error).into()
}
