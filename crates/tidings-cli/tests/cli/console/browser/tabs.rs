//! Several tabs with the page.

use serde_json::{Value, json};
use tidings::Bus;

use super::session::Browser;
use crate::console::client::Console;
use crate::fleet::Fleet;
use crate::support::eventually;

/// The streams that a console has at most.
const STREAMS: usize = 16;

/// Keeps the states of the stream that a tab shows, also while nobody sees it.
const RECORD: &str = "globalThis.record = [];
    const keep = () => record.push(live.textContent);
    new MutationObserver(keep).observe(live, { childList: true });";

pub(super) async fn of_eight_tabs_the_seen_one_is_live_and_the_others_hold_no_stream(
    browser: &mut Browser,
) {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let console = Console::start(&fleet, &[]);
    browser.enter(&console).await;
    let mut tabs = vec![browser.tab().await];
    while tabs.len() < 8 {
        browser.show("events").await;
        browser.run(RECORD, Value::Null).await;
        tabs.push(browser.new_tab().await);
        browser.enter(&console).await;
    }
    browser.show("events").await;
    browser.until_live().await;
    eventually("the hidden tabs hold no stream", || {
        free_streams(&console) == STREAMS - 1
    });
    send_and_see(browser, &bus, "first").await;

    // Whoever reads a tab shows it.
    for tab in &tabs[..7] {
        browser.switch(tab).await;
        browser.until_live().await;
        let states = ["paused in the background", "connecting", "live"];
        let seen = browser.eval("record.slice(-3)").await;
        assert_eq!(seen, json!(states));
        assert!(!browser.text().await.contains("first"));
    }
    send_and_see(browser, &bus, "second").await;
}

async fn send_and_see(browser: &Browser, bus: &Bus, event: &str) {
    bus.send_to_all(event, &1).await.unwrap();
    browser.until_text(event).await;
}

/// Returns how many streams the console still opens.
fn free_streams(console: &Console) -> usize {
    let mut streams = Vec::new();
    while let Ok(stream) = console.try_stream("") {
        streams.push(stream);
    }
    streams.len()
}
