//! Idle connections that the server or the network closes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use tidings::{Bus, GapReason};
use tidings_testkit::{Collected, Node, Proxy, Redis, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::SENDING;

const SOON: Duration = Duration::from_secs(20);

/// The minimum permissions in the book.
const LEAST: &str =
    "shop on >hush-hush resetkeys resetchannels &tidings:{default} -@all +subscribe +publish";

/// Returns the URL of a proxy, for the user with the minimum permissions.
fn url_as_shop(proxy: &Proxy) -> String {
    format!("redis://shop:hush-hush@{}", proxy.address())
}

#[tokio::test]
async fn an_idle_sending_connection_is_replaced_without_a_gap() {
    let redis = Redis::builder()
        .config("timeout", "1")
        .user(LEAST)
        .start()
        .await;
    let proxy = Proxy::start(redis.address()).await;
    let node = Node::start(Bus::builder(&url_as_shop(&proxy))).await;
    let ticks: Collected<u64> = node.collect("tick");
    let sender = redis.node().await;
    let mut changes = node.watch_health();

    let mut sent = 0_u64;
    let mut clock = tokio::time::interval(Duration::from_millis(50));
    // It receives all the time. Redis closes its sending connection.
    wait_for("the connection was closed", SOON, async || {
        clock.tick().await;
        sent += 1;
        sender.send_to_all("tick", &sent).await.unwrap();
        proxy.accepted_connections() >= 3
    })
    .await;

    node.send_to_all("own", &1).await.unwrap();
    let ticks = ticks.wait_for_len(usize::try_from(sent).unwrap()).await;
    assert!(ticks.iter().map(|tick| **tick).eq(1..=sent));
    assert!(node.gaps().all().is_empty());
    let health = node.health();
    assert_eq!((health.reconnects, health.is_ready()), (0, true));
    let changed = tokio::time::timeout(Duration::ZERO, changes.wait_for(|now| !now.is_ready()));
    assert!(changed.await.is_err());
}

#[tokio::test]
async fn an_idle_sending_connection_sends_heartbeats() {
    let redis = Redis::builder()
        .config("timeout", "2")
        .user(LEAST)
        .start()
        .await;
    let proxy = Proxy::start(redis.address()).await;
    let builder = Bus::builder(&url_as_shop(&proxy)).heartbeat_interval(Duration::from_secs(1));
    let node = Node::start(builder.membership(false)).await;
    let ticks: Collected<u64> = node.collect("tick");
    let sender = redis.node().await;
    let (mut sent, mut clock) = (0_u64, tokio::time::interval(Duration::from_millis(50)));
    // Two idle clients are closed, the second one long after the node could have been.
    for _ in 0..2 {
        let idle = TcpStream::connect(redis.address()).await.unwrap();
        // The node receives all the time, so its sending connection carries no heartbeat.
        wait_for("an idle client is closed", SOON, async || {
            clock.tick().await;
            sent += 1;
            sender.send_to_all("tick", &sent).await.unwrap();
            matches!(idle.try_read(&mut [0]), Ok(0))
        })
        .await;
    }

    ticks.wait_for_len(usize::try_from(sent).unwrap()).await;
    assert_eq!(
        (proxy.accepted_connections(), proxy.open_connections()),
        (2, 2)
    );
    assert_eq!(node.health().reconnects, 0);
}

/// A proxy that closes each connection whose client was idle for this long.
async fn cutter(to: SocketAddr, idle: Duration) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(to).await.unwrap();
                let (mut from_server, mut to_server) = server.split();
                let (mut from_client, mut to_client) = client.split();
                let mut words = vec![0; 4_096];
                let forward = async {
                    while let Ok(Ok(bytes @ 1..)) =
                        timeout(idle, from_client.read(&mut words)).await
                    {
                        to_server.write_all(&words[..bytes]).await.unwrap();
                    }
                };
                tokio::select! {
                    () = forward => {}
                    _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
                }
            });
        }
    });
    address
}

/// Sends a tick every 20 ms until it was received and this time has passed.
async fn ticks_for(time: Duration, sender: &Node, ticks: &Collected<u64>) {
    let (began, mut sent) = (Instant::now(), ticks.all().len() as u64);
    let mut clock = tokio::time::interval(Duration::from_millis(20));
    wait_for("the time is over", SOON, async || {
        clock.tick().await;
        sent += 1;
        sender.send_to_all("tick", &sent).await.unwrap();
        began.elapsed() > time
    })
    .await;
    ticks.wait_for(|tick| *tick == sent).await;
}

#[tokio::test]
async fn a_connection_that_only_receives_sends_heartbeats() {
    let redis = Redis::builder().user(LEAST).start().await;
    let address = cutter(redis.address(), Duration::from_secs(1)).await;
    let builder = Bus::builder(&format!("redis://shop:hush-hush@{address}"));
    let node = Node::start(builder.heartbeat_interval(Duration::from_millis(300))).await;
    let ticks: Collected<u64> = node.collect("tick");
    let sender = redis.node().await;

    ticks_for(Duration::from_secs(3), &sender, &ticks).await;

    assert_eq!(node.health().reconnects, 0);
    assert!(node.gaps().all().is_empty());
}

#[tokio::test]
async fn a_connection_closed_as_idle_is_closed_once() {
    let redis = Redis::builder().user(LEAST).start().await;
    let address = cutter(redis.address(), Duration::from_secs(1)).await;
    let proxy = Proxy::start(address).await;
    let node = Node::start(Bus::builder(&url_as_shop(&proxy))).await;
    let ticks: Collected<u64> = node.collect("tick");
    let sender = redis.node().await;

    ticks_for(Duration::from_secs(5), &sender, &ticks).await;

    assert_eq!(node.health().reconnects, 1);
    // Each of the two was closed once, or both together.
    assert!(
        proxy.accepted_connections() <= 5,
        "{}",
        proxy.accepted_connections()
    );
}

#[tokio::test]
async fn a_connection_that_reconnects_to_another_server_is_not_used() {
    let (here, there) = (Redis::start().await, Redis::start().await);
    let proxy = Proxy::start(here.address()).await;
    let builder = Bus::builder(&proxy.url()).heartbeat_interval(Duration::from_secs(1));
    let node = Node::start(builder.membership(false)).await;
    let receiver = there.node().await;
    let ticks: Collected<u64> = receiver.collect("tick");
    // A connection must last this long before it is replaced again.
    let began = Instant::now();
    wait_for("some time passes", SOON, async || {
        began.elapsed() > Duration::from_millis(500)
    })
    .await;

    proxy.redirect(there.address());
    proxy.reset_connection(SENDING).await;
    node.send_to_all("tick", &1).await.unwrap();

    // It left only when both of its connections were on the other server.
    assert_eq!(node.health().reconnects, 1);
    let gap = node.gaps().wait_for(|_| true).await;
    assert_eq!(gap.reason, GapReason::Reconnected);
    ticks.wait_for_len(1).await;
}
