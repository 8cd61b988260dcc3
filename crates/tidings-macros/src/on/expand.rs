//! The expansion of `#[tidings::on]`: the function, and its registration.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;

use super::model::Model;

pub(crate) fn expand(model: &Model) -> TokenStream {
    let function = &model.function;
    let name = function.sig.ident.unraw().to_string();
    let register = register(model);
    quote! {
        // A handler must be async, even if it awaits nothing.
        #[allow(clippy::unused_async)]
        #function

        ::tidings::__private::inventory::submit! {
            ::tidings::__private::Collected::new(
                ::core::concat!(::core::module_path!(), "::", #name),
                ::core::file!(),
                ::core::line!(),
                |bus| #register,
            )
        }
    }
}

/// Expands to `bus.on(key, greet)`, through a function with a type parameter for each type of the
/// signature, so that an error about a type is reported once, at the type.
fn register(model: &Model) -> TokenStream {
    let Model {
        function,
        payload,
        extracted,
        outcome,
        ..
    } = model;
    let ident = &function.sig.ident;
    let on = format_ident!("on{}", extracted.len());
    let span = payload.span();
    let (key_type, key) = match &model.name {
        Some(name) => (quote_spanned! { span => &'static str }, quote! { #name }),
        None => (
            quote_spanned! { span => ::tidings::EventKey<_> },
            quote! { ::tidings::EventKey::new() },
        ),
    };
    quote! {
        ::tidings::__private::#on::<#key_type, #payload, #(#extracted,)* #outcome, _, _>(
            bus,
            #key,
            #ident,
        )
    }
}
