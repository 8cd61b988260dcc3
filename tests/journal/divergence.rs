//! Events that Redis had accepted and has lost.

use std::time::Duration;

use tidings::{Bus, Gap, GapReason};
use tidings_testkit::{Collected, Node, Proxy, Redis, wait_for};

use super::{has_received, journaled, send};

const KEY: &str = "tidings:{default}:journal";

const SOON: Duration = Duration::from_secs(20);

async fn node(proxy: &Proxy) -> Node {
    let builder = journaled(Bus::builder(&proxy.url()));
    Node::start(builder.heartbeat_interval(Duration::from_secs(1))).await
}

/// A master and a replica, and a proxy in front of the master.
async fn replicated() -> (Redis, Redis, Proxy) {
    let master = Redis::start().await;
    let replica = Redis::start().await;
    replica.become_replica_of(&master).await;
    let proxy = Proxy::start(master.address()).await;
    (master, replica, proxy)
}

/// Waits until the replica has the event with this number.
async fn has_replicated(replica: &Redis, number: u64) {
    let (plain, escaped) = (format!("\"seq\":{number}"), format!("\\\"seq\\\":{number}"));
    wait_for("the replica has the journal", SOON, async || {
        let entries = replica.cli(&["XRANGE", KEY, "-", "+"]).await;
        entries.contains(&plain) || entries.contains(&escaped)
    })
    .await;
}

fn is_diverged(gap: &Gap) -> bool {
    matches!(gap.reason, GapReason::Diverged { .. })
}

#[tokio::test]
async fn events_that_a_failover_took_away_are_named_to_each_who_received_them() {
    let (_master, replica, proxy) = replicated().await;
    let (sender, subscriber) = (node(&proxy).await, node(&proxy).await);
    let ticks: Collected<u64> = subscriber.collect("tick");
    send(&sender, 1..=10).await;
    has_replicated(&replica, 10).await;

    replica.promote().await;
    send(&sender, 11..=13).await;
    has_received(&ticks, 13).await;
    proxy.redirect(replica.address());
    proxy.reset().await;

    for node in [&sender, &subscriber] {
        let gap = node.gaps().wait_for(is_diverged).await;
        assert_eq!(gap.sender, Some(sender.id()), "{gap:?}");
        assert_eq!(
            gap.reason,
            GapReason::Diverged {
                forgotten: Some(11..=13)
            }
        );
        assert_eq!(gap.missed, Some(3));
    }
    sender.send_to_all("tick", &14).await.unwrap();
    has_received(&ticks, 14).await;
    assert_eq!(subscriber.health().missed, 0);
}

#[tokio::test]
async fn events_of_the_surviving_history_are_received_after_a_split() {
    let (master, replica, proxy) = replicated().await;
    let (sender, subscriber) = (node(&proxy).await, node(&proxy).await);
    let ticks: Collected<u64> = subscriber.collect("tick");
    send(&sender, 1..=5).await;
    has_received(&ticks, 5).await;
    has_replicated(&replica, 5).await;

    replica.promote().await;
    let other = Node::start(journaled(Bus::builder(&replica.url()))).await;
    // Both histories grow.
    send(&sender, 6..=8).await;
    other.send_to_all("tick", &100).await.unwrap();
    has_received(&ticks, 8).await;
    proxy.redirect(replica.address());
    proxy.reset().await;

    ticks.wait_for(|tick| *tick == 100).await;
    let gap = subscriber.gaps().wait_for(is_diverged).await;
    assert_eq!(
        gap.reason,
        GapReason::Diverged {
            forgotten: Some(6..=8)
        }
    );
    assert!(master.is_running());
}
