//! The macros of tidings: `#[derive(Event)]`, `#[tidings::on]` and `#[tidings::debug_handler]`. Use
//! them through the crate `tidings`, which re-exports and documents them: the examples need it.

mod debug_handler;
mod event;
mod name;
mod on;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

#[allow(missing_docs, reason = "tidings documents it, and shows examples")]
#[proc_macro_derive(Event, attributes(event, serde))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    event::derive(&input).into()
}

#[allow(missing_docs, reason = "tidings documents it, and shows examples")]
#[proc_macro_attribute]
pub fn on(arguments: TokenStream, item: TokenStream) -> TokenStream {
    on::on(arguments.into(), item.into()).into()
}

#[allow(missing_docs, reason = "tidings documents it, and shows examples")]
#[proc_macro_attribute]
pub fn debug_handler(arguments: TokenStream, item: TokenStream) -> TokenStream {
    debug_handler::debug_handler(&arguments.into(), item.into()).into()
}
