//! The contract of a program: what is collected from the types and handlers that are linked into it.
#![allow(clippy::unwrap_used, reason = "a panic in a test is the report")]
#![allow(dead_code, reason = "most types here are only described")]

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde_json::{Value, json};
use tidings::ResponseError;
use tidings::prelude::*;
use tidings_testkit::wait_for;
// This line links the crate; nothing else of it is named.
use tidings_tests_plugin as _;

const SOON: Duration = Duration::from_secs(20);

/// A user has another name.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Event)]
#[event("user.renamed", since = "1.2", alias("name", "full_name"))]
#[serde(rename_all = "camelCase")]
struct UserRenamed {
    id: u64,
    /// As it is shown.
    #[serde(alias = "title")]
    name: String,
    #[serde(default)]
    home_address: Option<Address>,
}

/// Where somebody lives.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Address {
    city: String,
    #[serde(default = "country")]
    country: String,
}

fn country() -> String {
    "CH".to_owned()
}

/// Nothing of it can be described.
#[derive(Debug, Serialize, Deserialize)]
struct Undescribed(u8);

#[derive(Debug, Serialize, Deserialize, Event)]
struct Legacy {
    undescribed: Undescribed,
}

#[derive(Debug, Event)]
#[event("user")]
enum Account {
    Renamed(UserRenamed),
    /// A user is gone.
    #[event(since = "1.3")]
    Deleted {
        id: u64,
        /// Why.
        #[serde(default, rename = "why", alias = "reason")]
        reason: Option<String>,
        #[schemars(with = "String")]
        by: Undescribed,
    },
    Merged(u64, Address),
    Hidden {
        id: u64,
        undescribed: Undescribed,
    },
    #[event("users.imported", opaque)]
    Imported(PathBuf),
    #[event("user.moved", alias("city", "town"))]
    Moved(Address),
    #[event("user.tagged")]
    Tagged(Vec<String>),
    #[event("users.reloaded")]
    Reloaded,
    /// Compiled out.
    #[cfg(any())]
    Never(Nothing),
    #[event(other)]
    Other(Unknown),
}

#[cfg(any())]
#[derive(Serialize, Deserialize, Event)]
#[event("user.tagged")]
struct Never(u8);

/// Declares an event of another module, as a macro of a library does.
macro_rules! shipping {
    ($name:ident) => {
        #[derive(Debug, Event)]
        enum $name {
            Sent {
                to: Vec<$crate::Address>,
                by: $crate::Undescribed,
            },
            Returned {
                to: $crate::Address,
            },
        }
    };
}

mod shipping {
    use tidings::prelude::*;

    shipping!(Shipping);
}

#[tidings::on]
async fn account(_: Account) {}

#[tidings::on]
async fn greet(_: Arc<UserRenamed>) -> Result<(), HandlerError> {
    Ok(())
}

#[tidings::on("stock.count")]
async fn count(_: String) -> Result<u32, HandlerError> {
    Ok(7)
}

#[tidings::on("stock.list")]
async fn list(_: Value) -> Result<Undescribed, HandlerError> {
    Ok(Undescribed(7))
}

#[tidings::on("stock.either")]
#[tidings::debug_handler]
async fn either((): ()) -> Result<impl Serialize, HandlerError> {
    Ok(7)
}

type Answer = Result<HashMap<String, u8>, HandlerError>;

mod within {
    use super::{Answer, Deserialize, HandlerError, JsonSchema, Serialize};

    #[tidings::on("stock.sums")]
    pub(crate) async fn r#loop((): ()) -> Answer {
        Ok(Answer::default_map())
    }

    trait DefaultMap {
        fn default_map() -> std::collections::HashMap<String, u8>;
    }

    impl DefaultMap for Answer {
        fn default_map() -> std::collections::HashMap<String, u8> {
            std::collections::HashMap::new()
        }
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Part {
        id: u64,
    }

    #[tidings::on("user.renamed")]
    async fn part(_: Part) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[tidings::shared("limits", since = "1.1")]
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Limits {
    per_minute: u32,
}

#[tidings::shared("leader")]
type Leader = String;

#[tidings::shared("blob", opaque)]
#[tidings::map("blobs")]
#[derive(Debug, Serialize, Deserialize)]
struct Blob(Vec<u8>);

#[tidings::map("addresses")]
type AddressOfUser = Address;

#[tidings::shared("never")]
#[cfg(any())]
struct NeverShared;

tidings::counter!("visits", since = "1.0");
tidings::counter!("visits");

fn contract() -> Value {
    serde_json::from_str(&tidings::contract().unwrap().to_string()).unwrap()
}

#[test]
fn a_struct_is_listed_with_what_it_writes_and_reads() {
    let contract = contract();
    let event = &contract["events"]["user.renamed"];
    assert_eq!(event["since"], "1.2");
    assert_eq!(event["alias"], json!({".name": ["full_name", "title"]}));
    let writes = json!({
        "type": "object",
        "properties": {
            "homeAddress": {"anyOf": [{"$ref": "#/definitions/Address"}, {"type": "null"}]},
            "id": {"type": "integer", "format": "uint64", "minimum": 0},
            "name": {"type": "string"},
        },
        "required": ["homeAddress", "id", "name"],
    });
    assert_eq!(event["writes"], writes);
    let reads = event["reads"]["allOf"].as_array().unwrap();
    let is_of_event = |side: &&Value| side["properties"].get("name").is_some();
    let own = reads.iter().find(is_of_event).unwrap();
    assert_eq!(own["required"], json!(["id", "name"]));
    let definition = &contract["definitions"]["Address"];
    assert_eq!(definition["writes"]["required"], json!(["city", "country"]));
    assert_eq!(definition["reads"]["required"], json!(["city"]));
}

#[test]
fn the_documentation_is_beside_the_schemas() {
    let contract = contract();
    let about = &contract["annotations"]["events.user.renamed"];
    assert_eq!(about[""]["description"], "A user has another name.");
    assert_eq!(about[""]["source"], "tests/contract.rs");
    assert_eq!(about[""]["type"], "contract::UserRenamed");
    assert_eq!(about["/properties/name"]["description"], "As it is shown.");
    let about = &contract["annotations"]["events.user.deleted"];
    assert_eq!(about[""]["description"], "A user is gone.");
    assert_eq!(about[""]["type"], "contract::Account::Deleted");
    assert_eq!(about["/properties/why"]["description"], "Why.");
    let about = &contract["annotations"]["definitions.Address"];
    assert_eq!(about["/properties/country"]["default"], "CH");
}

#[test]
fn each_variant_is_an_event() {
    let contract = contract();
    let events = contract["events"].as_object().unwrap();
    let names: Vec<&str> = events.keys().map(String::as_str).collect();
    let expected = [
        "legacy",
        "plugin.loaded",
        "shipping.returned",
        "shipping.sent",
        "stock.count",
        "stock.either",
        "stock.list",
        "stock.sums",
        "user.deleted",
        "user.hidden",
        "user.merged",
        "user.moved",
        "user.renamed",
        "user.tagged",
        "users.imported",
        "users.reloaded",
    ];
    assert_eq!(names, expected);
    let deleted = &events["user.deleted"];
    assert_eq!(deleted["since"], "1.3");
    assert_eq!(deleted["alias"], json!({".why": ["reason"]}));
    assert_eq!(deleted["reads"]["required"], json!(["by", "id"]));
    assert_eq!(
        deleted["reads"]["properties"]["by"],
        json!({"type": "string"})
    );
    assert_eq!(deleted["writes"]["required"], json!(["by", "id", "why"]));
    assert_eq!(events["user.moved"]["alias"], json!({".city": ["town"]}));
    let merged = &events["user.merged"]["both"];
    assert_eq!(merged["items"][1], json!({"$ref": "#/definitions/Address"}));
    assert_eq!(events["user.tagged"]["both"]["type"], "array");
    assert_eq!(events["users.reloaded"]["both"], json!({"type": "null"}));
}

#[test]
fn a_payload_without_a_schema_is_listed_without_one() {
    let contract = contract();
    let has_schema = |event: &str| {
        let event = contract["events"][event].as_object().unwrap();
        ["both", "reads", "writes"]
            .iter()
            .any(|side| event.contains_key(*side))
    };
    assert!(!has_schema("legacy"));
    assert!(!has_schema("user.hidden"));
    assert!(!has_schema("users.imported"));
    assert_eq!(contract["events"]["users.imported"]["opaque"], true);
    assert_eq!(contract["events"]["legacy"], json!({}));
}

#[test]
fn a_macro_may_name_the_types_of_fields_by_its_own_crate() {
    let contract = contract();
    let returned = &contract["events"]["shipping.returned"]["both"];
    let address = json!({"to": {"$ref": "#/definitions/Address"}});
    assert_eq!(returned["properties"], address);
    assert_eq!(contract["events"]["shipping.sent"], json!({}));
}

#[test]
fn handlers_are_listed_with_their_responses() {
    let contract = contract();
    let events = &contract["events"];
    let handlers = ["account", "greet", "within::part"];
    assert_eq!(events["user.renamed"]["handled_by"], json!(handlers));
    assert_eq!(events["user.renamed"].get("response"), None);
    assert_eq!(events["users.reloaded"]["handled_by"], json!(["account"]));
    assert_eq!(events["plugin.loaded"]["handled_by"], json!(["loaded"]));
    assert_eq!(events["plugin.loaded"]["both"], json!({"type": "string"}));
    let count = &events["stock.count"];
    assert_eq!(count["both"], json!({"type": "string"}));
    assert_eq!(count["response"]["both"]["format"], "uint32");
    assert_eq!(events["stock.list"]["both"], true);
    assert_eq!(events["stock.list"]["response"], json!({}));
    assert_eq!(events["stock.either"]["response"], json!({}));
    let sums = &events["stock.sums"];
    assert_eq!(sums["handled_by"], json!(["within::loop"]));
    assert_eq!(sums["response"]["both"]["type"], "object");
}

#[test]
fn shared_state_is_listed() {
    let contract = contract();
    let limits = &contract["values"]["limits"];
    assert_eq!(limits["since"], "1.1");
    assert_eq!(limits["both"]["required"], json!(["per_minute"]));
    let values =
        json!({"blob": {"opaque": true}, "leader": {"both": {"type": "string"}}, "limits": limits});
    assert_eq!(contract["values"], values);
    assert_eq!(contract["maps"]["blobs"], json!({}));
    assert_eq!(
        contract["maps"]["addresses"]["reads"]["required"],
        json!(["city"])
    );
    assert_eq!(contract["counters"], json!({"visits": {"since": "1.0"}}));
}

#[test]
fn a_contract_is_the_same_each_time() {
    let (one, other) = (tidings::contract().unwrap(), tidings::contract().unwrap());
    assert_eq!(one.to_string(), other.to_string());
    assert_eq!(one.hash(), other.hash());
    assert_eq!(contract()["hash"], one.hash());
    assert_eq!(contract()["tidings"], 1);
    assert_eq!(one.hash().len(), 16);
}

#[tokio::test]
async fn a_bus_sends_the_contract_of_its_program() {
    let builder = || Bus::builder("memory:contract").auto_register(false);
    let member = builder().start().await.unwrap();
    let other = builder().membership(false).start().await.unwrap();
    let contract = tidings::contract().unwrap();
    let is_collected = async || member.inspection().contract.is_some();
    wait_for("the contract is collected", SOON, is_collected).await;
    assert_eq!(
        member.inspection().contract.as_deref(),
        Some(contract.hash())
    );

    let response = other.contract_of(member.id()).await.unwrap();
    let sent: Value = serde_json::from_str(&response.value.unwrap()).unwrap();
    let mut file = self::contract();
    file.as_object_mut().unwrap().remove("annotations");
    assert_eq!(sent, file);

    let silent = builder().inspection(false).start().await.unwrap();
    let response = other.contract_of(silent.id()).await.unwrap();
    assert!(matches!(response.value, Err(ResponseError::NoHandler)));
}
