//! Errors of a start.

use std::error::Error;
use std::time::{Duration, Instant};

use tidings::{Bus, SendError, StartError};
use tidings_testkit::{Collected, Node, Redis, free_port};
use tokio::time::timeout;

fn in_full(error: &dyn Error) -> String {
    tidings::report(error).to_string()
}

#[tokio::test]
async fn an_unreachable_redis_is_named_with_the_cause() {
    let url = format!("redis://127.0.0.1:{}", free_port());
    let begun = Instant::now();

    let builder = Bus::builder(&url).start_timeout(Duration::from_millis(300));
    let error = builder.start().await.unwrap_err();

    assert!(matches!(error, StartError::Unreachable { .. }));
    let text = in_full(&error);
    assert!(text.contains(&url) && text.contains("refused"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn wait_for_redis_starts_when_redis_is_reachable() {
    let mut redis = Redis::start().await;
    redis.kill();
    let starting = tokio::spawn(Bus::builder(&redis.url()).wait_for_redis().start());

    redis.start_again().await;

    let bus = starting.await.unwrap().unwrap();
    assert_eq!(
        bus.send_to_all("tick", &1).await.unwrap().receivers,
        Some(1)
    );
}

#[tokio::test]
async fn a_wrong_password_is_rejected_at_once_and_never_shown() {
    let redis = Redis::builder().password("hush-hush").start().await;
    let url = redis.url().replace("hush-hush", "wrong-hush-hush");

    let error = Bus::builder(&url).start().await.unwrap_err();

    assert!(matches!(error, StartError::Refused { .. }), "{error:?}");
    let text = format!("{} {error:?}", in_full(&error));
    assert!(text.contains("check the user and the password"), "{text}");
    assert!(!text.contains("hush"), "{text}");
}

#[tokio::test]
async fn a_missing_password_is_explained() {
    let redis = Redis::builder().password("hush-hush").start().await;
    let error = Bus::builder(&format!("redis://{}", redis.address()))
        .start()
        .await
        .unwrap_err();
    let text = in_full(&error);
    assert!(matches!(error, StartError::Refused { .. }), "{text}");
    assert!(text.contains("check the user and the password"), "{text}");
}

#[tokio::test]
async fn a_forbidden_channel_is_explained_with_the_command_that_grants_it() {
    let redis = Redis::builder()
        .user("mute on >hush-hush ~* +@all resetchannels")
        .start()
        .await;

    let builder = Bus::builder(&redis.url_as("mute", "hush-hush")).namespace("shop");
    let error = builder.start().await.unwrap_err();

    assert!(matches!(error, StartError::Refused { .. }));
    let text = in_full(&error);
    assert!(
        text.contains("ACL SETUSER mute '&tidings:{shop}'"),
        "{text}"
    );
}

#[tokio::test]
async fn a_user_who_may_only_subscribe_receives_and_is_told_why_sends_fail() {
    let redis = Redis::builder()
        .user("no-publish on >hush-hush ~* &* +@all -publish")
        .start()
        .await;
    let sender = redis.node().await;
    let subscriber = Node::start(Bus::builder(&redis.url_as("no-publish", "hush-hush"))).await;
    let ticks: Collected<u64> = subscriber.collect("tick");

    let refused = subscriber.send_to_all("tick", &1).await.unwrap_err();
    sender.send_to_all("tick", &2).await.unwrap();

    assert!(matches!(refused, SendError::NotSent { .. }));
    assert!(
        refused
            .to_string()
            .contains("ACL SETUSER no-publish +publish"),
        "{refused}"
    );
    assert_eq!(*ticks.wait_for(|_| true).await, 2);
}

#[tokio::test]
async fn a_user_without_role_and_client_list_can_send_and_receive() {
    let rules = "least on >hush-hush resetchannels &tidings:{default} +hello +auth \
                 +client|setname +select +subscribe +publish";
    let redis = Redis::builder().user(rules).start().await;
    let node = Node::start(Bus::builder(&redis.url_as("least", "hush-hush"))).await;
    let ticks: Collected<u64> = node.collect("tick");

    // More than the sender sends between two checks of the slowest subscriber.
    let large = "x".repeat(100_000);
    for _ in 0..60 {
        node.feed("text", &large).await.unwrap();
    }
    node.send_to_all("tick", &1).await.unwrap();

    ticks.wait_for_len(1).await;
}

/// Much less than the start timeout: waiting would not help.
const AT_ONCE: Duration = Duration::from_secs(5);

async fn refused_at_once(url: &str) -> String {
    let started = timeout(AT_ONCE, Bus::builder(url).start()).await;
    let error = started.expect("a rejection is final").unwrap_err();
    assert!(matches!(error, StartError::Refused { .. }), "{error:?}");
    in_full(&error)
}

#[tokio::test]
async fn a_forbidden_database_number_is_explained_with_the_command_that_grants_it() {
    let redis = Redis::builder()
        .user("least on >hush-hush resetchannels &tidings:{default} +subscribe +publish")
        .start()
        .await;
    let url = format!("{}/3", redis.url_as("least", "hush-hush"));

    let text = refused_at_once(&url).await;

    let cure = "ACL SETUSER least +select";
    assert!(text.contains(cure), "{text}");
    redis.command(&["ACL", "SETUSER", "least", "+select"]).await;
    let text = refused_at_once(&url).await;
    assert!(text.contains("'&tidings:{default}/3'"), "{text}");
    let channel = "&tidings:{default}/3";
    redis.command(&["ACL", "SETUSER", "least", channel]).await;
    let node = Node::start(Bus::builder(&url)).await;
    let ticks: Collected<u64> = node.collect("tick");
    node.send_to_all("tick", &1).await.unwrap();
    ticks.wait_for_len(1).await;
}

#[tokio::test]
async fn a_missing_database_is_rejected_at_once() {
    let redis = Redis::start().await;

    let text = refused_at_once(&format!("{}/99", redis.url())).await;

    assert!(
        text.contains("the server has no database with this number"),
        "{text}"
    );
}

#[tokio::test]
async fn a_node_of_a_cluster_is_rejected_at_once() {
    let redis = Redis::builder()
        .config("cluster-enabled", "yes")
        .user("least on >hush-hush resetchannels &tidings:{default} -@all +subscribe +publish")
        .start()
        .await;
    for url in [redis.url(), redis.url_as("least", "hush-hush")] {
        let text = refused_at_once(&url).await;
        let at = redis.address();
        let cure = format!("{at} is a node of a Redis Cluster: write `redis+cluster://{at}`");
        assert!(text.contains(&cure), "{text}");
    }
}

#[tokio::test]
async fn a_replica_is_rejected() {
    let master = Redis::start().await;
    let replica = Redis::start().await;
    let port = master.port().to_string();
    replica.command(&["REPLICAOF", "127.0.0.1", &port]).await;

    let builder = Bus::builder(&replica.url()).start_timeout(Duration::from_millis(300));
    let text = in_full(&builder.start().await.unwrap_err());

    assert!(
        text.contains("the server is a replica, not a master"),
        "{text}"
    );
}

#[tokio::test]
async fn a_password_a_database_and_a_unix_socket_may_be_combined() {
    let redis = Redis::builder()
        .password("hush-hush p@ss word")
        .unix_socket()
        .start()
        .await;
    let over_tcp = Node::start(Bus::builder(&format!("{}/3", redis.url()))).await;
    let over_socket = format!("{}&db=3", redis.unix_url().unwrap());
    let over_socket = Node::start(Bus::builder(&over_socket)).await;
    let ticks: Collected<u64> = over_socket.collect("tick");

    over_tcp.send_to_all("tick", &1).await.unwrap();

    ticks.wait_for_len(1).await;
}

#[tokio::test]
async fn a_namespace_with_braces_is_rejected() {
    let error = Bus::builder("memory:x")
        .namespace("a}b")
        .start()
        .await
        .unwrap_err();
    assert!(matches!(error, StartError::Namespace { .. }), "{error:?}");
}
