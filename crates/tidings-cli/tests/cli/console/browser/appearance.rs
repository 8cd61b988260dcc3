//! The look of the pages on wide and narrow screens, and the ways to reach them.

use std::fs;

use serde_json::{Value, json};
use tidings::{Bus, HandlerError};

use super::contract::two_versions;
use super::session::{Browser, artifacts};
use crate::console::client::Console;
use crate::fleet::Fleet;
use crate::listen::publish_gap_and_unreadable;

const PAGES: [&str; 7] = [
    "overview", "members", "events", "gaps", "state", "redis", "contract",
];

/// The keys Tab, Enter and Escape of `WebDriver`.
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

/// Starts a fleet that has something on each page.
async fn populated() -> (Fleet, Bus) {
    let fleet = Fleet::start().await;
    let bus = fleet.member_with("api-1", |bus| {
        let bus = bus.role("api").version("1.4.0");
        let bus = bus.on("order.placed", async |_: Value| {});
        bus.on("mail.sent", async |_: Value| {
            Err::<(), HandlerError>("mailbox full".into())
        })
    });
    let bus = bus.await;
    let limits = json!({ "per_minute": 90, "burst": null, "is_strict": true, "plans": ["free"] });
    bus.shared("limits").unwrap().set(&limits).await.unwrap();
    let users = bus.map::<u32, Value>("users").unwrap();
    users.set(&7, &json!({ "name": "Ada" })).await.unwrap();
    bus.counter("visits").unwrap().add(1_042).await.unwrap();
    two_versions(&fleet, &bus).await;
    (fleet, bus)
}

/// Opens what a page hides at first, and waits until it is there.
async fn unfold(browser: &Browser, page: &str) {
    let (opened, shown) = match page {
        "members" => (Some(".expand"), "Last failures"),
        "events" => (Some(".events li .line"), "Number"),
        "overview" | "gaps" => (None, "mailbox full"),
        "state" => (None, "limits"),
        "redis" => (None, "Round trip"),
        "contract" => (None, "Instead:"),
        other => panic!("{other}"),
    };
    if let Some(opened) = opened {
        let exists = format!("document.querySelector('{opened}')");
        browser.until("it can be opened", &exists).await;
        // The page remembers what was opened before.
        let is_open = format!("{exists}.ariaExpanded === 'true'");
        if browser.eval(&is_open).await == false {
            browser.click(opened).await;
        }
    }
    browser.until_text(shown).await;
    let details = match page {
        "state" => Some(("limits", "per_minute")),
        "contract" => Some(("user.renamed", ".address.city")),
        _ => None,
    };
    if let Some((name, shown)) = details {
        browser.press(name).await;
        browser.until_text(shown).await;
    }
}

/// Returns what axe finds that is serious or critical.
pub(super) async fn faults(browser: &Browser) -> Value {
    let run =
        "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations
        .filter((it) => ['serious', 'critical'].includes(it.impact))
        .map((it) => [it.id, it.nodes.map((node) => [node.html, node.failureSummary])]))";
    browser.eval(run).await
}

pub(super) async fn load_axe(browser: &Browser) {
    let file = artifacts().join("axe/node_modules/axe-core/axe.min.js");
    let axe = fs::read_to_string(file)
        .expect("axe-core is not installed: `cargo xtask test` installs it");
    browser
        .tool("Runtime.evaluate", json!({ "expression": axe }))
        .await;
}

pub(super) async fn all_pages_are_accessible_in_light_and_dark_and_fit_a_narrow_screen(
    browser: &mut Browser,
) {
    let (fleet, bus) = populated().await;
    let console = Console::start(&fleet, &[]);
    browser.enter(&console).await;
    load_axe(browser).await;
    browser.show("events").await;
    browser.until_live().await;
    bus.send_to_all("mail.sent", &json!({ "to": "ada@example.com" }))
        .await
        .unwrap();
    publish_gap_and_unreadable(&fleet).await;
    browser.until_text("mail.sent").await;
    browser.until_text("cannot be read").await;

    for scheme in ["light", "dark"] {
        browser.scheme(scheme).await;
        for page in PAGES {
            browser.size(1_280, 900).await;
            browser.show(page).await;
            unfold(browser, page).await;
            assert_eq!(faults(browser).await, json!([]), "{page}, {scheme}");
            browser.save(&format!("{page}-{scheme}")).await;

            browser.size(320, 640).await;
            let width = browser.eval("document.documentElement.scrollWidth").await;
            assert!(width.as_u64().unwrap() <= 320, "{page}: {width}");
            if scheme == "light" {
                browser.save(&format!("{page}-narrow")).await;
            }
        }
    }
    assert_eq!(faults(browser).await, json!([]), "the narrow page");
}

pub(super) async fn the_form_for_the_token_is_accessible(browser: &mut Browser) {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &[]);
    for scheme in ["light", "dark"] {
        browser.scheme(scheme).await;
        browser.goto(&format!("http://{}/", console.address)).await;
        browser.until_text("Token needed").await;
        load_axe(browser).await;
        assert_eq!(faults(browser).await, json!([]), "{scheme}");
        browser.save(&format!("token-{scheme}")).await;
    }
}

/// Returns the text of the element with the focus, or else its id.
async fn focused(browser: &Browser) -> String {
    let focused = "document.activeElement.textContent || document.activeElement.id";
    let focused = browser.eval(focused).await;
    focused.as_str().unwrap().to_owned()
}

pub(super) async fn everything_is_reached_with_the_keyboard(browser: &mut Browser) {
    let (fleet, bus) = populated().await;
    let console = Console::start(&fleet, &[]);
    browser.enter(&console).await;
    browser.keys(TAB).await;
    assert_eq!(focused(browser).await, "Skip to the content");
    browser.keys(ENTER).await;
    assert_eq!(browser.eval("document.activeElement.id").await, "main");
    for (number, page) in PAGES.iter().enumerate() {
        browser.keys(&(number + 1).to_string()).await;
        let title = format!("document.title.toLowerCase().startsWith('{page}')");
        browser.until("the page is open", &title).await;
    }

    // A card is gone with its page.
    browser.keys("1").await;
    browser
        .until("it is open", "document.querySelector('.card')")
        .await;
    browser
        .run("document.querySelector('.card').focus()", Value::Null)
        .await;
    browser.keys(ENTER).await;
    browser
        .until("it is open", "document.title.startsWith('Events')")
        .await;
    assert_eq!(browser.eval("document.activeElement.id").await, "main");

    browser.keys("3").await;
    browser
        .until("it is open", "document.title.startsWith('Events')")
        .await;
    browser.until_live().await;
    bus.send_to_all("order.placed", &json!({ "order": 7 }))
        .await
        .unwrap();
    browser.until_text("order.placed").await;

    browser.keys("/3").await;
    assert_eq!(
        browser
            .eval("[document.activeElement.id, filter.value]")
            .await,
        json!(["filter", "3"])
    );
    browser.keys(ESCAPE).await;
    assert_eq!(browser.eval("document.activeElement.tagName").await, "BODY");

    // From the filter through all buttons to the first event.
    browser.keys("/").await;
    let mut seen = Vec::new();
    while !seen
        .last()
        .is_some_and(|it: &String| it.contains("order.placed"))
    {
        assert!(seen.len() < 10, "{seen:?}");
        browser.keys(TAB).await;
        seen.push(focused(browser).await);
        let outline = "getComputedStyle(document.activeElement).outlineStyle";
        assert_eq!(browser.eval(outline).await, "solid", "{seen:?}");
    }
    assert_eq!(seen[..4], ["Pause", "Clear", "Wrap", "Raw"]);
    browser.keys(ENTER).await;
    browser.until_text("\"order\": 7").await;

    // Space scrolls what can be scrolled, and pauses the list elsewhere.
    let paused = "document.querySelector('.tools [aria-pressed]').ariaPressed";
    browser.keys(TAB).await;
    assert_eq!(
        browser.eval("document.activeElement.localName").await,
        "pre"
    );
    browser.keys(" ").await;
    assert_eq!(browser.eval(paused).await, "false");
    browser.run("main.focus()", Value::Null).await;
    browser.keys(" ").await;
    assert_eq!(browser.eval(paused).await, "true");
}
