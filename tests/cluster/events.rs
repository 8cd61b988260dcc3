//! Events while nodes are killed, frozen and replaced.

use std::time::Duration;

use tidings::{Bus, TopologyKind};
use tidings_testkit::{Cluster, Collected, Node, wait_for};

use super::path::path;
use crate::traffic::Traffic;

const SOON: Duration = Duration::from_secs(30);

/// A key in the slot of the default namespace.
pub(crate) const KEY: &str = "tidings:{default}:";

async fn traffic(cluster: &Cluster) -> Traffic {
    let heartbeat = Duration::from_millis(500);
    Traffic::start(|| Bus::builder(&cluster.url()).heartbeat_interval(heartbeat)).await
}

/// Waits until both nodes have left the server on this port.
async fn is_without(traffic: &Traffic, port: u16) {
    for node in [&traffic.subscriber, &traffic.sender] {
        wait_for("another node is used", SOON, async || {
            path(node).is_some_and(|(from, to)| from != port && to != port)
        })
        .await;
    }
    traffic.goes_on().await;
}

#[tokio::test]
async fn a_bus_receives_on_one_node_and_sends_through_another() {
    let cluster = Cluster::start().await;
    let one = Node::start(Bus::builder(&cluster.url())).await;
    // One node names the others.
    let seed = format!("redis+cluster://{}", cluster.addresses()[0]);
    let other = Node::start(Bus::builder(&seed)).await;
    let ticks: Collected<u64> = other.collect("tick");

    let receipt = one.send_to_all("tick", &1).await.unwrap();

    ticks.wait_for_len(1).await;
    assert_eq!(receipt.receivers, None);
    assert_eq!(one.health().topology, TopologyKind::Cluster);
    for bus in [&one, &other] {
        let (from, to) = path(bus).unwrap();
        assert_ne!(from, to);
    }
}

#[tokio::test]
async fn the_node_that_a_bus_receives_from_is_replaced_when_it_dies() {
    let mut cluster = Cluster::start().await;
    let traffic = traffic(&cluster).await;
    let (from, _) = path(&traffic.subscriber).unwrap();

    cluster.kill(from);

    is_without(&traffic, from).await;
    traffic.end().await;
}

#[tokio::test]
async fn the_node_that_a_bus_sends_through_is_replaced_when_it_dies() {
    let mut cluster = Cluster::start().await;
    let traffic = traffic(&cluster).await;
    let (_, to) = path(&traffic.sender).unwrap();

    cluster.kill(to);

    is_without(&traffic, to).await;
    traffic.end().await;
}

#[tokio::test]
async fn a_frozen_node_is_left() {
    let cluster = Cluster::start().await;
    let traffic = traffic(&cluster).await;
    let (from, _) = path(&traffic.subscriber).unwrap();

    cluster.freeze(from);
    is_without(&traffic, from).await;
    cluster.resume();

    traffic.goes_on().await;
    traffic.end().await;
}

#[tokio::test]
async fn no_event_is_lost_by_a_planned_failover_or_the_move_of_a_slot() {
    let cluster = Cluster::start().await;
    let traffic = traffic(&cluster).await;

    cluster.failover(KEY).await;
    traffic.goes_on().await;
    cluster.move_slot(KEY).await;
    traffic.goes_on().await;

    let reconnects = traffic.subscriber.health().reconnects;
    assert_eq!((traffic.end().await, reconnects), (0, 0));
}

#[tokio::test]
async fn events_go_on_while_the_cluster_is_down() {
    let mut cluster = Cluster::start().await;
    let ports: Vec<_> = cluster
        .servers()
        .map(tidings_testkit::Redis::port)
        .collect();
    let traffic = traffic(&cluster).await;

    // Two masters and their replicas.
    for one in [0, 1, 3, 4] {
        cluster.kill(ports[one]);
    }

    for one in [0, 1, 3, 4] {
        is_without(&traffic, ports[one]).await;
    }
    let survivor = cluster.server(ports[2]);
    wait_for("the cluster is down", SOON, async || {
        survivor
            .cli(&["CLUSTER", "INFO"])
            .await
            .contains("cluster_state:fail")
    })
    .await;
    traffic.goes_on().await;
    traffic.end().await;
}

#[tokio::test]
async fn a_fast_sender_asks_all_nodes_how_far_their_subscribers_are_behind() {
    let cluster = Cluster::builder().replicas(0).start().await;
    let bus = Node::start(Bus::builder(&cluster.url())).await;
    let large = "x".repeat(500_000);

    for _ in 0..20 {
        bus.send_to_all("large", &large).await.unwrap();
    }

    for server in cluster.servers() {
        wait_for("the node is asked", SOON, async || {
            let calls = server.cli(&["INFO", "commandstats"]).await;
            calls.contains("cmdstat_client|list")
        })
        .await;
    }
}
