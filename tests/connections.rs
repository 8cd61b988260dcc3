//! The connections of a bus, as `docs/src/capacity.md` counts them.

use std::time::Duration;

use tidings::{Bus, BusBuilder, Journal};
use tidings_testkit::{Cluster, Redis, Sentinels, wait_for};

const SOON: Duration = Duration::from_secs(10);

/// Counts the connections of buses: nothing else speaks RESP3 here.
async fn connections(servers: &[&Redis]) -> usize {
    let mut count = 0;
    for server in servers {
        let clients = server.cli(&["CLIENT", "LIST"]).await;
        count += clients.matches(" resp=3").count();
    }
    count
}

async fn has(servers: &[&Redis], count: usize, bus: BusBuilder) {
    let bus = bus.start().await.unwrap();
    wait_for("the book is right", SOON, async || {
        connections(servers).await == count
    })
    .await;
    // No further one for keys.
    bus.counter("visits").unwrap().add(1).await.unwrap();
    assert_eq!(connections(servers).await, count);
}

#[tokio::test]
async fn a_bus_has_two_connections_to_a_server_and_two_for_a_journal() {
    let redis = Redis::start().await;
    has(&[&redis], 2, Bus::builder(&redis.url())).await;

    let bus = Bus::builder(&redis.url()).journal(Journal::default());
    has(&[&redis], 4, bus).await;
}

#[tokio::test]
async fn a_bus_has_two_connections_to_a_master_and_one_to_each_sentinel() {
    let sentinels = Sentinels::start().await;
    let bus = Bus::builder(&sentinels.url());
    let servers = sentinels.servers().iter().chain(sentinels.sentinels());
    has(&servers.collect::<Vec<_>>(), 5, bus).await;
}

#[tokio::test]
async fn a_bus_has_three_connections_to_a_cluster_and_two_for_a_journal() {
    let cluster = Cluster::start().await;
    let servers: Vec<_> = cluster.servers().collect();
    has(&servers, 3, Bus::builder(&cluster.url())).await;

    let bus = Bus::builder(&cluster.url()).journal(Journal::default());
    has(&servers, 5, bus).await;
}
