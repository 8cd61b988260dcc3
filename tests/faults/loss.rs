//! Lost events are reported exactly.

use std::time::Duration;

use futures_util::StreamExt;
use tidings::{Failure, Gap, GapReason, HandlerFailure};
use tidings_testkit::{Collected, Node, Redis, wait_for};
use tokio::time::timeout;

use super::traffic::{SendResult, Traffic};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_event_lost_while_cut_off_is_reported_as_a_gap() {
    let redis = Redis::start().await;
    let (sender, subscriber) = redis.two_nodes().await;
    let ticks: Collected<u64> = subscriber.collect("tick");
    sender.send_to_all("tick", &1).await.unwrap();
    ticks.wait_for_len(1).await;

    redis.cut_off(&subscriber).await;
    sender.send_to_all("tick", &2).await.unwrap();
    sender.send_to_all("tick", &3).await.unwrap();
    redis.restore(&subscriber).await;
    sender.send_to_all("tick", &4).await.unwrap();

    ticks.wait_for(|tick| *tick == 4).await;
    let gaps = subscriber.gaps().wait_for_len(2).await;
    // First a possible loss, then its exact size from the sequence numbers.
    assert_eq!((gaps[0].sender, gaps[0].missed), (None, None));
    assert_eq!(gaps[0].reason, GapReason::Reconnected);
    assert_eq!(
        (gaps[1].sender, gaps[1].missed),
        (Some(sender.id()), Some(2))
    );
    assert_eq!(gaps[1].reason, GapReason::Missed);
    assert_eq!(subscriber.health().reconnects, 1);
    assert!(sender.gaps().all().is_empty());
}

#[tokio::test]
async fn a_last_event_lost_while_cut_off_is_detected_without_another() {
    let redis = Redis::start().await;
    let (sender, subscriber) = redis.two_nodes().await;
    let ticks: Collected<u64> = subscriber.collect("tick");
    sender.send_to_all("tick", &1).await.unwrap();
    ticks.wait_for_len(1).await;

    redis.cut_off(&subscriber).await;
    sender.send_to_all("tick", &2).await.unwrap();
    redis.restore(&subscriber).await;

    // An idle sender repeats its position after one second.
    let gap = subscriber.gaps().wait_for(|gap| gap.sender.is_some()).await;
    assert_eq!((gap.sender, gap.missed), (Some(sender.id()), Some(1)));
}

#[tokio::test]
async fn the_loss_of_the_first_event_of_a_known_sender_is_detected() {
    let redis = Redis::start().await;
    let subscriber = redis.node().await;
    let mut channel = channel(&redis).await;
    let sender = redis.node().await;
    // The sender announced itself when it started, so its first number is known to be 1.
    position_of(&sender, 1, &mut channel).await;

    redis.cut_off(&subscriber).await;
    sender.send_to_all("tick", &1).await.unwrap();
    redis.restore(&subscriber).await;
    sender.send_to_all("tick", &2).await.unwrap();

    let gap = subscriber.gaps().wait_for(|gap| gap.sender.is_some()).await;
    assert_eq!((gap.sender, gap.missed), (Some(sender.id()), Some(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_accounted_for_when_redis_is_killed_during_sends() {
    let mut redis = Redis::start().await;
    let subscriber = Node::start(tidings::Bus::builder(&redis.url())).await;
    let sender = Node::start(tidings::Bus::builder(&redis.url())).await;
    let traffic = Traffic::start(sender, subscriber);

    for _ in 0..3 {
        traffic.goes_on(50).await;
        redis.restart().await;
    }
    wait_for("both are back", SOON, async || {
        let (sender, subscriber) = (traffic.sender.health(), traffic.subscriber.health());
        sender.is_ready() && subscriber.is_ready() && subscriber.reconnects >= 3
    })
    .await;
    let (_, subscriber) = traffic.end().await;

    let unknown = subscriber
        .gaps()
        .all()
        .iter()
        .filter(|gap| gap.missed.is_none())
        .count();
    assert!(unknown >= 3, "each lost connection is a gap at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_accounted_for_when_connections_are_closed_during_sends() {
    let redis = Redis::start().await;
    let subscriber = Node::start(tidings::Bus::builder(&redis.url())).await;
    let sender = Node::start(tidings::Bus::builder(&redis.url())).await;
    let traffic = Traffic::start(sender, subscriber);

    for round in 0..10 {
        traffic.goes_on(20).await;
        match round % 3 {
            0 => redis.kill_subscribers().await,
            1 => redis.kill_senders().await,
            _ => redis.kill_clients().await,
        };
    }
    traffic.goes_on(20).await;
    let (results, _) = traffic.end().await;

    // Redis was never away for long: nothing may fail, and unknown sends were repeated.
    assert!(
        results
            .iter()
            .all(|result| matches!(result, SendResult::Sent(_))),
        "a send failed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_events_are_received_once_when_only_the_sender_is_disconnected() {
    let redis = Redis::builder()
        .user("sender on >hush-hush ~* &* +@all")
        .start()
        .await;
    let subscriber = redis.node().await;
    let sender = Node::start(tidings::Bus::builder(&redis.url_as("sender", "hush-hush"))).await;
    let traffic = Traffic::start(sender, subscriber);

    for _ in 0..50 {
        traffic.goes_on(5).await;
        let cut = ["CLIENT", "KILL", "USER", "sender", "TYPE", "normal"];
        redis.command(&cut).await;
    }
    let (results, subscriber) = traffic.end().await;

    assert!(
        results
            .iter()
            .all(|result| matches!(result, SendResult::Sent(_))),
        "a send failed"
    );
    assert!(subscriber.gaps().all().is_empty());
    assert_eq!(subscriber.health().reconnects, 0);
}

#[tokio::test]
async fn an_idle_sender_states_its_position() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let mut channel = channel(&redis).await;

    node.send_to_all("tick", &1).await.unwrap();

    let stated = position_of(&node, 2, &mut channel);
    timeout(Duration::from_secs(3), stated)
        .await
        .expect("the loss of the last event is reported");
}

#[tokio::test]
async fn a_gap_handler_that_panics_is_reported_and_gets_the_next_gap() {
    let redis = Redis::start().await;
    let received: Collected<Gap> = Collected::default();
    let sink = received.clone();
    let panic_first = move |gap: Gap| {
        let is_first = sink.all().is_empty();
        sink.push(gap);
        assert!(!is_first, "no gap was expected");
        std::future::ready(())
    };
    let node = Node::start(tidings::Bus::builder(&redis.url()).on_gap(panic_first)).await;

    redis.kill_subscribers().await;
    received.wait_for_len(1).await;
    let is_panic = |failure: &Failure| match failure {
        Failure::Handler { cause, .. } => {
            matches!(cause, HandlerFailure::Panicked(text) if text.contains("no gap was expected"))
        }
        _ => false,
    };
    node.failures().wait_for(is_panic).await;
    wait_for("the node is back", SOON, async || node.health().is_ready()).await;
    redis.kill_subscribers().await;

    received.wait_for_len(2).await;
    assert_eq!(node.failures().all().len(), 1);
}

/// Subscribes to the channel without tidings.
async fn channel(redis: &Redis) -> redis::aio::PubSub {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut channel = client.get_async_pubsub().await.unwrap();
    channel.subscribe("tidings:{default}").await.unwrap();
    channel
}

/// Waits until the node states that its next event has this number.
async fn position_of(node: &Node, next: u64, channel: &mut redis::aio::PubSub) {
    let position = format!(
        r#"{{"v":1,"from":"{}","seq":{next},"events":[]}}"#,
        node.id()
    );
    let mut frames = channel.on_message();
    while let Some(frame) = frames.next().await {
        if frame.get_payload_bytes() == position.as_bytes() {
            return;
        }
    }
    panic!("the channel ended");
}
