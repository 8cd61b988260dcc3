//! Redis users with exactly the permissions that tidings needs.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tidings::acl::Permissions;
use tidings::{Bus, GapReason, MapOptions, SharedOptions};
use tidings_testkit::{Collected, Node, Redis, wait_for};

const PASSWORD: &str = "hush-hush";

async fn add_user(redis: &Redis, user: &str, permissions: &Permissions) {
    let rules = permissions.to_string();
    let mut words = vec!["ACL", "SETUSER", user, "on"];
    let password = format!(">{PASSWORD}");
    words.push(&password);
    words.extend(rules.split(' '));
    redis.command(&words).await;
}

async fn connected_as(redis: &Redis, user: &str) -> MultiplexedConnection {
    let client = redis::Client::open(redis.url_as(user, PASSWORD)).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

async fn may(connection: &mut MultiplexedConnection, command: &str) -> bool {
    let mut words = command.split(' ');
    let mut ask = redis::cmd(words.next().unwrap());
    for word in words {
        ask.arg(word);
    }
    match ask.exec_async(connection).await {
        Ok(()) => true,
        // An older server knows fewer commands.
        Err(error) => {
            error.code() != Some("NOPERM") && !error.to_string().contains("unknown command")
        }
    }
}

fn of_shop() -> Permissions {
    Permissions::of_bus("shop").unwrap()
}

#[tokio::test]
async fn each_user_has_exactly_the_permissions_it_needs() {
    const LEAST: usize = 0;
    const MOST: usize = 1;
    const OTHER: usize = 2;
    let redis = Redis::start().await;
    let most = of_shop().select_database().check_role().see_backlogs();
    let users = [
        ("least", of_shop()),
        ("most", most),
        ("other", Permissions::of_bus("other").unwrap()),
    ];
    let mut connections = Vec::new();
    for (user, permissions) in &users {
        add_user(&redis, user, permissions).await;
        connections.push(connected_as(&redis, user).await);
    }

    let both = &[LEAST, MOST][..];
    for (command, allowed) in [
        ("PUBLISH tidings:{shop} x", both),
        ("PUBLISH tidings:{other} x", &[OTHER]),
        ("PUBLISH tidings:{shop}/3 x", &[MOST]),
        ("PUBLISH tidings:{shop}2 x", &[]),
        ("PUBLISH tidings:{default} x", &[]),
        ("PUBLISH tidings:{*} x", &[]),
        ("SPUBLISH tidings:{shop} x", &[]),
        ("SELECT 3", &[MOST]),
        ("ROLE", &[MOST]),
        ("CLIENT LIST TYPE pubsub", &[MOST]),
        ("CLIENT KILL TYPE pubsub", &[]),
        ("CLIENT NO-EVICT on", &[]),
        ("PUBSUB CHANNELS", &[]),
        ("GET key", &[]),
        ("SET key value", &[]),
        ("KEYS *", &[]),
        ("FLUSHALL", &[]),
        ("EVAL return(1) 0", &[]),
        ("INFO", &[]),
        ("CONFIG GET *", &[]),
        ("ACL LIST", &[]),
        ("ACL WHOAMI", &[]),
        ("MONITOR", &[]),
        ("SHUTDOWN NOSAVE", &[]),
        ("REPLICAOF NO ONE", &[]),
        ("DEBUG SLEEP 0", &[]),
        // These need a connection that only receives.
        ("PSUBSCRIBE tidings:*", &[]),
        ("PSUBSCRIBE tidings:{shop}", &[]),
        ("SSUBSCRIBE tidings:{shop}", &[]),
        ("SUBSCRIBE __keyspace@0__:key", &[]),
        ("SUBSCRIBE tidings:{other}", &[OTHER]),
        ("SUBSCRIBE tidings:{shop}/3", &[MOST]),
        ("SUBSCRIBE tidings:{shop}", both),
    ] {
        for (index, (user, _)) in users.iter().enumerate() {
            let may = may(&mut connections[index], command).await;
            assert_eq!(may, allowed.contains(&index), "{user}: {command}");
        }
    }
}

#[tokio::test]
async fn the_printed_acl_command_is_accepted_and_revokes_the_rest() {
    let redis = Redis::builder()
        .user("shop on >hush-hush ~* &* +@all")
        .start()
        .await;

    let command = of_shop().set_user("shop").replace('\'', "");
    redis.command(&command.split(' ').collect::<Vec<_>>()).await;

    let mut shop = connected_as(&redis, "shop").await;
    assert!(may(&mut shop, "PUBLISH tidings:{shop} x").await);
    assert!(!may(&mut shop, "PUBLISH tidings:{other} x").await);
    assert!(!may(&mut shop, "GET key").await);
}

#[tokio::test]
async fn the_role_is_checked_without_its_permission_and_without_denials() {
    let redis = Redis::start().await;
    let replica = Redis::builder().replica_of(&redis).start().await;
    add_user(&redis, "shop", &of_shop()).await;
    add_user(&replica, "shop", &of_shop()).await;
    // Other denials are listed too.
    let builder = |redis: &Redis| {
        let builder = Bus::builder(&redis.url_as("shop", PASSWORD)).namespace("shop");
        builder.membership(false)
    };

    let refused = builder(&replica).start_timeout(Duration::from_millis(100));
    let refused = tidings::report(&refused.start().await.unwrap_err()).to_string();
    assert!(refused.contains("a replica"), "{refused}");

    // The interval of the role check.
    let often = builder(&redis).heartbeat_interval(Duration::from_millis(100));
    let node = Node::start(often).await;
    let port = replica.port().to_string();
    redis.command(&["REPLICAOF", "127.0.0.1", &port]).await;
    wait_for(
        "the bus leaves the replica",
        Duration::from_secs(20),
        async || !node.is_ready(),
    )
    .await;
    for redis in [&redis, &replica] {
        assert_eq!(redis.cli(&["ACL", "LOG"]).await, "");
    }
}

async fn node_as(redis: &Redis, user: &str, namespace: &str) -> Node {
    let url = redis.url_as(user, PASSWORD);
    Node::start(Bus::builder(&url).namespace(namespace)).await
}

#[tokio::test]
async fn a_bus_with_the_minimum_permissions_works() {
    let redis = Redis::start().await;
    add_user(&redis, "shop", &of_shop()).await;
    let (sender, subscriber) = (
        node_as(&redis, "shop", "shop").await,
        node_as(&redis, "shop", "shop").await,
    );
    let ticks: Collected<u64> = subscriber.collect("tick");

    // More than the sender sends between two checks of the slowest subscriber.
    let large = "x".repeat(100_000);
    for _ in 0..60 {
        sender.feed("text", &large).await.unwrap();
    }
    sender.send_to_all("tick", &1).await.unwrap();
    ticks.wait_for_len(1).await;

    redis.kill_clients().await;
    let reconnected = GapReason::Reconnected;
    subscriber
        .gaps()
        .wait_for(|gap| gap.reason == reconnected)
        .await;
    sender.send_to_all("tick", &2).await.unwrap();
    ticks.wait_for_len(2).await;

    let jump = format!(
        r#"{{"v":1,"from":"{}","seq":1000,"events":[]}}"#,
        sender.id()
    );
    redis.command(&["PUBLISH", "tidings:{shop}", &jump]).await;
    let skipped = GapReason::Missed;
    subscriber
        .gaps()
        .wait_for(|gap| gap.reason == skipped)
        .await;
}

#[tokio::test]
async fn a_start_names_the_one_permission_that_is_missing() {
    let all = "&tidings:{shop}/1 +subscribe +publish +select";
    let redis = Redis::start().await;
    for missing in ["+subscribe", "+select", "&tidings:{shop}/1"] {
        let rest: Vec<_> = all.split(' ').filter(|rule| *rule != missing).collect();
        let mut words = vec![
            "ACL",
            "SETUSER",
            "shop",
            "reset",
            "resetchannels",
            "on",
            ">hush-hush",
        ];
        words.extend(rest);
        redis.command(&words).await;

        let url = format!("{}/1", redis.url_as("shop", PASSWORD));
        let error = Bus::builder(&url).namespace("shop").start().await;

        let text = tidings::report(&error.unwrap_err()).to_string();
        let quoted = missing.replace("&tidings:{shop}/1", "'&tidings:{shop}/1'");
        let cure = format!("ACL SETUSER shop {quoted})");
        assert!(text.contains(&cure), "{text}");
    }
}

#[tokio::test]
async fn a_send_without_permission_names_the_channel() {
    let redis = Redis::builder()
        .user("shop on >hush-hush resetchannels &tidings:{shop} +subscribe")
        .start()
        .await;
    let node = node_as(&redis, "shop", "shop").await;

    let refused = node.send_to_all("tick", &1).await.unwrap_err();

    let text = refused.to_string();
    assert!(text.contains("ACL SETUSER shop +publish)"), "{text}");
}

#[tokio::test]
async fn a_send_names_a_permission_that_was_revoked() {
    let redis = Redis::start().await;
    add_user(&redis, "shop", &of_shop()).await;
    let builder = Bus::builder(&redis.url_as("shop", PASSWORD))
        .namespace("shop")
        .send_timeout(Duration::from_secs(1));
    let node = Node::start(builder).await;

    // Redis disconnects all subscribers of the channel, and lets none subscribe again.
    redis
        .command(&["ACL", "SETUSER", "shop", "resetchannels"])
        .await;
    wait_for("the bus knows", Duration::from_secs(20), async || {
        !node.is_ready()
    })
    .await;
    let error = node.send_to_all("tick", &1).await.unwrap_err();

    let grant = "ACL SETUSER shop '&tidings:{shop}'";
    assert!(error.to_string().contains(grant), "{error:?}");
    assert!(!error.is_unknown());
    redis
        .command(&["ACL", "SETUSER", "shop", "&tidings:{shop}"])
        .await;
    wait_for("it receives again", Duration::from_secs(20), async || {
        node.is_ready()
    })
    .await;
    node.send_to_all("tick", &1).await.unwrap();
}

#[tokio::test]
async fn a_user_with_the_permissions_of_shared_state_needs_no_others_and_one_without_is_told_the_remedy()
 {
    let redis = Redis::start().await;
    add_user(&redis, "sharer", &of_shop().share()).await;
    add_user(&redis, "subscriber", &of_shop()).await;
    let sharer = node_as(&redis, "sharer", "shop").await;
    let subscriber = node_as(&redis, "subscriber", "shop").await;
    let sharing = SharedOptions::new().ttl(Duration::from_mins(1));
    let brief = sharer.shared_with::<u64>("limit", sharing).unwrap();
    let limit = sharer.shared::<u64>("limit").unwrap();

    brief.set(&1).await.unwrap();
    limit.update(|old| old.unwrap() + 1).await.unwrap();
    assert_eq!(limit.refresh().await.unwrap().version(), 2);
    limit.clear().await.unwrap();
    let stock = sharer.map::<u64, u64>("stock").unwrap();
    stock.set(&7, &1).await.unwrap();
    stock.update(&7, |old| old.unwrap() + 1).await.unwrap();
    let missing = stock.get_or_load(&8, || async { Err::<u64, _>("there is none") });
    missing.await.unwrap_err();
    stock
        .get_or_load(&8, || async { Ok::<_, &str>(8) })
        .await
        .unwrap();
    stock.get(&9).await.unwrap();
    assert_eq!(stock.all().await.unwrap().len(), 2);
    assert_eq!(stock.len().await.unwrap(), 2);
    stock.invalidate(&7).await.unwrap();
    stock.clear().await.unwrap();

    let denied = subscriber.shared::<u64>("limit").unwrap();
    let unread = denied.get().await.unwrap_err().to_string();
    assert!(unread.contains("ACL SETUSER subscriber +hmget"), "{unread}");
    let unwritten = denied.set(&1).await.unwrap_err();
    assert!(!unwritten.is_unknown());
    let unwritten = unwritten.to_string();
    assert!(
        unwritten.contains("ACL SETUSER subscriber +evalsha"),
        "{unwritten}"
    );
}

#[tokio::test]
async fn each_missing_permission_of_shared_state_is_named() {
    let redis = Redis::start().await;
    let all = of_shop().share().to_string();
    let commands = all.split(' ').filter(|rule| rule.starts_with('+'));
    let unneeded_here = ["+subscribe", "+publish", "+script|load"];
    for missing in commands.filter(|rule| !unneeded_here.contains(rule)) {
        add_user(&redis, "shop", &of_shop().share()).await;
        let denied = missing.replacen('+', "-", 1);
        redis.command(&["ACL", "SETUSER", "shop", &denied]).await;
        let node = node_as(&redis, "shop", "shop").await;
        let sharing = SharedOptions::new().ttl(Duration::from_mins(1));
        let brief = node.shared_with::<u64>("limit", sharing).unwrap();
        let limit = node.shared::<u64>("limit").unwrap();

        let errors = [
            brief.set(&1).await.err(),
            limit.set(&1).await.err(),
            limit.clear().await.err(),
        ];
        let caching = MapOptions::new().ttl(Duration::from_mins(1));
        let stock = node.map_with::<u64, u64>("stock", caching).unwrap();
        let changed = [
            stock.set(&7, &1).await.err(),
            stock.remove(&7).await.err(),
            stock.clear().await.err(),
        ];
        let unread = [stock.len().await.err(), stock.all().await.err()];
        let unread = unread.iter().flatten().map(ToString::to_string);
        let errors: Vec<_> = errors
            .iter()
            .chain(&changed)
            .flatten()
            .map(ToString::to_string)
            .chain(unread)
            .collect();

        let reported = errors
            .iter()
            .any(|text| text.contains("ACL SETUSER shop") && text.contains(missing));
        assert!(reported, "{missing}: {errors:?}");
    }
}
