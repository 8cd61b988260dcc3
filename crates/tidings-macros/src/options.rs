//! The arguments of the attributes: a name, and options for the contract.

use proc_macro2::Span;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::{Error, Ident, LitStr, Result, Token, parenthesized};

use crate::name;

/// The parts of an event or a shared value in a contract beside its schema.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) since: Option<LitStr>,
    pub(crate) opaque: Option<Span>,
    /// Fields, each with the further names that readers accept for it.
    pub(crate) aliases: Vec<(LitStr, Vec<LitStr>)>,
    /// The first option.
    pub(crate) first: Option<Span>,
}

impl Options {
    /// Returns whether an option is next.
    pub(crate) fn begins(input: ParseStream<'_>) -> bool {
        let next: Result<Ident> = input.fork().parse();
        next.is_ok_and(|word| word == "since" || word == "opaque" || word == "alias")
    }

    /// Parses the options that follow a name and a comma. `attribute` is for the errors.
    pub(crate) fn after_name(input: ParseStream<'_>, attribute: &str) -> Result<Self> {
        let comma: Option<Token![,]> = input.parse()?;
        if comma.is_none() && !input.is_empty() || input.peek(LitStr) {
            return Err(input.error(format!(
                "unexpected argument: `#[{attribute}(…)]` takes one name"
            )));
        }
        Self::parse(input, attribute)
    }

    /// Parses options until the end.
    pub(crate) fn parse(input: ParseStream<'_>, attribute: &str) -> Result<Self> {
        let mut options = Self::default();
        while !input.is_empty() {
            options.one(input, attribute)?;
            if input.is_empty() {
                break;
            }
            input.parse::<Token![,]>()?;
        }
        Ok(options)
    }

    fn one(&mut self, input: ParseStream<'_>, attribute: &str) -> Result<()> {
        let word: Ident = input.parse().map_err(|error| {
            let message = format!(
                "expected an option of `#[{attribute}(…)]`: {}",
                known(attribute)
            );
            Error::new(error.span(), message)
        })?;
        self.first.get_or_insert(word.span());
        match &*word.to_string() {
            "since" if self.since.is_none() => self.since = Some(since(input, &word)?),
            "opaque" if self.opaque.is_none() => self.opaque = Some(word.span()),
            "since" | "opaque" => {
                return Err(Error::new(
                    word.span(),
                    format!("duplicate `{word}`: remove one of them"),
                ));
            }
            "alias" if attribute == "event" => self.aliases.push(alias(input, &word)?),
            _ => {
                let message = format!("unknown option `{word}`: {}", known(attribute));
                return Err(Error::new(word.span(), message));
            }
        }
        Ok(())
    }
}

fn known(attribute: &str) -> &'static str {
    if attribute == "event" {
        "write `since = \"1.2\"`, `opaque` or `alias(\"field\", \"other name\")`"
    } else {
        "write `since = \"1.2\"` or `opaque`"
    }
}

fn since(input: ParseStream<'_>, word: &Ident) -> Result<LitStr> {
    const INSTEAD: &str = "expected a version: write `since = \"1.2\"`";
    let version = input
        .parse::<Token![=]>()
        .and_then(|_| input.parse::<LitStr>())
        .map_err(|_| Error::new(word.span(), INSTEAD))?;
    let is_allowed =
        |character: char| character.is_ascii_alphanumeric() || ".-+".contains(character);
    let text = version.value();
    if text.is_empty() || text.len() > 32 || !text.chars().all(is_allowed) {
        return Err(Error::new(version.span(), INSTEAD));
    }
    Ok(version)
}

fn alias(input: ParseStream<'_>, word: &Ident) -> Result<(LitStr, Vec<LitStr>)> {
    const INSTEAD: &str =
        "expected a field and its other names: write `alias(\"field\", \"other name\")`";
    if !input.peek(syn::token::Paren) {
        return Err(Error::new(word.span(), INSTEAD));
    }
    let names;
    parenthesized!(names in input);
    let names = Punctuated::<LitStr, Token![,]>::parse_terminated(&names)
        .map_err(|error| Error::new(error.span(), INSTEAD))?;
    let mut names = names.into_iter();
    match (names.next(), names.collect::<Vec<_>>()) {
        (Some(field), others) if !others.is_empty() => Ok((field, others)),
        _ => Err(Error::new(word.span(), INSTEAD)),
    }
}

/// Parses and checks the name of an event; `instead` is the cure in the error.
pub(crate) fn event_name(input: ParseStream<'_>, instead: &str) -> Result<LitStr> {
    let literal = literal(
        input,
        &format!("an event name as a string: write {instead}"),
    )?;
    name::check(&literal, "event name")?;
    Ok(literal)
}

/// Parses and checks the name of something that is shared; `instead` is the cure in the error.
pub(crate) fn shared_name(input: ParseStream<'_>, instead: &str) -> Result<LitStr> {
    let literal = literal(input, &format!("a name as a string: write {instead}"))?;
    name::check(&literal, "name")?;
    Ok(literal)
}

fn literal(input: ParseStream<'_>, expected: &str) -> Result<LitStr> {
    let literal: Result<LitStr> = input.parse();
    literal.map_err(|error| Error::new(error.span(), format!("expected {expected}")))
}
