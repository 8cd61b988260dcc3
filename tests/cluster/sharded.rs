//! Sharded pub/sub.

use std::time::Duration;

use tidings::{Bus, StartError};
use tidings_testkit::{Cluster, Node, wait_for};

use super::events::KEY;
use super::path::path;
use crate::traffic::Traffic;

const SOON: Duration = Duration::from_secs(30);

fn sharded(cluster: &Cluster) -> String {
    format!("{}/?pubsub=sharded", cluster.url())
}

#[tokio::test]
async fn sharded_events_follow_the_slot_and_missed_ones_are_reported() {
    let cluster = Cluster::start().await;
    let traffic = Traffic::start(|| Bus::builder(&sharded(&cluster))).await;
    let limit = traffic.subscriber.shared::<u64>("limit").unwrap();
    let of_sender = traffic.sender.shared::<u64>("limit").unwrap();

    cluster.failover(KEY).await;
    traffic.goes_on().await;
    let owner = cluster.move_slot(KEY).await.port();
    wait_for("the new shard is used", SOON, async || {
        let nodes = [&traffic.subscriber, &traffic.sender];
        let replica = cluster.replica_of(KEY).await.port();
        nodes.into_iter().all(|bus| {
            path(bus).is_some_and(|(from, to)| {
                [owner, replica].contains(&from) && [owner, replica].contains(&to)
            })
        })
    })
    .await;
    traffic.goes_on().await;

    // Notifications of scripts travel in the same way.
    of_sender.set(&3).await.unwrap();
    let _ = limit.get().await;
    of_sender.set(&4).await.unwrap();
    wait_for("the notification arrives", SOON, async || {
        limit
            .peek()
            .is_some_and(|limit| limit.value().is_some_and(|limit| **limit == 4))
    })
    .await;
    traffic.end().await;
}

#[tokio::test]
async fn a_bus_with_another_kind_of_pubsub_than_the_members_does_not_start() {
    let cluster = Cluster::start().await;
    let first = Node::start(Bus::builder(&cluster.url()).name("shop-1")).await;
    wait_for("it is a member", SOON, async || {
        first
            .members()
            .await
            .is_ok_and(|members| members.len() == 1)
    })
    .await;

    let error = Bus::builder(&sharded(&cluster)).start().await.unwrap_err();

    assert!(matches!(error, StartError::PubSub { .. }), "{error:?}");
    let text = error.to_string();
    let expected = "the member `shop-1` uses classic pub/sub and this bus sharded pub/sub";
    assert!(text.starts_with(expected), "{text}");
}
