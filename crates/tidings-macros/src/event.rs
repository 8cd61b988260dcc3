//! `#[derive(Event)]`: the input is parsed into a model that cannot be wrong, and then written out.

mod attribute;
mod expand;
mod model;

pub(crate) use attribute::event_name;

use proc_macro2::TokenStream;
use syn::DeriveInput;

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    match model::parse(input) {
        Ok(model) => expand::expand(&model),
        Err(error) => expand::refuse(input, &error),
    }
}
