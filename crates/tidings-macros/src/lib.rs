//! The macros of tidings: `#[derive(Event)]` and `#[tidings::on]`. Use them through the crate
//! `tidings`, which re-exports both, and documents them: the examples need it.

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
