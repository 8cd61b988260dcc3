//! Further names of fields, which `schemars` does not see: a schema of readers with them.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use crate::contract::shape::ALIASES;

/// Parts of a schema that describe the same object.
const PARTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// The names of a field beside its own.
type Names<'a> = HashMap<&'a str, Vec<&'a str>>;

/// Returns the schema of an event whose readers accept further names for these fields.
///
/// If several types of the schema have such a field, the contract does not say which of them accepts the
/// names: a handler may read a type of its own, so none of them does.
pub(super) fn with_aliases(schema: &Value, aliases: &BTreeMap<String, Vec<String>>) -> Value {
    let (mut owners, mut claims) = (HashMap::new(), HashMap::<&str, usize>::new());
    if !aliases.is_empty() {
        count_owners(schema, &mut owners);
    }
    for name in aliases.values().flatten() {
        *claims.entry(name).or_default() += 1;
    }
    let mut names = Names::new();
    for (path, of_field) in aliases {
        let field = path.strip_prefix('.').unwrap_or_default();
        if owners.get(field) == Some(&1) {
            let of_field = of_field.iter().map(String::as_str);
            names.insert(field, of_field.filter(|name| claims[name] == 1).collect());
        }
    }
    let mut schema = schema.clone();
    add(&mut schema, &names);
    schema
}

/// Counts the objects that have a field, for each field.
fn count_owners<'a>(schema: &'a Value, owners: &mut HashMap<&'a str, usize>) {
    let fields = schema.get("properties").and_then(Value::as_object);
    for field in fields.into_iter().flat_map(Map::keys) {
        *owners.entry(field).or_default() += 1;
    }
    for keyword in PARTS {
        let parts = schema.get(keyword).and_then(Value::as_array);
        for part in parts.into_iter().flatten() {
            count_owners(part, owners);
        }
    }
}

fn add(schema: &mut Value, names: &Names<'_>) {
    let Some(object) = schema.as_object_mut().filter(|_| !names.is_empty()) else {
        return;
    };
    for keyword in PARTS {
        let parts = object.get_mut(keyword).and_then(Value::as_array_mut);
        for part in parts.into_iter().flatten() {
            add(part, names);
        }
    }
    let fields = object.get("properties").and_then(Value::as_object);
    let fields = fields.into_iter().flat_map(Map::keys);
    let named: Map<_, _> = fields
        .filter_map(|field| Some((field.clone(), json!(names.get(field.as_str())?))))
        .collect();
    if !named.is_empty() {
        object.insert(ALIASES.to_owned(), named.into());
    }
}
