//! `#[tidings::debug_handler]`: the function, and a separate check of each of its types, so that the
//! compiler error points at the type at fault.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Error, Result};

use crate::on::{Model, parse_function};

pub(crate) fn debug_handler(arguments: &TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(
            arguments,
            "`#[tidings::debug_handler]` takes no arguments: set the name where the handler is registered",
        ));
    }
    parse_function(None, item, "tidings::debug_handler").map(|model| expand(&model))
}

fn expand(model: &Model) -> TokenStream {
    let Model {
        function,
        payload,
        extracted,
        outcome,
        ..
    } = model;
    let ident = &function.sig.ident;
    let handler = format_ident!("handler{}", extracted.len());
    let payload_check = quote_spanned! { payload.span() =>
        (&&&::tidings::__private::Probe::<#payload>::NEW).payload();
    };
    quote! {
        #[allow(clippy::unused_async)]
        #function

        #[allow(unused_imports, clippy::all, clippy::pedantic)]
        const _: fn() = || {
            use ::tidings::__private::{ProbeAny as _, ProbeEvent as _, ProbeSerde as _};
            #payload_check
            ::tidings::__private::#handler::<#payload, #(#extracted,)* #outcome, _, _>(#ident);
        };
    }
}
