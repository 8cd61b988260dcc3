//! The attribute `#[event(…)]`.

use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Error, Ident, LitStr, Meta, Result, Token};

use crate::name;

/// The argument of `#[event(…)]`: a name, or `other`.
pub(crate) enum EventAttribute {
    Name(LitStr),
    Other(Ident),
}

/// Parses the `#[event(…)]` among `attributes`, if there is one.
pub(crate) fn read(attributes: &[Attribute]) -> Result<Option<EventAttribute>> {
    let mut parsed = None;
    for attribute in of_event(attributes) {
        if parsed.is_some() {
            return Err(Error::new_spanned(
                attribute,
                "duplicate `#[event(…)]`: remove one of them",
            ));
        }
        parsed = Some(read_one(attribute)?);
    }
    Ok(parsed)
}

/// Rejects `#[event(…)]` on a field.
pub(crate) fn reject_on_fields<'a>(fields: impl IntoIterator<Item = &'a syn::Field>) -> Result<()> {
    let misplaced = fields
        .into_iter()
        .find_map(|field| of_event(&field.attrs).next());
    match misplaced {
        Some(attribute) => Err(Error::new_spanned(
            attribute,
            "`#[event(…)]` is not allowed on a field: put it on the struct or the variant",
        )),
        None => Ok(()),
    }
}

fn of_event(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("event"))
}

fn read_one(attribute: &Attribute) -> Result<EventAttribute> {
    match &attribute.meta {
        Meta::List(list) if !list.tokens.is_empty() => attribute.parse_args(),
        _ => Err(Error::new_spanned(
            attribute,
            "missing event name: write `#[event(\"a.name\")]`",
        )),
    }
}

impl Parse for EventAttribute {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let parsed = if input.peek(Ident) {
            Self::Other(other(input)?)
        } else {
            Self::Name(event_name(input, "`#[event(\"a.name\")]`")?)
        };
        let _: Option<Token![,]> = input.parse()?;
        if input.is_empty() {
            return Ok(parsed);
        }
        Err(input.error(match parsed {
            Self::Name(_) => "unexpected argument: `#[event(…)]` takes one name",
            Self::Other(_) => {
                "unexpected argument: `other` is for all other names, and takes none itself"
            }
        }))
    }
}

fn other(input: ParseStream<'_>) -> Result<Ident> {
    let word: Ident = input.parse()?;
    if word == "other" {
        return Ok(word);
    }
    let message = if word == "name" && input.peek(Token![=]) {
        "unexpected `name =`: write `#[event(\"a.name\")]`".to_owned()
    } else {
        format!("unknown argument `{word}`: write `#[event(\"a.name\")]` or `#[event(other)]`")
    };
    Err(Error::new(word.span(), message))
}

/// Parses and checks an event name; `instead` is the cure in the error.
pub(crate) fn event_name(input: ParseStream<'_>, instead: &str) -> Result<LitStr> {
    let literal: LitStr = input.parse().map_err(|error| {
        Error::new(
            error.span(),
            format!("expected an event name as a string: write {instead}"),
        )
    })?;
    name::check(&literal)?;
    Ok(literal)
}
