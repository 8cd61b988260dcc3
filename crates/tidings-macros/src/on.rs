//! `#[tidings::on]`: the function as it is, and a note by which every bus of the program finds it.

mod expand;
mod model;

use proc_macro2::TokenStream;
use quote::quote;
use syn::Item;

pub(crate) use self::model::{Model, parse_function};

pub(crate) fn on(arguments: TokenStream, item: TokenStream) -> TokenStream {
    match model::parse(arguments, item.clone()) {
        Ok(model) => expand::expand(&model),
        Err(error) => {
            let error = error.to_compile_error();
            // The function stays, so that whoever calls it is not told that it is missing.
            let item = syn::parse2::<Item>(item.clone()).map_or(item, |item| quote! { #item });
            quote! { #error #item }
        }
    }
}
