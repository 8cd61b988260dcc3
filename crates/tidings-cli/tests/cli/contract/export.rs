//! `tidings schema export`: documents with which other programs take part.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tidings::Bus;

use super::with_hash;
use crate::fleet::{Fleet, NAMESPACE};
use crate::support::{eventually, text};

/// The folder of the programs in other languages.
const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/contract/asyncapi");

/// The folder in which `cargo xtask test --long` installs the parser.
const PREPARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/asyncapi");

/// Returns a contract with all that a document can have.
fn shop() -> Value {
    let id = json!({ "type": "integer", "format": "uint64", "minimum": 0 });
    let address = json!({ "$ref": "#/definitions/Address" });
    let user = |required: &[&str]| {
        json!({
            "type": "object", "required": required,
            "properties": { "id": id, "name": { "type": "string" }, "address": address },
        })
    };
    let city = |required: &[&str]| {
        let fields = json!({ "city": { "type": "string" }, "zip": { "type": ["string", "null"] } });
        json!({ "type": "object", "properties": fields, "required": required })
    };
    json!({
        "package": { "name": "shop", "license": "MIT", "repository": "https://example.com/shop" },
        "annotations": {
            "events.user.renamed": {
                "": { "description": "A user has another name.", "type": "shop::UserRenamed" },
                "/properties/name": { "description": "As it is shown.", "default": "nobody" },
            },
            "definitions.Address": { "": { "description": "Where somebody lives." } },
        },
        "definitions": { "Address": { "writes": city(&["city", "zip"]), "reads": city(&["city"]) } },
        "events": {
            "cache.clear": { "opaque": true },
            "order:paid": { "both": { "oneOf": [
                { "type": "object", "properties": { "Card": { "type": "string" } }, "required": ["Card"], "additionalProperties": false },
                { "type": "string", "enum": ["Cash"] },
            ] } },
            "stock.count": {
                "both": { "type": "string" }, "handled_by": ["stock::count"],
                "response": { "both": id },
            },
            "tick": { "both": { "type": "null" }, "handled_by": ["tick"] },
            "user.renamed": {
                "since": "1.2", "handled_by": ["users::greet"],
                "writes": user(&["address", "id", "name"]), "reads": user(&["address", "id"]),
            },
        },
        "values": { "limits": { "both": address } },
        "maps": { "users": { "both": { "type": "string" } } },
    })
}

/// Exports the document of the shop into the sandbox.
fn document(fleet: &Fleet) -> Value {
    fleet.write("contract/events.json", &with_hash(&shop()));
    fleet.succeed(&["schema", "export", "--asyncapi", "-o", "asyncapi.json"]);
    let path = fleet.sandbox.path("asyncapi.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test]
async fn a_document_has_the_channel_each_event_and_who_handles_it() {
    let fleet = Fleet::start().await;
    let document = document(&fleet);

    let channel = &document["channels"]["events"];
    assert_eq!(channel["address"], "tidings:{namespace}");
    assert_eq!(
        channel["parameters"]["namespace"]["default"],
        format!("{{{NAMESPACE}}}")
    );
    let messages = channel["messages"].as_object().unwrap();
    for name in [
        "cache.clear",
        "order_paid",
        "tidings.frame",
        "tidings.response",
        "user.renamed",
    ] {
        assert!(messages.contains_key(name), "{name}");
    }
    let message = &document["components"]["messages"]["user.renamed"];
    assert_eq!(message["summary"], "A user has another name.");
    let data = &message["payload"]["properties"]["data"];
    assert_eq!(data["properties"]["name"]["default"], "nobody");
    assert_eq!(
        data["properties"]["address"]["$ref"],
        "#/components/schemas/Address.reads"
    );
    let written = &message["x-tidings-writes"]["properties"]["address"]["$ref"];
    assert_eq!(written, "#/components/schemas/Address.writes");
    let receive = &document["operations"]["receive.user.renamed"];
    assert_eq!(receive["x-tidings-handlers"], json!(["users::greet"]));
    assert!(document["operations"]["receive.stock.count"]["reply"].is_object());
    let printed = fleet.succeed(&["schema", "export", "--asyncapi"]);
    let mut printed = serde_json::from_str::<Value>(&printed).unwrap();
    assert_eq!(printed, document);
    printed["asyncapi"] = "3.1.0".into();
    let newer = fleet.succeed(&["schema", "export", "--asyncapi=3.1"]);
    assert_eq!(serde_json::from_str::<Value>(&newer).unwrap(), printed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_knows_only_the_document_sends_events_that_are_received() {
    #[derive(serde::Deserialize)]
    struct Address {
        city: String,
    }
    #[derive(serde::Deserialize)]
    struct User {
        id: u64,
        #[serde(default)]
        name: String,
        address: Address,
    }
    #[derive(Debug, serde::Deserialize)]
    enum Paid {
        Card(String),
        Cash,
    }
    let fleet = Fleet::start().await;
    document(&fleet);
    let received: Arc<Mutex<Vec<String>>> = Arc::default();
    let receive = |received: &Arc<Mutex<Vec<String>>>| {
        let received = Arc::clone(received);
        move |text: String| received.lock().unwrap().push(text)
    };
    let [of_user, of_order, of_tick] = [0; 3].map(|_| receive(&received));
    let bus = Bus::builder(&fleet.redis.url())
        .namespace(NAMESPACE)
        .auto_register(false);
    let bus = bus
        .on("user.renamed", move |user: User| {
            of_user(format!(
                "user {} {:?} {}",
                user.id, user.name, user.address.city
            ));
            async {}
        })
        .on("order:paid", move |paid: Paid| {
            of_order(match paid {
                Paid::Card(number) => format!("card {number}"),
                Paid::Cash => "cash".to_owned(),
            });
            async {}
        })
        .on("tick", move |(): ()| {
            of_tick("tick".to_owned());
            async {}
        });
    let _bus = bus.start().await.unwrap();

    let mut python = fleet.command_of("python3");
    python
        .arg(Path::new(PROGRAMS).join("send.py"))
        .arg("asyncapi.json");
    let output = python.output().unwrap();

    assert!(output.status.success(), "{}", text(&output.stderr));
    eventually("each event is received", || {
        received.lock().unwrap().len() == 3
    });
    let mut received = received.lock().unwrap().clone();
    received.sort();
    assert_eq!(received, ["card x", "tick", "user 0 \"\" x"]);
}

#[tokio::test]
#[ignore = "needs Node and the parser: `cargo xtask test --long`"]
async fn a_document_passes_the_parser_of_asyncapi_without_a_warning() {
    let fleet = Fleet::start().await;
    document(&fleet);
    fleet.succeed(&["schema", "export", "--asyncapi=3.1", "-o", "newer.json"]);
    for document in ["asyncapi.json", "newer.json"] {
        let check = Path::new(PREPARED).join("check.mjs");
        let node = Command::new("node")
            .arg(check)
            .arg(fleet.sandbox.path(document))
            .output()
            .unwrap();
        let printed = text(&node.stdout) + &text(&node.stderr);
        assert!(node.status.success(), "{printed}");
        assert!(printed.contains("user.renamed\n"), "{printed}");
    }
}

#[tokio::test]
async fn json_schemas_are_one_document_for_each_payload_and_side() {
    let fleet = Fleet::start().await;
    fleet.write("contract/events.json", &with_hash(&shop()));

    fleet.succeed(&["schema", "export", "--jsonschema", "-o", "schemas"]);

    let schemas = fleet.sandbox.path("schemas");
    let read = |name: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(schemas.join(name)).unwrap()).unwrap()
    };
    let written = read("events/user.renamed.writes.json");
    assert_eq!(
        written["$schema"],
        "http://json-schema.org/draft-07/schema#"
    );
    let definitions = written["definitions"].as_object().unwrap();
    assert_eq!(definitions.keys().collect::<Vec<_>>(), ["Address.writes"]);
    assert_eq!(read("events/tick.json")["type"], "null");
    assert_eq!(read("responses/stock.count.json")["format"], "uint64");
    assert_eq!(read("maps/users.json")["type"], "string");
    assert!(read("values/limits.reads.json")["allOf"][0]["$ref"].is_string());
    let printed = fleet.succeed(&["schema", "export", "--jsonschema"]);
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["events/tick.json"], read("events/tick.json"));
}
