//! Texts of hostile programs: the page shows them as texts.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};
use tidings::{Bus, HandlerError, NodeId};

use super::session::Browser;
use crate::console::client::Console;
use crate::console::foreign::{self, Program};
use crate::fleet::{Fleet, NAMESPACE};
use crate::support::eventually;

/// Texts that are shown as they are.
const PLAIN: [&str; 32] = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><img src=x onerror=\"alert(1)",
    "'><svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<iframe src=javascript:alert(1)>",
    "<a href=javascript:alert(1)>click</a>",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<link rel=stylesheet href=//evil.example/a.css>",
    "<style>*{display:none}</style>",
    "<form action=//evil.example><button>Go",
    "<object data=//evil.example></object>",
    "<embed src=//evil.example>",
    "<video><source onerror=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<math><mtext><img src=x onerror=alert(1)>",
    "<template><img src=x onerror=alert(1)></template>",
    "<plaintext><xmp><!--<noscript>",
    "]]><![CDATA[<b>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "${alert(1)} {{7*7}} <%= 7*7 %> #{7*7}",
    "__proto__",
    "constructor",
    "#/state?kind=map&name=users",
    "' OR 1=1 -- \\",
    "👩‍👩‍👧 Ünïcödé 漢字",
];

/// Texts with characters that are shown as their codes, or cut.
const CODED: [(&str, &str); 8] = [
    ("nul\0<b>", r"nul\u0000<b>"),
    ("\u{1b}[2J\u{1b}[31mred", r"\u001b[2J\u001b[31mred"),
    ("right\u{202e}gnp.exe", r"right\u202egnp.exe"),
    ("\u{2066}isolated\u{2069}", r"\u2066isolated\u2069"),
    ("zero\u{200b}width\u{feff}", r"zero\u200bwidth\ufeff"),
    ("line\u{2028}separator", r"line\u2028separator"),
    ("\u{7f}\u{9b}31m", r"\u007f\u009b31m"),
    (
        "Z\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
        "Z\u{301}\u{301}\u{301}\u{301}…",
    ),
];

/// The elements of the page.
const ELEMENTS: &str = "html head meta title link script body a header svg rect path line g span nav
    main noscript p h1 h2 h3 div input label kbd section ol ul li button time bdi small strong b code
    dl dt dd pre table caption thead tbody tr th td article meter form details summary dialog textarea
    select option datalist fieldset legend";

/// The things that no text may become: other elements, code in attributes, and addresses.
const FOREIGN: &str = "
    const known = new Set(arguments[0].split(/\\s+/));
    const isForeign = (element) => !known.has(element.localName)
        || element.getAttributeNames().some((name) => name.startsWith('on') || name === 'style')
        || (element.hasAttribute('src') && element.localName !== 'script')
        || (element.localName === 'a' && !/^#(main|\\/)/.test(element.getAttribute('href')));
    const foreign = [...document.querySelectorAll('*')].filter(isForeign);
    // A number that is none breaks a line of a chart.
    const broken = [...document.querySelectorAll('[d*=NaN], [d*=undefined], [height*=NaN]')];
    const once = ['script', 'title', 'base', 'style'].filter((name) => document.querySelectorAll(name).length > 1);
    const text = document.body.innerText.match(/NaN|undefined|\\[object|function /g) ?? [];
    return [...[...foreign, ...broken].map((element) => element.outerHTML), ...once, ...text];";

/// Each text, and how it is shown.
fn texts() -> impl Iterator<Item = (&'static str, &'static str)> {
    PLAIN.iter().map(|text| (*text, *text)).chain(CODED)
}

/// Returns the text as JSON, as the page shows it.
fn quoted((text, shown): (&str, &str)) -> String {
    let mut json = json!(text).to_string();
    if !shown.contains("\\u") {
        return json.replace(text, shown);
    }
    for character in text.chars().filter(|it| !shown.contains(*it)) {
        let mut code = String::new();
        write!(code, "\\u{:04x}", u32::from(character)).unwrap();
        json = json.replace(character, &code);
    }
    json
}

fn id_of(index: usize) -> NodeId {
    NodeId::new(1_000 + index as u128)
}

/// Lists members with hostile descriptions, which no bus would write.
async fn list_members(fleet: &Fleet) {
    let key = |name: &str| format!("tidings:{{{NAMESPACE}}}:{name}");
    for (index, (text, _)) in texts().enumerate() {
        let description =
            json!({ "started": 1, "name": text, "role": text, "version": text, "host": text });
        foreign::list(fleet, id_of(index), description).await;
        // Keys that only other programs make.
        for kind in ["shared", "map", "counter"] {
            let key = key(&format!("{kind}:{text}"));
            fleet.redis.command(&["SET", &key, text]).await;
        }
    }
}

/// Publishes an event of each of these members, and one with a hostile name, which is unreadable.
async fn publish_events(fleet: &Fleet) {
    let channel = format!("tidings:{{{NAMESPACE}}}");
    for (index, (text, _)) in texts().enumerate() {
        for (sequence, event) in ["hostile", text].into_iter().enumerate() {
            let event = json!({ "event": event, "data": { text: text }, "meta": { "note": text } });
            let frame = json!({ "v": 1, "from": id_of(index).to_string(), "seq": sequence + 1,
                "events": [event] });
            fleet
                .redis
                .command(&["PUBLISH", &channel, &frame.to_string()])
                .await;
        }
    }
}

/// Starts a member that fails with the text of each event `fail`.
async fn failing(fleet: &Fleet) -> Bus {
    let failing = fleet.member_with("api-1", |bus| {
        bus.on("fail", async |text: String| {
            Err::<(), HandlerError>(text.into())
        })
    });
    failing.await
}

async fn assert_nothing_foreign(browser: &Browser) {
    let foreign = browser.run(FOREIGN, json!(ELEMENTS)).await;
    assert_eq!(foreign, json!([]));
    browser.check_violations().await;
}

/// Waits until these elements have the texts, and perhaps others.
async fn until_shown(browser: &Browser, selector: &str, texts: impl Iterator<Item = String>) {
    let wanted: BTreeSet<_> = texts.collect();
    let list = format!("[...document.querySelectorAll('{selector}')].map((it) => it.textContent)");
    let wait = format!(
        "((all) => {}.every((it) => all.has(it)))(new Set({list}))",
        json!(wanted)
    );
    browser.until(selector, &wait).await;
    assert_nothing_foreign(browser).await;
}

pub(super) async fn forty_hostile_texts_are_shown_as_texts_wherever_they_come_from(
    browser: &mut Browser,
) {
    let fleet = Fleet::start().await;
    let bus = failing(&fleet).await;
    list_members(&fleet).await;
    let map = bus.map::<String, String>("users").unwrap();
    for (text, _) in texts() {
        map.set(&text.to_owned(), &text.to_owned()).await.unwrap();
    }
    let console = Console::start(&fleet, &["--timeout", "300ms"]);
    browser.enter(&console).await;
    let shown = || texts().map(|(_, shown)| shown.to_owned());

    browser.show("members").await;
    until_shown(browser, ".member th .strong", shown()).await;
    for cell in ["Role", "Version", "Host"] {
        until_shown(browser, &format!(".member [data-label={cell}]"), shown()).await;
    }
    events(&fleet, browser).await;
    failures(&console, &bus, browser).await;
    state(browser).await;
    rates(browser).await;
    filters(browser).await;
    contracts(&fleet, &bus, browser).await;
}

async fn events(fleet: &Fleet, browser: &Browser) {
    browser.show("events").await;
    browser.until_live().await;
    publish_events(fleet).await;
    let shown = || texts().map(|(_, shown)| shown.to_owned());
    until_shown(browser, ".events .sender", shown()).await;
    let losses = "document.querySelectorAll('.events .loss').length >= 38";
    browser.until("frames that cannot be read", losses).await;
    let open = "document.querySelectorAll('.events .line').forEach((it) => it.click())";
    browser.run(open, Value::Null).await;
    until_shown(browser, ".events .json .str", texts().map(quoted)).await;
    until_shown(browser, ".events .json .key", texts().map(quoted)).await;
    until_shown(browser, ".events .facts dd bdi", shown()).await;
}

/// Events may be named as what each object of JavaScript has.
async fn rates(browser: &Browser) {
    // From the stream, and from what the console kept before the page was opened.
    for _ in 0..2 {
        browser.show("overview").await;
        browser.until_text("What went wrong last").await;
        for event in ["__proto__", "constructor", "hostile"] {
            let drawn = format!(
                "[...document.querySelectorAll('.chart .legend li')].some((it) =>
                    /^{event}[0-9.]+\\/s$/.test(it.textContent))"
            );
            browser.until("its rate is shown", &drawn).await;
        }
        let lines = "[...document.querySelectorAll('.chart .line')].filter((it) =>
            /L[0-9.]+ [0-9.]+$/.test(it.getAttribute('d'))).length >= 3";
        browser.until("the lines are drawn", lines).await;
        assert_nothing_foreign(browser).await;
        browser.driver().post("/refresh", json!({})).await;
        browser.until_live().await;
    }
}

/// A member remembers its last failures only, so that they come in groups.
async fn failures(console: &Console, bus: &Bus, browser: &Browser) {
    browser.show("gaps").await;
    let mut incidents = Value::Null;
    for (group, number) in PLAIN.chunks(8).zip(1..) {
        for text in group {
            bus.send_to_all("fail", text).await.unwrap();
        }
        eventually("the failures are known", || {
            incidents = console.api("/api/gaps");
            let texts = incidents["incidents"].as_array().unwrap().iter();
            let failures = texts.filter(|it| it["text"].as_str().unwrap().starts_with("fail ("));
            failures.count() == 8 * number
        });
    }
    assert!(incidents.to_string().contains(PLAIN[0]), "{incidents}");
    let texts = incidents["incidents"].as_array().unwrap().iter();
    let texts = texts.map(|it| it["text"].as_str().unwrap().to_owned());
    until_shown(browser, ".incidents .what", texts).await;
}

async fn state(browser: &Browser) {
    let shown = || texts().map(|(_, shown)| shown.to_owned());
    browser.show("state").await;
    until_shown(browser, ".tree button", shown()).await;
    // One that cannot be read, and the map of hostile entries.
    browser.press(PLAIN[2]).await;
    browser
        .until("its name is shown", "document.querySelector('.detail h2')")
        .await;
    assert_nothing_foreign(browser).await;
    browser.show("state?kind=map&name=users").await;
    until_shown(browser, ".detail th .code", shown()).await;
    let open = "document.querySelectorAll('.detail summary').forEach((it) => it.click())";
    browser.run(open, Value::Null).await;
    until_shown(browser, ".detail .json .str", texts().map(quoted)).await;
}

/// Opens the page of events with each text as the filter in the address.
async fn filters(browser: &Browser) {
    for (text, _) in texts() {
        let address = "location.hash = `#/events?filter=${encodeURIComponent(arguments[0])}`";
        browser.run(address, json!(text)).await;
        let filter = format!(
            "document.getElementById('filter')?.value === {}",
            json!(text)
        );
        browser.until("the filter has the text", &filter).await;
    }
    assert_nothing_foreign(browser).await;
}

/// Contracts that break each other at names and fields that are hostile texts.
async fn contracts(fleet: &Fleet, bus: &Bus, browser: &Browser) {
    let contract = |id: &str| {
        let named = texts().map(|(text, _)| {
            let fields = json!({ text: { "type": id }, "one": { "enum": [text, "other"] } });
            let schema = json!({ "type": "object", "required": [text], "properties": fields });
            let event = json!({ "both": schema, "response": { "both": schema }, "since": text,
                "handled_by": [text], "alias": { text: [text] } });
            (text.to_owned(), event)
        });
        let events: serde_json::Map<_, _> = named.collect();
        json!({ "events": events, "values": events })
    };
    let programs = [
        Program::new(PLAIN[0], PLAIN[2], &contract("string")),
        Program::new(PLAIN[3], PLAIN[4], &contract("integer")),
        Program::announcing(PLAIN[5], PLAIN[6], "0123456789abcdef", PLAIN[0].to_owned()),
    ];
    foreign::start(fleet, bus, &programs).await;
    browser.show("contract").await;
    let shown = || texts().map(|(_, shown)| shown.to_owned());
    until_shown(browser, ".tree button", shown()).await;
    browser.until_text("it is not a contract").await;
    let breaks = "document.querySelectorAll('.breaks li').length >= 50";
    browser.until("the breaks are listed", breaks).await;
    for (_, shown) in [
        (PLAIN[2], PLAIN[2]),
        ("constructor", "constructor"),
        CODED[2],
    ] {
        let press = "[...document.querySelectorAll('.tree button')].find((it) =>
            it.textContent === arguments[0]).click()";
        browser.run(press, json!(shown)).await;
        let path = format!(
            "[...document.querySelectorAll('.detail th')].some((it) => it.textContent === {})",
            json!(format!(".{shown}"))
        );
        browser.until("its fields are shown", &path).await;
        assert_nothing_foreign(browser).await;
    }
}
