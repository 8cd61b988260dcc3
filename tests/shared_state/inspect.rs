//! Tests of inspections.

use std::sync::Arc;
use std::time::Duration;

use tidings::prelude::*;
use tidings::{AllEvents, HandlerInspection, Inspection, NodeId, ResponseError};
use tidings_testkit::{Node, wait_for};
use tokio::sync::Semaphore;

use crate::place::Place;

const SOON: Duration = Duration::from_secs(20);

async fn observer(place: &Place) -> Node {
    Node::start(place.builder().membership(false)).await
}

/// The state of the only member, once it is one.
async fn inspect(observer: &Node) -> Result<Inspection, ResponseError> {
    wait_for("it is a member", SOON, async || {
        observer
            .members()
            .await
            .is_ok_and(|members| members.len() == 1)
    })
    .await;
    let asking = observer.inspect().timeout(SOON);
    let response = asking.await.unwrap().next().await;
    response.expect("it responds").value
}

fn handler<'a>(inspection: &'a Inspection, event: &str) -> &'a HandlerInspection {
    let of_event = |handler: &&HandlerInspection| handler.events == [event];
    let handler = inspection.handlers.iter().find(of_event);
    handler.expect("it is listed")
}

pub(crate) async fn a_bus_tells_the_others_its_state(place: Place) {
    let gate = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&gate);
    let options = HandlerOptions::new().queue(7);
    let node = Node::start(place.builder().version("1.4.0")).await;
    node.on_with("slow", options, move |_: u64| {
        let wait = Arc::clone(&wait);
        async move { wait.acquire().await.unwrap().forget() }
    })
    .unwrap();
    node.on("failing", async |_: u64| Err::<(), _>("no\nluck"))
        .unwrap();
    let short = HandlerOptions::new().timeout(Duration::from_millis(20));
    node.on_with("stuck", short, |_: u64| std::future::pending::<()>())
        .unwrap();
    let ignored = node.on(AllEvents, async |_: Unknown| {}).unwrap();
    let ignored_stream = node.stream::<_, u64>("stream").unwrap();
    for number in 0..3_u64 {
        node.send_to_all("slow", &number).await.unwrap();
        node.send_to_all("failing", &number).await.unwrap();
    }
    node.send_to_all("failing", "of the wrong type")
        .await
        .unwrap();
    node.send_to_all("stuck", &1).await.unwrap();
    gate.add_permits(1);
    node.failures().wait_for_len(5).await;
    let own = async || {
        let own = node.inspection();
        handler(&own, "slow").handled == 1 && handler(&own, "slow").in_progress == 1
    };
    wait_for("the second call runs", SOON, own).await;

    let told = inspect(&observer(&place).await).await.unwrap();

    assert!(!told.version.is_empty());
    assert_eq!(told.program_version.as_deref(), Some("1.4.0"));
    assert!(told.health.is_ready && told.health.since.is_some());
    assert!(told.health.sent >= 8 && told.health.received >= 8);
    assert!(told.taken.elapsed().unwrap_or_default() < SOON);
    let slow = handler(&told, "slow");
    assert_eq!(
        (slow.queue, slow.queue_limit, slow.in_progress, slow.handled),
        (1, 7, 1, 1)
    );
    assert!(slow.slowest.is_some() && slow.handler.starts_with("slow ("));
    let failing = handler(&told, "failing");
    assert_eq!(
        (failing.handled, failing.failed, failing.timed_out),
        (0, 4, 0)
    );
    let stuck = handler(&told, "stuck");
    assert_eq!((stuck.failed, stuck.timed_out), (0, 1));
    assert!(stuck.slowest >= Some(Duration::from_millis(20)));
    handler(&told, "*");
    handler(&told, "stream");
    assert_eq!((told.health.failures, told.failures.len()), (5, 5));
    let has_luck = |text: &str| text.contains(r"no\nluck");
    assert_eq!(
        told.failures
            .iter()
            .filter(|failure| has_luck(&failure.text))
            .count(),
        3
    );
    node.off(ignored).await;
    drop(ignored_stream);
    gate.add_permits(9);
}

pub(crate) async fn an_inspection_names_what_was_missed_and_no_address(place: Place) {
    let node = place.node().await;
    let sender = NodeId::new(1);
    for seq in [1, 5] {
        let frame = format!(
            r#"{{"v":1,"from":"{sender}","seq":{seq},"events":[{{"event":"tick","data":"secret"}}]}}"#
        );
        place.publish(frame).await;
    }
    node.gaps().wait_for(|gap| gap.missed == Some(3)).await;

    let told = inspect(&observer(&place).await).await.unwrap();

    let missed = told
        .gaps
        .iter()
        .find(|gap| gap.sender == Some(sender))
        .unwrap();
    assert_eq!(missed.missed, Some(3));
    assert!(missed.text.ends_with("did not arrive"), "{}", missed.text);
    let all = serde_json::to_string(&told).unwrap();
    for other in ["secret", "127.0.0.1", "memory:", "redis:"] {
        assert!(!all.contains(other), "{all}");
    }
}

pub(crate) async fn a_bus_makes_no_more_than_one_inspection_a_second(place: Place) {
    let _node = place.node().await;
    let observer = observer(&place).await;

    let began = std::time::Instant::now();
    let first = inspect(&observer).await.unwrap();
    let second = inspect(&observer).await.unwrap();
    let took = began.elapsed();

    assert!(
        first.taken == second.taken || took >= Duration::from_secs(1),
        "{took:?}"
    );
    wait_for("a newer one", SOON, async || {
        inspect(&observer).await.unwrap().taken > first.taken
    })
    .await;
}

pub(crate) async fn a_bus_can_keep_its_state_to_itself(place: Place) {
    let node = Node::start(place.builder().inspection(false)).await;

    let told = inspect(&observer(&place).await).await;

    assert!(matches!(told, Err(ResponseError::NoHandler)), "{told:?}");
    assert_eq!(node.inspection().failures.len(), 0);
}

pub(crate) async fn an_inspection_of_many_handlers_says_how_many_it_leaves_out(place: Place) {
    let node = place.node().await;
    for number in 0..2_000 {
        node.on(&*format!("event.{number}"), async |_: u64| {})
            .unwrap();
    }

    let told = inspect(&observer(&place).await).await.unwrap();

    let listed = told.handlers.len() as u64;
    assert!(listed > 100, "{listed}");
    assert_eq!(listed + told.unlisted_handlers, 2_000);
    assert_eq!(told.handlers[0].events, ["event.0"]);
}

pub(crate) async fn requests_to_inspect_that_cannot_be_answered_are_ignored(place: Place) {
    let node = place.node().await;
    let sender = NodeId::new(1);
    for event in [
        r#"{"event":"tidings.inspect"}"#,
        r#"{"event":"tidings.inspect","meta":{"request":"no id"}}"#,
        r#"{"event":"tidings.inspect","meta":{"request":"00000000000000ab"},"data":[1]}"#,
    ] {
        place
            .publish(format!(r#"{{"v":1,"events":[{event}]}}"#))
            .await;
        let from = format!(r#"{{"v":1,"from":"{sender}","seq":1,"events":[{event}]}}"#);
        place.publish(from).await;
    }

    let told = inspect(&observer(&place).await).await.unwrap();

    assert_eq!((told.health.failures, told.failures.len()), (0, 0));
    assert!(node.failures().all().is_empty());
}
