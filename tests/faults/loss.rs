//! What is lost is reported, exactly.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tidings::{Cause, Context, Failure, Gap, GapReason, SendError};
use tidings_testkit::{Collected, Node, Redis, wait_for};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

fn missed_of(sender: &Node, gaps: &[Arc<Gap>]) -> u64 {
    gaps.iter()
        .filter(|gap| gap.from == Some(sender.id()))
        .filter_map(|gap| gap.missed)
        .sum()
}

#[tokio::test]
async fn an_event_lost_while_cut_off_is_reported_as_a_gap() {
    let redis = Redis::start().await;
    let (sender, hearer) = redis.two_nodes().await;
    let ticks: Collected<u64> = hearer.collect("tick");
    sender.send_to_all("tick", &1).await.unwrap();
    ticks.wait_len(1).await;

    redis.cut_off(&hearer).await;
    sender.send_to_all("tick", &2).await.unwrap();
    sender.send_to_all("tick", &3).await.unwrap();
    redis.restore(&hearer).await;
    sender.send_to_all("tick", &4).await.unwrap();

    ticks.wait_for(|tick| *tick == 4).await;
    let gaps = hearer.gaps().wait_len(2).await;
    // At once: something may be missing. Then, from the numbers, how much.
    assert_eq!((gaps[0].from, gaps[0].missed), (None, None));
    assert_eq!(gaps[0].reason, GapReason::Reconnected);
    assert_eq!((gaps[1].from, gaps[1].missed), (Some(sender.id()), Some(2)));
    assert_eq!(gaps[1].reason, GapReason::Skipped);
    assert_eq!(hearer.health().reconnects, 1);
    assert!(sender.gaps().all().is_empty());
}

#[tokio::test]
async fn a_last_event_lost_while_cut_off_is_noticed_without_another() {
    let redis = Redis::start().await;
    let (sender, hearer) = redis.two_nodes().await;
    let ticks: Collected<u64> = hearer.collect("tick");
    sender.send_to_all("tick", &1).await.unwrap();
    ticks.wait_len(1).await;

    redis.cut_off(&hearer).await;
    sender.send_to_all("tick", &2).await.unwrap();
    redis.restore(&hearer).await;

    // The idle sender repeats its position after one second.
    let gap = hearer.gaps().wait_for(|gap| gap.from.is_some()).await;
    assert_eq!((gap.from, gap.missed), (Some(sender.id()), Some(1)));
}

#[tokio::test]
async fn the_first_event_of_a_sender_that_was_heard_to_start_is_not_lost_unnoticed() {
    let redis = Redis::start().await;
    let hearer = redis.node().await;
    let sender = redis.node().await;
    // The sender announced itself when it started; from then on it is known to begin at 1.
    wait_for("the announcement is heard", SOON, async || {
        sender.health().is_up()
    })
    .await;
    tokio::task::yield_now().await;

    redis.cut_off(&hearer).await;
    sender.send_to_all("tick", &1).await.unwrap();
    redis.restore(&hearer).await;
    sender.send_to_all("tick", &2).await.unwrap();

    let gap = hearer.gaps().wait_for(|gap| gap.from.is_some()).await;
    assert_eq!((gap.from, gap.missed), (Some(sender.id()), Some(1)));
}

/// Sends until told otherwise, and keeps each number with what became of it.
async fn send_all_the_time(sender: tidings::Bus, stop: Arc<tokio::sync::Notify>) -> Vec<Fate> {
    let mut fates = Vec::new();
    let stopped = stop.notified();
    tokio::pin!(stopped);
    loop {
        let tick = fates.len() as u64;
        let sent = sender.send_to_all("tick", &tick).await;
        fates.push(match sent {
            Ok(receipt) => Fate::Sent(receipt.number),
            Err(error) if error.is_unknown() => Fate::Unknown,
            Err(SendError::Fate { .. }) => Fate::NotSent,
            Err(error) => panic!("{error}"),
        });
        if futures_util::poll!(&mut stopped).is_ready() {
            return fates;
        }
    }
}

#[derive(Debug, PartialEq)]
enum Fate {
    Sent(u64),
    NotSent,
    Unknown,
}

/// Everything that a sender numbered is heard once, in order, or counted in a gap.
async fn check_account(
    sender: &Node,
    hearer: &Node,
    heard: &Collected<(u64, u64)>,
    fates: &[Fate],
) {
    let receipt = sender.send_to_all("tick", &u64::MAX).await.unwrap();
    heard.wait_for(|(tick, _)| *tick == u64::MAX).await;
    let all = heard.all();
    let numbers: BTreeSet<u64> = all.iter().map(|heard| heard.1).collect();
    assert_eq!(numbers.len(), all.len(), "something was handled twice");
    assert!(
        all.iter().map(|heard| heard.1).is_sorted(),
        "something was handled out of order"
    );
    let missed = missed_of(sender, &hearer.gaps().all());
    assert_eq!(
        numbers.len() as u64 + missed,
        receipt.number,
        "something is unaccounted for"
    );
    let ticks: BTreeSet<u64> = all.iter().map(|heard| heard.0).collect();
    assert_eq!(ticks.len(), all.len(), "something got two numbers");
    let heard_all_the_time = hearer.health().reconnects == 0;
    for (tick, fate) in fates.iter().enumerate() {
        let was_heard = ticks.contains(&(tick as u64));
        assert!(
            *fate != Fate::NotSent || !was_heard,
            "{tick} was heard and said not to be sent"
        );
        if let Fate::Sent(number) = fate {
            assert_eq!(was_heard, numbers.contains(number));
            assert!(
                was_heard || !heard_all_the_time,
                "{tick} was acknowledged and never heard"
            );
        }
    }
    let sent = fates
        .iter()
        .filter(|fate| matches!(fate, Fate::Sent(_)))
        .count() as u64;
    assert!(sent > 0 && sent < numbers.len() as u64 + missed);
}

fn collect_numbers(hearer: &Node) -> Collected<(u64, u64)> {
    let heard = Collected::default();
    let put = heard.clone();
    let handler = move |tick: u64, context: Context| {
        put.put((tick, context.number().expect("a bus numbers what it sends")));
        std::future::ready(())
    };
    hearer.on("tick", handler).expect("the handler is in order");
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_accounted_for_when_redis_is_killed_while_sending() {
    let mut redis = Redis::start().await;
    let hearer = Node::start(tidings::Bus::builder(&redis.url())).await;
    let sender = Node::start(tidings::Bus::builder(&redis.url())).await;
    let heard = collect_numbers(&hearer);
    let stop = Arc::new(tokio::sync::Notify::new());
    let sending = tokio::spawn(send_all_the_time(sender.bus().clone(), Arc::clone(&stop)));

    for _ in 0..3 {
        let before = heard.all().len();
        wait_for("events are heard", SOON, async || {
            heard.all().len() > before + 50
        })
        .await;
        redis.restart().await;
    }
    wait_for("both are back", SOON, async || {
        sender.health().is_up() && hearer.health().is_up() && hearer.health().reconnects >= 3
    })
    .await;
    stop.notify_one();
    let fates = sending.await.unwrap();

    check_account(&sender, &hearer, &heard, &fates).await;
    let unknown = hearer
        .gaps()
        .all()
        .iter()
        .filter(|gap| gap.missed.is_none())
        .count();
    assert!(unknown >= 3, "each lost connection is a gap at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_accounted_for_when_connections_are_cut_while_sending() {
    let redis = Redis::start().await;
    let hearer = Node::start(tidings::Bus::builder(&redis.url())).await;
    let sender = Node::start(tidings::Bus::builder(&redis.url())).await;
    let heard = collect_numbers(&hearer);
    let stop = Arc::new(tokio::sync::Notify::new());
    let sending = tokio::spawn(send_all_the_time(sender.bus().clone(), Arc::clone(&stop)));

    for round in 0..10 {
        let before = heard.all().len();
        wait_for("events are heard", SOON, async || {
            heard.all().len() > before + 20
        })
        .await;
        match round % 3 {
            0 => redis.cut_hearers().await,
            1 => redis.cut_senders().await,
            _ => redis.cut_clients().await,
        };
    }
    let before = heard.all().len();
    wait_for("events are heard again", SOON, async || {
        heard.all().len() > before + 20
    })
    .await;
    stop.notify_one();
    let fates = sending.await.unwrap();

    check_account(&sender, &hearer, &heard, &fates).await;
    // Redis never was away for long: nothing may fail, and what was in doubt was repeated.
    assert!(
        fates.iter().all(|fate| matches!(fate, Fate::Sent(_))),
        "a send failed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_heard_once_when_only_the_sender_is_cut() {
    let redis = Redis::builder()
        .user("sender on >secret ~* &* +@all")
        .start()
        .await;
    let hearer = redis.node().await;
    let sender = Node::start(tidings::Bus::builder(&redis.url_as("sender", "secret"))).await;
    let heard = collect_numbers(&hearer);
    let stop = Arc::new(tokio::sync::Notify::new());
    let sending = tokio::spawn(send_all_the_time(sender.bus().clone(), Arc::clone(&stop)));

    for _ in 0..50 {
        let before = heard.all().len();
        wait_for("events are heard", SOON, async || {
            heard.all().len() > before + 5
        })
        .await;
        let cut = ["CLIENT", "KILL", "USER", "sender", "TYPE", "normal"];
        redis.command(&cut).await;
    }
    stop.notify_one();
    let fates = sending.await.unwrap();

    check_account(&sender, &hearer, &heard, &fates).await;
    assert!(
        fates.iter().all(|fate| matches!(fate, Fate::Sent(_))),
        "a send failed"
    );
    assert!(hearer.gaps().all().is_empty());
    assert_eq!(hearer.health().reconnects, 0);
}

#[tokio::test]
async fn an_idle_sender_states_its_position() {
    let redis = Redis::start().await;
    let node = redis.node().await;
    let client = redis::Client::open(redis.url()).unwrap();
    let mut channel = client.get_async_pubsub().await.unwrap();
    channel.subscribe("tidings:{default}").await.unwrap();

    node.send_to_all("tick", &1).await.unwrap();

    let position = format!(r#"{{"v":1,"from":"{}","seq":2,"events":[]}}"#, node.id());
    let mut frames = channel.on_message();
    let stated = async {
        while let Some(frame) = frames.next().await {
            if frame.get_payload_bytes() == position.as_bytes() {
                return;
            }
        }
    };
    timeout(Duration::from_secs(3), stated)
        .await
        .expect("whoever missed the last event would not know");
}

#[tokio::test]
async fn a_gap_handler_that_panics_is_reported_and_hears_the_next_gap() {
    let redis = Redis::start().await;
    let heard: Collected<Gap> = Collected::default();
    let put = heard.clone();
    let panic_first = move |gap: Gap| {
        let is_first = put.all().is_empty();
        put.put(gap);
        assert!(!is_first, "no gap was expected");
        std::future::ready(())
    };
    let node = Node::start(tidings::Bus::builder(&redis.url()).on_gap(panic_first)).await;

    redis.cut_hearers().await;
    heard.wait_len(1).await;
    let is_panic = |failure: &Failure| match failure {
        Failure::Handler { cause, .. } => {
            matches!(cause, Cause::Panicked(text) if text.contains("no gap was expected"))
        }
        _ => false,
    };
    node.failures().wait_for(is_panic).await;
    wait_for("the node is back", SOON, async || node.health().is_up()).await;
    redis.cut_hearers().await;

    heard.wait_len(2).await;
    assert_eq!(node.failures().all().len(), 1);
}
