//! Whether a payload can be read, before it is sent.

use serde_json::{Map, Value, json};

use crate::contract::alias::with_aliases;
use crate::contract::explain::{Reason, explain};
use crate::contract::inclusion::Inclusion;
use crate::contract::model::{Contract, Side};
use crate::contract::rule::Direction;
use crate::contract::schemas::Schemas;

/// Returns why the handlers of an event cannot read a payload. Nothing if they can, or if the contract
/// does not say what they read.
pub(crate) fn unreadable(contract: &Contract, event: &str, data: &Value) -> Vec<Reason> {
    let Some(event) = contract.events.get(event).filter(|event| !event.opaque) else {
        return Vec::new();
    };
    let Some(reads) = event.payload.get(Side::Reads) else {
        return Vec::new();
    };
    let reads = for_values(&with_aliases(reads, &event.alias));
    let definitions = contract.definitions_of(Side::Reads).into_iter();
    let definitions: Vec<_> = definitions
        .map(|(name, schema)| (name, for_values(schema)))
        .collect();
    let definitions = definitions
        .iter()
        .map(|(name, schema)| (*name, schema))
        .collect();
    let written = schema_of(data);
    let mut inclusion = Inclusion::new(
        Schemas::new(Side::Writes, [].into()),
        Schemas::new(Side::Reads, definitions),
    );
    let pair = (inclusion.writes.id(&written), inclusion.reads.id(&reads));
    if inclusion.holds(pair) {
        return Vec::new();
    }
    explain(&mut inclusion, pair, Direction::NewReadsOld)
}

/// Returns a schema that allows this value only.
fn schema_of(value: &Value) -> Value {
    match value {
        Value::Null => json!({ "type": "null" }),
        Value::Number(number) if number.is_f64() => json!({ "type": "number", "format": "float" }),
        Value::Array(items) => {
            let (length, items) = (items.len(), items.iter().map(schema_of));
            json!({
                "type": "array", "items": items.collect::<Vec<_>>(),
                "minItems": length, "maxItems": length,
            })
        }
        Value::Object(fields) => {
            let required: Vec<_> = fields.keys().collect();
            let properties = fields
                .iter()
                .map(|(name, it)| (name.clone(), schema_of(it)));
            let properties: Map<_, _> = properties.collect();
            json!({ "type": "object", "properties": properties, "required": required })
        }
        value => json!({ "const": value }),
    }
}

/// Returns a schema without what types say of each other and a value does not: the format of a text,
/// and that keys are numbers.
fn for_values(schema: &Value) -> Value {
    match schema {
        Value::Object(object) => {
            let is_text = object
                .get("type")
                .is_some_and(|it| it.to_string().contains("\"string\""));
            let is_kept = |keyword: &str| !is_text || !["format", "pattern"].contains(&keyword);
            let kept = object.iter().filter(|(keyword, _)| is_kept(keyword));
            let mut kept: Map<_, _> = kept
                .map(|(keyword, it)| (keyword.clone(), for_values(it)))
                .collect();
            let patterns = kept.remove("patternProperties");
            if let Some(Value::Object(patterns)) = patterns
                && let Some((_, each)) = patterns.into_iter().next()
            {
                kept.insert("additionalProperties".to_owned(), each);
            }
            kept.into()
        }
        Value::Array(items) => items.iter().map(for_values).collect(),
        other => other.clone(),
    }
}
