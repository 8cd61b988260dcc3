//! Headers of events, and handlers of all events.

use std::time::Duration;

use tidings::prelude::*;
use tidings::{AllEvents, HeaderError, SendError};
use tidings_testkit::{Collected, Node};

use crate::place::Place;

const LONG: Duration = Duration::from_secs(20);

#[derive(Debug, Serialize, Deserialize, Event)]
#[event("user.renamed")]
struct UserRenamed {
    id: u64,
}

/// Collects the headers of each `tick`, as `name=value` texts.
fn headers_of(node: &Node) -> Collected<String> {
    let collected = Collected::default();
    let push = collected.clone();
    let collect = move |_: u64, context: Context| {
        let headers: Vec<_> = context.headers().collect();
        let texts = headers
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        push.push(texts.collect::<Vec<_>>().join(" "));
        std::future::ready(())
    };
    node.on("tick", collect).unwrap();
    collected
}

pub(crate) async fn the_headers_of_each_kind_of_send_arrive(place: Place) {
    let (sender, receiver) = place.two_nodes().await;
    let headers = headers_of(&receiver);

    sender
        .send_to_all("tick", &1)
        .header("kind", "all")
        .await
        .unwrap();
    sender
        .send_to_others("tick", &2)
        .header("kind", "others")
        .await
        .unwrap();
    sender.send_to_all("tick", &3).await.unwrap();
    let to_node = sender.send_to(receiver.id(), "tick", &4);
    to_node
        .header("tenant", "ä \"\\\n")
        .header("kind", "node")
        .await
        .unwrap();
    let awaited = sender
        .send_to_all("tick", &5)
        .header("kind", "acknowledged");
    assert!(awaited.acknowledged(LONG).await.unwrap().is_complete());

    let expected = [
        "kind=all",
        "kind=others",
        "",
        "kind=node tenant=ä \"\\\n",
        "kind=acknowledged",
    ];
    let arrived = headers.wait_for_len(5).await;
    assert!(
        arrived.iter().map(|text| &***text).eq(expected),
        "{arrived:?}"
    );
}

pub(crate) async fn the_headers_of_requests_and_typed_events_arrive(place: Place) {
    let (sender, receiver) = place.two_nodes().await;
    let tenant = |context: &Context| context.header("tenant").map(str::to_owned);
    receiver
        .on("whose", move |(): (), context: Context| {
            let tenant = tenant(&context);
            async move { Ok::<_, HandlerError>(tenant) }
        })
        .unwrap();
    let mut renames = receiver.stream(UserRenamed::EVENT).unwrap();

    let request = sender.request::<Option<String>, _, _>(receiver.id(), "whose", &());
    let response = request
        .header("tenant", "acme")
        .timeout(LONG)
        .await
        .unwrap();
    assert_eq!(response.value.unwrap().as_deref(), Some("acme"));
    let renamed = UserRenamed { id: 7 };
    sender
        .publish(&renamed)
        .header("tenant", "acme")
        .await
        .unwrap();

    assert_eq!(renames.next().await.unwrap().id, 7);
    assert_eq!(tenant(&renames.context().unwrap()).as_deref(), Some("acme"));
}

pub(crate) async fn every_handler_of_an_event_gets_its_headers(place: Place) {
    let (sender, receiver) = place.two_nodes().await;
    let (first, second) = (headers_of(&receiver), headers_of(&receiver));
    sender
        .send_to_all("tick", &1)
        .header("tenant", "acme")
        .await
        .unwrap();
    for headers in [first, second] {
        headers.wait_for(|text| text == "tenant=acme").await;
    }
}

pub(crate) async fn the_header_of_a_foreign_program_arrives(place: Place) {
    let receiver = place.node().await;
    let headers = headers_of(&receiver);
    let meta = r#"{"tenant":"acme","other name":"\u001b[2J","traceparent":"x"}"#;
    place
        .publish(format!(r#"{{"event":"tick","meta":{meta},"data":1}}"#))
        .await;
    place
        .publish(r#"{"event":"tick","meta":{"tenant":7},"data":2}"#)
        .await;

    let arrived = headers.wait_for_len(2).await;
    assert_eq!(*arrived[0], "other name=\u{1b}[2J tenant=acme");
    assert_eq!(*arrived[1], "");
}

pub(crate) async fn an_event_with_an_invalid_header_is_not_sent(place: Place) {
    let (sender, receiver) = place.two_nodes().await;
    let ticks: Collected<u64> = receiver.collect("tick");
    let long = "x".repeat(10_000);

    for (name, value) in [
        ("traceparent", "x"),
        ("request", "x"),
        ("a b", "x"),
        ("h", &*long),
    ] {
        let sent = sender.send_to_all("tick", &1).header(name, value).await;
        assert!(matches!(sent, Err(SendError::Header { .. })), "{sent:?}");
        let request = sender.request::<(), _, _>(receiver.id(), "tick", &1);
        assert!(request.header(name, value).await.is_err(), "{name}");
    }
    let mut many = sender.send_to_all("tick", &1).header("h", "v");
    for _ in 0..32 {
        many = many.header("h", "v");
    }
    let Err(SendError::Header { source, .. }) = many.await else {
        panic!("33 headers were sent")
    };
    assert_eq!(source, HeaderError::TooMany { limit: 32 });
    sender.send_to_all("tick", &2).await.unwrap();

    assert_eq!(*ticks.wait_for(|_| true).await, 2);
}

pub(crate) async fn a_handler_of_all_events_receives_each_event_in_order(place: Place) {
    let (sender, receiver) = place.two_nodes().await;
    let collected = Collected::default();
    let push = collected.clone();
    receiver
        .subscribe_all(move |event: Unknown, context: Context| {
            assert_eq!(event.name(), context.event_name());
            let number: u64 = event.payload().decode().unwrap();
            push.push((event.name().to_owned(), number));
            std::future::ready(())
        })
        .unwrap();
    let ticks: Collected<u64> = receiver.collect("tick");
    let mut stream = receiver.stream(AllEvents).unwrap();

    let names = ["tick", "unknown", "tock", "tick"];
    for (name, number) in names.iter().zip(0_u64..) {
        sender.feed(*name, &number).await.unwrap();
        if number == 1 {
            // A name that is handled from here on is received once, as before.
            receiver.on("tock", |_: u64| async {}).unwrap();
        }
    }
    sender.flush().await.unwrap();

    let all = collected.wait_for_len(4).await;
    let expected = names
        .iter()
        .zip(0..)
        .map(|(name, number)| ((*name).to_owned(), number));
    assert!(
        all.iter().map(|event| (**event).clone()).eq(expected),
        "{all:?}"
    );
    ticks.wait_for_len(2).await;
    for name in names {
        assert_eq!(stream.next().await.unwrap().name(), name);
    }
    assert_eq!(collected.all().len(), 4);
}

pub(crate) async fn a_handler_of_all_events_receives_no_event_of_the_buses_themselves(
    place: Place,
) {
    let receiver = Node::start(place.builder().subscribe_all(|event: Unknown| async move {
        assert!(!event.name().starts_with("tidings."), "{}", event.name());
    }))
    .await;
    let sender = place.node().await;
    let seen: Collected<Unknown> = receiver.collect(AllEvents);
    let summary = sender
        .send_to_all("tick", &1)
        .acknowledged(LONG)
        .await
        .unwrap();
    assert_eq!(summary.without_handler.len(), 1, "{summary}");
    let counter = receiver
        .request::<(), _, _>(receiver.id(), "tick", &2)
        .await
        .unwrap();
    counter.value.unwrap();

    seen.wait_for_len(2).await;
    let is_tick = |event: &std::sync::Arc<Unknown>| event.name() == "tick";
    assert!(seen.all().iter().all(is_tick));
    assert!(receiver.failures().all().is_empty());
}
