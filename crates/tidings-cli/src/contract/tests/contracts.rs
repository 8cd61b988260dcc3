//! Comparisons beside payloads: events, responses, values, and exceptions.

use serde_json::{Value, json};

use super::{breaks, contract, of_schema};
use crate::contract::lint::lint;
use crate::contract::model::with_hash;
use crate::contract::rule::Rule;
use crate::contract::{Asked, Contract, Direction, Exception, Exceptions, Level, NotRead, check};

fn integer(format: &str) -> Value {
    json!({ "type": "integer", "format": format })
}

fn found(old: &Contract, new: &Contract) -> Vec<(Level, Option<Rule>, Option<Direction>)> {
    let findings = check(old, new, &Asked::default())
        .unwrap()
        .findings
        .into_iter();
    findings
        .map(|it| (it.level, it.rule, it.direction))
        .collect()
}

#[test]
fn an_event_may_be_added_and_is_warned_of_when_it_is_removed() {
    let one = of_schema(&json!({ "type": "null" }));
    let none = contract(&json!({}));
    assert_eq!(found(&none, &one), [(Level::Fine, None, None)]);
    assert_eq!(
        found(&one, &none),
        [(Level::Warning, Some(Rule::EventRemoved), None)]
    );
}

#[test]
fn an_event_with_another_name_breaks_old_readers_if_the_same_function_handles_it() {
    let named = |name: &str, handler: &str| {
        let schema = json!({ "type": "object", "properties": { "id": integer("uint32") } });
        let event = json!({ "both": schema, "handled_by": [handler] });
        contract(&json!({ "events": { name: event } }))
    };
    let renamed = |level| vec![(level, Some(Rule::EventRenamed), None)];
    let added = vec![(Level::Fine, None, None)];
    let (old, new) = (named("user.renamed", "on"), named("user.changed", "on"));
    let (certain, likely) = (renamed(Level::Break), renamed(Level::Warning));
    assert_eq!(found(&old, &new), [certain, added.clone()].concat());
    let asked = Asked {
        directions: vec![Direction::NewReadsOld],
        ..Asked::default()
    };
    let report = check(&old, &new, &asked).unwrap();
    assert_eq!(report.findings[0].level, Level::Warning);
    let alike = named("user.deleted", "other");
    assert_eq!(found(&old, &alike), [likely, added].concat());
}

#[test]
fn of_another_program_only_what_both_have_is_compared() {
    let of = |name: &str, format: &str| {
        let shared = json!({ "both": integer(format) });
        contract(&json!({
            "events": { name: { "both": { "type": "null" } }, "shared": shared },
            "values": { name: shared }, "counters": { name: {} },
        }))
    };
    let asked = Asked::in_fleet("a", Some("b"));
    let findings = |format| {
        let report = check(&of("a", "uint32"), &of("b", format), &asked).unwrap();
        report
            .findings
            .into_iter()
            .map(|it| it.name)
            .collect::<Vec<_>>()
    };
    assert!(findings("uint32").is_empty());
    assert_eq!(findings("uint64"), ["shared"]);
}

#[test]
fn a_response_in_place_of_none_breaks_who_requests_it() {
    let of = |response: Option<Value>, handlers: &[&str]| {
        let mut event = json!({ "both": { "type": "null" }, "handled_by": handlers });
        if let Some(response) = response {
            event["response"] = json!({ "both": response });
        }
        contract(&json!({ "events": { "it": event } }))
    };
    let (none, number) = (of(None, &["on"]), of(Some(integer("uint32")), &["on"]));
    let rules = |old: &Contract, new: &Contract| -> Vec<_> {
        breaks(old, new)
            .into_iter()
            .map(|it| it.rule.unwrap())
            .collect()
    };
    assert_eq!(rules(&none, &number), [Rule::ResponseChanged; 2]);
    assert_eq!(rules(&number, &none), [Rule::ResponseChanged]);
    assert!(rules(&none, &of(Some(json!({ "type": "null" })), &["on"])).is_empty());
    assert!(rules(&of(None, &[]), &number).is_empty());
}

#[test]
fn the_writer_of_a_response_is_who_responds() {
    let responding = |format: &str| {
        contract(&json!({ "events": { "stock.count": {
            "both": { "type": "string" }, "response": { "both": integer(format) },
        } } }))
    };
    let [finding] = &breaks(&responding("uint64"), &responding("uint32"))[..] else {
        panic!("one finding");
    };
    assert_eq!(finding.rule, Some(Rule::ResponseChanged));
    assert_eq!(finding.cause, Some(Rule::NumberNarrowed));
    assert!(
        finding
            .text
            .starts_with("new processes cannot read the response of old processes")
    );
    let silent =
        contract(&json!({ "events": { "stock.count": { "both": { "type": "string" } } } }));
    assert_eq!(
        found(&responding("uint32"), &silent),
        [(
            Level::Break,
            Some(Rule::ResponseChanged),
            Some(Direction::OldReadsNew)
        )]
    );
}

#[test]
fn values_and_maps_are_compared_in_both_directions_whatever_is_asked() {
    for kind in ["values", "maps"] {
        let of =
            |format: &str| contract(&json!({ kind: { "limits": { "both": integer(format) } } }));
        for direction in [Direction::NewReadsOld, Direction::OldReadsNew] {
            let asked = Asked {
                directions: vec![direction],
                ..Asked::default()
            };
            for (old, new, cause) in [
                ("uint32", "uint64", Rule::NumberWidened),
                ("uint64", "uint32", Rule::NumberNarrowed),
            ] {
                let findings = check(&of(old), &of(new), &asked).unwrap().findings;
                assert_eq!(findings.len(), 1);
                assert_eq!(findings[0].rule, Some(Rule::ValueChanged));
                assert_eq!(findings[0].cause, Some(cause));
            }
        }
    }
}

#[test]
fn a_schema_that_is_lost_is_warned_of_on_purpose_or_not() {
    let known = of_schema(&json!({ "type": "null" }));
    let unknown = contract(&json!({ "events": { "it": {} } }));
    let opaque = contract(&json!({ "events": { "it": { "opaque": true } } }));
    assert_eq!(
        found(&known, &unknown),
        [(Level::Warning, Some(Rule::NoSchema), None)]
    );
    let in_fleet = check(&known, &unknown, &Asked::in_fleet("a", Some("b"))).unwrap();
    assert_eq!(
        in_fleet.findings[0].text,
        "processes like b have no schema of it: nothing can be checked"
    );
    assert_eq!(found(&unknown, &known), [(Level::Fine, None, None)]);
    assert_eq!(
        found(&known, &opaque),
        [(Level::Warning, Some(Rule::NoSchema), None)]
    );
    assert_eq!(found(&opaque, &known), [(Level::Fine, None, None)]);
    for same in [&opaque, &unknown] {
        assert!(found(same, same).is_empty());
    }
    let value = |value: Value| contract(&json!({ "values": { "blob": value } }));
    let (known, opaque) = (
        value(json!({ "both": true })),
        value(json!({ "opaque": true })),
    );
    assert_eq!(found(&known, &opaque).len(), 1);
    assert!(found(&opaque, &opaque).is_empty() && lint(&opaque).is_empty());
}

#[test]
fn only_the_direction_that_is_asked_for_is_checked() {
    let (old, new) = (of_schema(&integer("uint64")), of_schema(&integer("uint32")));
    let broken = |direction| !super::broken(&old, &new, direction).is_empty();
    assert!(broken(Direction::NewReadsOld) && !broken(Direction::OldReadsNew));
}

#[test]
fn descriptions_change_nothing() {
    let described = |text: &str| {
        let schema =
            json!({ "type": "string", "description": text, "title": text, "default": text });
        contract(&json!({
            "annotations": { "events.it": { "": { "description": text } } },
            "events": { "it": { "both": schema, "since": text, "handled_by": [text] } },
        }))
    };
    assert!(breaks(&described("old"), &described("new")).is_empty());
    let parts = |text: &str| json!({ "events": { "it": { "both": true, "since": text, "handled_by": [text] } }, "annotations": { "events.it": { "": { "description": text } } } });
    let [one, other] = ["old", "new"].map(|text| contract(&parts(text)));
    assert_eq!(one.hash, other.hash);
}

#[test]
fn an_exception_allows_a_break_until_its_last_day() {
    let (old, new) = (of_schema(&integer("uint32")), of_schema(&integer("uint64")));
    let exception = |rest: &str| -> Exception {
        let text =
            format!("rule = \"number-widened\"\nevent = \"it\"\nreason = \"all read it\"\n{rest}");
        toml::from_str(&text).unwrap()
    };
    let apply = |exception: Exception| {
        let mut findings = breaks(&old, &new);
        let today = "2026-11-30".to_owned().try_into().unwrap();
        let mut exceptions = Exceptions::new(vec![exception], today);
        let allowed = exceptions.take(&mut findings).len();
        (findings.len(), allowed, exceptions.remarks())
    };
    assert_eq!(apply(exception("")), (0, 1, vec![]));
    assert_eq!(
        apply(exception("path = \".\"\nuntil = \"2026-11-30\"")),
        (0, 1, vec![])
    );
    let (left, allowed, remarks) = apply(exception("until = \"2026-11-29\""));
    assert_eq!((left, allowed), (1, 0));
    assert!(
        remarks[0].contains("ended on 2026-11-29: all read it"),
        "{remarks:?}"
    );
    let (left, _, remarks) = apply(exception("path = \".other\""));
    assert!(
        left == 1 && remarks[0].contains("matches nothing any more"),
        "{remarks:?}"
    );
    assert!(toml::from_str::<Exception>("rule = \"number-widened\"\nevent = \"it\"").is_err());
}

#[test]
fn a_file_that_is_edited_newer_or_no_contract_is_recognized() {
    let text = with_hash(json!({ "events": { "it": { "both": integer("uint32") } } }));
    assert!(Contract::parse(&text).unwrap().is_as_written);
    let edited = text.replace("uint32", "uint64");
    assert!(!Contract::parse(&edited).unwrap().is_as_written);
    let newer = text.replace("\"tidings\": 1", "\"tidings\": 2");
    assert_eq!(Contract::parse(&newer).unwrap_err(), NotRead::Newer(2));
    for text in ["", "[]", "{}", "{\"tidings\": 1, \"events\": 7}"] {
        assert!(
            matches!(Contract::parse(text), Err(NotRead::Invalid(_))),
            "{text}"
        );
    }
}

#[test]
fn the_hash_is_that_of_the_format() {
    let text = r#"{"tidings":1,"hash":"","events":{"b":{"since":"1","both":true,"handled_by":["x"]},"a":{}}}"#;
    let hashed = r#"{"counters":{},"definitions":{},"events":{"a":{},"b":{"both":true}},"maps":{},"values":{}}"#;
    let hash = hashed
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let value: Value = serde_json::from_str(text).unwrap();
    let written: Value = serde_json::from_str(&with_hash(value)).unwrap();
    assert_eq!(written["hash"], format!("{hash:016x}"));
}

#[test]
fn lint_finds_what_is_likely_to_cause_trouble_and_nothing_else() {
    let double = json!({ "type": "number", "format": "double" });
    let bytes = json!({ "type": "array", "items": { "type": "integer", "format": "uint8" } });
    let fields = json!({
        "unit_price": double, "priceless": double, "ratio": double, "total": integer("uint64"),
        "image": bytes, "hash": { "type": "array", "items": integer("uint8"), "maxItems": 32 },
    });
    let found = lint(&contract(&json!({
        "definitions": { "Cart": { "both": { "type": "object", "properties": fields } } },
        "events": {
            "order.paid": { "both": { "type": "object", "properties": { "tax": { "type": ["number", "null"] } } } },
            "OrderPaid": { "both": { "type": "null" } },
            "cache.clear": { "opaque": true },
            "unknown": {},
        },
    })));
    let found: Vec<_> = found
        .iter()
        .map(|it| format!("{} {}{} {}", it.kind, it.name, it.path, it.lint))
        .collect();
    assert_eq!(
        found,
        [
            "event OrderPaid name",
            "event order.paid.tax float-for-money",
            "event unknown no-schema",
            "type Cart.image bytes-as-list",
            "type Cart.unit_price float-for-money",
        ]
    );
}
