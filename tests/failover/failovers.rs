//! Failovers: planned, after a crash, and of a frozen master.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use tidings::{Bus, TopologyKind};
use tidings_testkit::{Collected, Node, Redis, Sentinels, wait_for};
use tokio::task::JoinHandle;
use tokio::time::interval;

use super::wait::hears_through;

const SOON: Duration = Duration::from_secs(30);

/// A subscriber of ticks, and a sender of one tick every 5 ms.
struct Traffic {
    subscriber: Node,
    sender: Node,
    ticks: Collected<u64>,
    stop: Arc<AtomicBool>,
    sending: JoinHandle<u64>,
}

impl Traffic {
    async fn start(sentinels: &Sentinels) -> Self {
        let subscriber = Node::start(Bus::builder(&sentinels.url())).await;
        let sender = Node::start(Bus::builder(&sentinels.url())).await;
        let ticks = subscriber.collect("tick");
        let stop = Arc::new(AtomicBool::new(false));
        let sending = tokio::spawn(send(sender.bus().clone(), Arc::clone(&stop)));
        let traffic = Self {
            subscriber,
            sender,
            ticks,
            stop,
            sending,
        };
        traffic.goes_on().await;
        traffic
    }

    /// Waits until more ticks are received.
    async fn goes_on(&self) {
        self.ticks.wait_for_len(self.ticks.all().len() + 10).await;
    }

    async fn is_through(&self, server: &Redis) {
        for node in [&self.subscriber, &self.sender] {
            hears_through(node, &server.url()).await;
        }
        self.goes_on().await;
    }

    /// Checks that no tick was handled twice or out of order, and that each missing one was
    /// reported.
    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sending.await.unwrap();
        self.ticks.wait_for(|tick| *tick == sent).await;
        let received: Vec<u64> = self.ticks.all().iter().map(|tick| **tick).collect();
        assert!(received.is_sorted());
        let different: BTreeSet<_> = received.iter().collect();
        assert_eq!(different.len(), received.len());
        let missed = sent - received.len() as u64;
        assert_eq!(self.subscriber.health().missed, missed);
    }
}

/// Sends until it is told to stop, and returns the number of ticks.
async fn send(bus: Bus, stop: Arc<AtomicBool>) -> u64 {
    let mut clock = interval(Duration::from_millis(5));
    let mut tick = 0;
    while !stop.load(Ordering::Relaxed) {
        clock.tick().await;
        tick += 1;
        // A send that waits for a failover must not delay the next one.
        bus.feed("tick", &tick).await.unwrap();
    }
    bus.flush().await.unwrap();
    tick
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
    let traffic = Traffic::start(&sentinels).await;
    assert_eq!(traffic.subscriber.health().topology, TopologyKind::Sentinel);
    let old = sentinels.master().await;

    let new = sentinels.failover().await;

    traffic.is_through(new).await;
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
    let traffic = Traffic::start(&sentinels).await;

    let old = sentinels.kill_master().await;

    let new = sentinels.wait_for_master_other_than(old).await;
    traffic.is_through(new).await;
    traffic.end().await;
}

#[tokio::test]
async fn a_frozen_master_is_left_and_gets_no_events_when_it_resumes() {
    let sentinels = Sentinels::start().await;
    let traffic = Traffic::start(&sentinels).await;

    let old = sentinels.freeze_master().await;
    let new = sentinels.wait_for_master_other_than(old).await;
    traffic.is_through(new).await;
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
    traffic.is_through(new).await;
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
