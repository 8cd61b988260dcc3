//! Foreign frames: other versions, and hostile programs.

use std::sync::Arc;
use std::time::Duration;

use tidings::{Failure, Gap, NodeId};
use tidings_testkit::{Collected, wait_for};

use crate::place::Place;

const SOON: Duration = Duration::from_secs(20);

pub(crate) async fn hostile_frames_are_reported_and_the_next_event_is_handled(place: Place) {
    let node = place.node().await;
    let ticks: Collected<u64> = node.collect("tick");
    let deep = "[".repeat(100_000);
    let nested = [&[0x94, 1, 0xc0, 0xc0][..], &[0x91; 5_000]].concat();
    let hostile: [&[u8]; 9] = [
        b"",
        b"garbage",
        b"{\"v\":2,\"from\":\"00000000000000000000000000000001\",\"seq\":1,\"events\":[]}",
        b"{\"v\":1,\"events\":",
        b"null",
        deep.as_bytes(),
        &nested,
        &[0x94, 1, 0xc0, 0xc0, 0xdd, 0xff, 0xff, 0xff, 0xff],
        &vec![b' '; 2 << 20],
    ];

    for frame in hostile {
        place.publish(frame).await;
    }
    node.send_to_all("tick", &1).await.unwrap();

    ticks.wait_for_len(1).await;
    let failures = node.failures().wait_for_len(hostile.len()).await;
    assert_eq!(failures.len(), hostile.len());
    for failure in failures {
        assert!(matches!(&*failure, Failure::Frame { .. }), "{failure:?}");
    }
}

pub(crate) async fn an_invalid_event_of_a_frame_affects_no_other(place: Place) {
    let node = place.node().await;
    let ticks: Collected<u64> = node.collect("tick");

    let frame = r#"{"v":1,"from":"00000000000000000000000000000001","seq":1,"events":[
        {"event":"tick","data":1},{"event":"no name","data":2},{"event":"tick","data":"three"},
        {"event":"tick","to":"nobody","data":4},{"event":"tick","data":5}]}"#;
    place.publish(frame).await;

    let received: Vec<u64> = ticks
        .wait_for_len(2)
        .await
        .iter()
        .map(|tick| **tick)
        .collect();
    assert_eq!(received, [1, 5]);
    node.failures().wait_for_len(3).await;
    let failures = node.failures().all();
    let malformed = failures
        .iter()
        .filter(|failure| matches!(***failure, Failure::Event { .. }));
    assert_eq!((failures.len(), malformed.count()), (3, 2));
}

pub(crate) async fn a_duplicate_frame_is_handled_once_and_a_jump_is_a_gap(place: Place) {
    let node = place.node().await;
    let ticks: Collected<u64> = node.collect("tick");
    let sender: NodeId = "00000000000000000000000000000001".parse().unwrap();
    let frame = |seq: u64| {
        format!(
            r#"{{"v":1,"from":"{sender}","seq":{seq},"events":[{{"event":"tick","data":{seq}}}]}}"#
        )
    };

    for seq in [7, 8, 8, 7, 12] {
        place.publish(frame(seq)).await;
    }

    let received: Vec<u64> = ticks
        .wait_for_len(3)
        .await
        .iter()
        .map(|tick| **tick)
        .collect();
    assert_eq!(received, [7, 8, 12]);
    let gap = node.gaps().wait_for(|_| true).await;
    assert_eq!((gap.sender, gap.missed), (Some(sender), Some(3)));
    assert_eq!((node.health().duplicate, node.health().missed), (2, 3));
}

pub(crate) async fn a_lost_last_event_is_detected_by_the_position_of_the_sender(place: Place) {
    let node = place.node().await;
    let sender: NodeId = "00000000000000000000000000000001".parse().unwrap();
    let announce = |seq: u64| format!(r#"{{"v":1,"from":"{sender}","seq":{seq},"events":[]}}"#);

    place.publish(announce(5)).await;
    place.publish(announce(5)).await;
    place.publish(announce(6)).await;

    let gap = node.gaps().wait_for(|_| true).await;
    assert_eq!((gap.sender, gap.missed), (Some(sender), Some(1)));
}

pub(crate) async fn a_huge_number_of_a_foreign_sender_hides_no_later_event(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let ticks: Collected<u64> = subscriber.collect("tick");
    sender.send_to_all("tick", &1).await.unwrap();
    ticks.wait_for_len(1).await;

    let (from, seq) = (sender.id(), u64::MAX);
    let claim = format!(r#"{{"v":1,"from":"{from}","seq":{seq},"events":[]}}"#);
    place.publish(claim).await;
    // In a cluster, two programs publish through two nodes.
    subscriber.gaps().wait_for_len(1).await;
    sender.send_to_all("tick", &2).await.unwrap();
    sender.send_to_all("tick", &3).await.unwrap();

    let received = ticks.wait_for_len(3).await;
    assert!(received.iter().map(|tick| **tick).eq(1..=3));
    let gaps = subscriber.gaps().wait_for_len(2).await;
    let missed: Vec<_> = gaps.iter().map(|gap| (gap.sender, gap.missed)).collect();
    assert_eq!(missed, [(Some(from), Some(seq - 2)), (Some(from), None)]);
}

pub(crate) async fn an_extension_in_a_field_that_the_type_does_not_know_is_skipped(place: Place) {
    #[derive(Debug, serde::Deserialize)]
    struct User {
        id: u64,
    }
    let node = place.node().await;
    let users: Collected<User> = node.collect("user");

    // {"id": 7, "at": timestamp 32}: a point in time, as other languages encode it.
    let payload = b"\x82\xa2id\x07\xa2at\xd6\xff\x65\x53\xf1\x00";
    let frame = [&b"\x94\x01\xc0\xc0\x91\x92\xa4user\xc4\x0e"[..], payload].concat();
    assert_eq!(payload.len(), 14);
    place.publish(frame).await;

    assert_eq!(users.wait_for_len(1).await[0].id, 7);
}

/// A frame in the name of `from` with this many events that nobody handles.
fn forged(from: NodeId, seq: u64, events: usize) -> String {
    let events = vec![r#"{"event":"forged"}"#; events].join(",");
    format!(r#"{{"v":1,"from":"{from}","seq":{seq},"events":[{events}]}}"#)
}

fn are_in_order(ticks: &[Arc<u64>], last: u64) -> bool {
    ticks.iter().map(|tick| **tick).eq(1..=last)
}

pub(crate) async fn forged_events_in_the_name_of_a_node_hide_none_of_its_own(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let ticks: Collected<u64> = subscriber.collect("tick");
    sender.send_to_all("tick", &1).await.unwrap();

    place.publish(forged(sender.id(), 2, 1_000)).await;
    for tick in 2..=1_000 {
        sender.send_to_all("tick", &tick).await.unwrap();
    }

    assert!(are_in_order(&ticks.wait_for_len(1_000).await, 1_000));
}

pub(crate) async fn a_forged_position_in_the_name_of_a_node_hides_none_of_its_events(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let ticks: Collected<u64> = subscriber.collect("tick");
    sender.send_to_all("tick", &1).await.unwrap();

    for position in [50, 65_000, 1 << 50] {
        place.publish(forged(sender.id(), position, 0)).await;
    }
    for tick in 2..=1_000 {
        sender.send_to_all("tick", &tick).await.unwrap();
    }

    assert!(are_in_order(&ticks.wait_for_len(1_000).await, 1_000));
}

pub(crate) async fn a_node_reports_forged_frames_once_and_continues_after_their_numbers(
    place: Place,
) {
    let node = place.node().await;
    node.send_to_all("tick", &1).await.unwrap();

    for seq in [2, 1, 3, 4, 500] {
        place.publish(forged(node.id(), seq, 10)).await;
    }

    let reported = |failure: &Failure| matches!(failure, Failure::Forged { frames: 1 });
    node.failures().wait_for(reported).await;
    wait_for("its numbers follow the forged ones", SOON, async || {
        node.send_to_all("tick", &2).await.unwrap().sequence >= 510
    })
    .await;
    assert_eq!(node.failures().all().len(), 1, "the others come together");
}

pub(crate) async fn a_node_s_own_frames_are_not_taken_for_forged(place: Place) {
    let (one, other) = place.two_nodes().await;
    let ticks: Collected<u64> = other.collect("tick");

    for tick in 1..=2_000 {
        one.feed("tick", &tick).await.unwrap();
        other.feed("tock", &tick).await.unwrap();
    }
    one.flush().await.unwrap();
    other.flush().await.unwrap();

    ticks.wait_for_len(2_000).await;
    assert!(one.failures().all().is_empty());
    assert!(other.failures().all().is_empty());
}

pub(crate) async fn a_sender_that_starts_again_at_1_is_a_gap_and_is_received(place: Place) {
    let node = place.node().await;
    let ticks: Collected<u64> = node.collect("tick");
    let sender: NodeId = "0123456789abcdef0123456789abcdef".parse().unwrap();
    let publish = async |seq: u64, tick: u64| {
        let frame = format!(
            r#"{{"v":1,"from":"{sender}","seq":{seq},"events":[{{"event":"tick","data":{tick}}}]}}"#
        );
        place.publish(frame).await;
    };

    for seq in 1..=100 {
        publish(seq, seq).await;
    }
    for seq in 1..=200 {
        publish(seq, 100 + seq).await;
    }

    assert!(are_in_order(&ticks.wait_for_len(300).await, 300));
    let gaps = node.gaps().wait_for_len(1).await;
    assert_eq!(gaps.len(), 1);
    assert_eq!((gaps[0].sender, gaps[0].missed), (Some(sender), None));
}

pub(crate) async fn the_count_of_missed_events_only_grows(place: Place) {
    let node = place.node().await;
    let missed = |gap: &Gap| gap.missed.is_some_and(|missed| missed > 1_000);
    for (sender, seq) in [
        (7, 1),
        (7, 100),
        (8, 1),
        (8, u64::MAX - 40),
        (9, 1),
        (9, 5_000),
    ] {
        place.publish(forged(NodeId::new(sender), seq, 1)).await;
    }

    node.gaps()
        .wait_for(|gap| gap.sender == Some(NodeId::new(9)) && missed(gap))
        .await;
    assert_eq!(node.health().missed, u64::MAX);
}
