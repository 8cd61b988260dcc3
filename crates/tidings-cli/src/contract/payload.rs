//! Checks before a send that handlers can read the payload.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::contract::alias::with_aliases;
use crate::contract::budget::{Budget, TooComplex};
use crate::contract::changes::references;
use crate::contract::explain::{Reason, explain};
use crate::contract::inclusion::Inclusion;
use crate::contract::model::{Contract, Side};
use crate::contract::rule::Direction;
use crate::contract::schemas::Schemas;
use crate::contract::shape::{UNDERSTOOD, types_of};

/// The readers of an event, for payloads that are to be sent. It is made once for many payloads.
#[derive(Debug)]
pub(crate) struct Reader {
    name: String,
    reads: Value,
    /// The definitions that `reads` refers to.
    definitions: BTreeMap<String, Value>,
    budget: usize,
}

impl Reader {
    /// `None` if the contract does not say what the handlers of the event read.
    pub(crate) fn of(contract: &Contract, name: &str) -> Option<Self> {
        let event = contract.events.get(name)?;
        let reads = with_aliases(event.payload.get(Side::Reads)?, &event.alias);
        let all = contract.definitions_of(Side::Reads);
        let mut definitions = BTreeMap::new();
        let mut waiting = Vec::new();
        references(&reads, &mut |name| waiting.push(name.to_owned()));
        while let Some(name) = waiting.pop() {
            let Some(schema) = all.get(&*name) else {
                continue;
            };
            definitions.entry(name).or_insert_with(|| {
                references(schema, &mut |name| waiting.push(name.to_owned()));
                for_values(schema)
            });
        }
        Some(Self {
            name: name.to_owned(),
            reads: for_values(&reads),
            definitions,
            budget: contract.size,
        })
    }

    /// Returns why the handlers cannot read a payload; nothing if they can. Fails if the schema takes too
    /// long, which is no result.
    pub(crate) fn unreadable(&self, data: &Value) -> Result<Vec<Reason>, TooComplex> {
        let definitions = self.definitions.iter();
        let definitions = definitions.map(|(name, schema)| (name.as_str(), schema));
        let written = schema_of(data);
        let budget = Budget::of_size(self.budget);
        let mut inclusion = Inclusion::new(
            Schemas::new(Side::Writes, [].into(), &budget),
            Schemas::new(Side::Reads, definitions.collect(), &budget),
            &budget,
        );
        let pair = (
            inclusion.writes.id(&written),
            inclusion.reads.id(&self.reads),
        );
        let reasons = if inclusion.holds(pair) {
            Vec::new()
        } else {
            explain(&mut inclusion, pair, Direction::NewReadsOld).all
        };
        if budget.is_spent() {
            let (kind, name) = ("event", self.name.clone());
            return Err(TooComplex { kind, name });
        }
        Ok(reasons)
    }
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
/// that keys are numbers, and all keywords that are only compared.
fn for_values(schema: &Value) -> Value {
    let Value::Object(schema) = schema else {
        return schema.clone();
    };
    let mut kept: Map<_, _> = schema
        .iter()
        .filter(|(keyword, value)| is_kept(keyword, value, schema))
        .map(|(keyword, value)| (keyword.clone(), parts_for_values(keyword, value)))
        .collect();
    let patterns = kept.remove("patternProperties");
    if let Some(Value::Object(patterns)) = patterns
        && let Some((_, each)) = patterns.into_iter().next()
    {
        kept.insert("additionalProperties".to_owned(), each);
    }
    kept.into()
}

fn is_kept(keyword: &str, value: &Value, schema: &Map<String, Value>) -> bool {
    let is_plain = |it: &Value| !it.is_array() && !it.is_object();
    match keyword {
        "type" => true,
        "format" => {
            let types = schema.get("type").map(types_of).unwrap_or_default();
            types.contains(&"integer") || types.contains(&"number")
        }
        "const" => is_plain(value),
        "enum" => value.as_array().is_some_and(|it| it.iter().all(is_plain)),
        _ => UNDERSTOOD.contains(&keyword),
    }
}

/// Returns the value of a keyword, with its schemas as those of values.
fn parts_for_values(keyword: &str, value: &Value) -> Value {
    match (keyword, value) {
        ("properties" | "patternProperties", Value::Object(named)) => {
            let named = named.iter();
            let named: Map<_, _> = named
                .map(|(name, it)| (name.clone(), for_values(it)))
                .collect();
            named.into()
        }
        ("allOf" | "anyOf" | "oneOf" | "items", Value::Array(parts)) => {
            parts.iter().map(for_values).collect()
        }
        ("items" | "additionalItems" | "additionalProperties", part) => for_values(part),
        _ => value.clone(),
    }
}
