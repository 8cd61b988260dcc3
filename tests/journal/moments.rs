//! Short moments in which something happens to a journal that a random fault seldom meets.

use std::future::ready;
use std::time::Duration;

use tidings::{Bus, Gap, GapReason, Journal, SendError};
use tidings_testkit::{Collected, Direction, Fault, Node, Proxy, Redis, wait_for};
use tokio::time::sleep;

use crate::faults::busy::{busy, wake};

use super::{APPENDING, FOLLOWING, has_received, journaled, send};

const SOON: Duration = Duration::from_secs(20);

const STREAM: &str = "tidings:{default}:journal";
const FLOOR: &str = "tidings:{default}:journal:floor";

/// Holds back the next read of a follower: a read that waits is answered by the next event.
fn hold_next_read(proxy: &Proxy) {
    proxy.set_connection(FOLLOWING, Fault::Blackhole(Direction::ToServer));
}

/// A replica that has everything, so that both are masters after its promotion.
async fn replica_of(master: &Redis) -> Redis {
    let replica = Redis::builder().replica_of(master).start().await;
    let newest = ["XREVRANGE", STREAM, "+", "-", "COUNT", "1"];
    wait_for("the replica has the journal", SOON, async || {
        replica.cli(&newest).await == master.cli(&newest).await
    })
    .await;
    replica
}

/// The generation of the journal, and whether it was trimmed.
async fn floor(redis: &Redis) -> (String, bool) {
    let floor = redis.cli(&["GET", FLOOR]).await;
    let (generation, id) = floor.split_once(':').unwrap_or_default();
    (generation.to_owned(), id != "0-0")
}

#[tokio::test]
async fn a_page_of_a_server_that_became_a_replica_is_not_handed_on() {
    let master = Redis::start().await;
    let proxy = Proxy::start(master.address()).await;
    let subscriber = Node::start(journaled(Bus::builder(&proxy.url()))).await;
    let sender = master.node_with(journaled).await;
    let ticks: Collected<u64> = subscriber.collect("tick");
    send(&sender, 1..=10).await;
    has_received(&ticks, 10).await;
    let replica = replica_of(&master).await;

    replica.promote().await;
    let other = replica.node_with(journaled).await;
    hold_next_read(&proxy);
    send(&sender, 11..=11).await;
    has_received(&ticks, 11).await;
    other.send_to_all("tick", &100).await.unwrap();
    master.become_replica_of(&replica).await;
    proxy.redirect(replica.address());
    proxy.set_connection(FOLLOWING, Fault::None);

    ticks.wait_for(|tick| *tick == 100).await;
    let is_diverged = |gap: &Gap| matches!(gap.reason, GapReason::Diverged { .. });
    let gap = subscriber.gaps().wait_for(is_diverged).await;
    let forgotten = Some(11..=11);
    assert_eq!(gap.reason, GapReason::Diverged { forgotten });
}

#[tokio::test]
async fn what_is_trimmed_between_two_reads_of_one_connection_is_reported_as_trimmed() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.address()).await;
    let subscriber = Node::start(journaled(Bus::builder(&proxy.url()))).await;
    let sender = redis.node_with(journaled).await;
    let ticks: Collected<u64> = subscriber.collect("tick");
    send(&sender, 1..=5).await;
    has_received(&ticks, 5).await;

    hold_next_read(&proxy);
    send(&sender, 6..=9).await;
    let receipt = sender.send_to_all("tick", &10).await.unwrap();
    let kept = receipt.position().unwrap().to_string();
    let (generation, _) = floor(&redis).await;
    redis
        .command(&["SET", FLOOR, &format!("{generation}:{kept}")])
        .await;
    redis.command(&["XTRIM", STREAM, "MINID", &kept]).await;
    proxy.set_connection(FOLLOWING, Fault::None);

    ticks.wait_for(|tick| *tick == 10).await;
    let exact = |gap: &Gap| gap.sender == Some(sender.id());
    let gap = subscriber.gaps().wait_for(exact).await;
    assert_eq!(gap.reason, GapReason::Trimmed);
    assert_eq!(
        gap.missed.unwrap() + ticks.all().len() as u64,
        10,
        "{gap:?}"
    );
}

#[tokio::test]
async fn what_redis_lost_of_a_silent_sender_is_a_gap_for_those_who_had_not_received_it() {
    let master = Redis::start().await;
    let proxies = [
        Proxy::start(master.address()).await,
        Proxy::start(master.address()).await,
    ];
    let [to_sender, to_subscriber] = &proxies;
    let node = |proxy: &Proxy| {
        let builder = journaled(Bus::builder(&proxy.url()));
        Node::start(builder.heartbeat_interval(Duration::from_secs(1)))
    };
    let (sender, subscriber) = (node(to_sender).await, node(to_subscriber).await);
    let ticks: Collected<u64> = subscriber.collect("tick");
    send(&sender, 1..=10).await;
    has_received(&ticks, 10).await;
    let replica = replica_of(&master).await;

    replica.promote().await;
    to_subscriber.set(Fault::Reset);
    send(&sender, 11..=13).await;
    for proxy in &proxies {
        proxy.redirect(replica.address());
        proxy.reset().await;
    }
    to_subscriber.set(Fault::None);

    let missed = |gap: &Gap| gap.sender == Some(sender.id());
    let gap = subscriber.gaps().wait_for(missed).await;
    assert_eq!((&gap.reason, gap.missed), (&GapReason::Missed, Some(3)));
}

#[tokio::test]
async fn a_journal_keeps_its_generation_when_it_is_trimmed_by_one_who_trimmed_another() {
    let redis = Redis::start().await;
    let brief = Journal::default().max_age(Duration::from_millis(50));
    let sender = Node::start(Bus::builder(&redis.url()).journal(brief)).await;
    let is_trimmed = async || floor(&redis).await.1;
    send(&sender, 1..=10).await;
    wait_for("the journal is trimmed", SOON, is_trimmed).await;
    let (before, _) = floor(&redis).await;

    redis.command(&["FLUSHALL"]).await;
    send(&sender, 11..=20).await;
    let (created, _) = floor(&redis).await;
    wait_for("the next journal is trimmed", SOON, is_trimmed).await;

    assert_ne!(created, before);
    assert_eq!(floor(&redis).await.0, created);
}

#[tokio::test]
async fn a_trim_that_a_loss_overtakes_does_not_give_the_next_journal_the_old_generation() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.address()).await;
    let brief = Journal::default().max_age(Duration::from_millis(50));
    let trimmer = Node::start(Bus::builder(&proxy.url()).journal(brief)).await;
    let sender = redis.node_with(journaled).await;
    send(&trimmer, 1..=1).await;

    // A trim takes longer now than the time between two losses.
    proxy.set(Fault::Latency(Duration::from_millis(250)));
    for tick in 1..=15 {
        redis.command(&["FLUSHALL"]).await;
        sender.send_to_all("tick", &tick).await.unwrap();
        let _ = trimmer.try_feed("tick", &tick);
        sleep(Duration::from_millis(150)).await;
    }
    let (created, _) = floor(&redis).await;
    sleep(Duration::from_millis(2_500)).await;

    assert_eq!(floor(&redis).await.0, created);
}

#[tokio::test]
async fn an_event_after_an_unknown_one_has_a_number_of_its_own() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.address()).await;
    let builder = journaled(Bus::builder(&proxy.url()))
        .heartbeat_interval(Duration::from_secs(1))
        .send_timeout(Duration::from_millis(500));
    let (sender, subscriber) = (Node::start(builder).await, redis.node_with(journaled).await);
    let ticks: Collected<u64> = subscriber.collect("tick");
    send(&sender, 1..=1).await;

    // Redis executes it, and the sender is not told.
    proxy.set_connection(APPENDING, Fault::Drop(Direction::ToClient));
    let error = sender.send_to_all("tick", &2).await.unwrap_err();
    assert!(matches!(error, SendError::Unknown { .. }), "{error}");
    wait_for("the sender reconnects", SOON, async || {
        sender.health().reconnects > 0
    })
    .await;
    send(&sender, 3..=3).await;

    has_received(&ticks, 3).await;
}

#[tokio::test]
async fn a_frame_that_a_later_one_overtook_is_not_sent_and_is_a_gap() {
    let redis = Redis::builder()
        .config("busy-reply-threshold", "20")
        .start()
        .await;
    let proxy = Proxy::start(redis.address()).await;
    let sender = Node::start(journaled(Bus::builder(&proxy.url()))).await;
    let subscriber = redis.node_with(journaled).await;
    let ticks: Collected<u64> = subscriber.collect("tick");
    send(&sender, 1..=1).await;
    let send_one = |tick: u64| {
        let bus = sender.bus().clone();
        tokio::spawn(async move { bus.send_to_all("tick", &tick).await })
    };

    // The sender does not learn of the rejection before Redis has accepted the next frame.
    let script = busy(&redis).await;
    proxy.set_connection(APPENDING, Fault::Blackhole(Direction::ToClient));
    let first = send_one(2);
    sleep(Duration::from_millis(200)).await;
    wake(&redis, script).await;
    let second = send_one(3);
    ticks.wait_for(|tick| *tick == 3).await;
    proxy.set_connection(APPENDING, Fault::None);

    let error = first.await.unwrap().unwrap_err();
    assert!(matches!(error, SendError::NotSent { .. }), "{error}");
    second.await.unwrap().unwrap();
    let missed = |gap: &Gap| gap.sender == Some(sender.id());
    let gap = subscriber.gaps().wait_for(missed).await;
    assert_eq!((&gap.reason, gap.missed), (&GapReason::Missed, Some(1)));
}

#[tokio::test]
async fn a_frame_that_its_position_overtook_is_not_sent_after_it() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.address()).await;
    let sender = Node::start(journaled(Bus::builder(&proxy.url()))).await;
    let subscriber = redis.node_with(journaled).await;
    let ticks: Collected<u64> = subscriber.collect("tick");
    send(&sender, 1..=1).await;
    has_received(&ticks, 1).await;

    // Redis evicts the journal, and another bus creates it between a frame and the position that
    // follows it. The sender gets both answers at once.
    proxy.set_connection(APPENDING, Fault::Blackhole(Direction::ToClient));
    redis.command(&["DEL", STREAM, FLOOR]).await;
    let bus = sender.bus().clone();
    let overtaken = tokio::spawn(async move { bus.send_to_all("tick", &2).await });
    sleep(Duration::from_millis(200)).await;
    subscriber.send_to_all("other", &1).await.unwrap();
    let position = format!(r#""from":"{}","seq":3,"events":[]"#, sender.id());
    wait_for("the position is sent", SOON, async || {
        let entries = redis.cli(&["XRANGE", STREAM, "-", "+"]).await;
        entries.replace('\\', "").contains(&position)
    })
    .await;
    proxy.set_connection(APPENDING, Fault::None);

    let error = overtaken.await.unwrap().unwrap_err();
    assert!(matches!(error, SendError::NotSent { .. }), "{error}");
    let missed = |gap: &Gap| gap.sender == Some(sender.id()) && gap.missed == Some(1);
    subscriber.gaps().wait_for(missed).await;
}

#[tokio::test]
async fn an_event_is_received_that_is_sent_as_soon_as_a_bus_has_started() {
    let redis = Redis::start().await;
    let sender = redis.node_with(journaled).await;
    let ticks: Collected<u64> = Collected::default();
    let seen = ticks.clone();
    let builder = journaled(Bus::builder(&redis.url())).on("tick", move |tick: u64| {
        seen.push(tick);
        ready(())
    });

    let _subscriber = Node::start(builder).await;
    send(&sender, 1..=3).await;

    has_received(&ticks, 3).await;
}
