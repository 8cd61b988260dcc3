//! A Redis that answers, and executes nothing for a while.

use std::time::Duration;

use tidings::Bus;
use tidings_testkit::{Collected, Node, Redis, wait_for};
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(20);

/// A script that runs until [`wake`] ends it.
pub(crate) async fn busy(redis: &Redis) -> JoinHandle<()> {
    let client = redis::Client::open(redis.url()).unwrap();
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    let mut connection = connecting.await.unwrap();
    let script = tokio::spawn(async move {
        let mut endless = redis::cmd("EVAL");
        endless.arg("while true do end").arg(0);
        endless
            .query_async::<()>(&mut connection)
            .await
            .unwrap_err();
    });
    let mut asking = client.get_multiplexed_async_connection().await.unwrap();
    wait_for("the server is busy", SOON, async || {
        let ping = redis::cmd("PING").query_async::<String>(&mut asking).await;
        ping.is_err_and(|error| error.code() == Some("BUSY"))
    })
    .await;
    script
}

pub(crate) async fn wake(redis: &Redis, script: JoinHandle<()>) {
    redis.command(&["SCRIPT", "KILL"]).await;
    script.await.unwrap();
}

#[tokio::test]
async fn events_wait_for_a_busy_server_and_arrive_without_a_gap() {
    let redis = Redis::builder()
        .config("busy-reply-threshold", "20")
        .start()
        .await;
    let sender = Node::start(Bus::builder(&redis.url())).await;
    let subscriber = Node::start(Bus::builder(&redis.url())).await;
    let ticks: Collected<u64> = subscriber.collect("tick");
    sender.send_to_all("tick", &0).await.unwrap();

    let script = busy(&redis).await;
    for tick in 1..=100_u64 {
        sender.feed("tick", &tick).await.unwrap();
    }
    // This command follows the first send, so it is answered after that.
    sender.counter("orders").unwrap().add(1).await.unwrap_err();
    wake(&redis, script).await;
    sender.flush().await.unwrap();

    let received = ticks.wait_for_len(101).await;
    assert!(received.iter().map(|tick| **tick).eq(0..=100));
    for node in [&sender, &subscriber] {
        assert_eq!(node.health().reconnects, 0);
        assert!(node.gaps().all().is_empty());
        assert!(node.failures().all().is_empty());
    }
}

#[tokio::test]
async fn an_event_rejected_by_a_busy_server_for_too_long_is_not_sent() {
    let redis = Redis::builder()
        .config("busy-reply-threshold", "20")
        .start()
        .await;
    let impatient = Bus::builder(&redis.url()).send_timeout(Duration::from_millis(500));
    let node = Node::start(impatient).await;
    let script = busy(&redis).await;

    // If an attempt is unanswered at the timeout, its event may have been sent.
    let error = loop {
        let error = node.send_to_all("tick", &1).await.unwrap_err();
        if !error.is_unknown() {
            break error;
        }
    };

    let words = tidings::report(&error).to_string();
    assert!(words.contains("BUSY"), "{words}");
    wake(&redis, script).await;
    node.send_to_all("tick", &2).await.unwrap();
    assert_eq!(node.health().reconnects, 0);
}
