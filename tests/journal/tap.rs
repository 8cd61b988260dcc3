//! A tap of a bus with a journal.

use std::time::Duration;

use tidings::{Bus, BusBuilder, GapReason, Journal, Since, Tap, TapItem, TapOptions, TappedEvent};
use tidings_testkit::{Node, Redis, memory_url};
use tokio::time::timeout;

use super::{journaled, send};

const SOON: Duration = Duration::from_secs(20);

async fn observe(builder: BusBuilder, since: Since) -> (Bus, Tap) {
    let journal = Journal::default().follow_only().since(since);
    let builder = builder.membership(false).journal(journal);
    let started = builder.start_with_tap(TapOptions::new()).await;
    started.expect("the journal can be read")
}

async fn next(tap: &mut Tap) -> TapItem {
    let item = timeout(SOON, tap.next()).await.expect("an item arrives");
    item.expect("the bus is there")
}

/// The next event with this name.
async fn next_event(tap: &mut Tap, name: &str) -> TappedEvent {
    loop {
        match next(tap).await {
            TapItem::Event(event) if event.name() == name => return event,
            TapItem::Event(event) => assert!(event.is_control(), "{event:?}"),
            other => panic!("it is no event: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_tap_receives_what_was_sent_before_its_bus_started_and_the_events_of_both_lanes() {
    for redis in [None, Some(Redis::start().await)] {
        let memory = memory_url();
        let url = redis.as_ref().map_or(memory, Redis::url);
        let sender = Node::start(journaled(Bus::builder(&url))).await;
        send(&sender, 1..=100).await;

        let (_bus, mut tap) = observe(Bus::builder(&url), Since::Start).await;
        for tick in 1..=100_u64 {
            let event = next_event(&mut tap, "tick").await;
            assert_eq!(event.decode::<u64>().unwrap(), tick);
            assert!(event.position().is_some() && event.is_replayed());
        }
        send(&sender, 101..=101).await;
        let event = next_event(&mut tap, "tick").await;
        assert!(event.position().is_some() && !event.is_replayed());

        // Requests and responses are not in the journal.
        let _responses = sender.request_all::<(), _, _>("stock", &1).await.unwrap();
        let event = next_event(&mut tap, "stock").await;
        assert!(event.position().is_none() && event.is_request());
        next_event(&mut tap, "tidings.response").await;
    }
}

#[tokio::test]
async fn a_tap_shows_that_the_journal_was_lost() {
    let redis = Redis::start().await;
    let sender = Node::start(journaled(Bus::builder(&redis.url()))).await;
    send(&sender, 1..=1).await;
    let (_observer, mut tap) = observe(Bus::builder(&redis.url()), Since::Start).await;
    next_event(&mut tap, "tick").await;

    redis.command(&["DEL", "tidings:{default}:journal"]).await;
    send(&sender, 2..=2).await;

    let gap = loop {
        if let TapItem::Gap(gap) = next(&mut tap).await {
            break gap;
        }
    };
    assert_eq!(gap.reason, GapReason::JournalLost);
}

#[tokio::test]
async fn a_tap_shows_an_entry_that_no_bus_wrote() {
    let redis = Redis::start().await;
    let sender = Node::start(journaled(Bus::builder(&redis.url()))).await;
    send(&sender, 1..=1).await;
    redis
        .command(&["XADD", "tidings:{default}:journal", "*", "text", "hello"])
        .await;
    send(&sender, 2..=2).await;

    let (_observer, mut tap) = observe(Bus::builder(&redis.url()), Since::Start).await;

    next_event(&mut tap, "tick").await;
    let TapItem::Unreadable(entry) = next(&mut tap).await else {
        panic!("it was readable")
    };
    assert!(entry.bytes().is_empty() && entry.position().is_some());
    next_event(&mut tap, "tick").await;
}
