//! Shared values where Redis has unexpected data, rejects writes, or is away.

use std::time::Duration;

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tidings::{
    Bus, Failure, LoadError, SendFailure, Shared, SharedOptions, StoreError, Unconfirmed,
};
use tidings_testkit::{Node, Redis, wait_for};

use crate::shared_state::maps::{soon, user, users};
use crate::shared_state::raw_redis::{
    KEY, NOTIFICATION, announce, checking_often, connected, limit, subscription,
};

const SOON: Duration = Duration::from_secs(10);

async fn becomes(shared: &Shared<u64>, wanted: Option<u64>) {
    wait_for("the copy follows", SOON, async || {
        let known = shared.peek();
        known.is_some_and(|known| {
            let is_good = known.stale_since().is_none() && known.problem().is_none();
            is_good && known.value().map(|value| **value) == wanted
        })
    })
    .await;
}

async fn is_known(shared: &Shared<u64>) -> LoadError {
    wait_for("the problem is known", SOON, async || {
        shared.peek().is_some_and(|known| known.problem().is_some())
    })
    .await;
    shared.peek().unwrap().problem().unwrap().clone()
}

/// Writes this value, as a faulty program would.
async fn spoil(redis: &Redis, fields: &[&str]) {
    let words = [&["HSET", KEY], fields].concat();
    redis.command(&words).await;
    announce(redis, NOTIFICATION).await;
}

fn reported(node: &Node) -> usize {
    let failures = node.failures().all();
    let is_of_shared = |failure: &&std::sync::Arc<Failure>| matches!(***failure, Failure::Shared { ref shared, .. } if shared == "limit");
    failures.iter().filter(is_of_shared).count()
}

async fn until_reported(node: &Node) {
    wait_for("it is reported", SOON, async || reported(node) > 0).await;
}

#[tokio::test]
async fn a_key_of_another_type_is_named_in_the_error() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    redis.command(&["RPUSH", KEY, "x"]).await;
    let limit = limit(&node);

    let read = limit.get().await.unwrap_err();
    assert!(matches!(&read, LoadError::Foreign { words, .. } if words.contains("WRONGTYPE")));
    for changed in [
        limit.set(&1).await.map(drop),
        limit.update(|_| 1).await.map(drop),
        limit.clear().await,
    ] {
        let error = changed.unwrap_err();
        let is_foreign = |source: &LoadError| matches!(source, LoadError::Foreign { .. });
        assert!(
            matches!(&error, StoreError::Load { source, .. } if is_foreign(source)),
            "{error:?}"
        );
    }

    until_reported(&node).await;
    redis.command(&["DEL", KEY]).await;
    assert!(limit.get().await.unwrap().value().is_none());
    assert_eq!(reported(&node), 1);
}

#[tokio::test]
async fn a_key_of_another_type_affects_no_other_value() {
    let redis = Redis::start().await;
    let node = checking_often(&redis).await;
    let (limit, other) = (limit(&node), node.shared::<u64>("other").unwrap());
    limit.set(&1).await.unwrap();
    other.set(&1).await.unwrap();

    redis.command(&["DEL", KEY]).await;
    redis.command(&["RPUSH", KEY, "x"]).await;
    let other_key = "tidings:{default}:shared:other";
    let silently = ["HSET", other_key, "value", "2", "nonce", "b"];
    redis.command(&silently).await;

    becomes(&other, Some(2)).await;
    let problem = is_known(&limit).await;
    assert!(matches!(problem, LoadError::Foreign { .. }), "{problem:?}");
    let retained = limit.get().await.unwrap();
    assert_eq!(retained.value().map(|value| **value), Some(1));
}

#[tokio::test]
async fn a_payload_that_does_not_decode_leaves_the_older_value_until_a_good_one_comes() {
    let redis = Redis::start().await;
    let node = checking_often(&redis).await;
    let limit = limit(&node);
    limit.set(&1).await.unwrap();
    let mut changes = limit.watch();

    spoil(&redis, &["value", "\"one\"", "nonce", "spoiled"]).await;
    let problem = is_known(&limit).await;

    assert!(matches!(problem, LoadError::Decode { .. }), "{problem:?}");
    let retained = limit.get().await.unwrap();
    assert_eq!(retained.value().map(|value| **value), Some(1));
    assert!(limit.refresh().await.is_err());
    let refused = limit.update(|old| old.unwrap() + 1).await.unwrap_err();
    assert!(matches!(refused, StoreError::Load { .. }), "{refused:?}");
    for _ in 0..10 {
        announce(&redis, NOTIFICATION).await;
        limit.refresh().await.unwrap_err();
    }
    until_reported(&node).await;
    assert_eq!(reported(&node), 1);

    spoil(&redis, &["value", "2", "nonce", "healed"]).await;
    becomes(&limit, Some(2)).await;
    let newest = changes.changed().await.unwrap();
    assert_eq!(newest.value().map(|value| **value), Some(2));
    assert!(newest.problem().is_none());
}

#[tokio::test]
async fn a_notification_that_cannot_be_read_makes_the_copies_refresh() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let limit = limit(&node);
    let users = users(&node);
    limit.set(&0).await.unwrap();
    users.set(&7, &user("Ada")).await.unwrap();
    let nested = format!("{}1{}", "[".repeat(32), "]".repeat(32));
    let too_deep = NOTIFICATION.replace("}}", &format!(",\"value\":{nested}}}}}"));
    let frames = [
        &*too_deep,
        r#"{"event":"tidings.shared","data":7}"#,
        "{",
        "?",
    ];
    for (written, frame) in (1..).zip(frames) {
        let (value, nonce) = (written.to_string(), format!("n{written}"));
        let silently = ["HSET", KEY, "value", &value, "nonce", &nonce];
        redis.command(&silently).await;
        let key = "tidings:{default}:map:users";
        let entry = format!(r#"json 1 {nonce} {{"name":"{written}"}}"#);
        redis.command(&["HSET", key, "7", &entry]).await;
        let stamp = "tidings:{default}:map-stamp:users";
        redis.command(&["HSET", stamp, "nonce", &nonce]).await;

        announce(&redis, frame).await;

        becomes(&limit, Some(written)).await;
        wait_for("the map follows", SOON, async || {
            users.get(&7).await.unwrap().unwrap().name == value
        })
        .await;
    }
}

#[tokio::test]
async fn a_set_replaces_an_unreadable_value() {
    let redis = Redis::start().await;
    let (a, b) = redis.two_nodes().await;
    let (here, there) = (limit(&a), limit(&b));
    here.set(&1).await.unwrap();
    there.get().await.unwrap();
    spoil(&redis, &["value", "{", "nonce", "spoiled"]).await;
    is_known(&here).await;
    is_known(&there).await;

    here.set(&2).await.unwrap();

    becomes(&here, Some(2)).await;
    becomes(&there, Some(2)).await;
}

#[tokio::test]
async fn foreign_data_under_the_key_is_an_error_that_names_it() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let limit = limit(&node);
    for (fields, named) in [
        (
            &["format", "yaml", "value", "1", "nonce", "a", "version", "1"][..],
            "yaml",
        ),
        (
            &["format", "json", "value", "", "nonce", "b", "version", "1"],
            "empty",
        ),
        (
            &["format", "json", "value", "1", "nonce", "c", "version", "x"],
            "`x`",
        ),
        (
            &[
                "format", "json", "value", "[[1", "nonce", "d", "version", "1",
            ],
            "decode",
        ),
        (&["format", "json", "nonce", "d"], "`value`"),
        (&["format", "json", "value", "1", "version", "1"], "`nonce`"),
        (&["value", "1", "nonce", "e", "version", "1"], "`format`"),
    ] {
        redis.command(&["DEL", KEY]).await;
        redis.command(&[&["HSET", KEY], fields].concat()).await;

        let error = limit.get().await.unwrap_err();

        let text = tidings::report(&error).to_string();
        assert!(text.contains(named), "{text}");
    }
    redis.command(&["DEL", KEY]).await;
    assert!(limit.get().await.unwrap().value().is_none());
}

#[tokio::test]
async fn an_invalid_version_is_rejected_before_anything_is_written() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let limit = limit(&node);
    for version in ["-1", "x", "1.5"] {
        redis.command(&["HSET", KEY, "version", version]).await;

        let error = limit.set(&1).await.unwrap_err();

        assert!(matches!(error, StoreError::Load { .. }), "{error:?}");
        assert_eq!(redis.cli(&["HGET", KEY, "value"]).await, "");
    }
    let most = i64::MAX.to_string();
    redis.command(&["HSET", KEY, "version", &most]).await;
    assert!(!limit.set(&1).await.unwrap_err().is_unknown());
}

#[tokio::test]
async fn hostile_payloads_are_errors() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let value = node.shared::<serde_json::Value>("limit").unwrap();
    let mut connection = connected(&redis).await;
    // Nested arrays, and one that claims 2^32 - 1 items.
    for payload in [vec![0x91_u8; 600], vec![0xdd, 0xff, 0xff, 0xff, 0xff]] {
        let mut sink = redis::cmd("HSET");
        sink.arg(KEY).arg("value").arg(payload);
        sink.arg(&["format", "msgpack", "nonce", "a", "version", "1"]);
        sink.exec_async(&mut connection).await.unwrap();

        let error = value.get().await.unwrap_err();

        assert!(matches!(error, LoadError::Decode { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn invalid_notifications_of_foreign_programs_change_nothing() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let limit = limit(&node);
    let written = limit.set(&1).await.unwrap();
    let nonce = redis.cli(&["HGET", KEY, "nonce"]).await;

    let spoiled = format!(r#""key":"limit","nonce":"b","previous":"{nonce}","value":"x""#);
    for data in [
        "7",
        r#"{"key":7}"#,
        "{}",
        r#"{"key":"other"}"#,
        r#"{"key":"limit","version":-1}"#,
        r#"{"key":"limit","nonce":"","previous":"nobody"}"#,
        r#"{"key":"limit","value":9}"#,
        r#"{"key":"limit","nonce":"b","previous":"nobody","value":9}"#,
        &format!("{{{spoiled}}}"),
    ] {
        let frame = format!(r#"{{"event":"tidings.shared","data":{data}}}"#);
        announce(&redis, &frame).await;
    }
    limit.refresh().await.unwrap();

    becomes(&limit, Some(1)).await;
    assert_eq!(limit.get().await.unwrap().version(), written.version());
}

#[tokio::test]
async fn a_redis_that_rejects_writes_changes_nothing() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let limit = limit(&node);
    limit.set(&1).await.unwrap();
    for (setting, forbidding, allowing, code) in [
        ("min-replicas-to-write", "1", "0", "NOREPLICAS"),
        ("maxmemory", "1", "0", "OOM"),
    ] {
        redis.command(&["CONFIG", "SET", setting, forbidding]).await;

        for refused in [limit.set(&2).await, limit.update(|_| 2).await] {
            let error = refused.unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains(code) && text.contains("nothing was changed"),
                "{text}"
            );
            assert!(!error.is_unknown());
        }

        assert_eq!(limit.refresh().await.unwrap().version(), 1);
        redis.command(&["CONFIG", "SET", setting, allowing]).await;
    }
    let received = limit.set(&2).await.unwrap();
    assert_eq!(received.version(), 2);
}

#[tokio::test]
async fn while_redis_is_unreachable_the_last_value_is_served_and_writes_fail() {
    let mut redis = Redis::start().await;
    let (a, b) = (
        Node::start(Bus::builder(&redis.url())).await,
        Node::start(Bus::builder(&redis.url())).await,
    );
    let (here, there) = (limit(&a), limit(&b));
    here.set(&1).await.unwrap();
    becomes(&there, Some(1)).await;

    redis.kill();
    wait_for("the outage is detected", SOON, async || {
        here.peek()
            .is_some_and(|known| known.stale_since().is_some())
    })
    .await;
    assert_eq!(
        here.get().await.unwrap().value().map(|value| **value),
        Some(1)
    );
    let away = Unconfirmed::NotSent(SendFailure::Unreachable);
    for refused in [
        here.set(&2).await.map(drop),
        here.update(|_| 2).await.map(drop),
        here.clear().await,
    ] {
        let Err(StoreError::Unconfirmed { why: result, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(result, away);
    }
    let unread = here.refresh().await.unwrap_err();
    assert!(matches!(
        unread,
        LoadError::Unread {
            reason: SendFailure::Unreachable,
            ..
        }
    ));
    let never_read = a.shared::<u64>("other").unwrap().get().await.unwrap_err();
    assert!(matches!(never_read, LoadError::Unread { .. }));

    redis.start_again().await;
    wait_for("it is known that redis lost it", SOON, async || {
        let known = there.peek().unwrap();
        matches!(known.freshness(), tidings::Freshness::Lost { .. })
    })
    .await;
    there.set(&3).await.unwrap();
    becomes(&here, Some(3)).await;
}

#[tokio::test]
async fn a_version_that_was_reset_is_followed() {
    let mut redis = Redis::start().await;
    let node = Node::start(Bus::builder(&redis.url())).await;
    let limit = limit(&node);
    for number in 0..10 {
        limit.set(&number).await.unwrap();
    }

    redis.restart().await;
    // Like a replica that did not get the last writes.
    let old = [
        "HSET", KEY, "format", "json", "value", "3", "version", "4", "nonce", "old",
    ];
    redis.command(&old).await;
    announce(&redis, NOTIFICATION).await;

    becomes(&limit, Some(3)).await;
    assert_eq!(limit.get().await.unwrap().version(), 4);
}

#[tokio::test]
async fn changes_during_a_disconnect_are_seen_after_the_reconnect() {
    let redis = Redis::start().await;
    let (a, b) = redis.two_nodes().await;
    let (here, there) = (limit(&a), limit(&b));
    here.set(&1).await.unwrap();
    becomes(&there, Some(1)).await;
    let mut changes = there.watch();

    redis.cut_off(&b).await;
    here.set(&2).await.unwrap();
    let stale = there.get().await.unwrap();
    assert_eq!(stale.value().map(|value| **value), Some(1));
    assert!(stale.stale_since().is_some());
    redis.restore(&b).await;

    let newest = soon(changes.changed()).await.unwrap();
    assert_eq!(newest.value().map(|value| **value), Some(2));
    becomes(&there, Some(2)).await;
}

#[tokio::test]
async fn a_lost_notification_is_made_up_for_after_a_gap() {
    let redis = Redis::start().await;
    let (a, b) = redis.two_nodes().await;
    let limit = limit(&b);
    limit.set(&1).await.unwrap();
    a.send_to_all("tick", &1).await.unwrap();

    // Written without a notification, as if it had been among the missing events.
    let silently = ["HSET", KEY, "value", "2", "nonce", "b"];
    redis.command(&silently).await;
    let jump = format!(r#"{{"v":1,"from":"{}","seq":1000,"events":[]}}"#, a.id());
    announce(&redis, &jump).await;

    becomes(&limit, Some(2)).await;
}

/// Writes bytes that are not UTF-8.
async fn spoil_with_bytes(redis: &Redis, key: &str, field: &str) {
    let mut connection = connected(redis).await;
    let mut sink = redis::cmd("HSET");
    sink.arg(key).arg(field).arg(&b"\xff\xfe"[..]);
    sink.exec_async(&mut connection).await.unwrap();
}

#[tokio::test]
async fn a_value_that_is_not_utf_8_breaks_no_other_value() {
    let redis = Redis::start().await;
    let node = checking_often(&redis).await;
    let (limit, other) = (limit(&node), node.shared::<u64>("other").unwrap());
    let other_key = "tidings:{default}:shared:other";
    other.set(&0).await.unwrap();
    for (number, field) in ["format", "version", "nonce"].into_iter().enumerate() {
        redis.command(&["DEL", KEY]).await;
        limit.refresh().await.unwrap();
        limit.set(&1).await.unwrap();

        spoil_with_bytes(&redis, KEY, field).await;
        let number = u64::try_from(number).unwrap() + 1;
        let (value, nonce) = (number.to_string(), format!("n{number}"));
        redis
            .command(&["HSET", other_key, "value", &value, "nonce", &nonce])
            .await;

        becomes(&other, Some(number)).await;
        let read = limit.refresh().await.unwrap_err();
        assert!(matches!(read, LoadError::Foreign { .. }), "{read:?}");
        let updated = limit.update(|_| 2).await;
        let error = updated.err().filter(|_| field != "format");
        assert!(!error.is_some_and(|error| error.is_unknown()));
    }
}

#[tokio::test]
async fn a_nonce_that_is_not_utf_8_is_replaced() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let limit = limit(&node);
    for _ in 0..2 {
        limit.set(&1).await.unwrap();
        spoil_with_bytes(&redis, KEY, "nonce").await;
        limit.set(&2).await.unwrap();
        assert_eq!(
            limit.refresh().await.unwrap().value().map(|two| **two),
            Some(2)
        );
        spoil_with_bytes(&redis, KEY, "nonce").await;
        limit.clear().await.unwrap();
        assert!(limit.refresh().await.unwrap().value().is_none());
    }
}

#[tokio::test]
async fn a_value_without_a_nonce_is_not_absent() {
    let redis = Redis::start().await;
    let node = checking_often(&redis).await;
    let (limit, other) = (limit(&node), node.shared::<u64>("other").unwrap());
    redis
        .command(&["HSET", KEY, "format", "json", "value", "7"])
        .await;
    limit.get().await.unwrap_err();
    other.get().await.unwrap();

    // One comparison sees both.
    let other_key = "tidings:{default}:shared:other";
    let silently = [
        "HSET", other_key, "format", "json", "value", "2", "version", "1", "nonce", "b",
    ];
    redis.command(&silently).await;
    becomes(&other, Some(2)).await;

    assert!(limit.peek().is_none());
    let refused = limit.update(|_| 1).await.unwrap_err();
    assert!(matches!(refused, StoreError::Load { .. }), "{refused:?}");
    assert_eq!(redis.cli(&["HGET", KEY, "value"]).await, "7");
}

#[tokio::test]
async fn an_update_does_not_overwrite_a_new_value_without_a_nonce() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let limit = limit(&node);
    assert!(limit.get().await.unwrap().value().is_none());

    redis
        .command(&["HSET", KEY, "format", "json", "value", "7"])
        .await;

    let refused = limit.update(|_| 1).await.unwrap_err();
    assert!(matches!(refused, StoreError::Load { .. }), "{refused:?}");
    assert_eq!(redis.cli(&["HGET", KEY, "value"]).await, "7");
}

#[tokio::test]
async fn a_watch_sees_that_a_problem_of_an_absent_value_is_over() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let limit = limit(&node);
    limit.get().await.unwrap();
    let mut changes = limit.watch();

    redis.command(&["RPUSH", KEY, "x"]).await;
    announce(&redis, NOTIFICATION).await;
    assert!(changes.changed().await.unwrap().problem().is_some());
    redis.command(&["DEL", KEY]).await;
    announce(&redis, NOTIFICATION).await;

    let over = soon(changes.changed()).await;
    assert!(over.unwrap().problem().is_none());
}

#[tokio::test]
async fn a_write_without_permission_to_write_or_to_notify_is_not_done() {
    let redis = Redis::builder()
        .user("shop on >hush-hush ~* &* +@all")
        .start()
        .await;
    let node = Node::start(Bus::builder(&redis.url_as("shop", "hush-hush"))).await;
    let limit = limit(&node);
    limit.set(&1).await.unwrap();

    redis.command(&["ACL", "SETUSER", "shop", "-publish"]).await;
    limit.clear().await.unwrap_err();
    assert_eq!(redis.cli(&["HGET", KEY, "value"]).await, "1");
    redis
        .command(&["ACL", "SETUSER", "shop", "+publish", "-persist"])
        .await;
    limit.set(&2).await.unwrap_err();
    assert_eq!(redis.cli(&["HGET", KEY, "value"]).await, "1");
}

#[tokio::test]
async fn a_write_that_may_not_notify_leaves_the_expiry_as_it_was() {
    let redis = Redis::builder()
        .user("shop on >hush-hush ~* &* +@all")
        .start()
        .await;
    let start = async || Node::start(Bus::builder(&redis.url_as("shop", "hush-hush"))).await;
    let (node, other) = (start().await, start().await);
    let limit = limit(&node);
    let hour = SharedOptions::new().ttl(Duration::from_hours(1));
    let expiring = other.shared_with::<u64>("limit", hour).unwrap();
    let expiry = async || redis.cli(&["TTL", KEY]).await;
    let may_notify = async |rule| redis.command(&["ACL", "SETUSER", "shop", rule]).await;
    limit.set(&1).await.unwrap();

    may_notify("-publish").await;
    limit.clear().await.unwrap_err();
    let can_tell = "return redis.acl_check_cmd and 1 or 0";
    if redis.cli(&["EVAL", can_tell, "0"]).await == "0" {
        // Redis 6.2 cannot tell beforehand.
        assert_ne!(expiry().await, "-1");
        return;
    }
    assert_eq!(expiry().await, "-1");
    assert_eq!(redis.cli(&["HGET", KEY, "version"]).await, "1");
    expiring.set(&2).await.unwrap_err();
    assert_eq!(expiry().await, "-1");

    may_notify("+publish").await;
    expiring.set(&3).await.unwrap();
    may_notify("-publish").await;
    limit.set(&4).await.unwrap_err();
    assert_ne!(expiry().await, "-1");
    assert_eq!(redis.cli(&["HGET", KEY, "value"]).await, "3");
}

#[tokio::test]
async fn a_foreign_nonce_is_not_copied() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let limit = limit(&node);
    let long = "n".repeat(100_000);
    redis
        .command(&[
            "HSET", KEY, "format", "json", "value", "1", "version", "1", "nonce", &long,
        ])
        .await;
    let subscription = subscription(&redis).await;

    limit.set(&2).await.unwrap();

    let notification = next_notification(subscription).await;
    assert!(notification.len() < 1_000, "{} bytes", notification.len());
}

#[derive(Deserialize, Serialize)]
struct Bomb(u64);

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(self.0 != 13 || std::thread::panicking(), "boom");
    }
}

#[tokio::test]
async fn a_value_that_panics_when_it_is_dropped_does_not_stop_the_others() {
    let redis = Redis::start().await;
    let node = checking_often(&redis).await;
    let bomb = node.shared::<Bomb>("limit").unwrap();
    let other = node.shared::<u64>("other").unwrap();
    let sink = [
        "format", "json", "value", "13", "version", "1", "nonce", "a",
    ];
    spoil(&redis, &sink).await;
    assert_eq!(bomb.refresh().await.unwrap().version(), 1);
    assert!(other.get().await.unwrap().value().is_none());

    spoil(&redis, &["value", "1", "nonce", "b"]).await;
    let other_key = "tidings:{default}:shared:other";
    let silently = [
        "HSET", other_key, "format", "json", "value", "2", "version", "1", "nonce", "b",
    ];
    redis.command(&silently).await;

    becomes(&other, Some(2)).await;
}

#[tokio::test]
async fn an_unreadable_notification_is_reported() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    limit(&node).get().await.unwrap();

    let frame = r#"{"event":"tidings.shared","data":7}"#;
    announce(&redis, frame).await;

    let reported = node.failures().wait_for_len(1).await;
    assert!(matches!(&*reported[0], Failure::Payload { event, .. } if event == "tidings.shared"));
}

#[tokio::test]
async fn a_forged_value_does_not_stay_although_it_is_announced_under_the_nonce_in_redis() {
    let redis = Redis::start().await;
    let node = checking_often(&redis).await;
    let limit = limit(&node);
    limit.set(&1).await.unwrap();
    let nonce = redis.cli(&["HGET", KEY, "nonce"]).await;
    let version: u64 = redis.cli(&["HGET", KEY, "version"]).await.parse().unwrap();
    let fences: tidings_testkit::Collected<u64> = node.collect("fence");

    for (was, next, version) in [(&*nonce, "b", version + 1), ("b", &*nonce, version)] {
        announce(&redis, &format!(
            r#"{{"event":"tidings.shared","data":{{"key":"limit","version":{version},"nonce":"{next}","previous":"{was}","value":6}}}}"#,
        ))
        .await;
    }
    announce(&redis, r#"{"event":"fence","data":1}"#).await;
    fences.wait_for_len(1).await;

    becomes(&limit, Some(1)).await;
}

#[tokio::test]
async fn a_value_in_message_pack_is_not_inlined() {
    let redis = Redis::start().await;
    let node = redis
        .node_with(|builder| builder.format(tidings::Format::MessagePack))
        .await;
    let sharing = tidings::SharedOptions::new().inline_up_to(100);
    let limit = node.shared_with::<u64>("limit", sharing).unwrap();
    let subscription = subscription(&redis).await;

    limit.set(&2).await.unwrap();

    let notification = next_notification(subscription).await;
    assert!(!notification.contains(r#""value""#), "{notification}");
}

/// Returns the first notification of a shared value.
async fn next_notification(subscription: redis::aio::PubSub) -> String {
    let mut frames = subscription.into_on_message();
    loop {
        let frame = frames.next().await.unwrap();
        let text = String::from_utf8_lossy(frame.get_payload_bytes()).into_owned();
        if text.contains("tidings.shared") {
            return text;
        }
    }
}
