//! Events that the page sends, and values that it changes.

use serde_json::{Value, json};
use tidings::HandlerError;

use super::session::Browser;
use crate::console::client::Console;
use crate::fleet::Fleet;

/// Types into a field, which has this text afterwards.
async fn fill(browser: &Browser, selector: &str, text: &str) {
    let empty = format!("document.querySelector('{selector}').value = ''");
    browser.eval(&empty).await;
    browser.click(selector).await;
    browser.keys(text).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_may_sends_events_and_changes_values() {
    let mut browser = Browser::start().await;
    a_sent_event_names_who_handled_it_and_who_failed(&mut browser).await;
    a_value_that_has_changed_in_between_is_not_overwritten_and_is_shown(&mut browser).await;
    browser.finish().await;
}

async fn a_sent_event_names_who_handled_it_and_who_failed(browser: &mut Browser) {
    let fleet = Fleet::start().await;
    let handling = fleet.member_with("api-1", |bus| bus.on("user.renamed", async |_: Value| {}));
    let failing = fleet.member_with("job-1", |bus| {
        bus.on("user.renamed", async |_: Value| {
            Err::<(), HandlerError>("no such user".into())
        })
    });
    let _members = (handling.await, failing.await);
    let console = Console::start(&fleet, &["--allow-send"]);
    browser.enter(&console).await;
    browser.show("events").await;
    browser
        .until("the form is there", "send.checkVisibility()")
        .await;

    browser.click("#send summary").await;
    fill(browser, "#send-event", "user.renamed").await;
    fill(browser, "#send-payload", r#"{"id":7,"name":"Ada"}"#).await;
    browser.press("Send, ask who").await;
    let receipt = "document.getElementById('send-result').innerText";
    browser
        .until(
            "it was handled",
            &format!("{receipt}.includes('1 handled')"),
        )
        .await;
    let receipt = browser.eval(receipt).await.to_string();
    for part in ["api-1", "1 failed", "job-1", "no such user"] {
        assert!(receipt.contains(part), "{part} in {receipt}");
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
}
