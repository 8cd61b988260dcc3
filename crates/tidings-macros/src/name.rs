//! Event names: their rule, and the defaults.

use proc_macro2::Ident;
use syn::ext::IdentExt as _;
use syn::{Error, LitStr, Result};

const MAX_BYTES: usize = 128;

/// Checks the name in an attribute; `noun` is what has it.
pub(crate) fn check(name: &LitStr, noun: &str) -> Result<()> {
    match fault(&name.value()) {
        Some(fault) => Err(Error::new(name.span(), format!("invalid {noun}: {fault}"))),
        None => Ok(()),
    }
}

/// Checks the default name of `ident`.
pub(crate) fn check_default(name: &str, ident: &Ident) -> Result<()> {
    match fault(name) {
        Some(fault) => Err(Error::new(
            ident.span(),
            format!(
                "the default name `{name}` is invalid: {fault}; set a name with \
                 `#[event(\"a.name\")]`"
            ),
        )),
        None => Ok(()),
    }
}

/// Returns the rule that a name breaks. The rules are those of `tidings::codec::check_name`.
fn fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("it is empty".to_owned());
    }
    if name.len() > MAX_BYTES {
        let len = name.len();
        return Some(format!(
            "it has {len} bytes, more than the limit of {MAX_BYTES}"
        ));
    }
    name.chars()
        .find(|character| !character.is_ascii_alphanumeric() && !"._:-".contains(*character))
        .map(|character| format!("{character:?} is not allowed, only `A-Z a-z 0-9 . _ : -`"))
}

/// Converts an identifier to snake case: `UserRenamed` is `user_renamed`, and `HTTPServer2` is
/// `http_server2`.
pub(crate) fn snake_case(ident: &Ident) -> String {
    let ident = ident.unraw().to_string();
    let characters: Vec<char> = ident.chars().collect();
    let mut name = String::with_capacity(ident.len() + 4);
    for (at, &character) in characters.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| characters[before]);
        let after = characters.get(at + 1);
        let begins_word = character.is_uppercase()
            && before.is_some_and(|before| {
                let ends_acronym =
                    before.is_uppercase() && after.is_some_and(|after| after.is_lowercase());
                before.is_lowercase() || before.is_ascii_digit() || ends_acronym
            });
        if begins_word {
            name.push('_');
        }
        name.extend(character.to_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;

    use super::*;

    #[test]
    fn the_default_name_is_the_identifier_in_snake_case() {
        let cases = [
            ("Tick", "tick"),
            ("UserRenamed", "user_renamed"),
            ("HTTPServer2", "http_server2"),
            ("Http2Server", "http2_server"),
            ("OrderID", "order_id"),
            ("Already_Snake", "already_snake"),
            ("A", "a"),
            ("r#Type", "type"),
        ];

        for (ident, name) in cases {
            let ident = syn::parse_str::<Ident>(ident).unwrap();
            assert_eq!(snake_case(&ident), name);
        }
    }

    #[test]
    fn a_name_is_valid_if_the_codec_accepts_it() {
        for (name, is_valid) in include!("../../tidings-codec/src/name/cases.rs") {
            let literal = LitStr::new(&name, Span::call_site());
            assert_eq!(check(&literal, "event name").is_ok(), is_valid, "{name:?}");
        }
    }
}
