//! The state of every server of each topology.

use std::time::{Duration, Instant, SystemTime};

use futures_util::future::join_all;
use tidings::acl::Permissions;
use tidings::admin::{Admin, Server, ServerRole, ServerState};
use tidings::{Bus, report};
use tidings_testkit::{Cluster, Redis, Sentinels};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

fn admin(url: &str) -> Admin {
    let builder = Bus::builder(url).namespace("shop");
    builder.admin().expect("the address is valid")
}

fn state(server: &Server) -> &ServerState {
    let state = server.state.as_ref();
    state.unwrap_or_else(|why| panic!("{}: {}", server.address, report(why)))
}

fn roles(servers: &[Server]) -> Vec<ServerRole> {
    servers.iter().map(|server| state(server).role).collect()
}

#[tokio::test]
async fn a_single_server_tells_its_state() {
    let redis = Redis::builder().config("maxmemory", "64mb").start().await;
    let bus = Bus::builder(&redis.url())
        .namespace("shop")
        .start()
        .await
        .unwrap();
    bus.counter("visits").unwrap().add(1).await.unwrap();
    redis
        .command(&["SET", "tidings:{other}:counter:visits", "1"])
        .await;

    let servers = admin(&redis.url()).servers().await.unwrap();

    let [server] = &servers[..] else {
        panic!("{servers:?}");
    };
    assert_eq!(server.address, redis.address().to_string());
    let state = state(server);
    assert_eq!(state.role, ServerRole::Master);
    assert!(
        state
            .version
            .as_ref()
            .is_some_and(|version| version.contains('.'))
    );
    assert_eq!(state.max_memory, Some(64 << 20));
    assert!(state.used_memory > Some(100_000));
    assert!(state.clients >= Some(3));
    assert_eq!(state.largest_backlog, Some(0));
    // The counter, and the three keys of the member list.
    let keys = state.keys.expect("it is the master");
    assert!(
        keys.is_complete && (2..=4).contains(&keys.count),
        "{keys:?}"
    );
    let apart = |clock: SystemTime| match SystemTime::now().duration_since(clock) {
        Ok(late) => late,
        Err(early) => early.duration(),
    };
    assert!(state.clock.map(apart) < Some(Duration::from_secs(5)));
    assert!(state.denied.is_empty(), "{:?}", state.denied);
    assert!(state.settings.is_none());
}

#[tokio::test]
async fn the_stored_names_may_take_the_time_that_was_set() {
    let redis = Redis::start().await;
    let admin = admin(&redis.url()).timeout(Duration::from_secs(20));
    redis.command(&["CLIENT", "PAUSE", "3000", "ALL"]).await;

    let stored = admin.stored().await;

    assert!(stored.is_ok(), "{stored:?}");
}

#[tokio::test]
async fn the_settings_have_no_secret() {
    let redis = Redis::builder().password("hush-hush").start().await;

    let servers = admin(&redis.url()).servers_with_settings().await.unwrap();

    let state = state(&servers[0]);
    let settings = state.settings.as_ref().expect("they were asked for");
    assert_eq!(settings.config.get("maxmemory-policy"), Some("noeviction"));
    let limit = settings.config.get("client-output-buffer-limit");
    assert!(
        limit.is_some_and(|limit| limit.contains("pubsub")),
        "{limit:?}"
    );
    assert_eq!(settings.user.as_deref(), Some("default"));
    let user = settings.default_user.as_ref().expect("the user may ask");
    assert!(user.is_on && !user.is_without_password, "{user:?}");
    assert_eq!(user.commands, "+@all");
    assert_eq!(settings.has_master_password, Some(true));
    assert!(!format!("{servers:?}").contains("hush"));
}

#[tokio::test]
async fn a_user_without_permissions_sees_what_was_denied_and_the_cure() {
    let redis = Redis::builder()
        .user("shop on >hush -@all +subscribe +publish &*")
        .start()
        .await;

    let servers = admin(&redis.url_as("shop", "hush"))
        .servers_with_settings()
        .await
        .unwrap();

    let state = state(&servers[0]);
    assert!(state.info.is_empty());
    // `HELLO` needs no permission.
    assert_eq!(state.role, ServerRole::Master);
    let denied: Vec<_> = state.denied.iter().map(|denied| denied.command).collect();
    for command in [
        "TIME",
        "INFO",
        "CLIENT LIST",
        "SCAN",
        "ACL WHOAMI",
        "CONFIG GET",
    ] {
        assert!(denied.contains(&command), "{command}: {denied:?}");
    }
    let info = state
        .denied
        .iter()
        .find(|denied| denied.command == "INFO")
        .unwrap();
    assert!(
        info.error.contains("ACL SETUSER shop +info"),
        "{}",
        info.error
    );
}

#[tokio::test]
async fn an_observer_may_see_the_servers_and_nothing_else() {
    let observe = Permissions::of_bus("shop").unwrap().observe();
    let redis = Redis::builder()
        .user(format!("eye on >hush {observe}"))
        .start()
        .await;

    let servers = admin(&redis.url_as("eye", "hush")).servers().await.unwrap();

    let state = state(&servers[0]);
    assert!(state.denied.is_empty(), "{:?}", state.denied);
    assert!(state.used_memory.is_some() && state.keys.is_some());
}

#[tokio::test]
async fn the_servers_of_sentinels_are_the_master_the_replicas_and_the_sentinels() {
    let mut sentinels = Sentinels::start().await;
    let admin = admin(&sentinels.url());

    let servers = admin.servers().await.unwrap();

    let expected = [
        ServerRole::Master,
        ServerRole::Replica,
        ServerRole::Replica,
        ServerRole::Sentinel,
        ServerRole::Sentinel,
        ServerRole::Sentinel,
    ];
    assert_eq!(roles(&servers), expected);
    assert_eq!(
        servers[0].address,
        sentinels.master().await.address().to_string()
    );
    let replica = state(&servers[1]).replication.as_ref().expect("it is one");
    assert_eq!(replica.master, servers[0].address);
    assert!(replica.is_connected, "{replica:?}");
    assert!(replica.lag_bytes < Some(1_000), "{replica:?}");
    assert!(
        replica.silence < Some(Duration::from_secs(20)),
        "{replica:?}"
    );
    assert!(state(&servers[1]).keys.is_none() && state(&servers[0]).keys.is_some());
    let sentinel = state(&servers[3]).sentinel.as_ref().expect("it is one");
    assert_eq!(sentinel.master.number("quorum"), Some(2));
    assert_eq!(sentinel.quorum_problem, None);

    let replica = servers[1].address.clone();
    let dead = sentinels.servers_mut().iter_mut();
    dead.filter(|server| server.address().to_string() == replica)
        .for_each(Redis::kill);
    let servers = admin.servers().await.unwrap();
    let dead = servers
        .iter()
        .find(|server| server.address == replica)
        .expect("still named");
    let why = report(dead.state.as_ref().unwrap_err()).to_string();
    assert!(why.contains("refused"), "{why}");
}

#[tokio::test]
async fn sentinels_and_servers_have_logins_of_their_own() {
    let observe = Permissions::of_bus("shop").unwrap().observe();
    let eye = format!("eye on >hush {observe}");
    let sentinels = Sentinels::builder()
        .servers(|redis| redis.user(eye))
        .sentinels(|redis| {
            let observe = Permissions::of_sentinel().observe();
            redis.user(format!("look on >look {observe}"))
        })
        .start()
        .await;
    let url = sentinels.url_as("eye", "hush");
    let url = format!("{url}?sentinel_user=look&sentinel_password=look");

    let servers = admin(&url).servers().await.unwrap();

    assert_eq!(servers.len(), 6);
    for server in &servers {
        let denied = &state(server).denied;
        assert!(denied.is_empty(), "{}: {denied:?}", server.address);
    }
}

#[tokio::test]
async fn the_nodes_of_a_cluster_are_listed_with_their_slots() {
    let cluster = Cluster::start().await;
    let bus = Bus::builder(&cluster.url())
        .namespace("shop")
        .start()
        .await
        .unwrap();
    bus.counter("visits").unwrap().add(1).await.unwrap();
    let owner = cluster
        .owner_of("tidings:{shop}")
        .await
        .address()
        .to_string();

    let servers = admin(&cluster.url()).servers().await.unwrap();

    let pair = [ServerRole::Master, ServerRole::Replica];
    assert_eq!(roles(&servers), [pair, pair, pair].concat());
    let slots: u32 = servers
        .iter()
        .flat_map(|server| &state(server).slots)
        .map(|(first, last)| u32::from(last - first) + 1)
        .sum();
    assert_eq!(slots, 16_384);
    for server in &servers {
        let state = state(server);
        assert_eq!(
            state.keys.is_some(),
            server.address == owner,
            "{}",
            server.address
        );
        assert_eq!(state.cluster.get("cluster_state"), Some("ok"));
        assert!(state.denied.is_empty(), "{:?}", state.denied);
    }
    let keys = servers
        .iter()
        .find_map(|server| state(server).keys)
        .unwrap();
    assert!(keys.is_complete && keys.count >= 2, "{keys:?}");
    let replica = state(&servers[1]).replication.as_ref().unwrap();
    assert!(
        replica.is_connected && replica.lag_bytes < Some(1_000),
        "{replica:?}"
    );
}

#[tokio::test]
async fn a_frozen_server_delays_the_answer_by_two_seconds_at_most() {
    let redis = Redis::start().await;
    redis.freeze();
    let began = Instant::now();

    let servers = admin(&redis.url()).servers().await.unwrap();

    assert!(servers[0].state.is_err());
    assert!(began.elapsed() < Duration::from_secs(5));
    redis.resume();
}

#[tokio::test]
async fn a_server_that_greets_and_answers_nothing_else_does_not_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut greeted = Vec::new();
        while let Ok((mut client, _)) = listener.accept().await {
            client.write_all(b"%1\r\n+proto\r\n:3\r\n").await.unwrap();
            greeted.push(client);
        }
    });
    let admin = admin(&url).timeout(Duration::from_millis(100));

    let asked = [
        admin.servers().await.unwrap(),
        admin.servers_with_settings().await.unwrap(),
    ];

    for servers in asked {
        let why = report(servers[0].state.as_ref().unwrap_err()).to_string();
        assert!(why.contains("timed out"), "{why}");
    }
}

#[tokio::test]
async fn the_count_of_keys_ends_within_its_budget() {
    let redis = Redis::start().await;
    // In parts, so that no command exceeds its time limit on a busy machine.
    let fill = "for i = 1, 50000 do redis.call('SET', ARGV[1] .. i, '') end";
    for part in ["a", "b", "c", "d", "e", "f"] {
        redis.command(&["EVAL", fill, "0", part]).await;
    }
    redis
        .command(&["SET", "tidings:{shop}:counter:a", "1"])
        .await;

    let servers = admin(&redis.url()).servers().await.unwrap();

    let keys = state(&servers[0]).keys.expect("it is the master");
    assert!(!keys.is_complete && keys.count <= 1, "{keys:?}");
}

#[tokio::test]
async fn an_address_without_servers_is_an_error_that_says_so() {
    let error = Bus::builder("memory:shop").admin().unwrap_err();
    let text = report(&error).to_string();
    assert!(text.contains("it has no servers"), "{text}");

    let redis = Redis::start().await;
    let gone = redis.address();
    drop(redis);
    let asks = ["sentinel", "cluster"].map(|kind| {
        let path = if kind == "sentinel" { "/mymaster" } else { "" };
        let admin = admin(&format!("redis+{kind}://{gone}{path}"));
        async move { admin.servers().await }
    });
    for answer in join_all(asks).await {
        let text = report(&answer.unwrap_err()).to_string();
        assert!(text.contains(&gone.to_string()), "{text}");
    }
}
