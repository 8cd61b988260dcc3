//! Shared values in Redis: their format, foreign writers, and the number of commands.

use std::time::Duration;

use futures_util::future::join_all;
use tidings::{Format, Shared, SharedOptions};
use tidings_testkit::{Redis, wait_for};

use crate::shared_state::raw_redis::{
    CHANNEL, KEY, NOTIFICATION, calls, checking_often, connected, limit,
};

const SOON: Duration = Duration::from_secs(10);

async fn becomes(shared: &Shared<u64>, wanted: Option<u64>) {
    wait_for("the copy follows", SOON, async || {
        shared.get().await.unwrap().value().map(|value| **value) == wanted
    })
    .await;
}

#[tokio::test]
async fn a_value_can_be_read_with_redis_cli() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let names = node.shared::<Vec<String>>("names").unwrap();
    names.set(&vec!["Ada".to_owned()]).await.unwrap();
    names.set(&vec!["Bo".to_owned()]).await.unwrap();

    let key = "tidings:{default}:shared:names";
    let read = redis
        .cli(&["HMGET", key, "format", "value", "version"])
        .await;

    assert_eq!(read, "json\n[\"Bo\"]\n2");
    let nonce = redis.cli(&["HGET", key, "nonce"]).await;
    assert!(nonce.len() == 16 && nonce.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

#[tokio::test]
async fn a_value_in_message_pack_is_marked_as_such() {
    let redis = Redis::start().await;
    let node = redis
        .node_with(|builder| builder.format(Format::MessagePack))
        .await;
    limit(&node).set(&7).await.unwrap();

    let read = redis.cli(&["HMGET", KEY, "format", "value"]).await;

    assert_eq!(read, "msgpack\n\u{7}");
}

#[tokio::test]
async fn a_write_of_another_program_is_seen_at_once() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let limit = limit(&node);
    limit.set(&1).await.unwrap();

    let mut write = redis::pipe();
    write
        .atomic()
        .cmd("HSET")
        .arg(&[
            KEY,
            "format",
            "json",
            "value",
            "260",
            "nonce",
            "5b1f09c2aa7e4d13",
        ])
        .cmd("HINCRBY")
        .arg(&[KEY, "version", "1"])
        .cmd("PUBLISH")
        .arg(&[CHANNEL, NOTIFICATION]);
    let mut connection = connected(&redis).await;
    write.exec_async(&mut connection).await.unwrap();

    becomes(&limit, Some(260)).await;
    let next = limit.update(|old| old.unwrap() + 1).await.unwrap();
    assert_eq!(
        (next.value().map(|value| **value), next.version()),
        (Some(261), 3)
    );
}

#[tokio::test]
async fn a_write_with_redis_cli_is_seen_at_once() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let limit = limit(&node);
    limit.get().await.unwrap();

    let set = [
        "HSET", KEY, "format", "json", "value", "260", "nonce", "5b1f",
    ];
    redis.cli(&set).await;
    redis.cli(&["HINCRBY", KEY, "version", "1"]).await;
    redis.cli(&["PUBLISH", CHANNEL, NOTIFICATION]).await;

    becomes(&limit, Some(260)).await;
}

#[tokio::test]
async fn a_write_without_a_notification_is_found_by_the_periodic_comparison() {
    let redis = Redis::start().await;
    let node = checking_often(&redis).await;
    let limit = limit(&node);
    limit.set(&1).await.unwrap();

    redis
        .command(&["HSET", KEY, "value", "2", "nonce", "another"])
        .await;
    becomes(&limit, Some(2)).await;
    redis.command(&["HDEL", KEY, "format", "value"]).await;
    redis.command(&["HSET", KEY, "nonce", "cleared"]).await;
    becomes(&limit, None).await;
}

#[tokio::test]
async fn concurrent_first_reads_of_a_value_are_one_read() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let limit = limit(&node);

    let snapshots = join_all((0..100).map(|_| limit.get())).await;
    assert!(snapshots.iter().all(Result::is_ok));
    for _ in 0..100 {
        limit.get().await.unwrap();
    }

    assert_eq!(calls(&redis, "hmget").await, 1);
}

#[tokio::test]
async fn an_inlined_value_needs_no_read() {
    let redis = Redis::start().await;
    let (a, b) = redis.two_nodes().await;
    let sharing = SharedOptions::new().inline_up_to(100);
    let here = a.shared_with::<u64>("limit", sharing).unwrap();
    let there = limit(&b);
    here.set(&0).await.unwrap();
    there.get().await.unwrap();
    becomes(&here, Some(0)).await;
    redis.command(&["CONFIG", "RESETSTAT"]).await;

    for number in 1..=10 {
        here.set(&number).await.unwrap();
        becomes(&there, Some(number)).await;
    }

    let writing = calls(&redis, "hincrby").await;
    assert_eq!(writing, 10);
    // A writer may get the notification before its answer, and read.
    let by_notification = calls(&redis, "hmget").await - writing;
    assert!(by_notification <= 10, "{by_notification} reads");
    let later = redis.cli(&["HGET", KEY, "value"]).await;
    assert_eq!(later, "10");
}

#[tokio::test]
async fn each_write_renews_the_time_to_live_and_one_without_removes_it() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let sharing = SharedOptions::new().ttl(Duration::from_mins(1));
    let expiring = node.shared_with::<u64>("limit", sharing).unwrap();
    expiring.set(&1).await.unwrap();
    redis.command(&["PEXPIRE", KEY, "1000"]).await;

    expiring.update(|_| 2).await.unwrap();
    let left: i64 = redis::from_redis_value(redis.command(&["PTTL", KEY]).await).unwrap();
    assert!((50_000..=60_000).contains(&left), "{left}");

    limit(&node).set(&3).await.unwrap();
    let left: i64 = redis::from_redis_value(redis.command(&["PTTL", KEY]).await).unwrap();
    assert_eq!(left, -1);
}
