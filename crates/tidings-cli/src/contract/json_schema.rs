//! JSON Schemas (draft 07) of all payloads, one document each.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::contract::export::{Definition, Exported};
use crate::contract::model::{Contract, Side, Sides};

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// The schemas of a contract as documents.
#[derive(Debug)]
pub(crate) struct JsonSchemas<'a> {
    contract: &'a Contract,
    exported: Exported<'a>,
    definitions: BTreeMap<String, Definition<'a>>,
}

impl<'a> JsonSchemas<'a> {
    pub(crate) fn new(contract: &'a Contract) -> Self {
        let exported = Exported::new(contract, "#/definitions/");
        Self {
            contract,
            definitions: exported.places(),
            exported,
        }
    }

    /// Returns all documents, with the names of their files: `events/user.renamed.json`, or with
    /// `.reads.json` and `.writes.json` if the two differ.
    pub(crate) fn all(&self) -> impl Iterator<Item = (String, Value)> {
        let places = self.contract.places();
        places.flat_map(|(kind, name, sides)| self.of(kind, name, sides))
    }

    /// Returns the documents of one place: one, or two if its sides differ.
    pub(crate) fn of(&self, kind: &str, name: &str, sides: &Sides) -> Vec<(String, Value)> {
        let path = format!("{kind}/{}", self.exported.key(name));
        let annotated = format!("{kind}.{name}");
        let [writes, reads] = [Side::Writes, Side::Reads].map(|side| {
            let schema = self.exported.schema(sides.get(side)?, &annotated, side);
            Some(self.document(name, schema))
        });
        let both = if writes == reads {
            [None, reads.map(|it| (path + ".json", it))]
        } else {
            [
                writes.map(|it| (format!("{path}.writes.json"), it)),
                reads.map(|it| (format!("{path}.reads.json"), it)),
            ]
        };
        both.into_iter().flatten().collect()
    }

    fn document(&self, name: &str, schema: Value) -> Value {
        let definitions = self.exported.definitions_for(&schema, &self.definitions);
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
}
