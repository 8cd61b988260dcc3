//! Handlers: their arguments, their results, and their failures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::codec::{DecodeError, EncodeError, Encoder, Payload};
use tidings::{
    Bus, Context, Event, Failure, Handler, HandlerError, HandlerFailure, HandlerOptions, Names,
    SendError, State, SubscribeError, report,
};
use tidings_testkit::Collected;
use tokio::sync::{Barrier, Notify, mpsc};

use crate::place::Place;

pub(crate) async fn a_handler_that_panics_is_reported_and_the_next_event_is_handled(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let ticks = Collected::default();
    let sink = ticks.clone();
    subscriber
        .on("tick", move |tick: u64| {
            assert!(tick != 1, "one is too many");
            sink.push(tick);
            std::future::ready(())
        })
        .unwrap();

    sender.send_to_all("tick", &1).await.unwrap();
    sender.send_to_all("tick", &2).await.unwrap();

    ticks.wait_for(|tick| *tick == 2).await;
    let failure = subscriber.failures().wait_for(|_| true).await;
    let Failure::Handler {
        event,
        sender: from,
        sequence: number,
        cause,
        ..
    } = &*failure
    else {
        panic!("{failure}")
    };
    assert_eq!(
        (event.as_str(), *from, *number),
        ("tick", Some(sender.id()), Some(1))
    );
    assert!(
        matches!(cause, HandlerFailure::Panicked(text) if text == "one is too many"),
        "{cause}"
    );
}

pub(crate) async fn a_handler_that_fails_is_reported_and_the_next_event_is_handled(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let ticks = Collected::default();
    let sink = ticks.clone();
    subscriber
        .on("tick", move |tick: u64| {
            sink.push(tick);
            std::future::ready(if tick == 1 { Err("not one") } else { Ok(()) })
        })
        .unwrap();

    sender.send_to_all("tick", &1).await.unwrap();
    sender.send_to_all("tick", &2).await.unwrap();

    ticks.wait_for(|tick| *tick == 2).await;
    let failure = subscriber.failures().wait_for(|_| true).await;
    let failure = report(&*failure).to_string();
    assert!(failure.contains("did not handle `tick`"), "{failure}");
    assert!(failure.ends_with(": it failed: not one"), "{failure}");
}

pub(crate) async fn a_handler_that_hangs_is_reported_and_the_next_event_is_handled(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let ticks = Collected::default();
    let sink = ticks.clone();
    let handling = HandlerOptions::new().timeout(Duration::from_millis(100));
    let handler = move |tick: u64| {
        let sink = sink.clone();
        async move {
            if tick == 1 {
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
    let failure = report(&*failure).to_string();
    assert!(
        failure.ends_with(": it was still running after 100ms"),
        "{failure}"
    );
}

pub(crate) async fn a_payload_of_the_wrong_type_is_reported_and_the_next_event_is_handled(
    place: Place,
) {
    let (sender, subscriber) = place.two_nodes().await;
    let ticks: Collected<u64> = subscriber.collect("tick");

    sender.send_to_all("tick", "one").await.unwrap();
    sender.send_to_all("tick", &2).await.unwrap();

    assert_eq!(*ticks.wait_for(|_| true).await, 2);
    let failure = subscriber.failures().wait_for(|_| true).await;
    assert!(
        matches!(&*failure, Failure::Payload { event, sequence: Some(1), .. } if event == "tick")
    );
}

pub(crate) async fn a_handler_may_send_register_and_unregister(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let answers: Collected<u64> = sender.collect("answer");
    let (give_token, mut tokens) = mpsc::channel(1);
    let other = subscriber.on("other", |_: u64| async {}).unwrap();
    let other = Arc::new(std::sync::Mutex::new(Some(other)));
    let handler = move |question: u64, bus: Bus| {
        let (give_token, other) = (give_token.clone(), Arc::clone(&other));
        async move {
            bus.send_to_all("answer", &(question * 2)).await.unwrap();
            let token = bus.on("late", |_: u64| async {}).unwrap();
            bus.off(token).await;
            let other = other.lock().unwrap().take();
            if let Some(other) = other {
                bus.off(other).await;
            }
            give_token.send(()).await.unwrap();
        }
    };
    subscriber.on("question", handler).unwrap();

    sender.send_to_all("question", &21).await.unwrap();

    assert_eq!(*answers.wait_for(|_| true).await, 42);
    tokens.recv().await.unwrap();
    assert!(subscriber.failures().all().is_empty());

    // A handler that removes itself does not wait for itself.
    let itself = Arc::new(std::sync::Mutex::new(None));
    let token = Arc::clone(&itself);
    let done = Arc::new(Notify::new());
    let notify = Arc::clone(&done);
    let handler = move |_: u64, bus: Bus| {
        let (token, notify) = (Arc::clone(&token), Arc::clone(&notify));
        async move {
            let token = token.lock().unwrap().take();
            bus.off(token.expect("it is called once")).await;
            notify.notify_one();
        }
    };
    *itself.lock().unwrap() = Some(subscriber.on("itself", handler).unwrap());
    sender.send_to_all("itself", &1).await.unwrap();
    done.notified().await;
    sender.send_to_all("itself", &2).await.unwrap();
    sender.send_to_all("question", &22).await.unwrap();
    answers.wait_for(|answer| *answer == 44).await;
    assert!(subscriber.failures().all().is_empty());
}

pub(crate) async fn a_once_handler_is_called_once(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let once = Collected::default();
    let sink = once.clone();
    let always: Collected<u64> = subscriber.collect("tick");
    subscriber
        .once("tick", move |tick: u64| {
            sink.push(tick);
            std::future::ready(())
        })
        .unwrap();

    // A payload that it cannot decode is not a call.
    sender.send_to_all("tick", "not a number").await.unwrap();
    for tick in 1..=3_u64 {
        sender.send_to_all("tick", &tick).await.unwrap();
    }

    always.wait_for_len(3).await;
    assert_eq!(*once.wait_for(|_| true).await, 1);
    assert_eq!(once.all().len(), 1);
}

pub(crate) async fn off_waits_for_the_running_call_and_ends_the_calls(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let ended = Collected::default();
    let (begin, wait, sink) = (Arc::clone(&begun), Arc::clone(&go_on), ended.clone());
    let handler = move |tick: u64| {
        let (begin, wait, sink) = (Arc::clone(&begin), Arc::clone(&wait), sink.clone());
        async move {
            begin.notify_one();
            wait.notified().await;
            sink.push(tick);
        }
    };
    let subscription = subscriber.on("tick", handler).unwrap();

    sender.send_to_all("tick", &1).await.unwrap();
    sender.send_to_all("tick", &2).await.unwrap();
    begun.notified().await;
    let off = subscriber.off(subscription);
    tokio::pin!(off);
    assert!(
        futures_util::poll!(&mut off).is_pending(),
        "the call is still running"
    );
    go_on.notify_one();
    off.await;

    assert_eq!(ended.all().len(), 1, "what waited was dropped");
}

pub(crate) async fn calls_run_concurrently_only_with_that_option(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let meeting = Arc::new(Barrier::new(3));
    let met = Collected::default();
    let (barrier, sink) = (Arc::clone(&meeting), met.clone());
    let together = move |tick: u64| {
        let (barrier, sink) = (Arc::clone(&barrier), sink.clone());
        async move {
            barrier.wait().await;
            sink.push(tick);
        }
    };
    subscriber
        .on_with("tick", HandlerOptions::new().concurrency(3), together)
        .unwrap();
    let running = Arc::new(AtomicU32::new(0));
    let handler = move |_: u64| {
        let running = Arc::clone(&running);
        async move {
            assert_eq!(
                running.fetch_add(1, Ordering::SeqCst),
                0,
                "one call at a time"
            );
            tokio::task::yield_now().await;
            running.fetch_sub(1, Ordering::SeqCst);
        }
    };
    subscriber.on("tick", handler).unwrap();

    // Each in its own frame: the calls run at the same time across frames.
    for tick in 0..6_u64 {
        sender.send_to_all("tick", &tick).await.unwrap();
    }

    met.wait_for_len(6).await;
    assert!(subscriber.failures().all().is_empty());
}

pub(crate) async fn a_slow_handler_does_not_delay_another(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    subscriber
        .on("tick", |_: u64| std::future::pending::<()>())
        .unwrap();
    let ticks: Collected<u64> = subscriber.collect("tick");

    for tick in 0..100_u64 {
        sender.feed("tick", &tick).await.unwrap();
    }

    ticks.wait_for_len(100).await;
}

struct Mailer {
    letters: Collected<String>,
}

impl Handler<String> for Mailer {
    async fn handle(&self, address: String, context: &Context) -> Result<(), HandlerError> {
        self.letters
            .push(format!("{} to {address}", context.event_name()));
        Ok(())
    }
}

pub(crate) async fn a_struct_can_be_a_handler(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let letters = Collected::default();
    subscriber
        .on(
            "mail",
            Mailer {
                letters: letters.clone(),
            },
        )
        .unwrap();

    sender.send_to_all("mail", "ada@example.org").await.unwrap();

    assert_eq!(*letters.wait_for(|_| true).await, "mail to ada@example.org");
}

pub(crate) async fn a_missing_state_is_rejected_when_the_handler_is_registered(place: Place) {
    let node = tidings_testkit::Node::start(place.builder().state(5_u32)).await;
    let received = Collected::default();
    let sink = received.clone();
    node.on("tick", move |tick: u32, State(limit): State<u32>| {
        sink.push(tick + limit);
        std::future::ready(())
    })
    .unwrap();

    let missing = node.on("tick", |_: u32, State(_): State<String>| async {});

    let Err(SubscribeError::State { event, source }) = missing else {
        panic!("{missing:?}")
    };
    assert_eq!(event, "tick");
    assert!(
        source.to_string().contains("alloc::string::String"),
        "{source}"
    );
    node.send_to_all("tick", &2).await.unwrap();
    assert_eq!(*received.wait_for(|_| true).await, 7);
}

pub(crate) async fn a_bound_of_zero_is_rejected(place: Place) {
    let node = place.node().await;
    let bounds = [
        ("queue", HandlerOptions::new().queue(0)),
        ("concurrency", HandlerOptions::new().concurrency(0)),
        ("timeout", HandlerOptions::new().timeout(Duration::ZERO)),
    ];

    for (bound, handling) in bounds {
        let refused = node.on_with("tick", handling, |_: u64| async {});
        assert!(
            matches!(refused, Err(SubscribeError::Zero { what }) if what == bound),
            "{bound}: {refused:?}"
        );
    }
}

/// An event without the derive, which counts its decodings.
#[derive(Debug, Serialize, Deserialize)]
struct Counted {
    n: u32,
}

static DECODINGS: AtomicU32 = AtomicU32::new(0);

impl Event for Counted {
    fn declare(names: &mut Names) {
        names.add::<Self>("counted");
    }

    fn name(&self) -> &'static str {
        "counted"
    }

    fn encode(&self, into: Encoder<'_>) -> Result<(), EncodeError> {
        into.encode(self)
    }

    fn decode(_name: &str, payload: Payload<'_>) -> Result<Self, DecodeError> {
        let counted: Self = payload.decode()?;
        DECODINGS.fetch_add(counted.n, Ordering::SeqCst);
        Ok(counted)
    }
}

#[derive(Serialize, Deserialize)]
struct Impostor;

impl Event for Impostor {
    fn declare(names: &mut Names) {
        names.add::<Self>("counted");
    }

    fn name(&self) -> &'static str {
        "counted"
    }

    fn encode(&self, into: Encoder<'_>) -> Result<(), EncodeError> {
        into.encode(self)
    }

    fn decode(_name: &str, payload: Payload<'_>) -> Result<Self, DecodeError> {
        payload.decode()
    }
}

pub(crate) async fn a_reserved_name_is_rejected(place: Place) {
    let node = place.node().await;
    for name in ["tidings.shared", "tidings.x"] {
        let refused = node.on(name, |_: serde_json::Value| async {});
        assert!(
            matches!(&refused, Err(SubscribeError::Reserved { event }) if event == name),
            "{refused:?}"
        );
        let refused = node.send_to_all(name, &1).await;
        assert!(
            matches!(&refused, Err(SendError::Reserved { event }) if event == name),
            "{refused:?}"
        );
    }
}

pub(crate) async fn two_payload_types_under_one_name_are_rejected(place: Place) {
    let node = place.node().await;
    node.subscribe(|_: Counted| async {}).unwrap();
    node.subscribe(|_: Arc<Counted>| async {}).unwrap();
    node.on("counted", |_: serde_json::Value| async {}).unwrap();

    let refused = node.subscribe(|_: Impostor| async {});

    let Err(SubscribeError::Conflict {
        event,
        first,
        second,
    }) = refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!(event, "counted");
    assert!(
        first.ends_with("Counted") && second.ends_with("Impostor"),
        "{first} {second}"
    );
}

pub(crate) async fn handlers_of_an_arc_share_one_decoded_value(place: Place) {
    // Each suite uses its own numbers, so that the suites do not disturb each other.
    static AMOUNTS: AtomicU32 = AtomicU32::new(0);
    let amount = 1 << (8 * AMOUNTS.fetch_add(1, Ordering::SeqCst));
    let counted = || DECODINGS.load(Ordering::SeqCst) / amount % 256;
    let (sender, subscriber) = place.two_nodes().await;
    let received = Collected::default();
    for _ in 0..3 {
        let sink = received.clone();
        subscriber
            .subscribe(move |event: Arc<Counted>| {
                sink.push(event);
                std::future::ready(())
            })
            .unwrap();
    }

    sender.publish(&Counted { n: amount }).await.unwrap();
    let first = received.wait_for_len(3).await;
    assert_eq!(counted(), 1);
    assert!(first.iter().all(|event| event.n == amount));
}

pub(crate) async fn a_stream_yields_the_events_in_order_and_ends_with_the_bus(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let mut ticks = subscriber.stream::<_, u64>("tick").unwrap();

    for tick in 0..100_u64 {
        sender.feed("tick", &tick).await.unwrap();
    }
    sender.send_to_all("tick", "not a number").await.unwrap();
    for tick in 0..100_u64 {
        assert_eq!(ticks.next().await, Some(tick));
        assert_eq!(ticks.context().unwrap().sequence(), Some(tick + 1));
    }
    subscriber.shutdown(Duration::from_secs(5)).await.unwrap();

    assert_eq!(ticks.next().await, None);
}
