//! Changes a source file as a reader of part one does.

use std::collections::BTreeMap;

const USE: &str = "use";

/// Replaces the items that `changed` has, too, and adds the others. A text with all of the file
/// replaces it. The lines of `use` are one item.
pub(super) fn paste(file: &str, changed: &str) -> String {
    let mut items = items(file);
    let changed = self::items(changed);
    if [USE, "async fn main"]
        .iter()
        .all(|all| changed.iter().any(|it| key(it) == *all))
    {
        items.clear();
    }
    for item in changed {
        let place = items.iter().position(|it| key(it) == key(&item));
        match place {
            Some(place) => items[place] = item,
            None => items.push(item),
        }
    }
    items.join("\n\n") + "\n"
}

/// Removes the items with these names.
pub(super) fn delete(file: &str, names: &[&str]) -> String {
    let mut items = items(file);
    let is_named = |item: &str| {
        key(item)
            .split(' ')
            .next_back()
            .is_some_and(|it| names.contains(&it))
    };
    items.retain(|item| !is_named(item));
    items.join("\n\n") + "\n"
}

/// Applies the lines of a diff: finds those without `+`, and puts those without `-` in their place.
pub(super) fn apply(file: &str, diff: &str) -> String {
    let without = |sign: char| {
        let lines = diff.lines().filter(|line| !line.starts_with(sign));
        let lines = lines.map(|line| line.get(1..).unwrap_or_default().to_owned() + "\n");
        lines.collect::<String>()
    };
    let (old, new) = (without('+'), without('-'));
    assert_eq!(file.matches(&old).count(), 1, "{old}\nin\n{file}");
    file.replace(&old, &new)
}

/// Splits a file before each item that follows an empty line.
fn items(file: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let mut is_after_empty = true;
    for line in file.lines() {
        if is_after_empty && line.starts_with(|it: char| !it.is_whitespace() && it != '}') {
            items.push(String::new());
        }
        is_after_empty = line.is_empty();
        if let Some(item) = items.last_mut() {
            item.push_str(line);
            item.push('\n');
        }
    }
    items
        .iter()
        .map(|item| item.trim_end().to_owned())
        .collect()
}

/// Returns what names an item: its first line without attributes, up to its parameters.
fn key(item: &str) -> &str {
    let is_attribute = |line: &&str| line.starts_with("#[") || line.starts_with("//");
    let first = item.lines().find(|line| !is_attribute(line));
    if first.is_some_and(|line| line.starts_with(USE)) {
        return USE;
    }
    let end = |it: char| "({<=;".contains(it);
    first
        .unwrap_or_default()
        .split(end)
        .next()
        .unwrap_or_default()
        .trim()
}

/// Returns the items of a file by their names, without empty lines.
pub(super) fn by_name(file: &str) -> BTreeMap<String, String> {
    let items = items(file).into_iter();
    items.map(|item| (key(&item).to_owned(), item)).collect()
}

#[test]
fn items_of_the_same_name_are_replaced_and_others_added() {
    let file =
        "use a;\n\n#[derive(A)]\nstruct One {\n    a: A,\n}\n\nfn two() {\n    1;\n\n    2;\n}\n";
    let changed = "struct One;\n\nfn three() {}\n";

    let pasted = paste(file, changed);

    let expected = "use a;\n\nstruct One;\n\nfn two() {\n    1;\n\n    2;\n}\n\nfn three() {}\n";
    assert_eq!(pasted, expected);
    let rest = delete(expected, &["two", "three"]);
    assert_eq!(rest, "use a;\n\nstruct One;\n");
    assert_eq!(apply("  a\n  b\n", "   a\n-  b\n+  c\n"), "  a\n  c\n");
}
