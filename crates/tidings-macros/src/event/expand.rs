//! The expansion of `#[derive(Event)]`: thin calls into the library and serde.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Attribute, DeriveInput, Error, Ident, Member, Token, Type};

use super::describe;
use super::fields::arguments_of;
use super::model::{EventEnum, EventVariant, Model, StructEvent, VariantKind};

pub(crate) fn expand(model: &Model) -> TokenStream {
    match model {
        Model::Struct(event) => expand_struct(event),
        Model::Enum(events) => expand_enum(events),
    }
}

/// Expands to the error and a stub of `Event`, so that uses of the type are not errors too.
pub(crate) fn expand_error(input: &DeriveInput, error: &Error) -> TokenStream {
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

fn expand_struct(event: &StructEvent) -> TokenStream {
    let StructEvent { ident, name, .. } = event;
    let serde_payload = serde_payload(ident);
    let describe = describe::of_struct(event);
    let collect = describe::collect(ident);
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
                #serde_payload::encode(self, into)
            }
            fn decode(
                _: &str,
                payload: ::tidings::codec::Payload<'_>,
            ) -> ::core::result::Result<Self, ::tidings::codec::DecodeError> {
                #serde_payload::decode(payload)
            }
            fn claims(name: &str) -> bool {
                name == #name
            }
            fn claims_others() -> bool {
                false
            }
            #describe
        }
        #collect
    }
}

fn expand_enum(events: &EventEnum) -> TokenStream {
    let EventEnum { ident, variants } = events;
    let payloads = variants.iter().filter_map(|variant| owned(ident, variant));
    let borrowed = borrowed(events);
    let declared = variants.iter().map(|variant| declare(ident, variant));
    let names = variants.iter().map(name);
    let encoded = variants.iter().map(|variant| encode(ident, variant));
    let decoded = decode(events);
    let claimed = claims(events);
    let claimed_others = claims_others(events);
    let schema_types = variants
        .iter()
        .filter_map(|variant| describe::schema_type(ident, variant));
    let describe = describe::of_enum(events);
    let collect = describe::collect(ident);
    quote! {
        const _: () = {
            #(#payloads)*
            #borrowed
            #(#schema_types)*

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
                #describe
            }
            #collect
        };
    }
}

/// Expands to the type that a variant's fields are decoded as.
fn owned(of: &Ident, variant: &EventVariant) -> Option<TokenStream> {
    let VariantKind::Fields(_) = variant.kind else {
        return None;
    };
    let payload = payload_ident(of, variant);
    let attributes = shared_attributes(&variant.attributes, &["rename_all", "deny_unknown_fields"]);
    let fields = fields_with_serde(variant);
    let end = matches!(variant.fields, syn::Fields::Unnamed(_)).then(<Token![;]>::default);
    // Serde's errors name the variant instead of this generated type.
    let path = variant_path(of, variant);
    let expecting = format!("variant {path}");
    Some(quote! {
        #[derive(::tidings::__private::serde::Deserialize)]
        #[serde(
            crate = "::tidings::__private::serde",
            rename = #path,
            expecting = #expecting,
            #attributes
        )]
        struct #payload #fields #end
    })
}

/// Expands to the type through which variants with fields are encoded without a copy. Serde's remote
/// derive sees the original fields, so their attributes keep their meaning.
fn borrowed(EventEnum { ident, variants }: &EventEnum) -> Option<TokenStream> {
    if !variants
        .iter()
        .any(|variant| matches!(variant.kind, VariantKind::Fields(_)))
    {
        return None;
    }
    let remote = remote_ident(ident);
    let borrowed = borrowed_ident(ident);
    let original = ident.to_string();
    let with = remote.to_string();
    let variants = variants.iter().map(|variant| {
        let ident = &variant.ident;
        let fields = fields_with_serde(variant);
        let attributes = if let VariantKind::Fields(_) = variant.kind {
            shared_attributes(&variant.attributes, &["rename_all"])
        } else {
            quote! { skip }
        };
        quote! { #[serde(#attributes)] #ident #fields }
    });
    Some(quote! {
        #[derive(::tidings::__private::serde::Serialize)]
        #[serde(crate = "::tidings::__private::serde", remote = #original, untagged)]
        enum #remote { #(#variants),* }

        #[derive(::tidings::__private::serde::Serialize)]
        #[serde(crate = "::tidings::__private::serde", transparent)]
        struct #borrowed<'payload>(#[serde(with = #with)] &'payload #ident);
    })
}

fn declare(of: &Ident, variant: &EventVariant) -> TokenStream {
    match &variant.kind {
        VariantKind::Nested(ty) => {
            let event = as_event(ty);
            quote! { #event::declare(names); }
        }
        VariantKind::Payload(name, ty) => quote! { names.add::<#ty>(#name); },
        VariantKind::Fields(name) => {
            let (payload, path) = (payload_ident(of, variant), variant_path(of, variant));
            quote! {
                names.add_variant::<#payload>(
                    #name,
                    ::core::concat!(::core::module_path!(), "::", #path),
                );
            }
        }
        VariantKind::Unit(name) => quote! { names.add::<()>(#name); },
        VariantKind::Other(_) => quote! { names.other(); },
    }
}

fn name(variant: &EventVariant) -> TokenStream {
    let ident = &variant.ident;
    match &variant.kind {
        VariantKind::Nested(ty) | VariantKind::Other(ty) => {
            let event = as_event(ty);
            quote! { Self::#ident(event) => #event::name(event), }
        }
        VariantKind::Payload(name, _) | VariantKind::Fields(name) | VariantKind::Unit(name) => {
            quote! { Self::#ident { .. } => #name, }
        }
    }
}

fn encode(of: &Ident, variant: &EventVariant) -> TokenStream {
    let ident = &variant.ident;
    match &variant.kind {
        VariantKind::Nested(ty) | VariantKind::Other(ty) => {
            let event = as_event(ty);
            quote! { Self::#ident(event) => #event::encode(event, into), }
        }
        VariantKind::Payload(_, ty) => {
            let serde_payload = serde_payload(ty);
            quote! { Self::#ident(payload) => #serde_payload::encode(payload, into), }
        }
        VariantKind::Fields(_) => {
            let borrowed = borrowed_ident(of);
            quote! { Self::#ident { .. } => into.encode(&#borrowed(self)), }
        }
        VariantKind::Unit(_) => quote! { Self::#ident {} => into.encode(&()), },
    }
}

/// Expands to the arms that select the variant of a name: own names, then the names of nested events,
/// then all others.
fn decode(EventEnum { ident, variants }: &EventEnum) -> TokenStream {
    let own = variants
        .iter()
        .filter_map(|variant| decode_own(ident, variant));
    let nested = nested(variants).map(|(ident, ty)| {
        let event = as_event(ty);
        quote! { _ if #event::claims(name) => #event::decode(name, payload).map(Self::#ident), }
    });
    let rest = decode_rest(variants);
    quote! { #(#own)* #(#nested)* #rest }
}

fn decode_rest(variants: &[EventVariant]) -> TokenStream {
    if let Some((ident, ty)) = other(variants) {
        let decode = quote_spanned! { ty.span() => ::tidings::__private::decode_other::<#ty> };
        return quote! { _ => #decode(name, payload).map(Self::#ident), };
    }
    let others = nested(variants).map(|(ident, ty)| {
        let event = as_event(ty);
        quote! { _ if #event::claims_others() => #event::decode(name, payload).map(Self::#ident), }
    });
    quote! {
        #(#others)*
        _ => ::core::result::Result::Err(
            ::tidings::__private::unknown_name(name, payload.format()),
        ),
    }
}

fn decode_own(of: &Ident, variant: &EventVariant) -> Option<TokenStream> {
    let ident = &variant.ident;
    let name = variant.name()?;
    Some(match &variant.kind {
        VariantKind::Fields(_) => {
            let payload = payload_ident(of, variant);
            let members: Vec<Member> = variant.fields.members().collect();
            quote! {
                #name => payload
                    .decode::<#payload>()
                    .map(|fields| Self::#ident { #(#members: fields.#members),* }),
            }
        }
        VariantKind::Payload(_, ty) => {
            let serde_payload = serde_payload(ty);
            quote! { #name => #serde_payload::decode(payload).map(Self::#ident), }
        }
        _ => quote! { #name => payload.decode::<()>().map(|()| Self::#ident {}), },
    })
}

fn claims(EventEnum { variants, .. }: &EventEnum) -> TokenStream {
    let names: Vec<&str> = variants.iter().filter_map(EventVariant::name).collect();
    let own = (!names.is_empty()).then(|| quote! { ::core::matches!(name, #(#names)|*) });
    let nested = nested(variants).map(|(_, ty)| {
        let event = as_event(ty);
        quote! { #event::claims(name) }
    });
    any(own.into_iter().chain(nested))
}

fn claims_others(EventEnum { variants, .. }: &EventEnum) -> TokenStream {
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

fn nested(variants: &[EventVariant]) -> impl Iterator<Item = (&Ident, &Type)> {
    variants.iter().filter_map(|variant| match &variant.kind {
        VariantKind::Nested(ty) => Some((&variant.ident, ty)),
        _ => None,
    })
}

fn other(variants: &[EventVariant]) -> Option<(&Ident, &Type)> {
    variants.iter().find_map(|variant| match &variant.kind {
        VariantKind::Other(ty) => Some((&variant.ident, ty)),
        _ => None,
    })
}

fn fields_with_serde(variant: &EventVariant) -> TokenStream {
    fields_with(variant, &["serde"])
}

/// Returns the fields with these of their attributes.
pub(super) fn fields_with(variant: &EventVariant, attributes: &[&str]) -> TokenStream {
    let mut fields = variant.fields.clone();
    for field in &mut fields {
        let is_kept = |it: &Attribute| attributes.iter().any(|name| it.path().is_ident(name));
        field.attrs.retain(is_kept);
    }
    fields.into_token_stream()
}

/// Returns the serde attributes of a variant that have the same meaning on the payload's type.
pub(super) fn shared_attributes(attributes: &[Attribute], allowed: &[&str]) -> TokenStream {
    let kept = arguments_of(attributes, "serde").into_iter();
    let kept = kept.filter(|meta| allowed.iter().any(|name| meta.path().is_ident(name)));
    quote! { #(#kept),* }
}

/// Returns `<T as Event>` with the span of `T`, so that the error about a type that is not an event
/// is reported once, at the type.
pub(super) fn as_event(ty: &Type) -> TokenStream {
    quote_spanned! { ty.span() => <#ty as ::tidings::Event> }
}

/// Returns `<T as SerdePayload>` with the span of `T`.
fn serde_payload(ty: &(impl ToTokens + ?Sized)) -> TokenStream {
    quote_spanned! { ty.span() => <#ty as ::tidings::__private::SerdePayload> }
}

/// Returns the path of a variant: `Account::Deleted`.
pub(super) fn variant_path(of: &Ident, variant: &EventVariant) -> String {
    format!("{}::{}", of.unraw(), variant.ident.unraw())
}

// The names of generated types begin with `__Tidings`: the types of the user's fields are resolved in
// the same block, and would otherwise be hidden by generated ones of their name. The identifiers are
// arguments of `format_ident`, which drops their `r#`; inline it would not.

pub(super) fn payload_ident(of: &Ident, variant: &EventVariant) -> Ident {
    format_ident!(
        "__Tidings{}{}Payload",
        of,
        variant.ident,
        span = variant.ident.span()
    )
}

fn remote_ident(of: &Ident) -> Ident {
    format_ident!("__Tidings{}Remote", of)
}

fn borrowed_ident(of: &Ident) -> Ident {
    format_ident!("__Tidings{}Borrowed", of)
}
