//! Compares the limits in the book with the source: a row of a table that ends with the path of a
//! constant or of a default shows its value.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use syn::visit::Visit;
use syn::{BinOp, Expr, Lit, Member};

use crate::tool::repository;

const PAGES: [&str; 3] = ["capacity.md", "queues.md", "wire.md"];

/// Checks each row of the pages that names a source.
pub(crate) fn look() -> Result<()> {
    let (mut count, mut wrong) = (0, Vec::new());
    for page in PAGES {
        let text = fs::read_to_string(repository().join("docs/src").join(page))?;
        let before = count;
        let rows = rows_without_source(&text).into_iter();
        wrong.extend(rows.map(|row| format!("{page}: no source, and no `–`: {row}")));
        for (row, sources) in text.lines().filter_map(sources) {
            for source in sources {
                let value = value(&source).with_context(|| format!("{page}: `{source}`"))?;
                count += 1;
                if !shows(row, value) {
                    wrong.push(format!("{page}: `{source}` is {value:?}: {row}"));
                }
            }
        }
        ensure!(count > before, "{page} names no source of a limit");
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("the book has {count} limits of the source");
    Ok(())
}

/// Returns the row without its last cell, and the paths in that cell.
fn sources(line: &str) -> Option<(&str, Vec<String>)> {
    let (row, cell) = line.trim().strip_suffix('|')?.rsplit_once('|')?;
    let codes = cell.split('`').skip(1).step_by(2);
    let sources: Vec<_> = codes
        .filter(|it| it.contains("::"))
        .map(str::to_owned)
        .collect();
    (!sources.is_empty()).then_some((row, sources))
}

/// Returns the rows of the tables with sources that name none. A value that no constant has is marked
/// with `–`; a measured one names its command.
fn rows_without_source(text: &str) -> Vec<&str> {
    let (mut rows, mut has_sources, mut is_inside) = (Vec::new(), false, false);
    for line in text.lines() {
        let cells = line.trim().strip_suffix('|');
        let last = cells.and_then(|cells| Some(cells.rsplit_once('|')?.1.trim()));
        match last {
            Some(head) if !is_inside => has_sources = head.ends_with("source"),
            Some(last) if has_sources => {
                let is_named = last == "–" || last.starts_with("---") || last.contains('`');
                rows.extend((!is_named).then_some(line));
            }
            _ => {}
        }
        is_inside = last.is_some();
    }
    rows
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Number(u64),
    Milliseconds(u64),
}

/// Returns the value of a constant or of a field's default: `send::window::WINDOW`,
/// `tidings_codec::limits::FRAME`.
fn value(source: &str) -> Result<Value> {
    let (module, name) = source.rsplit_once("::").context("no module")?;
    let (library, module) = match module.split_once("::") {
        Some((library, module)) if library.starts_with("tidings_") => (library, module),
        _ => ("tidings", module),
    };
    let path = format!(
        "crates/{}/src/{}.rs",
        library.replace('_', "-"),
        module.replace("::", "/")
    );
    let path: PathBuf = repository().join(path);
    let text = fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?;
    let mut search = Search { name, found: None };
    search.visit_file(&syn::parse_file(&text)?);
    search.found.context("no such constant or default")
}

struct Search<'a> {
    name: &'a str,
    found: Option<Value>,
}

impl Search<'_> {
    fn compare(&mut self, name: &impl ToString, value: &Expr) {
        if name.to_string() == self.name && self.found.is_none() {
            self.found = evaluated(value);
        }
    }
}

impl<'ast> Visit<'ast> for Search<'_> {
    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.compare(&item.ident, &item.expr);
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.compare(&item.ident, &item.expr);
    }

    fn visit_field_value(&mut self, field: &'ast syn::FieldValue) {
        if let Member::Named(name) = &field.member {
            self.compare(name, &field.expr);
        }
        syn::visit::visit_field_value(self, field);
    }
}

/// Evaluates the expressions that constants have: `64 << 10`, `Duration::from_secs(30)`.
fn evaluated(value: &Expr) -> Option<Value> {
    match value {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Int(number) => number.base10_parse().ok().map(Value::Number),
            _ => None,
        },
        Expr::Binary(binary) => match (
            evaluated(&binary.left)?,
            &binary.op,
            evaluated(&binary.right)?,
        ) {
            (Value::Number(left), BinOp::Shl(_), Value::Number(right)) => {
                Some(Value::Number(left << right))
            }
            _ => None,
        },
        Expr::Call(call) => {
            let argument = evaluated(call.args.first()?)?;
            let Expr::Path(function) = &*call.func else {
                return None;
            };
            let unit = match &*function.path.segments.last()?.ident.to_string() {
                "Some" => return Some(argument),
                "from_millis" => 1,
                "from_secs" => 1_000,
                "from_mins" => 60_000,
                "from_hours" => 3_600_000,
                _ => return None,
            };
            match argument {
                Value::Number(number) => Some(Value::Milliseconds(number * unit)),
                Value::Milliseconds(_) => None,
            }
        }
        _ => None,
    }
}

/// Returns whether a row has a value in one of the ways in which the book writes it.
fn shows(row: &str, value: Value) -> bool {
    let written = |number: u64, units: &[(u64, &str)]| -> Vec<String> {
        let fits = units
            .iter()
            .filter(|(size, _)| number >= *size && number.is_multiple_of(*size));
        fits.map(|(size, unit)| format!("{}{unit}", grouped(number / size)))
            .collect()
    };
    let written = match value {
        Value::Number(number) => written(number, &[(1, ""), (1 << 10, " KiB"), (1 << 20, " MiB")]),
        Value::Milliseconds(time) => written(
            time,
            &[
                (1, " ms"),
                (1_000, " s"),
                (60_000, " minutes"),
                (3_600_000, " hours"),
            ],
        ),
    };
    written.iter().any(|written| has(row, written))
}

/// Returns whether a row has a number that is no part of a longer one.
fn has(row: &str, number: &str) -> bool {
    let is_inside =
        |near: Option<char>| near.is_some_and(|it| it.is_alphanumeric() || ",.".contains(it));
    row.match_indices(number).any(|(at, _)| {
        let mut after = row[at + number.len()..].chars();
        let continues = match after.next() {
            Some(',' | '.') => after.next().is_some_and(|it| it.is_ascii_digit()),
            next => next.is_some_and(char::is_alphanumeric),
        };
        !is_inside(row[..at].chars().next_back()) && !continues
    })
}

/// Writes a number with commas: `65,536`.
fn grouped(number: u64) -> String {
    match (number / 1_000, number % 1_000) {
        (0, rest) => rest.to_string(),
        (thousands, rest) => format!("{},{rest:03}", grouped(thousands)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_in_each_way_of_writing_it() {
        for (row, value) in [
            ("| a frame | 1 MiB", Value::Number(1 << 20)),
            ("| values | 65,536", Value::Number(65_536)),
            ("| a key | 1 KiB, or less", Value::Number(1_024)),
            ("| `send_timeout` | up to 30 s", Value::Milliseconds(30_000)),
            ("| age | 10 minutes", Value::Milliseconds(600_000)),
        ] {
            assert!(shows(row, value), "{row}");
        }
        assert!(!shows("| a frame | 11 MiB", Value::Number(1 << 20)));
        assert!(!shows("| values | 165,536", Value::Number(65_536)));
        assert!(!shows("| a frame | 320 KiB", Value::Number(32)));
        assert!(!shows("| events | 32,768", Value::Number(32)));
        assert!(!shows("| a delay | 1.5 s", Value::Milliseconds(1)));
        assert!(shows("| headers | 32, with 8 KiB", Value::Number(32)));
    }

    #[test]
    fn a_wrong_row_is_told_from_a_right_one() {
        let line = "| a frame | 1 MiB | `tidings_codec::limits::FRAME` |";
        let (row, paths) = sources(line).unwrap();
        let frame = value(&paths[0]).unwrap();
        assert!(shows(row, frame) && !shows("| a frame | 2 MiB", frame));
        assert!(value("send::window::NONE").is_err());
        assert!(sources("| a frame | 1 MiB |").is_none());
    }

    #[test]
    fn a_row_without_a_source_is_found_in_a_table_of_sources_only() {
        let head = "| what | at most | source |\n| --- | ---: | ---: |\n";
        let named = "| a | 1 | `a::A` |\n| b | 2 | – |\n";
        let other = "\n| what | at most |\n| --- | --- |\n| d | 4 |\n";
        assert_eq!(
            rows_without_source(&format!("{head}{named}{other}")),
            [""; 0]
        );

        let wrong = format!("{head}{named}| c | 3 | |\n{other}");
        assert_eq!(rows_without_source(&wrong), ["| c | 3 | |"]);
    }
}
