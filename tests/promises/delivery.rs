//! Delivery: the recipients of an event, and its order.

use std::time::SystemTime;

use tidings::Context;
use tidings_testkit::{Collected, Node};

use crate::place::Place;

pub(crate) async fn every_node_receives_an_event_once_including_the_sender(place: Place) {
    let (a, b) = place.two_nodes().await;
    let c = place.node().await;
    let received: Vec<Collected<String>> =
        [&a, &b, &c].map(|node| node.collect("cache.clear")).into();

    a.send_to_all("cache.clear", "user:7").await.unwrap();
    a.send_to_all("cache.clear", "last").await.unwrap();

    for received in received {
        let received = received.wait_for_len(2).await;
        assert_eq!(
            received.iter().map(|key| key.as_str()).collect::<Vec<_>>(),
            ["user:7", "last"]
        );
    }
}

pub(crate) async fn the_events_of_a_sender_are_handled_in_order(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let ticks: Collected<u64> = subscriber.collect("tick");

    for tick in 0..3_000_u64 {
        if tick % 500 == 0 {
            sender.send_to_all("tick", &tick).await.unwrap();
        } else {
            sender.feed("tick", &tick).await.unwrap();
        }
    }

    let received: Vec<u64> = ticks
        .wait_for_len(3_000)
        .await
        .iter()
        .map(|tick| **tick)
        .collect();
    assert!(received.iter().copied().eq(0..3_000));
    assert!(subscriber.gaps().all().is_empty());
}

pub(crate) async fn the_events_of_each_sender_keep_their_order(place: Place) {
    let (a, b) = place.two_nodes().await;
    let subscriber = place.node().await;
    let ticks: Collected<(u8, u32)> = subscriber.collect("tick");

    let send = async |node: &Node, name: u8| {
        for tick in 0..500_u32 {
            node.send_to_all("tick", &(name, tick)).await.unwrap();
        }
    };
    tokio::join!(send(&a, 0), send(&b, 1));

    let received = ticks.wait_for_len(1_000).await;
    for sender in [0, 1] {
        let of_one = received
            .iter()
            .filter(|tick| tick.0 == sender)
            .map(|tick| tick.1);
        assert!(of_one.eq(0..500));
    }
}

pub(crate) async fn a_node_receives_both_formats(place: Place) {
    let subscriber = place.node().await;
    let other = Node::start(place.builder().format(place.other_format())).await;
    let same = place.node().await;
    let received: Collected<(String, f64, Option<bool>)> = subscriber.collect("mixed");

    let payload = ("grüße \"\\\n".to_owned(), 0.5, None::<bool>);
    other.send_to_all("mixed", &payload).await.unwrap();
    same.send_to_all("mixed", &payload).await.unwrap();

    for received in received.wait_for_len(2).await {
        assert_eq!(*received, payload);
    }
}

pub(crate) async fn a_payload_of_almost_a_frame_is_sent(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let texts: Collected<String> = subscriber.collect("text");

    let large = "x".repeat(1_000_000);
    sender.feed("text", "small").await.unwrap();
    sender.feed("text", &large).await.unwrap();
    sender.feed("text", "small").await.unwrap();

    let lengths: Vec<usize> = texts
        .wait_for_len(3)
        .await
        .iter()
        .map(|text| text.len())
        .collect();
    assert_eq!(lengths, [5, 1_000_000, 5]);
}

pub(crate) async fn namespaces_are_apart(place: Place) {
    let [shop, staging] = ["", "-staging"].map(|end| format!("{}-shop{end}", place.namespace));
    let shop = Node::start(place.builder().namespace(&shop)).await;
    let staging = Node::start(place.builder().namespace(&staging)).await;
    let in_shop: Collected<u64> = shop.collect("tick");
    let in_staging: Collected<u64> = staging.collect("tick");

    shop.send_to_all("tick", &1).await.unwrap();
    staging.send_to_all("tick", &2).await.unwrap();

    assert_eq!(*in_shop.wait_for(|_| true).await, 1);
    assert_eq!(*in_staging.wait_for(|_| true).await, 2);
}

pub(crate) async fn send_to_others_excludes_the_sender(place: Place) {
    let (a, b) = place.two_nodes().await;
    let (at_a, at_b): (Collected<u64>, Collected<u64>) = (a.collect("tick"), b.collect("tick"));

    a.send_to_others("tick", &1).await.unwrap();
    a.send_to_all("tick", &2).await.unwrap();

    assert_eq!(*at_a.wait_for(|_| true).await, 2);
    assert_eq!(*at_b.wait_for(|_| true).await, 1);
    assert!(a.gaps().all().is_empty());
}

pub(crate) async fn send_to_reaches_one_node(place: Place) {
    let (a, b) = place.two_nodes().await;
    let c = place.node().await;
    let [at_a, at_b, at_c]: [Collected<u64>; 3] = [&a, &b, &c].map(|node| node.collect("tick"));

    a.send_to(b.id(), "tick", &1).await.unwrap();
    a.send_to(a.id(), "tick", &2).await.unwrap();
    a.send_to_all("tick", &3).await.unwrap();

    assert_eq!(
        at_a.wait_for_len(2)
            .await
            .iter()
            .map(|tick| **tick)
            .collect::<Vec<_>>(),
        [2, 3]
    );
    assert_eq!(
        at_b.wait_for_len(2)
            .await
            .iter()
            .map(|tick| **tick)
            .collect::<Vec<_>>(),
        [1, 3]
    );
    assert_eq!(*at_c.wait_for(|_| true).await, 3);
}

pub(crate) async fn two_buses_of_one_process_both_receive(place: Place) {
    let (a, b) = place.two_nodes().await;
    let (at_a, at_b): (Collected<u64>, Collected<u64>) = (a.collect("tick"), b.collect("tick"));
    assert_ne!(a.id(), b.id());

    a.send_to_all("tick", &1).await.unwrap();
    b.send_to_all("tick", &2).await.unwrap();

    for received in [at_a, at_b] {
        let mut received: Vec<u64> = received
            .wait_for_len(2)
            .await
            .iter()
            .map(|tick| **tick)
            .collect();
        received.sort_unstable();
        assert_eq!(received, [1, 2]);
    }
}

pub(crate) async fn the_context_has_the_sender_the_name_and_the_time(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let contexts = Collected::default();
    let sink = contexts.clone();
    subscriber
        .on("tick", move |_: u64, context: Context| {
            sink.push(context);
            std::future::ready(())
        })
        .unwrap();

    let before = SystemTime::now();
    // Both in one frame, whose time applies to each.
    sender.feed("other", &0).await.unwrap();
    sender.feed("tick", &0).await.unwrap();

    let context = contexts.wait_for(|_| true).await;
    assert_eq!(context.sender(), Some(sender.id()));
    assert_eq!(
        (context.event_name(), context.sequence()),
        ("tick", Some(2))
    );
    assert!(!context.is_replayed());
    assert_eq!(context.bus().id(), subscriber.id());
    let sent_at = context.sent_at().unwrap();
    let millisecond = std::time::Duration::from_millis(1);
    assert!(sent_at + millisecond >= before && sent_at <= SystemTime::now());
}

pub(crate) async fn an_event_without_handlers_is_ignored(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let ticks: Collected<u64> = subscriber.collect("tick");

    sender
        .send_to_all("unknown.event", &["anything"])
        .await
        .unwrap();
    sender.send_to_all("tick", &1).await.unwrap();

    ticks.wait_for_len(1).await;
    assert!(subscriber.failures().all().is_empty());
}

pub(crate) async fn an_ip_address_in_a_tagged_type_arrives(place: Place) {
    #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
    #[serde(tag = "type")]
    enum Change {
        Joined { ip: std::net::IpAddr },
    }
    let ip = std::net::IpAddr::from([10, 0, 0, 7]);
    let (sender, receiver) = place.two_nodes().await;
    let changes: Collected<Change> = receiver.collect("change");

    sender
        .send_to_all("change", &Change::Joined { ip })
        .await
        .unwrap();

    assert_eq!(*changes.wait_for_len(1).await[0], Change::Joined { ip });
}
