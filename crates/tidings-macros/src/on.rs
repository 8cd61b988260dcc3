//! `#[tidings::on]`: the function, and its registration on every bus of the program.

mod expand;
mod model;

use proc_macro2::TokenStream;
use syn::Result;

pub(crate) use self::model::{Model, parse_function};

pub(crate) fn on(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    model::parse(arguments, item).map(|model| expand::expand(&model))
}
