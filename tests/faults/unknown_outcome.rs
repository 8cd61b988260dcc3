//! Sends without an answer of Redis: repeated, or reported as unknown.

use std::time::Duration;

use tidings::{Bus, Failure, SendError, SendFailure, Unconfirmed, Undelivered};
use tidings_testkit::{Collected, Direction, Fault, Node, Proxy, Redis, wait_for};
use tokio::time::{Instant, timeout, timeout_at};

use super::SENDING;

const SOON: Duration = Duration::from_secs(20);

/// Well before a connection without answers is given up, after five seconds.
const EARLY: Duration = Duration::from_secs(4);

const PATIENCE: Duration = Duration::from_millis(500);

async fn impatient_node(redis: &Redis) -> Node {
    Node::start(Bus::builder(&redis.url()).send_timeout(PATIENCE)).await
}

/// The result of a failed send.
fn fate_of(error: SendError) -> Unconfirmed {
    match error {
        SendError::NotSent { why, .. } => Unconfirmed::NotSent(why),
        SendError::Unknown { why, .. } => Unconfirmed::Unknown(why),
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_send_whose_answer_is_lost_is_repeated_and_handled_once() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.address()).await;
    let (sender, subscriber) = (proxy.node().await, redis.node().await);
    let ticks: Collected<u64> = subscriber.collect("tick");
    sender.send_to_all("tick", &1).await.unwrap();

    proxy.set_connection(SENDING, Fault::Drop(Direction::ToClient));
    let receipt = timeout(SOON, sender.send_to_all("tick", &2)).await;

    assert_eq!(receipt.unwrap().unwrap().sequence, 2);
    wait_for("the repeated event is received", SOON, async || {
        subscriber.health().duplicate == 1
    })
    .await;
    assert_eq!(sender.send_to_all("tick", &3).await.unwrap().sequence, 3);
    let ticks = ticks.wait_for_len(3).await;
    assert!(ticks.iter().map(|tick| **tick).eq(1..=3), "{ticks:?}");
    assert!(subscriber.gaps().all().is_empty());
    assert_eq!(sender.health().reconnects, 1);
}

#[tokio::test]
async fn a_repeated_send_that_is_rejected_stays_unknown() {
    let redis = Redis::builder()
        .user("sender on >hush-hush ~* &* +@all")
        .start()
        .await;
    let proxy = Proxy::start(redis.address()).await;
    let url = proxy.url().replace("//", "//sender:hush-hush@");
    let sender = Node::start(Bus::builder(&url)).await;
    let subscriber = redis.node().await;
    let ticks: Collected<u64> = subscriber.collect("tick");

    proxy.set_connection(SENDING, Fault::Drop(Direction::ToClient));
    let sending = sender.send_to_all("tick", &1);
    let losing = async {
        ticks.wait_for_len(1).await;
        let forbid = ["ACL", "SETUSER", "sender", "-publish"];
        redis.command(&forbid).await;
        redis.command(&["CLIENT", "KILL", "USER", "sender"]).await;
    };
    let (sent, ()) = tokio::join!(sending, losing);

    // Rejected the second time, and received the first time.
    let result = fate_of(sent.unwrap_err());
    assert!(
        matches!(result, Unconfirmed::Unknown(SendFailure::Denied(_))),
        "{result}"
    );
}

#[tokio::test]
async fn a_send_to_a_frozen_redis_is_given_up_in_time_as_unknown() {
    let redis = Redis::start().await;
    let (sender, subscriber) = (impatient_node(&redis).await, redis.node().await);
    let ticks: Collected<u64> = subscriber.collect("tick");

    redis.freeze();
    let given_up = timeout(EARLY, sender.send_to_all("tick", &1)).await;
    redis.resume();

    let result = fate_of(given_up.expect("the wait is over in time").unwrap_err());
    assert_eq!(
        result,
        Unconfirmed::Unknown(SendFailure::TimedOut(PATIENCE))
    );
    // Redis had it all the time, and nothing else failed.
    assert_eq!(*ticks.wait_for(|_| true).await, 1);
    assert!(subscriber.gaps().all().is_empty());
}

/// Each of them fills a frame, and two frames are in flight at once.
const LONG: usize = 300_000;

fn long_texts() -> Vec<String> {
    (0..6).map(|text| text.to_string().repeat(LONG)).collect()
}

/// Returns the texts that left. Each has a number and may have arrived. The others have none and
/// did not: on a busy machine an early one can expire before a later one leaves.
fn which_left(undelivered: &[Undelivered], texts: &[String], reason: &SendFailure) -> Vec<String> {
    assert_eq!(undelivered.len(), texts.len());
    let mut left = Vec::new();
    for (one, text) in undelivered.iter().zip(texts) {
        let expected = if one.sequence.is_some() {
            left.push(text.clone());
            (
                Some(left.len() as u64),
                Unconfirmed::Unknown(reason.clone()),
            )
        } else {
            (None, Unconfirmed::NotSent(reason.clone()))
        };
        assert_eq!((one.sequence, one.why.clone()), expected);
    }
    left
}

fn long_ones(received: &Collected<String>) -> Vec<String> {
    let all = received.all().into_iter().map(|text| text.to_string());
    all.filter(|text| text.len() == LONG).collect()
}

#[tokio::test]
async fn events_fed_to_a_frozen_redis_are_given_up_in_time_as_unknown() {
    let redis = Redis::start().await;
    let (sender, subscriber) = (impatient_node(&redis).await, redis.node().await);
    let received: Collected<String> = subscriber.collect("text");
    let texts = long_texts();

    redis.freeze();
    for text in &texts {
        sender.feed("text", text).await.unwrap();
    }
    let flushed = timeout(EARLY, sender.flush()).await;
    redis.resume();

    let error = flushed.expect("the wait is over in time").unwrap_err();
    let left = which_left(
        error.undelivered(),
        &texts,
        &SendFailure::TimedOut(PATIENCE),
    );
    assert!(left.starts_with(&texts[..1]), "the first one left");
    // Redis had those that left all the time; the others reach nobody.
    wait_for("redis accepts sends again", SOON, async || {
        sender.send_to_all("text", "the end").await.is_ok()
    })
    .await;
    received.wait_for(|text| text == "the end").await;
    assert!(long_ones(&received) == left);
    assert!(subscriber.gaps().all().is_empty());
}

#[tokio::test]
async fn a_shutdown_distinguishes_unknown_sends_from_unsent_ones() {
    let redis = Redis::start().await;
    let (sender, subscriber) = redis.two_nodes().await;
    let received: Collected<String> = subscriber.collect("text");
    let texts = long_texts();

    redis.freeze();
    for text in &texts {
        sender.feed("text", text).await.unwrap();
    }
    let ended = sender.shutdown(Duration::from_millis(50)).await;
    redis.resume();

    assert_eq!(ended.unwrap_err().unsent, 6);
    let flushed = timeout(SOON, sender.flush()).await;
    let error = flushed.expect("all sends have results").unwrap_err();
    let left = which_left(error.undelivered(), &texts, &SendFailure::Closed);
    assert!(
        (1..texts.len()).contains(&left.len()),
        "{} left",
        left.len()
    );
    subscriber.send_to_all("text", "the end").await.unwrap();
    received.wait_for(|text| text == "the end").await;
    assert!(left.starts_with(&long_ones(&received)));
}

#[tokio::test]
async fn a_send_in_flight_at_a_shutdown_is_unknown() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.address()).await;
    let (sender, subscriber) = (proxy.node().await, redis.node().await);
    let ticks: Collected<u64> = subscriber.collect("tick");

    proxy.set_connection(SENDING, Fault::Drop(Direction::ToClient));
    let sending = sender.send_to_all("tick", &1);
    let ending = async {
        ticks.wait_for_len(1).await;
        sender.shutdown(Duration::from_millis(50)).await
    };
    let (sent, ended) = tokio::join!(sending, ending);

    // It was received, so it must not be reported as not sent.
    let result = fate_of(sent.unwrap_err());
    assert_eq!(result, Unconfirmed::Unknown(SendFailure::Closed));
    assert_eq!(ended.unwrap_err().unsent, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_send_that_is_given_up_is_returned_or_reported() {
    const SENDS: u64 = 5_000;
    let redis = Redis::start().await;
    let sender = impatient_node(&redis).await;

    redis.freeze();
    let begin = Instant::now();
    let sends: Vec<_> = (0..SENDS)
        .map(|tick| {
            let bus = Bus::clone(&sender);
            // Some stop waiting at about the time when all are given up.
            let until = begin + PATIENCE + Duration::from_micros(tick * 7_919 % SENDS * 20);
            tokio::spawn(async move { timeout_at(until, bus.send_to_all("tick", &tick)).await })
        })
        .collect();
    let (mut reported, mut stopped) = (0, 0);
    for send in sends {
        match send.await.unwrap() {
            Ok(sent) => {
                assert!(sent.is_err(), "redis stands still");
                reported += 1;
            }
            Err(_) => stopped += 1,
        }
    }

    assert_eq!(reported + stopped, SENDS);
    let reported = || {
        let failures = sender.failures().all();
        failures
            .iter()
            .map(|failure| match &**failure {
                Failure::Send { events, .. } => u64::from(*events),
                other => panic!("{other}"),
            })
            .sum::<u64>()
    };
    wait_for("all that stopped waiting are reported", SOON, async || {
        reported() >= stopped
    })
    .await;
    redis.resume();
    assert_eq!(reported(), stopped);
}
