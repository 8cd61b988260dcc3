//! Requests: every member responds, or the summary says why not.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tidings::prelude::*;
use tidings::{NodeId, RequestError, Responder, Response, ResponseError, Summary};
use tidings_testkit::{Collected, Node, wait_for};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::place::Place;
use crate::shared_state::maps::hears_all;

/// Far longer than any response of these tests takes.
const LONG: Duration = Duration::from_secs(20);

/// Starts a member with this name.
async fn member(place: &Place, name: &str) -> Node {
    Node::start(place.builder().name(name)).await
}

/// Waits until each of these is a member.
async fn all_are_there(nodes: &[&Node]) {
    for node in nodes {
        wait_for("all are members", LONG, async || {
            let members = node.members().await;
            members.is_ok_and(|members| members.len() == nodes.len())
        })
        .await;
    }
}

async fn three_members(place: &Place) -> (Node, Node, Node) {
    let (a, b) = (member(place, "a").await, member(place, "b").await);
    let c = member(place, "c").await;
    all_are_there(&[&a, &b, &c]).await;
    (a, b, c)
}

async fn two_members(place: &Place) -> (Node, Node) {
    let (a, b) = (member(place, "a").await, member(place, "b").await);
    all_are_there(&[&a, &b]).await;
    (a, b)
}

/// Registers a handler that responds to `stock` with a number.
fn stocks(node: &Node, count: u32) {
    let counting = move |_: String| async move { Ok::<_, HandlerError>(count) };
    node.on("stock", counting).unwrap();
}

/// Registers a handler that responds to `stock` when it is released, and reports its calls.
fn stocks_later(node: &Node, count: u32) -> (Collected<String>, Arc<Semaphore>) {
    let (begun, gate) = (Collected::default(), Arc::new(Semaphore::new(0)));
    let (sink, wait) = (begun.clone(), Arc::clone(&gate));
    let counting = move |fruit: String| {
        let (sink, wait) = (sink.clone(), Arc::clone(&wait));
        async move {
            sink.push(fruit);
            wait.acquire().await?.forget();
            Ok::<_, HandlerError>(count)
        }
    };
    node.on("stock", counting).unwrap();
    (begun, gate)
}

fn fails(node: &Node, text: &'static str) {
    let failing = move |_: String| async move { Err::<u32, _>(text) };
    node.on("stock", failing).unwrap();
}

async fn ask(node: &Node, within: Duration) -> tidings::Responses<u32> {
    let asking = node.request_all("stock", "apples").timeout(within);
    asking.await.unwrap()
}

/// Returns the summary of one request, and all its responses by name.
async fn all_of(node: &Node, within: Duration) -> (Vec<(String, Result<u32, String>)>, Summary) {
    let mut answers = ask(node, within).await;
    let mut all = Vec::new();
    while let Some(Response {
        responder, value, ..
    }) = answers.next().await
    {
        let value = value.map_err(|error| tidings::report(&error).to_string());
        all.push((responder.to_string(), value));
    }
    all.sort();
    (all, answers.summary().await)
}

fn names(members: &[Responder]) -> Vec<String> {
    let mut names: Vec<_> = members.iter().map(Responder::to_string).collect();
    names.sort();
    names
}

fn failed(summary: &Summary) -> Vec<(String, &str)> {
    let failed = summary.failed.iter();
    let mut failed: Vec<_> = failed
        .map(|(responder, text)| (responder.to_string(), &**text))
        .collect();
    failed.sort();
    failed
}

pub(crate) async fn every_member_responds_including_the_sender(place: Place) {
    let (a, b, c) = three_members(&place).await;
    stocks(&a, 1);
    stocks(&b, 2);
    stocks(&c, 3);

    let (answers, summary) = all_of(&a, LONG).await;

    let named = |name: &str, count| (name.to_owned(), Ok(count));
    assert_eq!(answers, [named("a", 1), named("b", 2), named("c", 3)]);
    assert_eq!(names(&summary.handled), ["a", "b", "c"]);
    assert!(summary.is_complete() && summary.unexpected.is_empty());
    assert_eq!(summary.to_string(), "3 handled");
}

pub(crate) async fn a_request_to_others_is_not_answered_by_the_sender(place: Place) {
    let (a, b) = two_members(&place).await;
    stocks(&a, 1);
    stocks(&b, 2);
    let observer = Node::start(place.builder().membership(false)).await;
    stocks(&observer, 3);

    for (node, expected) in [(&a, &["b"][..]), (&observer, &["a", "b"])] {
        let asking = node
            .request_others::<u32, _, _>("stock", "apples")
            .timeout(LONG);
        let summary = asking.await.unwrap().summary().await;
        assert!(summary.is_complete());
        // The observer is no member, so its response is not waited for.
        let handled = names(&summary.handled).into_iter();
        let handled: Vec<_> = handled.filter(|name| !name.starts_with("node ")).collect();
        assert_eq!(handled, expected);
        assert!(!summary.unexpected.contains(&node.id()));
    }
}

pub(crate) async fn a_slow_member_does_not_delay_the_others(place: Place) {
    let (a, b, c) = three_members(&place).await;
    let (_, gate) = stocks_later(&a, 1);
    stocks(&b, 2);
    stocks(&c, 3);

    let mut answers = ask(&a, LONG).await;
    let mut first = vec![
        answers.next().await.unwrap().value.unwrap(),
        answers.next().await.unwrap().value.unwrap(),
    ];
    first.sort_unstable();
    assert_eq!(first, [2, 3]);

    gate.add_permits(1);
    assert_eq!(answers.next().await.unwrap().value.unwrap(), 1);
    assert!(answers.next().await.is_none());
}

pub(crate) async fn a_member_that_fails_is_named_with_its_error(place: Place) {
    let (a, b, c) = three_members(&place).await;
    fails(&a, "no such fruit");
    let panicking = |_: String| async {
        assert_eq!(1, 2, "on purpose");
        Ok::<u32, HandlerError>(1)
    };
    b.on("stock", panicking).unwrap();
    let briefly = HandlerOptions::new().timeout(Duration::from_millis(10));
    let endless = |_: String| std::future::pending::<()>();
    c.on_with("stock", briefly, endless).unwrap();

    let (answers, summary) = all_of(&b, LONG).await;

    assert_eq!(answers.len(), 3);
    let failed = failed(&summary);
    assert_eq!(failed[0], ("a".to_owned(), "no such fruit"));
    assert!(failed[1].1.starts_with("it panicked: ") && failed[1].1.contains("on purpose"));
    assert_eq!(
        failed[2],
        ("c".to_owned(), "it was still running after 10ms")
    );
    assert!(!summary.is_complete() && summary.handled.is_empty());
}

pub(crate) async fn a_member_that_cannot_decode_the_payload_is_reported(place: Place) {
    let (a, b) = two_members(&place).await;
    stocks(&a, 1);
    b.on("stock", |_: u32| async {}).unwrap();

    let summary = ask(&a, LONG).await.summary().await;

    assert_eq!(names(&summary.handled), ["a"]);
    let [(responder, text)] = &*failed(&summary) else {
        panic!("{summary}")
    };
    assert!(
        responder == "b" && text.contains("is not what stock ("),
        "{summary}"
    );
}

pub(crate) async fn a_member_without_a_handler_is_reported(place: Place) {
    let (a, b, c) = three_members(&place).await;
    stocks(&b, 2);
    c.on("other", |_: String| async {}).unwrap();

    let (answers, summary) = all_of(&a, LONG).await;

    assert_eq!(answers[0].1, Err("it has no handler".to_owned()));
    assert_eq!(answers[1].1, Ok(2));
    assert_eq!(names(&summary.without_handler), ["a", "c"]);
    assert!(summary.is_complete(), "{summary}");
}

pub(crate) async fn a_member_that_does_not_respond_in_time_is_named(place: Place) {
    let (a, b, c) = three_members(&place).await;
    stocks(&a, 1);
    stocks(&b, 2);
    let (_, gate) = stocks_later(&c, 3);

    let (answers, summary) = all_of(&a, Duration::from_millis(300)).await;

    assert_eq!(answers.len(), 2);
    assert_eq!(names(&summary.timed_out), ["c"]);
    let words = "2 handled, 1 did not respond within 300ms: c";
    assert_eq!(summary.to_string(), words);

    // A response now comes too late, and is ignored.
    gate.add_permits(2);
    let summary = ask(&a, LONG).await.summary().await;
    assert_eq!(names(&summary.handled), ["a", "b", "c"]);
    assert!(a.failures().all().is_empty() && c.failures().all().is_empty());
}

pub(crate) async fn a_member_that_leaves_is_not_waited_for(place: Place) {
    let (a, b, c) = three_members(&place).await;
    stocks(&a, 1);
    stocks(&b, 2);
    let (begun, _gate) = stocks_later(&c, 3);

    let answers = ask(&a, LONG).await;
    begun.wait_for_len(1).await;
    // Its call still runs.
    drop(c);
    let summary = answers.summary().await;

    assert_eq!(names(&summary.handled), ["a", "b"]);
    assert_eq!(names(&summary.left), ["c"]);
    assert!(summary.timed_out.is_empty() && !summary.is_complete());
}

pub(crate) async fn a_member_that_joined_late_responds_and_is_told_apart(place: Place) {
    let a = member(&place, "a").await;
    let b = Node::start(place.builder().membership(false)).await;
    let (_, gate) = stocks_later(&a, 1);
    stocks(&b, 2);

    let mut answers = ask(&a, LONG).await;
    let answer = answers.next().await.unwrap();
    assert_eq!(
        (answer.responder.node, answer.responder.name),
        (b.id(), None)
    );
    assert_eq!(answer.value.unwrap(), 2);
    gate.add_permits(1);
    let summary = answers.summary().await;

    assert_eq!(summary.unexpected, [b.id()]);
    assert_eq!(summary.handled.len(), 2);
}

pub(crate) async fn of_several_handlers_all_must_succeed(place: Place) {
    let (a, b) = two_members(&place).await;
    let silent = |_: String| async { Ok::<_, HandlerError>(()) };
    a.on("stock", silent).unwrap();
    a.on("stock", |_: String| async {}).unwrap();
    stocks(&a, 1);
    stocks(&b, 2);
    fails(&b, "one of two");

    let (answers, summary) = all_of(&a, LONG).await;

    assert_eq!(answers[0], ("a".to_owned(), Ok(1)));
    assert_eq!(answers[1], ("b".to_owned(), Err("one of two".to_owned())));
    assert_eq!(failed(&summary), [("b".to_owned(), "one of two")]);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Stock {
    fruit: String,
    counts: Vec<u32>,
}

#[derive(Debug, Serialize, Deserialize, Event)]
#[event("stock.wanted")]
struct Wanted {
    fruit: String,
}

struct Shelf;

impl Handler<Arc<Wanted>> for Shelf {
    async fn handle(&self, wanted: Arc<Wanted>, context: &Context) -> Result<(), HandlerError> {
        context.respond(&Stock {
            fruit: wanted.fruit.clone(),
            counts: vec![1, 2],
        })?;
        Ok(())
    }
}

pub(crate) async fn responses_in_every_format_are_accepted(place: Place) {
    let a = member(&place, "a").await;
    let b = Node::start(place.builder().format(place.other_format())).await;
    all_are_there(&[&a, &b]).await;
    for node in [&a, &b] {
        // Both get one decoded value, and one of them responds.
        node.subscribe(Shelf).unwrap();
        node.subscribe(|_: Arc<Wanted>| async {}).unwrap();
    }

    let wanted = Wanted {
        fruit: "äpples".to_owned(),
    };
    for node in [&a, &b] {
        let mut answers = node.request_all(Wanted::EVENT, &wanted).await.unwrap();
        for _ in 0..2 {
            let stock: Stock = answers.next().await.unwrap().value.unwrap();
            assert_eq!(stock.fruit, "äpples");
            assert_eq!(stock.counts, [1, 2]);
        }
        assert!(answers.next().await.is_none());
    }
}

pub(crate) async fn an_event_that_a_full_queue_drops_is_named_as_not_handled(place: Place) {
    let (a, b) = two_members(&place).await;
    stocks(&a, 1);
    let (begun, gate) = (Collected::<String>::default(), Arc::new(Semaphore::new(0)));
    let (sink, wait) = (begun.clone(), Arc::clone(&gate));
    let handler = move |fruit: String| {
        let (sink, wait) = (sink.clone(), Arc::clone(&wait));
        async move {
            sink.push(fruit);
            let _ = wait.acquire().await;
        }
    };
    let narrow = HandlerOptions::new()
        .queue(1)
        .overflow(tidings::Overflow::DropNewest);
    b.on_with("stock", narrow, handler).unwrap();

    a.send_to_all("stock", "in its hands").await.unwrap();
    begun.wait_for_len(1).await;
    a.send_to_all("stock", "in its queue").await.unwrap();
    let summary = ask(&a, LONG).await.summary().await;

    let words = "not handled: the handler's queue was full, or the handler was removed";
    assert_eq!(failed(&summary), [("b".to_owned(), words)]);
    assert_eq!(summary.handled.len(), 1);
}

pub(crate) async fn a_response_of_another_type_is_an_error_of_that_member_alone(place: Place) {
    let (a, b) = two_members(&place).await;
    stocks(&a, 1);
    b.on("stock", |_: String| async { Ok::<_, HandlerError>("many") })
        .unwrap();

    let mut answers = ask(&a, LONG).await;
    let mut read = Vec::new();
    while let Some(answer) = answers.next().await {
        read.push(match answer.value {
            Ok(count) => count.to_string(),
            Err(ResponseError::Undecodable { .. }) => "undecodable".to_owned(),
            Err(error) => panic!("{error}"),
        });
    }
    read.sort();

    assert_eq!(read, ["1", "undecodable"]);
    let summary = answers.summary().await;
    assert_eq!(names(&summary.handled), ["a"]);
    let text = failed(&summary)[0].1;
    assert!(
        text.starts_with("its response cannot be decoded: "),
        "{text}"
    );
}

pub(crate) async fn a_response_that_cannot_be_encoded_is_a_failure(place: Place) {
    let (a, b) = two_members(&place).await;
    stocks(&a, 1);
    let large = |_: String| async { Ok::<_, HandlerError>("x".repeat(2 << 20)) };
    b.on("stock", large).unwrap();

    let summary = ask(&a, LONG).await.summary().await;

    let text = failed(&summary)[0].1;
    assert!(text.starts_with("cannot send the response: "), "{text}");
    assert_eq!(names(&summary.handled), ["a"]);
}

pub(crate) async fn responses_without_a_request_are_ignored(place: Place) {
    let (a, b) = two_members(&place).await;
    let (begun, gate) = stocks_later(&b, 2);
    stocks(&a, 1);
    let answers = ask(&a, LONG).await;
    begun.wait_for_len(1).await;

    let foreign = NodeId::new(7);
    for (seq, meta) in [
        r#"{"request":"0000000000000000","outcome":"handled"}"#,
        r#"{"request":"nonsense","outcome":"handled"}"#,
        r#"{"request":"0000000000000000","outcome":"nonsense"}"#,
        r#"{"outcome":"handled"}"#,
        r#"{"request":7}"#,
        "{}",
    ]
    .into_iter()
    .enumerate()
    {
        let (seq, data) = (seq + 1, seq);
        let answer = format!(r#"{{"event":"tidings.response","meta":{meta},"data":{data}}}"#);
        let frame = format!(r#"{{"v":1,"from":"{foreign}","seq":{seq},"events":[{answer}]}}"#);
        place.publish(frame).await;
        place.publish(answer).await;
    }
    gate.add_permits(1);
    let summary = answers.summary().await;

    assert_eq!(names(&summary.handled), ["a", "b"]);
    assert!(summary.unexpected.is_empty() && summary.dropped == 0);
    assert!(a.failures().all().is_empty());
}

pub(crate) async fn requests_that_cannot_be_answered_are_events_like_others(place: Place) {
    let node = place.node().await;
    let ticks: Collected<u64> = node.collect("tick");

    for (tick, meta) in [
        r#"{"request":"nonsense"}"#,
        r#"{"request":"00000000000000ab"}"#,
        r#"{"request":""}"#,
    ]
    .into_iter()
    .enumerate()
    {
        let frame = format!(r#"{{"event":"tick","meta":{meta},"data":{tick}}}"#);
        place.publish(frame).await;
    }

    ticks.wait_for_len(3).await;
    assert!(node.failures().all().is_empty());
}

pub(crate) async fn concurrent_requests_do_not_mix(place: Place) {
    let (a, b) = two_members(&place).await;
    for node in [&a, &b] {
        let repeat = |number: u32| async move { Ok::<_, HandlerError>(number) };
        node.on("repeat", repeat).unwrap();
    }

    let asks = (0..50_u32).map(|number| {
        let bus = if number % 2 == 0 { a.bus() } else { b.bus() }.clone();
        tokio::spawn(async move {
            let mut answers = bus.request_all("repeat", &number).await.unwrap();
            let mut count = 0;
            while let Some(answer) = answers.next().await {
                let repeated: u32 = answer.value.unwrap();
                assert_eq!(repeated, number);
                count += 1;
            }
            count
        })
    });
    for ask in asks.collect::<Vec<_>>() {
        assert_eq!(ask.await.unwrap(), 2);
    }
}

pub(crate) async fn an_event_counts_as_acknowledged_by_its_recipients(place: Place) {
    let (a, b, c) = three_members(&place).await;
    stocks(&a, 1);
    fails(&b, "no such fruit");
    let wanted: Collected<Wanted> = c.collect(Wanted::EVENT);

    let all = a.send_to_all("stock", "apples").acknowledged(LONG).await;
    let words = "1 handled, 1 failed: b (no such fruit), 1 without a handler: c";
    assert_eq!(all.unwrap().to_string(), words);

    let others = a.send_to_others("stock", "apples").acknowledged(LONG).await;
    let words = "0 handled, 1 failed: b (no such fruit), 1 without a handler: c";
    assert_eq!(others.unwrap().to_string(), words);

    let one = b.send_to(a.id(), "stock", "apples").acknowledged(LONG);
    let one = one.await.unwrap();
    assert_eq!(one.to_string(), "1 handled");
    assert_eq!(one.handled[0].node, a.id());

    let fruit = "apples".to_owned();
    let event = Wanted { fruit };
    let published = a.publish(&event).acknowledged(LONG).await.unwrap();
    let words = "1 handled, 2 without a handler: a, b";
    assert_eq!(names(&published.without_handler), ["a", "b"]);
    assert_eq!(published.to_string().len(), words.len());
    assert_eq!(wanted.all().len(), 1);

    let nobody = a.send_to(NodeId::new(7), "stock", "apples");
    let error = nobody.acknowledged(LONG).await.unwrap_err();
    let RequestError::Send(tidings::SendError::Nobody { .. }) = error else {
        panic!("{error}")
    };
}

pub(crate) async fn an_event_of_a_stream_counts_as_handled_when_it_is_read(place: Place) {
    let (a, b) = two_members(&place).await;
    stocks(&a, 1);
    let mut stream = b.stream::<_, String>("stock").unwrap();

    let acknowledged = a.send_to_all("stock", "apples").acknowledged(LONG);
    let (summary, read) = tokio::join!(acknowledged, stream.next());

    assert_eq!(read.as_deref(), Some("apples"));
    assert_eq!(summary.unwrap().to_string(), "2 handled");

    let answers = ask(&a, LONG).await;
    drop(stream);
    let summary = answers.summary().await;
    assert_eq!(summary.handled.len(), 1, "{summary}");
}

pub(crate) async fn an_unread_stream_delays_no_response(place: Place) {
    let (a, b) = two_members(&place).await;
    stocks(&a, 1);
    let mut stream = b.stream::<_, String>("stock").unwrap();
    // It has both in its queue, and takes one.
    let (gate, later) = (Arc::new(Semaphore::new(0)), b.collect::<_, u64>("later"));
    let wait = Arc::clone(&gate);
    let handler = move |_: String| {
        let wait = Arc::clone(&wait);
        async move { drop(wait.acquire().await) }
    };
    b.once("stock", handler).unwrap();
    let ask = || {
        a.request_all::<Option<u32>, _, _>("stock", "apples")
            .timeout(LONG)
    };
    let (first, second) = (ask().await.unwrap(), ask().await.unwrap());
    a.send_to_all("later", &1).await.unwrap();
    later.wait_for_len(1).await;

    gate.add_permits(1);
    stream.next().await.unwrap();
    stream.next().await.unwrap();

    assert_eq!(first.summary().await.to_string(), "2 handled");
    let second = timeout(LONG / 2, second.summary()).await.unwrap();
    assert_eq!(names(&second.handled), ["a"]);
    assert_eq!(second.failed[0].0.node, b.id());
}

pub(crate) async fn a_bus_responds_to_requests_that_it_still_handles_during_a_shutdown(
    place: Place,
) {
    let (a, b) = two_members(&place).await;
    stocks(&a, 1);
    let (begun, gate) = stocks_later(&b, 2);
    let (first, second) = (ask(&a, LONG).await, ask(&a, LONG).await);
    begun.wait_for_len(1).await;
    // On a cluster, the second request may still be on its way.
    hears_all(&b, &a).await;

    gate.add_permits(2);
    b.shutdown(LONG).await.unwrap();

    assert_eq!(first.summary().await.to_string(), "2 handled");
    assert_eq!(second.summary().await.to_string(), "2 handled");
}

pub(crate) async fn health_says_that_a_bus_is_shutting_down(place: Place) {
    let (a, b) = two_members(&place).await;
    stocks(&a, 1);
    let (begun, gate) = stocks_later(&b, 2);
    let answers = ask(&a, LONG).await;
    begun.wait_for_len(1).await;

    let bus = b.bus().clone();
    let ending = tokio::spawn(async move { bus.shutdown(LONG).await });
    let words = "not handled: the bus is shutting down";
    wait_for("b reports its shutdown", LONG, async || {
        let summary = ask(&a, Duration::from_millis(100)).await.summary().await;
        failed(&summary) == [("b".to_owned(), words)]
    })
    .await;

    gate.add_permits(100);
    ending.await.unwrap().unwrap();
    assert_eq!(answers.summary().await.to_string(), "2 handled");
}

pub(crate) async fn a_stream_that_is_dropped_while_its_bus_ends_completes_no_request(place: Place) {
    let (a, b) = two_members(&place).await;
    stocks(&a, 1);
    let (begun, gate) = stocks_later(&b, 2);
    let stream = b.stream::<_, u64>("other").unwrap();
    let _answers = ask(&a, LONG).await;
    begun.wait_for_len(1).await;
    let bus = b.bus().clone();
    let ending = tokio::spawn(async move { bus.shutdown(LONG).await });
    wait_for("b accepts no new handler", LONG, async || {
        b.stream::<_, u64>("other").is_err()
    })
    .await;

    drop(stream);

    wait_for("b reports its shutdown", LONG, async || {
        let summary = ask(&a, Duration::from_secs(1)).await.summary().await;
        assert!(!summary.is_complete(), "{summary}");
        failed(&summary).iter().any(|(name, _)| name == "b")
    })
    .await;
    gate.add_permits(100);
    ending.await.unwrap().unwrap();
}

pub(crate) async fn a_dropped_bus_logs_the_events_that_it_has_not_handled(place: Place) {
    let (a, b) = two_members(&place).await;
    stocks(&a, 1);
    let (begun, _gate) = stocks_later(&b, 2);
    let in_its_hands = ask(&a, LONG).await;
    begun.wait_for_len(1).await;
    let in_its_queue = ask(&a, LONG).await;
    // A later event is received, so it was received too.
    let later: Collected<u64> = b.collect("later");
    a.send_to_all("later", &1).await.unwrap();
    later.wait_for_len(1).await;

    drop(b);
    let summary = in_its_queue.summary().await;

    let words = "not handled: the handler's queue was full, or the handler was removed";
    assert_eq!(failed(&summary), [("b".to_owned(), words)]);
    assert_eq!(names(&in_its_hands.summary().await.left), ["b"]);
}

pub(crate) async fn a_request_after_the_shutdown_is_rejected(place: Place) {
    let (a, b) = two_members(&place).await;
    let (begun, _gate) = stocks_later(&b, 2);
    let answers = ask(&a, LONG).await;
    begun.wait_for_len(1).await;

    a.shutdown(LONG).await.unwrap();

    // Long before the timeout: nobody can respond any more.
    let summary = timeout(LONG / 2, answers.summary()).await.unwrap();
    assert_eq!(names(&summary.timed_out), ["b"]);
    let error = a
        .request_all::<u32, _, _>("stock", "apples")
        .await
        .unwrap_err();
    let words = tidings::report(&error).to_string();
    assert!(words.contains("shut down"), "{words}");
}

pub(crate) async fn dropped_requests_leave_no_state(place: Place) {
    let (a, b) = two_members(&place).await;
    let (_, gate) = stocks_later(&b, 2);
    stocks(&a, 1);

    let mut open = join_all((0..1_024).map(|_| ask(&a, LONG))).await;
    let error = a
        .request_all::<u32, _, _>("stock", "apples")
        .await
        .unwrap_err();
    assert!(matches!(error, RequestError::TooMany { limit: 1_024 }));
    open.clear();
    gate.add_permits(2_000);

    let summary = ask(&a, LONG).await.summary().await;
    assert_eq!(names(&summary.handled), ["a", "b"]);
    for node in [&a, &b] {
        let failures = node.failures().all();
        assert!(failures.is_empty(), "{failures:?}");
    }
}

pub(crate) async fn any_timeout_is_accepted(place: Place) {
    let (a, b) = two_members(&place).await;
    stocks(&a, 1);
    let (begun, gate) = stocks_later(&b, 2);

    let summary = ask(&a, Duration::ZERO).await.summary().await;
    assert!(
        summary
            .timed_out
            .iter()
            .any(|responder| responder.node == b.id())
    );

    begun.wait_for_len(1).await;
    gate.add_permits(2);
    let summary = ask(&a, Duration::MAX).await.summary().await;
    assert_eq!(summary.handled.len(), 2);
}

pub(crate) async fn a_handler_may_send_a_request_to_its_own_bus(place: Place) {
    let (a, b) = two_members(&place).await;
    stocks(&a, 1);
    stocks(&b, 2);
    let summing = |fruit: String, bus: Bus| async move {
        let mut answers = bus.request_all::<u32, _, _>("stock", &fruit).await?;
        let mut sum = 0;
        while let Some(answer) = answers.next().await {
            sum += answer.value?;
        }
        Ok::<_, HandlerError>(sum)
    };
    a.on("sum", summing).unwrap();

    let mut answers = b
        .request_all::<Option<u32>, _, _>("sum", "apples")
        .await
        .unwrap();
    let mut sums = Vec::new();
    while let Some(answer) = answers.next().await {
        sums.extend(answer.value.into_iter().flatten());
    }

    assert_eq!(sums, [3]);
}

pub(crate) async fn a_full_send_buffer_only_delays_responses(place: Place) {
    let a = member(&place, "a").await;
    let b = Node::start(place.builder().send_buffer(1)).await;
    all_are_there(&[&a, &b]).await;
    stocks(&a, 1);
    stocks(&b, 2);

    let asks: Vec<_> = (0..20)
        .map(|_| {
            let bus = a.bus().clone();
            tokio::spawn(async move { bus.send_to_all("stock", "apples").acknowledged(LONG).await })
        })
        .collect();
    for ask in asks {
        assert_eq!(ask.await.unwrap().unwrap().to_string(), "2 handled");
    }
    wait_for("the bus is as before", LONG, async || {
        b.health().outgoing == 0
    })
    .await;
}
