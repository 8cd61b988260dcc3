//! The page of events.

use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use tidings::codec::Format;
use tidings::{Bus, HandlerOptions, Overflow};

use super::session::Browser;
use crate::console::client::Console;
use crate::fleet::Fleet;
use crate::listen::publish_gap_and_unreadable;

/// Bytes that are no text.
#[derive(Serialize)]
struct Upload {
    #[serde(serialize_with = "as_bytes")]
    content: [u8; 4],
}

fn as_bytes<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bytes(bytes)
}

pub(super) async fn an_event_is_on_the_page_within_a_second_decoded(browser: &mut Browser) {
    let fleet = Fleet::start().await;
    let api = fleet.member("api-1").await;
    let packed = fleet.member_with("job-1", |bus| bus.format(Format::MessagePack));
    let packed = packed.await;
    let console = Console::start(&fleet, &[]);
    browser.enter(&console).await;
    browser.show("events").await;
    browser.until_live().await;

    for number in 0..3 {
        let name = format!("tick.{number}");
        let sent = Instant::now();
        api.send_to_all(&*name, &json!({ "id": 7 })).await.unwrap();
        browser.until_text(&name).await;
        assert!(
            sent.elapsed() < Duration::from_secs(1),
            "{:?}",
            sent.elapsed()
        );
    }
    let row = "document.querySelector('.events li').innerText";
    let json = browser.eval(row).await.to_string();
    for part in ["api-1", "tick.2", r#"{\"id\":7}"#, "8 B"] {
        assert!(json.contains(part), "{part} in {json}");
    }

    packed
        .send_to_all("user.renamed", &json!({ "name": "Ada" }))
        .await
        .unwrap();
    browser.until_text(r#"{"name":"Ada"}"#).await;
    browser.until_text("MessagePack").await;

    let content = [0xde, 0xad, 0x00, 0xff];
    packed
        .send_to_all("file.added", &Upload { content })
        .await
        .unwrap();
    browser.until_text("file.added").await;
    browser.click(".events li:first-child button").await;
    browser.until_text("de ad 00 ff").await;
}

/// The four sums of the line above the list.
async fn sums(browser: &Browser) -> [u64; 4] {
    let names = ["shown", "filtered", "notshown", "arrived"];
    let sums = "({ ...document.querySelector('.sums').dataset })";
    let sums = browser.eval(sums).await;
    names.map(|name| sums[name].as_str().unwrap().parse().unwrap())
}

async fn send(bus: &Bus, name: &str) {
    bus.send_to_all(name, &json!({ "id": 7 })).await.unwrap();
}

pub(super) async fn the_list_is_filtered_paused_continued_and_cleared(browser: &mut Browser) {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let console = Console::start(&fleet, &[]);
    browser.enter(&console).await;
    browser.show("events").await;
    browser.until_live().await;

    browser.keys("/user.* from:api-1").await;
    browser.until_text("filter: user.* from:api-1").await;
    browser.until_live().await;
    send(&bus, "stock.changed").await;
    send(&bus, "user.renamed").await;
    browser.until_text("user.renamed").await;
    browser.until_text("1 hidden by the filter").await;
    assert!(!browser.text().await.contains("stock.changed"));

    // The address can be kept and opened again.
    let url = browser.url().await;
    assert!(
        url.ends_with("#/events?filter=user.*+from%3Aapi-1"),
        "{url}"
    );
    browser.goto("about:blank").await;
    browser.goto(&url).await;
    browser.until_live().await;
    assert_eq!(browser.eval("filter.value").await, "user.* from:api-1");
    send(&bus, "stock.counted").await;
    send(&bus, "user.deleted").await;
    browser.until_text("user.deleted").await;
    assert!(!browser.text().await.contains("stock.counted"));

    browser.keys(" ").await;
    browser.until_text("paused · 0 arrived since").await;
    send(&bus, "user.paused").await;
    browser.until_text("paused · 1 arrived since").await;
    browser.press("Go on").await;
    browser.until_text("paused: 1 not shown").await;
    send(&bus, "user.added").await;
    browser.until_text("user.added").await;
    assert!(!browser.text().await.contains("user.paused"));
    browser
        .until_text("2 shown + 1 hidden by the filter + 1 not shown = 4 arrived")
        .await;
    assert_eq!(sums(browser).await, [2, 1, 1, 4]);

    browser.press("Clear").await;
    let rows = "document.querySelectorAll('.events li').length === 0";
    browser.until("the list is empty", rows).await;
    send(&bus, "user.added").await;
    browser.until_text("user.added").await;

    // What was typed just before another page is opened is not the filter of that page.
    let leave = "filter.value = 'api';
        filter.dispatchEvent(new Event('input'));
        location.hash = '#/members';
        return new Promise((resume) => setTimeout(resume, 400))";
    browser.run(leave, Value::Null).await;
    let url = browser.url().await;
    assert!(url.ends_with("#/members"), "{url}");
}

pub(super) async fn losses_are_rows_where_they_happened(browser: &mut Browser) {
    let fleet = Fleet::start().await;
    let (slow, begun) = (
        HandlerOptions::new()
            .queue(1)
            .overflow(Overflow::DropNewest),
        20,
    );
    let member = fleet.member_with("search-1", |bus| {
        bus.on_with("tick", slow, async |_: Value| {
            tokio::time::sleep(Duration::from_mins(1)).await;
        })
    });
    let member = member.await;
    let console = Console::start(&fleet, &[]);
    browser.enter(&console).await;
    browser.show("events").await;
    browser.until_live().await;

    publish_gap_and_unreadable(&fleet).await;
    let losses = "[...document.querySelectorAll('.events .loss')].map((it) => it.innerText)";
    browser
        .until("two losses are listed", &format!("{losses}.length === 2"))
        .await;
    let losses = browser.eval(losses).await;
    let loss = |index: usize| losses[index].as_str().unwrap();
    assert!(loss(0).contains("cannot be read"), "{losses}");
    assert!(loss(1).contains("3 events of"), "{losses}");

    for number in 0..begun {
        member.send_to_all("tick", &number).await.unwrap();
    }
    browser.show("gaps").await;
    browser.until_text("search-1").await;
    let dropped = "[...document.querySelectorAll('.incidents .gap')]
        .some((it) => it.innerText.includes('queue'))";
    browser.until("the full queue is listed", dropped).await;
}

pub(super) async fn a_console_that_may_not_send_has_no_form_and_refuses_a_post(
    browser: &mut Browser,
) {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &[]);
    browser.enter(&console).await;
    for page in ["events", "state"] {
        browser.show(page).await;
        browser.until_live().await;
        let text = browser.text().await;
        assert!(!text.contains("Send") && !text.contains("Change"), "{text}");
        let fields = "[...document.querySelectorAll('main form, main textarea, main dialog')]
            .filter((it) => it.checkVisibility()).length";
        assert_eq!(browser.eval(fields).await, 0, "{page}");
    }
    let post = "fetch('/api/send', { method: 'POST', headers: {
        'Content-Type': 'application/json',
        Authorization: `Bearer ${sessionStorage.getItem('tidings-token')}` } }).then((it) => it.status)";
    let status = browser.eval(post).await;
    assert_eq!(status, 403);
}
