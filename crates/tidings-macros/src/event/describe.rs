//! The expansion of what a contract needs. A macro of tidings drops it if tidings has no feature
//! `schema`: a derive cannot see features.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};
use syn::{Field, Fields, Ident, Meta, Token, Type};

use super::about::About;
use super::expand::{as_event, fields_with, payload_ident, shared_attributes, variant_path};
use super::fields::arguments_of;
use super::model::{EventEnum, EventVariant, StructEvent, VariantKind};

/// Wraps code in the macro that keeps it only with the feature.
pub(crate) fn with_schema(code: &TokenStream) -> TokenStream {
    quote! { ::tidings::__with_schema! { #code } }
}

/// Expands to a `Declared`.
pub(crate) fn declared(
    name: &str,
    type_name: &TokenStream,
    about: &About,
    schema: &TokenStream,
) -> TokenStream {
    let About {
        docs,
        since,
        is_opaque,
        aliases,
    } = about;
    let none = || quote! { ::core::option::Option::None };
    let some = |since| quote! { ::core::option::Option::Some(#since) };
    let since = since.as_ref().map_or_else(none, some);
    let aliases = aliases
        .iter()
        .map(|(path, alias)| quote! { (#path, #alias) });
    quote! {
        ::tidings::__private::Declared {
            name: ::std::borrow::Cow::Borrowed(#name),
            type_name: #type_name,
            source: ::core::file!(),
            docs: #docs,
            since: #since,
            is_opaque: #is_opaque,
            aliases: &[#(#aliases),*],
            schema: #schema,
        }
    }
}

/// Expands to the schema of a type, if it has one: the compiler chooses between two traits.
pub(crate) fn schema_of(ty: &impl ToTokens) -> TokenStream {
    quote! {{
        #[allow(unused_imports)]
        use ::tidings::__private::{KnownSchema as _, NoSchema as _};
        (&&::tidings::__private::SchemaProbe::<#ty>::NEW).schema()
    }}
}

/// Expands to the method `describe` of a struct.
pub(super) fn of_struct(StructEvent { name, about, .. }: &StructEvent) -> TokenStream {
    let type_name = quote! { ::core::any::type_name::<Self>() };
    let declared = declared(name, &type_name, about, &schema_of(&quote! { Self }));
    method(&quote! { declarations.event(#declared); })
}

/// Expands to the method `describe` of an enum.
pub(super) fn of_enum(EventEnum { ident, variants }: &EventEnum) -> TokenStream {
    let variants = variants
        .iter()
        .filter_map(|variant| of_variant(ident, variant));
    method(&quote! { #(#variants)* })
}

fn method(body: &TokenStream) -> TokenStream {
    with_schema(&quote! {
        fn describe(declarations: &mut ::tidings::__private::Declarations) {
            #body
        }
    })
}

/// Expands to the item that has an event collected.
pub(super) fn collect(ident: &Ident) -> TokenStream {
    with_schema(&quote! {
        ::tidings::__private::inventory::submit! {
            ::tidings::__private::Collect::new(<#ident as ::tidings::Event>::describe)
        }
    })
}

fn of_variant(of: &Ident, variant: &EventVariant) -> Option<TokenStream> {
    let path = variant_path(of, variant);
    let path = quote! { ::core::concat!(::core::module_path!(), "::", #path) };
    let (name, schema) = match &variant.kind {
        VariantKind::Nested(ty) => {
            let event = as_event(ty);
            return Some(quote! { #event::describe(declarations); });
        }
        VariantKind::Other(_) => return None,
        VariantKind::Payload(name, ty) => (name, schema_of(ty)),
        VariantKind::Fields(name) if is_described(variant) => {
            (name, schema_of(&schema_ident(of, variant)))
        }
        VariantKind::Fields(name) => (name, quote! { ::core::option::Option::None }),
        VariantKind::Unit(name) => (name, schema_of(&quote! { () })),
    };
    let declared = declared(name, &path, &variant.about, &schema);
    Some(quote! { declarations.event(#declared); })
}

/// Expands to the type whose schema is that of a variant's fields.
///
/// It has a schema only if all fields have one. A plain bound on the type of a field that has none is
/// an error, so each bound is for all lifetimes. The derive ignores bounds of a type without
/// parameters, so it has one. The derive takes bounds as text, which `$crate` cannot be written in, so
/// each names a type by an alias.
pub(super) fn schema_type(of: &Ident, variant: &EventVariant) -> Option<TokenStream> {
    if !is_described(variant) {
        return None;
    }
    let ident = schema_ident(of, variant);
    let attributes = shared_attributes(&variant.attributes, &["rename_all", "deny_unknown_fields"]);
    let fields = fields_with(variant, &["serde", "schemars", "doc"]);
    let end = matches!(variant.fields, Fields::Unnamed(_)).then(<Token![;]>::default);
    let bounded = variant
        .fields
        .iter()
        .filter(|field| !has(field, "schemars", &["with", "schema_with"]));
    let bounded = bounded.filter(|field| !has(field, "serde", &["skip"]));
    let types: Vec<&Type> = bounded.map(|field| &field.ty).collect();
    let aliases: Vec<Ident> = (0..types.len())
        .map(|at| format_ident!("{}{}", ident, at))
        .collect();
    let bound: Vec<String> = aliases
        .iter()
        .map(|alias| format!("for<'any> {alias}: ::tidings::schemars::JsonSchema"))
        .collect();
    let bound = bound.join(", ");
    Some(with_schema(&quote! {
        #(type #aliases = #types;)*

        #[derive(::tidings::schemars::JsonSchema)]
        #[schemars(crate = "::tidings::schemars", bound = #bound)]
        #[serde(#attributes)]
        #[allow(dead_code)]
        struct #ident<const __TIDINGS_BOUNDED: bool = true> #fields #end
    }))
}

/// Returns whether the schema of a variant's fields can be derived. The form that functions give to a
/// field is only known if `schemars(with)` names a type of that form.
fn is_described(variant: &EventVariant) -> bool {
    let functions = ["with", "serialize_with", "deserialize_with"];
    let is_known = |field: &Field| {
        !has(field, "serde", &functions) || has(field, "schemars", &["with", "schema_with"])
    };
    let is_fields = matches!(variant.kind, VariantKind::Fields(_));
    is_fields && !variant.about.is_opaque && variant.fields.iter().all(is_known)
}

/// Returns whether the attribute on a field has one of these arguments.
fn has(field: &Field, attribute: &str, arguments: &[&str]) -> bool {
    let metas = arguments_of(&field.attrs, attribute);
    let is_one = |meta: &Meta| arguments.iter().any(|name| meta.path().is_ident(name));
    metas.iter().any(is_one)
}

fn schema_ident(of: &Ident, variant: &EventVariant) -> Ident {
    format_ident!("{}Schema", payload_ident(of, variant))
}
