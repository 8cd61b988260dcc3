//! The parts of an event in a contract beside its schema.

use syn::{Attribute, Expr, ExprLit, Fields, Lit, Meta, Result};

use super::fields::{self, Aliases};
use crate::options::Options;

/// The options of an event, and its documentation.
pub(crate) struct About {
    pub(crate) docs: String,
    pub(crate) since: Option<String>,
    pub(crate) is_opaque: bool,
    pub(crate) aliases: Aliases,
}

impl About {
    /// Reads what the attributes of a struct or a variant with these fields say.
    pub(crate) fn new(
        attributes: &[Attribute],
        fields: &Fields,
        options: &Options,
    ) -> Result<Self> {
        Ok(Self {
            aliases: fields::aliases(attributes, fields, options)?,
            ..Self::without_fields(attributes, options)
        })
    }

    /// Reads what the attributes of anything else say.
    pub(crate) fn without_fields(attributes: &[Attribute], options: &Options) -> Self {
        Self {
            docs: docs(attributes),
            since: options.since.as_ref().map(syn::LitStr::value),
            is_opaque: options.opaque.is_some(),
            aliases: Aliases::new(),
        }
    }
}

/// Returns the documentation, without the space that begins each line.
fn docs(attributes: &[Attribute]) -> String {
    let lines = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
                Expr::Lit(ExprLit {
                    lit: Lit::Str(line),
                    ..
                }) => Some(line.value()),
                _ => None,
            },
            _ => None,
        });
    let lines: Vec<String> = lines
        .map(|line| line.strip_prefix(' ').unwrap_or(&line).to_owned())
        .collect();
    lines.join("\n").trim().to_owned()
}
