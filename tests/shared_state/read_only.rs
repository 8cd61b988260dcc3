//! A master that becomes a replica while clients are connected: writes are rejected.

use std::time::Duration;

use tidings::{Counter, CounterError, SendFailure, Shared, SharedMap, StoreError, Unconfirmed};
use tidings_testkit::{Node, Redis, wait_for};

const SOON: Duration = Duration::from_secs(20);

/// One of each kind of shared state.
struct Stored {
    limit: Shared<u64>,
    prices: SharedMap<String, u64>,
    visits: Counter,
}

impl Stored {
    fn of(node: &Node) -> Self {
        Self {
            limit: node.shared("limit").unwrap(),
            prices: node.map("prices").unwrap(),
            visits: node.counter("visits").unwrap(),
        }
    }

    /// The result of each kind of write.
    async fn results(&self) -> Vec<Unconfirmed> {
        let tea = "tea".to_owned();
        vec![
            stored(self.limit.set(&13).await),
            stored(self.limit.update(|_| 13).await),
            stored(self.limit.clear().await),
            stored(self.prices.set(&tea, &13).await),
            stored(self.prices.update(&tea, |_| 13).await),
            stored(self.prices.remove(&tea).await),
            counted(self.visits.add(13).await),
            counted(self.visits.reset().await),
        ]
    }

    /// The local value, and whether it may be stale.
    async fn served(&self) -> (Option<u64>, bool) {
        let limit = self.limit.get().await.unwrap();
        let is_stale = limit.stale_since().is_some();
        (limit.value().map(|limit| **limit), is_stale)
    }
}

fn stored<T>(outcome: Result<T, StoreError>) -> Unconfirmed {
    match outcome.err().expect("it cannot be written") {
        StoreError::Unconfirmed { why: result, .. } => result,
        error => panic!("{error}"),
    }
}

fn counted(outcome: Result<i64, CounterError>) -> Unconfirmed {
    match outcome.expect_err("it cannot be written") {
        CounterError::Unconfirmed { why: result, .. } => result,
        error => panic!("{error}"),
    }
}

/// A replica without a master: it waits for its master, and keeps its data.
async fn demote(redis: &Redis) {
    redis.command(&["REPLICAOF", "127.0.0.1", "1"]).await;
}

#[tokio::test]
async fn a_master_that_becomes_a_replica_accepts_no_write_until_it_is_a_master_again() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let retained = Stored::of(&node);
    let tea = "tea".to_owned();
    retained.limit.set(&1).await.unwrap();
    retained.prices.set(&tea, &2).await.unwrap();
    retained.visits.add(3).await.unwrap();

    demote(&redis).await;

    // The role check takes seconds to detect it; Redis says it at once.
    for result in retained.results().await {
        let is_said = matches!(&result, Unconfirmed::NotSent(SendFailure::Refused(words)) if words.contains("READONLY"));
        assert!(is_said, "{result:?}");
    }
    assert_eq!(retained.served().await, (Some(1), false));

    wait_for("the receive task detects it", SOON, async || {
        !node.health().is_ready()
    })
    .await;
    for result in retained.results().await {
        assert_eq!(result, Unconfirmed::NotSent(SendFailure::Unreachable));
    }
    assert_eq!(retained.served().await, (Some(1), true));

    redis.promote().await;
    wait_for("it is accepted again", SOON, async || {
        node.health().is_ready()
    })
    .await;
    assert_eq!(
        retained
            .limit
            .refresh()
            .await
            .unwrap()
            .value()
            .map(|one| **one),
        Some(1)
    );
    assert_eq!(
        retained.prices.get(&tea).await.unwrap().as_deref(),
        Some(&2)
    );
    assert_eq!(retained.visits.add(1).await.unwrap(), 4);
    assert_eq!(retained.limit.set(&2).await.unwrap().version(), 2);
}
