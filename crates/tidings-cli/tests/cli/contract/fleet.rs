//! `tidings schema check --fleet`: the file against the contracts of the members.

use std::net::TcpListener;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tidings::{TapItem, TapOptions, TappedEvent};

use super::member::{self, LONG};
use super::with_hash;
use crate::fleet::Fleet;
use crate::support::{Running, text};

/// A lease that ends during a test.
const SHORT: Duration = Duration::from_secs(3);

/// Returns the contract of this process.
fn own() -> Value {
    serde_json::from_str(&tidings::contract().unwrap().to_string()).unwrap()
}

async fn with_own_contract() -> Fleet {
    let fleet = Fleet::start().await;
    fleet.write("contract/events.json", &with_hash(&own()));
    fleet
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_cannot_read_this_version_is_named() {
    let fleet = with_own_contract().await;
    let _member = fleet.member_with("job-1", |bus| bus.version("1.3.9")).await;
    let mut contract = own();
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

/// Runs `schema check --fleet --json`, and returns its last line, its warnings and its exit code.
fn last_line(fleet: &Fleet, arguments: &[&str]) -> (Value, String, i32) {
    let all = [&["schema", "check", "--fleet", "--json"], arguments].concat();
    let output = fleet.tidings(&all);
    let code = output.status.code().unwrap();
    (summary(&text(&output.stdout)), text(&output.stderr), code)
}

fn summary(stdout: &str) -> Value {
    let lines = crate::fleet::objects(stdout);
    for line in &lines {
        crate::schema::check("schema", line);
    }
    lines.last().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_frozen_makes_the_result_partial() {
    let fleet = with_own_contract().await;
    let member = member::start(&fleet, "job-1", "1.3.9", "optional", LONG);
    let (line, stderr, code) = last_line(&fleet, &[]);
    assert_eq!((&line["is_partial"], code), (&false.into(), 0), "{stderr}");
    assert_eq!(line["against"], serde_json::json!(["job-1 (1.3.9)"]));

    member.signal(Signal::STOP);
    let (line, stderr, code) = last_line(&fleet, &[]);

    assert_eq!((&line["is_partial"], code), (&true.into(), 3), "{stderr}");
    let warning = "no contract is known of job-1: no response within 1s";
    assert!(stderr.contains(warning), "{stderr}");
    let (stdout, code) = fleet.answer(&["schema", "check", "--fleet"]);
    assert_eq!(code, 3);
    assert_eq!(
        stdout,
        "0 breaks, 0 unchanged, and not all members were compared\n"
    );
}

/// Starts `schema check --fleet --json`, and waits for the first event of this name and sender.
async fn ask(fleet: &Fleet, timeout: &str, event: [&str; 2]) -> Running {
    let observer = fleet.builder("observer").membership(false);
    let observer = observer.start().await.unwrap();
    let mut tap = observer.tap(TapOptions::new()).unwrap();
    let mut command = fleet.command();
    command.args(["schema", "check", "--fleet", "--json", "--timeout", timeout]);
    let check = Running::start(&mut command);
    let is_awaited = |it: &TappedEvent| [it.name(), it.sender_name().unwrap_or_default()] == event;
    while let Some(item) = tap.next().await {
        if matches!(&item, TapItem::Event(event) if is_awaited(event)) {
            break;
        }
    }
    check
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_leaves_while_it_is_asked_is_no_fault() {
    let fleet = with_own_contract().await;
    let member = member::start(&fleet, "job-1", "1.3.9", "text", SHORT);
    member.signal(Signal::STOP);
    let mut check = ask(&fleet, "5s", ["tidings.inspect", ""]).await;
    member.signal(Signal::KILL);

    assert_eq!(check.code(), 0, "{:?}", check.stderr.all());
    check.stderr.wait_for("job-1 (1.3.9) left");
    let line = summary(&check.stdout.wait_for("is_partial"));
    assert_eq!(line["is_partial"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_has_just_started_is_asked_until_its_contract_is_collected() {
    let fleet = with_own_contract().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let _member = member::start(&fleet, "job-1", "1.3.9", &address, LONG);
    let collecting = listener.accept().unwrap();
    let mut check = ask(&fleet, "20s", ["tidings.response", "job-1"]).await;
    drop((collecting, listener));

    assert_eq!(check.code(), 3, "{:?}", check.stderr.all());
    let line = summary(&check.stdout.wait_for("is_partial"));
    assert_eq!(line["is_partial"], false);
    assert_eq!(line["against"], serde_json::json!(["job-1 (1.3.9)"]));
    assert_eq!(check.stderr.count("no contract is known"), 0);
}
