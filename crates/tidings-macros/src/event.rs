//! `#[derive(Event)]`: parses the input into a valid model, and expands it.

mod about;
mod attribute;
mod describe;
mod expand;
mod fields;
mod model;

pub(crate) use about::About;
pub(crate) use describe::{declared, schema_of, with_schema};

use proc_macro2::TokenStream;
use syn::DeriveInput;

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    match model::parse(input) {
        Ok(model) => expand::expand(&model),
        Err(error) => expand::expand_error(input, &error),
    }
}
