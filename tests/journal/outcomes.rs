//! Sends without an answer of Redis: looked for, and sent again only if they are not in the journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidings::{Bus, SendError};
use tidings_testkit::{Collected, Direction, Fault, Node, Proxy, Redis, wait_for};
use tokio::time::timeout;

use super::{APPENDING, has_received, journaled, send};

const SOON: Duration = Duration::from_secs(20);

/// Longer than Redis takes to start again.
const RESTARTED: Duration = Duration::from_mins(2);

const KEY: &str = "tidings:{default}:journal";

/// A node behind a proxy that waits a second for an answer.
async fn node(proxy: &Proxy) -> Node {
    let builder = journaled(Bus::builder(&proxy.url()));
    Node::start(builder.heartbeat_interval(Duration::from_secs(1))).await
}

/// The number of entries with the field of a further attempt.
async fn sent_again(redis: &Redis) -> usize {
    let entries = redis.cli(&["XRANGE", KEY, "-", "+"]).await;
    entries
        .lines()
        .filter(|line| line.trim_end().ends_with(" \"r\"") || line.trim() == "r")
        .count()
}

/// The number of entries with the second event of a sender.
async fn entries_with_number_two(redis: &Redis) -> usize {
    let entries = redis.cli(&["XRANGE", KEY, "-", "+"]).await;
    let is_second = |line: &&str| line.contains(r#""seq":2,"#) && line.contains("tick");
    entries.lines().filter(is_second).count()
}

#[tokio::test]
async fn a_send_whose_answer_is_lost_is_found_and_not_sent_again() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.address()).await;
    let (sender, subscriber) = (node(&proxy).await, redis.node_with(journaled).await);
    let ticks: Collected<u64> = subscriber.collect("tick");
    send(&sender, 1..=1).await;

    proxy.set_connection(APPENDING, Fault::Drop(Direction::ToClient));
    let receipt = timeout(SOON, sender.send_to_all("tick", &2))
        .await
        .unwrap()
        .unwrap();

    assert_eq!(receipt.sequence, 2);
    send(&sender, 3..=3).await;
    has_received(&ticks, 3).await;
    assert_eq!(subscriber.health().duplicate, 0, "it was not sent again");
    let entry = receipt.position().unwrap().to_string();
    let found = redis.cli(&["XRANGE", KEY, &entry, &entry]).await;
    assert!(found.contains("tick"), "{found}");
}

#[tokio::test]
async fn a_send_that_never_arrived_is_sent_again_under_its_number() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.address()).await;
    let (sender, subscriber) = (node(&proxy).await, redis.node_with(journaled).await);
    let ticks: Collected<u64> = subscriber.collect("tick");
    send(&sender, 1..=1).await;

    proxy.set_connection(APPENDING, Fault::Drop(Direction::ToServer));
    let receipt = timeout(SOON, sender.send_to_all("tick", &2))
        .await
        .unwrap()
        .unwrap();

    assert_eq!(receipt.sequence, 2);
    send(&sender, 3..=3).await;
    has_received(&ticks, 3).await;
    assert!(subscriber.gaps().all().is_empty());
    assert!(sent_again(&redis).await >= 1);
}

#[tokio::test]
async fn a_frame_whose_first_attempt_runs_later_is_handled_once() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.address()).await;
    let (sender, subscriber) = (node(&proxy).await, redis.node_with(journaled).await);
    let ticks: Collected<u64> = subscriber.collect("tick");
    send(&sender, 1..=1).await;

    proxy.set_connection(APPENDING, Fault::Blackhole(Direction::ToServer));
    timeout(SOON, sender.send_to_all("tick", &2))
        .await
        .unwrap()
        .unwrap();
    // So many frames and reconnects later, it is not among those that are compared byte by byte.
    for first in [3, 13, 23, 33] {
        send(&sender, first..=first + 9).await;
        let appending = proxy.accepted_connections() - 1;
        proxy.reset_connection(appending).await;
    }
    assert_eq!(entries_with_number_two(&redis).await, 1);
    proxy.set_connection(APPENDING, Fault::None);
    wait_for("the first attempt arrives", SOON, async || {
        entries_with_number_two(&redis).await == 2
    })
    .await;
    send(&sender, 43..=43).await;

    has_received(&ticks, 43).await;
    assert!(
        subscriber.gaps().all().is_empty(),
        "{:?}",
        subscriber.gaps().all()
    );
}

#[tokio::test]
async fn a_send_that_stays_unanswered_beyond_its_timeout_is_unknown() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.address()).await;
    let builder = journaled(Bus::builder(&proxy.url())).send_timeout(Duration::from_millis(500));
    let sender = Node::start(builder).await;
    proxy.set_connection(APPENDING, Fault::Drop(Direction::ToClient));

    let error = sender.send_to_all("tick", &1).await.unwrap_err();

    assert!(matches!(error, SendError::Unknown { .. }), "{error}");
}

#[tokio::test]
async fn sends_wait_while_redis_restarts_and_none_is_lost() {
    // With `everysec`, Redis may answer before it has written, and what it answered can be lost.
    let redis = Redis::builder().config("appendonly", "yes");
    let mut redis = redis.config("appendfsync", "always").start().await;
    let builder = || journaled(Bus::builder(&redis.url())).send_timeout(RESTARTED);
    let (sender, subscriber) = (Node::start(builder()).await, Node::start(builder()).await);
    let ticks: Collected<u64> = subscriber.collect("tick");
    let (bus, stop) = (sender.bus().clone(), Arc::new(AtomicBool::new(false)));
    let is_over = Arc::clone(&stop);
    let sending = tokio::spawn(async move {
        let mut tick = 0_u64;
        while !is_over.load(Ordering::Relaxed) {
            tick += 1;
            bus.send_to_all("tick", &tick).await.unwrap();
        }
        tick
    });

    for _ in 0..3 {
        ticks.wait_for_len(ticks.all().len() + 5).await;
        redis.kill();
        redis.start_again().await;
    }
    stop.store(true, Ordering::Relaxed);

    let last = sending.await.unwrap();
    has_received(&ticks, last).await;
    assert!(
        subscriber.gaps().all().is_empty(),
        "{:?}",
        subscriber.gaps().all()
    );
}

#[tokio::test]
async fn a_send_that_redis_has_no_memory_for_makes_room_or_is_not_sent() {
    let redis = Redis::builder().config("maxmemory", "12mb").start().await;
    let sender = Node::start(journaled(Bus::builder(&redis.url()))).await;
    let payload = vec![7_u64; 20_000];
    let mut refused = 0;
    for _ in 0..400 {
        match sender.send_to_all("large", &payload).await {
            Ok(_) => {}
            Err(SendError::NotSent { .. }) => {
                refused += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!((1..40).contains(&refused), "{refused}");
}

/// Makes the server refuse all writes, or accept them again.
async fn refuse_writes(redis: &Redis, are_refused: bool) {
    let replicas = if are_refused { "1" } else { "0" };
    redis
        .command(&["CONFIG", "SET", "min-replicas-to-write", replicas])
        .await;
}

#[tokio::test]
async fn an_event_that_redis_refused_is_no_gap() {
    let redis = Redis::start().await;
    let (sender, subscriber) = (
        redis.node_with(journaled).await,
        redis.node_with(journaled).await,
    );
    let ticks: Collected<u64> = subscriber.collect("tick");
    send(&sender, 1..=1).await;

    refuse_writes(&redis, true).await;
    for _ in 0..3 {
        let error = sender.send_to_all("tick", &0).await.unwrap_err();
        assert!(matches!(error, SendError::NotSent { .. }), "{error}");
    }
    refuse_writes(&redis, false).await;
    let receipt = sender.send_to_all("tick", &2).await.unwrap();
    send(&sender, 3..=3).await;

    has_received(&ticks, 3).await;
    assert_eq!(receipt.sequence, 2, "the numbers were reused");
    // The own events too.
    for node in [&sender, &subscriber] {
        assert!(node.gaps().all().is_empty(), "{:?}", node.gaps().all());
        assert_eq!(node.health().duplicate, 0);
    }
}

#[tokio::test]
async fn many_events_that_redis_refused_are_no_gap() {
    let redis = Redis::start().await;
    let (sender, subscriber) = (
        redis.node_with(journaled).await,
        redis.node_with(journaled).await,
    );
    let ticks: Collected<u64> = subscriber.collect("tick");
    send(&sender, 1..=1).await;

    refuse_writes(&redis, true).await;
    // Several frames, of which two are under way at a time.
    let payload = "x".repeat(64 << 10);
    for _ in 0..40 {
        sender.feed("large", &payload).await.unwrap();
    }
    let undelivered = sender.flush().await.unwrap_err();
    let undelivered = undelivered.undelivered();
    assert_eq!(undelivered.len(), 40);
    refuse_writes(&redis, false).await;
    send(&sender, 2..=3).await;

    has_received(&ticks, 3).await;
    let gaps = subscriber.gaps().all();
    assert!(gaps.is_empty(), "{gaps:?}");
}

#[tokio::test]
async fn the_health_has_the_events_that_wait_for_the_journal() {
    let mut redis = Redis::start().await;
    let node = redis.node_with(journaled).await;
    redis.kill();
    wait_for("the loss is detected", SOON, async || {
        !node.health().is_ready()
    })
    .await;
    node.feed("tick", &1).await.unwrap();
    assert!(node.health().outgoing > 0);
}
