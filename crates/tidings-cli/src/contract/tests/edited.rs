//! Files that somebody has edited: whatever they say, a check ends, and nothing panics.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::readers::Random;
use super::{contract, with_hash};
use crate::contract::{Asked, Contract, Reader, asyncapi, check, lint};

/// The edits of an ordinary run; a long one makes three times as many.
const EDITS: u64 = 100;

/// The time of one comparison.
const LIMIT: Duration = Duration::from_secs(20);

/// A contract with each keyword.
fn whole() -> Value {
    let number = json!({ "type": "integer", "format": "uint32", "minimum": 0, "maximum": 9 });
    let text =
        json!({ "type": ["string", "null"], "minLength": 1, "maxLength": 3, "format": "uuid" });
    let list = json!({ "type": "array", "items": [number], "additionalItems": text, "minItems": 1, "maxItems": 4 });
    let variant = |name: &str| {
        json!({
            "type": "object", "required": ["t"],
            "properties": { "t": { "const": name }, "c": { "$ref": "#/definitions/A" } },
        })
    };
    let map = json!({ "type": "object", "patternProperties": { "^\\d+$": number }, "additionalProperties": false });
    let object = json!({
        "type": "object", "required": ["a", "b"], "additionalProperties": list,
        "properties": { "a": text, "b": { "$ref": "#/definitions/A" }, "c": map },
    });
    let both = json!({ "allOf": [object, { "type": "object", "properties": { "d": { "enum": ["x", "y", 1] } } }] });
    json!({
        "definitions": {
            "A": { "both": { "oneOf": [variant("A"), variant("B"), { "$ref": "#/definitions/B" }] } },
            "B": { "writes": { "anyOf": [text, number] }, "reads": { "type": "array", "items": { "$ref": "#/definitions/A" } } },
        },
        "events": {
            "it": { "writes": both, "reads": object, "alias": { ".a": ["e"] }, "handled_by": ["f"] },
            "request": { "both": list, "response": { "both": map } },
        },
        "values": { "limits": { "both": object } }, "maps": { "users": { "both": both } },
        "counters": { "visits": {} },
    })
}

/// Replaces one part, wherever it is.
fn edit(value: &mut Value, random: &mut Random) {
    let length = match value {
        Value::Object(object) => object.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    };
    if length == 0 || random.one_in(6) {
        *value = random.pick(&[
            json!(null),
            json!(true),
            json!(-1),
            json!(u64::MAX),
            json!(1e300),
            json!("#/definitions/A"),
            json!([]),
            json!({}),
            json!([{ "$ref": "#/definitions/A" }]),
            json!({ "$ref": "#/definitions/B" }),
            json!({ "type": "object", "additionalProperties": { "$ref": "#/definitions/A" } }),
        ]);
        return;
    }
    let index = random.below(length);
    match value {
        Value::Object(object) => edit(object.values_mut().nth(index).unwrap(), random),
        Value::Array(items) => edit(&mut items[index], random),
        _ => {}
    }
}

#[test]
fn a_contract_that_was_edited_anywhere_is_compared_or_refused() {
    let old = contract(&whole());
    let mut compared = 0_u64;
    let is_long = std::env::var_os("TIDINGS_TEST_LONG").is_some();
    let edits = if is_long { 3 * EDITS } else { EDITS };
    for seed in 0..edits {
        let mut random = Random(seed);
        let mut edited = whole();
        for _ in 0..=random.below(4) {
            edit(&mut edited, &mut random);
        }
        if !edited.is_object() {
            continue;
        }
        let text = with_hash(edited);
        let Ok(new) = Contract::parse(&text) else {
            continue;
        };
        let began = Instant::now();
        let results = [(&old, &new), (&new, &old), (&new, &new)];
        for (old, new) in results {
            let _ = check(old, new, &Asked::default());
            compared += 1;
        }
        lint(&new);
        asyncapi(&new, "shop");
        if let Some(reader) = Reader::of(&new, "it") {
            let _ = reader.unreadable(&json!({ "a": "x", "b": [1], "c": { "7": null } }));
        }
        assert!(began.elapsed() < LIMIT, "seed {seed}: {text}");
    }
    assert!(compared > edits, "{compared}");
}

#[test]
fn a_contract_that_is_nested_without_end_is_refused() {
    for (open, close) in [("[", "]"), ("{\"not\":", "}")] {
        let nested = open.repeat(10_000) + "0" + &close.repeat(10_000);
        let text = format!("{{\"tidings\":1,\"events\":{{\"it\":{{\"both\":{nested}}}}}}}");
        let refused = Contract::parse(&text).unwrap_err().to_string();
        assert!(refused.contains("recursion limit"), "{refused}");
    }
}
