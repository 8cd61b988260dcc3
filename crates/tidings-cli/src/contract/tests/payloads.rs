//! The check before a payload is sent refuses nothing that handlers can read.

use serde_json::{Value, json};

use super::of_schema;
use crate::contract::Reader;

#[track_caller]
fn assert_sent(schema: &Value, readable: &[Value], refused: &[Value]) {
    let reader = Reader::of(&of_schema(schema), "it").unwrap();
    for payload in readable {
        let reasons = reader.unreadable(payload).unwrap();
        assert!(reasons.is_empty(), "{payload}: {reasons:?}");
    }
    for payload in refused {
        let reasons = reader.unreadable(payload).unwrap();
        assert!(!reasons.is_empty(), "{payload}");
    }
}

#[test]
fn fields_may_have_the_names_of_keywords() {
    let text = json!({ "type": "string" });
    let schema = json!({
        "type": "object", "properties": { "type": text, "format": text, "pattern": text },
        "required": ["type", "format"], "additionalProperties": false,
    });
    assert_sent(
        &schema,
        &[json!({ "type": "a", "format": "b", "pattern": "c" })],
        &[json!({ "type": "a" }), json!({ "type": "a", "format": 7 })],
    );
}

#[test]
fn keywords_that_are_only_compared_do_not_refuse_a_value() {
    let not_zero = json!({ "type": "integer", "format": "int32", "not": { "const": 0 } });
    assert_sent(&not_zero, &[json!(5)], &[json!("x"), json!(u64::MAX)]);
    let even = json!({ "type": "integer", "multipleOf": 2, "x-unit": "EUR" });
    assert_sent(&even, &[json!(4)], &[json!(null)]);
    let id = json!({ "type": "string", "format": "uuid", "pattern": "^x" });
    assert_sent(&id, &[json!("x")], &[json!(1)]);
    let constant = json!({ "const": { "a": [1] } });
    assert_sent(&constant, &[json!({ "a": [1] })], &[]);
    let map = json!({
        "type": "object", "patternProperties": { "^\\d+$": { "type": "string", "format": "uuid" } },
        "additionalProperties": false,
    });
    assert_sent(&map, &[json!({ "7": "x" })], &[json!({ "7": 7 })]);
}
