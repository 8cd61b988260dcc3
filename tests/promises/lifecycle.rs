//! The end of a bus.

use std::sync::Arc;
use std::time::Duration;

use tidings::{Bus, Connection, Context, HandlerOptions, SendError, SubscribeError};
use tidings_testkit::{Collected, wait_for};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::place::Place;

const SOON: Duration = Duration::from_secs(5);

pub(crate) async fn a_shutdown_lets_handlers_finish_and_sends_queued_events(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let answers: Collected<u64> = sender.collect("answer");
    let begun = Arc::new(Notify::new());
    let begin = Arc::clone(&begun);
    let handler = move |question: u64, bus: tidings::Bus| {
        begin.notify_one();
        async move {
            tokio::task::yield_now().await;
            // Sent by a handler during the shutdown of its bus.
            bus.feed("answer", &question).await.unwrap();
        }
    };
    subscriber.on("question", handler).unwrap();

    for question in 0..500_u64 {
        sender.feed("question", &question).await.unwrap();
    }
    sender.flush().await.unwrap();
    begun.notified().await;
    subscriber.shutdown(SOON).await.unwrap();

    // Events received before the shutdown were handled, and each answer was sent.
    let handled = subscriber.health().sent;
    assert!(handled > 0);
    answers
        .wait_for_len(usize::try_from(handled).unwrap())
        .await;
    assert_eq!(subscriber.health().connection, Connection::Closed);
}

pub(crate) async fn a_shutdown_counts_events_cut_off_by_its_deadline(place: Place) {
    let node = place.node().await;
    let all: Collected<u64> = node.collect("tick");
    node.on("tick", |_: u64| std::future::pending::<()>())
        .unwrap();
    for tick in 0..10_u64 {
        node.send_to_all("tick", &tick).await.unwrap();
    }
    all.wait_for_len(10).await;

    let error = node.shutdown(Duration::from_millis(200)).await.unwrap_err();

    assert_eq!(error.running, 1);
    assert!(
        (9..=10).contains(&(error.unhandled + error.running)),
        "{error}"
    );
}

pub(crate) async fn every_call_after_a_shutdown_is_rejected(place: Place) {
    let node = place.node().await;
    node.shutdown(SOON).await.unwrap();

    assert!(matches!(
        node.send_to_all("tick", &1).await,
        Err(SendError::Closed)
    ));
    assert!(matches!(
        node.feed("tick", &1).await,
        Err(SendError::Closed)
    ));
    assert!(matches!(
        node.on("tick", |_: u64| async {}),
        Err(SubscribeError::Closed)
    ));
    assert!(matches!(
        node.on_gap(|_: tidings::Gap| async {}),
        Err(SubscribeError::Closed)
    ));
    assert!(matches!(
        node.stream::<_, u64>("tick"),
        Err(SubscribeError::Closed)
    ));
    node.flush().await.unwrap();
    node.shutdown(SOON).await.unwrap();
}

pub(crate) async fn dropping_every_handle_ends_the_tasks(place: Place) {
    let (stays, goes) = place.two_nodes().await;
    let clone = goes.bus().clone();
    goes.on("tick", |_: u64| async {}).unwrap();
    assert_eq!(
        stays.send_to_all("tick", &1).await.unwrap().receivers,
        Some(2)
    );

    drop(goes);
    assert_eq!(
        stays.send_to_all("tick", &2).await.unwrap().receivers,
        Some(2)
    );
    drop(clone);

    wait_for(
        "the connection of the dropped bus is gone",
        SOON,
        async || stays.send_to_all("tick", &3).await.unwrap().receivers == Some(1),
    )
    .await;
}

pub(crate) async fn a_dropped_bus_ends_although_calls_overlap(place: Place) {
    let stays = place.node().await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let tasks_before = tasks();
    let goes = place.node().await;
    let calls = Collected::default();
    let sink = calls.clone();
    // Slower than the events arrive, and each call shorter than the next: there is always one
    // running.
    let handler = move |tick: u64| {
        sink.push(tick);
        tokio::time::sleep(Duration::from_millis(20 + 10 * (tick % 4)))
    };
    goes.on_with("tick", HandlerOptions::new().concurrency(4), handler)
        .unwrap();
    for tick in 0..40_u64 {
        stays.send_to_all("tick", &tick).await.unwrap();
    }
    calls.wait_for_len(8).await;

    drop(goes);

    let mut tick = 40;
    wait_for("it receives no more events", SOON, async || {
        tick += 1;
        stays.send_to_all("tick", &tick).await.unwrap().receivers == Some(1)
    })
    .await;
    // A task that starts a node may outlast the start.
    wait_for("its tasks are gone", SOON, async || tasks() <= tasks_before).await;
}

pub(crate) async fn the_arguments_of_a_handler_keep_no_bus_alive(place: Place) {
    let (stays, goes) = place.two_nodes().await;
    let retained = Collected::default();
    let sink = retained.clone();
    goes.on("tick", move |_: u64, bus: Bus, context: Context| {
        sink.push([bus, context.bus().clone()]);
        std::future::ready(())
    })
    .unwrap();
    stays.send_to_all("tick", &1).await.unwrap();
    let retained = retained.wait_for(|_| true).await;

    drop(goes);

    wait_for("the dropped bus is gone", SOON, async || {
        stays.send_to_all("tick", &2).await.unwrap().receivers == Some(1)
    })
    .await;
    for bus in &*retained {
        let refused = bus.send_to_all("tick", &3).await;
        assert!(matches!(refused, Err(SendError::Closed)), "{refused:?}");
    }
}

pub(crate) async fn fed_events_are_sent_when_the_bus_is_dropped(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let ticks: Collected<u64> = subscriber.collect("tick");

    for tick in 0..1_000_u64 {
        sender.feed("tick", &tick).await.unwrap();
    }
    drop(sender);

    ticks.wait_for_len(1_000).await;
}

pub(crate) async fn health_has_all_counts(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let ticks: Collected<u64> = subscriber.collect("tick");
    sender.send_to_all("tick", &1).await.unwrap();
    sender.send_to_all("unwanted", &1).await.unwrap();
    sender.send_to_all("tick", "wrong").await.unwrap();
    sender.send_to_all("tick", &2).await.unwrap();
    ticks.wait_for_len(2).await;

    let (sent, received) = (sender.health(), subscriber.health());
    assert!(sent.is_ready() && received.is_ready());
    assert_eq!((sent.sent, sent.outgoing), (4, 0));
    assert_eq!(
        (
            received.received,
            received.failures,
            received.missed,
            received.duplicate
        ),
        (4, 1, 0, 0)
    );
    assert_eq!(received.reconnects, 0);
}
