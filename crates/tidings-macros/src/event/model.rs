//! What is derived: every name known, every rule kept.

use std::collections::HashMap;

use quote::ToTokens as _;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, Data, DataEnum, DataStruct, DeriveInput, Error, Field, Fields, Ident, LitStr,
    Result, Type, Variant,
};

use super::attribute::{self, Said};
use crate::name;

/// A type whose `Event` can be written.
pub(crate) enum Model {
    Struct(Single),
    Enum(Closed),
}

/// A struct: one event, its own payload.
pub(crate) struct Single {
    pub(crate) ident: Ident,
    pub(crate) name: String,
}

/// An enum: a closed set of events.
pub(crate) struct Closed {
    pub(crate) ident: Ident,
    pub(crate) variants: Vec<Place>,
}

/// A variant, and what travels for it.
pub(crate) struct Place {
    pub(crate) ident: Ident,
    pub(crate) fields: Fields,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) event: Kind,
}

/// What a variant stands for.
pub(crate) enum Kind {
    /// An event or an enum of its own, which knows its names.
    Nested(Type),
    /// A name, and any serde type.
    Payload(String, Type),
    /// A name, and the variant's fields.
    Fields(String),
    /// A name alone.
    Bare(String),
    /// All names that nobody else has.
    Other(Type),
}

impl Place {
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.event {
            Kind::Payload(name, _) | Kind::Fields(name) | Kind::Bare(name) => Some(name),
            Kind::Nested(_) | Kind::Other(_) => None,
        }
    }
}

pub(crate) fn parse(input: &DeriveInput) -> Result<Model> {
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &input.generics.params,
            "an event has one name and one payload type: generic events are not supported",
        ));
    }
    match &input.data {
        Data::Struct(data) => parse_struct(input, data).map(Model::Struct),
        Data::Enum(data) => parse_enum(input, data).map(Model::Enum),
        Data::Union(data) => Err(Error::new(
            data.union_token.span,
            "a union cannot be an event: serde cannot tell what is in it; use a struct or an enum",
        )),
    }
}

fn parse_struct(input: &DeriveInput, data: &DataStruct) -> Result<Single> {
    attribute::refuse_on_fields(&data.fields)?;
    let name = own_name(input)?;
    Ok(Single {
        ident: input.ident.clone(),
        name: match name {
            Some(name) => name.value(),
            None => default_name(None, &input.ident)?,
        },
    })
}

fn parse_enum(input: &DeriveInput, data: &DataEnum) -> Result<Closed> {
    let prefix = match own_name(input)? {
        Some(prefix) => prefix.value(),
        None => name::snake_case(&input.ident),
    };
    if data.variants.is_empty() {
        return Err(Error::new(
            input.ident.span(),
            "an enum of events needs a variant: each variant is an event",
        ));
    }
    let mut known = Known::default();
    let mut variants = Vec::new();
    let mut errors: Option<Error> = None;
    for variant in &data.variants {
        let place = parse_variant(variant, &prefix, &input.ident);
        match place.and_then(|place| known.add(&place, variant).map(|()| place)) {
            Ok(place) => variants.push(place),
            Err(error) => match &mut errors {
                Some(errors) => errors.combine(error),
                None => errors = Some(error),
            },
        }
    }
    match errors {
        Some(errors) => Err(errors),
        None => Ok(Closed {
            ident: input.ident.clone(),
            variants,
        }),
    }
}

/// What `#[event("…")]` on the type itself says.
fn own_name(input: &DeriveInput) -> Result<Option<LitStr>> {
    match attribute::read(&input.attrs)? {
        Some(Said::Name(name)) => Ok(Some(name)),
        Some(Said::Other(word)) => Err(Error::new(
            word.span(),
            "`other` belongs on a variant of an enum: `#[event(other)] Other(Unknown)`",
        )),
        None => Ok(None),
    }
}

fn parse_variant(variant: &Variant, prefix: &str, of: &Ident) -> Result<Place> {
    attribute::refuse_on_fields(&variant.fields)?;
    let fields = without_self(&variant.fields, of);
    let said = attribute::read(&variant.attrs)?;
    let newtype = newtype(&fields);
    let event = match (said, newtype) {
        (Some(Said::Other(_)), Some(field)) => Kind::Other(plain(field)?),
        (Some(Said::Other(word)), None) => {
            return Err(Error::new(
                word.span(),
                "`other` needs room for the event: `#[event(other)] Other(Unknown)`",
            ));
        }
        (None, Some(field)) => Kind::Nested(plain(field)?),
        (Some(Said::Name(name)), Some(field)) if !has_serde(field) => {
            Kind::Payload(name.value(), field.ty.clone())
        }
        (said, _) => {
            let name = match said {
                Some(Said::Name(name)) => name.value(),
                _ => default_name(Some(prefix), &variant.ident)?,
            };
            if fields.is_empty() {
                Kind::Bare(name)
            } else {
                Kind::Fields(name)
            }
        }
    };
    Ok(Place {
        ident: variant.ident.clone(),
        fields,
        attributes: variant.attrs.clone(),
        event,
    })
}

fn newtype(fields: &Fields) -> Option<&Field> {
    match fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => fields.unnamed.first(),
        _ => None,
    }
}

/// The type of a field that has no say in how it travels.
fn plain(field: &Field) -> Result<Type> {
    match field.attrs.iter().find(|attribute| is_serde(attribute)) {
        Some(attribute) => Err(Error::new_spanned(
            attribute,
            "this event is written by its own type: put serde's attributes there",
        )),
        None => Ok(field.ty.clone()),
    }
}

fn has_serde(field: &Field) -> bool {
    field.attrs.iter().any(is_serde)
}

pub(crate) fn is_serde(attribute: &Attribute) -> bool {
    attribute.path().is_ident("serde")
}

fn default_name(prefix: Option<&str>, ident: &Ident) -> Result<String> {
    let own = name::snake_case(ident);
    let name = prefix.map_or_else(|| own.clone(), |prefix| format!("{prefix}.{own}"));
    name::check_default(&name, ident)?;
    Ok(name)
}

/// The fields with `Self` written out, so that they can stand in another type.
fn without_self(fields: &Fields, of: &Ident) -> Fields {
    struct WrittenOut<'a>(&'a Ident);

    impl VisitMut for WrittenOut<'_> {
        fn visit_ident_mut(&mut self, ident: &mut Ident) {
            if ident == "Self" {
                *ident = Ident::new(&self.0.to_string(), ident.span());
            }
        }

        fn visit_attribute_mut(&mut self, _: &mut Attribute) {}

        fn visit_type_mut(&mut self, ty: &mut Type) {
            visit_mut::visit_type_mut(self, ty);
        }
    }

    let mut fields = fields.clone();
    WrittenOut(of).visit_fields_mut(&mut fields);
    fields
}

/// What the variants so far have taken.
#[derive(Default)]
struct Known {
    names: HashMap<String, Ident>,
    nested: HashMap<String, Ident>,
    other: Option<Ident>,
}

impl Known {
    fn add(&mut self, place: &Place, variant: &Variant) -> Result<()> {
        let ident = place.ident.clone();
        let (first, complaint) = match &place.event {
            Kind::Nested(ty) => {
                let ty = ty.to_token_stream().to_string();
                let complaint = format!("`{ty}` has a variant already");
                (self.nested.insert(ty, ident), complaint)
            }
            Kind::Other(_) => {
                let complaint = "one variant takes all other events".to_owned();
                (self.other.replace(ident), complaint)
            }
            Kind::Payload(name, _) | Kind::Fields(name) | Kind::Bare(name) => {
                let complaint = format!("`{name}` has a variant already");
                (self.names.insert(name.clone(), ident), complaint)
            }
        };
        let Some(first) = first else { return Ok(()) };
        let blame = match (attribute::read(&variant.attrs), &place.event) {
            (Ok(Some(Said::Name(name))), _) => name.into_token_stream(),
            (_, Kind::Nested(ty)) => ty.to_token_stream(),
            _ => variant.ident.to_token_stream(),
        };
        Err(Error::new_spanned(
            blame,
            format!("{complaint}, `{first}`: an event has one place in an enum"),
        ))
    }
}
