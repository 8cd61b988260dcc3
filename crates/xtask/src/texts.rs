//! Checks that the book has each error text and each log line of the library, and that its alerts and
//! dashboard have only metrics that exist.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;

use crate::tool::repository;

/// Texts that Display writes, and the page that explains them.
const ERRORS: &str = "docs/src/troubleshooting.md";
const LOGS: &str = "docs/src/logs.md";

/// The page with all metrics, and what is made from them.
const METRICS: &str = "docs/src/observing.md";
const FROM_METRICS: [&str; 2] = [
    "docs/src/programs/alerts.yaml",
    "docs/src/programs/grafana.json",
];

/// Compares the pages with the source.
pub(crate) fn look() -> Result<()> {
    let mut found = Found::default();
    read(&repository().join("crates/tidings/src"), &mut found)?;
    let mut wanted = vec![(ERRORS, found.errors.clone()), (LOGS, found.logs.clone())];
    for path in FROM_METRICS {
        let text = fs::read_to_string(repository().join(path))?;
        wanted.push((METRICS, metrics(&text)));
    }
    let missing = wanted.iter().map(|(page, texts)| missing(page, texts));
    let missing = missing.collect::<Result<Vec<_>>>()?.concat();
    ensure!(missing.is_empty(), "{}", missing.join("\n"));
    let (errors, logs) = (found.errors.len(), found.logs.len());
    println!("the book has {errors} error texts and {logs} log lines");
    Ok(())
}

/// Returns the names of metrics in a text.
fn metrics(text: &str) -> Vec<String> {
    let words = text.split(|it: char| !it.is_alphanumeric() && it != '_');
    let names = words.filter(|word| word.starts_with("tidings_"));
    names.map(str::to_owned).collect()
}

/// Returns the texts that a page does not have.
fn missing(page: &str, texts: &[String]) -> Result<Vec<String>> {
    let text = plain(&fs::read_to_string(repository().join(page))?);
    let missing = texts.iter().filter(|it| !text.contains(&plain(it)));
    Ok(missing.map(|it| format!("{page} lacks: {it}")).collect())
}

/// Removes back quotes, which code of a page cannot have, and what they leave.
fn plain(text: &str) -> String {
    let text = text.replace('`', "").replace("……", "…");
    let words: Vec<_> = text.split(' ').filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

fn read(folder: &Path, found: &mut Found) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read(&path, found)?;
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path)?;
            let file = syn::parse_file(&text);
            let file = file.with_context(|| format!("cannot parse {}", path.display()))?;
            found.are_errors_public = path.parent().is_some_and(|it| it.ends_with("src/error"));
            found.visit_file(&file);
        }
    }
    Ok(())
}

#[derive(Default)]
struct Found {
    errors: Vec<String>,
    /// As in the table: `WARN | disconnected`.
    logs: Vec<String>,
    are_errors_public: bool,
}

impl<'ast> Visit<'ast> for Found {
    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta
            && self.are_errors_public
            && list.path.is_ident("error")
            && let Some(text) = literals(list.tokens.clone()).into_iter().next()
        {
            self.errors.extend(explained(&text));
        }
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        let path: Vec<_> = called
            .path
            .segments
            .iter()
            .map(|it| it.ident.to_string())
            .collect();
        let [library, level] = &path[..] else {
            return;
        };
        if library == "tracing" {
            // The last one: fields come first.
            let line = literals(called.tokens.clone())
                .pop()
                .filter(|it| !it.contains('{'));
            self.logs
                .extend(line.map(|line| format!("{} | {line}", level.to_uppercase())));
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.ident != "tests" {
            syn::visit::visit_item_mod(self, module);
        }
    }
}

/// Returns the literals of a call, but not those in its arguments.
fn literals(tokens: TokenStream) -> Vec<String> {
    let texts = tokens.into_iter().filter_map(|token| match token {
        TokenTree::Literal(literal) => syn::parse_str::<syn::LitStr>(&literal.to_string()).ok(),
        _ => None,
    });
    texts.map(|text| text.value()).collect()
}

/// Returns the text with `…` for what differs; `None` if nothing else is left.
fn explained(text: &str) -> Option<String> {
    let mut parts = text
        .split('{')
        .map(|part| part.split_once('}').map_or(part, |it| it.1));
    let first = parts.next()?.to_owned();
    let text = parts.fold(first, |text, part| text + "…" + part);
    let has_words = text.replace('…', "").chars().any(char::is_alphabetic);
    has_words.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_explains_each_error_and_each_log_line() {
        look().unwrap();
    }

    #[test]
    fn a_metric_is_found_in_an_expression() {
        assert_eq!(metrics("sum(rate(tidings_up[1m])) > 0"), ["tidings_up"]);
    }

    #[test]
    fn what_differs_is_left_out() {
        assert_eq!(explained("cannot use {}").as_deref(), Some("cannot use …"));
        assert_eq!(explained("{doing}: {}"), None);
    }

    #[test]
    fn the_text_of_a_log_line_follows_its_fields() {
        let mut found = Found::default();
        let file = r#"fn a() { tracing::warn!(b = "c", %d, "gap"); }"#;
        found.visit_file(&syn::parse_file(file).unwrap());
        assert_eq!(found.logs, ["WARN | gap"]);
    }
}
