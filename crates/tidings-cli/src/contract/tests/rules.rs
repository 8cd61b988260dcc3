//! Each rule, in both directions, with its place and what it says.

use serde_json::{Value, json};

use super::{broken, contract, of_schema};
use crate::contract::rule::Rule;
use crate::contract::{Asked, Contract, Direction, Level, check};

fn object(fields: &Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": fields, "required": required })
}

fn integer(format: &str) -> Value {
    json!({ "type": "integer", "format": format })
}

/// Checks which rules a change breaks, with their places: new reads old, and old reads new.
#[track_caller]
fn assert_rules(old: &Contract, new: &Contract, wanted: [&[&str]; 2]) {
    let directions = [Direction::NewReadsOld, Direction::OldReadsNew];
    let found = directions.map(|direction| {
        let found = broken(old, new, direction).into_iter();
        found
            .map(|(rule, path)| format!("{rule} {path}"))
            .collect::<Vec<_>>()
    });
    assert_eq!(found[0], wanted[0], "new reads old");
    assert_eq!(found[1], wanted[1], "old reads new");
}

#[track_caller]
fn assert_schemas(old: &Value, new: &Value, wanted: [&[&str]; 2]) {
    assert_rules(&of_schema(old), &of_schema(new), wanted);
}

fn with_field(schema: &Value) -> Value {
    object(&json!({ "a": schema }), &["a"])
}

/// Checks the rules of a change of the type of a field.
#[track_caller]
fn assert_types(old: &Value, new: &Value, [new_reads, old_reads]: [&str; 2]) {
    let at = |rule: &str| format!("{rule} .a");
    let rules = [new_reads, old_reads].map(at);
    let wanted = [0, 1].map(|index| {
        let rules: Vec<&str> = rules[index..=index].iter().map(String::as_str).collect();
        rules
            .into_iter()
            .filter(|rule| !rule.starts_with(' '))
            .collect::<Vec<_>>()
    });
    assert_schemas(&with_field(old), &with_field(new), [&wanted[0], &wanted[1]]);
}

#[test]
fn a_required_field_breaks_new_readers_when_it_is_added_and_old_ones_when_it_is_removed() {
    let less = object(&json!({ "id": integer("uint32") }), &["id"]);
    let more = json!({ "id": integer("uint32"), "note": { "type": "string" } });
    let more = object(&more, &["id", "note"]);
    assert_schemas(&less, &more, [&["field-added-required .note"], &[]]);
    assert_schemas(&more, &less, [&[], &["field-removed-required .note"]]);
}

#[test]
fn a_field_that_readers_can_do_without_may_come_and_go() {
    let less = of_schema(&object(&json!({ "id": integer("uint32") }), &["id"]));
    let fields = json!({ "id": integer("uint32"), "note": { "type": "string" } });
    let more = contract(&json!({ "events": { "it": {
        "writes": object(&fields, &["id", "note"]),
        "reads": object(&fields, &["id"]),
    } } }));
    assert_rules(&less, &more, [&[], &[]]);
    assert_rules(&more, &less, [&[], &[]]);
    let report = check(&less, &more, &Asked::default()).unwrap();
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].level, Level::Fine);
    assert_eq!(report.findings[0].path, ".note");
}

#[test]
fn a_field_with_another_name_is_recognized_by_its_type() {
    let named = |name: &str| {
        let fields = json!({ "id": integer("uint32"), name: { "type": "string" } });
        object(&fields, &["id", name])
    };
    assert_schemas(
        &named("name"),
        &named("title"),
        [&["field-renamed .title"], &["field-renamed .name"]],
    );
}

#[test]
fn an_alias_is_another_name_that_readers_accept_but_not_beside_the_first() {
    let event = |fields: &Value, required: &[&str], alias: Value| {
        contract(
            &json!({ "events": { "it": { "both": object(fields, required), "alias": alias } } }),
        )
    };
    let text = json!({ "type": "string" });
    let old = event(&json!({ "name": text }), &["name"], json!({}));
    let new = event(
        &json!({ "title": text }),
        &["title"],
        json!({ ".title": ["name"] }),
    );
    assert_rules(&old, &new, [&[], &["field-renamed .name"]]);
    let both = event(
        &json!({ "name": text, "title": text }),
        &["name", "title"],
        json!({}),
    );
    assert!(!broken(&both, &new, Direction::NewReadsOld).is_empty());
    let two = event(
        &json!({ "title": text }),
        &["title"],
        json!({ ".title": ["label", "name"] }),
    );
    assert_rules(&old, &two, [&[], &["field-renamed .name"]]);
    assert_eq!(
        broken(&both, &two, Direction::NewReadsOld),
        [("type-changed".to_owned(), ".title".to_owned())]
    );
    let neither = event(&json!({ "other": integer("uint8") }), &["other"], json!({}));
    assert_eq!(
        broken(&neither, &two, Direction::NewReadsOld),
        [("field-added-required".to_owned(), ".title".to_owned())]
    );
}

#[test]
fn an_alias_does_not_count_for_another_type_that_reads_the_event() {
    let text = json!({ "type": "string" });
    let old = contract(&json!({ "events": { "it": {
        "both": object(&json!({ "id": text, "title": text }), &["id", "title"]),
    } } }));
    let own = object(&json!({ "id": text, "name": text }), &["id", "name"]);
    let of = |part: &Value| {
        contract(&json!({ "events": { "it": {
            "writes": own, "reads": { "allOf": [part, own] }, "alias": { ".name": ["title"] },
        } } }))
    };
    let with_name = of(&object(&json!({ "name": text }), &["name"]));
    assert!(!broken(&old, &with_name, Direction::NewReadsOld).is_empty());
    let without = of(&object(&json!({ "id": text }), &["id"]));
    assert!(broken(&old, &without, Direction::NewReadsOld).is_empty());
}

#[test]
fn types_and_numbers_break_the_side_that_reads_less() {
    let text = json!({ "type": "string" });
    assert_types(&integer("uint32"), &text, ["type-changed", "type-changed"]);
    assert_types(
        &integer("uint64"),
        &integer("int64"),
        ["type-changed", "type-changed"],
    );
    assert_types(
        &integer("uint64"),
        &integer("uint32"),
        ["number-narrowed", ""],
    );
    assert_types(
        &integer("uint32"),
        &integer("uint64"),
        ["", "number-widened"],
    );
    let double = json!({ "type": "number", "format": "double" });
    assert_types(&double, &integer("uint64"), ["number-narrowed", ""]);
    assert_types(&integer("uint64"), &double, ["", "number-widened"]);
    let single = json!({ "type": "number", "format": "float" });
    assert_types(&double, &single, ["number-narrowed", ""]);
    assert_types(
        &text,
        &json!({ "type": "string", "format": "uuid" }),
        ["type-changed", ""],
    );
    let bool = json!({ "type": "boolean" });
    assert_types(&bool, &json!({ "const": true }), ["type-changed", ""]);
}

#[test]
fn negative_constants_are_numbers_of_their_own() {
    let values = |values: &[i64]| json!({ "type": "integer", "enum": values });
    let (few, more) = (values(&[-5]), values(&[-5, -3, 0]));
    let (few, more) = (of_schema(&few), of_schema(&more));
    let is_broken = |direction| !broken(&few, &more, direction).is_empty();
    assert!(is_broken(Direction::OldReadsNew) && !is_broken(Direction::NewReadsOld));
    let below = |most: i64| json!({ "type": "integer", "maximum": most });
    assert_types(&below(-5), &below(-3), ["", "number-widened"]);
}

#[test]
fn null_breaks_readers_that_do_not_know_it() {
    let some = json!({ "type": "string" });
    let option = json!({ "type": ["string", "null"] });
    assert_types(&some, &option, ["", "null-added"]);
    assert_types(&option, &some, ["null-removed", ""]);
}

#[test]
fn values_of_an_enum_break_readers_that_do_not_know_them() {
    let values = |values: &[&str]| json!({ "type": "string", "enum": values });
    assert_types(&values(&["a"]), &values(&["a", "b"]), ["", "value-added"]);
    assert_types(&values(&["a", "b"]), &values(&["a"]), ["value-removed", ""]);
}

#[test]
fn variants_are_compared_by_their_tag() {
    let field = |name: &str, schema: Value| {
        json!({
            "type": "object", "properties": { name: schema }, "required": [name],
            "additionalProperties": false,
        })
    };
    let paid = field("Paid", integer("uint32"));
    let sent = field("Sent", json!({ "type": "string" }));
    let one = json!({ "oneOf": [paid] });
    let both = json!({ "oneOf": [paid, sent] });
    assert_types(&one, &both, ["", "variant-changed"]);
    assert_types(&both, &one, ["variant-changed", ""]);
    let wide = json!({ "oneOf": [field("Paid", integer("uint64")), sent] });
    let [old, new] = [&both, &wide].map(with_field);
    assert_schemas(&old, &new, [&[], &["number-widened .a.Paid"]]);

    let tagged = |name: &str, format: &str| {
        object(
            &json!({ "kind": { "const": name }, "id": integer(format) }),
            &["kind", "id"],
        )
    };
    let old = json!({ "oneOf": [tagged("paid", "uint32"), tagged("sent", "uint32")] });
    let new = json!({ "oneOf": [tagged("paid", "uint64"), tagged("sent", "uint32")] });
    assert_schemas(&old, &new, [&[], &["number-widened (paid).id"]]);
}

#[test]
fn a_reader_that_denies_unknown_fields_breaks_with_a_new_one() {
    let closed = |names: &[&str]| {
        let fields: serde_json::Map<_, _> = names
            .iter()
            .map(|name| ((*name).to_owned(), integer("uint32")))
            .collect();
        let mut schema = object(&Value::from(fields), &[]);
        schema["additionalProperties"] = false.into();
        schema
    };
    assert_schemas(
        &closed(&["a"]),
        &closed(&["a", "b"]),
        [&[], &["unknown-denied .b"]],
    );
    assert_schemas(
        &closed(&["a", "b"]),
        &closed(&["a"]),
        [&["unknown-denied .b"], &[]],
    );
}

#[test]
fn lengths_of_lists_and_texts_are_compared() {
    let list = |min: u64, max: u64| json!({ "type": "array", "items": integer("uint32"), "minItems": min, "maxItems": max });
    let open = json!({ "type": "array", "items": integer("uint32") });
    assert_types(
        &list(2, 2),
        &list(3, 3),
        ["length-changed", "length-changed"],
    );
    assert_types(&list(2, 2), &open, ["", "length-changed"]);
    let text = json!({ "type": "string" });
    let character = json!({ "type": "string", "minLength": 1, "maxLength": 1 });
    assert_types(&text, &character, ["length-changed", ""]);
    let tuple = |second: &str| {
        let items = [integer("uint32"), integer(second)];
        json!({ "type": "array", "items": items, "minItems": 2, "maxItems": 2 })
    };
    let [old, new] = [tuple("uint32"), tuple("uint64")];
    assert_schemas(&old, &new, [&[], &["number-widened [1]"]]);
}

#[test]
fn any_value_is_read_by_who_reads_any_value() {
    assert_types(&json!(true), &integer("uint32"), ["anything-narrowed", ""]);
    assert_types(&integer("uint32"), &json!(true), ["", "anything-widened"]);
}

#[test]
fn maps_with_numbers_as_keys_are_not_those_with_texts() {
    let numbers = json!({
        "type": "object", "patternProperties": { "^\\d+$": integer("uint32") },
        "additionalProperties": false,
    });
    let texts = json!({ "type": "object", "additionalProperties": integer("uint32") });
    assert_types(&numbers, &texts, ["type-changed", "type-changed"]);
    assert_types(&numbers, &json!(true), ["type-changed", "anything-widened"]);
    let deep = json!({ "type": "array", "items": numbers });
    assert!(
        !broken(
            &of_schema(&deep),
            &of_schema(&json!(true)),
            Direction::NewReadsOld
        )
        .is_empty()
    );
}

#[test]
fn a_type_that_contains_itself_is_compared_once() {
    let of = |format: &str| {
        let next = json!({ "anyOf": [{ "$ref": "#/definitions/Node" }, { "type": "null" }] });
        let node = object(&json!({ "id": integer(format), "next": next }), &["id"]);
        contract(&json!({
            "definitions": { "Node": { "both": node } },
            "events": { "it": { "both": { "$ref": "#/definitions/Node" } } },
        }))
    };
    assert_rules(&of("uint32"), &of("uint32"), [&[], &[]]);
    let found = broken(&of("uint64"), &of("uint32"), Direction::NewReadsOld);
    assert_eq!(found[0], ("number-narrowed".to_owned(), ".id".to_owned()));
}

#[test]
fn each_place_of_a_type_is_listed() {
    let money = |format: &str| {
        let money = json!({ "$ref": "#/definitions/Money" });
        let fields = json!({ "a": money, "b": money, "c": money, "d": money, "e": money });
        contract(&json!({
            "definitions": { "Money": { "both": object(&json!({ "x": integer(format) }), &["x"]) } },
            "events": { "it": { "both": object(&fields, &[]) } },
        }))
    };
    let found = broken(&money("uint64"), &money("uint32"), Direction::NewReadsOld);
    let paths: Vec<_> = found.iter().map(|(_, path)| path.as_str()).collect();
    assert_eq!(paths, [".a.x", ".b.x", ".c.x", ".d.x", ".e.x"]);
}

#[test]
fn many_reasons_do_not_hide_another_one() {
    let with = |names: usize, deep: &Value| {
        let names: Vec<_> = (0..names).map(|index| format!("f{index}")).collect();
        let texts = names
            .iter()
            .map(|name| (name.clone(), json!({ "type": "string" })));
        let mut fields: serde_json::Map<_, _> = texts.collect();
        fields.insert("n".to_owned(), object(&json!({ "deep": deep }), &["deep"]));
        let required: Vec<_> = names.iter().map(String::as_str).collect();
        of_schema(&object(&fields.into(), &required))
    };
    let (old, new) = (
        with(50, &json!({ "type": "string" })),
        with(0, &integer("uint32")),
    );
    let found = broken(&old, &new, Direction::OldReadsNew);
    assert_eq!(found.len(), 51);
    assert!(found.contains(&("type-changed".to_owned(), ".n.deep".to_owned())));
}

#[test]
fn places_that_are_too_many_to_list_are_a_break_that_no_exception_allows() {
    let of = |format: &str| {
        let mut definitions = serde_json::Map::new();
        for index in 0..20 {
            let next = json!({ "$ref": format!("#/definitions/T{}", index + 1) });
            let schema = object(&json!({ "a": next, "b": next }), &[]);
            definitions.insert(format!("T{index}"), json!({ "both": schema }));
        }
        definitions.insert("T20".to_owned(), json!({ "both": integer(format) }));
        let first = json!({ "$ref": "#/definitions/T0" });
        contract(&json!({ "definitions": definitions, "events": { "it": { "both": first } } }))
    };
    let report = check(&of("uint64"), &of("uint32"), &Asked::default()).unwrap();
    let breaks = report.findings.iter().filter(|it| it.level == Level::Break);
    assert!(breaks.clone().count() > 1);
    assert_eq!(breaks.filter(|it| it.rule.is_none()).count(), 1);
}

#[test]
fn a_reference_to_nothing_is_read_only_by_the_same_reference() {
    let lost = of_schema(&json!({ "$ref": "#/definitions/Lost" }));
    let endless = contract(&json!({
        "definitions": { "A": { "both": { "$ref": "#/definitions/A" } } },
        "events": { "it": { "both": { "$ref": "#/definitions/A" } } },
    }));
    assert_rules(&lost, &lost, [&[], &[]]);
    assert!(!broken(&lost, &endless, Direction::NewReadsOld).is_empty());
    assert!(
        !broken(
            &endless,
            &of_schema(&json!({ "type": "null" })),
            Direction::NewReadsOld
        )
        .is_empty()
    );
}

#[test]
fn every_rule_has_a_name_and_says_what_to_do_instead() {
    for (rule, name) in [
        (Rule::FieldAddedRequired, "field-added-required"),
        (Rule::NoSchema, "no-schema"),
        (Rule::AnythingWidened, "anything-widened"),
    ] {
        assert_eq!(rule.name(), name);
        assert!(!rule.instead().is_empty());
    }
}
