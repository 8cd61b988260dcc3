//! Gap handlers: their end, and the gaps that wait for them.

use std::sync::Arc;
use std::time::Duration;

use tidings::{Gap, GapReason, NodeId, Subscription};
use tidings_testkit::{Collected, Node, wait_for};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::place::Place;

const SOON: Duration = Duration::from_secs(5);

/// A gap handler that blocks until it is released.
struct Slow {
    subscription: Subscription,
    begun: Collected<Gap>,
    permits: Arc<Semaphore>,
    handled: Collected<Gap>,
}

fn slow(node: &Node) -> Slow {
    let (begun, permits, handled) = (
        Collected::default(),
        Arc::new(Semaphore::new(0)),
        Collected::default(),
    );
    let (begin, wait, sink) = (begun.clone(), Arc::clone(&permits), handled.clone());
    let handler = move |gap: Gap| {
        let (begin, wait, sink) = (begin.clone(), Arc::clone(&wait), sink.clone());
        async move {
            begin.push(gap.clone());
            wait.acquire().await.expect("nobody closes it").forget();
            sink.push(gap);
        }
    };
    Slow {
        subscription: node.on_gap(handler).expect("the handler is in order"),
        begun,
        permits,
        handled,
    }
}

/// Causes a gap for each of this many senders.
async fn publish_gaps(place: &Place, senders: u32) {
    for sender in 1..=senders {
        for seq in [1, 5] {
            let frame = format!(r#"{{"v":1,"from":"{sender:032}","seq":{seq},"events":[]}}"#);
            place.publish(frame).await;
        }
    }
}

pub(crate) async fn a_shutdown_waits_for_a_running_handler_of_gaps(place: Place) {
    let node = place.node().await;
    let slow = slow(&node);
    publish_gaps(&place, 1).await;
    slow.begun.wait_for_len(1).await;

    let too_early = timeout(Duration::from_millis(200), node.shutdown(SOON)).await;
    assert!(too_early.is_err(), "the handler is still running");
    slow.permits.add_permits(1);
    node.shutdown(SOON).await.unwrap();

    assert_eq!(slow.handled.all().len(), 1);
}

pub(crate) async fn a_failed_handler_of_gaps_blames_no_sender(place: Place) {
    let node = place.node().await;
    node.on_gap(|_: Gap| async { Err::<(), &str>("no database") })
        .unwrap();

    publish_gaps(&place, 1).await;

    let failure = node.failures().wait_for(|_| true).await.to_string();
    assert!(failure.ends_with("did not handle `gap`"), "{failure}");
}

pub(crate) async fn off_drops_the_queued_gaps_of_a_handler(place: Place) {
    let node = place.node().await;
    let slow = slow(&node);
    publish_gaps(&place, 4).await;
    slow.begun.wait_for_len(1).await;
    node.gaps().wait_for_len(4).await;

    let off = node.off(slow.subscription);
    tokio::pin!(off);
    assert!(
        futures_util::poll!(&mut off).is_pending(),
        "the call is still running"
    );
    slow.permits.add_permits(4);
    timeout(SOON, off).await.unwrap();

    assert_eq!((slow.begun.all().len(), slow.handled.all().len()), (1, 1));
}

/// A frame with one event.
fn one(from: NodeId, seq: u64) -> String {
    format!(r#"{{"v":1,"from":"{from}","seq":{seq},"events":[{{"event":"x"}}]}}"#)
}

/// Publishes one event for each of this many names.
async fn publish_crowd(place: &Place, names: std::ops::Range<u128>) {
    let frames = names.map(|name| one(NodeId::new(1_000 + name), 1).into_bytes());
    place.publish_all(frames).await;
}

async fn publish_one(place: &Place, from: NodeId, seq: u64) {
    place.publish(one(from, seq)).await;
}

pub(crate) async fn no_sender_of_thousands_is_forgotten_without_a_gap(place: Place) {
    let node = place.node().await;
    let (silent, forgotten) = (NodeId::new(7), NodeId::new(8));
    publish_one(&place, silent, 1).await;
    publish_crowd(&place, 0..4_096).await;
    publish_one(&place, silent, 5).await;
    let gap = node.gaps().wait_for(|gap| gap.sender == Some(silent)).await;
    assert_eq!(gap.missed, Some(3));

    publish_one(&place, forgotten, 1).await;
    publish_crowd(&place, 5_000..15_000).await;
    publish_one(&place, forgotten, 5).await;

    let reported = |gap: &Gap| gap.sender == Some(forgotten) || gap.missed.is_none();
    let gap = node.gaps().wait_for(reported).await;
    assert_eq!(gap.reason, GapReason::Missed);
    assert!(node.gaps().all().len() < 50, "they are reported together");
}

pub(crate) async fn a_member_is_remembered_among_thousands_of_senders(place: Place) {
    let (node, member) = place.two_nodes().await;
    let ticks: Collected<u64> = node.collect("tick");
    member.members().await.unwrap();
    member.send_to_all("x", &1).await.unwrap();
    let others = (1..=20).map(NodeId::new);
    for other in others.clone() {
        publish_one(&place, other, 1).await;
    }

    // The node queries the members: until it knows them, it forgets none of these.
    let mut rounds = (0..).zip(others);
    wait_for("another sender is forgotten", SOON * 4, async || {
        let (round, other) = rounds.next().expect("enough of them");
        publish_crowd(&place, round * 10_000..(round + 1) * 10_000).await;
        let missed = node.health().missed;
        publish_one(&place, other, 5).await;
        node.send_to_all("tick", &1).await.unwrap();
        ticks
            .wait_for_len(usize::try_from(round).unwrap() + 1)
            .await;
        node.health().missed == missed
    })
    .await;
    publish_one(&place, member.id(), 5).await;

    let gap = node
        .gaps()
        .wait_for(|gap| gap.sender == Some(member.id()))
        .await;
    assert_eq!(gap.missed, Some(3));
}
