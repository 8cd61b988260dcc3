//! Panics of application code at any moment.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserializer;
use tidings::prelude::*;
use tidings::{Failure, HandlerFailure, HandlerOptions};
use tidings_testkit::{Collected, wait_for};

use crate::place::Place;

#[derive(Clone)]
struct Explosive;

impl Drop for Explosive {
    fn drop(&mut self) {
        panic!("it went off");
    }
}

pub(crate) async fn a_call_that_panics_when_it_is_dropped_is_reported_and_the_next_event_is_handled(
    place: Place,
) {
    let (sender, subscriber) = place.two_nodes().await;
    let ticks = Collected::default();
    let sink = ticks.clone();
    let handling = HandlerOptions::new().timeout(Duration::from_millis(100));
    let handler = move |tick: u64| {
        let sink = sink.clone();
        async move {
            if tick == 1 {
                let _held = Explosive;
                std::future::pending::<()>().await;
            }
            sink.push(tick);
        }
    };
    subscriber.on_with("tick", handling, handler).unwrap();

    sender.send_to_all("tick", &1).await.unwrap();
    sender.send_to_all("tick", &2).await.unwrap();

    assert_eq!(*ticks.wait_for(|_| true).await, 2);
    let failure = subscriber.failures().wait_for(|_| true).await;
    let Failure::Handler {
        cause,
        sequence: number,
        ..
    } = &*failure
    else {
        panic!("{failure}")
    };
    assert_eq!(*number, Some(1));
    assert!(
        matches!(cause, HandlerFailure::Panicked(text) if text == "it went off"),
        "{cause}"
    );
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Number(u64);

#[derive(Serialize, Deserialize, Event)]
#[event("fragile")]
struct Fragile {
    number: Number,
}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(self.number.0 != 2, "it broke");
    }
}

pub(crate) async fn a_payload_that_panics_when_it_is_dropped_ends_no_handler_of_those_that_share_it(
    place: Place,
) {
    let (sender, subscriber) = place.two_nodes().await;
    let handled: [Collected<u64>; 2] = Default::default();
    for sink in &handled {
        let sink = sink.clone();
        subscriber
            .subscribe(move |fragile: Arc<Fragile>| {
                let (sink, number) = (sink.clone(), fragile.number.0);
                async move { sink.push(number) }
            })
            .unwrap();
    }

    for number in 1..=3 {
        let fragile = std::mem::ManuallyDrop::new(Fragile {
            number: Number(number),
        });
        sender.publish(&*fragile).await.unwrap();
    }

    for handled in &handled {
        handled.wait_for(|number| *number == 3).await;
        assert_eq!(handled.all().len(), 3);
    }
    let failure = subscriber.failures().wait_for(|_| true).await;
    let Failure::Handler { cause, event, .. } = &*failure else {
        panic!("{failure}")
    };
    assert_eq!(event, "fragile");
    assert!(
        matches!(cause, HandlerFailure::Panicked(text) if text == "it broke"),
        "{cause}"
    );
}

/// Panics when 0 is decoded.
struct Positive(u64);

impl<'de> Deserialize<'de> for Positive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        assert!(number > 0, "it is zero");
        Ok(Self(number))
    }
}

pub(crate) async fn a_payload_that_panics_when_it_is_decoded_is_not_the_call_of_a_once_handler(
    place: Place,
) {
    let (sender, subscriber) = place.two_nodes().await;
    let handled = Collected::default();
    let sink = handled.clone();
    let handler = move |tick: Positive| {
        sink.push(tick.0);
        std::future::ready(())
    };
    subscriber.once("tick", handler).unwrap();

    for tick in 0..=2_u64 {
        sender.send_to_all("tick", &tick).await.unwrap();
    }

    assert_eq!(*handled.wait_for(|_| true).await, 1);
    let failure = subscriber.failures().wait_for(|_| true).await;
    let Failure::Handler { cause, .. } = &*failure else {
        panic!("{failure}")
    };
    assert!(
        matches!(cause, HandlerFailure::Panicked(text) if text == "it is zero"),
        "{cause}"
    );
}

pub(crate) async fn a_handler_that_panics_when_it_is_removed_is_reported(place: Place) {
    let (_, subscriber) = place.two_nodes().await;
    let held = Explosive;
    let handler = move |_: u64| {
        let _held = &held;
        std::future::ready(())
    };
    let subscription = subscriber.on("tick", handler).unwrap();

    subscriber.off(subscription).await;

    let failure = subscriber.failures().wait_for(|_| true).await;
    assert!(
        tidings::report(&*failure)
            .to_string()
            .contains("it went off"),
        "{failure}"
    );
}

pub(crate) async fn a_hook_that_panics_gets_the_next_failure(place: Place) {
    let reported = Collected::default();
    let sink = reported.clone();
    let hook = move |failure: Failure| {
        sink.push(failure.to_string());
        panic!("it is too much for the hook");
    };
    let bus = place.builder().on_failure(hook).start().await.unwrap();
    bus.on("tick", |_: u64| async {}).unwrap();

    bus.send_to_all("tick", "one").await.unwrap();
    reported.wait_for_len(1).await;
    bus.send_to_all("tick", "two").await.unwrap();

    reported.wait_for_len(2).await;
}

pub(crate) async fn a_shutdown_succeeds_although_all_cancelled_calls_panic(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let (begun, held) = (Collected::default(), Explosive);
    let sink = begun.clone();
    let handler = move |tick: u64| {
        let held = held.clone();
        sink.push(tick);
        async move {
            let _held = held;
            std::future::pending::<()>().await;
        }
    };
    subscriber.on("tick", handler).unwrap();
    sender.send_to_all("tick", &1).await.unwrap();
    begun.wait_for_len(1).await;

    let error = subscriber.shutdown(Duration::from_millis(50)).await;

    // At the deadline, handlers that have nothing to do may not have ended either.
    assert!(error.unwrap_err().running >= 1);
}

pub(crate) async fn a_state_and_a_handler_may_panic_when_their_bus_is_dropped(place: Place) {
    let bus = place.builder().state(Explosive).start().await.unwrap();
    let (begun, go_on) = (Collected::default(), Arc::new(tokio::sync::Notify::new()));
    let (sink, wait) = (begun.clone(), Arc::clone(&go_on));
    let held = (Arc::new(()), Explosive);
    let is_held = Arc::downgrade(&held.0);
    let handler = move |tick: u64| {
        let _held = &held;
        let wait = Arc::clone(&wait);
        sink.push(tick);
        async move { wait.notified().await }
    };
    bus.on("tick", handler).unwrap();
    bus.send_to_all("tick", &1).await.unwrap();
    begun.wait_for_len(1).await;

    drop(bus);
    go_on.notify_one();

    let soon = Duration::from_secs(20);
    wait_for("the handler is dropped", soon, async || {
        is_held.strong_count() == 0
    })
    .await;
}

#[derive(Debug)]
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no words");
    }
}

impl std::error::Error for Unspeakable {}

impl Drop for Unspeakable {
    fn drop(&mut self) {
        panic!("it went off");
    }
}

pub(crate) async fn an_error_may_panic_when_it_is_logged_and_dropped(place: Place) {
    let bus = place.builder().start().await.unwrap();
    let handled = Collected::default();
    let sink = handled.clone();
    let handler = move |tick: u64| {
        sink.push(tick);
        async { Err::<(), HandlerError>(Box::new(Unspeakable)) }
    };
    bus.on("tick", handler).unwrap();

    for tick in 1..=2 {
        bus.send_to_all("tick", &tick).await.unwrap();
        handled.wait_for_len(tick).await;
    }

    bus.shutdown(Duration::from_secs(20)).await.unwrap();
    assert_eq!(bus.health().failures, 2);
}
