//! The token: it opens the page, and is seen nowhere else.

use std::fs;

use serde_json::{Value, json};

use super::session::Browser;
use super::start_at;
use crate::console::client::Console;
use crate::fleet::Fleet;

pub(super) async fn the_token_opens_the_page_and_is_not_left_in_the_address_or_the_history(
    browser: &mut Browser,
) {
    let fleet = Fleet::start().await;
    let _member = fleet.member("api-1").await;
    let console = Console::start(&fleet, &[]);
    browser.enter(&console).await;
    browser.until_text("api-1").await;

    let clean = format!("http://{}/#/", console.address);
    assert_eq!(browser.url().await, clean);
    for key in ["2", "3", "4", "5", "6", "1"] {
        browser.keys(key).await;
    }
    let history = browser.tool("Page.getNavigationHistory", json!({})).await;
    let entries = history["entries"].as_array().unwrap();
    let origin = format!("http://{}/", console.address);
    let is_of_console = |entry: &&Value| entry["url"].as_str().unwrap().starts_with(&origin);
    assert!(
        entries.iter().filter(is_of_console).count() > 6,
        "{history}"
    );
    let has_token = |entry: &Value| entry["url"].as_str().unwrap().contains(&console.token);
    assert!(!entries.iter().any(has_token), "{history}");
    assert_eq!(browser.eval("document.referrer").await, "");
    let cookies = browser.tool("Network.getAllCookies", json!({})).await;
    assert_eq!(cookies["cookies"], json!([]));

    let log = format!("{:?}", browser.read_log().await);
    assert!(!log.contains(&console.token), "{log}");
    assert_eq!(console.running.stderr.count(&console.token), 0);
    let log = fs::read_to_string(browser.chromium().profile().join("log"));
    assert!(!log.unwrap().contains(&console.token));
}

pub(super) async fn without_the_right_token_the_page_says_only_that_one_is_needed(
    browser: &mut Browser,
) {
    let fleet = Fleet::start().await;
    let _member = fleet.member("api-1").await;
    let console = Console::start(&fleet, &[]);
    let page = format!("http://{}/", console.address);
    let words = "main.textContent.startsWith('Token needed')";

    browser.goto(&page).await;
    browser.until("a token is asked for", words).await;
    assert_nothing_is_told(browser).await;

    let wrong = "0".repeat(console.token.len());
    browser.keys(&format!("{wrong}\n")).await;
    browser
        .until(
            "it is refused",
            "main.textContent.includes('does not accept')",
        )
        .await;
    assert_nothing_is_told(browser).await;

    // Pasted as it was printed.
    let printed = format!("{page}#{}", console.token);
    browser.click("#token").await;
    browser.keys(&format!("{printed}\n")).await;
    browser.until_live().await;
    browser.until_text("api-1").await;
    assert!(!browser.url().await.contains(&console.token));
}

async fn assert_nothing_is_told(browser: &Browser) {
    let text = browser.text().await;
    for word in ["shop", "redis://", "api-1", "Members", "read-only"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
}

pub(super) async fn a_page_whose_console_was_restarted_goes_on_with_the_new_token(
    browser: &mut Browser,
) {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let console = Console::start(&fleet, &[]);
    browser.enter(&console).await;
    browser.show("events").await;
    browser
        .run("globalThis.isTheSame = true", json!(null))
        .await;

    let address = console.address;
    drop(console);
    browser.until_text("Reconnecting").await;
    let console = start_at(&fleet, address);
    browser.until_text("Token needed").await;
    browser.keys(&format!("{}\n", console.token)).await;
    browser.until_live().await;
    browser.show("events").await;
    bus.send_to_all("after.restart", &1).await.unwrap();
    browser.until_text("after.restart").await;
    assert_eq!(browser.eval("isTheSame").await, true, "it was loaded again");
}
