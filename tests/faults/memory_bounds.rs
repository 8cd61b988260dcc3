//! Memory of a process under all faults: bounded, and dropped events are counted.

use std::fs::read_to_string;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidings::{Format, GapReason, HandlerOptions};
use tidings_testkit::{Collected, Direction, Fault, Node, Proxy, Redis, wait_for};
use tidings_tests::alone;
use tokio::sync::watch;

const SOON: Duration = Duration::from_mins(1);

const MIB: u64 = 1 << 20;

/// A line of `/proc/self/status`, in bytes.
fn memory(line: &str) -> u64 {
    let status = read_to_string("/proc/self/status").unwrap();
    let found = status.lines().find_map(|text| text.strip_prefix(line));
    let kib = found.and_then(|text| text.trim_matches([':', '\t', ' ', 'k', 'B']).parse().ok());
    kib.map(|kib: u64| kib * 1024).unwrap()
}

/// Starts a node with a format that encodes a long text quickly.
async fn flooding(redis: &Redis) -> Node {
    redis.node_with(|bus| bus.format(Format::MessagePack)).await
}

/// Feeds this many texts of four kilobytes.
async fn flood(sender: &Node, events: u64) {
    let text = "x".repeat(4_000);
    for _ in 0..events {
        sender.feed("text", &text).await.unwrap();
    }
    sender.flush().await.unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_blocked_handler_uses_no_more_memory_than_its_queue_and_each_loss_is_counted() {
    // Other tests would use memory of the same process.
    let name = "faults::memory_bounds::a_blocked_handler_uses_no_more_memory_than_its_queue_and_each_loss_is_counted";
    if alone(name).is_none() {
        send_to_a_blocked_handler();
    }
}

#[cfg(target_os = "linux")]
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn send_to_a_blocked_handler() {
    // 4 kB each: twice as much as the process may use.
    const EVENTS: u64 = 40_000;
    let redis = Redis::start().await;
    let (sender, subscriber) = (flooding(&redis).await, redis.node().await);
    let (go_on, stuck) = watch::channel(false);
    let handled = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&handled);
    let handler = move |_: String| {
        let (mut stuck, count) = (stuck.clone(), Arc::clone(&count));
        async move {
            let _ = stuck.wait_for(|goes_on| *goes_on).await;
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    // Only the queue takes its events, and no call that ran into its timeout.
    let patient = HandlerOptions::new().timeout(Duration::MAX);
    subscriber.on_with("text", patient, handler).unwrap();
    let base = memory("VmRSS");

    flood(&sender, EVENTS).await;

    // Both nodes, and everything between them and Redis.
    let most = memory("VmHWM") - base;
    assert!(most < 80 * MIB, "{} MiB more than before", most / MIB);
    wait_for("everything is received", SOON, async || {
        subscriber.health().received == EVENTS
    })
    .await;
    go_on.send_replace(true);
    wait_for(
        "each event is handled or counted as lost",
        SOON,
        async || handled.load(Ordering::Relaxed) + subscriber.health().dropped == EVENTS,
    )
    .await;
    let reported = subscriber.gaps().all();
    let is_overflow = |reason: &GapReason| matches!(reason, GapReason::Overflow { .. });
    assert!(reported.iter().all(|gap| is_overflow(&gap.reason)));
    assert_eq!(subscriber.health().missed, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_disconnected_for_its_unread_output_detects_and_counts_the_loss() {
    // 4 kB each: more than Redis buffers for a subscriber, and than the buffers on the way.
    const EVENTS: u64 = 15_000;
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.address()).await;
    let (sender, subscriber) = (flooding(&redis).await, proxy.node().await);
    let texts: Collected<String> = subscriber.collect("text");
    flood(&sender, 1).await;
    texts.wait_for_len(1).await;

    proxy.set(Fault::Blackhole(Direction::Both));
    flood(&sender, EVENTS).await;
    proxy.set(Fault::None);

    wait_for("it receives again", SOON, async || {
        subscriber.health().reconnects > 0 && subscriber.is_ready()
    })
    .await;
    flood(&sender, 1).await;
    wait_for(
        "each event is received or counted as missed",
        SOON,
        async || {
            let health = subscriber.health();
            health.received + health.missed == EVENTS + 2
        },
    )
    .await;
    assert!(subscriber.health().missed > 0);
    assert_eq!(subscriber.health().dropped, 0);
}
