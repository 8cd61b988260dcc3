//! The journal on a master with sentinels, and on a Redis Cluster.

use std::time::Duration;

use tidings::{Bus, BusBuilder};
use tidings_testkit::{Cluster, Collected, Node, Sentinels};

use super::{has_received, journaled, send};
use crate::traffic::Traffic;

const KEY: &str = "tidings:{default}:journal";

fn builder(url: &str) -> BusBuilder {
    journaled(Bus::builder(url)).heartbeat_interval(Duration::from_secs(1))
}

#[tokio::test]
async fn a_planned_failover_loses_nothing_in_silence() {
    let sentinels = Sentinels::start().await;
    let traffic = Traffic::start(|| builder(&sentinels.url())).await;
    sentinels.failover().await;
    traffic.goes_on().await;
    traffic.end().await;
}

#[tokio::test]
async fn a_killed_master_is_replaced_and_what_was_sent_meanwhile_is_received() {
    let mut sentinels = Sentinels::start().await;
    let traffic = Traffic::start(|| builder(&sentinels.url())).await;
    sentinels.kill_master().await;
    traffic.goes_on().await;
    traffic.end().await;
}

#[tokio::test]
async fn a_frozen_master_is_replaced() {
    let sentinels = Sentinels::start().await;
    let traffic = Traffic::start(|| builder(&sentinels.url())).await;
    let old = sentinels.freeze_master().await;
    sentinels.wait_for_master_other_than(old).await;
    traffic.goes_on().await;
    sentinels.resume();
    traffic.end().await;
}

#[tokio::test]
async fn the_journal_of_a_cluster_is_read_from_the_owner_of_its_slot() {
    let cluster = Cluster::start().await;
    let sender = Node::start(builder(&cluster.url())).await;
    let subscriber = Node::start(builder(&cluster.url())).await;
    let ticks: Collected<u64> = subscriber.collect("tick");
    send(&sender, 1..=100).await;
    has_received(&ticks, 100).await;
    let length = cluster.owner_of(KEY).await.cli(&["XLEN", KEY]).await;
    assert!(length.trim().parse::<u64>().unwrap() >= 100, "{length}");
}

#[tokio::test]
async fn the_journal_follows_its_slot_to_another_node_and_loses_nothing() {
    let cluster = Cluster::start().await;
    let traffic = Traffic::start(|| builder(&cluster.url())).await;
    for _ in 0..3 {
        cluster.move_slot(KEY).await;
        traffic.goes_on().await;
    }
    assert_eq!(traffic.end().await, 0);
}

#[tokio::test]
async fn the_journal_is_read_while_its_slot_moves_key_by_key() {
    let cluster = Cluster::start().await;
    let traffic = Traffic::start(|| builder(&cluster.url())).await;
    let moving = cluster.begin_slot_move(KEY).await;
    traffic.goes_on().await;
    while moving.migrate(1).await > 0 {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    traffic.goes_on().await;
    moving.finish().await;
    traffic.goes_on().await;
    assert_eq!(traffic.end().await, 0);
}

#[tokio::test]
async fn a_failover_of_the_owner_loses_nothing_in_silence() {
    let cluster = Cluster::builder().replicas(1).start().await;
    let traffic = Traffic::start(|| builder(&cluster.url())).await;
    cluster.failover(KEY).await;
    traffic.goes_on().await;
    traffic.end().await;
}

#[tokio::test]
async fn a_killed_owner_is_replaced_by_its_replica() {
    let mut cluster = Cluster::builder().replicas(1).start().await;
    let traffic = Traffic::start(|| builder(&cluster.url())).await;
    cluster.kill_owner_of(KEY).await;
    traffic.goes_on().await;
    traffic.end().await;
}
