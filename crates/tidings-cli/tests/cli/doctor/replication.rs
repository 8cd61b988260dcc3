//! A master with a replica, without sentinels.

use std::time::Duration;

use tidings::Journal;
use tidings_testkit::{Redis, wait_for};

use crate::doctor::examination::{examine, paste};
use crate::doctor::settings::healthy;
use crate::fleet::{Fleet, PASSWORD};

const SECONDS: Duration = Duration::from_secs(10);

async fn with_replica() -> (Fleet, Redis) {
    let fleet = healthy().await;
    let replica = Redis::builder().password(PASSWORD).replica_of(&fleet.redis);
    let replica = replica.start().await;
    // The master takes a moment longer to notice that it is in sync.
    wait_for("it is in sync", SECONDS, async || {
        let info = replica.cli(&["INFO", "replication"]).await;
        let is_connected = info.contains("master_link_status:up");
        is_connected && examine(&fleet).severity("replica-lag") == "ok"
    })
    .await;
    (fleet, replica)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replication_backlog_that_is_too_small_is_a_warning() {
    let (fleet, _replica) = with_replica().await;
    examine(&fleet).has_only(&[]);
    let set = ["CONFIG", "SET", "repl-backlog-size", "16384"];
    fleet.redis.command(&set).await;
    let examination = examine(&fleet);
    examination.has_only(&[("backlog", "warning")]);
    paste(&examination.cures("backlog")[0]);
    examine(&fleet).has_only(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_wait_for_a_replica_are_an_error_whose_cure_is_another_replica() {
    let (fleet, _replica) = with_replica().await;
    let set = ["CONFIG", "SET", "min-replicas-to-write", "2"];
    fleet.redis.command(&set).await;
    let examination = examine(&fleet);
    examination.has_only(&[("min-replicas", "error")]);
    let replicate = format!("REPLICAOF 127.0.0.1 {}", fleet.redis.port());
    let cures = examination.cures("min-replicas");
    assert!(cures[1].ends_with(&replicate), "{cures:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_far_behind_is_a_warning() {
    let (fleet, replica) = with_replica().await;
    replica.freeze();
    let value = "x".repeat(1 << 20);
    for key in 0..10 {
        fleet
            .redis
            .command(&["SET", &key.to_string(), &value])
            .await;
    }
    examine(&fleet).has_only(&[("replica-lag", "warning")]);

    replica.resume();
    wait_for("it catches up", SECONDS, async || {
        examine(&fleet).severity("replica-lag") == "ok"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_a_journal_that_needs_no_replica_for_writes_is_a_warning() {
    let (fleet, _replica) = with_replica().await;
    fleet
        .redis
        .command(&["CONFIG", "SET", "appendonly", "yes"])
        .await;
    let member = fleet
        .member_with("api-1", |bus| bus.journal(Journal::default()))
        .await;
    let examination = examine(&fleet);
    examination.has_only(&[("min-replicas", "warning")]);
    paste(&examination.cures("min-replicas")[0]);
    examine(&fleet).has_only(&[]);
    member.shutdown(SECONDS).await.unwrap();
}
