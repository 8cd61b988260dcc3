//! Tests of the check: serde itself says what can be read.

mod contracts;
mod details;
mod edited;
#[cfg(feature = "console")]
mod outlines;
pub(crate) mod pairs;
mod payloads;
mod random;
mod readers;
mod recipes;
mod rules;
mod scale;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::contract::model::{Side, with_hash};
use crate::contract::{Asked, Contract, Direction, Finding, Level, check};

/// Returns the contract of an event `it` with this payload.
pub(super) fn contract_of<T: JsonSchema>() -> Contract {
    let [(writes, written), (reads, read)] = [true, false].map(|is_writer| {
        let settings = SchemaSettings::draft07();
        let settings = if is_writer {
            settings.for_serialize()
        } else {
            settings.for_deserialize()
        };
        let mut generator = settings.into_generator();
        let mut schema = generator.subschema_for::<T>();
        let definitions = generator.take_definitions(true);
        for transform in generator.transforms_mut() {
            transform.transform(&mut schema);
        }
        (schema.to_value(), definitions)
    });
    let mut definitions = Map::new();
    for (side, all) in [("writes", written), ("reads", read)] {
        for (name, schema) in all {
            let sides = definitions.entry(name).or_insert_with(|| json!({}));
            sides[side] = schema;
        }
    }
    contract(&json!({
        "definitions": definitions,
        "events": { "it": { "writes": writes, "reads": reads } },
    }))
}

/// Returns the JSON Schemas of what is written and what is read as the event `it`.
pub(crate) fn documents(contract: &Contract) -> [Value; 2] {
    [Side::Writes, Side::Reads].map(|side| {
        let schema = contract.events["it"].payload.get(side).unwrap();
        let mut document = match schema {
            Value::Object(_) => schema.clone(),
            _ => json!({}),
        };
        document["definitions"] = json!(contract.definitions_of(side));
        document
    })
}

/// Returns the contract of an event `it` with this schema on both sides.
pub(super) fn of_schema(schema: &Value) -> Contract {
    contract(&json!({ "events": { "it": { "both": schema } } }))
}

pub(super) fn contract(parts: &Value) -> Contract {
    Contract::parse(&with_hash(parts.clone())).unwrap()
}

pub(super) fn breaks(old: &Contract, new: &Contract) -> Vec<Finding> {
    let mut findings = check(old, new, &Asked::default()).unwrap().findings;
    findings.retain(|finding| finding.level == Level::Break);
    findings
}

/// Returns the rules that are broken, with their places, in one direction.
pub(crate) fn broken(
    old: &Contract,
    new: &Contract,
    direction: Direction,
) -> Vec<(String, String)> {
    let asked = Asked {
        directions: vec![direction],
        ..Asked::default()
    };
    let findings = check(old, new, &asked).unwrap().findings.into_iter();
    let breaks = findings.filter(|finding| finding.level == Level::Break);
    breaks
        .map(|it| (it.rule.unwrap().name(), it.path))
        .collect()
}
