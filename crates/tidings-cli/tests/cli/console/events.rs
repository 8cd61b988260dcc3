//! The stream of events.

use std::time::Duration;

use serde_json::{Value, json};
use tidings::codec::Format;
use tidings::{Bus, HandlerError, Journal};
use tokio::time::{MissedTickBehavior, interval};

use super::client::{Console, Stream};
use crate::fleet::Fleet;
use crate::listen::publish_gap_and_unreadable;

fn number(counts: &Value, name: &str) -> u64 {
    counts[name].as_u64().unwrap()
}

/// Returns whether all that arrived is accounted for.
fn adds_up(counts: &Value) -> bool {
    let number = |name| number(counts, name);
    number("arrived") == number("shown") + number("filtered") + number("not_shown")
}

/// Waits until this many events arrived, and returns the counts and the number of rows until then.
fn counts(stream: &mut Stream, arrived: u64) -> (Value, u64) {
    let mut rows = 0;
    loop {
        let (kind, message) = stream.next();
        match &*kind {
            "rows" => {
                let events = message["rows"].as_array().unwrap().iter();
                rows += events.filter(|row| row["kind"] == "event").count() as u64;
            }
            "counts" => {
                assert!(adds_up(&message), "{message}");
                assert!(number(&message, "arrived") <= arrived, "{message}");
                if number(&message, "arrived") == arrived {
                    return (message, rows);
                }
            }
            _ => {}
        }
    }
}

/// Sends this many events a second for this many seconds.
pub(super) async fn send(bus: &Bus, per_second: u64, seconds: u64) {
    let mut ticks = interval(Duration::from_millis(10));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let each = per_second / 100;
    for _ in 0..100 * seconds {
        ticks.tick().await;
        for number in 0..each {
            let name = if number % 2 == 0 {
                "tick.even"
            } else {
                "tick.odd"
            };
            bus.feed(name, &json!({ "number": number })).await.unwrap();
        }
    }
    bus.flush().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_rows_with_their_payloads_decoded() {
    let fleet = Fleet::start().await;
    let json = fleet.member("api-1").await;
    let packed = fleet
        .member_with("api-2", |bus| bus.format(Format::MessagePack))
        .await;
    let console = Console::start(&fleet, &[]);
    let mut stream = console.stream("events=true");
    stream.find("look", |_| true);

    let payload = json!({ "name": "<script>" });
    let sent = json.send_to_all("user.renamed", &payload);
    sent.header("tenant", "acme").await.unwrap();
    packed
        .send_to(json.id(), "user.deleted", &json!({ "id": 9 }))
        .await
        .unwrap();

    let renamed = stream.row(|row| row["name"] == "user.renamed");
    assert_eq!(renamed["data"], json!({ "name": "<script>" }));
    assert_eq!(renamed["raw"], r#"{"name":"<script>"}"#);
    assert_eq!(renamed["sender_name"], "api-1");
    assert_eq!(renamed["sender"], json!(json.id()));
    assert_eq!(renamed["headers"], json!({ "tenant": "acme" }));
    assert_eq!(renamed["to"], "all");
    let deleted = stream.row(|row| row["name"] == "user.deleted");
    assert_eq!(deleted["data"], json!({ "id": 9 }));
    assert_eq!(
        (&deleted["format"], &deleted["is_hex"]),
        (&json!("msgpack"), &json!(true))
    );
    assert_eq!(deleted["to"], json!(json.id()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_counts_what_it_leaves_out() {
    let fleet = Fleet::start().await;
    let one = fleet.member("api-1").await;
    let two = fleet.member("api-2").await;
    let console = Console::start(&fleet, &[]);
    let mut named = console.stream("events=true&name=user.*,tick");
    let mut from = console.stream("events=true&sender=api-2");
    let mut with_text = console.stream("events=true&text=ADA");
    for stream in [&mut named, &mut from, &mut with_text] {
        stream.find("look", |_| true);
    }
    for bus in [&one, &two] {
        bus.send_to_all("user.renamed", &json!({ "name": "Ada" }))
            .await
            .unwrap();
        bus.send_to_all("order.placed", &json!({ "name": "Bob" }))
            .await
            .unwrap();
    }
    for stream in [&mut named, &mut from, &mut with_text] {
        let (counts, rows) = counts(stream, 4);
        assert_eq!(
            (number(&counts, "shown"), number(&counts, "filtered")),
            (2, 2)
        );
        assert_eq!(rows, 2);
    }
    let wrong = console.with_token("/api/stream?events=maybe");
    assert_eq!(wrong.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_and_unreadable_frames_are_rows() {
    let fleet = Fleet::start().await;
    let console = Console::start(&fleet, &[]);
    let mut stream = console.stream("events=true&name=nothing");
    stream.find("look", |_| true);
    publish_gap_and_unreadable(&fleet).await;
    let gap = stream.row(|row| row["kind"] == "gap");
    assert_eq!(
        (&gap["missed"], &gap["reason"]),
        (&json!(3), &json!("missed"))
    );
    assert!(gap["text"].as_str().unwrap().contains("did not arrive"));
    let unreadable = stream.row(|row| row["kind"] == "unreadable");
    assert!(unreadable["text"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_slow_viewer_does_not_see_is_counted_exactly_at_10_000_events_a_second() {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let console = Console::start(&fleet, &[]);
    let mut slow = console.stream("events=true");
    let mut filtering = console.stream("events=true&name=*.odd");
    slow.find("look", |_| true);
    filtering.find("look", |_| true);

    // Nobody reads while these are sent.
    send(&bus, 10_000, 2).await;

    let (all, rows) = counts(&mut slow, 20_000);
    assert_eq!(number(&all, "shown"), rows);
    assert_eq!(number(&all, "filtered"), 0);
    let (odd, rows) = counts(&mut filtering, 20_000);
    assert_eq!(number(&odd, "shown"), rows);
    // Those that the tap could not hold are not looked at.
    assert!(number(&odd, "filtered") <= 10_000);
    assert!(number(&odd, "shown") + number(&odd, "filtered") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_journal_are_seen_too() {
    let fleet = Fleet::start().await;
    let bus = fleet
        .member_with("api-1", |bus| bus.journal(Journal::default()))
        .await;
    let console = Console::start(&fleet, &[]);
    let mut stream = console.stream("events=true");
    stream.find("look", |_| true);
    let send = async {
        loop {
            bus.send_to_all("tick", &1).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let row = tokio::task::spawn_blocking(move || stream.row(|row| row["name"] == "tick"));
    tokio::select! {
        row = row => assert_eq!(row.unwrap()["data"], 1),
        () = send => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_payloads_are_not_sent_to_the_page() {
    let fleet = Fleet::start().await;
    let bus = fleet.member("api-1").await;
    let limits = bus.shared::<String>("limits").unwrap();
    limits.set(&"hush".to_owned()).await.unwrap();
    let console = Console::start(&fleet, &["--hide-payloads"]);
    let mut stream = console.stream("events=true");
    stream.find("look", |_| true);
    bus.send_to_all("tick", &"hush")
        .header("tenant", "hush")
        .await
        .unwrap();
    let row = stream.row(|row| row["name"] == "tick");
    assert_eq!(
        (&row["is_hidden"], &row["bytes"]),
        (&json!(true), &json!(6))
    );
    assert!(!row.to_string().contains("hush"), "{row}");
    let value = console.api("/api/state/shared?name=limits");
    assert!(!value.to_string().contains("hush"), "{value}");
    assert_eq!(
        console.with_token("/api/stream?events=true&text=h").status,
        400
    );
    bus.counter("visits").unwrap().add(1_042).await.unwrap();
    let visits = console.api("/api/state/counter?name=visits");
    assert_eq!(visits["error"], "payloads are hidden");
    assert!(!visits.to_string().contains("1042"), "{visits}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_does_not_quote_what_is_hidden_or_masked() {
    let fleet = Fleet::start().await;
    // An object whose key is the number 90, which JSON does not have.
    let set = r"redis.call('HSET', KEYS[1], '7', 'msgpack 1 n \129Z\1')";
    let set = ["EVAL", set, "1", "tidings:{shop}:map:users"];
    fleet.redis.command(&set).await;
    for (options, quotes) in [
        (&[][..], true),
        (&["--hide-payloads"], false),
        (&["--mask", "users:email"], false),
    ] {
        let console = Console::start(&fleet, options);
        let answer = console.with_token("/api/state/map?name=users&key=7");
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(answer.body.contains("90"), quotes, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_has_the_masks_of_all_names() {
    let fleet = Fleet::start().await;
    let answer = json!({ "id": 7, "email": "hush" });
    let bus = fleet.member_with("api-1", move |bus| {
        bus.on("user.get", move |_: Value| {
            let answer = answer.clone();
            async move { Ok::<_, HandlerError>(answer) }
        })
    });
    let bus = bus.await;
    let console = Console::start(&fleet, &["--mask", "user.*:email"]);
    let mut stream = console.stream("events=true&control=true");
    let mut searching = console.stream("events=true&control=true&text=hush");
    stream.find("look", |_| true);
    searching.find("look", |_| true);
    let given = bus.request::<Value, _, _>(bus.id(), "user.get", &7).await;
    assert_eq!(given.unwrap().value.unwrap()["email"], "hush");
    let row = stream.row(|row| row["name"] == "tidings.response" && row["data"]["id"] == 7);
    assert_eq!(row["data"], json!({ "id": 7, "email": "***" }));
    assert_eq!(
        (&row["is_masked"], &row["raw"]),
        (&json!(true), &Value::Null)
    );
    let found = searching.find("counts", |counts| number(counts, "arrived") >= 2);
    assert_eq!(number(&found, "shown"), 0, "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn masked_fields_are_not_sent_to_the_page_in_any_form() {
    let fleet = Fleet::start().await;
    let json = fleet.member("api-1").await;
    let packed = fleet.member_with("api-2", |bus| bus.format(Format::MessagePack));
    let packed = packed.await;
    let payload = json!({ "id": 7, "email": "hush", "more": [{ "email": ["hush"] }] });
    let masked = json!({ "id": 7, "email": "***", "more": [{ "email": "***" }] });
    let profile = json.shared::<Value>("user.profile").unwrap();
    profile.set(&payload).await.unwrap();
    let users = json.map::<u32, Value>("user.all").unwrap();
    users.set(&7, &payload).await.unwrap();

    let options = [
        "--mask",
        "user.*:email",
        "--mask",
        "*:secret",
        "--allow-write",
    ];
    let console = Console::start(&fleet, &options);
    let mut stream = console.stream("events=true");
    let mut searching = console.stream("events=true&text=hush");
    stream.find("look", |_| true);
    searching.find("look", |_| true);
    for bus in [&json, &packed] {
        bus.send_to_all("user.renamed", &payload).await.unwrap();
        let row = stream.row(|row| row["name"] == "user.renamed");
        assert_eq!(row["data"], masked);
        assert_eq!(
            (&row["is_masked"], &row["raw"]),
            (&json!(true), &Value::Null)
        );
        assert!(!row.to_string().contains("hush"), "{row}");
    }
    // What cannot be decoded is not shown as it is either.
    let frame = format!(
        "{{\"event\":\"user.renamed\",\"data\":{{\"email\":\"hush\"{}",
        "}}"
    );
    fleet
        .redis
        .command(&["PUBLISH", "tidings:{shop}", &frame])
        .await;
    let (counts, rows) = counts(&mut searching, 3);
    assert_eq!((number(&counts, "filtered"), rows), (3, 0));

    for path in [
        "shared?name=user.profile",
        "map?name=user.all",
        "map?name=user.all&key=7",
    ] {
        let value = console.api(&format!("/api/state/{path}"));
        assert!(!value.to_string().contains("hush"), "{value}");
        assert!(value.to_string().contains("***"), "{value}");
        assert_eq!(value["is_masked"], true, "{value}");
    }
    // A page would write the masks.
    let set = json!({ "do": "set", "name": "user.profile", "version": 1, "value": "{}" });
    let answer = console.post("/api/state/shared", &set.to_string());
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(**profile.refresh().await.unwrap().value().unwrap(), payload);
}
