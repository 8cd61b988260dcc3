//! What `#[tidings::on]` writes: the function, and its registration.

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
        // A handler is async even where it has nothing to wait for.
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

/// `bus.on(key, greet)`, by way of a function that takes each type of the signature as a parameter
/// of its own: a type that does not suit is shown once, where it stands.
fn register(model: &Model) -> TokenStream {
    let Model {
        function,
        payload,
        taken,
        outcome,
        ..
    } = model;
    let ident = &function.sig.ident;
    let on = format_ident!("on{}", taken.len());
    let span = payload.span();
    let (key_type, key) = match &model.name {
        Some(name) => (quote_spanned! { span => &'static str }, quote! { #name }),
        None => (
            quote_spanned! { span => ::tidings::EventKey<_> },
            quote! { ::tidings::EventKey::new() },
        ),
    };
    quote! {
        ::tidings::__private::#on::<#key_type, #payload, #(#taken,)* #outcome, _, _>(
            bus,
            #key,
            #ident,
        )
    }
}
