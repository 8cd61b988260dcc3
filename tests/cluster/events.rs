//! Events while nodes are killed, frozen and replaced.

use std::time::Duration;

use tidings::{Bus, Connection, TopologyKind};
use tidings_testkit::{Cluster, Collected, Node, Redis, wait_for};
use tokio::time::Instant;

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
    let ports: Vec<_> = cluster.servers().map(Redis::port).collect();
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

    send_large(&bus, 20).await;

    for server in cluster.servers() {
        wait_for("the node is asked", SOON, async || {
            questions(server).await > 0
        })
        .await;
    }
}

#[tokio::test]
async fn a_fast_sender_asks_a_node_that_was_added() {
    let cluster = Cluster::builder().replicas(0).start().await;
    let bus = Node::start(Bus::builder(&cluster.url())).await;
    let added = Redis::builder()
        .config("cluster-enabled", "yes")
        .config("cluster-config-file", "nodes.conf")
        .start()
        .await;
    join(&cluster, &added).await;

    wait_for("the added node is asked", SOON, async || {
        send_large(&bus, 10).await;
        questions(&added).await > 0
    })
    .await;
}

/// Adds a replica to the cluster, and waits until all nodes name it to clients.
async fn join(cluster: &Cluster, added: &Redis) {
    let first = cluster.servers().next().unwrap();
    let master = first.cli(&["CLUSTER", "MYID"]).await;
    let (host, port) = (first.address().ip().to_string(), first.port().to_string());
    let nodes = first.cli(&["CLUSTER", "NODES"]).await;
    let line = nodes.lines().find(|line| line.contains("myself")).unwrap();
    let bus_port = line.split(['@', ' ', ',']).nth(2).unwrap();
    let meet = ["CLUSTER", "MEET", &host, &port, bus_port];
    added.command(&meet).await;
    let replicate = ["CLUSTER", "REPLICATE", &master];
    wait_for("the added node knows its master", SOON, async || {
        added.try_command(&replicate).await.is_ok()
    })
    .await;
    let port = added.port().to_string();
    wait_for("all nodes name the added one", SOON, async || {
        for server in cluster.servers() {
            if !server.cli(&["CLUSTER", "SLOTS"]).await.contains(&port) {
                return false;
            }
        }
        true
    })
    .await;
}

#[tokio::test]
async fn a_node_that_the_others_have_forgotten_is_not_used() {
    let cluster = Cluster::start().await;
    let forgotten = cluster.replica_of(KEY).await;
    let id = forgotten.cli(&["CLUSTER", "MYID"]).await;
    for server in cluster.servers() {
        if server.port() != forgotten.port() {
            server.command(&["CLUSTER", "FORGET", &id]).await;
        }
    }

    let bus = Node::start(Bus::builder(&cluster.url())).await;

    let Connection::Up { left_out, .. } = bus.health().connection else {
        panic!("the bus is up");
    };
    let expected = format!("{}: the other nodes do not name it", forgotten.address());
    assert_eq!(left_out, [expected]);
    let (from, to) = path(&bus).unwrap();
    assert!(![from, to].contains(&forgotten.port()));
}

#[tokio::test]
async fn a_silent_node_does_not_stop_fast_senders() {
    let patient = Duration::from_mins(1);
    let cluster = Cluster::builder().masters(4).replicas(0);
    let cluster = cluster.node_timeout(patient).start().await;
    let bus = Node::start(Bus::builder(&cluster.url())).await;
    let silent = unused(&cluster, &bus).await;
    send_large(&bus, 20).await;

    let before = questions(silent).await;
    silent.freeze();
    let durations = send_large(&bus, 60).await;
    silent.resume();

    // The nodes are asked after every 4 MiB, so seven times or more.
    let slow = durations.iter().filter(|took| took.as_millis() > 900);
    let slow = slow.count();
    assert!(slow <= 3, "{slow} of 60 sends waited: {durations:?}");
    wait_for("the node is asked again", SOON, async || {
        send_large(&bus, 10).await;
        // It answers the question that it got while it was silent, too.
        questions(silent).await > before + 2
    })
    .await;
}

/// A node that the bus neither receives from nor sends through, and that has not its slot.
async fn unused<'a>(cluster: &'a Cluster, bus: &Bus) -> &'a Redis {
    let (from, to) = path(bus).unwrap();
    let used = [from, to, cluster.owner_of(KEY).await.port()];
    let mut servers = cluster.servers();
    servers.find(|one| !used.contains(&one.port())).unwrap()
}

/// Sends this many events of 500 kB, and returns the time that each took.
async fn send_large(bus: &Bus, count: usize) -> Vec<Duration> {
    let large = "x".repeat(500_000);
    let mut durations = Vec::new();
    for _ in 0..count {
        let began = Instant::now();
        bus.send_to_all("large", &large).await.unwrap();
        durations.push(began.elapsed());
    }
    durations
}

/// The number of times that a node was asked for the backlogs of its subscribers.
async fn questions(server: &Redis) -> u64 {
    let calls = server.cli(&["INFO", "commandstats"]).await;
    let calls = calls.split_once("cmdstat_client|list:calls=");
    calls.map_or(0, |(_, calls)| {
        let calls = calls.split_once(',').unwrap().0;
        calls.parse().unwrap()
    })
}
