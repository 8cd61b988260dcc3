//! Details of the rules: a small error in the check changes one of them.

use serde_json::{Value, json};

use super::{breaks, broken, contract, of_schema};
use crate::contract::{Asked, Contract, Direction, Exception, Exceptions, check};

fn object(fields: &Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": fields, "required": required })
}

/// Returns the rules and places at which new readers fail.
fn new_reads_old(old: &Value, new: &Value) -> Vec<(String, String)> {
    broken(&of_schema(old), &of_schema(new), Direction::NewReadsOld)
}

#[track_caller]
fn assert_reads(written: &Value, read: &Value, is_read: bool) {
    let found = new_reads_old(written, read);
    assert_eq!(found.is_empty(), is_read, "{written} as {read}: {found:?}");
}

#[test]
fn a_field_is_renamed_only_if_the_other_one_is_always_written_and_the_most_similar_counts() {
    let text = json!({ "type": "string" });
    let needed = object(&json!({ "user_name": text }), &["user_name"]);
    let rule =
        |fields: &Value, required: &[&str]| new_reads_old(&object(fields, required), &needed);
    let of = |rule: &str| vec![(rule.to_owned(), ".user_name".to_owned())];
    let name = json!({ "name": text });
    assert_eq!(rule(&name, &["name"]), of("field-renamed"));
    assert_eq!(rule(&name, &[]), of("field-added-required"));
    let several = json!({ "id": text, "username": text, "zip": text });
    let several = of_schema(&object(&several, &["id", "username", "zip"]));
    let found = breaks(&several, &of_schema(&needed));
    let renamed = found.iter().find(|it| it.path == ".user_name").unwrap();
    let what = "`user_name` is required, and `username` is written";
    assert!(renamed.text.ends_with(what), "{}", renamed.text);
}

#[test]
fn a_variant_without_fields_beside_others_is_a_variant() {
    let with_fields = json!({
        "type": "object", "properties": { "B": { "type": "string" } }, "required": ["B"],
        "additionalProperties": false,
    });
    let both = json!({ "oneOf": [{ "type": "string", "enum": ["A"] }, with_fields] });
    let found = new_reads_old(&both, &json!({ "oneOf": [with_fields] }));
    assert_eq!(found, [("variant-changed".to_owned(), ".".to_owned())]);
}

#[test]
fn further_items_have_the_schema_of_additional_items() {
    let number = json!({ "type": "integer", "format": "uint32" });
    let list =
        |further: &Value| json!({ "type": "array", "items": [number], "additionalItems": further });
    assert_reads(&list(&json!({ "type": "string" })), &list(&number), false);
    assert_reads(&list(&number), &list(&number), true);
}

#[test]
fn a_constant_with_parts_is_read_only_by_the_same() {
    let constant = |item: u8| json!({ "const": { "a": [item] } });
    assert_reads(&constant(1), &constant(1), true);
    assert_reads(&constant(1), &constant(2), false);
    assert_reads(
        &json!({ "enum": [[1], [2]] }),
        &json!({ "enum": [[1]] }),
        false,
    );
}

#[test]
fn a_type_that_is_one_of_its_own_alternatives_adds_none() {
    let definition = json!({ "anyOf": [{ "$ref": "#/definitions/A" }, { "type": "string" }] });
    let of = |payload: Value| {
        contract(&json!({
            "definitions": { "A": { "both": definition } },
            "events": { "it": { "both": payload } },
        }))
    };
    let itself = of(json!({ "$ref": "#/definitions/A" }));
    assert!(breaks(&itself, &of(json!({ "type": "string" }))).is_empty());
    assert!(!breaks(&itself, &of(json!({ "type": "integer" }))).is_empty());
}

#[test]
fn values_that_hold_at_the_same_time_are_joined() {
    let all = |one: &Value, other: &Value| json!({ "allOf": [one, other] });
    let range = |keyword: &str, bound: u8| json!({ "type": "integer", keyword: bound });
    let small = all(&range("maximum", 9), &range("minimum", 3));
    for (number, is_read) in [(5, true), (1, false), (10, false)] {
        assert_reads(&json!({ "const": number }), &small, is_read);
    }
    let texts = |values: &[&str]| json!({ "type": "string", "enum": values });
    let both = all(&texts(&["a", "b"]), &texts(&["b", "c"]));
    assert_reads(&texts(&["b"]), &both, true);
    assert_reads(&texts(&["a"]), &both, false);
    let (text, uuid) = (
        json!({ "type": "string" }),
        json!({ "type": "string", "format": "uuid" }),
    );
    assert_reads(&uuid, &all(&text, &uuid), true);
    assert_reads(&text, &all(&text, &uuid), false);
}

#[test]
fn objects_that_hold_at_the_same_time_are_joined() {
    let all = |one: &Value, other: &Value| json!({ "allOf": [one, other] });
    let map = |values: &Value| json!({ "type": "object", "additionalProperties": values });
    let (text, number) = (json!({ "type": "string" }), json!({ "type": "integer" }));
    let numbers = all(
        &map(&json!({ "type": ["integer", "string"] })),
        &map(&number),
    );
    assert_reads(&map(&number), &numbers, true);
    assert_reads(&map(&text), &numbers, false);
    let open = object(&json!({ "a": text }), &["a"]);
    let mut denies = open.clone();
    denies["additionalProperties"] = false.into();
    let more = object(&json!({ "a": text, "b": text }), &["a", "b"]);
    assert_reads(&open, &all(&open, &denies), true);
    assert_reads(&more, &all(&open, &denies), false);
}

#[test]
fn a_further_name_of_two_fields_is_a_name_of_none() {
    let text = json!({ "type": "string" });
    let new = contract(&json!({ "events": { "it": {
        "both": object(&json!({ "first": text, "last": text }), &["first", "last"]),
        "alias": { ".first": ["name"], ".last": ["name"] },
    } } }));
    let old = of_schema(&object(
        &json!({ "last": text, "name": text }),
        &["last", "name"],
    ));
    let found = broken(&old, &new, Direction::NewReadsOld);
    assert_eq!(found, [("field-renamed".to_owned(), ".first".to_owned())]);
}

#[test]
fn an_exception_is_for_one_rule() {
    let number = |format: &str| of_schema(&json!({ "type": "integer", "format": format }));
    let mut findings = breaks(&number("uint32"), &number("uint64"));
    let mut allowed = |rule: &str| {
        let text = format!("rule = \"{rule}\"\nevent = \"it\"\nreason = \"all read it\"\n");
        let exception: Exception = toml::from_str(&text).unwrap();
        let today = "2026-11-30".to_owned().try_into().unwrap();
        let mut exceptions = Exceptions::new(vec![exception], today);
        exceptions.take(&mut findings).len()
    };
    assert_eq!(allowed("number-narrowed"), 0);
    assert_eq!(allowed("number-widened"), 1);
}

#[test]
fn an_event_with_other_fields_is_another_event() {
    let event = |name: &str, field: &str| {
        let schema = object(&json!({ field: { "type": "string" } }), &[field]);
        contract(&json!({ "events": { name: { "both": schema, "handled_by": ["users::greet"] } } }))
    };
    let old = event("user.renamed", "name");
    let rule = |new: &Contract| {
        let report = check(&old, new, &Asked::default()).unwrap();
        report.findings[0].rule.unwrap().name()
    };
    assert_eq!(rule(&event("user.named", "name")), "event-renamed");
    assert_eq!(rule(&event("user.moved", "street")), "event-removed");
}
