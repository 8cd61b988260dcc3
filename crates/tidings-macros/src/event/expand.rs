//! What `#[derive(Event)]` writes: thin calls of what the library and serde know.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Attribute, DeriveInput, Error, Ident, Member, Meta, Token, Type};

use super::model::{Closed, Kind, Model, Place, Single, is_serde};

pub(crate) fn expand(model: &Model) -> TokenStream {
    match model {
        Model::Struct(single) => expand_struct(single),
        Model::Enum(closed) => expand_enum(closed),
    }
}

/// The error, and an `Event` that keeps the compiler from repeating it wherever the type is used.
pub(crate) fn refuse(input: &DeriveInput, error: &Error) -> TokenStream {
    let error = error.to_compile_error();
    let ident = &input.ident;
    let (generics, arguments, where_clause) = input.generics.split_for_impl();
    let predicates = where_clause.map(|clause| &clause.predicates);
    let bounds = (!input.generics.params.is_empty()).then(|| {
        quote! { where #ident #arguments: ::core::marker::Send + 'static, #predicates }
    });
    quote! {
        #error
        #[automatically_derived]
        impl #generics ::tidings::Event for #ident #arguments #bounds {
            fn declare(_: &mut ::tidings::Names) {}
            fn name(&self) -> &str {
                ::core::unreachable!()
            }
            fn encode(
                &self,
                _: ::tidings::codec::Encoder<'_>,
            ) -> ::core::result::Result<(), ::tidings::codec::EncodeError> {
                ::core::unreachable!()
            }
            fn decode(
                _: &str,
                _: ::tidings::codec::Payload<'_>,
            ) -> ::core::result::Result<Self, ::tidings::codec::DecodeError> {
                ::core::unreachable!()
            }
        }
    }
}

fn expand_struct(Single { ident, name }: &Single) -> TokenStream {
    let portable = portable(ident);
    quote! {
        #[automatically_derived]
        impl ::tidings::Event for #ident {
            fn declare(names: &mut ::tidings::Names) {
                names.add::<Self>(#name);
            }
            fn name(&self) -> &str {
                #name
            }
            fn encode(
                &self,
                into: ::tidings::codec::Encoder<'_>,
            ) -> ::core::result::Result<(), ::tidings::codec::EncodeError> {
                #portable::write(self, into)
            }
            fn decode(
                _: &str,
                payload: ::tidings::codec::Payload<'_>,
            ) -> ::core::result::Result<Self, ::tidings::codec::DecodeError> {
                #portable::read(payload)
            }
            fn claims(name: &str) -> bool {
                name == #name
            }
            fn claims_others() -> bool {
                false
            }
        }
    }
}

fn expand_enum(closed: &Closed) -> TokenStream {
    let Closed { ident, variants } = closed;
    let payloads = variants.iter().filter_map(|place| owned(ident, place));
    let borrowed = borrowed(closed);
    let declared = variants.iter().map(|place| declare(ident, place));
    let names = variants.iter().map(name);
    let encoded = variants.iter().map(|place| encode(ident, place));
    let decoded = decode(closed);
    let claimed = claims(closed);
    let claimed_others = claims_others(closed);
    quote! {
        const _: () = {
            #(#payloads)*
            #borrowed

            #[automatically_derived]
            #[allow(deprecated)]
            impl ::tidings::Event for #ident {
                fn declare(names: &mut ::tidings::Names) {
                    #(#declared)*
                }
                fn name(&self) -> &str {
                    match self { #(#names)* }
                }
                fn encode(
                    &self,
                    into: ::tidings::codec::Encoder<'_>,
                ) -> ::core::result::Result<(), ::tidings::codec::EncodeError> {
                    match self { #(#encoded)* }
                }
                fn decode(
                    name: &str,
                    payload: ::tidings::codec::Payload<'_>,
                ) -> ::core::result::Result<Self, ::tidings::codec::DecodeError> {
                    match name { #decoded }
                }
                fn claims(name: &str) -> bool {
                    #claimed
                }
                fn claims_others() -> bool {
                    #claimed_others
                }
            }
        };
    }
}

/// The type that a variant's fields are read as.
fn owned(of: &Ident, place: &Place) -> Option<TokenStream> {
    let Kind::Fields(_) = place.event else {
        return None;
    };
    let payload = payload_ident(of, place);
    let attributes = kept(&place.attributes, &["rename_all", "deny_unknown_fields"]);
    let fields = fields_with_serde(place);
    let end = matches!(place.fields, syn::Fields::Unnamed(_)).then(<Token![;]>::default);
    // Serde's errors name the variant, which people know, and not this type.
    let variant = variant_name(of, place);
    let expecting = format!("variant {variant}");
    Some(quote! {
        #[derive(::tidings::__private::serde::Deserialize)]
        #[serde(
            crate = "::tidings::__private::serde",
            rename = #variant,
            expecting = #expecting,
            #attributes
        )]
        struct #payload #fields #end
    })
}

/// The type through which variants with fields are written as they stand, without a copy: serde's
/// remote derive sees the very fields, so that their attributes mean what they always do.
fn borrowed(Closed { ident, variants }: &Closed) -> Option<TokenStream> {
    if !variants
        .iter()
        .any(|place| matches!(place.event, Kind::Fields(_)))
    {
        return None;
    }
    let mirror = mirror_ident(ident);
    let borrowed = borrowed_ident(ident);
    let remote = ident.to_string();
    let with = mirror.to_string();
    let variants = variants.iter().map(|place| {
        let name = &place.ident;
        let fields = fields_with_serde(place);
        let attributes = if let Kind::Fields(_) = place.event {
            kept(&place.attributes, &["rename_all"])
        } else {
            quote! { skip }
        };
        quote! { #[serde(#attributes)] #name #fields }
    });
    Some(quote! {
        #[derive(::tidings::__private::serde::Serialize)]
        #[serde(crate = "::tidings::__private::serde", remote = #remote, untagged)]
        enum #mirror { #(#variants),* }

        #[derive(::tidings::__private::serde::Serialize)]
        #[serde(crate = "::tidings::__private::serde", transparent)]
        struct #borrowed<'payload>(#[serde(with = #with)] &'payload #ident);
    })
}

fn declare(of: &Ident, place: &Place) -> TokenStream {
    match &place.event {
        Kind::Nested(ty) => {
            let event = as_event(ty);
            quote! { #event::declare(names); }
        }
        Kind::Payload(name, ty) => quote! { names.add::<#ty>(#name); },
        Kind::Fields(name) => {
            let (payload, variant) = (payload_ident(of, place), variant_name(of, place));
            quote! {
                names.add_variant::<#payload>(
                    #name,
                    ::core::concat!(::core::module_path!(), "::", #variant),
                );
            }
        }
        Kind::Bare(name) => quote! { names.add::<()>(#name); },
        Kind::Other(_) => quote! { names.other(); },
    }
}

fn name(place: &Place) -> TokenStream {
    let variant = &place.ident;
    match &place.event {
        Kind::Nested(ty) | Kind::Other(ty) => {
            let event = as_event(ty);
            quote! { Self::#variant(event) => #event::name(event), }
        }
        Kind::Payload(name, _) | Kind::Fields(name) | Kind::Bare(name) => {
            quote! { Self::#variant { .. } => #name, }
        }
    }
}

fn encode(of: &Ident, place: &Place) -> TokenStream {
    let variant = &place.ident;
    match &place.event {
        Kind::Nested(ty) | Kind::Other(ty) => {
            let event = as_event(ty);
            quote! { Self::#variant(event) => #event::encode(event, into), }
        }
        Kind::Payload(_, ty) => {
            let portable = portable(ty);
            quote! { Self::#variant(payload) => #portable::write(payload, into), }
        }
        Kind::Fields(_) => {
            let borrowed = borrowed_ident(of);
            quote! { Self::#variant { .. } => into.encode(&#borrowed(self)), }
        }
        Kind::Bare(_) => quote! { Self::#variant {} => into.encode(&()), },
    }
}

/// The arms that find the variant of a name: own names, then nested events by what they claim, then
/// whoever takes the rest.
fn decode(Closed { ident, variants }: &Closed) -> TokenStream {
    let own = variants.iter().filter_map(|place| decode_own(ident, place));
    let nested = nested(variants).map(|(variant, ty)| {
        let event = as_event(ty);
        quote! { _ if #event::claims(name) => #event::decode(name, payload).map(Self::#variant), }
    });
    let rest = decode_rest(variants);
    quote! { #(#own)* #(#nested)* #rest }
}

fn decode_rest(variants: &[Place]) -> TokenStream {
    if let Some((variant, ty)) = other(variants) {
        let decode = quote_spanned! { ty.span() => ::tidings::__private::decode_other::<#ty> };
        return quote! { _ => #decode(name, payload).map(Self::#variant), };
    }
    let others = nested(variants).map(|(variant, ty)| {
        let event = as_event(ty);
        quote! { _ if #event::claims_others() => #event::decode(name, payload).map(Self::#variant), }
    });
    quote! {
        #(#others)*
        _ => ::core::result::Result::Err(
            ::tidings::__private::unclaimed(name, payload.format()),
        ),
    }
}

fn decode_own(of: &Ident, place: &Place) -> Option<TokenStream> {
    let variant = &place.ident;
    let name = place.name()?;
    Some(match &place.event {
        Kind::Fields(_) => {
            let payload = payload_ident(of, place);
            let members: Vec<Member> = place.fields.members().collect();
            quote! {
                #name => payload
                    .decode::<#payload>()
                    .map(|fields| Self::#variant { #(#members: fields.#members),* }),
            }
        }
        Kind::Payload(_, ty) => {
            let portable = portable(ty);
            quote! { #name => #portable::read(payload).map(Self::#variant), }
        }
        _ => quote! { #name => payload.decode::<()>().map(|()| Self::#variant {}), },
    })
}

fn claims(Closed { variants, .. }: &Closed) -> TokenStream {
    let names: Vec<&str> = variants.iter().filter_map(Place::name).collect();
    let own = (!names.is_empty()).then(|| quote! { ::core::matches!(name, #(#names)|*) });
    let nested = nested(variants).map(|(_, ty)| {
        let event = as_event(ty);
        quote! { #event::claims(name) }
    });
    any(own.into_iter().chain(nested))
}

fn claims_others(Closed { variants, .. }: &Closed) -> TokenStream {
    if other(variants).is_some() {
        return quote! { true };
    }
    any(nested(variants).map(|(_, ty)| {
        let event = as_event(ty);
        quote! { #event::claims_others() }
    }))
}

fn any(conditions: impl Iterator<Item = TokenStream>) -> TokenStream {
    let conditions: Vec<TokenStream> = conditions.collect();
    if conditions.is_empty() {
        return quote! { false };
    }
    quote! { #(#conditions)||* }
}

fn nested(variants: &[Place]) -> impl Iterator<Item = (&Ident, &Type)> {
    variants.iter().filter_map(|place| match &place.event {
        Kind::Nested(ty) => Some((&place.ident, ty)),
        _ => None,
    })
}

fn other(variants: &[Place]) -> Option<(&Ident, &Type)> {
    variants.iter().find_map(|place| match &place.event {
        Kind::Other(ty) => Some((&place.ident, ty)),
        _ => None,
    })
}

/// The fields, with no attributes but serde's.
fn fields_with_serde(place: &Place) -> TokenStream {
    let mut fields = place.fields.clone();
    for field in &mut fields {
        field.attrs.retain(is_serde);
    }
    fields.into_token_stream()
}

/// Those of a variant's serde attributes that mean the same on the payload's type.
fn kept(attributes: &[Attribute], words: &[&str]) -> TokenStream {
    let kept = attributes
        .iter()
        .filter(|attribute| is_serde(attribute))
        .filter_map(|attribute| {
            attribute
                .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
                .ok()
        })
        .flatten()
        .filter(|meta| words.iter().any(|word| meta.path().is_ident(word)));
    quote! { #(#kept),* }
}

/// `<T as Event>` with the span of `T`, so that a type that is no event is shown once, where it
/// stands.
fn as_event(ty: &Type) -> TokenStream {
    quote_spanned! { ty.span() => <#ty as ::tidings::Event> }
}

/// `<T as Portable>`, likewise for a type that serde does not know.
fn portable(ty: &(impl ToTokens + ?Sized)) -> TokenStream {
    quote_spanned! { ty.span() => <#ty as ::tidings::__private::Portable> }
}

/// What people call a variant: `Account::Deleted`.
fn variant_name(of: &Ident, place: &Place) -> String {
    format!("{}::{}", of.unraw(), place.ident.unraw())
}

fn payload_ident(of: &Ident, place: &Place) -> Ident {
    format_ident!("{of}{}Payload", place.ident, span = place.ident.span())
}

fn mirror_ident(of: &Ident) -> Ident {
    format_ident!("{of}Mirror")
}

fn borrowed_ident(of: &Ident) -> Ident {
    format_ident!("{of}Borrowed")
}
