//! Shared values, maps and counters.

use serde_json::{Value, json};
use tidings::codec::Format;

use super::client::Console;
use crate::fleet::Fleet;

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
    for number in 0..502 {
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
    let users = console.api("/api/state/map?name=users");
    assert_eq!(
        (&users["count"], &users["is_complete"]),
        (&json!(502), &json!(false))
    );
    assert_eq!(users["entries"].as_array().unwrap().len(), 500);
    let rest = console.api("/api/state/map?name=users&offset=500");
    assert_eq!(rest["entries"].as_array().unwrap().len(), 2);
    assert_eq!(rest["is_complete"], true);
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
        "/api/state/map?name=users&offset=-1",
        "/api/state/counter?name=%0d%0aX",
    ] {
        assert_eq!(console.with_token(path).status, 400, "{path}");
    }
}
