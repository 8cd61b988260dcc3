//! Sends that wait until replicas have their events.

use std::time::Duration;

use tidings::{Bus, BusBuilder, Journal, JournalPosition, SendError, SendFailure};
use tidings_testkit::{Collected, Direction, Fault, Node, Proxy, Redis, Sentinels, wait_for};

use super::{APPENDING, has_received, journaled, send};

const KEY: &str = "tidings:{default}:journal";

/// Longer than a replica takes.
const LONG: Duration = Duration::from_secs(20);

const BRIEF: Duration = Duration::from_millis(200);

fn confirmed(builder: BusBuilder, replicas: u32, timeout: Duration) -> BusBuilder {
    builder.journal(Journal::default().confirm(replicas, timeout))
}

/// A node that waits for this many replicas.
async fn sender(redis: &Redis, replicas: u32, timeout: Duration) -> Node {
    // The wait for replicas is at most half of the interval.
    let builder = Bus::builder(&redis.url()).heartbeat_interval(2 * timeout);
    Node::start(confirmed(builder, replicas, timeout)).await
}

/// Sends a tick that fewer replicas have than wanted: how many they are, and how many it waits for.
/// The error names the position of the tick.
async fn not_replicated(redis: &Redis, sender: &Node, tick: u64) -> (u32, u32) {
    let error = sender.send_to_all("tick", &tick).await.unwrap_err();
    match error {
        SendError::Unknown {
            why:
                SendFailure::NotReplicated {
                    position,
                    replicas,
                    wanted,
                },
            ..
        } => {
            assert!(position.parse::<JournalPosition>().is_ok(), "{position}");
            let entry = redis.cli(&["XRANGE", KEY, &position, &position]).await;
            assert!(entry.contains("tick"), "{entry}");
            (replicas, wanted)
        }
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_send_ends_when_the_replicas_have_its_event() {
    let master = Redis::start().await;
    let replica = Redis::builder().replica_of(&master).start().await;
    let sender = sender(&master, 1, LONG).await;

    for tick in 1..=20_u64 {
        let receipt = sender.send_to_all("tick", &tick).await.unwrap();

        let position = receipt.position().unwrap().to_string();
        let entry = replica.cli(&["XRANGE", KEY, &position, &position]).await;
        assert!(entry.contains("tick"), "{entry}");
        assert_eq!(receipt.sequence, tick);
    }
}

#[tokio::test]
async fn an_event_that_too_few_replicas_confirm_is_unknown_and_received() {
    let master = Redis::start().await;
    let replica = Redis::builder().replica_of(&master).start().await;
    let sender = sender(&master, 1, BRIEF).await;
    let subscriber = master.node_with(journaled).await;
    let ticks: Collected<u64> = subscriber.collect("tick");
    replica.freeze();

    for tick in 1..=3 {
        assert_eq!(not_replicated(&master, &sender, tick).await, (0, 1));
    }

    has_received(&ticks, 3).await;
    assert!(subscriber.gaps().all().is_empty());
}

#[tokio::test]
async fn more_replicas_than_there_are_confirm_no_event() {
    let master = Redis::start().await;
    let replica = Redis::builder().replica_of(&master).start().await;
    let sender = sender(&master, 2, BRIEF).await;
    let has = async || replica.cli(&["XLEN", KEY]).await;
    let before = has().await;

    let (replicas, wanted) = not_replicated(&master, &sender, 1).await;

    assert!(replicas < 2, "{replicas}");
    assert_eq!(wanted, 2);
    wait_for("the replica has it", LONG, async || has().await > before).await;
}

#[tokio::test]
async fn the_wait_for_replicas_ends_before_the_connection_counts_as_dead() {
    let master = Redis::start().await;
    let builder = Bus::builder(&master.url()).heartbeat_interval(Duration::from_secs(6));
    let sender = Node::start(confirmed(builder, 1, Duration::MAX)).await;

    assert_eq!(not_replicated(&master, &sender, 1).await, (0, 1));

    assert_eq!(sender.health().reconnects, 0);
}

#[tokio::test]
async fn an_event_whose_answer_is_lost_is_unknown_although_it_is_found() {
    let master = Redis::start().await;
    let replica = Redis::builder().replica_of(&master).start().await;
    let proxy = Proxy::start(master.address()).await;
    // An answer is waited for as long.
    let builder = Bus::builder(&proxy.url()).heartbeat_interval(Duration::from_secs(1));
    let sender = Node::start(confirmed(builder, 1, BRIEF)).await;
    replica.freeze();

    proxy.set_connection(APPENDING, Fault::Drop(Direction::ToClient));

    assert_eq!(not_replicated(&master, &sender, 1).await, (0, 1));
    assert!(sender.health().reconnects > 0);
}

#[tokio::test]
async fn an_event_that_all_replicas_have_survives_a_failover() {
    let mut sentinels = Sentinels::start().await;
    let replicas = u32::try_from(sentinels.servers().len() - 1).unwrap();
    let builder = || Bus::builder(&sentinels.url()).heartbeat_interval(2 * LONG);
    let sender = Node::start(confirmed(builder(), replicas, LONG)).await;
    let subscriber = Node::start(journaled(builder())).await;
    let ticks: Collected<u64> = subscriber.collect("tick");
    send(&sender, 1..=19).await;
    let last = sender.send_to_all("tick", &20_u64).await.unwrap();

    let old = sentinels.kill_master().await;
    let master = sentinels.wait_for_master_other_than(old).await;

    let last = last.position().unwrap().to_string();
    let entry = master.cli(&["XRANGE", KEY, &last, &last]).await;
    assert!(entry.contains("tick"), "{entry}");
    subscriber.send_to_all("tick", &21_u64).await.unwrap();
    has_received(&ticks, 21).await;
    assert!(subscriber.gaps().all().is_empty());
}
