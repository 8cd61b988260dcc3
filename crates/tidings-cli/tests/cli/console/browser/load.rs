//! The page under load, and while nobody looks: minutes, and figures. They run one at a time in
//! `cargo xtask test --long`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::session::Browser;
use crate::console::client::Console;
use crate::console::events::send;
use crate::console::observer::{SIGNS_OF_LIFE, commands_in};
use crate::fleet::Fleet;

const PER_SECOND: u64 = 10_000;
const SECONDS: u64 = 5;

/// Records how long the page takes from a click to the picture after it, if more than 16 ms.
const MEASURE: &str = "globalThis.clicks = [];
    new PerformanceObserver((list) => clicks.push(...list.getEntries()
        .filter((it) => it.name === 'click').map((it) => it.duration)))
        .observe({ type: 'event', durationThreshold: 16 });";

/// Returns the milliseconds from a change of the address until an element is there.
const OPEN: &str = "return (async ([address, element]) => {
    const began = performance.now();
    location.hash = address;
    while (!document.querySelector(element)) await new Promise(requestAnimationFrame);
    return performance.now() - began;
})(arguments[0])";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures"]
async fn ten_thousand_events_a_second_are_counted_and_the_page_answers_clicks() {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let console = Console::start(&fleet, &[]);
    let browser = Browser::open(&console).await;
    browser.show("events?filter=*.even").await;
    browser.until_live().await;
    browser.run(MEASURE, Value::Null).await;

    let began = Instant::now();
    let flood = tokio::spawn(async move { send(&bus, PER_SECOND, SECONDS).await });
    let mut memory = Vec::new();
    while !flood.is_finished() {
        browser.press("Wrap").await;
        memory.push(browser.chromium().largest_tab());
        sleep(Duration::from_millis(250)).await;
    }
    flood.await.unwrap();
    let took = began.elapsed();
    let all = PER_SECOND * SECONDS;
    let arrived = format!("Number(document.querySelector('.sums').dataset.arrived) === {all}");
    browser.until("all events are counted", &arrived).await;

    let sums = browser
        .eval("({ ...document.querySelector('.sums').dataset })")
        .await;
    let sum = |name: &str| sums[name].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(sum("shown") + sum("filtered") + sum("notshown"), all);
    assert_eq!(sum("filtered"), all / 2);
    let clicks = browser.eval("clicks").await;
    let slowest = clicks
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_f64)
        .fold(0.0, f64::max);
    let most = memory.iter().max().unwrap();
    println!(
        "{all} events in {took:?}: {sums}; tab {most} MB; slowest click {slowest} ms of {clicks}"
    );
    assert!(*most < 150, "{memory:?}");
    assert!(slowest < 200.0, "{clicks}");
    browser.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures"]
async fn pages_open_within_a_second_with_100_000_keys() {
    let fleet = Fleet::start().await;
    for kind in ["map", "shared", "counter", "other"] {
        let prefix = format!("tidings:{{shop}}:{kind}:name");
        fleet
            .redis
            .command(&["DEBUG", "POPULATE", "25000", &prefix])
            .await;
    }
    let console = Console::start(&fleet, &[]);
    let browser = Browser::open(&console).await;
    for (page, has) in [("state", ".tree li"), ("redis", ".server")] {
        let mut fastest = f64::INFINITY;
        // Another program may have taken the processor.
        for _ in 0..3 {
            browser.show("gaps").await;
            let open = json!([format!("#/{page}"), has]);
            let took = browser.run(OPEN, open).await.as_f64().unwrap();
            fastest = fastest.min(took);
        }
        println!("{page}: {fastest} ms");
        assert!(fastest < 1_000.0, "{page}: {fastest} ms");
    }
    browser.until_text("100,000").await;
    browser.save("state-100000").await;
    let stats = fleet.redis.cli(&["INFO", "commandstats"]).await;
    assert!(
        stats.contains("cmdstat_scan:") && !stats.contains("cmdstat_keys:"),
        "{stats}"
    );
    browser.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes a minute"]
async fn a_hidden_page_causes_only_signs_of_life_and_two_looks_at_the_members_in_a_minute() {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &[]);
    let browser = Browser::open(&console).await;
    browser.show("events").await;
    browser.until_live().await;
    let looking = commands_in(&fleet, Duration::from_secs(2)).await;
    let is_sign = |command: &String| SIGNS_OF_LIFE.contains(&&**command);
    assert!(!looking.iter().all(is_sign), "{looking:?}");

    browser.new_tab().await;
    // The last look ends.
    sleep(Duration::from_secs(3)).await;
    let hidden = commands_in(&fleet, Duration::from_mins(1)).await;
    // A bus that has once read the member list compares it every 30 s. The list is empty, so the script
    // tries whether Redis rejects writes.
    let of_list = ["evalsha", "time", "zrange", "hget", "zadd"];
    let is_known = |it: &String| is_sign(it) || of_list.contains(&&**it);
    assert!(hidden.iter().all(is_known), "{hidden:?}");
    let stats = fleet.redis.cli(&["INFO", "commandstats"]).await;
    let scripts = stats
        .lines()
        .find(|line| line.starts_with("cmdstat_evalsha:"));
    let calls = scripts.map_or(0, |line| {
        let (_, calls) = line.split_once("calls=").unwrap();
        calls.split(',').next().unwrap().parse().unwrap()
    });
    assert!(calls <= 2, "{stats}");
    browser.finish().await;
}
