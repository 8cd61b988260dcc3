//! Results of sends.

use std::time::Duration;

use futures_util::poll;
use serde::{Serialize, Serializer};
use serde_json::json;
use tidings::{Bus, Failure, NodeId, SendError, SendFailure, Unconfirmed, report};
use tidings_testkit::{Collected, Node};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::place::Place;

pub(crate) async fn a_receipt_has_the_number_and_the_receivers(place: Place) {
    let (a, _b) = place.two_nodes().await;
    for number in 1..=3 {
        let receipt = a.send_to_all("tick", &number).await.unwrap();
        let expected = (number, place.receivers(2));
        assert_eq!((receipt.sequence, receipt.receivers), expected);
    }
}

pub(crate) async fn a_name_that_cannot_be_encoded_is_rejected_and_nothing_is_sent(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let ticks: Collected<u64> = subscriber.collect("tick");
    let long = "x".repeat(129);

    for name in ["", "a b", "a\"b", "a\nb", "ä", "{a}", "a*", &long] {
        let refused = sender.send_to_all(name, &1).await;
        assert!(
            matches!(refused, Err(SendError::Name { .. })),
            "{name:?}: {refused:?}"
        );
        assert!(sender.feed(name, &1).await.is_err(), "{name:?}");
        assert!(
            sender
                .on(name.to_owned().leak() as &str, |_: u64| async {})
                .is_err(),
            "{name:?}"
        );
    }
    sender.send_to_all("tick", &1).await.unwrap();

    ticks.wait_for_len(1).await;
    assert_eq!(subscriber.health().received, 1);
    assert!(subscriber.gaps().all().is_empty());
}

pub(crate) async fn a_payload_larger_than_a_frame_is_rejected_and_nothing_is_lost(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let texts: Collected<String> = subscriber.collect("text");

    sender.feed("text", "before").await.unwrap();
    let refused = sender.send_to_all("text", &"x".repeat(2 << 20)).await;
    sender.send_to_all("text", "after").await.unwrap();

    let Err(SendError::TooLarge { bytes, limit, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert!(bytes > 2 << 20 && limit <= 1 << 20);
    let texts = texts.wait_for_len(2).await;
    assert_eq!(
        texts.iter().map(|text| text.as_str()).collect::<Vec<_>>(),
        ["before", "after"]
    );
    assert!(subscriber.gaps().all().is_empty());
}

pub(crate) async fn a_payload_nested_too_deep_is_rejected_and_nothing_is_lost(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let ticks: Collected<u64> = subscriber.collect("tick");
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));

    sender.feed("tick", &1).await.unwrap();
    let refused = sender.feed("deep", &deep).await;
    sender.send_to_all("tick", &2).await.unwrap();

    let refused = report(&refused.unwrap_err()).to_string();
    assert!(
        refused.contains("`deep`") && refused.contains("deeper than 32"),
        "{refused}"
    );
    assert_heard_both(&subscriber, &ticks).await;
}

struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Fails after some bytes were written.
        let mut list = serializer.serialize_seq(Some(2))?;
        serde::ser::SerializeSeq::serialize_element(&mut list, "half of it")?;
        Err(serde::ser::Error::custom("no more"))
    }
}

pub(crate) async fn a_payload_that_cannot_be_encoded_is_rejected_and_nothing_is_lost(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let ticks: Collected<u64> = subscriber.collect("tick");

    sender.feed("tick", &1).await.unwrap();
    let refused = sender.send_to_all("tick", &Unwritable).await;
    assert!(matches!(&refused, Err(SendError::Encode { event, .. }) if event == "tick"));
    assert!(sender.feed("tick", &Unwritable).await.is_err());
    sender.send_to_all("tick", &2).await.unwrap();

    assert_heard_both(&subscriber, &ticks).await;
}

pub(crate) async fn all_fed_events_are_received_after_a_flush(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let ticks: Collected<u64> = subscriber.collect("tick");

    for tick in 0..20_000_u64 {
        sender.feed("tick", &tick).await.unwrap();
    }
    sender.flush().await.unwrap();

    assert_eq!(sender.health().sent, 20_000);
    let received = ticks.wait_for_len(20_000).await;
    assert!(received.iter().map(|tick| **tick).eq(0..20_000));
}

pub(crate) async fn a_send_that_is_dropped_during_the_lookup_of_its_recipient_is_reported(
    place: Place,
) {
    let sender = place.node().await;
    let nobody = NodeId::new(7);

    let mut sending = Box::pin(sender.send_to(nobody, "tick", &1));
    assert!(poll!(&mut sending).is_pending());
    drop(sending);
    let mut asking = Box::pin(
        sender
            .send_to(nobody, "tock", &1)
            .acknowledged(Duration::from_secs(20)),
    );
    assert!(poll!(&mut asking).is_pending());
    drop(asking);
    // A send that was never polled was never sent.
    drop(sender.send_to(nobody, "nothing", &1));

    let failures = sender.failures().wait_for_len(2).await;
    for (failure, name) in failures.iter().zip(["tick", "tock"]) {
        let dropped = Unconfirmed::NotSent(SendFailure::Dropped);
        assert!(
            matches!(&**failure, Failure::Send { events: 1, event, why: result }
                if event == name && *result == dropped),
            "{failure}"
        );
    }
    let undelivered = sender.flush().await.unwrap_err();
    assert_eq!(undelivered.undelivered().len(), 2);
}

pub(crate) async fn concurrent_sends_get_different_numbers(place: Place) {
    let sender = place.node().await;
    let send = |task: u32| {
        let bus = sender.bus().clone();
        tokio::spawn(async move {
            let mut numbers = Vec::new();
            for _ in 0..20 {
                numbers.push(bus.send_to_all("tick", &task).await.unwrap().sequence);
            }
            numbers
        })
    };
    let tasks: Vec<_> = (0..64).map(send).collect();
    let mut numbers = Vec::new();
    for task in tasks {
        let of_one = task.await.unwrap();
        assert!(of_one.is_sorted());
        numbers.extend(of_one);
    }
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(1..=64 * 20));
}

struct Panics;

impl Serialize for Panics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(2))?;
        serde::ser::SerializeSeq::serialize_element(&mut list, "half of it")?;
        panic!("no more")
    }
}

pub(crate) async fn a_payload_that_panics_when_it_is_encoded_loses_no_other_event(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let ticks: Collected<u64> = subscriber.collect("tick");

    sender.feed("tick", &1).await.unwrap();
    let bus = sender.bus().clone();
    let panicked = tokio::spawn(async move { bus.send_to_all("tick", &Panics).await }).await;
    assert!(panicked.unwrap_err().is_panic());
    sender.send_to_all("tick", &2).await.unwrap();

    assert_heard_both(&subscriber, &ticks).await;
}

struct Curious(Bus);

impl Serialize for Curious {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(self.0.health().is_ready())
    }
}

pub(crate) async fn a_payload_may_read_the_health_of_the_bus_while_it_is_encoded(place: Place) {
    let (tell, reported) = oneshot::channel();
    // On a thread and a runtime that nobody waits for: a task that hangs is left behind.
    std::thread::spawn(move || {
        Runtime::new().unwrap().block_on(async {
            let node = place.node().await;
            let answers: Collected<bool> = node.collect("is.up");
            let question = Curious(node.bus().clone());
            node.send_to_all("is.up", &question).await.unwrap();
            tell.send(*answers.wait_for(|_| true).await).unwrap();
        });
    });

    let is_up = timeout(Duration::from_secs(5), reported).await;

    assert!(is_up.expect("the send does not hang").unwrap());
}

struct Recursive(Bus, Collected<SendError>);

impl Serialize for Recursive {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.1.push(self.0.try_feed("log", &1).unwrap_err());
        serializer.serialize_u64(1)
    }
}

pub(crate) async fn a_payload_that_sends_while_it_is_encoded_gets_an_error(place: Place) {
    let (tell, reported) = oneshot::channel();
    // On a thread and a runtime that nobody waits for: a task that hangs is left behind.
    std::thread::spawn(move || {
        Runtime::new().unwrap().block_on(async {
            let (node, errors) = (place.node().await, Collected::default());
            let ticks: Collected<u64> = node.collect("tick");
            let recursive = Recursive(node.bus().clone(), errors.clone());
            node.send_to_all("tick", &recursive).await.unwrap();
            ticks.wait_for(|_| true).await;
            // Afterwards the thread may send again.
            node.try_feed("tick", &2).unwrap();
            ticks.wait_for_len(2).await;
            let error = errors.wait_for(|_| true).await;
            tell.send(report(&*error).to_string()).unwrap();
        });
    });

    let error = timeout(Duration::from_secs(5), reported).await;

    let error = error.expect("the send does not hang").unwrap();
    assert!(error.contains("while it is encoded"), "{error}");
}

/// Checks that events before and after the rejected one arrive, and nothing is missing in between.
async fn assert_heard_both(subscriber: &Node, ticks: &Collected<u64>) {
    let ticks = ticks.wait_for_len(2).await;
    assert!(ticks.iter().map(|tick| **tick).eq([1, 2]), "{ticks:?}");
    assert!(subscriber.failures().all().is_empty() && subscriber.gaps().all().is_empty());
}
