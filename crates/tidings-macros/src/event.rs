//! `#[derive(Event)]`: parses the input into a valid model, and expands it.

mod attribute;
mod expand;
mod model;

pub(crate) use attribute::event_name;

use proc_macro2::TokenStream;
use syn::DeriveInput;

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    match model::parse(input) {
        Ok(model) => expand::expand(&model),
        Err(error) => expand::expand_error(input, &error),
    }
}
