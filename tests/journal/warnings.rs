//! Warnings about settings of the server.

use tidings::acl::Permissions;
use tidings::{Bus, Journal};
use tidings_testkit::{Node, Redis};

use crate::log_capture::log;

/// A server with settings that endanger a journal, and a user with these permissions.
async fn endangered(permissions: Permissions) -> (Redis, String) {
    let user = format!("shop on >hush-hush {permissions}");
    let redis = Redis::builder()
        .config("maxmemory", "100mb")
        .config("maxmemory-policy", "allkeys-lru")
        .user(&user)
        .start()
        .await;
    let url = redis.url_as("shop", "hush-hush");
    (redis, url)
}

fn permissions() -> Permissions {
    let shop = Permissions::of_bus("shop").unwrap();
    shop.journal().durable().be_member()
}

async fn start(url: &str) -> Node {
    let journal = Journal::default().durable("billing");
    Node::start(Bus::builder(url).namespace("shop").journal(journal)).await
}

#[tokio::test]
async fn settings_that_endanger_the_journal_are_logged_once_each_with_a_cure() {
    let log = log();
    let (_redis, url) = endangered(permissions().see_settings()).await;
    let node = start(&url).await;
    let id = node.id().to_string();
    let warns = |line: &String, cure: &str| line.contains(&id) && line.contains(cure);
    for cure in [
        "CONFIG SET maxmemory-policy volatile-lru",
        "CONFIG SET maxmemory 134217728",
        "CONFIG SET appendonly yes",
    ] {
        let line = log.wait_for(|line| warns(line, cure)).await;
        assert!(
            line.contains(" WARN ") && line.contains("namespace=\"shop\""),
            "{line}"
        );
        let all = log.all();
        assert_eq!(all.iter().filter(|line| warns(line, cure)).count(), 1);
    }
}

#[tokio::test]
async fn a_user_who_may_not_read_the_settings_starts_without_a_warning() {
    let log = log();
    let (redis, url) = endangered(permissions()).await;
    let node = start(&url).await;
    let id = node.id().to_string();
    let refused = |line: &String| line.contains(&id) && line.contains("cannot read the settings");
    log.wait_for(refused).await;
    node.send_to_all("tick", &1_u64).await.unwrap();

    assert!(node.failures().all().is_empty());
    let all = log.all();
    let warns = |line: &&std::sync::Arc<String>| line.contains(&id) && line.contains(" WARN ");
    assert_eq!(all.iter().find(warns), None);
    drop(redis);
}

#[tokio::test]
async fn settings_are_read_again_after_a_reconnect_and_only_new_warnings_are_logged() {
    let log = log();
    let (redis, url) = endangered(permissions().see_settings()).await;
    let node = start(&url).await;
    let id = node.id().to_string();
    let warns = |line: &String, cure: &str| line.contains(&id) && line.contains(cure);
    let (eviction, memory) = ("volatile-lru", "CONFIG SET maxmemory 134217728");
    log.wait_for(|line| warns(line, eviction)).await;

    let settings = ["CONFIG", "SET", "maxmemory-policy", "allkeys-lfu"];
    redis.cli(&settings).await;
    redis.cli(&["CLIENT", "KILL", "USER", "shop"]).await;

    log.wait_for(|line| warns(line, "volatile-lfu")).await;
    let all = log.all();
    assert_eq!(all.iter().filter(|line| warns(line, memory)).count(), 1);
}
