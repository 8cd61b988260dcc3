//! The macros of tidings: `#[derive(Event)]`, `#[tidings::on]`, `#[tidings::debug_handler]`, and the
//! declarations of shared state for a contract.
//!
//! Use them through the crate `tidings`, which re-exports and documents them.

mod debug_handler;
mod event;
mod name;
mod on;
mod options;
mod shared;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::{DeriveInput, Item, Result, parse_macro_input};

use crate::shared::Shared;

#[allow(missing_docs, reason = "documented in tidings, with examples")]
#[proc_macro_derive(Event, attributes(event, schemars, serde))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    event::derive(&input).into()
}

#[allow(missing_docs, reason = "documented in tidings, with examples")]
#[proc_macro_attribute]
pub fn on(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = Tokens::from(item);
    let expanded = on::on(arguments.into(), item.clone());
    or_error(expanded, item).into()
}

#[allow(missing_docs, reason = "documented in tidings, with examples")]
#[proc_macro_attribute]
pub fn debug_handler(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = Tokens::from(item);
    let expanded = debug_handler::debug_handler(&arguments.into(), item.clone());
    or_error(expanded, item).into()
}

#[allow(missing_docs, reason = "documented in tidings, with examples")]
#[proc_macro_attribute]
pub fn shared(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = Tokens::from(item);
    let expanded = shared::shared(Shared::Value, arguments.into(), item.clone());
    or_error(expanded, item).into()
}

#[allow(missing_docs, reason = "documented in tidings, with examples")]
#[proc_macro_attribute]
pub fn map(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = Tokens::from(item);
    let expanded = shared::shared(Shared::Map, arguments.into(), item.clone());
    or_error(expanded, item).into()
}

#[allow(missing_docs, reason = "documented in tidings, with examples")]
#[proc_macro]
pub fn counter(input: TokenStream) -> TokenStream {
    or_error(shared::counter(input.into()), Tokens::new()).into()
}

/// Returns the expansion. On an error, returns the error and the item itself, so that its callers
/// are not errors too.
fn or_error(expanded: Result<Tokens>, item: Tokens) -> Tokens {
    expanded.unwrap_or_else(|error| {
        let error = error.to_compile_error();
        let item = syn::parse2::<Item>(item.clone()).map_or(item, |item| quote! { #item });
        quote! { #error #item }
    })
}
