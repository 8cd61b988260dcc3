//! The differences of two contracts, in a few lines.

use std::collections::BTreeSet;

use serde_json::Value;

/// The maximum number of lines.
const LINES: usize = 12;

/// The maximum number of differences that are shown of one event.
const OF_ONE: usize = 3;

/// The maximum number of characters of a value.
const SHOWN: usize = 60;

/// The parts of a contract, and what one entry of each is.
const PARTS: [(&str, &str); 5] = [
    ("events", "event"),
    ("values", "shared value"),
    ("maps", "map"),
    ("counters", "counter"),
    ("definitions", "definition"),
];

/// Returns the differences, one per line.
pub(super) fn differences(file: &Value, code: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (part, noun) in PARTS {
        for name in keys(&file[part], &code[part]) {
            match (file[part].get(name), code[part].get(name)) {
                (Some(file), Some(code)) => {
                    of_one(&format!("{noun} `{name}`"), file, code, &mut lines);
                }
                (Some(_), None) => lines.push(format!("- {noun} `{name}`")),
                (None, _) => lines.push(format!("+ {noun} `{name}`")),
            }
        }
    }
    for key in ["hash", "tidings"] {
        // The hash differs with every schema.
        if lines.is_empty() && file[key] != code[key] {
            lines.push(format!("~ {key}: - {} + {}", file[key], code[key]));
        }
    }
    let more = lines.len().saturating_sub(LINES);
    if more > 0 {
        lines.truncate(LINES);
        lines.push(format!("… and {more} more"));
    }
    lines
}

fn of_one(what: &str, file: &Value, code: &Value, lines: &mut Vec<String>) {
    let mut found = Vec::new();
    find("", file, code, &mut found);
    let more = found.len().saturating_sub(OF_ONE);
    found.truncate(OF_ONE);
    lines.extend(found.into_iter().map(|found| format!("~ {what}{found}")));
    if more > 0 {
        lines.push(format!("~ {what}: {more} more differences"));
    }
}

/// Collects the places that differ, each with both values.
fn find(place: &str, file: &Value, code: &Value, found: &mut Vec<String>) {
    if file == code {
        return;
    }
    if !file.is_object() || !code.is_object() {
        found.push(format!("{place}: - {} + {}", shown(file), shown(code)));
        return;
    }
    for key in keys(file, code) {
        let place = format!("{place} {key}");
        match (file.get(key), code.get(key)) {
            (Some(file), Some(code)) => find(&place, file, code, found),
            (Some(file), None) => found.push(format!("{place}: - {}", shown(file))),
            (None, code) => found.push(format!(
                "{place}: + {}",
                shown(code.unwrap_or(&Value::Null))
            )),
        }
    }
}

/// Returns the keys of both objects.
fn keys<'a>(one: &'a Value, other: &'a Value) -> BTreeSet<&'a String> {
    let objects = [one, other].into_iter().filter_map(Value::as_object);
    objects.flat_map(|object| object.keys()).collect()
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
