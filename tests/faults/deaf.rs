//! Hearers that do not hear as they should: deaf ones, and slow ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidings::{Builder, Bus, Format, Gap, GapReason, Handling};
use tidings_testkit::{Collected, Fault, Node, Proxy, Redis, Way, wait_for};

use super::HEARING;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_deaf_connection_is_found_and_replaced() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.address()).await;
    let (sender, hearer) = (redis.node().await, proxy.node().await);
    let ticks: Collected<u64> = hearer.collect("tick");
    sender.send_to_all("tick", &1).await.unwrap();
    ticks.wait_len(1).await;

    proxy.set_one(HEARING, Fault::Swallow(Way::FromServer));
    sender.send_to_all("tick", &2).await.unwrap();

    // Its connection looks well: only its own sign of life, which does not come back, tells.
    wait_for("the connection is replaced", SOON, async || {
        hearer.health().is_up() && hearer.health().reconnects == 1
    })
    .await;
    sender.send_to_all("tick", &3).await.unwrap();
    assert_eq!(*ticks.wait_len(2).await[1], 3);
    let gaps = hearer.gaps().wait_len(2).await;
    assert_eq!(gaps[0].reason, GapReason::Reconnected);
    let missed = Gap::clone(&gaps[1]);
    assert_eq!((missed.from, missed.missed), (Some(sender.id()), Some(1)));
}

/// Redis cuts a hearer off that is this far behind: half of the default, for a test of half the
/// length.
const LIMIT: (&str, &str) = ("client-output-buffer-limit", "pubsub 16mb 0 0");

/// Sends 80 MB as fast as they leave to somebody who needs 4 ms for each 100 kB.
async fn nothing_is_lost_between(sender: &Node, hearer: &Node) {
    const EVENTS: u64 = 800;
    let handled = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&handled);
    let slowly = move |_: String| {
        count.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(4))
    };
    let few = Handling::new().queue(8);
    hearer.on_with("text", few, slowly).unwrap();
    let text = "x".repeat(100_000);

    for _ in 0..EVENTS {
        sender.feed("text", &text).await.unwrap();
    }
    sender.flush().await.unwrap();

    wait_for("all are handled, or some never will be", SOON, async || {
        let all = handled.load(Ordering::Relaxed) == EVENTS;
        all || !hearer.gaps().all().is_empty()
    })
    .await;
    assert!(hearer.gaps().all().is_empty());
    assert_eq!(hearer.health().reconnects, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fast_sender_waits_for_a_slow_hearer() {
    let redis = Redis::builder().config(LIMIT.0, LIMIT.1).start().await;
    let compact = |builder: Builder| builder.format(Format::MessagePack);
    let sender = redis.node_with(compact).await;
    let hearer = redis.node_with(compact).await;

    nothing_is_lost_between(&sender, &hearer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fast_sender_that_may_not_look_at_others_waits_for_itself() {
    let redis = Redis::builder()
        .config(LIMIT.0, LIMIT.1)
        .user("blind on >hush-hush ~* &* +@all -client|list")
        .start()
        .await;
    let url = redis.url_as("blind", "hush-hush");
    let node = Node::start(Bus::builder(&url).format(Format::MessagePack)).await;

    nothing_is_lost_between(&node, &node).await;
}
