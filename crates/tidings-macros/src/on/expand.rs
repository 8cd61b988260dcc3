//! The expansion of `#[tidings::on]`: the function, and its registration.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::Type;
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;

use super::model::Model;
use crate::event::{About, declared, schema_of, with_schema};
use crate::options::Options;

pub(crate) fn expand(model: &Model) -> TokenStream {
    let function = &model.function;
    let name = function.sig.ident.unraw().to_string();
    let register = register(model);
    let contract = contract(model);
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

        #contract
    }
}

/// Expands to what the contract lists of a handler.
fn contract(model: &Model) -> TokenStream {
    let Model {
        function,
        payload,
        outcome,
        ..
    } = model;
    let name = function.sig.ident.unraw().to_string();
    let (names, by_name) = match &model.name {
        Some(name) => {
            let about = About::without_fields(&[], &Options::default());
            let type_name = quote! { ::core::any::type_name::<#payload>() };
            let declared = declared(&name.value(), &type_name, &about, &schema_of(payload));
            (
                quote! { ::std::vec![::std::borrow::Cow::Borrowed(#name)] },
                quote! { ::core::option::Option::Some(#declared) },
            )
        }
        None => (
            quote! { ::tidings::__private::event_names::<#payload>() },
            quote! { ::core::option::Option::None },
        ),
    };
    let response = match outcome {
        // A type with an `impl Trait` has no name.
        Type::Infer(_) => quote! { ::tidings::__private::DeclaredResponse::Unknown },
        outcome => quote! {{
            #[allow(unused_imports)]
            use ::tidings::__private::{KnownResponse as _, NoResponse as _, UnknownResponse as _};
            (&&&::tidings::__private::SchemaProbe::<#outcome>::NEW).response()
        }},
    };
    with_schema(&quote! {
        ::tidings::__private::inventory::submit! {
            ::tidings::__private::Collect::new(|declarations| {
                declarations.handler(::tidings::__private::DeclaredHandler {
                    path: ::core::concat!(::core::module_path!(), "::", #name),
                    names: #names,
                    payload: #by_name,
                    response: #response,
                })
            })
        }
    })
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
