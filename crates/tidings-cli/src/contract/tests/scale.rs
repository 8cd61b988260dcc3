//! Large and deep contracts are compared in seconds at most.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};

use super::{breaks, contract};
use crate::contract::budget::Budget;
use crate::contract::check::check_within;
use crate::contract::{Asked, Contract, Level, Reader, check};

/// Of processor time, without optimizations and on a busy machine, where the slowest takes 1.1 s.
/// Exponential work would not end.
const LIMIT: Duration = Duration::from_secs(4);

/// Returns the processor time of a function. Other processes have no effect on it.
fn time_of(function: impl FnOnce()) -> Duration {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let start = now();
    function();
    now().checked_sub(start).unwrap()
}

/// Returns a contract whose types have two fields of the next type each, and the last one a number.
/// Without a memory of what was compared, this would take 2^n steps.
fn doubled(types: usize, last: &Value) -> Contract {
    let mut definitions = Map::new();
    for index in 0..types {
        let next = json!({ "$ref": format!("#/definitions/T{}", index + 1) });
        let fields = json!({ "a": next, "b": { "anyOf": [next, { "type": "null" }] } });
        let schema = json!({ "type": "object", "properties": fields, "required": ["a"] });
        definitions.insert(format!("T{index}"), json!({ "both": schema }));
    }
    definitions.insert(format!("T{types}"), json!({ "both": last }));
    let first = json!({ "both": { "$ref": "#/definitions/T0" } });
    contract(&json!({ "definitions": definitions, "events": { "it": first } }))
}

fn number(format: &str) -> Value {
    json!({ "type": "integer", "format": format, "minimum": 0 })
}

#[test]
fn a_thousand_definitions_are_compared_in_seconds() {
    let mut took = Duration::ZERO;
    for (types, last) in [
        (32, "uint32"),
        (32, "uint64"),
        (1000, "uint32"),
        (1000, "uint64"),
    ] {
        let (old, new) = (
            doubled(types, &number("uint32")),
            doubled(types, &number(last)),
        );
        took += time_of(|| {
            let found = breaks(&old, &new);
            assert_eq!(found.is_empty(), last == "uint32", "{types}");
            assert!(
                found
                    .iter()
                    .all(|it| it.rule.is_none_or(|rule| rule.name() == "number-widened"))
            );
        });
    }
    println!("2 x 32 and 2 x 1,000 definitions: {took:?}");
    assert!(took < LIMIT, "{took:?}");
}

#[test]
fn many_events_with_all_definitions_are_compared_in_seconds() {
    let large = |last: &str| {
        let mut parts = json!({ "definitions": {}, "events": {} });
        for index in 0..1000 {
            let next = json!({ "$ref": format!("#/definitions/T{}", (index * 7 + 1) % 1000) });
            let fields =
                json!({ "id": number(last), "next": { "anyOf": [next, { "type": "null" }] } });
            let schema = json!({ "type": "object", "properties": fields, "required": ["id"] });
            parts["definitions"][format!("T{index}")] = json!({ "both": schema });
        }
        for index in 0..100 {
            let schema = json!({ "$ref": format!("#/definitions/T{}", index * 10) });
            parts["events"][format!("event.{index}")] = json!({ "both": schema });
        }
        contract(&parts)
    };
    let (old, new) = (large("uint32"), large("uint64"));
    let took = time_of(|| {
        assert!(breaks(&old, &old).is_empty());
        assert!(!breaks(&old, &new).is_empty());
    });
    println!("100 events, 1,000 definitions that contain each other: {took:?}");
    assert!(took < LIMIT, "{took:?}");
}

fn text() -> Value {
    json!({ "type": "string" })
}

/// Returns the contract of an event `it` with this payload, and with these definitions.
fn with_definitions(definitions: &Value, payload: &Value) -> Contract {
    contract(&json!({ "definitions": definitions, "events": { "it": { "both": payload } } }))
}

/// Returns definitions that allow what two others do: 2^n values of references.
fn bomb(definitions: usize) -> Contract {
    let mut all = Map::new();
    for index in 0..definitions {
        let next = json!({ "$ref": format!("#/definitions/T{}", index + 1) });
        let first = json!({ "$ref": "#/definitions/T0" });
        let pair = |field: &str| json!({ "properties": { field: next }, "required": [field] });
        let all_of = json!([{ "anyOf": [pair("a"), pair("b")] }, { "anyOf": [first, next] }]);
        all.insert(format!("T{index}"), json!({ "both": { "allOf": all_of } }));
    }
    all.insert(
        format!("T{definitions}"),
        json!({ "both": { "type": "object" } }),
    );
    with_definitions(&all.into(), &json!({ "$ref": "#/definitions/T0" }))
}

#[test]
fn many_aliases_are_compared_in_seconds() {
    let names: Vec<_> = (0..200).map(|index| format!("field_{index}")).collect();
    let fields: Map<_, _> = names.iter().map(|name| (name.clone(), text())).collect();
    let schema = json!({ "type": "object", "properties": fields, "required": names });
    let aliases: Map<_, _> = names
        .iter()
        .map(|name| {
            (
                format!(".{name}"),
                json!([name.replace('_', ""), name.to_uppercase()]),
            )
        })
        .collect();
    let it = contract(&json!({ "events": { "it": { "both": schema, "alias": aliases } } }));
    let took = time_of(|| {
        assert!(breaks(&it, &it).is_empty());
        assert!(
            !Reader::of(&it, "it")
                .unwrap()
                .unreadable(&json!({ "field_1": "x" }))
                .unwrap()
                .is_empty()
        );
    });
    assert!(took < LIMIT, "{took:?}");
}

#[test]
fn a_type_that_is_itself_in_several_ways_is_compared_in_seconds() {
    let itself = json!({ "$ref": "#/definitions/A" });
    let of = |other: &Value| {
        let any = json!({ "anyOf": [itself, itself, { "allOf": [itself, itself] }, other] });
        with_definitions(&json!({ "A": { "both": any } }), &itself)
    };
    let took = time_of(|| {
        assert!(breaks(&of(&text()), &of(&text())).is_empty());
        assert!(!breaks(&of(&text()), &of(&number("uint32"))).is_empty());
    });
    assert!(took < LIMIT, "{took:?}");
}

#[test]
fn types_that_are_each_other_allow_what_both_do() {
    let of = |last: &Value| {
        let [a, b] = ["A", "B"].map(|name| json!({ "$ref": format!("#/definitions/{name}") }));
        let definitions = json!({
            "A": { "both": { "anyOf": [b, text()] } },
            "B": { "both": { "anyOf": [a, last] } },
        });
        let events = json!({ "a": { "both": a }, "b": { "both": b } });
        contract(&json!({ "definitions": definitions, "events": events }))
    };
    assert!(breaks(&of(&number("uint8")), &of(&number("uint8"))).is_empty());
    let found = breaks(&of(&number("uint8")), &of(&json!({ "type": "boolean" })));
    let names: std::collections::BTreeSet<_> = found.iter().map(|it| &it.name).collect();
    assert_eq!(names.len(), 2, "{found:?}");
}

#[test]
fn a_schema_that_takes_too_long_is_an_error_and_never_fine() {
    let it = bomb(40);
    let budget = Budget::new(200_000);
    let mut result = None;
    let took = time_of(|| result = Some(check_within(&budget, &it, &it, &Asked::default())));
    let error = result.unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the event `it` has too many alternatives to be compared"
    );
    assert!(took < LIMIT, "{took:?}");
    let deep = (0..2000).map(|index| {
        let next = json!({ "anyOf": [{ "$ref": format!("#/definitions/T{}", index + 1) }] });
        (format!("T{index}"), json!({ "both": next }))
    });
    let deep: Map<_, _> = deep.collect();
    let deep = with_definitions(&deep.into(), &json!({ "$ref": "#/definitions/T0" }));
    assert!(check(&deep, &deep, &Asked::default()).is_err());
}

#[test]
fn fine_changes_of_a_type_in_many_places_are_listed_once() {
    let node = |more: Value| {
        let itself = json!({ "type": "array", "items": { "$ref": "#/definitions/Node" } });
        let mut fields: Map<_, _> = "abcdef"
            .chars()
            .map(|it| (it.into(), itself.clone()))
            .collect();
        fields.extend(more.as_object().unwrap().clone());
        let node = json!({ "type": "object", "properties": fields });
        let option = json!({ "anyOf": [{ "$ref": "#/definitions/Node" }, { "type": "null" }] });
        let payload = json!({ "type": "object", "properties": { "node": option } });
        with_definitions(&json!({ "Node": { "both": node } }), &payload)
    };
    let (old, new) = (node(json!({})), node(json!({ "note": text() })));
    let took = time_of(|| {
        let unchanged = check(&old, &old, &Asked::default()).unwrap();
        assert_eq!((unchanged.findings.len(), unchanged.unchanged), (0, 1));
        let found = check(&old, &new, &Asked::default()).unwrap().findings;
        let [finding] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!((finding.level, &*finding.path), (Level::Fine, ".node.note"));
    });
    assert!(took < LIMIT, "{took:?}");
}
