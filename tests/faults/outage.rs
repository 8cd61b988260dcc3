//! Events during an outage of Redis.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::poll;
use tidings::{Bus, BusBuilder, Connection, Failure, SendError, SendFailure, Unconfirmed};
use tidings_testkit::{Collected, Node, Redis, wait_for};
use tokio::net::TcpListener;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

/// A bus whose Redis was killed, and that has detected it.
async fn node_that_lost(
    redis: &mut Redis,
    describe: impl FnOnce(BusBuilder) -> BusBuilder,
) -> Node {
    let node = Node::start(describe(Bus::builder(&redis.url()))).await;
    redis.kill();
    wait_for("the outage is detected", SOON, async || {
        !node.health().is_ready()
    })
    .await;
    node
}

#[tokio::test]
async fn events_wait_for_redis_and_arrive_in_order() {
    let mut redis = Redis::start().await;
    let node = node_that_lost(&mut redis, |builder| builder).await;
    let ticks: Collected<u64> = node.collect("tick");

    for tick in 0..100_u64 {
        node.feed("tick", &tick).await.unwrap();
    }
    let waiting = node.send_to_all("tick", &100);
    let back = async {
        redis.start_again().await;
    };
    let (receipt, ()) = tokio::join!(waiting, back);

    assert_eq!(receipt.unwrap().sequence, 101);
    node.flush().await.unwrap();
    // The subscription was confirmed before the events left: this node receives all of them.
    let received: Vec<u64> = ticks
        .wait_for_len(101)
        .await
        .iter()
        .map(|tick| **tick)
        .collect();
    assert!(received.into_iter().eq(0..=100));
}

#[tokio::test]
async fn events_queued_for_too_long_are_given_up_as_not_sent() {
    let mut redis = Redis::start().await;
    let impatient = |builder: BusBuilder| builder.send_timeout(Duration::from_millis(300));
    let node = node_that_lost(&mut redis, impatient).await;
    for tick in 0..5_u64 {
        node.feed("tick", &tick).await.unwrap();
    }

    let given_up = node.send_to_all("tick", &5).await.unwrap_err();

    let timed_out = Unconfirmed::NotSent(SendFailure::TimedOut(Duration::from_millis(300)));
    let SendError::NotSent { event, why } = &given_up else {
        panic!("{given_up}")
    };
    assert_eq!(event, "tick");
    assert_eq!(Unconfirmed::NotSent(why.clone()), timed_out);
    let error = node.flush().await.unwrap_err();
    assert_eq!(error.count(), 5);
    assert!(
        error
            .undelivered()
            .iter()
            .all(|undelivered| undelivered.event == "tick" && undelivered.why == timed_out)
    );
    node.failures()
        .wait_for(|failure| failure.to_string().contains("`tick`"))
        .await;
    node.flush().await.unwrap();

    // An event that never left has no number, so nobody sees a gap.
    redis.start_again().await;
    wait_for("it is connected", SOON, async || node.health().is_ready()).await;
    let receipt = node.send_to_all("tick", &6).await.unwrap();
    assert_eq!(receipt.sequence, 1);
}

#[tokio::test]
async fn a_volatile_bus_fails_at_once() {
    let mut redis = Redis::start().await;
    let node = node_that_lost(&mut redis, BusBuilder::volatile).await;

    wait_for("a send fails at once", SOON, async || {
        let sent = node.send_to_all("tick", &1).await;
        matches!(sent, Err(SendError::NotSent { why, .. }) if why == SendFailure::Unreachable)
    })
    .await;

    redis.start_again().await;
    wait_for("sends work again", SOON, async || {
        node.send_to_all("tick", &1).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_full_send_buffer_makes_feed_wait_and_then_fail() {
    const WAIT: Duration = Duration::from_millis(500);
    let mut redis = Redis::start().await;
    let small = |builder: BusBuilder| builder.send_buffer(10_000).send_timeout(WAIT);
    let node = node_that_lost(&mut redis, small).await;
    let text = "x".repeat(10_000);
    node.feed("text", &text).await.unwrap();

    let feeds = (0..5).map(async |_| {
        let begun = Instant::now();
        (node.feed("text", &text).await, begun.elapsed())
    });
    let fed = join_all(feeds).await;

    // When the first one is given up, there is room for exactly one more.
    let refused: Vec<_> = fed.iter().filter(|(fed, _)| fed.is_err()).collect();
    assert!(refused.len() >= 4, "{fed:?}");
    let full = SendFailure::QueueFull { limit: 10_000 };
    for (refused, waited) in refused {
        let Err(SendError::NotSent { event, why }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!((event.as_str(), why), ("text", &full));
        assert!(*waited >= WAIT, "it waited {waited:?}");
    }
    assert!(node.health().outgoing <= 12_000);
}

#[tokio::test]
async fn try_feed_fails_at_once_when_the_send_buffer_is_full() {
    let mut redis = Redis::start().await;
    let node = node_that_lost(&mut redis, |builder| builder.send_buffer(10_000)).await;
    let texts: Collected<String> = node.collect("text");
    let text = "x".repeat(4_000);

    let mut queued = 0;
    let error = loop {
        match node.try_feed("text", &text) {
            Ok(()) => queued += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(queued, 3);
    let SendError::NotSent { event, why } = error else {
        panic!("{error}")
    };
    let full = SendFailure::QueueFull { limit: 10_000 };
    assert_eq!((event.as_str(), why), ("text", full));

    redis.start_again().await;
    node.flush().await.unwrap();
    node.try_feed("text", &text).unwrap();
    texts.wait_for_len(queued + 1).await;
    // The caller has the error: it is not reported in addition.
    assert!(node.failures().all().is_empty());
}

#[tokio::test]
async fn a_short_send_timeout_holds_while_redis_is_unreachable() {
    const WAIT: Duration = Duration::from_millis(100);
    let mut redis = Redis::start().await;
    let node = node_that_lost(&mut redis, |builder| builder.send_timeout(WAIT)).await;

    let sent = timeout(10 * WAIT, node.send_to_all("tick", &1)).await;

    let sent = sent.expect("the wait is over in time");
    let timed_out = SendFailure::TimedOut(WAIT);
    assert!(matches!(sent, Err(SendError::NotSent { why, .. }) if why == timed_out));
}

#[tokio::test]
async fn the_longest_options_of_time_are_accepted() {
    let mut redis = Redis::start().await;
    let patient = |builder: BusBuilder| {
        builder
            .send_timeout(Duration::MAX)
            .start_timeout(Duration::MAX)
    };
    let node = node_that_lost(&mut redis, patient).await;
    let ticks: Collected<u64> = node.collect("tick");

    node.feed("tick", &1).await.unwrap();
    let sending = timeout(SOON, node.send_to_all("tick", &2));
    let back = redis.start_again();
    let (sent, ()) = tokio::join!(sending, back);

    assert_eq!(sent.unwrap().unwrap().sequence, 2);
    ticks.wait_for_len(2).await;
    let ended = timeout(SOON, node.shutdown(Duration::MAX)).await;
    ended.expect("nothing is left to wait for").unwrap();
}

#[tokio::test]
async fn a_send_that_is_no_longer_awaited_is_reported_when_it_is_given_up() {
    const WAIT: Duration = Duration::from_millis(300);
    let mut redis = Redis::start().await;
    let node = node_that_lost(&mut redis, |builder| builder.send_timeout(WAIT)).await;

    let mut sending = Box::pin(node.send_to_all("tick", &1));
    assert!(poll!(&mut sending).is_pending());
    drop(sending);

    let timed_out = Unconfirmed::NotSent(SendFailure::TimedOut(WAIT));
    let flushed = timeout(SOON, node.flush()).await;
    let error = flushed.expect("the wait is over in time").unwrap_err();
    let undelivered = error.undelivered();
    assert_eq!(undelivered.len(), 1);
    assert_eq!(
        (undelivered[0].event.as_str(), &undelivered[0].why),
        ("tick", &timed_out)
    );
    let is_it = |failure: &Failure| {
        matches!(failure, Failure::Send { events: 1, event, why: result }
            if event == "tick" && *result == timed_out)
    };
    node.failures().wait_for(is_it).await;
}

#[tokio::test]
async fn a_send_that_is_dropped_while_it_waits_for_room_is_reported() {
    let mut redis = Redis::start().await;
    let small = |builder: BusBuilder| builder.send_buffer(10_000);
    let node = node_that_lost(&mut redis, small).await;
    node.feed("text", &"x".repeat(10_000)).await.unwrap();

    let (mut sending, mut feeding) = (
        Box::pin(node.send_to_all("tick", &1)),
        Box::pin(node.feed("tock", &1)),
    );
    assert!(poll!(&mut sending).is_pending() && poll!(&mut feeding).is_pending());
    drop((sending, feeding));

    for name in ["tick", "tock"] {
        let dropped = Unconfirmed::NotSent(SendFailure::Dropped);
        let is_it = |failure: &Failure| {
            matches!(failure, Failure::Send { events: 1, event, why: result }
                if event == name && *result == dropped)
        };
        node.failures().wait_for(is_it).await;
    }
    redis.start_again().await;
    let flushed = timeout(SOON, node.flush()).await;
    let error = flushed.expect("the other one leaves").unwrap_err();
    assert_eq!(error.undelivered().len(), 2);
}

#[tokio::test]
async fn feed_continues_when_redis_is_back() {
    let mut redis = Redis::start().await;
    let node = node_that_lost(&mut redis, |builder| builder.send_buffer(100_000)).await;
    let texts: Collected<String> = node.collect("text");
    let text = "x".repeat(10_000);

    let feeding = async {
        for _ in 0..50 {
            node.feed("text", &text).await.unwrap();
        }
        node.flush().await.unwrap();
    };
    let back = async {
        wait_for("the queue is full", SOON, async || {
            node.health().outgoing >= 100_000
        })
        .await;
        redis.start_again().await;
    };
    tokio::join!(feeding, back);

    texts.wait_for_len(50).await;
}

#[tokio::test]
async fn a_frozen_redis_delays_sends_and_loses_none() {
    let redis = Redis::start().await;
    let (sender, subscriber) = redis.two_nodes().await;
    let ticks: Collected<u64> = subscriber.collect("tick");

    redis.freeze();
    let mut waiting = Box::pin(sender.send_to_all("tick", &1));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut waiting).await;
    assert!(early.is_err(), "a frozen redis cannot have answered");
    redis.resume();

    waiting.await.unwrap();
    ticks.wait_for_len(1).await;
    assert_eq!(ticks.all().len(), 1);
}

#[tokio::test]
async fn a_bus_leaves_a_demoted_master() {
    let old = Redis::start().await;
    let new = Redis::start().await;
    let node = Node::start(Bus::builder(&old.url())).await;

    let port = new.port().to_string();
    old.command(&["REPLICAOF", "127.0.0.1", &port]).await;

    // The role is checked after five seconds of silence.
    wait_for("the bus leaves the replica", SOON, async || {
        !node.health().is_ready()
    })
    .await;
    old.command(&["REPLICAOF", "NO", "ONE"]).await;
    wait_for("the master is used again", SOON, async || {
        node.health().is_ready()
    })
    .await;
    let gap = node.gaps().wait_for(|_| true).await;
    assert_eq!(gap.missed, None);
}

#[tokio::test]
async fn a_bus_leaves_a_demoted_master_although_there_is_traffic() {
    let old = Redis::start().await;
    // A write reaches the replica at once, not five seconds later.
    let new = Redis::builder()
        .config("repl-diskless-sync-delay", "0")
        .start()
        .await;
    let node = Node::start(Bus::builder(&old.url())).await;
    let ticks: Collected<u64> = node.collect("tick");
    let sender = new.node().await.bus().clone();
    let traffic = async move {
        let mut clock = tokio::time::interval(Duration::from_millis(100));
        loop {
            clock.tick().await;
            sender.send_to_all("tick", &1).await.unwrap();
        }
    };
    tokio::spawn(traffic);

    let port = new.port().to_string();
    old.command(&["REPLICAOF", "127.0.0.1", &port]).await;

    // It receives events, and its own reach only the subscribers of the replica.
    ticks.wait_for_len(10).await;
    wait_for("the bus leaves the replica", SOON, async || {
        let connection = node.health().connection;
        matches!(connection, Connection::Disconnected { why, .. } if why.contains("replica"))
    })
    .await;
}

#[tokio::test]
async fn tls_is_not_suggested_for_a_server_that_worked_before() {
    let mut redis = Redis::start().await;
    let node = node_that_lost(&mut redis, |builder| builder).await;

    // Like a Redis that restarts behind a proxy that keeps accepting connections.
    let listener = TcpListener::bind(redis.address()).await.unwrap();
    for _ in 0..3 {
        listener.accept().await.unwrap();
    }

    // The one before the last has its result by now.
    let Connection::Disconnected { why, .. } = node.health().connection else {
        panic!("{:?}", node.health());
    };
    assert!(why.contains("connecting to receive"), "{why}");
    assert!(!why.contains("rediss:"), "{why}");
}

#[tokio::test]
async fn a_shutdown_without_redis_ends_in_time_and_counts_unsent_events() {
    let mut redis = Redis::start().await;
    let node = node_that_lost(&mut redis, |builder| builder).await;
    for tick in 0..7_u64 {
        node.feed("tick", &tick).await.unwrap();
    }

    let begun = Instant::now();
    let error = node.shutdown(Duration::from_millis(300)).await.unwrap_err();

    assert_eq!((error.unsent, error.running), (7, 0));
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(node.flush().await.unwrap_err().count(), 7);
}
