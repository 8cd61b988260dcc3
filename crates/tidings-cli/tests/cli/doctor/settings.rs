//! Settings of a server that are wrong, one at a time.

use std::time::Duration;

use tidings_testkit::{RedisBuilder, wait_for};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::doctor::examination::{Examination, examine, paste};
use crate::fleet::{Fleet, PASSWORD};

const SECONDS: Duration = Duration::from_secs(5);

/// A server in which nothing is wrong.
pub(super) async fn healthy() -> Fleet {
    Fleet::start_with(|redis| redis.password(PASSWORD)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_server_has_no_error_and_no_warning() {
    let fleet = healthy().await;
    let _member = fleet.member("api-1").await;

    let examination = examine(&fleet);

    examination.has_only(&[]);
    assert!(
        examination.tally["passed"].as_u64().unwrap() >= 25,
        "{examination:#?}"
    );
    assert_eq!(examination.tally["skipped"], 0, "{examination:#?}");
}

/// A setting, its wrong value, and the finding about it.
const WRONG: [(&str, &str, &str, &str); 7] = [
    (
        "client-output-buffer-limit",
        "pubsub 1mb 0 0",
        "output-buffer",
        "error",
    ),
    (
        "client-output-buffer-limit",
        "pubsub 0 0 0",
        "output-buffer",
        "warning",
    ),
    (
        "client-output-buffer-limit",
        "pubsub 32mb 64kb 10",
        "output-buffer",
        "warning",
    ),
    ("timeout", "10", "idle-timeout", "warning"),
    ("tcp-keepalive", "0", "keepalive", "warning"),
    ("lua-time-limit", "0", "script-limit", "warning"),
    ("maxclients", "10", "clients", "warning"),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_setting_is_the_only_finding_and_its_cure_ends_it() {
    let fleet = healthy().await;
    // `maxclients` takes no lower number than that of the clients.
    let mut idle = Vec::new();
    for (name, value, check, severity) in WRONG {
        if name == "maxclients" {
            for _ in 0..6 {
                idle.push(TcpStream::connect(fleet.redis.address()).await.unwrap());
            }
        }
        fleet.redis.command(&["CONFIG", "SET", name, value]).await;

        let examination = examine(&fleet);
        examination.has_only(&[(check, severity)]);
        let cure = &examination.cures(check)[0];
        let port = fleet.redis.port();
        assert!(cure.starts_with(&format!(
            "redis-cli -h 127.0.0.1 -p {port} CONFIG SET {name}"
        )));

        paste(cure);
    }
    examine(&fleet).has_only(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nearly_all_connections_in_use_are_an_error() {
    let fleet = healthy().await;
    fleet
        .redis
        .command(&["CONFIG", "SET", "maxclients", "40"])
        .await;
    let mut idle = Vec::new();
    for _ in 0..36 {
        idle.push(TcpStream::connect(fleet.redis.address()).await.unwrap());
    }
    let examination = examine(&fleet);
    examination.has_only(&[("clients", "error")]);
    assert!(
        examination
            .text("clients")
            .contains("of 40 possible connections")
    );
}

async fn examine_with_memory(fleet: &Fleet, policy: &str, percent: u64) -> Examination {
    let redis = &fleet.redis;
    // The connections of the command use little compared with it.
    let fill = ["SETRANGE", "filler", "30000000", "x"];
    redis.command(&fill).await;
    let info = redis.cli(&["INFO", "memory"]).await;
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    let used: u64 = line.unwrap().trim().parse().unwrap();
    let limit = (used * 100 / percent).to_string();
    for (name, value) in [("maxmemory-policy", policy), ("maxmemory", &limit)] {
        redis.command(&["CONFIG", "SET", name, value]).await;
    }
    examine(fleet)
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_is_nearly_full_is_found_before_redis_rejects_writes() {
    let fleet = healthy().await;
    let examination = examine_with_memory(&fleet, "noeviction", 70).await;
    examination.has_only(&[]);
    let examination = examine_with_memory(&fleet, "noeviction", 87).await;
    examination.has_only(&[("memory", "warning")]);
    let examination = examine_with_memory(&fleet, "noeviction", 97).await;
    examination.has_only(&[("memory", "error")]);
    paste(&examination.cures("memory")[0]);
    examine(&fleet).has_only(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eviction_policy_that_removes_state_is_a_warning() {
    let fleet = healthy().await;
    let examination = examine_with_memory(&fleet, "allkeys-lru", 50).await;
    examination.has_only(&[("eviction", "warning")]);
    paste(&examination.cures("eviction")[0]);
    examine(&fleet).has_only(&[]);
    let policy = fleet
        .redis
        .cli(&["CONFIG", "GET", "maxmemory-policy"])
        .await;
    assert!(policy.contains("volatile-lru"), "{policy}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_does_not_read_is_found() {
    let fleet = healthy().await;
    let mut subscriber = TcpStream::connect(fleet.redis.address()).await.unwrap();
    let subscribe = format!("AUTH {PASSWORD}\r\nSUBSCRIBE news\r\n");
    subscriber.write_all(subscribe.as_bytes()).await.unwrap();
    let message = "x".repeat(1 << 20);
    wait_for("it subscribes", SECONDS, async || {
        let answer = fleet.redis.command(&["PUBLISH", "news", "x"]).await;
        format!("{answer:?}").contains('1')
    })
    .await;
    // More than the buffers of the kernel take.
    for _ in 0..14 {
        fleet.redis.command(&["PUBLISH", "news", &message]).await;
    }
    examine(&fleet).has_only(&[("slow-subscribers", "warning")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_fails_is_an_error() {
    let taken = |redis: RedisBuilder| redis.password(PASSWORD).config("dbfilename", "taken");
    let fleet = Fleet::start_with(taken).await;
    let redis = &fleet.redis;
    let directory = redis.cli(&["CONFIG", "GET", "dir"]).await;
    let directory = directory.lines().last().unwrap().to_owned();
    // A file cannot replace a directory.
    let path = std::path::Path::new(&directory).join("taken");
    std::fs::create_dir(&path).unwrap();
    redis.command(&["CONFIG", "SET", "save", "3600 1"]).await;
    redis.command(&["BGSAVE"]).await;
    wait_for("it fails", SECONDS, async || {
        let info = redis.cli(&["INFO", "persistence"]).await;
        info.contains("rdb_last_bgsave_status:err")
    })
    .await;
    let examination = examine(&fleet);
    examination.has_only(&[("disk", "error")]);

    std::fs::remove_dir(&path).unwrap();
    paste(&examination.cures("disk")[0]);
    wait_for("it saves", SECONDS, async || {
        let info = redis.cli(&["INFO", "persistence"]).await;
        info.contains("rdb_last_bgsave_status:ok")
    })
    .await;
    examine(&fleet).has_only(&[]);
}
