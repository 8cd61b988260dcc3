//! Failovers: planned, after a crash, and of a frozen master.

use std::time::Duration;

use futures_util::StreamExt;
use tidings::{Bus, TopologyKind};
use tidings_testkit::{Collected, Node, Redis, Sentinels, wait_for};

use super::wait::hears_through;
use crate::log_capture::log;
use crate::traffic::Traffic;

const SOON: Duration = Duration::from_secs(30);

/// Starts a flow of ticks through the master.
async fn traffic(sentinels: &Sentinels) -> Traffic {
    Traffic::start(|| Bus::builder(&sentinels.url())).await
}

async fn is_through(traffic: &Traffic, server: &Redis) {
    for node in [&traffic.subscriber, &traffic.sender] {
        hears_through(node, &server.url()).await;
    }
    traffic.goes_on().await;
}

/// The channel, subscribed without tidings.
async fn channel(server: &Redis) -> redis::aio::PubSub {
    let client = redis::Client::open(server.url()).unwrap();
    let mut channel = client.get_async_pubsub().await.unwrap();
    channel.subscribe("tidings:{default}").await.unwrap();
    channel
}

#[tokio::test]
async fn a_planned_failover_is_followed_and_nothing_more_is_sent_to_the_old_master() {
    let sentinels = Sentinels::start().await;
    let traffic = traffic(&sentinels).await;
    assert_eq!(traffic.subscriber.health().topology, TopologyKind::Sentinel);
    let old = sentinels.master().await;

    let new = sentinels.failover().await;

    is_through(&traffic, new).await;
    // It is still a master, and would accept every command.
    assert!(old.is_master().await);
    let mut channel = channel(old).await;
    traffic.goes_on().await;
    old.command(&["PUBLISH", "tidings:{default}", "the end"])
        .await;
    let first = channel.on_message().next().await.unwrap();
    assert_eq!(first.get_payload_bytes(), b"the end");
    traffic.end().await;
}

#[tokio::test]
async fn a_killed_master_is_replaced_and_nothing_is_handled_twice() {
    let mut sentinels = Sentinels::start().await;
    let traffic = traffic(&sentinels).await;

    let old = sentinels.kill_master().await;

    let new = sentinels.wait_for_master_other_than(old).await;
    is_through(&traffic, new).await;
    traffic.end().await;
}

#[tokio::test]
async fn a_frozen_master_is_left_and_gets_no_events_when_it_resumes() {
    let sentinels = Sentinels::start().await;
    let traffic = traffic(&sentinels).await;

    let old = sentinels.freeze_master().await;
    let new = sentinels.wait_for_master_other_than(old).await;
    is_through(&traffic, new).await;
    sentinels.resume();

    let old = sentinels.servers().iter().find(|one| one.port() == old);
    let old = old.unwrap();
    wait_for(
        "it is a master again, if only for a while",
        SOON,
        async || old.try_command(&["PING"]).await.is_ok(),
    )
    .await;
    traffic.goes_on().await;
    is_through(&traffic, new).await;
    traffic.end().await;
}

#[tokio::test]
async fn discovered_sentinels_are_used() {
    let mut sentinels = Sentinels::start().await;
    let one = sentinels.addresses()[0];
    let url = format!("redis+sentinel://{one}/mymaster");
    let node = Node::start(Bus::builder(&url)).await;
    let ticks: Collected<u64> = node.collect("tick");

    sentinels.sentinels_mut()[0].kill();
    let new = sentinels.failover().await;

    hears_through(&node, &new.url()).await;
    node.send_to_all("tick", &1).await.unwrap();
    ticks.wait_for_len(1).await;
}

#[tokio::test]
async fn sentinels_that_all_stop_answering_are_logged() {
    let log = log();
    let mut sentinels = Sentinels::start().await;
    let node = Node::start(Bus::builder(&sentinels.url())).await;
    // Only this test has it.
    let one = sentinels.addresses()[0].to_string();

    sentinels.sentinels_mut().iter_mut().for_each(Redis::kill);

    wait_for("it is logged", SOON, async || {
        let says = |line: &str| line.contains("no sentinel answers") && line.contains(&one);
        log.all().iter().any(|line| says(line))
    })
    .await;
    assert!(node.is_ready(), "the master is still there");
    for sentinel in sentinels.sentinels_mut() {
        sentinel.start_again().await;
    }
    log.wait_for(|line| line.contains("a sentinel answers again"))
        .await;
}
