//! Events that the page sends, and values that it changes.

use std::future::pending;

use serde_json::{Value, json};
use tidings::HandlerError;

use super::contract::{
    an_event_is_sent_from_the_fields_of_its_schema, members_that_cannot_read_each_other_are_named,
};
use super::session::Browser;
use crate::console::client::Console;
use crate::fleet::Fleet;

/// Types into a field, which has this text afterwards.
pub(super) async fn fill(browser: &Browser, selector: &str, text: &str) {
    let empty = format!("document.querySelector('{selector}').value = ''");
    browser.eval(&empty).await;
    browser.click(selector).await;
    browser.keys(text).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_may_sends_events_and_changes_values() {
    let mut browser = Browser::start().await;
    a_sent_event_names_who_handled_it_who_failed_and_who_was_silent(&mut browser).await;
    a_value_that_has_changed_in_between_is_not_overwritten_and_is_shown(&mut browser).await;
    a_change_that_fails_after_its_dialog_was_closed_is_shown(&mut browser).await;
    an_entry_that_is_there_is_not_overwritten_unseen_by_a_new_one(&mut browser).await;
    an_event_is_sent_from_the_fields_of_its_schema(&mut browser).await;
    members_that_cannot_read_each_other_are_named(&mut browser).await;
    browser.finish().await;
}

async fn a_sent_event_names_who_handled_it_who_failed_and_who_was_silent(browser: &mut Browser) {
    let fleet = Fleet::start().await;
    let handling = fleet.member_with("api-1", |bus| bus.on("user.renamed", async |_: Value| {}));
    let failing = fleet.member_with("job-1", |bus| {
        bus.on("user.renamed", async |_: Value| {
            Err::<(), HandlerError>("no such user".into())
        })
    });
    let silent = fleet.member_with("mail-1", |bus| {
        bus.on("user.renamed", async |_: Value| pending::<()>().await)
    });
    let _members = (handling.await, failing.await, silent.await);
    let _other = fleet.member("cron-1").await;
    let console = Console::start(&fleet, &["--allow-send", "--timeout", "700ms"]);
    browser.enter(&console).await;
    browser.show("events").await;
    browser
        .until("the form is there", "send.checkVisibility()")
        .await;

    browser.click("#send summary").await;
    fill(browser, "#send-event", "user.renamed").await;
    fill(browser, "#send-payload", r#"{"id":7,"name":"Ada"}"#).await;
    browser.press("Send and wait for handlers").await;
    let receipt = "document.getElementById('send-result').innerText";
    browser
        .until(
            "it was handled",
            &format!("{receipt}.includes('1 handled')"),
        )
        .await;
    let mut receipt = browser.eval(receipt).await.to_string();
    for part in [
        "1 handled",
        "api-1",
        "1 failed",
        "job-1",
        "no such user",
        "1 silent",
        "mail-1",
        "no answer within 700 ms",
        "1 without a handler",
        "cron-1",
    ] {
        let rest = receipt.find(part).map(|at| at + part.len());
        receipt = match rest {
            Some(rest) => receipt.split_off(rest),
            None => panic!("{part} in {receipt}"),
        };
    }
    browser.until_text(r#"{"id":7,"name":"Ada"}"#).await;
    browser.save("send").await;
}

async fn a_value_that_has_changed_in_between_is_not_overwritten_and_is_shown(
    browser: &mut Browser,
) {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let limits = bus.shared::<Value>("limits").unwrap();
    limits.set(&json!({ "per_minute": 60 })).await.unwrap();
    let console = Console::start(&fleet, &["--allow-write"]);
    browser.enter(&console).await;
    browser.show("state").await;
    browser.until_text("limits").await;
    browser.press("limits").await;
    browser.until_text("\"per_minute\": 60").await;
    browser.press("Change").await;
    let before = "document.querySelector('.before')?.innerText";
    browser
        .until("it is shown once more", &format!("{before}.includes('60')"))
        .await;

    limits.set(&json!({ "per_minute": 90 })).await.unwrap();
    fill(browser, "#new-value", r#"{"per_minute":120}"#).await;
    browser.click("dialog.change .primary").await;
    browser
        .until("the new one is shown", &format!("{before}.includes('90')"))
        .await;
    let problem = browser
        .eval("document.querySelector('.problem').innerText")
        .await;
    assert!(problem.as_str().is_some_and(|it| !it.is_empty()));
    assert_eq!(
        console.api("/api/state/shared?name=limits")["value"],
        json!({ "per_minute": 90 })
    );

    browser.click("dialog.change .primary").await;
    browser.until_text("\"per_minute\": 120").await;
    assert_eq!(
        console.api("/api/state/shared?name=limits")["value"],
        json!({ "per_minute": 120 })
    );

    // What has the focus keeps it, as the details are drawn again.
    let focus = "document.activeElement.closest('.detail') && document.activeElement.textContent";
    assert_eq!(browser.eval(focus).await, "Change");
    limits.set(&json!({ "per_minute": 150 })).await.unwrap();
    browser.until_text("\"per_minute\": 150").await;
    assert_eq!(browser.eval(focus).await, "Change");
}

async fn a_change_that_fails_after_its_dialog_was_closed_is_shown(browser: &mut Browser) {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let limits = bus.shared::<u32>("limits").unwrap();
    limits.set(&60).await.unwrap();
    let console = Console::start(&fleet, &["--allow-write", "--timeout", "60s"]);
    browser.enter(&console).await;
    browser.show("state?kind=shared&name=limits").await;
    browser.until_text("Change").await;
    browser.press("Change").await;
    let before = "document.querySelector('.before')?.innerText.includes('60')";
    browser.until("it is shown once more", before).await;
    fill(browser, "#new-value", "120").await;

    // The change is rejected, and not before Redis answers again.
    limits.set(&90).await.unwrap();
    fleet.redis.freeze();
    browser.click("dialog.change .primary").await;
    browser.click("dialog.change button[type=button]").await;
    let is_closed = "!document.querySelector('dialog')";
    browser.until("the dialog is closed", is_closed).await;
    fleet.redis.resume();

    browser.until_text("Change limits: ").await;
    browser.show("members").await;
    browser.until_text("Change limits: ").await;
    browser.press("Dismiss").await;
    browser.until_no_text("Change limits: ").await;
}

async fn an_entry_that_is_there_is_not_overwritten_unseen_by_a_new_one(browser: &mut Browser) {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let users = bus.map::<u32, Value>("users").unwrap();
    users.set(&7, &json!({ "name": "Ada" })).await.unwrap();
    let console = Console::start(&fleet, &["--allow-write"]);
    browser.enter(&console).await;
    browser.show("state?kind=map&name=users").await;
    browser.until_text("New entry").await;
    browser.press("New entry").await;
    fill(browser, "#new-name", "7").await;
    fill(browser, "#new-value", r#"{"name":"Grace"}"#).await;
    browser.click("dialog.change .primary").await;
    let before = "document.querySelector('.before')?.innerText";
    browser
        .until("the old one is shown", &format!("{before}.includes('Ada')"))
        .await;
    browser.until_text("The map has this key already").await;
    let entry = |key: u32| console.api(&format!("/api/state/map?name=users&key={key}"));
    assert_eq!(entry(7)["entries"][0]["value"], json!({ "name": "Ada" }));

    // Another key is another entry.
    fill(browser, "#new-name", "8").await;
    browser.click("dialog.change .primary").await;
    browser.until_text(r#"{"name":"Grace"}"#).await;
    assert_eq!(entry(7)["entries"][0]["value"], json!({ "name": "Ada" }));
    assert_eq!(entry(8)["entries"][0]["value"], json!({ "name": "Grace" }));

    browser.press("New entry").await;
    fill(browser, "#new-name", "7").await;
    fill(browser, "#new-value", r#"{"name":"Alan"}"#).await;
    browser.click("dialog.change .primary").await;
    browser
        .until("the old one is shown", &format!("{before}.includes('Ada')"))
        .await;
    browser.click("dialog.change .primary").await;
    browser.until_text(r#"{"name":"Alan"}"#).await;
    assert_eq!(entry(7)["entries"][0]["value"], json!({ "name": "Alan" }));
}
