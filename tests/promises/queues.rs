//! Full queues of handlers.

use std::sync::Arc;
use std::time::Duration;

use tidings::{Gap, GapReason, HandlerOptions, Overflow};
use tidings_testkit::{Collected, Node};
use tokio::sync::Semaphore;

use crate::place::Place;

/// A handler that blocks until it is released, and the events that it has handled.
pub(crate) struct Slow {
    pub(crate) begun: Collected<u64>,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) handled: Collected<u64>,
}

pub(crate) fn slow(node: &Node, handling: HandlerOptions) -> Slow {
    let (begun, permits, handled) = (
        Collected::default(),
        Arc::new(Semaphore::new(0)),
        Collected::default(),
    );
    let (begin, wait, sink) = (begun.clone(), Arc::clone(&permits), handled.clone());
    let handler = move |tick: u64| {
        let (begin, wait, sink) = (begin.clone(), Arc::clone(&wait), sink.clone());
        async move {
            begin.push(tick);
            wait.acquire().await.expect("nobody closes it").forget();
            sink.push(tick);
        }
    };
    node.on_with("tick", handling, handler)
        .expect("the handler is in order");
    Slow {
        begun,
        permits,
        handled,
    }
}

async fn send(node: &Node, ticks: std::ops::Range<u64>) {
    for tick in ticks {
        node.send_to_all("tick", &tick).await.expect("it is taken");
    }
}

fn overflowed(gaps: &[Arc<Gap>]) -> u64 {
    let overflow = |gap: &&Arc<Gap>| matches!(gap.reason, GapReason::Overflow { .. });
    gaps.iter()
        .filter(overflow)
        .filter_map(|gap| gap.missed)
        .sum()
}

/// Waits until this many events in all were reported as overflow.
async fn wait_for_overflow(node: &Node, missed: u64) {
    tidings_testkit::wait_for(
        "the overflow is reported",
        Duration::from_secs(10),
        async || overflowed(&node.gaps().all()) >= missed,
    )
    .await;
    assert_eq!(overflowed(&node.gaps().all()), missed);
    assert_eq!(node.health().dropped, missed);
}

pub(crate) async fn a_full_queue_that_drops_the_newest_counts_them(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let slow = slow(
        &subscriber,
        HandlerOptions::new()
            .queue(5)
            .overflow(Overflow::DropNewest),
    );
    let all: Collected<u64> = subscriber.collect("tick");

    send(&sender, 0..1).await;
    slow.begun.wait_for_len(1).await;
    send(&sender, 1..20).await;
    all.wait_for_len(20).await;
    // The handler has one, and the queue holds five more.
    wait_for_overflow(&subscriber, 14).await;

    slow.permits.add_permits(20);
    let handled = slow.handled.wait_for_len(6).await;
    assert!(handled.iter().map(|tick| **tick).eq(0..6));
    let gap = subscriber.gaps().wait_for(|_| true).await;
    assert_eq!(gap.sender, Some(sender.id()));
    let GapReason::Overflow { handler } = &gap.reason else {
        panic!("{gap}")
    };
    assert!(handler.starts_with("tick ("), "{handler}");
}

pub(crate) async fn a_full_queue_that_drops_the_oldest_counts_them(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let slow = slow(
        &subscriber,
        HandlerOptions::new()
            .queue(5)
            .overflow(Overflow::DropOldest),
    );
    let all: Collected<u64> = subscriber.collect("tick");

    send(&sender, 0..20).await;
    all.wait_for_len(20).await;
    slow.permits.add_permits(20);
    slow.handled.wait_for(|tick| *tick == 19).await;

    let handled = slow.handled.all();
    wait_for_overflow(&subscriber, 20 - handled.len() as u64).await;
    let newest: Vec<u64> = handled[handled.len() - 5..]
        .iter()
        .map(|tick| **tick)
        .collect();
    assert_eq!(newest, [15, 16, 17, 18, 19]);
}

pub(crate) async fn a_slow_handler_loses_nothing_by_default(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let ticks = Collected::default();
    let sink = ticks.clone();
    let handler = move |tick: u64| {
        sink.push(tick);
        tokio::task::yield_now()
    };
    subscriber
        .on_with("tick", HandlerOptions::new().queue(4), handler)
        .unwrap();

    for tick in 0..1_000_u64 {
        sender.feed("tick", &tick).await.unwrap();
    }
    sender.flush().await.unwrap();

    let received = ticks.wait_for_len(1_000).await;
    assert!(received.iter().map(|tick| **tick).eq(0..1_000));
    assert!(subscriber.gaps().all().is_empty());
}

pub(crate) async fn a_blocked_handler_loses_events_beyond_its_queue_and_others_none(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let stuck = slow(&subscriber, HandlerOptions::new().queue(8));
    let all: Collected<u64> = subscriber.collect("tick");

    for tick in 0..1_000_u64 {
        sender.feed("tick", &tick).await.unwrap();
    }
    sender.flush().await.unwrap();
    all.wait_for_len(1_000).await;
    subscriber.gaps().wait_for(|_| true).await;
    stuck.permits.add_permits(1_000);
    tidings_testkit::wait_for(
        "all is accounted for",
        Duration::from_secs(10),
        async || stuck.handled.all().len() as u64 + overflowed(&subscriber.gaps().all()) == 1_000,
    )
    .await;

    assert!(stuck.handled.all().len() >= 8);
    // With room again, it receives again.
    send(&sender, 1_000..1_001).await;
    stuck.handled.wait_for(|tick| *tick == 1_000).await;
}

pub(crate) async fn a_dropped_stream_has_no_queue_to_fill(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let mut dropped = subscriber.stream::<_, u64>("tick").unwrap();
    let all: Collected<u64> = subscriber.collect("tick");
    send(&sender, 0..1).await;
    assert_eq!(dropped.next().await, Some(0));

    drop(dropped);
    // More than the 32,768 that its queue could hold; each part has time to arrive.
    let mut sent = 1;
    for tick in 1..45_000_u64 {
        sender.feed("tick", &tick).await.unwrap();
        sent += 1;
        if sent % 5_000 == 0 {
            all.wait_for_len(sent).await;
        }
    }

    assert!(subscriber.gaps().all().is_empty() && subscriber.failures().all().is_empty());
}
