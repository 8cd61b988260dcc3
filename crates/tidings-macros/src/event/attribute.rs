//! The attribute `#[event(…)]`: a name, or the word `other`.

use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Error, Ident, LitStr, Meta, Result, Token};

use crate::name;

/// What `#[event(…)]` says.
pub(crate) enum Said {
    Name(LitStr),
    Other(Ident),
}

/// What the one `#[event(…)]` among `attributes` says, where there is one.
pub(crate) fn read(attributes: &[Attribute]) -> Result<Option<Said>> {
    let mut said = None;
    for attribute in of_event(attributes) {
        if said.is_some() {
            return Err(Error::new_spanned(
                attribute,
                "`#[event(…)]` is here twice: keep one of them",
            ));
        }
        said = Some(read_one(attribute)?);
    }
    Ok(said)
}

/// Refuses `#[event(…)]` on a field.
pub(crate) fn refuse_on_fields<'a>(fields: impl IntoIterator<Item = &'a syn::Field>) -> Result<()> {
    let misplaced = fields
        .into_iter()
        .find_map(|field| of_event(&field.attrs).next());
    match misplaced {
        Some(attribute) => Err(Error::new_spanned(
            attribute,
            "a field has no event name: put `#[event(…)]` on the struct or the variant",
        )),
        None => Ok(()),
    }
}

fn of_event(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("event"))
}

fn read_one(attribute: &Attribute) -> Result<Said> {
    let Meta::List(list) = &attribute.meta else {
        return Err(Error::new_spanned(
            attribute,
            "the name is missing: write `#[event(\"a.name\")]`",
        ));
    };
    if list.tokens.is_empty() {
        return Err(Error::new_spanned(
            attribute,
            "the name is missing: write `#[event(\"a.name\")]`",
        ));
    }
    attribute.parse_args()
}

impl Parse for Said {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let said = if input.peek(Ident) {
            Self::Other(other(input)?)
        } else {
            Self::Name(event_name(input, "`#[event(\"a.name\")]`")?)
        };
        let _: Option<Token![,]> = input.parse()?;
        if input.is_empty() {
            return Ok(said);
        }
        Err(input.error(match said {
            Self::Name(_) => "an event has one name: nothing follows it in `#[event(…)]`",
            Self::Other(_) => "`other` stands alone: what it takes has names of its own",
        }))
    }
}

fn other(input: ParseStream<'_>) -> Result<Ident> {
    let word: Ident = input.parse()?;
    if word == "other" {
        return Ok(word);
    }
    let complaint = if word == "name" && input.peek(Token![=]) {
        "the name stands alone: write `#[event(\"a.name\")]`".to_owned()
    } else {
        format!("`{word}` means nothing here: write `#[event(\"a.name\")]` or `#[event(other)]`")
    };
    Err(Error::new(word.span(), complaint))
}

/// Reads and checks an event's name; `instead` is what to write where something else stands.
pub(crate) fn event_name(input: ParseStream<'_>, instead: &str) -> Result<LitStr> {
    let literal: LitStr = input.parse().map_err(|error| {
        Error::new(
            error.span(),
            format!("an event's name is a text in quotes: write {instead}"),
        )
    })?;
    name::check(&literal)?;
    Ok(literal)
}
