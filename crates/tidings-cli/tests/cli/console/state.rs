//! Shared values, maps and counters.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tidings::codec::Format;

use super::client::Console;
use crate::fleet::Fleet;

/// Returns the keys on all pages of a map.
fn pages(console: &Console, map: &str) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut cursor = Some(String::new());
    let mut number = 0;
    while let Some(from) = cursor {
        let path = format!("/api/state/map?name={map}&cursor={from}");
        let page = console.api(&path);
        let entries = page["entries"].as_array().unwrap();
        assert!(entries.len() < 1_000, "{}", entries.len());
        keys.extend(
            entries
                .iter()
                .map(|it| it["key"].as_str().unwrap().to_owned()),
        );
        cursor = page["next"].as_str().map(str::to_owned);
        number += 1;
    }
    assert!(number > 1);
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn values_maps_and_counters_are_read_and_not_changed() {
    let fleet = Fleet::start().await;
    let packed = fleet.member_with("api-1", |bus| bus.format(Format::MessagePack));
    let bus = packed.await;
    bus.shared("limits")
        .unwrap()
        .set(&json!({ "per_minute": 60 }))
        .await
        .unwrap();
    let map = bus.map::<u32, Value>("users").unwrap();
    for number in 0..1_502 {
        map.set(&number, &json!({ "id": number })).await.unwrap();
    }
    bus.counter("visits").unwrap().add(7).await.unwrap();
    let console = Console::start(&fleet, &[]);
    let keys = fleet.redis.command(&["DBSIZE"]).await;

    let names = console.api("/api/state");
    assert_eq!(names["is_complete"], true);
    let expected = json!([
        { "kind": "shared", "name": "limits" },
        { "kind": "map", "name": "users" },
        { "kind": "counter", "name": "visits" },
    ]);
    assert_eq!(names["keys"], expected);
    let limits = console.api("/api/state/shared?name=limits");
    assert_eq!(
        (&limits["value"], &limits["version"]),
        (&json!({ "per_minute": 60 }), &json!(1))
    );
    let users = pages(&console, "users");
    assert_eq!(users.len(), 1_502);
    assert!(users.contains("0") && users.contains("1501"));
    let seventh = console.api("/api/state/map?name=users&key=7");
    assert_eq!(seventh["entries"][0]["value"], json!({ "id": 7 }));
    assert_eq!(console.api("/api/state/counter?name=visits")["value"], 7);
    assert_eq!(fleet.redis.command(&["DBSIZE"]).await, keys);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_invalid_or_too_large_says_so() {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    bus.shared("large")
        .unwrap()
        .set(&"x".repeat(100_000))
        .await
        .unwrap();
    let console = Console::start(&fleet, &[]);
    let large = console.api("/api/state/shared?name=large");
    assert_eq!(
        (&large["is_cut"], &large["value"]),
        (&json!(true), &Value::Null)
    );
    assert!(
        large["error"].as_str().unwrap().contains("100002 bytes"),
        "{large}"
    );
    assert_eq!(
        console.api("/api/state/shared?name=nothing")["is_set"],
        false
    );
    for path in [
        "/api/state/shared",
        "/api/state/shared?name=",
        "/api/state/shared?name=a%00b",
        "/api/state/map?name=users&cursor=-1",
        "/api/state/counter?name=%0d%0aX",
    ] {
        assert_eq!(console.with_token(path).status, 400, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_large_map_reads_no_more_than_a_page() {
    let fleet = Fleet::start().await;
    let fill = "for i=1,100000 do redis.call('HSET', KEYS[1], i, 'json 1 n {\"id\":'..i..'}') end";
    fleet
        .redis
        .command(&["EVAL", fill, "1", "tidings:{shop}:map:users"])
        .await;
    let console = Console::start(&fleet, &[]);
    fleet.redis.command(&["CONFIG", "RESETSTAT"]).await;
    let page = console.api("/api/state/map?name=users");
    assert_eq!(page["count"], 100_000);
    let entries = page["entries"].as_array().unwrap().len();
    assert!((400..700).contains(&entries), "{entries}");
    assert!(page["next"].is_string());
    let stats = fleet.redis.cli(&["INFO", "commandstats"]).await;
    assert!(stats.contains("cmdstat_hscan:calls=1,"), "{stats}");
    assert!(!stats.contains("hgetall"), "{stats}");
    let last = console.api("/api/state/map?name=users&key=100000");
    assert_eq!(last["entries"][0]["value"], json!({ "id": 100_000 }));
}
