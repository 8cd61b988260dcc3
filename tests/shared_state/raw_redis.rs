//! Foreign programs on the Redis of a test, and the statistics of Redis.

use std::time::Duration;

use redis::FromRedisValue;
use redis::aio::{MultiplexedConnection, PubSub};
use tidings::Shared;
use tidings::acl::Permissions;
use tidings_testkit::{Node, Redis};

pub(crate) const CHANNEL: &str = "tidings:{default}";

/// A shared value, and its notification.
pub(crate) const KEY: &str = "tidings:{default}:shared:limit";
pub(crate) const NOTIFICATION: &str = r#"{"event":"tidings.shared","data":{"key":"limit"}}"#;

pub(crate) fn limit(node: &Node) -> Shared<u64> {
    node.shared("limit").unwrap()
}

/// A node that compares its copies with Redis as often as possible.
pub(crate) async fn checking_often(redis: &Redis) -> Node {
    redis
        .node_with(|builder| builder.refresh_interval(Duration::from_secs(1)))
        .await
}

pub(crate) async fn connected(redis: &Redis) -> MultiplexedConnection {
    let client = redis::Client::open(redis.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// Subscribes to the notifications of the nodes.
pub(crate) async fn subscription(redis: &Redis) -> PubSub {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut subscription = client.get_async_pubsub().await.unwrap();
    subscription.subscribe(CHANNEL).await.unwrap();
    subscription
}

pub(crate) async fn announce(redis: &Redis, frame: &str) {
    redis.command(&["PUBLISH", CHANNEL, frame]).await;
}

/// Gives the user `shop` these permissions, with the password `hush-hush`.
pub(crate) async fn allow(redis: &Redis, permissions: &Permissions) {
    let rules = permissions.to_string();
    let mut words = vec!["ACL", "SETUSER", "shop", "on", ">hush-hush"];
    words.extend(rules.split(' '));
    redis.command(&words).await;
}

/// The number of times that Redis ran this command, from scripts or otherwise.
pub(crate) async fn calls(redis: &Redis, command: &str) -> u64 {
    let answer = redis.command(&["INFO", "commandstats"]).await;
    let stats = String::from_redis_value(answer).unwrap();
    let line = format!("cmdstat_{command}:calls=");
    stats
        .lines()
        .find_map(|stat| stat.strip_prefix(&line)?.split(',').next()?.parse().ok())
        .unwrap_or(0)
}
