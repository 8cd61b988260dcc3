//! `tidings schema check --fleet`: the file against the contract of the members, which is that of this
//! process.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidings::Event;

use super::with_hash;
use crate::fleet::Fleet;
use crate::support::text;

/// An event of the members.
#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event("fleet.checked")]
struct Checked {
    id: u64,
}

/// Returns the contract of the members.
fn own() -> Value {
    serde_json::from_str(&tidings::contract().unwrap().to_string()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_cannot_read_this_version_is_named() {
    let fleet = Fleet::start().await;
    let _member = fleet.member_with("job-1", |bus| bus.version("1.3.9")).await;
    let mut contract = own();
    fleet.write("contract/events.json", &with_hash(&contract));
    let check = ["schema", "check", "--fleet"];
    let output = fleet.tidings(&check);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        text(&output.stderr).contains("members with this contract: 1 of 1"),
        "{output:?}"
    );

    let id = &mut contract["events"]["fleet.checked"]["both"]["properties"]["id"];
    *id = serde_json::json!({ "type": "string" });
    fleet.write("contract/events.json", &with_hash(&contract));
    let (stdout, code) = fleet.answer(&check);
    assert_eq!(code, 3, "{stdout}");
    for part in [
        "contract/events.json against job-1 (1.3.9)",
        "breaks   fleet.checked  type-changed  .id",
        "processes like job-1 (1.3.9) cannot read what new processes write: text is written, and u64 is read",
    ] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
}
