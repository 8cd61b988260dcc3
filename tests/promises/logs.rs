//! Log lines of an application without hooks.

use std::fmt;

use crate::log_capture;
use crate::place::Place;

pub(crate) async fn a_start_is_logged_once_with_node_namespace_and_address(place: Place) {
    let log = log_capture::log();

    let node = place.node().await;

    let address = format!("address=\"{}\"", node.health().address);
    let id = node.id().to_string();
    let of_node = |line: &String| line.contains(&id) && line.contains("connected");
    let line = log.wait_for(of_node).await;
    assert!(line.contains(" INFO "), "{line}");
    assert!(line.contains(&address), "{line}");
    assert!(line.contains("namespace=\"default\""), "{line}");
    assert_eq!(log.all().iter().filter(|line| of_node(line)).count(), 1);
}

pub(crate) async fn a_gap_without_a_handler_is_logged_as_a_warning(place: Place) {
    let log = log_capture::log();
    let _deaf_to_gaps = place.builder().start().await.unwrap();
    let sender = place.node().await.id();

    for seq in [1, 5] {
        let frame = format!(r#"{{"v":1,"from":"{sender}","seq":{seq},"events":[]}}"#);
        place.publish(frame).await;
    }

    let gap = format!("4 events of node {sender} did not arrive");
    let line = log.wait_for(|line| line.contains(&gap)).await;
    assert!(line.contains(" WARN "), "{line}");
}

pub(crate) async fn a_failure_without_a_hook_is_logged_as_an_error(place: Place) {
    let log = log_capture::log();
    let bus = place.builder().start().await.unwrap();
    bus.on("tick", |_: u64| async { Err::<(), _>("not today") })
        .unwrap();

    bus.send_to_all("tick", &1).await.unwrap();

    let from = format!("from node {}: it failed: not today", bus.id());
    let line = log.wait_for(|line| line.contains(&from)).await;
    assert!(line.contains(" ERROR "), "{line}");
}

#[derive(Debug)]
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no words for it")
    }
}

impl std::error::Error for Unspeakable {}

pub(crate) async fn a_failure_whose_text_panics_hides_no_later_one(place: Place) {
    let log = log_capture::log();
    let bus = place.builder().start().await.unwrap();
    bus.on("speak", |_: u64| async { Err::<(), _>(Unspeakable) })
        .unwrap();
    bus.on("tick", |_: u64| async { Err::<(), _>("not today") })
        .unwrap();

    bus.send_to_all("speak", &1).await.unwrap();
    log.wait_for(|line| line.contains("no words for it")).await;
    bus.send_to_all("tick", &2).await.unwrap();

    let from = format!("from node {}: it failed: not today", bus.id());
    log.wait_for(|line| line.contains(&from)).await;
}
