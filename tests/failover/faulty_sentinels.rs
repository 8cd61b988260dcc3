//! Sentinels with wrong answers, slow ones, and too many.

use std::time::{Duration, Instant};

use tidings::{Bus, Connection};
use tidings_testkit::{Collected, Node, Redis, Sentinels, wait_for};

use super::fake_sentinel::{Answer, Fake, url_of};
use super::wait::hears_through;

const SOON: Duration = Duration::from_secs(30);

/// An epoch that no other sentinel has reached.
const FAR_AHEAD: u64 = 1_000_000;

#[tokio::test]
async fn a_replica_that_one_sentinel_names_is_not_used() {
    let sentinels = Sentinels::start().await;
    let master = sentinels.master().await;
    let replica = sentinels
        .servers()
        .iter()
        .find(|one| one.port() != master.port());
    let liar = Fake::start(Answer::new(replica.unwrap().address(), FAR_AHEAD)).await;
    let also = format!("redis+sentinel://{},", liar.address());
    let url = sentinels.url().replace("redis+sentinel://", &also);

    let node = Node::start(Bus::builder(&url)).await;

    let through = |node: &Node| match node.health().connection {
        Connection::Up { server, .. } => server,
        other => panic!("{other:?}"),
    };
    assert_eq!(through(&node), master.url());
    let ticks: Collected<u64> = node.collect("tick");
    // Longer than an answer is valid.
    let mut clock = tokio::time::interval(Duration::from_millis(100));
    for tick in 1..=40 {
        clock.tick().await;
        node.send_to_all("tick", &tick).await.unwrap();
    }
    ticks.wait_for_len(40).await;
    assert_eq!(through(&node), master.url());
    assert_eq!(node.health().reconnects, 0);

    let new = sentinels.failover().await;
    hears_through(&node, &new.url()).await;
}

#[tokio::test]
async fn a_dead_server_that_one_sentinel_names_delays_a_start_briefly() {
    let (master, dead) = (Redis::start().await, Redis::start().await);
    dead.freeze();
    let honest = Fake::start(Answer::new(master.address(), 1)).await;
    let liar = Fake::start(Answer::new(dead.address(), FAR_AHEAD)).await;

    let begun = Instant::now();
    let node = Node::start(Bus::builder(&url_of(&[&honest, &liar]))).await;

    // One step of connecting may take this long if there is no other server.
    assert!(begun.elapsed() < Duration::from_secs(5));
    let ticks: Collected<u64> = node.collect("tick");
    node.send_to_all("tick", &1).await.unwrap();
    ticks.wait_for_len(1).await;
}

#[tokio::test]
async fn a_bus_leaves_a_master_that_most_sentinels_have_left() {
    let (old, new) = (Redis::start().await, Redis::start().await);
    new.freeze();
    let before = Answer::new(old.address(), 1);
    let (one, two, three) = tokio::join!(
        Fake::start(before),
        Fake::start(before),
        Fake::start(before)
    );
    let url = url_of(&[&one, &two, &three]);
    let node = Node::start(Bus::builder(&url)).await;

    for sentinel in [one, two] {
        sentinel.say(Answer::new(new.address(), 2));
    }

    wait_for("the bus leaves the old master", SOON, async || {
        !node.is_ready()
    })
    .await;
    let named = format!("the sentinels name {} as the master", new.address());
    wait_for(
        "it is disconnected for want of the new one",
        SOON,
        async || {
            let connection = node.health().connection;
            matches!(connection, Connection::Disconnected { why, .. } if why.contains(&named))
        },
    )
    .await;
    new.resume();
    hears_through(&node, &new.url()).await;
    assert_eq!(node.health().reconnects, 1);
}

#[tokio::test]
async fn a_notification_that_comes_with_an_answer_makes_the_bus_ask_again_at_once() {
    let master = Redis::start().await;
    let mut answer = Answer::new(master.address(), 1);
    answer.is_hinting = true;
    let hinting = Fake::start(answer).await;
    let _node = Node::start(Bus::builder(&url_of(&[&hinting]))).await;

    let begun = Instant::now();
    hinting.was_asked(20).await;

    // Otherwise it would be asked once a second.
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn the_answer_of_a_sentinel_slower_than_a_round_is_used() {
    let master = Redis::start().await;
    let mut answer = Answer::new(master.address(), 1);
    answer.takes = Duration::from_millis(1200);
    let slow = Fake::start(answer).await;

    let node = Node::start(Bus::builder(&url_of(&[&slow]))).await;

    let ticks: Collected<u64> = node.collect("tick");
    node.send_to_all("tick", &1).await.unwrap();
    ticks.wait_for_len(1).await;
}
