//! The contracts of the members: asked for once each, compared, described and exported.

use serde_json::{Value, json};
use tidings::Bus;

use super::client::Console;
use super::foreign::{self, Foreign, Program};
use crate::fleet::Fleet;

/// Returns a contract in which the id of a user has this type.
pub(super) fn users(id: &str) -> Value {
    let user = json!({
        "type": "object", "required": ["id", "name"],
        "properties": {
            "id": { "type": id },
            "name": { "type": "string" },
            "plan": { "type": "string", "enum": ["free", "team"] },
            "is_new": { "type": "boolean" },
            "address": { "$ref": "#/definitions/Address" },
            "tags": { "type": "array", "items": { "type": "string" } },
            "parent": { "$ref": "#/definitions/Node" },
        },
    });
    json!({
        "definitions": {
            "Address": { "both": { "type": "object", "required": ["city", "is_home"], "properties": {
                "city": { "type": "string" }, "is_home": { "type": "boolean" }, "zip": { "type": ["string", "null"] } } } },
            "Node": { "both": { "type": "object", "properties": {
                "next": { "$ref": "#/definitions/Node" } } } },
        },
        "events": {
            "user.renamed": { "both": user, "handled_by": ["users::greet"], "since": "1.2" },
            "stock.count": { "both": { "type": "string" }, "handled_by": ["stock::count"],
                "response": { "both": { "type": "integer", "format": "uint64", "minimum": 0 } } },
            "cache.clear": { "opaque": true },
        },
        "values": { "limits": { "both": { "type": "object" } } },
        "maps": { "users": { "both": { "type": "string" } } },
        "counters": { "visits": {} },
    })
}

/// Starts members with two contracts.
async fn two_versions(fleet: &Fleet) -> (Bus, Foreign) {
    let bus = fleet.builder("api-1").membership(false);
    let bus = bus.start().await.unwrap();
    let (old, new) = (users("integer"), users("string"));
    let programs = [
        Program::new("job-1", "1.3.9", &old),
        Program::new("job-2", "1.3.9", &old),
        Program::new("api-1", "1.4.0", &new),
    ];
    let foreign = foreign::start(fleet, &bus, &programs).await;
    (bus, foreign)
}

#[tokio::test(flavor = "multi_thread")]
async fn contracts_of_the_fleet_are_asked_for_once_and_compared() {
    let fleet = Fleet::start().await;
    let (_bus, foreign) = two_versions(&fleet).await;
    let console = Console::start(&fleet, &[]);
    let answer = console.api("/api/contracts");
    for _ in 0..3 {
        assert_eq!(
            console.api("/api/contracts")["contracts"],
            answer["contracts"]
        );
    }
    let asked = foreign.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 2, "{asked:?}");

    let contracts = answer["contracts"].as_array().unwrap();
    assert_eq!(
        contracts[0]["members"],
        json!(["job-1 (1.3.9)", "job-2 (1.3.9)"])
    );
    assert_eq!(contracts[1]["members"], json!(["api-1 (1.4.0)"]));
    let places: Vec<_> = answer["places"].as_array().unwrap().iter().collect();
    let kinds: Vec<_> = places
        .iter()
        .map(|it| format!("{} {}", it["kind"], it["name"]))
        .collect();
    assert_eq!(
        kinds,
        [
            r#""counter" "visits""#,
            r#""event" "cache.clear""#,
            r#""event" "user.renamed""#,
            r#""map" "users""#,
            r#""request" "stock.count""#,
            r#""value" "limits""#,
        ]
    );
    assert_eq!(places[2]["contracts"], json!([0, 1]));
    assert_eq!(answer["is_partial"], false);

    // The same as `tidings schema check --fleet` finds.
    let breaks = answer["breaks"].as_array().unwrap();
    let one = breaks.iter().find(|it| {
        it["text"]
            .as_str()
            .unwrap()
            .starts_with("processes like job-1")
    });
    let one = one.unwrap();
    assert_eq!(
        (&one["name"], &one["path"], &one["rule"]),
        (
            &json!("user.renamed"),
            &json!(".id"),
            &json!("type-changed")
        )
    );
    assert_eq!(one["members"], json!(["job-1 (1.3.9)", "api-1 (1.4.0)"]));
    assert!(
        one["text"]
            .as_str()
            .unwrap()
            .contains("cannot read what processes like api-1 (1.4.0) write"),
        "{one}"
    );
    assert!(one["instead"].is_string());

    fleet.write(
        "tidings.toml",
        "[[contract.allow]]\nrule = \"type-changed\"\nevent = \"user.renamed\"\nreason = \"soon\"",
    );
    let of_project = Console::start(&fleet, &[]).api("/api/contracts");
    let allowed = of_project["breaks"].as_array().unwrap();
    assert!(
        allowed.len() == breaks.len() && allowed.iter().all(|it| it["allowed"] == "soon"),
        "{allowed:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_described_in_each_form_that_runs() {
    let fleet = Fleet::start().await;
    let (_bus, _foreign) = two_versions(&fleet).await;
    let console = Console::start(&fleet, &[]);
    console.api("/api/contracts");
    let user = console.api("/api/contracts/place?kind=event&name=user.renamed");
    let forms = user["forms"].as_array().unwrap();
    assert_eq!(forms.len(), 2);
    let payload = &forms[0]["payload"];
    assert_eq!(payload["is_same"], true);
    let fields = payload["reads"]["fields"].as_array().unwrap();
    let field = |name: &str| fields.iter().find(|it| it["name"] == name).unwrap();
    assert_eq!(field("plan")["values"], json!(["free", "team"]));
    assert_eq!(field("is_new")["is_required"], false);
    assert_eq!(field("address")["fields"][2]["is_nullable"], true);
    // The newest one comes first.
    assert_eq!(field("id")["kind"], "text");
    assert_eq!(field("tags")["item"]["kind"], "text");
    // A type that contains itself ends.
    assert_eq!(field("parent")["fields"][0]["kind"], "other");
    let count = console.api("/api/contracts/place?kind=request&name=stock.count");
    assert_eq!(count["forms"][0]["hashes"].as_array().unwrap().len(), 2);
    assert_eq!(count["forms"][0]["response"]["reads"]["words"], "u64");

    for (path, status) in [
        ("place?kind=event&name=constructor", 404),
        ("place?kind=constructor", 400),
        ("asyncapi?hash=0123456789abcdef", 404),
        ("jsonschema", 400),
    ] {
        let answer = console.with_token(&format!("/api/contracts/{path}"));
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }
}

/// Programs whose contracts no library writes.
pub(super) fn hostile() -> Vec<Program> {
    let names = [
        "constructor",
        "__proto__",
        "<img src=x onerror=alert(1)>",
        "a\u{202e}b",
    ];
    let named: Value = names.iter().map(|name| {
        let schema = json!({ "type": "object", "required": names, "properties": { *name: { "enum": names } } });
        ((*name).to_owned(), json!({ "both": schema, "handled_by": names, "alias": { "a": names } }))
    }).collect();
    let definitions: Value = (0..2_000).map(|number| {
        let next = json!({ "$ref": format!("#/definitions/D{}", number + 1) });
        (format!("D{number}"), json!({ "both": { "type": "object", "properties": { "next": next, "other": next } } }))
    }).collect();
    let alternatives: Vec<_> = (0..40)
        .map(|number| {
            json!({ "anyOf": [
        { "type": "object", "properties": { format!("a{number}"): { "type": "string" } } },
        { "type": "object", "properties": { format!("b{number}"): { "type": "string" } } },
    ] })
        })
        .collect();
    let deep = (0..100).fold(
        json!({}),
        |inner, _| json!({ "type": "array", "items": inner }),
    );
    let shapes = json!({
        "definitions": definitions,
        "events": {
            "chain": { "both": { "$ref": "#/definitions/D0" } },
            "itself": { "both": { "$ref": "#/definitions/Itself" } },
            "nothing": { "both": false },
            "many": { "both": { "allOf": alternatives } },
            "deep": { "both": deep },
            "strange": { "both": { "type": 7, "properties": [], "required": {}, "enum": "x" } },
        },
    });
    let mut other = shapes.clone();
    other["events"]["chain"]["both"] = json!({ "type": "null" });
    // One comparison of it takes seconds, as the tests of the check show.
    other["events"].as_object_mut().unwrap().remove("many");
    let hash = "0123456789abcdef";
    let deeper = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let huge = Program::new(
        "huge",
        "1",
        &json!({ "events": {}, "values": { "x".repeat(1 << 20): { "opaque": true } } }),
    );
    vec![
        Program::new(
            "names",
            "<b>",
            &json!({ "events": named, "values": named, "maps": named, "counters": named }),
        ),
        Program::new("shapes", "1", &shapes),
        Program::new("shapes-too", "2", &other),
        huge,
        Program::announcing(
            "deep",
            "1",
            hash,
            format!(r#"{{"tidings":1,"events":{deeper}}}"#),
        ),
        Program::announcing(
            "wrong-types",
            "1",
            "1123456789abcdef",
            r#"{"tidings":1,"events":[1],"hash":7}"#.to_owned(),
        ),
        Program::announcing("no-hash", "1", &"<".repeat(9_000), String::new()),
        Program::announcing(
            "another",
            "1",
            "2123456789abcdef",
            Program::new("", "", &json!({})).contract,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_contracts_are_errors_or_texts_and_bounded() {
    let fleet = Fleet::start().await;
    let bus = fleet.builder("api-1").membership(false);
    let bus = bus.start().await.unwrap();
    let programs = hostile();
    let _foreign = foreign::start(&fleet, &bus, &programs).await;
    let console = Console::start(&fleet, &[]);
    let answer = console.api("/api/contracts");
    let contracts = answer["contracts"].as_array().unwrap();
    let error_of = |name: &str| {
        let is_its = |it: &&Value| {
            it["members"][0]
                .as_str()
                .unwrap()
                .starts_with(&format!("{name} ("))
        };
        contracts.iter().find(is_its).unwrap()["error"].clone()
    };
    for (name, error) in [
        ("huge", "at most 1024 KiB are shown"),
        ("deep", "recursion limit exceeded"),
        ("wrong-types", "it is not a contract"),
        ("another", "it is not the contract that was announced"),
    ] {
        let found = error_of(name);
        assert!(found.as_str().unwrap().contains(error), "{name}: {found}");
    }
    assert_eq!(
        (error_of("names"), error_of("shapes")),
        (Value::Null, Value::Null)
    );
    assert_eq!(answer["without"][0]["name"], "no-hash");
    assert_eq!(answer["is_partial"], true);
    assert_eq!(answer["places"].as_array().unwrap().len(), 22);

    for name in [
        "chain",
        "itself",
        "nothing",
        "many",
        "deep",
        "strange",
        "constructor",
        "__proto__",
    ] {
        let place = console.api(&format!("/api/contracts/place?kind=event&name={name}"));
        let forms = place["forms"].as_array().unwrap();
        assert!(
            !forms.is_empty() && place.to_string().len() < 1 << 20,
            "{name}: {place}"
        );
        if name == "many" {
            assert!(
                forms[0]["payload"]["error"]
                    .as_str()
                    .unwrap()
                    .contains("too large to be shown"),
                "{place}"
            );
        }
    }
    let hash = programs[1].hash();
    for form in ["asyncapi", "jsonschema"] {
        let document = console.with_token(&format!("/api/contracts/{form}?hash={hash}"));
        assert_eq!(document.status, 200, "{form}");
    }
    assert_eq!(console.api("/api/about")["namespace"], "shop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_a_receiver_cannot_read_is_sent_only_on_request() {
    let fleet = Fleet::start().await;
    let handling = fleet.member_with("api-1", |bus| bus.on("user.renamed", async |_: Value| {}));
    let (handling, sending) = (handling.await, fleet.member("job-1").await);
    let (numbers, texts) = (users("integer"), users("string"));
    // One handles the event, and the other one only has its type.
    let reader = Program::new("reads-numbers", "1.3.9", &numbers);
    foreign::start(&fleet, &handling, &[reader]).await;
    let writer = Program::new("writes-texts", "1.4.0", &texts);
    foreign::start(&fleet, &sending, &[writer]).await;
    let console = Console::start(&fleet, &["--allow-send", "--timeout", "500ms"]);
    let send = |to: &str, id: Value, force: bool| {
        let payload = json!({ "id": id, "name": "Ada" }).to_string();
        let body = json!({ "event": "user.renamed", "to": to, "payload": payload, "force": force });
        console.post("/api/send", &body.to_string())
    };
    assert_eq!(send("all", json!(7), false).status, 200);
    let refused = send("all", json!("seven"), false);
    assert_eq!(refused.status, 422, "{}", refused.body);
    let error = refused.json()["error"].as_str().unwrap().to_owned();
    assert!(
        error.starts_with("reads-numbers (1.3.9) cannot read this payload: "),
        "{error}"
    );
    assert!(error.contains("a whole number is read"), "{error}");
    let line = console
        .running
        .stderr
        .wait_for("not done: the payload did not pass");
    assert!(!line.contains("seven"), "{line}");

    // This receiver announces no contract.
    assert_eq!(send("api-1", json!("seven"), false).status, 200);
    assert_eq!(send("all", json!("seven"), true).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_cannot_be_checked_is_sent_only_on_request() {
    let fleet = Fleet::start().await;
    let handling = fleet.member_with("api-1", |bus| bus.on("user.renamed", async |_: Value| {}));
    let handling = handling.await;
    // Its contract is not the one that it announces.
    let contract = Program::new("reads-numbers", "1.3.9", &users("integer")).contract;
    let broken = Program::announcing("liar", "1.5.0", "0123456789abcdef", contract);
    foreign::start(&fleet, &handling, &[broken]).await;
    let console = Console::start(&fleet, &["--allow-send", "--timeout", "500ms"]);
    let send = |force: bool| {
        let payload = json!({ "id": 7, "name": "Ada" }).to_string();
        let body =
            json!({ "event": "user.renamed", "to": "all", "payload": payload, "force": force });
        console.post("/api/send", &body.to_string())
    };
    let refused = send(false);
    assert_eq!(refused.status, 422, "{}", refused.body);
    let error = refused.json()["error"].as_str().unwrap().to_owned();
    let expected = "the payload was not checked for liar (1.5.0): ";
    assert!(error.starts_with(expected), "{error}");
    assert_eq!(send(true).status, 200);
}
