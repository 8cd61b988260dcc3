//! The model of a type that derives `Event`: all names are set, and all rules are checked.

use std::collections::HashMap;

use quote::ToTokens as _;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, Data, DataEnum, DataStruct, DeriveInput, Error, Field, Fields, Ident, Result, Type,
    Variant,
};

use super::about::About;
use super::attribute::{self, EventArguments, EventAttribute};
use crate::name;
use crate::options::Options;

/// A valid event type.
pub(crate) enum Model {
    Struct(StructEvent),
    Enum(EventEnum),
}

/// A struct: one event, and its own payload.
pub(crate) struct StructEvent {
    pub(crate) ident: Ident,
    pub(crate) name: String,
    pub(crate) about: About,
}

/// An enum: a closed set of events.
pub(crate) struct EventEnum {
    pub(crate) ident: Ident,
    pub(crate) variants: Vec<EventVariant>,
}

/// A variant, and the event that it is.
pub(crate) struct EventVariant {
    pub(crate) ident: Ident,
    pub(crate) fields: Fields,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) kind: VariantKind,
    pub(crate) about: About,
}

/// The name and the payload of a variant.
pub(crate) enum VariantKind {
    /// Another event type, with its own names.
    Nested(Type),
    /// A name, and a payload of any serde type.
    Payload(String, Type),
    /// A name, and the variant's fields as payload.
    Fields(String),
    /// A name without payload.
    Unit(String),
    /// All names without another variant.
    Other(Type),
}

impl EventVariant {
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.kind {
            VariantKind::Payload(name, _) | VariantKind::Fields(name) | VariantKind::Unit(name) => {
                Some(name)
            }
            VariantKind::Nested(_) | VariantKind::Other(_) => None,
        }
    }
}

pub(crate) fn parse(input: &DeriveInput) -> Result<Model> {
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &input.generics.params,
            "an event cannot have generics or lifetimes: it has one name and one payload type, and owns its data",
        ));
    }
    match &input.data {
        Data::Struct(data) => parse_struct(input, data).map(Model::Struct),
        Data::Enum(data) => parse_enum(input, data).map(Model::Enum),
        Data::Union(data) => Err(Error::new(
            data.union_token.span,
            "a union cannot be an event, because serde does not support unions: use a struct or an enum",
        )),
    }
}

fn parse_struct(input: &DeriveInput, data: &DataStruct) -> Result<StructEvent> {
    attribute::reject_on_fields(&data.fields)?;
    let EventArguments { name, options } = own_arguments(input)?;
    Ok(StructEvent {
        ident: input.ident.clone(),
        name: match name {
            Some(name) => name.value(),
            None => default_name(None, &input.ident)?,
        },
        about: About::new(&input.attrs, &data.fields, &options)?,
    })
}

fn parse_enum(input: &DeriveInput, data: &DataEnum) -> Result<EventEnum> {
    let EventArguments { name, options } = own_arguments(input)?;
    if let Some(span) = options.first {
        return Err(Error::new(
            span,
            "an enum is no event itself: write the option on each variant that it is for",
        ));
    }
    let prefix = match name {
        Some(prefix) => prefix.value(),
        None => name::snake_case(&input.ident),
    };
    if data.variants.is_empty() {
        return Err(Error::new(
            input.ident.span(),
            "an enum without variants cannot be an event: add a variant for each event",
        ));
    }
    let mut seen = SeenVariants::default();
    let mut variants = Vec::new();
    let mut errors: Option<Error> = None;
    for variant in &data.variants {
        let variant = parse_variant(variant, &prefix, &input.ident);
        match variant.and_then(|variant| seen.add(&variant).map(|()| variant)) {
            Ok(variant) => variants.push(variant),
            Err(error) => match &mut errors {
                Some(errors) => errors.combine(error),
                None => errors = Some(error),
            },
        }
    }
    match errors {
        Some(errors) => Err(errors),
        None => Ok(EventEnum {
            ident: input.ident.clone(),
            variants,
        }),
    }
}

/// Parses `#[event("…")]` on the type itself.
fn own_arguments(input: &DeriveInput) -> Result<EventArguments> {
    match attribute::read(&input.attrs)? {
        Some(EventAttribute::Event(arguments)) => Ok(arguments),
        Some(EventAttribute::Other(word)) => Err(Error::new(
            word.span(),
            "`other` is only allowed on a variant of an enum: `#[event(other)] Other(Unknown)`",
        )),
        None => Ok(EventArguments::default()),
    }
}

fn parse_variant(variant: &Variant, prefix: &str, of: &Ident) -> Result<EventVariant> {
    attribute::reject_on_fields(&variant.fields)?;
    let fields = replace_self(&variant.fields, of);
    let (name, options) = match attribute::read(&variant.attrs)? {
        Some(EventAttribute::Other(word)) => return parse_other(variant, fields, &word),
        Some(EventAttribute::Event(EventArguments { name, options })) => (name, options),
        None => (None, Options::default()),
    };
    let kind = match (name, newtype(&fields)) {
        (None, Some(field)) => nested(field, &options)?,
        (Some(name), Some(field)) if !has_serde(field) => {
            VariantKind::Payload(name.value(), field.ty.clone())
        }
        (name, _) => {
            let name = match name {
                Some(name) => name.value(),
                None => default_name(Some(prefix), &variant.ident)?,
            };
            if fields.is_empty() {
                VariantKind::Unit(name)
            } else {
                VariantKind::Fields(name)
            }
        }
    };
    Ok(EventVariant {
        about: About::new(&variant.attrs, &fields, &options)?,
        ident: variant.ident.clone(),
        fields,
        attributes: variant.attrs.clone(),
        kind,
    })
}

/// Parses a variant that holds all other events. `word` is the word `other`.
fn parse_other(variant: &Variant, fields: Fields, word: &Ident) -> Result<EventVariant> {
    let Some(field) = newtype(&fields) else {
        return Err(Error::new(
            word.span(),
            "`other` needs a variant that holds the event: `#[event(other)] Other(Unknown)`",
        ));
    };
    let kind = VariantKind::Other(nested_type(field)?);
    Ok(EventVariant {
        ident: variant.ident.clone(),
        fields,
        attributes: variant.attrs.clone(),
        kind,
        about: About::without_fields(&[], &Options::default()),
    })
}

fn nested(field: &Field, options: &Options) -> Result<VariantKind> {
    match options.first {
        Some(span) => Err(Error::new(
            span,
            "this variant has the name and the options of the event that it holds: write the \
             option on the type of the event, or give this variant a name of its own, as in \
             `#[event(\"a.name\", opaque)]`",
        )),
        None => nested_type(field).map(VariantKind::Nested),
    }
}

fn newtype(fields: &Fields) -> Option<&Field> {
    match fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => fields.unnamed.first(),
        _ => None,
    }
}

/// Returns the type of a field that must not have serde attributes.
fn nested_type(field: &Field) -> Result<Type> {
    match field.attrs.iter().find(|attribute| is_serde(attribute)) {
        Some(attribute) => Err(Error::new_spanned(
            attribute,
            "serde attributes have no effect here: put them on the type of the event",
        )),
        None => Ok(field.ty.clone()),
    }
}

fn has_serde(field: &Field) -> bool {
    field.attrs.iter().any(is_serde)
}

fn is_serde(attribute: &Attribute) -> bool {
    attribute.path().is_ident("serde")
}

fn default_name(prefix: Option<&str>, ident: &Ident) -> Result<String> {
    let own = name::snake_case(ident);
    let name = prefix.map_or_else(|| own.clone(), |prefix| format!("{prefix}.{own}"));
    name::check_default(&name, ident)?;
    Ok(name)
}

/// Replaces `Self` in the fields by the type, so that another type can have them.
fn replace_self(fields: &Fields, of: &Ident) -> Fields {
    struct ReplaceSelf<'a>(&'a Ident);

    impl VisitMut for ReplaceSelf<'_> {
        fn visit_ident_mut(&mut self, ident: &mut Ident) {
            if ident == "Self" {
                let span = ident.span();
                *ident = self.0.clone();
                ident.set_span(span);
            }
        }

        fn visit_attribute_mut(&mut self, _: &mut Attribute) {}

        fn visit_type_mut(&mut self, ty: &mut Type) {
            visit_mut::visit_type_mut(self, ty);
        }
    }

    let mut fields = fields.clone();
    ReplaceSelf(of).visit_fields_mut(&mut fields);
    fields
}

/// The names and types of the variants so far.
#[derive(Default)]
struct SeenVariants {
    names: HashMap<String, Ident>,
    nested: HashMap<String, Ident>,
    other: Option<Ident>,
}

impl SeenVariants {
    fn add(&mut self, variant: &EventVariant) -> Result<()> {
        let ident = variant.ident.clone();
        let (first, duplicate) = match &variant.kind {
            VariantKind::Nested(ty) => {
                let ty = ty.to_token_stream().to_string();
                let duplicate = format!("event type `{ty}`");
                (self.nested.insert(ty, ident), duplicate)
            }
            VariantKind::Other(_) => (self.other.replace(ident), "`#[event(other)]`".to_owned()),
            VariantKind::Payload(name, _) | VariantKind::Fields(name) | VariantKind::Unit(name) => {
                let duplicate = format!("event name `{name}`");
                (self.names.insert(name.clone(), ident), duplicate)
            }
        };
        let Some(first) = first else { return Ok(()) };
        let spanned = match (attribute::read(&variant.attributes), &variant.kind) {
            (
                Ok(Some(EventAttribute::Event(EventArguments {
                    name: Some(name), ..
                }))),
                _,
            ) => name.into_token_stream(),
            (_, VariantKind::Nested(ty)) => ty.to_token_stream(),
            _ => variant.ident.to_token_stream(),
        };
        Err(Error::new_spanned(
            spanned,
            format!("duplicate {duplicate}: the variant `{first}` already has it"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[test]
    fn an_enum_with_a_raw_name_may_hold_itself() {
        let input: DeriveInput = parse_quote! {
            enum r#enum { Nested { inner: Vec<Self> } }
        };
        let Ok(Model::Enum(events)) = parse(&input) else {
            panic!("it is an enum of events")
        };
        let fields = events.variants[0].fields.to_token_stream().to_string();
        assert_eq!(fields, "{ inner : Vec < r#enum > }");
    }
}
