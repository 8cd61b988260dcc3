//! The names of fields in a payload, as serde's attributes set them, and their aliases.

use syn::ext::IdentExt as _;
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, Fields, Lit, LitStr, Meta, Result, Token};

use crate::options::Options;

/// Paths of fields, each with one further name that readers accept for it.
pub(crate) type Aliases = Vec<(String, String)>;

/// Returns the aliases of serde's attributes and of the options.
pub(crate) fn aliases(
    attributes: &[Attribute],
    fields: &Fields,
    options: &Options,
) -> Result<Aliases> {
    let mut aliases = Aliases::new();
    let mut names = Vec::new();
    let rename_all = text(attributes, "rename_all");
    let is_converted = is_converted(attributes);
    let mut is_closed = matches!(fields, Fields::Named(_)) && !is_converted;
    for field in fields.iter().filter(|_| !is_converted) {
        let Some(ident) = &field.ident else { continue };
        let ident = ident.unraw().to_string();
        let renamed = text(&field.attrs, "rename");
        let name = renamed.unwrap_or_else(|| match &rename_all {
            Some(rule) => apply(rule, &ident),
            None => ident,
        });
        for meta in arguments_of(&field.attrs, "serde") {
            if meta.path().is_ident("alias")
                && let Some(alias) = value(&meta)
            {
                aliases.push((format!(".{name}"), alias));
            }
            is_closed &= !meta.path().is_ident("flatten");
        }
        names.push(name);
    }
    for (field, others) in &options.aliases {
        let path = path(field, is_closed.then_some(&names))?;
        aliases.extend(others.iter().map(|other| (path.clone(), other.value())));
    }
    Ok(aliases)
}

/// Returns whether readers read another type, whose fields are not known here.
fn is_converted(attributes: &[Attribute]) -> bool {
    let of_container = arguments_of(attributes, "serde");
    let words = ["from", "try_from", "transparent"];
    let is_one = |meta: &Meta| words.iter().any(|word| meta.path().is_ident(word));
    of_container.iter().any(is_one)
}

/// Returns the path of the field in an option. `names` are those of all fields, if they are known.
fn path(field: &LitStr, names: Option<&Vec<String>>) -> Result<String> {
    let text = field.value();
    let name = text.strip_prefix('.').unwrap_or(&text);
    let is_field = names.is_none_or(|names| names.iter().any(|it| it == name));
    if is_field && (names.is_some() || !name.contains(['.', '['])) {
        return Ok(format!(".{name}"));
    }
    let message = if name.contains(['.', '[']) {
        format!("`{name}` is a path: `alias` is for the fields of the payload itself")
    } else {
        format!("no field of the payload is named `{name}`")
    };
    Err(Error::new(field.span(), message))
}

/// Returns the text of an attribute, for the side that reads.
fn text(attributes: &[Attribute], name: &str) -> Option<String> {
    arguments_of(attributes, "serde")
        .into_iter()
        .filter(|meta| meta.path().is_ident(name))
        .find_map(|meta| match &meta {
            Meta::List(list) => {
                let sides = Punctuated::<Meta, Token![,]>::parse_terminated;
                let sides = list.parse_args_with(sides).ok()?;
                let is_read = |meta: &&Meta| meta.path().is_ident("deserialize");
                sides.iter().find(is_read).and_then(value)
            }
            _ => value(&meta),
        })
}

/// Returns the arguments of all attributes of this name.
pub(super) fn arguments_of(attributes: &[Attribute], name: &str) -> Vec<Meta> {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident(name))
        .filter_map(|attribute| {
            attribute
                .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
                .ok()
        })
        .flatten()
        .collect()
}

fn value(meta: &Meta) -> Option<String> {
    match &meta.require_name_value().ok()?.value {
        syn::Expr::Lit(syn::ExprLit {
            lit: Lit::Str(text),
            ..
        }) => Some(text.value()),
        _ => None,
    }
}

/// Applies a rule of serde's `rename_all` to the name of a field.
fn apply(rule: &str, field: &str) -> String {
    let words = || field.split('_').filter(|word| !word.is_empty());
    let capitalized = |word: &str| {
        let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        first.to_uppercase() + rest
    };
    match rule {
        "UPPERCASE" | "SCREAMING_SNAKE_CASE" => field.to_ascii_uppercase(),
        "PascalCase" => words().map(capitalized).collect(),
        "camelCase" => {
            let pascal: String = words().map(capitalized).collect();
            let first = pascal.chars().next().map_or(0, char::len_utf8);
            pascal[..first].to_lowercase() + &pascal[first..]
        }
        "kebab-case" => field.replace('_', "-"),
        "SCREAMING-KEBAB-CASE" => field.to_ascii_uppercase().replace('_', "-"),
        _ => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;
    use syn::{ItemStruct, parse_quote};

    use super::*;

    #[test]
    fn an_alias_belongs_to_the_name_that_readers_expect() {
        let item: ItemStruct = parse_quote! {
            #[serde(rename_all = "camelCase")]
            struct Payload {
                #[serde(alias = "title", default)]
                full_name: String,
                #[serde(rename(serialize = "a", deserialize = "b"), alias = "c", alias = "d")]
                other: String,
                r#type: String,
            }
        };
        let options = Options {
            aliases: vec![(parse_quote!("type"), vec![parse_quote!("kind")])],
            ..Options::default()
        };
        let aliases = aliases(&item.attrs, &item.fields, &options).unwrap();
        let expected = [
            (".fullName", "title"),
            (".b", "c"),
            (".b", "d"),
            (".type", "kind"),
        ];
        assert_eq!(
            aliases,
            expected.map(|(path, alias)| (path.to_owned(), alias.to_owned()))
        );
    }

    #[test]
    fn an_alias_of_a_field_within_a_field_is_rejected() {
        let items: [ItemStruct; 3] = [
            parse_quote! { struct Payload { address: Address } },
            parse_quote! { struct Payload { #[serde(flatten)] address: Address } },
            parse_quote! { struct Payload(Address); },
        ];
        for item in &items {
            for field in ["address.street", ".address.street", "items[].name", "[0]"] {
                let field = LitStr::new(field, Span::call_site());
                let options = Options {
                    aliases: vec![(field, vec![parse_quote!("road")])],
                    ..Options::default()
                };
                let error = aliases(&item.attrs, &item.fields, &options).unwrap_err();
                assert!(error.to_string().contains("is a path"), "{error}");
            }
        }
    }

    #[test]
    fn a_field_whose_name_looks_like_a_path_has_an_alias() {
        let item: ItemStruct = parse_quote! {
            struct Payload {
                #[serde(rename = "user.name")]
                name: String,
            }
        };
        let options = Options {
            aliases: vec![(parse_quote!("user.name"), vec![parse_quote!("title")])],
            ..Options::default()
        };
        let aliases = aliases(&item.attrs, &item.fields, &options).unwrap();
        assert_eq!(aliases, [(".user.name".to_owned(), "title".to_owned())]);
    }

    #[test]
    fn the_fields_of_a_type_that_serde_converts_are_not_known() {
        let items: [ItemStruct; 3] = [
            parse_quote! { #[serde(from = "Wire", into = "Wire")] struct Payload { first: String } },
            parse_quote! { #[serde(try_from = "Wire")] struct Payload { first: String } },
            parse_quote! { #[serde(transparent)] struct Payload { inner: Wire } },
        ];
        for item in &items {
            let options = Options {
                aliases: vec![(parse_quote!("full_name"), vec![parse_quote!("name")])],
                ..Options::default()
            };
            let aliases = aliases(&item.attrs, &item.fields, &options).unwrap();
            assert_eq!(aliases, [(".full_name".to_owned(), "name".to_owned())]);
        }
    }

    #[test]
    fn fields_are_renamed_as_by_serde() {
        let cases = [
            ("lowercase", "full_name"),
            ("UPPERCASE", "FULL_NAME"),
            ("PascalCase", "FullName"),
            ("camelCase", "fullName"),
            ("snake_case", "full_name"),
            ("SCREAMING_SNAKE_CASE", "FULL_NAME"),
            ("kebab-case", "full-name"),
            ("SCREAMING-KEBAB-CASE", "FULL-NAME"),
        ];
        for (rule, name) in cases {
            assert_eq!(apply(rule, "full_name"), name);
        }
    }
}
