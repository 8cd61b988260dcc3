//! Finds likely mistakes: events without a schema, names, money as a fraction, bytes as a list.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use tidings_codec::check_name;

use crate::contract::model::{Contract, Side, Sides};

/// Words in names of fields with an amount of money.
const MONEY: [&str; 9] = [
    "amount", "balance", "cost", "discount", "fee", "price", "subtotal", "tax", "total",
];

/// A remark about a place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Remark {
    /// The kind of place: `event`, `response`, `value`, `map` or `type`.
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) lint: &'static str,
    pub(crate) text: &'static str,
}

/// Returns the remarks about a contract, by place.
pub(crate) fn lint(contract: &Contract) -> Vec<Remark> {
    let mut remarks = BTreeSet::new();
    for (name, event) in &contract.events {
        if check_name(name).is_err() || !is_usual(name) {
            remarks.insert(Remark {
                kind: "event",
                name: name.clone(),
                path: String::new(),
                lint: "name",
                text: "names are easiest to find and to match as `order.paid`: small letters, digits, \
                       `_`, and dots between words",
            });
        }
        sides("event", name, &event.payload, &mut remarks);
        // It is on purpose that nothing is known of an opaque event.
        let response = event.response.as_ref();
        if let Some(response) = response.filter(|it| !event.payload.opaque || !it.is_unknown()) {
            sides("response", name, response, &mut remarks);
        }
    }
    for (kind, places) in [("value", &contract.values), ("map", &contract.maps)] {
        for (name, place) in places {
            sides(kind, name, place, &mut remarks);
        }
    }
    for (name, definition) in &contract.definitions {
        for side in [Side::Writes, Side::Reads] {
            if let Some(schema) = definition.get(side) {
                types("type", name, "", schema, &mut remarks);
            }
        }
    }
    remarks.into_iter().collect()
}

fn is_usual(name: &str) -> bool {
    let is_usual =
        |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || "._-:/".contains(it);
    name.chars().all(is_usual)
}

fn sides(kind: &'static str, name: &str, sides: &Sides, remarks: &mut BTreeSet<Remark>) {
    if sides.is_unknown() && !sides.opaque {
        remarks.insert(Remark {
            kind,
            name: name.to_owned(),
            path: String::new(),
            lint: "no-schema",
            text: match kind {
                "event" => {
                    "it has no schema, so nothing can be checked: derive `JsonSchema`, or say \
                     `#[event(opaque)]`"
                }
                _ => {
                    "it has no schema, so nothing can be checked: derive `JsonSchema`, or say `opaque` \
                     in its attribute"
                }
            },
        });
    }
    for side in [Side::Writes, Side::Reads] {
        if let Some(schema) = sides.get(side) {
            types(kind, name, "", schema, remarks);
        }
    }
}

/// Looks at a schema and those within it.
fn types(
    kind: &'static str,
    name: &str,
    path: &str,
    schema: &Value,
    remarks: &mut BTreeSet<Remark>,
) {
    let remark = |path: String, lint, text| Remark {
        kind,
        name: name.to_owned(),
        path,
        lint,
        text,
    };
    let items = &schema["items"];
    if schema["maxItems"].is_null() && items["format"] == "uint8" {
        let text = "bytes are written as a list of numbers, up to four times as long in JSON: a text in \
                    base64 is shorter";
        remarks.insert(remark(path.to_owned(), "bytes-as-list", text));
    }
    let fields = schema["properties"].as_object();
    for (field, of_field) in fields.into_iter().flatten() {
        let path = format!("{path}.{field}");
        if has_type(of_field, "number") && is_money(field) {
            let text = "money as a fraction is rounded: a whole number of the smallest unit, or a text, \
                        is exact";
            remarks.insert(remark(path.clone(), "float-for-money", text));
        }
        types(kind, name, &path, of_field, remarks);
    }
    if items.is_object() {
        types(kind, name, &format!("{path}[]"), items, remarks);
    }
    for keyword in ["items", "allOf", "anyOf", "oneOf"] {
        for part in schema[keyword].as_array().into_iter().flatten() {
            types(kind, name, path, part, remarks);
        }
    }
    if schema["additionalProperties"].is_object() {
        let each = &schema["additionalProperties"];
        types(kind, name, &format!("{path}.*"), each, remarks);
    }
}

fn is_money(field: &str) -> bool {
    let field = field.to_ascii_lowercase();
    let mut words = field.split(|it: char| !it.is_ascii_alphabetic());
    words.any(|word| MONEY.contains(&word))
}

fn has_type(schema: &Value, wanted: &str) -> bool {
    match &schema["type"] {
        Value::String(one) => one == wanted,
        Value::Array(several) => several.iter().any(|it| it == wanted),
        _ => false,
    }
}
