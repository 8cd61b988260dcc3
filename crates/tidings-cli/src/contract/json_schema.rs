//! JSON Schemas (draft 07) of all payloads, one document each.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::contract::export::{Exported, key};
use crate::contract::model::{Contract, Side, Sides};

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// Returns the documents by the names of their files: `events/user.renamed.json`, or with
/// `.reads.json` and `.writes.json` if the two differ.
pub(crate) fn json_schemas(contract: &Contract) -> BTreeMap<String, Value> {
    let exported = Exported::new(contract, "#/definitions/");
    let mut documents = BTreeMap::new();
    let mut add = |place: &str, name: &str, sides: &Sides| {
        let path = format!("{place}/{}", key(name));
        let annotated = format!("{place}.{name}");
        let [writes, reads] = [Side::Writes, Side::Reads].map(|side| {
            let schema = exported.schema(sides.get(side)?, &annotated, side);
            Some(document(&exported, name, schema))
        });
        if writes == reads {
            documents.extend(reads.map(|it| (path + ".json", it)));
            return;
        }
        documents.extend(writes.map(|it| (format!("{path}.writes.json"), it)));
        documents.extend(reads.map(|it| (format!("{path}.reads.json"), it)));
    };
    for (name, event) in &contract.events {
        add("events", name, &event.payload);
        if let Some(response) = &event.response {
            add("responses", name, response);
        }
    }
    for (place, all) in [("values", &contract.values), ("maps", &contract.maps)] {
        for (name, sides) in all {
            add(place, name, sides);
        }
    }
    documents
}

fn document(exported: &Exported<'_>, name: &str, schema: Value) -> Value {
    let definitions = exported.definitions_for(&schema);
    // Nothing beside a reference counts, and any value has a schema without fields.
    let mut document = match schema {
        Value::Object(object) if !object.contains_key("$ref") => Value::Object(object),
        Value::Bool(true) => json!({}),
        other => json!({ "allOf": [other] }),
    };
    document["$schema"] = DRAFT.into();
    document["title"] = name.into();
    if !definitions.is_empty() {
        document["definitions"] = json!(definitions);
    }
    document
}
