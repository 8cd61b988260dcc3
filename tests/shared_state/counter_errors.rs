//! Counter errors: each says what happened to the count.

use std::time::Duration;

use tidings::acl::Permissions;
use tidings::{Bus, Counter, CounterError, SendFailure, Unconfirmed};
use tidings_testkit::{Direction, Fault, Node, Proxy, Redis, wait_for};

use crate::shared_state::raw_redis::allow;

const SOON: Duration = Duration::from_secs(20);

/// The connections of a node, in the order in which it opens them.
const SENDING: usize = 1;

fn visits(node: &Node) -> Counter {
    node.counter("visits").unwrap()
}

fn fate_of(error: CounterError) -> Unconfirmed {
    match error {
        CounterError::Unconfirmed { why: result, .. } => result,
        error => panic!("{error}"),
    }
}

/// The error text of Redis.
fn refusal(error: CounterError) -> String {
    match fate_of(error) {
        Unconfirmed::NotSent(SendFailure::Refused(words) | SendFailure::Denied(words)) => {
            words.to_string()
        }
        result => panic!("{result}"),
    }
}

#[tokio::test]
async fn a_count_on_a_value_that_is_not_a_number_changes_nothing() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let visits = visits(&node);
    let key = "tidings:{default}:counter:visits";
    for (write, read) in [("LPUSH", "LPOP"), ("SET", "GET")] {
        redis.command(&["DEL", key]).await;
        redis.command(&[write, key, "many"]).await;

        for counted in [
            visits.add(1).await,
            visits.get().await,
            visits.reset().await,
        ] {
            let error = counted.unwrap_err();
            assert!(matches!(error, CounterError::Foreign { .. }), "{error}");
            assert!(!error.is_unknown());
        }

        assert_eq!(redis.cli(&[read, key]).await, "many");
    }
}

#[tokio::test]
async fn redis_cli_can_count() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    visits(&node).add(40).await.unwrap();

    let sum = redis
        .cli(&["INCR", "tidings:{default}:counter:visits"])
        .await;

    assert_eq!(sum, "41");
    assert_eq!(visits(&node).add(1).await.unwrap(), 42);
}

#[tokio::test]
async fn a_full_or_read_only_redis_is_named_in_the_error() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    visits(&node).add(1).await.unwrap();
    for (setting, value, healthy, words) in [
        ("maxmemory", "1", "0", "OOM"),
        ("min-replicas-to-write", "1", "0", "NOREPLICAS"),
    ] {
        redis.command(&["CONFIG", "SET", setting, value]).await;
        let said = refusal(visits(&node).add(1).await.unwrap_err());
        assert!(said.starts_with(words), "{said}");
        assert_eq!(visits(&node).get().await.unwrap(), 1);
        redis.command(&["CONFIG", "SET", setting, healthy]).await;
    }
    assert_eq!(visits(&node).add(1).await.unwrap(), 2);
}

#[tokio::test]
async fn a_user_without_permission_to_count_is_told_the_missing_permission() {
    let redis = Redis::builder()
        .user("shop on >hush-hush resetchannels &tidings:{default} -@all +subscribe +publish")
        .start()
        .await;
    let node = Node::start(Bus::builder(&redis.url_as("shop", "hush-hush"))).await;

    let said = refusal(visits(&node).add(1).await.unwrap_err());
    assert!(said.contains("ACL SETUSER shop +incrby"), "{said}");
    redis.command(&["ACL", "SETUSER", "shop", "+incrby"]).await;
    let said = refusal(visits(&node).add(1).await.unwrap_err());
    assert!(said.contains("'~tidings:{default}:*'"), "{said}");
    let rules = ["ACL", "SETUSER", "shop", "~tidings:{default}:*"];
    redis.command(&rules).await;

    assert_eq!(visits(&node).add(1).await.unwrap(), 1);
}

#[tokio::test]
async fn nothing_is_counted_while_redis_is_away() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    redis.cut_off(&node).await;

    let result = fate_of(visits(&node).add(1).await.unwrap_err());

    assert_eq!(result, Unconfirmed::NotSent(SendFailure::Unreachable));
    redis.restore(&node).await;
    wait_for("it counts again", SOON, async || {
        visits(&node).add(1).await.is_ok()
    })
    .await;
    assert_eq!(visits(&node).get().await.unwrap(), 1);
}

#[tokio::test]
async fn a_count_without_an_answer_is_unknown_and_not_repeated() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.address()).await;
    let (node, other) = (proxy.node().await, redis.node().await);

    proxy.set_connection(SENDING, Fault::Drop(Direction::ToClient));
    let visits = visits(&node);
    let counting = tokio::spawn(async move { visits.add(1).await });
    let elsewhere = self::visits(&other);
    wait_for("redis counted it", SOON, async || {
        elsewhere.get().await.unwrap() == 1
    })
    .await;
    proxy.reset().await;
    let error = counting.await.unwrap().unwrap_err();

    assert!(error.is_unknown(), "{error}");
    assert_eq!(fate_of(error), Unconfirmed::Unknown(SendFailure::Lost));
    wait_for("it is back", SOON, async || node.health().is_ready()).await;
    assert_eq!(elsewhere.get().await.unwrap(), 1);
}

#[tokio::test]
async fn a_count_without_an_answer_in_time_is_unknown() {
    let redis = Redis::start().await;
    let patience = Duration::from_millis(200);
    let node = Node::start(Bus::builder(&redis.url()).send_timeout(patience)).await;

    redis.freeze();
    let error = visits(&node).add(1).await.unwrap_err();
    redis.resume();

    let result = fate_of(error);
    assert_eq!(
        result,
        Unconfirmed::Unknown(SendFailure::TimedOut(patience))
    );
}

#[tokio::test]
async fn a_reset_is_exact_and_leaves_the_time_to_live() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let key = "tidings:{default}:counter:visits";
    let most = i64::MAX;
    redis
        .command(&["SET", key, &most.to_string(), "EX", "1000"])
        .await;

    assert_eq!(visits(&node).reset().await.unwrap(), most);

    assert_eq!(redis.cli(&["GET", key]).await, "0");
    assert_ne!(redis.cli(&["TTL", key]).await, "-1");
}

#[tokio::test]
async fn a_user_who_may_count_may_reset() {
    let redis = Redis::start().await;
    let permissions = Permissions::of_bus("default").unwrap().count();
    allow(&redis, &permissions).await;
    let node = Node::start(Bus::builder(&redis.url_as("shop", "hush-hush"))).await;

    assert_eq!(visits(&node).add(2).await.unwrap(), 2);
    assert_eq!(visits(&node).reset().await.unwrap(), 2);
    assert_eq!(visits(&node).get().await.unwrap(), 0);
}
