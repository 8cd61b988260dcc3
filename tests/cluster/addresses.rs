//! Wrong addresses, and nodes that are reached at other addresses than they announce.

use std::time::Duration;

use tidings::{Bus, Connection, StartError};
use tidings_testkit::{Cluster, Collected, Node, Redis, Sentinels, free_port, wait_for};
use tokio::time::timeout;

use super::events::KEY;
use super::path::path;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Returns the error of a start that does not wait for its timeout.
async fn refused_at_once(url: &str) -> String {
    let started = timeout(TIMEOUT, Bus::builder(url).start()).await;
    let error = started.expect("a rejection is final").unwrap_err();
    assert!(matches!(error, StartError::Refused { .. }), "{error:?}");
    tidings::report(&error).to_string()
}

/// Returns the error of a start that tries for this long.
async fn fails(url: &str, start_timeout: Duration) -> String {
    let error = Bus::builder(url).start_timeout(start_timeout).start().await;
    let error = error.unwrap_err();
    assert!(matches!(error, StartError::Unreachable { .. }), "{error:?}");
    tidings::report(&error).to_string()
}

#[tokio::test]
async fn a_server_of_another_kind_is_rejected_with_the_address_to_write() {
    let (single, sentinels) = (Redis::start().await, Sentinels::start().await);
    let at = single.address();
    let text = refused_at_once(&format!("redis+cluster://{at}")).await;
    let cure = format!("{at} is not a node of a Redis Cluster: write `redis://{at}`");
    assert!(text.contains(&cure), "{text}");

    let at = sentinels.addresses()[0];
    let text = refused_at_once(&format!("redis+cluster://{at}")).await;
    let cure =
        format!("is a sentinel, not a node of a Redis Cluster: write `redis+sentinel://{at}");
    assert!(text.contains(&cure), "{text}");
}

#[tokio::test]
async fn one_wrong_address_does_not_hide_the_nodes() {
    let (single, cluster) = (Redis::start().await, Cluster::start().await);
    let nobody = format!("127.0.0.1:{}", free_port());
    let url = cluster.url();
    let url = format!("{url},{},{nobody}", single.address());
    let bus = Node::start(Bus::builder(&url)).await;
    assert!(path(&bus).is_some());
}

#[tokio::test]
async fn a_cluster_with_slots_that_no_node_has_is_rejected_with_these_slots() {
    let node = Redis::builder()
        .config("cluster-enabled", "yes")
        .start()
        .await;
    let url = format!("redis+cluster://{}", node.address());

    let text = fails(&url, Duration::from_millis(500)).await;

    assert!(text.contains("no node has the slots 0-16383"), "{text}");
}

#[tokio::test]
async fn nodes_are_used_at_the_addresses_in_the_url() {
    let cluster = Cluster::start().await;
    announce_nowhere(&cluster).await;
    let one = Node::start(Bus::builder(&cluster.url())).await;
    let other = Node::start(Bus::builder(&cluster.url())).await;
    let ticks: Collected<u64> = other.collect("tick");
    one.send_to_all("tick", &1).await.unwrap();
    ticks.wait_for_len(1).await;
    let counter = one.counter("visits").unwrap();
    counter.add(1).await.unwrap();

    // `MOVED` names an address that nobody listens on.
    cluster.move_slot(KEY).await;

    assert_eq!(counter.add(1).await.unwrap(), 2);
}

#[tokio::test]
async fn health_names_the_nodes_that_cannot_be_reached() {
    let cluster = Cluster::start().await;
    announce_nowhere(&cluster).await;
    let owner = cluster.owner_of(KEY).await.address();

    let one = Node::start(Bus::builder(&format!("redis+cluster://{owner}"))).await;

    let Connection::Up { left_out, .. } = one.health().connection else {
        panic!("the bus is not up: {:?}", one.health());
    };
    assert!(left_out[0].starts_with("127.0.0.1:1: "), "{left_out:?}");
}

#[tokio::test]
async fn an_announced_address_that_cannot_be_reached_is_named() {
    let cluster = Cluster::start().await;
    announce_nowhere(&cluster).await;
    let owner = cluster.owner_of(KEY).await.address();
    let other = cluster.addresses().into_iter().find(|one| *one != owner);
    let other = other.unwrap();

    let text = fails(&format!("redis+cluster://{other}"), Duration::from_secs(1)).await;

    assert!(text.contains("the node that has the keys"), "{text}");
    assert!(text.contains("127.0.0.1:1: "), "{text}");
    assert!(
        text.contains(&format!("{other}: the cluster is up")),
        "{text}"
    );
}

/// Makes all nodes announce an address that nobody listens on, and waits until each knows it.
async fn announce_nowhere(cluster: &Cluster) {
    for server in cluster.servers() {
        let announce = ["CONFIG", "SET", "cluster-announce-port", "1"];
        server.command(&announce).await;
    }
    for server in cluster.servers() {
        wait_for("all nodes are named there", TIMEOUT, async || {
            let nodes = server.cli(&["CLUSTER", "NODES"]).await;
            nodes.trim().lines().all(|node| node.contains(":1@"))
        })
        .await;
    }
}

#[tokio::test]
async fn nodes_are_used_at_the_host_names_that_they_announce() {
    let cluster = Cluster::start().await;
    for server in cluster.servers() {
        for (name, value) in [
            ("cluster-announce-hostname", "localhost"),
            ("cluster-preferred-endpoint-type", "hostname"),
        ] {
            server.command(&["CONFIG", "SET", name, value]).await;
        }
    }
    let seed = cluster.servers().next().unwrap();
    for server in cluster.servers() {
        wait_for("all host names are known there", TIMEOUT, async || {
            let nodes = server.cli(&["CLUSTER", "NODES"]).await;
            nodes
                .trim()
                .lines()
                .all(|node| node.contains(",localhost "))
        })
        .await;
    }

    let bus = Node::start(Bus::builder(&format!("redis+cluster://{}", seed.address()))).await;

    let Connection::Up { server, .. } = bus.health().connection else {
        panic!("not connected");
    };
    assert!(server.contains("localhost:"), "{server}");
    let ticks: Collected<u64> = bus.collect("tick");
    bus.send_to_all("tick", &1).await.unwrap();
    ticks.wait_for_len(1).await;
    let counter = bus.counter("visits").unwrap();
    counter.add(1).await.unwrap();
    cluster.move_slot(KEY).await;
    assert_eq!(counter.add(1).await.unwrap(), 2);
}
