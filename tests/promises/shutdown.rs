//! Shutdowns: their waiting, and their report.

use std::sync::Arc;
use std::time::Duration;

use tidings::{Bus, Connection, HandlerOptions};
use tidings_testkit::{Collected, wait_for};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::queues::slow;
use crate::place::Place;

const SOON: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(200);

pub(crate) async fn a_shutdown_handles_events_that_its_bus_just_sent(place: Place) {
    for round in 0..50 {
        let node = place.node().await;
        let ticks: Collected<u64> = node.collect("tick");

        node.send_to_all("tick", &round).await.unwrap();
        node.shutdown(SOON).await.unwrap();

        // In a cluster, an event of the bus before may arrive after the start of the next one.
        let own = ticks.all().into_iter().filter(|tick| **tick == round);
        assert_eq!(own.count(), 1);
    }
}

pub(crate) async fn a_shutdown_handles_events_that_its_bus_just_fed(place: Place) {
    for round in 0..20 {
        let node = place.node().await;
        let ticks: Collected<u64> = node.collect("tick");
        let fed = round * 100..(round + 1) * 100;

        for tick in fed.clone() {
            node.feed("tick", &tick).await.unwrap();
        }
        node.shutdown(SOON).await.unwrap();

        let all = ticks.all().into_iter().map(|tick| *tick);
        assert!(all.filter(|tick| fed.contains(tick)).eq(fed.clone()));
    }
}

pub(crate) async fn concurrent_shutdowns_have_the_result_of_the_first(place: Place) {
    let node = place.node().await;
    let stuck = slow(&node, HandlerOptions::new());
    node.send_to_all("tick", &1).await.unwrap();
    stuck.begun.wait_for_len(1).await;

    let (first, second) = tokio::join!(node.shutdown(SHORT), node.shutdown(SOON));
    let later = node.shutdown(SOON).await;

    for ended in [first, second, later] {
        assert_eq!(ended.unwrap_err().running, 1);
    }
}

pub(crate) async fn a_shutdown_that_is_not_awaited_continues(place: Place) {
    let node = place.node().await;
    let slow = slow(&node, HandlerOptions::new());
    node.send_to_all("tick", &1).await.unwrap();
    slow.begun.wait_for_len(1).await;

    let given_up = timeout(SHORT, node.shutdown(SOON)).await;
    assert!(given_up.is_err(), "the handler is still running");
    slow.permits.add_permits(1);

    wait_for("the bus is closed", SOON, async || {
        node.health().connection == Connection::Closed
    })
    .await;
    node.shutdown(SOON).await.unwrap();
    assert_eq!(slow.handled.all().len(), 1);
}

pub(crate) async fn a_second_shutdown_waits_for_a_first_one_that_is_not_awaited(place: Place) {
    let node = place.node().await;
    let slow = slow(&node, HandlerOptions::new());
    node.send_to_all("tick", &1).await.unwrap();
    slow.begun.wait_for_len(1).await;

    let given_up = timeout(SHORT, node.shutdown(SOON)).await;
    assert!(given_up.is_err(), "the handler is still running");
    let second = node.shutdown(SOON);
    tokio::pin!(second);
    assert!(futures_util::poll!(&mut second).is_pending());
    slow.permits.add_permits(1);

    second.await.unwrap();
    assert_eq!(slow.handled.all().len(), 1);
}

pub(crate) async fn a_shutdown_counts_the_unhandled_rest_of_a_frame(place: Place) {
    let ticks = |count: u64| {
        let ticks = (1..=count).map(|tick| format!(r#"{{"event":"tick","data":{tick}}}"#));
        let events = ticks.collect::<Vec<_>>().join(",");
        format!(
            r#"{{"v":1,"from":"00000000000000000000000000000001","seq":1,"events":[{events}]}}"#
        )
    };
    for concurrency in [1, 4] {
        let node = place.node().await;
        let slow = slow(&node, HandlerOptions::new().concurrency(concurrency));
        place.publish(ticks(1_000)).await;
        slow.permits.add_permits(10);
        let begun = slow.begun.wait_for_len(10 + concurrency).await.len() as u64;

        let error = node.shutdown(SHORT).await.unwrap_err();

        assert_eq!(begun + error.unhandled, 1_000, "{error}");
        assert_eq!(error.running, 1, "{error}");
    }
}

pub(crate) async fn a_shutdown_in_a_handler_counts_what_waits_for_that_handler(place: Place) {
    let node = place.node().await;
    let (errors, handled) = (Collected::default(), Collected::default());
    let are_received = Arc::new(Notify::new());
    let (tell, seen, begin) = (errors.clone(), handled.clone(), Arc::clone(&are_received));
    node.on("tick", move |tick: u64, bus: Bus| {
        let (tell, seen, begin) = (tell.clone(), seen.clone(), Arc::clone(&begin));
        async move {
            if tick == 1 {
                begin.notified().await;
                tell.push(bus.shutdown(SOON).await.unwrap_err());
            }
            seen.push(tick);
        }
    })
    .unwrap();
    for tick in 1..=5_u64 {
        node.feed("tick", &tick).await.unwrap();
    }
    wait_for("all are received", SOON, async || {
        node.health().received == 5
    })
    .await;
    are_received.notify_one();

    let error = errors.wait_for(|_| true).await;

    let left = (error.unhandled, error.running, error.unsent);
    assert_eq!(left, (4, 0, 0), "{error}");
    // They are handled all the same, once the handler has returned.
    handled.wait_for_len(5).await;
}

pub(crate) async fn a_handler_may_shut_down_its_bus(place: Place) {
    let (sender, subscriber) = place.two_nodes().await;
    let ended: Collected<bool> = Collected::default();
    let sink = ended.clone();
    subscriber
        .on("stop", move |(): (), bus: Bus| {
            let sink = sink.clone();
            async move { sink.push(bus.shutdown(SOON).await.is_ok()) }
        })
        .unwrap();

    sender.send_to_all("stop", &()).await.unwrap();

    assert!(*ended.wait_for(|_| true).await);
    assert_eq!(subscriber.health().connection, Connection::Closed);
}
