//! Two databases of one server, with one namespace.

use std::time::Duration;

use tidings::{Bus, SendError};
use tidings_testkit::{Collected, Node, Redis, wait_for};

const SOON: Duration = Duration::from_secs(20);

async fn node_in(redis: &Redis, database: u8) -> Node {
    Node::start(Bus::builder(&format!("{}/{database}", redis.url()))).await
}

#[tokio::test]
async fn buses_in_two_databases_share_no_state() {
    let redis = Redis::start().await;
    let nodes = [
        node_in(&redis, 0).await,
        node_in(&redis, 1).await,
        node_in(&redis, 2).await,
    ];
    let ticks: [Collected<u64>; 3] = nodes.each_ref().map(|node| node.collect("tick"));

    for (number, node) in (10..).zip(&nodes) {
        let receipt = node.send_to_all("tick", &number).await.unwrap();
        assert_eq!(receipt.receivers, Some(1));
        node.shared::<u64>("limit")
            .unwrap()
            .set(&number)
            .await
            .unwrap();
        node.counter("visits").unwrap().add(1).await.unwrap();
    }

    for ((number, node), ticks) in (10..).zip(&nodes).zip(&ticks) {
        ticks.wait_for_len(1).await;
        node.send_to_all("tick", &0).await.unwrap();
        ticks.wait_for(|tick| *tick == 0).await;
        let received: Vec<u64> = ticks.all().iter().map(|tick| **tick).collect();
        assert_eq!(received, [number, 0]);
        assert_eq!(node.members().await.unwrap().len(), 1);
        let limit = node.shared::<u64>("limit").unwrap().get().await.unwrap();
        assert_eq!(limit.value().map(|limit| **limit), Some(number));
        assert_eq!(node.counter("visits").unwrap().get().await.unwrap(), 1);
    }
    let to_another = nodes[1].send_to(nodes[2].id(), "tick", &1).await;
    assert!(matches!(to_another, Err(SendError::Nobody { .. })));
}

#[tokio::test]
async fn buses_in_one_database_share_state() {
    let redis = Redis::start().await;
    let (one, other) = (node_in(&redis, 3).await, node_in(&redis, 3).await);
    let ticks: Collected<u64> = other.collect("tick");
    let (here, there) = (
        one.shared::<u64>("limit").unwrap(),
        other.shared::<u64>("limit").unwrap(),
    );
    there.refresh().await.unwrap();

    one.send_to(other.id(), "tick", &1).await.unwrap();
    here.set(&7).await.unwrap();

    ticks.wait_for_len(1).await;
    // Much earlier than the next comparison with Redis: the notification came.
    wait_for("the copy is new", SOON, async || {
        there
            .get()
            .await
            .unwrap()
            .value()
            .is_some_and(|limit| **limit == 7)
    })
    .await;
    assert_eq!(one.members().await.unwrap().len(), 2);
}
