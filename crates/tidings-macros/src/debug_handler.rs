//! `#[tidings::debug_handler]`: the function as it is, and what each of its types has to be, asked
//! of each by itself so that the compiler points at the one that does not suit.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Error, Item, Result};

use crate::on::{Model, parse_function};

pub(crate) fn debug_handler(arguments: &TokenStream, item: TokenStream) -> TokenStream {
    match parse(arguments, item.clone()) {
        Ok(model) => expand(&model),
        Err(error) => {
            let error = error.to_compile_error();
            // The function stays, so that whatever calls it is not told that it is missing.
            let item = syn::parse2::<Item>(item.clone()).map_or(item, |item| quote! { #item });
            quote! { #error #item }
        }
    }
}

fn parse(arguments: &TokenStream, item: TokenStream) -> Result<Model> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(
            arguments,
            "`#[tidings::debug_handler]` takes nothing: the name stands where the handler is registered",
        ));
    }
    parse_function(None, item, "tidings::debug_handler")
}

fn expand(model: &Model) -> TokenStream {
    let Model {
        function,
        payload,
        taken,
        outcome,
        ..
    } = model;
    let ident = &function.sig.ident;
    let handler = format_ident!("handler{}", taken.len());
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
            ::tidings::__private::#handler::<#payload, #(#taken,)* #outcome, _, _>(#ident);
        };
    }
}
