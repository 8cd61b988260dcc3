//! Taps: a view of everything on the channel.

use std::time::Duration;

use serde_json::{Value, json};
use tidings::codec::To;
use tidings::{Failure, GapReason, NodeId, SubscribeError, Tap, TapItem, TapOptions, TappedEvent};
use tidings_testkit::{Collected, Node, wait_for};
use tokio::time::timeout;

use crate::place::Place;

const SOON: Duration = Duration::from_secs(20);

fn tap(node: &Node) -> Tap {
    node.tap(TapOptions::new())
        .expect("the options are in order")
}

/// The next item that is no event of the buses themselves.
async fn next(tap: &mut Tap) -> TapItem {
    loop {
        let item = timeout(SOON, tap.next()).await.expect("an item arrives");
        match item.expect("the bus is there") {
            TapItem::Event(event) if event.is_control() => {}
            item => return item,
        }
    }
}

async fn next_event(tap: &mut Tap) -> TappedEvent {
    match next(tap).await {
        TapItem::Event(event) => event,
        other => panic!("it is no event: {other:?}"),
    }
}

pub(crate) async fn a_tap_receives_events_to_all_to_others_and_to_any_node(place: Place) {
    let (sender, receiver) = place.two_nodes().await;
    let observer = Node::start(place.builder().membership(false)).await;
    let mut tap = tap(&observer);

    sender.send_to_all("tick", &1).await.unwrap();
    sender.send_to_others("tick", &2).await.unwrap();
    sender.send_to(receiver.id(), "tick", &3).await.unwrap();

    let to = [To::All, To::Others, To::Node(receiver.id()), To::Others];
    for (to, number) in to.into_iter().zip(1_u64..) {
        if number == 4 {
            // After the others: events of two senders have no order.
            observer.send_to_others("tick", &4).await.unwrap();
        }
        let event = next_event(&mut tap).await;
        assert_eq!((event.name(), event.to()), ("tick", to));
        assert_eq!(event.decode::<u64>().unwrap(), number);
        let is_own = number == 4;
        let from = if is_own { observer.id() } else { sender.id() };
        assert_eq!(event.sender(), Some(from));
        assert_eq!(event.sequence(), Some(if is_own { 1 } else { number }));
        assert_eq!(event.format(), place.format);
        assert!(event.received_at().elapsed().unwrap() < SOON);
        assert!(event.sent_at().is_some() && !event.is_request());
    }
}

pub(crate) async fn a_tap_knows_the_names_of_members(place: Place) {
    let sender = Node::start(place.builder().name("api-1")).await;
    let observer = Node::start(place.builder().membership(false)).await;
    let mut tap = tap(&observer);

    let named = async {
        loop {
            sender
                .send_to_all("tick", &json!({"of": "a clock"}))
                .await
                .unwrap();
            let event = next_event(&mut tap).await;
            if event.sender_name().is_some() {
                return event;
            }
        }
    };
    let event = timeout(SOON, named).await.expect("the members are known");

    assert_eq!(event.sender_name(), Some("api-1"));
    assert_eq!(event.decode::<Value>().unwrap()["of"], "a clock");
}

pub(crate) async fn a_tap_is_no_handler(place: Place) {
    let (sender, observer) = place.two_nodes().await;
    let mut tap = tap(&observer);

    let summary = sender
        .send_to_all("tick", &1)
        .acknowledged(SOON)
        .await
        .unwrap();

    let without_handler = summary.without_handler.iter().map(|member| member.node);
    let mut without_handler: Vec<_> = without_handler.collect();
    without_handler.sort_unstable();
    let mut nodes = [sender.id(), observer.id()];
    nodes.sort_unstable();
    assert_eq!((summary.handled.len(), &*without_handler), (0, &nodes[..]));
    assert!(next_event(&mut tap).await.is_request());
}

pub(crate) async fn a_tap_receives_the_events_of_the_buses_themselves(place: Place) {
    let (sender, observer) = place.two_nodes().await;
    let mut tap = tap(&observer);

    sender.request_all::<Value, _, _>("tick", &1).await.unwrap();

    let response = async {
        loop {
            if let Some(TapItem::Event(event)) = tap.next().await
                && event.name() == "tidings.response"
            {
                return event;
            }
        }
    };
    let event = timeout(SOON, response).await.expect("it is seen");
    assert!(event.is_control());
    assert_eq!(event.to(), To::Node(sender.id()));
}

pub(crate) async fn a_tap_shows_headers(place: Place) {
    let (sender, observer) = place.two_nodes().await;
    let mut tap = tap(&observer);

    sender
        .send_to_all("tick", &1)
        .header("tenant", "7")
        .await
        .unwrap();

    let headers = next_event(&mut tap).await.headers();
    assert_eq!(
        headers.into_iter().collect::<Vec<_>>(),
        [("tenant".into(), "7".into())]
    );
}

pub(crate) async fn a_tap_shows_what_cannot_be_read_where_it_was(place: Place) {
    let node = place.node().await;
    let mut tap = tap(&node);
    let sender = NodeId::new(1);
    let frame = format!(
        r#"{{"v":1,"from":"{sender}","seq":1,"events":[
        {{"event":"tick","data":1}},{{"event":"no name","data":2}},{{"event":"tick","data":3}}]}}"#
    );

    place.publish("garbage").await;
    place.publish(frame.clone()).await;

    let TapItem::Unreadable(garbage) = next(&mut tap).await else {
        panic!("it was readable")
    };
    assert_eq!(
        (garbage.bytes(), garbage.sender()),
        (&b"garbage"[..], None.into())
    );
    assert!(matches!(garbage.failure(), Failure::Frame { bytes: 7, .. }));
    let one = next_event(&mut tap).await;
    assert_eq!(
        (one.sequence(), one.sender()),
        (Some(1), Some(sender).into())
    );
    let TapItem::Unreadable(event) = next(&mut tap).await else {
        panic!("it was readable")
    };
    assert!(matches!(event.failure(), Failure::Event { .. }));
    assert_eq!(
        (event.bytes(), event.sender()),
        (frame.as_bytes(), Some(sender).into())
    );
    assert_eq!(next_event(&mut tap).await.sequence(), Some(3));
}

pub(crate) async fn a_tap_shows_a_loss_where_it_happened(place: Place) {
    let node = place.node().await;
    let mut tap = tap(&node);
    let sender = NodeId::new(1);
    let frame = |seq: u64| {
        format!(
            r#"{{"v":1,"from":"{sender}","seq":{seq},"events":[{{"event":"tick","data":{seq}}}]}}"#
        )
    };

    for seq in [7, 7, 8, 12] {
        place.publish(frame(seq)).await;
    }

    assert_eq!(next_event(&mut tap).await.sequence(), Some(7));
    assert_eq!(next_event(&mut tap).await.sequence(), Some(8));
    let TapItem::Gap(gap) = next(&mut tap).await else {
        panic!("no gap")
    };
    assert_eq!((gap.sender, gap.missed), (Some(sender), Some(3)));
    assert_eq!(gap.reason, GapReason::Missed);
    assert_eq!(next_event(&mut tap).await.sequence(), Some(12));
}

pub(crate) async fn a_slow_tap_counts_what_does_not_fit_and_delays_nobody(place: Place) {
    // Nothing else is on the channel.
    let start = async || Node::start(place.builder().membership(false)).await;
    let (sender, observer) = (start().await, start().await);
    let mut tap = observer.tap(TapOptions::new().queue(100)).unwrap();
    let ticks: Collected<u64> = observer.collect("tick");

    let (mut seen, mut dropped) = (0, 0);
    for sent in [1_500, 3_000] {
        for tick in seen + dropped..sent {
            sender.feed("tick", &tick).await.unwrap();
        }
        sender.flush().await.unwrap();
        ticks.wait_for_len(sent.try_into().unwrap()).await;
        while seen + dropped < sent {
            match next(&mut tap).await {
                TapItem::Event(event) => {
                    // What is missing is counted before the events after it.
                    assert_eq!(event.sequence(), Some(seen + dropped + 1));
                    seen += 1;
                }
                TapItem::Gap(gap) => {
                    assert!(matches!(gap.reason, GapReason::Overflow { .. }), "{gap}");
                    assert_eq!(gap.sender, Some(sender.id()));
                    dropped += gap.missed.unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
    }

    assert_eq!((seen, dropped), (200, 2_800));
    assert!(observer.gaps().all().is_empty(), "a tap is no handler");
    assert_eq!(observer.health().dropped, 0);
}

pub(crate) async fn a_tap_ends_with_its_bus(place: Place) {
    let node = place.node().await;
    let mut tap = tap(&node);
    node.send_to_all("tick", &1).await.unwrap();

    node.shutdown(SOON).await.unwrap();

    assert_eq!(next_event(&mut tap).await.name(), "tick");
    while let Some(item) = timeout(SOON, tap.next()).await.expect("it ends") {
        assert!(matches!(item, TapItem::Event(event) if event.is_control()));
    }
    let again = node.tap(TapOptions::new());
    assert!(matches!(again, Err(SubscribeError::Closed)), "{again:?}");
}

pub(crate) async fn a_dropped_tap_ends_alone(place: Place) {
    let node = place.node().await;
    let (mut stays, ends) = (tap(&node), tap(&node));
    drop(ends);

    node.send_to_all("tick", &1).await.unwrap();

    assert_eq!(next_event(&mut stays).await.name(), "tick");
    drop(stays);
    node.send_to_all("tick", &2).await.unwrap();
    wait_for("both are received", SOON, async || {
        node.health().received >= 2
    })
    .await;
}

pub(crate) async fn a_tap_without_room_is_rejected(place: Place) {
    let node = place.node().await;
    for (options, option) in [
        (TapOptions::new().queue(0), "queue"),
        (TapOptions::new().bytes(0), "bytes"),
    ] {
        let rejected = node.tap(options);
        assert!(
            matches!(rejected, Err(SubscribeError::Zero { what }) if what == option),
            "{rejected:?}"
        );
    }
}
