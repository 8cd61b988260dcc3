//! Further names of fields, which `schemars` does not see: a schema of readers with them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Returns the schema of an event whose readers accept further names for these fields.
pub(super) fn with_aliases(schema: &Value, aliases: &BTreeMap<String, Vec<String>>) -> Value {
    let mut schema = schema.clone();
    for (path, names) in aliases {
        let Some(field) = path.strip_prefix('.') else {
            continue;
        };
        for name in names {
            add_alias(&mut schema, field, name);
        }
    }
    schema
}

fn add_alias(schema: &mut Value, field: &str, name: &str) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    for keyword in ["allOf", "anyOf", "oneOf"] {
        let parts = object.get_mut(keyword).and_then(Value::as_array_mut);
        for part in parts.into_iter().flatten() {
            add_alias(part, field, name);
        }
    }
    let fields = object.get_mut("properties").and_then(Value::as_object_mut);
    let Some(fields) = fields.filter(|fields| fields.contains_key(field)) else {
        return;
    };
    let of_field = fields[field].clone();
    fields.insert(name.to_owned(), of_field);
    let is_required = is_required(object, field);
    // One of the names, and not both: serde refuses a field that is there twice.
    let by_one = |by: &str, not: &str| {
        let mut part = json!({ "properties": { not: false } });
        if is_required {
            part["required"] = json!([by]);
        }
        part
    };
    let either = json!({ "anyOf": [by_one(field, name), by_one(name, field)] });
    if let Some(Value::Array(required)) = object.get_mut("required") {
        required.retain(|it| it.as_str() != Some(field));
    }
    let all = object.entry("allOf").or_insert_with(|| json!([]));
    if let Some(all) = all.as_array_mut() {
        all.push(either);
    }
}

fn is_required(object: &Map<String, Value>, field: &str) -> bool {
    let required = object.get("required").and_then(Value::as_array);
    required.is_some_and(|it| it.iter().any(|name| name.as_str() == Some(field)))
}
