//! Tests of the check: serde itself says what can be read.

mod contracts;
mod details;
mod edited;
#[cfg(feature = "console")]
mod outlines;
mod payloads;
mod random;
mod readers;
mod recipes;
mod rules;
mod scale;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::contract::model::with_hash;
use crate::contract::{Asked, Contract, Direction, Finding, Level, check};

/// Returns true if `R` reads each sample, in both formats.
pub(crate) fn reads_all<W: Serialize, R: DeserializeOwned>(samples: &[W]) -> bool {
    samples.iter().all(|sample| {
        let json = serde_json::to_vec(sample).unwrap();
        let mut pack = Vec::new();
        let mut serializer = rmp_serde::Serializer::new(&mut pack)
            .with_struct_map()
            .with_human_readable();
        sample.serialize(&mut serializer).unwrap();
        let mut reader = rmp_serde::Deserializer::from_read_ref(&pack).with_human_readable();
        serde_json::from_slice::<R>(&json).is_ok() && R::deserialize(&mut reader).is_ok()
    })
}

/// Returns the contract of an event `it` with this payload.
pub(crate) fn contract_of<T: JsonSchema>() -> Contract {
    contract_by(SchemaGenerator::subschema_for::<T>)
}

fn contract_by(schema_of: fn(&mut SchemaGenerator) -> Schema) -> Contract {
    let [(writes, written), (reads, read)] = [true, false].map(|is_writer| {
        let settings = SchemaSettings::draft07();
        let settings = if is_writer {
            settings.for_serialize()
        } else {
            settings.for_deserialize()
        };
        let mut generator = settings.into_generator();
        let mut schema = schema_of(&mut generator);
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
