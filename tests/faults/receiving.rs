//! Subscribers that do not receive: half-open connections, and slow subscribers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tidings::{Bus, BusBuilder, Connection, Format, Gap, GapReason, HandlerOptions, Health};
use tidings_testkit::{Collected, Direction, Fault, Node, Proxy, Redis, wait_for};
use tokio::time::{Instant, timeout};

use super::HEARING;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_half_open_connection_is_detected_and_replaced() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.address()).await;
    let (sender, subscriber) = (redis.node().await, proxy.node().await);
    let ticks: Collected<u64> = subscriber.collect("tick");
    sender.send_to_all("tick", &1).await.unwrap();
    ticks.wait_for_len(1).await;

    proxy.set_connection(HEARING, Fault::Drop(Direction::ToClient));
    sender.send_to_all("tick", &2).await.unwrap();

    // The connection looks healthy: only the missing heartbeat reveals it.
    wait_for("the connection is replaced", SOON, async || {
        subscriber.health().is_ready() && subscriber.health().reconnects == 1
    })
    .await;
    sender.send_to_all("tick", &3).await.unwrap();
    assert_eq!(*ticks.wait_for_len(2).await[1], 3);
    let gaps = subscriber.gaps().wait_for_len(2).await;
    assert_eq!(gaps[0].reason, GapReason::Reconnected);
    let missed = Gap::clone(&gaps[1]);
    assert_eq!((missed.sender, missed.missed), (Some(sender.id()), Some(1)));
}

/// Redis disconnects a subscriber that is this far behind: half of the default, for half the
/// duration.
const LIMIT: (&str, &str) = ("client-output-buffer-limit", "pubsub 16mb 0 0");

/// Sends 40 MB at full speed to a subscriber that needs 4 ms for each 100 kB. It catches up when the
/// machine delays it: a handler that is slow for longer than 10 s loses events.
async fn no_event_between_is_lost(sender: &Node, subscriber: &Node) {
    const EVENTS: u64 = 400;
    const PACE: Duration = Duration::from_millis(4);
    let handled = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&handled);
    let begun = OnceLock::new();
    let slowly = move |_: String| {
        let before = u32::try_from(count.fetch_add(1, Ordering::Relaxed)).unwrap();
        let begun = *begun.get_or_init(Instant::now);
        tokio::time::sleep_until(begun + PACE * (before + 1))
    };
    let few = HandlerOptions::new().queue(8);
    subscriber.on_with("text", few, slowly).unwrap();
    let text = "x".repeat(100_000);

    for _ in 0..EVENTS {
        sender.feed("text", &text).await.unwrap();
    }
    sender.flush().await.unwrap();

    wait_for("all are handled, or some never will be", SOON, async || {
        let all = handled.load(Ordering::Relaxed) == EVENTS;
        all || !subscriber.gaps().all().is_empty()
    })
    .await;
    let gaps = subscriber.gaps().all();
    assert!(gaps.is_empty(), "{gaps:?}");
    assert_eq!(subscriber.health().reconnects, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fast_sender_waits_for_a_slow_subscriber() {
    let redis = Redis::builder().config(LIMIT.0, LIMIT.1).start().await;
    let compact = |builder: BusBuilder| builder.format(Format::MessagePack);
    let sender = redis.node_with(compact).await;
    let subscriber = redis.node_with(compact).await;

    no_event_between_is_lost(&sender, &subscriber).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fast_sender_without_client_list_waits_for_its_own_echo() {
    let redis = Redis::builder()
        .config(LIMIT.0, LIMIT.1)
        .user("blind on >hush-hush ~* &* +@all -client")
        .start()
        .await;
    let url = redis.url_as("blind", "hush-hush");
    let node = Node::start(Bus::builder(&url).format(Format::MessagePack)).await;

    no_event_between_is_lost(&node, &node).await;
}

#[tokio::test]
async fn a_bus_that_receives_from_another_server_than_it_sends_to_detects_it() {
    let (here, there) = (Redis::start().await, Redis::start().await);
    let proxy = Proxy::start(here.address()).await;
    // Slow enough to redirect the proxy between the two connections, as a DNS name can change.
    proxy.set(Fault::Latency(Duration::from_millis(100)));
    let builder = Bus::builder(&proxy.url()).heartbeat_interval(Duration::from_millis(500));
    let starting = tokio::spawn(Node::start(builder));
    wait_for("it opens the receiving connection", SOON, async || {
        proxy.accepted_connections() == 1
    })
    .await;
    proxy.redirect(there.address());
    let node = starting.await.unwrap();
    proxy.set(Fault::None);
    let ticks: Collected<u64> = node.collect("tick");
    let other = here.node().await.bus().clone();
    let traffic = tokio::spawn(async move {
        let mut clock = tokio::time::interval(Duration::from_millis(20));
        loop {
            clock.tick().await;
            other.send_to_all("tick", &1).await.unwrap();
        }
    });
    ticks.wait_for_len(10).await;

    // It receives events, and its sends succeed. Only the other subscribers miss them.
    let mut changes = node.watch_health();
    node.send_to_all("tick", &2).await.unwrap();

    let disconnected = timeout(SOON, changes.wait_for(|health| !health.is_ready())).await;
    let Some(Health {
        connection: Connection::Disconnected { why, .. },
        ..
    }) = disconnected.unwrap()
    else {
        panic!("the bus was shut down")
    };
    assert!(why.contains("not received its own events"), "{why}");
    traffic.abort();
    let up = timeout(SOON, changes.wait_for(Health::is_ready)).await;
    assert!(up.unwrap().is_some());
    node.send_to_all("tick", &3).await.unwrap();
    ticks.wait_for(|tick| *tick == 3).await;
}
