//! Events that were sent before a bus started.

use std::time::Duration;

use tidings::{Bus, BusBuilder, Context, Journal, Since};
use tidings_testkit::{Collected, Node, Redis, memory_url};

use super::{has_received, journaled, send};

/// A node that reads from there on, and what its handler received: the tick, and whether it was
/// replayed.
async fn reads_since(builder: BusBuilder, since: Since) -> (Node, Collected<(u64, bool)>) {
    let ticks = Collected::default();
    let seen = ticks.clone();
    let builder = builder.journal(Journal::default().since(since)).on(
        "tick",
        move |tick: u64, context: Context| {
            seen.push((tick, context.is_replayed()));
            std::future::ready(())
        },
    );
    (Node::start(builder).await, ticks)
}

#[tokio::test]
async fn a_bus_that_begins_at_the_start_receives_all_that_the_journal_has() {
    for redis in [None, Some(Redis::start().await)] {
        let memory = memory_url();
        let url = redis.as_ref().map_or(memory, Redis::url);
        let sender = Node::start(journaled(Bus::builder(&url))).await;
        send(&sender, 1..=1_000).await;

        let (node, ticks) = reads_since(Bus::builder(&url), Since::Start).await;
        node.caught_up().await;
        send(&sender, 1_001..=1_001).await;

        let ticks = ticks.wait_for_len(1_001).await;
        assert!(ticks.iter().map(|tick| tick.0).eq(1..=1_001), "{ticks:?}");
        let live: Vec<_> = ticks
            .iter()
            .filter(|tick| !tick.1)
            .map(|tick| tick.0)
            .collect();
        assert_eq!(live, [1_001]);
        assert!(node.gaps().all().is_empty(), "{:?}", node.gaps().all());
    }
}

#[tokio::test]
async fn a_bus_that_begins_a_time_ago_receives_what_was_sent_since() {
    let redis = Redis::start().await;
    let sender = Node::start(journaled(Bus::builder(&redis.url()))).await;
    send(&sender, 1..=5).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    send(&sender, 6..=10).await;

    let since = Since::Ago(Duration::from_secs(1));
    let (node, ticks) = reads_since(Bus::builder(&redis.url()), since).await;
    node.caught_up().await;

    let ticks = ticks.wait_for_len(5).await;
    assert!(
        ticks
            .iter()
            .map(|tick| **tick)
            .eq((6..=10).map(|tick| (tick, true))),
        "{ticks:?}"
    );
    assert!(node.gaps().all().is_empty(), "{:?}", node.gaps().all());
}

#[tokio::test]
async fn a_bus_that_begins_now_receives_nothing_of_the_past_and_everything_from_its_start_on() {
    let redis = Redis::start().await;
    let sender = Node::start(journaled(Bus::builder(&redis.url()))).await;
    send(&sender, 1..=5).await;

    let (node, ticks) = reads_since(Bus::builder(&redis.url()), Since::Now).await;
    node.caught_up().await;
    send(&sender, 6..=6).await;

    assert_eq!(**ticks.wait_for_len(1).await.first().unwrap(), (6, false));
}

#[tokio::test]
async fn requests_and_acknowledged_events_work_beside_the_journal() {
    let redis = Redis::start().await;
    let (one, other) = super::two_nodes(&redis).await;
    other
        .on("double", |number: u64| async move {
            Ok::<_, tidings::HandlerError>(number * 2)
        })
        .unwrap();

    for number in 1..=3_u64 {
        let request = one.request::<u64, _, _>(other.id(), "double", &number);
        let response = request.await.unwrap();
        assert_eq!(response.value.unwrap(), number * 2);
        let sending = one.send_to_all("double", &number);
        let summary = sending.acknowledged(Duration::from_secs(5)).await.unwrap();
        assert!(summary.to_string().contains("1 handled"), "{summary}");
    }

    // The events and the requests have numbers of their own.
    for node in [&one, &other] {
        assert!(node.gaps().all().is_empty(), "{:?}", node.gaps().all());
    }
}

#[tokio::test]
async fn a_replayed_acknowledged_event_is_handled_and_not_answered() {
    let redis = Redis::start().await;
    let sender = Node::start(journaled(Bus::builder(&redis.url()))).await;
    let ticks: Collected<u64> = sender.collect("tick");
    let sending = sender.send_to_all("tick", &1_u64);
    sending.acknowledged(Duration::from_secs(5)).await.unwrap();
    has_received(&ticks, 1).await;

    let (node, ticks) = reads_since(Bus::builder(&redis.url()), Since::Start).await;
    node.caught_up().await;

    assert_eq!(**ticks.wait_for_len(1).await.first().unwrap(), (1, true));
    assert_eq!(node.health().sent, 0);
}

#[tokio::test]
async fn the_context_of_a_stream_has_the_position_of_its_event() {
    let node = Node::start(journaled(Bus::builder(&memory_url()))).await;
    let mut ticks = node.stream::<_, u64>("tick").unwrap();
    let receipt = node.send_to_all("tick", &1).await.unwrap();
    ticks.next().await.unwrap();
    let context = ticks.context().unwrap();
    assert!(receipt.position().is_some());
    assert_eq!(context.position(), receipt.position());
}
