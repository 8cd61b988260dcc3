//! The outline of a schema has its fields, is bounded, and ends.

use serde_json::{Value, json};

use super::contract;
use crate::contract::{Side, TooComplex, outline};

/// Returns the outline of what is read, as the console has it.
fn read(definitions: &Value, schema: &Value) -> Result<Value, TooComplex> {
    let contract = contract(&json!({
        "definitions": definitions, "events": { "it": { "both": schema } },
    }));
    let sides = &contract.events["it"].payload;
    let outline = outline(&contract, ("event", "it"), sides, Side::Reads)?;
    Ok(serde_json::to_value(outline).unwrap())
}

fn of(schema: &Value) -> Value {
    read(&json!({}), schema).unwrap()
}

#[test]
fn each_type_is_named_and_has_its_parts() {
    let number = json!({ "type": "integer", "format": "uint64", "minimum": 0 });
    for (schema, kind, words) in [
        (json!({ "type": "null" }), "null", "null"),
        (json!({ "type": "boolean" }), "boolean", "true or false"),
        (json!({ "enum": [true, false] }), "boolean", "true or false"),
        (number.clone(), "integer", "u64"),
        (
            json!({ "type": "number", "format": "double" }),
            "number",
            "f64",
        ),
        (json!({ "type": "string" }), "text", "text"),
        (json!({ "enum": ["a", "b"] }), "choice", "one of 2 texts"),
        (
            json!({ "oneOf": [{ "const": "a" }, { "const": "b" }] }),
            "choice",
            "one of 2 texts",
        ),
        (
            json!({ "type": "array", "items": number }),
            "list",
            "a list",
        ),
        (
            json!({ "type": "array", "items": [number, number], "minItems": 2, "maxItems": 2 }),
            "other",
            "a list of 2 items",
        ),
        (
            json!({ "type": "object", "additionalProperties": number }),
            "map",
            "a map",
        ),
        (
            json!({ "type": "object", "properties": { "id": number } }),
            "object",
            "an object",
        ),
        (
            json!({ "anyOf": [number, { "type": "string" }] }),
            "variants",
            "one of 2 forms",
        ),
        (json!(true), "other", "any value"),
        (json!(false), "other", "no value"),
    ] {
        let outline = of(&schema);
        assert_eq!(
            (&outline["kind"], &outline["words"]),
            (&json!(kind), &json!(words)),
            "{schema}"
        );
        assert_eq!(outline["is_nullable"], false, "{schema}");
    }
    let optional = of(&json!({ "anyOf": [number, { "type": "null" }] }));
    assert_eq!(
        (&optional["kind"], &optional["is_nullable"]),
        (&json!("integer"), &json!(true))
    );
}

#[test]
fn a_type_that_contains_itself_and_one_that_is_nested_deep_end() {
    let node = json!({ "$ref": "#/definitions/Node" });
    let fields =
        json!({ "id": { "type": "string" }, "next": { "anyOf": [node, { "type": "null" }] } });
    let definitions = json!({ "Node": { "both": { "type": "object", "properties": fields } } });
    let outline = read(&definitions, &node).unwrap();
    assert_eq!(outline["fields"][0]["name"], "id");
    // The field may be null, so it is another schema, with the same type.
    let next = &outline["fields"][1];
    assert_eq!(
        (&next["is_nullable"], &next["fields"][0]["name"]),
        (&json!(true), &json!("id"))
    );
    assert_eq!(next["fields"][1]["kind"], "other");

    let deep = (0..60).fold(
        json!({}),
        |inner, _| json!({ "type": "array", "items": inner }),
    );
    let mut outline = of(&deep);
    let mut depth = 0;
    while outline["kind"] == "list" {
        outline = outline["item"].take();
        depth += 1;
    }
    assert_eq!((depth, &outline["kind"]), (8, &json!("other")));
}

#[test]
fn an_outline_is_bounded() {
    let fields = |number: usize, inner: &Value| {
        let fields = (0..number).map(|it| (format!("field-{it}"), inner.clone()));
        json!({ "type": "object", "properties": fields.collect::<serde_json::Map<_, _>>() })
    };
    let wide = (0..3).fold(json!({}), |inner, _| fields(20, &inner));
    assert!(of(&wide).to_string().len() < 100_000);
    assert_eq!(of(&fields(301, &json!({})))["kind"], "other");
    let long = json!({ "enum": ["a", "x".repeat(40_000)] });
    assert_eq!(of(&long)["kind"], "text");
    let only = json!({ "enum": ["x".repeat(40_000)] });
    assert!(of(&only).to_string().len() < 1_000);
    let many = (0..40)
        .map(|it| json!({ "anyOf": [fields(it + 1, &json!({})), fields(it + 2, &json!({}))] }));
    let many = json!({ "allOf": many.collect::<Vec<_>>() });
    assert!(read(&json!({}), &many).is_err());
}
