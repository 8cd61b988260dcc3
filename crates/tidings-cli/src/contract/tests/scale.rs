//! Large and deep contracts are compared in less than a second.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};

use super::{breaks, contract};
use crate::contract::Contract;

/// Of processor time, without optimizations.
const SECOND: Duration = Duration::from_secs(1);

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
fn thousands_of_definitions_are_compared_in_less_than_a_second() {
    let mut took = Duration::ZERO;
    for (types, last) in [
        (32, "uint32"),
        (32, "uint64"),
        (2000, "uint32"),
        (2000, "uint64"),
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
                    .all(|it| it.rule.unwrap().name() == "number-widened")
            );
        });
    }
    println!("2 x 32 and 2 x 2,000 definitions: {took:?}");
    assert!(took < SECOND, "{took:?}");
}

#[test]
fn many_events_with_all_definitions_are_compared_in_less_than_a_second() {
    let large = |last: &str| {
        let mut parts = json!({ "definitions": {}, "events": {} });
        for index in 0..2000 {
            let next = json!({ "$ref": format!("#/definitions/T{}", (index * 7 + 1) % 2000) });
            let fields =
                json!({ "id": number(last), "next": { "anyOf": [next, { "type": "null" }] } });
            let schema = json!({ "type": "object", "properties": fields, "required": ["id"] });
            parts["definitions"][format!("T{index}")] = json!({ "both": schema });
        }
        for index in 0..200 {
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
    println!("200 events, 2,000 definitions that contain each other: {took:?}");
    assert!(took < SECOND, "{took:?}");
}
