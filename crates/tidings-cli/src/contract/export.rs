//! Schemas for other programs: with their descriptions, and with definitions under names of one side.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::contract::model::{Contract, Side, fnv};

const LOCAL: &str = "#/definitions/";

/// The keywords that annotations may add to a schema.
const ADDED: [&str; 4] = ["default", "deprecated", "description", "title"];

/// The definitions of a contract, each under a name that says which side it is of.
#[derive(Debug)]
pub(super) struct Exported<'a> {
    contract: &'a Contract,
    /// The definitions whose sides differ, or that contain such a definition.
    two_sided: BTreeSet<&'a str>,
    /// The keys that several names would have.
    ambiguous: BTreeSet<String>,
    /// The place of the definitions in the document, such as `#/definitions/`.
    root: &'static str,
}

/// One side of a definition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Definition<'a> {
    name: &'a str,
    side: Side,
    schema: &'a Value,
}

impl<'a> Exported<'a> {
    pub(super) fn new(contract: &'a Contract, root: &'static str) -> Self {
        let definitions = &contract.definitions;
        // The definitions that refer to one.
        let mut users = BTreeMap::<String, Vec<&str>>::new();
        let mut waiting = Vec::new();
        for (name, sides) in definitions {
            let reads = sides.get(Side::Reads);
            if sides.get(Side::Writes) != reads {
                waiting.push(name.as_str());
            }
            for used in reads.map(references).unwrap_or_default() {
                users.entry(used).or_default().push(name);
            }
        }
        // A definition has two sides if one that it refers to has.
        let mut two_sided = BTreeSet::new();
        while let Some(name) = waiting.pop() {
            if two_sided.insert(name) {
                waiting.extend(users.get(name).into_iter().flatten());
            }
        }
        Self {
            contract,
            two_sided,
            ambiguous: ambiguous(contract),
            root,
        }
    }

    /// Returns all definitions by the names that references have.
    pub(super) fn definitions(&self) -> BTreeMap<String, Value> {
        let places = self.places().into_iter();
        let definitions = places.map(|(name, place)| (name, self.definition(place)));
        definitions.collect()
    }

    /// Returns the places of all definitions by the names that references have.
    pub(super) fn places(&self) -> BTreeMap<String, Definition<'a>> {
        let mut places = BTreeMap::new();
        for (name, sides) in &self.contract.definitions {
            for side in [Side::Writes, Side::Reads] {
                if let Some(schema) = sides.get(side) {
                    places.insert(self.name_of(name, side), Definition { name, side, schema });
                }
            }
        }
        places
    }

    fn definition(&self, Definition { name, side, schema }: Definition<'_>) -> Value {
        self.schema(schema, &format!("definitions.{name}"), side)
    }

    /// Returns those of the definitions in `places` that a schema needs.
    pub(super) fn definitions_for(
        &self,
        schema: &Value,
        places: &BTreeMap<String, Definition<'a>>,
    ) -> BTreeMap<String, Value> {
        let mut needed = BTreeMap::new();
        let mut waiting = self.names_in(schema);
        while let Some(name) = waiting.pop() {
            if let Some(place) = places.get(&name)
                && !needed.contains_key(&name)
            {
                let definition = self.definition(*place);
                waiting.extend(self.names_in(&definition));
                needed.insert(name, definition);
            }
        }
        needed
    }

    fn names_in(&self, schema: &Value) -> Vec<String> {
        let names = texts_of(schema, "$ref").into_iter();
        names
            .filter_map(|name| name.strip_prefix(self.root).map(str::to_owned))
            .collect()
    }

    /// Returns a schema with its descriptions, and with references into the document.
    pub(super) fn schema(&self, schema: &Value, place: &str, side: Side) -> Value {
        let mut schema = schema.clone();
        for (pointer, added) in self.contract.annotations.get(place).into_iter().flatten() {
            let Some(Value::Object(at)) = schema.pointer_mut(pointer) else {
                continue;
            };
            // Nothing beside a reference counts.
            if !at.contains_key("$ref") {
                let added = added.as_object().into_iter().flatten();
                let added = added.filter(|(keyword, _)| ADDED.contains(&keyword.as_str()));
                at.extend(added.map(|(keyword, value)| (keyword.clone(), value.clone())));
            }
        }
        self.redirect(&mut schema, side);
        schema
    }

    fn redirect(&self, schema: &mut Value, side: Side) {
        match schema {
            Value::Object(object) => {
                if let Some(Value::String(reference)) = object.get_mut("$ref")
                    && let Some(name) = reference.strip_prefix(LOCAL)
                {
                    *reference = format!("{}{}", self.root, self.name_of(name, side));
                }
                object.values_mut().for_each(|it| self.redirect(it, side));
            }
            Value::Array(items) => items.iter_mut().for_each(|it| self.redirect(it, side)),
            _ => {}
        }
    }

    /// Returns a name as a key of a document, which may have letters, digits, `.`, `-` and `_`. Of
    /// several names with one key, those that differ from it end with their hash.
    pub(super) fn key(&self, name: &str) -> String {
        let usual = usual_key(name);
        if usual == name || !self.ambiguous.contains(&usual) {
            return usual;
        }
        format!("{usual}.{:016x}", fnv(name.as_bytes()))
    }

    fn name_of(&self, name: &str, side: Side) -> String {
        let usual = self.key(name);
        match (self.two_sided.contains(name), side) {
            (false, _) => usual,
            (true, Side::Writes) => usual + ".writes",
            (true, Side::Reads) => usual + ".reads",
        }
    }
}

/// Returns the keys that several names of the contract would have.
fn ambiguous(contract: &Contract) -> BTreeSet<String> {
    let places = contract.places().map(|(_, name, _)| name);
    let definitions = contract.definitions.keys().map(String::as_str);
    let names: BTreeSet<_> = places.chain(definitions).collect();
    let mut seen = BTreeSet::new();
    let keys = names.into_iter().map(usual_key);
    keys.filter(|key| !seen.insert(key.clone())).collect()
}

/// Returns a name with `_` for all characters but letters, digits, `.`, `-` and `_`.
fn usual_key(name: &str) -> String {
    let is_usual = |it: char| it.is_ascii_alphanumeric() || "._-".contains(it);
    name.chars()
        .map(|it| if is_usual(it) { it } else { '_' })
        .collect()
}

/// Returns the names of the definitions that a schema refers to.
fn references(schema: &Value) -> Vec<String> {
    let all = texts_of(schema, "$ref").into_iter();
    all.filter_map(|it| it.strip_prefix(LOCAL).map(str::to_owned))
        .collect()
}

fn texts_of(schema: &Value, keyword: &str) -> Vec<String> {
    let mut found = Vec::new();
    match schema {
        Value::Object(object) => {
            found.extend(
                object
                    .get(keyword)
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            );
            found.extend(object.values().flat_map(|it| texts_of(it, keyword)));
        }
        Value::Array(items) => found.extend(items.iter().flat_map(|it| texts_of(it, keyword))),
        _ => {}
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::contract::model::with_hash;
    use crate::contract::{JsonSchemas, asyncapi};

    #[test]
    fn names_that_differ_only_in_unusual_characters_have_schemas_of_their_own() {
        let event = |kind: &str| json!({ "both": { "type": kind }, "handled_by": ["on"] });
        let events = json!({ "a_b": event("null"), "a:b": event("string"), "c:d": event("null") });
        let text = with_hash(json!({ "tidings": 1, "events": events }));
        let contract = Contract::parse(&text).unwrap();

        let schemas = JsonSchemas::new(&contract);
        let all = schemas
            .all()
            .map(|(file, schema)| (file, schema["type"].clone()));
        let files: BTreeMap<_, _> = all.collect();
        let document = asyncapi(&contract, "shop");

        assert_eq!(files.len(), 3, "{files:?}");
        assert_eq!(files["events/a_b.json"], "null");
        assert!(files.contains_key("events/c_d.json"));
        let messages = document["components"]["messages"].as_object().unwrap();
        let operations = document["operations"].as_object().unwrap();
        assert_eq!(operations.len(), 2 * 3);
        for operation in operations.values() {
            let name = operation["messages"][0]["$ref"].as_str().unwrap();
            let name = name.rsplit('/').next().unwrap();
            assert!(messages.contains_key(name), "{name}");
        }
    }
}
