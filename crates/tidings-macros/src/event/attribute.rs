//! The attribute `#[event(…)]`.

use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Error, Field, Ident, LitStr, Meta, Result, Token};

use crate::options::{Options, event_name};

/// The arguments of `#[event(…)]`: a name and options, or `other`.
pub(crate) enum EventAttribute {
    Event(EventArguments),
    Other(Ident),
}

/// The arguments of `#[event(…)]` for an event.
#[derive(Default)]
pub(crate) struct EventArguments {
    pub(crate) name: Option<LitStr>,
    pub(crate) options: Options,
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
pub(crate) fn reject_on_fields<'a>(fields: impl IntoIterator<Item = &'a Field>) -> Result<()> {
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
        if !input.peek(Ident) {
            let name = event_name(input, "`#[event(\"a.name\")]`")?;
            let options = Options::after_name(input, "event")?;
            let name = Some(name);
            return Ok(Self::Event(EventArguments { name, options }));
        }
        if Options::begins(input) {
            let options = Options::parse(input, "event")?;
            return Ok(Self::Event(EventArguments {
                name: None,
                options,
            }));
        }
        let word = other(input)?;
        let _: Option<Token![,]> = input.parse()?;
        if input.is_empty() {
            return Ok(Self::Other(word));
        }
        Err(input
            .error("unexpected argument: `other` is for all other names, and takes none itself"))
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
