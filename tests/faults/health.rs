//! The health of a bus during faults.

use std::time::Duration;

use tidings::{Bus, Connection, Health, SendError, SendFailure, TopologyKind};
use tidings_testkit::{Collected, Direction, Fault, Node, Proxy, Redis, wait_for};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn health_names_the_server_and_the_time_of_the_last_receipt() {
    let redis = Redis::start().await;
    let node = redis.node().await;

    let began = std::time::Instant::now();
    node.send_to_all("tick", &1).await.unwrap();

    wait_for("its own event is received", SOON, async || {
        let received = node.health().last_received;
        received.is_some_and(|received| received >= began)
    })
    .await;
    let health = node.health();
    assert_eq!(health.topology, TopologyKind::Standalone);
    assert_eq!(health.address, redis.url());
    let Connection::Up { server, .. } = health.connection else {
        panic!("{health:?}")
    };
    assert_eq!(server, redis.url());
}

#[tokio::test]
async fn each_change_is_reported_with_its_reason_until_the_shutdown() {
    let mut redis = Redis::start().await;
    let node = Node::start(Bus::builder(&redis.url())).await;
    let mut changes = node.watch_health();
    assert!(node.is_ready() && changes.now().is_ready());

    redis.kill();
    let disconnected = timeout(SOON, changes.changed()).await.unwrap().unwrap();
    assert!(!node.is_ready());
    assert!(
        matches!(disconnected.connection, Connection::Disconnected { why, .. } if !why.is_empty())
    );
    redis.start_again().await;
    let up = timeout(SOON, changes.wait_for(Health::is_ready));
    let up = up.await.unwrap().unwrap();
    assert!(node.is_ready());
    assert_eq!((up.reconnects, up.gaps), (1, 1));

    node.shutdown(SOON).await.unwrap();
    let closed = timeout(SOON, changes.changed()).await.unwrap().unwrap();
    assert_eq!(closed.connection, Connection::Closed);
    assert!(timeout(SOON, changes.changed()).await.unwrap().is_none());
    assert!(!node.is_ready());
}

#[tokio::test]
async fn a_shorter_heartbeat_interval_detects_a_half_open_connection_sooner() {
    const INTERVAL: Duration = Duration::from_millis(200);
    let redis = Redis::start().await;
    for fault in [
        Fault::Blackhole(Direction::Both),
        Fault::Drop(Direction::ToClient),
        Fault::SilentClose,
    ] {
        let proxy = Proxy::start(redis.address()).await;
        let builder = Bus::builder(&proxy.url()).heartbeat_interval(INTERVAL);
        let node = Node::start(builder).await;
        // A watcher gets no error either.
        let _ticks: Collected<u64> = node.collect("tick");

        proxy.set(fault);

        let mut changes = node.watch_health();
        let disconnected = timeout(SOON, changes.wait_for(|health| !health.is_ready())).await;
        assert!(disconnected.unwrap().is_some(), "{fault:?}");
        proxy.set(Fault::None);
        let up = timeout(SOON, changes.wait_for(Health::is_ready)).await;
        assert!(up.unwrap().is_some(), "{fault:?}");
    }
}

#[tokio::test]
async fn a_volatile_send_fails_at_once_while_others_of_the_bus_wait() {
    let mut redis = Redis::start().await;
    let node = Node::start(Bus::builder(&redis.url())).await;
    let volatile = node.volatile();
    volatile.send_to_all("tick", &1).await.unwrap();
    redis.kill();
    wait_for("the outage is detected", SOON, async || !node.is_ready()).await;

    let waiting = node.send_to_all("tick", &2);
    let failed = timeout(SOON, volatile.send_to_all("tick", &3));

    let (receipt, failed) = tokio::join!(waiting, async {
        let failed = failed.await.unwrap();
        redis.start_again().await;
        failed
    });
    let unreachable = SendFailure::Unreachable;
    assert!(matches!(failed, Err(SendError::NotSent { why, .. }) if why == unreachable));
    assert_eq!(receipt.unwrap().sequence, 2);
}
