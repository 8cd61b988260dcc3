//! The page of contracts, and the form that is made from them.

use std::fs;

use serde_json::{Value, json};
use tidings::Bus;

use super::appearance::{faults, load_axe};
use super::changes::fill;
use super::session::Browser;
use crate::console::client::Console;
use crate::console::contracts::users;
use crate::console::foreign::{self, Program};
use crate::fleet::{Fleet, NAMESPACE};
use crate::support::eventually;

/// Members with two contracts: the one that handles events started last.
pub(super) async fn two_versions(fleet: &Fleet, bus: &Bus) -> [Program; 2] {
    let programs = [
        Program::new("job-1", "1.3.9", &users("integer")),
        Program::new("api-7", "1.4.0", &users("string")),
    ];
    foreign::start(fleet, bus, &programs).await;
    programs
}

pub(super) async fn members_that_cannot_read_each_other_are_named(browser: &mut Browser) {
    let fleet = Fleet::start().await;
    let bus = fleet
        .builder("tool")
        .membership(false)
        .start()
        .await
        .unwrap();
    let console = Console::start(&fleet, &[]);
    browser.enter(&console).await;
    browser.show("contract").await;
    browser
        .until_text("Switch the feature “schema” of tidings on")
        .await;

    // Without a reload.
    let [old, _] = two_versions(&fleet, &bus).await;
    browser
        .until_text("Members that cannot read each other")
        .await;
    let breaks = browser
        .eval("document.querySelector('.breaks li').innerText")
        .await;
    for part in [
        "user.renamed",
        "type-changed",
        ".id",
        "job-1 (1.3.9)",
        "api-7 (1.4.0)",
        "Instead:",
    ] {
        assert!(breaks.as_str().unwrap().contains(part), "{part}: {breaks}");
    }
    browser.press("user.renamed").await;
    browser.until_text("2 forms of it run now").await;
    browser.until_text(".address.city").await;
    browser.press("stock.count").await;
    browser.until_text("Response, written and read").await;
    browser.save("contract").await;

    // A row that does not change stays the same, so that no click on it is lost.
    let row = format!(
        "document.querySelector(\"[aria-label='Save AsyncAPI of {}']\")",
        old.hash()
    );
    browser
        .run(&format!("{row}.isKept = true"), Value::Null)
        .await;
    let _late = fleet.builder("late-1").start().await.unwrap();
    browser.until_text("late-1").await;
    assert_eq!(browser.eval(&format!("{row}.isKept")).await, true);

    // The documents are those of the command line.
    let folder = fleet.sandbox.path("saved");
    fs::create_dir_all(&folder).unwrap();
    let allow = json!({ "behavior": "allow", "downloadPath": folder });
    browser.tool("Browser.setDownloadBehavior", allow).await;
    fleet.write("contract/events.json", &old.contract);
    for (form, button) in [("asyncapi", "AsyncAPI"), ("jsonschema", "JSON Schema")] {
        let label = format!("Save {button} of {}", old.hash());
        browser.click(&format!("[aria-label='{label}']")).await;
        let file = folder.join(format!("shop-{}.{form}.json", old.hash()));
        eventually("it is saved", || file.exists());
        let saved: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let exported = fleet.succeed(&["schema", "export", &format!("--{form}")]);
        assert_eq!(saved, serde_json::from_str::<Value>(&exported).unwrap());
    }
}

/// Returns the field with this label in the form.
fn field(label: &str) -> String {
    format!(
        "[...document.querySelectorAll('#send label')].find((it) => it.textContent.startsWith('{label} ')).control"
    )
}

/// Types into the field with this label.
async fn enter(browser: &Browser, label: &str, text: &str) {
    browser
        .run(&format!("{}.focus()", field(label)), Value::Null)
        .await;
    browser.keys(text).await;
}

async fn choose(browser: &Browser, label: &str, value: &str) {
    let choose = format!(
        "const it = {}; it.value = arguments[0]; it.dispatchEvent(new Event('change'))",
        field(label)
    );
    browser.run(&choose, json!(value)).await;
}

/// The members leave and return, as in a deployment. What was typed stays.
async fn the_schema_of_the_event_goes_and_comes_back(browser: &Browser, fleet: &Fleet) {
    let listed = "document.querySelector('#send-names option[value=\"stock.count\"]')";
    let [members, kept] = ["members", "kept"].map(|name| format!("tidings:{{{NAMESPACE}}}:{name}"));
    fleet.redis.command(&["RENAME", &members, &kept]).await;
    browser
        .until("it is gone", &format!("{listed} === null"))
        .await;
    fleet.redis.command(&["RENAME", &kept, &members]).await;
    browser
        .until("it is back", &format!("{listed} !== null"))
        .await;
}

/// Enters each field, and what is wrong at first.
async fn enter_the_fields(browser: &Browser) {
    browser.press("Send and wait for handlers").await;
    browser.until_text("Needed.").await;
    enter(browser, "id", "-0").await;
    browser.until_text("Not a whole number.").await;
    let clear = format!("{}.value = ''", field("id"));
    browser.run(&clear, Value::Null).await;
    enter(browser, "id", "18446744073709551615").await;
    enter(browser, "name", "Ada \\\"L\\\" ").await;
    choose(browser, "plan", "\"team\"").await;
    choose(browser, "is_new", "true").await;
    browser
        .run(&format!("{}.click()", field("address")), Value::Null)
        .await;
    enter(browser, "city", "London").await;
    let empty = format!(
        "document.getElementById({}.id + '-empty').click()",
        field("zip")
    );
    browser.run(&empty, Value::Null).await;
    // A choice that is needed is made by a person.
    browser.press("Send and wait for handlers").await;
    let is_missing = format!(
        "{}.getAttribute('aria-invalid') === 'true'",
        field("is_home")
    );
    browser.until("a choice is missing", &is_missing).await;
    choose(browser, "is_home", "false").await;
    let tags = format!("{}.click()", field("tags"));
    browser.run(&tags, Value::Null).await;
    browser.click("[aria-label='Add an item to tags']").await;
    enter(browser, "item", "first").await;
    // A type that contains itself is JSON from here on.
    let parent = format!("{}.click()", field("parent"));
    browser.run(&parent, Value::Null).await;
    enter(browser, "next", r#"{"next":{}}"#).await;
}

pub(super) async fn an_event_is_sent_from_the_fields_of_its_schema(browser: &mut Browser) {
    let fleet = Fleet::start().await;
    let bus = fleet
        .builder("tool")
        .membership(false)
        .start()
        .await
        .unwrap();
    let renamed = fleet.member_with("web-1", |bus| bus.on("user.renamed", async |_: Value| {}));
    let renamed = renamed.await;
    // Its inspection has the handler, too.
    let program = Program::new("api-7", "1.4.0", &users("integer"));
    foreign::start(&fleet, &renamed, &[program]).await;
    let console = Console::start(&fleet, &["--allow-send", "--timeout", "700ms"]);
    let mut sent = bus.stream::<_, Value>("user.renamed").unwrap();
    browser.enter(&console).await;
    browser.show("events").await;
    browser
        .until("the form is there", "send.checkVisibility()")
        .await;
    browser.click("#send summary").await;
    fill(browser, "#send-event", "user.renamed").await;
    browser
        .until_text("The fields are those that api-7 (1.4.0) reads.")
        .await;

    enter_the_fields(browser).await;
    the_schema_of_the_event_goes_and_comes_back(browser, &fleet).await;
    load_axe(browser).await;
    for scheme in ["dark", "light"] {
        browser.scheme(scheme).await;
        assert_eq!(faults(browser).await, json!([]), "{scheme}");
    }
    browser.save("send-fields").await;
    browser.size(320, 640).await;
    let width = browser.eval("document.documentElement.scrollWidth").await;
    assert!(width.as_u64().unwrap() <= 320, "{width}");
    browser.save("send-fields-narrow").await;
    browser.size(1_280, 900).await;
    browser.press("Send and wait for handlers").await;
    let receipt = "document.getElementById('send-result').innerText";
    browser
        .until(
            "it was handled",
            &format!("{receipt}.includes('1 handled')"),
        )
        .await;
    let receipt = browser.eval(receipt).await.to_string();
    assert!(
        receipt.contains("web-1") && receipt.contains("1 silent"),
        "{receipt}"
    );
    let payload = sent.next().await.unwrap();
    assert_eq!(
        payload,
        json!({ "id": 18_446_744_073_709_551_615_u64, "name": "Ada \\\"L\\\" ", "plan": "team",
        "is_new": true, "address": { "city": "London", "is_home": false, "zip": "" }, "tags": ["first"], "parent": { "next": { "next": {} } } })
    );

    // What no receiver can read is sent only on request.
    browser.press("As JSON").await;
    fill(browser, "#send-payload", r#"{"id":"seven","name":"Ada"}"#).await;
    browser.press("Send and wait for handlers").await;
    browser
        .until_text("api-7 (1.4.0) cannot read this payload: ")
        .await;
    // Only what was refused is sent, and the text stays where it was typed.
    browser.press("As fields").await;
    browser.press("As JSON").await;
    let is_there =
        "[...document.querySelectorAll('button')].some((it) => it.textContent === 'Send anyway')";
    assert_eq!(browser.eval(is_there).await, true);
    browser.click("#send-payload").await;
    browser.keys(" ").await;
    assert_eq!(browser.eval(is_there).await, false);
    browser.press("Send and wait for handlers").await;
    browser.until("it is refused again", is_there).await;
    browser.press("Send anyway").await;
    browser.until_text("1 handled").await;
    assert_eq!(sent.next().await.unwrap()["id"], "seven");

    // An event without a schema has no fields.
    fill(browser, "#send-event", "cache.clear").await;
    browser
        .until(
            "there are no fields",
            "document.getElementById('send-payload').checkVisibility()",
        )
        .await;
}
