//! Events that are sent while a subscriber does not receive.

use std::time::Duration;

use tidings::{Bus, Context, Gap, GapReason, HandlerOptions, Journal};
use tidings_testkit::{Collected, Direction, Fault, Node, Proxy, Redis, memory_url, wait_for};
use tokio::time::sleep;

use super::{APPENDING, FOLLOWING, has_received, journaled, send, two_nodes};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn events_of_an_outage_are_received_in_order_and_are_no_gap() {
    let redis = Redis::start().await;
    let (sender, subscriber) = two_nodes(&redis).await;
    let ticks: Collected<u64> = subscriber.collect("tick");
    send(&sender, 1..=1).await;

    redis.cut_off(&subscriber).await;
    send(&sender, 2..=1_000).await;
    redis.restore(&subscriber).await;
    send(&sender, 1_001..=1_001).await;

    has_received(&ticks, 1_001).await;
    assert!(
        subscriber.gaps().all().is_empty(),
        "{:?}",
        subscriber.gaps().all()
    );
    assert_eq!(subscriber.health().duplicate, 0);
}

#[tokio::test]
async fn a_journal_in_memory_is_read_by_all_buses_of_the_process() {
    let url = memory_url();
    let sender = Node::start(journaled(Bus::builder(&url))).await;
    let subscriber = Node::start(journaled(Bus::builder(&url))).await;
    let (own, other) = (sender.collect("tick"), subscriber.collect("tick"));

    send(&sender, 1..=500).await;

    has_received(&own, 500).await;
    has_received(&other, 500).await;
}

#[tokio::test]
async fn each_event_has_the_position_that_its_receipt_states() {
    let redis = Redis::start().await;
    let sender = Node::start(journaled(Bus::builder(&redis.url()))).await;
    let positions = Collected::default();
    let seen = positions.clone();
    let handler = move |tick: u64, context: Context| {
        seen.push((tick, context.position(), context.is_replayed()));
        std::future::ready(())
    };
    sender.on("tick", handler).unwrap();

    let first = sender.send_to_all("tick", &1).await.unwrap();
    let second = sender.send_to_all("tick", &2).await.unwrap();

    assert!(first.position() < second.position());
    let positions = positions.wait_for_len(2).await;
    assert_eq!(*positions[0], (1, first.position(), false));
    assert_eq!(*positions[1], (2, second.position(), false));
}

#[tokio::test]
async fn fed_events_are_received_once_by_each_of_several_nodes() {
    let redis = Redis::start().await;
    let (sender, subscriber) = two_nodes(&redis).await;
    let (own, other) = (sender.collect("tick"), subscriber.collect("tick"));

    for tick in 1..=10_000_u64 {
        sender.feed("tick", &tick).await.unwrap();
    }
    sender.flush().await.unwrap();

    has_received(&own, 10_000).await;
    has_received(&other, 10_000).await;
    assert!(subscriber.gaps().all().is_empty());
}

#[tokio::test]
async fn a_slow_handler_slows_down_and_loses_nothing() {
    let redis = Redis::start().await;
    let (sender, subscriber) = two_nodes(&redis).await;
    let ticks = Collected::default();
    let seen = ticks.clone();
    let handling = HandlerOptions::new().queue(4);
    let handler = move |tick: u64| {
        let seen = seen.clone();
        async move {
            sleep(Duration::from_millis(5)).await;
            seen.push(tick);
        }
    };
    subscriber.on_with("tick", handling, handler).unwrap();

    send(&sender, 1..=300).await;

    has_received(&ticks, 300).await;
    assert!(subscriber.gaps().all().is_empty());
}

#[tokio::test]
async fn a_follower_whose_connection_is_cut_or_silent_continues_where_it_stopped() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.address()).await;
    let builder = journaled(Bus::builder(&proxy.url()));
    let subscriber = Node::start(builder.heartbeat_interval(Duration::from_secs(1))).await;
    let sender = Node::start(journaled(Bus::builder(&redis.url()))).await;
    let ticks: Collected<u64> = subscriber.collect("tick");
    send(&sender, 1..=10).await;

    proxy.reset_connection(FOLLOWING).await;
    send(&sender, 11..=20).await;
    has_received(&ticks, 20).await;

    let appending = proxy.accepted_connections() - 1;
    proxy.set_connection(appending, Fault::Drop(Direction::ToClient));
    send(&sender, 21..=30).await;
    wait_for("it reconnects", SOON, async || {
        subscriber.health().reconnects == 2
    })
    .await;
    send(&sender, 31..=40).await;
    has_received(&ticks, 40).await;
    assert!(
        subscriber.gaps().all().is_empty(),
        "{:?}",
        subscriber.gaps().all()
    );
    assert_eq!(APPENDING, FOLLOWING + 1);
}

#[tokio::test]
async fn what_was_trimmed_is_one_gap_of_unknown_size_and_then_exact() {
    let redis = Redis::start().await;
    let small =
        |builder: tidings::BusBuilder| builder.journal(Journal::default().max_bytes(1 << 20));
    let sender = redis.node_with(small).await;
    let subscriber = redis.node_with(small).await;
    let large: Collected<Vec<u64>> = subscriber.collect("large");
    let payload = |number: u64| vec![number; 10_000];
    sender.send_to_all("large", &payload(1)).await.unwrap();
    large.wait_for_len(1).await;

    redis.cut_off(&subscriber).await;
    for number in 2..=300 {
        sender.send_to_all("large", &payload(number)).await.unwrap();
    }
    wait_for("the journal is trimmed", SOON, async || {
        sender
            .health()
            .journal
            .is_some_and(|journal| journal.bytes > 0 && journal.bytes < 2 << 20)
    })
    .await;
    redis.restore(&subscriber).await;
    sender.send_to_all("large", &payload(301)).await.unwrap();

    large.wait_for(|payload| payload[0] == 301).await;
    let gaps = subscriber.gaps().all();
    assert!(
        gaps.iter().all(|gap| gap.reason == GapReason::Trimmed),
        "{gaps:?}"
    );
    assert_eq!((gaps[0].sender, gaps[0].missed), (None, None));
    let exact: u64 = gaps.iter().filter_map(|gap| gap.missed).sum();
    assert_eq!(exact + large.all().len() as u64, 301);
    assert!(exact > 100, "{exact}");
}

#[tokio::test]
async fn events_are_trimmed_by_age() {
    let redis = Redis::start().await;
    let brief = Journal::default().max_age(Duration::from_secs(1));
    let sender = Node::start(Bus::builder(&redis.url()).journal(brief)).await;
    send(&sender, 1..=200).await;
    wait_for("old entries are trimmed", SOON, async || {
        let length = redis.cli(&["XLEN", "tidings:{default}:journal"]).await;
        length.trim() == "1"
            || length.contains("(integer) 1\n")
            || length
                .trim()
                .parse::<u64>()
                .is_ok_and(|entries| entries < 150)
    })
    .await;
    assert!(sender.gaps().all().is_empty());
}

#[tokio::test]
async fn a_journal_that_was_deleted_is_reported_as_lost_and_continues() {
    let redis = Redis::start().await;
    let (sender, subscriber) = two_nodes(&redis).await;
    let ticks: Collected<u64> = subscriber.collect("tick");
    send(&sender, 1..=10).await;
    has_received(&ticks, 10).await;

    redis.command(&["FLUSHALL"]).await;
    send(&sender, 11..=20).await;

    has_received(&ticks, 20).await;
    let lost = |gap: &Gap| gap.reason == GapReason::JournalLost;
    subscriber.gaps().wait_for(lost).await;
    let exact: u64 = subscriber
        .gaps()
        .all()
        .iter()
        .filter_map(|gap| gap.missed)
        .sum();
    assert_eq!(exact, 0, "everything was received");
}

#[tokio::test]
async fn a_foreign_entry_is_skipped_and_reported() {
    let redis = Redis::start().await;
    let (sender, subscriber) = two_nodes(&redis).await;
    let ticks: Collected<u64> = subscriber.collect("tick");
    let key = "tidings:{default}:journal";

    redis.command(&["XADD", key, "*", "hello", "world"]).await;
    redis.command(&["XADD", key, "*", "f", "no frame"]).await;
    send(&sender, 1..=1).await;

    has_received(&ticks, 1).await;
    let failures = subscriber.failures().wait_for_len(2).await;
    let texts: Vec<_> = failures.iter().map(ToString::to_string).collect();
    assert!(
        texts[0].contains("of the journal has no frame"),
        "{texts:?}"
    );
    assert!(texts[1].contains("cannot be read"), "{texts:?}");
    assert!(subscriber.gaps().all().is_empty());
}

#[tokio::test]
async fn an_entry_that_was_deleted_by_hand_is_a_gap() {
    let redis = Redis::start().await;
    let (sender, subscriber) = two_nodes(&redis).await;
    let ticks: Collected<u64> = subscriber.collect("tick");
    send(&sender, 1..=1).await;
    has_received(&ticks, 1).await;

    redis.cut_off(&subscriber).await;
    let deleted = sender
        .send_to_all("tick", &2)
        .await
        .unwrap()
        .position()
        .unwrap();
    send(&sender, 3..=3).await;
    let key = "tidings:{default}:journal";
    redis.command(&["XDEL", key, &deleted.to_string()]).await;
    redis.restore(&subscriber).await;

    let gap = subscriber.gaps().wait_for(|_| true).await;
    assert_eq!((gap.sender, gap.missed), (Some(sender.id()), Some(1)));
    assert_eq!(gap.reason, GapReason::Missed);
}
