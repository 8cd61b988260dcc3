//! A cluster that is whole from the start, with real failovers, moving slots and partitions.

use std::time::Duration;

use redis::Value;
use tidings_testkit::{Cluster, Redis, wait_for};
use tokio::time::Instant;

const SOON: Duration = Duration::from_secs(20);

/// Two keys of one slot.
const KEY: &str = "tidings:{shop}";
const OTHER_KEY: &str = "{shop}";

async fn says(redis: &Redis, words: &[&str], what: &str) -> bool {
    let answer = redis.try_command(words).await;
    let text = answer.and_then(|answer| Ok(redis::from_redis_value::<String>(answer)?));
    text.is_ok_and(|text| text.contains(what))
}

#[tokio::test]
async fn every_server_knows_all_others_from_the_start() {
    let begun = Instant::now();
    let cluster = Cluster::start().await;
    let took = begun.elapsed();

    for server in cluster.servers() {
        for line in [
            "cluster_state:ok",
            "cluster_known_nodes:6",
            "cluster_slots_ok:16384",
        ] {
            assert!(says(server, &["CLUSTER", "INFO"], line).await, "{line}");
        }
    }
    let addresses: Vec<_> = cluster
        .addresses()
        .iter()
        .map(ToString::to_string)
        .collect();
    let url = format!("redis+cluster://{}", addresses.join(","));
    assert_eq!(cluster.url(), url);
    assert!(took < Duration::from_secs(10), "started within {took:?}");
}

#[tokio::test]
async fn a_planned_failover_makes_the_replica_the_owner() {
    let cluster = Cluster::start().await;
    let old = cluster.owner_of(KEY).await.port();
    let replica = cluster.replica_of(KEY).await.port();

    let new = cluster.failover(KEY).await;

    assert_eq!(new.port(), replica);
    assert!(new.is_master().await);
    cluster.settle().await;
    assert!(!cluster.server(old).is_master().await);
}

#[tokio::test]
async fn a_killed_owner_is_replaced_and_comes_back_as_a_replica() {
    let mut cluster = Cluster::start().await;

    let killed = cluster.kill_owner_of(KEY).await;
    let new = cluster.wait_for_owner_other_than(KEY, killed).await.port();
    cluster.start_again(killed).await;
    cluster.settle().await;

    assert_eq!(cluster.owner_of(KEY).await.port(), new);
    assert_eq!(cluster.replica_of(KEY).await.port(), killed);
}

#[tokio::test]
async fn a_frozen_owner_is_replaced() {
    let cluster = Cluster::builder()
        .servers(|server| server.password("hush-hush@p/word"))
        .start()
        .await;
    assert!(
        cluster
            .url()
            .contains("://:hush-hush%40p%2Fword@127.0.0.1:")
    );
    let frozen = cluster.owner_of(KEY).await.port();

    cluster.freeze(frozen);
    let new = cluster.wait_for_owner_other_than(KEY, frozen).await.port();
    cluster.resume();
    cluster.settle().await;

    assert_eq!(cluster.owner_of(KEY).await.port(), new);
}

#[tokio::test]
async fn the_keys_of_a_moving_slot_are_under_way_until_it_is_finished() {
    let cluster = Cluster::builder().replicas(0).start().await;
    let old = cluster.owner_of(KEY).await;
    old.command(&["MSET", KEY, "1", OTHER_KEY, "2"]).await;

    let moving = cluster.begin_slot_move(KEY).await;
    assert_eq!(moving.migrate(1).await, 1);

    let both = old.try_command(&["MGET", KEY, OTHER_KEY]).await;
    let error = both.unwrap_err().to_string();
    assert!(error.to_uppercase().contains("TRYAGAIN"), "{error}");
    let one = old.try_command(&["GET", KEY]).await;
    let other = old.try_command(&["GET", OTHER_KEY]).await;
    assert!(one.is_ok() != other.is_ok());

    let new = moving.finish().await;
    assert_ne!(new.port(), old.port());
    let both = new.command(&["MGET", KEY, OTHER_KEY]).await;
    let text = |text: &str| Value::BulkString(text.into());
    assert_eq!(both, Value::Array(vec![text("1"), text("2")]));
}

#[tokio::test]
async fn a_server_that_is_cut_off_loses_its_slots_and_comes_back() {
    let cluster = Cluster::builder().partitions().start().await;
    let old = cluster.owner_of(KEY).await.port();

    cluster.partition(&[old]);

    let new = cluster.wait_for_owner_other_than(KEY, old).await.port();
    let fails = "cluster_state:fail";
    wait_for("the server knows that it is alone", SOON, async || {
        says(cluster.server(old), &["CLUSTER", "INFO"], fails).await
    })
    .await;
    cluster.heal();
    cluster.settle().await;
    assert_eq!(cluster.owner_of(KEY).await.port(), new);
}

#[tokio::test]
async fn clients_are_cut_off_with_the_servers_of_the_other_side() {
    let cluster = Cluster::builder().partitions().start().await;
    let [outside, inside] = [cluster.url(), cluster.inside_url()];
    let addresses = cluster.addresses();
    let cut_off = cluster.servers().next().unwrap().port();
    cluster.partition(&[cut_off]);

    for (url, reachable, unreachable) in [
        (&outside, addresses[1], addresses[0]),
        (&inside, addresses[0], addresses[1]),
    ] {
        let login = url.split_once("://").unwrap().1.rsplit_once('@');
        let login = login.map_or(String::new(), |(login, _)| format!("{login}@"));
        assert!(answers(&format!("redis://{login}{reachable}")).await);
        assert!(!answers(&format!("redis://{login}{unreachable}")).await);
    }
}

async fn answers(url: &str) -> bool {
    let client = redis::Client::open(url).unwrap();
    let connection = client.get_multiplexed_async_connection();
    let connected = tokio::time::timeout(Duration::from_secs(1), connection).await;
    connected.is_ok_and(|connected| connected.is_ok())
}

#[tokio::test]
async fn all_servers_of_a_cluster_with_tls_have_one_authority() {
    let cluster = Cluster::builder().replicas(0).tls().start().await;

    let ca = cluster.servers().next().unwrap().ca_file();
    for server in cluster.servers() {
        let ca = ca.to_str().unwrap();
        let words = ["--tls", "--cacert", ca, "-u", &server.tls_url(), "PING"];
        assert_eq!(server.cli(&words).await, "PONG");
    }
    assert!(cluster.tls_url().starts_with("rediss+cluster://127.0.0.1:"));
}

#[tokio::test]
async fn a_replica_that_takes_over_lacks_what_it_did_not_receive() {
    let cluster = Cluster::start().await;
    let old = cluster.owner_of("colour").await;
    cluster.replica_of("colour").await.cut_replication().await;
    old.command(&["SET", "colour", "green"]).await;

    let new = cluster.take_over("colour").await;

    new.restore_replication().await;
    cluster.settle().await;
    assert_ne!(new.port(), old.port());
    assert_eq!(new.cli(&["EXISTS", "colour"]).await, "0");
    assert!(!old.is_master().await);
}
