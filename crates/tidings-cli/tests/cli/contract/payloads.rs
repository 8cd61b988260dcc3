//! Payloads are checked against the contract of the project before they are sent.

use serde_json::{Value, json};
use tidings::{BusBuilder, HandlerError};

use super::{FILE, renamed, with_hash};
use crate::events::{collecting, with_input};
use crate::fleet::Fleet;
use crate::support::text;

#[tokio::test]
async fn a_payload_that_the_contract_of_the_project_does_not_allow_is_not_sent() {
    let fleet = Fleet::start().await;
    fleet.write("tidings.toml", "contract = \"contract/events.json\"");
    let mut contract = renamed(&["name", "at"], &["name"]);
    let id = json!({ "type": "integer", "format": "uint32", "minimum": 0 });
    let at = json!({ "type": ["string", "null"], "format": "date-time" });
    let numbers = json!({ "type": "object", "patternProperties": { "^\\d+$": id }, "additionalProperties": false });
    let fields = json!({ "id": id, "rate": { "type": "number", "format": "double" }, "at": at, "by": numbers });
    let schema = json!({ "type": "object", "properties": fields, "required": ["id"] });
    contract["events"]["user.renamed"] = json!({ "both": schema });
    fleet.write(FILE, &with_hash(&contract));

    let send = |fields: &[&str]| fleet.fail(&[&["send", "user.renamed"], fields].concat());
    for (fields, why) in [
        (
            &["id=7"][..],
            ".id: the text `7` is written, and u32 is read",
        ),
        (&["name=x"], ".id: `id` is required, and not written"),
        (
            &["id:=-1"],
            ".id: the number -1 is written, and u32 is read",
        ),
    ] {
        let (stderr, code) = send(fields);
        assert_eq!(code, 2, "{stderr}");
        let text = "no handler can read this payload of `user.renamed`, as ";
        assert!(stderr.contains(text) && stderr.contains(why), "{stderr}");
        assert!(
            stderr.contains("help: --force sends it all the same"),
            "{stderr}"
        );
    }
    for fields in [
        &["id:=7"][..],
        &[
            "id:=7",
            "rate:=3",
            "at=2026-11-30T00:00:00Z",
            "other=x",
            "by:={\"7\":1}",
        ],
        &["id:=7", "rate:=0.5", "at:=null"],
        &["id=7", "--force"],
    ] {
        let (stderr, code) = send(fields);
        assert_eq!(code, 0, "{fields:?}: {stderr}");
    }
    fleet.write(FILE, "{}");
    let (stderr, code) = send(&["id=7"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(
        stderr.contains("warning: the payload is not checked: cannot read "),
        "{stderr}"
    );
}

/// A fleet in whose contract `user.renamed` has a name, which is a text.
async fn with_contract() -> Fleet {
    let fleet = Fleet::start().await;
    fleet.write("tidings.toml", "contract = \"contract/events.json\"");
    fleet.write(FILE, &with_hash(&renamed(&["name"], &["name"])));
    fleet
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_payload_that_the_contract_does_not_allow_is_not_sent() {
    let fleet = with_contract().await;
    let answers =
        |bus: BusBuilder| bus.on("user.renamed", async |_: Value| Ok::<_, HandlerError>(7));
    let _member = fleet.member_with("api-1", answers).await;
    let (stderr, code) = fleet.fail(&["request", "user.renamed", "name:=7"]);
    assert_eq!(code, 2, "{stderr}");
    let why = ".name: the number 7 is written, and text is read";
    assert!(stderr.contains(why), "{stderr}");
    assert!(
        stderr.contains("help: --force sends it all the same"),
        "{stderr}"
    );
    for sent in [&["name=Ada"][..], &["name:=7", "--force"]] {
        let request = [&["request", "user.renamed"], sent].concat();
        assert_eq!(fleet.answer(&request).1, 0, "{sent:?}");
    }
}

#[tokio::test]
async fn a_line_that_the_contract_does_not_allow_is_rejected_with_its_number_and_no_other_one() {
    let fleet = with_contract().await;
    let (receives, mut received) = collecting("user.renamed");
    let _member = fleet.member_with("api-1", receives).await;
    let line = |data: Value| json!({ "event": "user.renamed", "data": data }).to_string() + "\n";
    let lines =
        line(json!({ "name": "a" })) + &line(json!({ "name": 7 })) + &line(json!({ "name": "b" }));

    let output = with_input(&fleet, &["send", "-"], lines.as_bytes());

    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    let why = "error: line 2: no handler can read this payload of `user.renamed`, as ";
    assert!(stderr.contains(why), "{stderr}");
    assert!(
        stderr.contains(
            ".name: the number 7 is written, and text is read (--force sends it all the same)"
        ),
        "{stderr}"
    );
    assert_eq!(text(&output.stdout), "sent 2 events, 1 not valid\n");
    for name in ["a", "b"] {
        assert_eq!(received.recv().await, Some(json!({ "name": name })));
    }

    let output = with_input(&fleet, &["send", "-", "--force"], lines.as_bytes());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    fleet.write(FILE, "{}");
    let output = with_input(&fleet, &["send", "-"], lines.as_bytes());
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(
        stderr.matches("the payload is not checked").count(),
        1,
        "{stderr}"
    );
}
