//! How handlers of gaps end, and what waits for them.

use std::sync::Arc;
use std::time::Duration;

use tidings::{Gap, Subscription};
use tidings_testkit::{Collected, Node};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::place::Place;

const SOON: Duration = Duration::from_secs(5);

/// A handler of gaps that stands still until it is let go on.
struct Slow {
    subscription: Subscription,
    begun: Collected<Gap>,
    permits: Arc<Semaphore>,
    handled: Collected<Gap>,
}

fn slow(node: &Node) -> Slow {
    let (begun, permits, handled) = (
        Collected::default(),
        Arc::new(Semaphore::new(0)),
        Collected::default(),
    );
    let (begin, wait, put) = (begun.clone(), Arc::clone(&permits), handled.clone());
    let handler = move |gap: Gap| {
        let (begin, wait, put) = (begin.clone(), Arc::clone(&wait), put.clone());
        async move {
            begin.put(gap.clone());
            wait.acquire().await.expect("nobody closes it").forget();
            put.put(gap);
        }
    };
    Slow {
        subscription: node.on_gap(handler).expect("the handler is in order"),
        begun,
        permits,
        handled,
    }
}

/// Makes a gap of each of so many senders.
async fn publish_gaps(place: &Place, senders: u32) {
    for sender in 1..=senders {
        for seq in [1, 5] {
            let frame = format!(r#"{{"v":1,"from":"{sender:032}","seq":{seq},"events":[]}}"#);
            place.publish(frame).await;
        }
    }
}

pub(crate) async fn a_shutdown_waits_for_a_running_handler_of_gaps(place: Place) {
    let node = place.node().await;
    let slow = slow(&node);
    publish_gaps(&place, 1).await;
    slow.begun.wait_len(1).await;

    let too_early = timeout(Duration::from_millis(200), node.shutdown(SOON)).await;
    assert!(too_early.is_err(), "the handler is still running");
    slow.permits.add_permits(1);
    node.shutdown(SOON).await.unwrap();

    assert_eq!(slow.handled.all().len(), 1);
}

pub(crate) async fn off_drops_the_gaps_that_wait_for_a_handler(place: Place) {
    let node = place.node().await;
    let slow = slow(&node);
    publish_gaps(&place, 4).await;
    slow.begun.wait_len(1).await;
    node.gaps().wait_len(4).await;

    let off = node.off(slow.subscription);
    tokio::pin!(off);
    assert!(
        futures_util::poll!(&mut off).is_pending(),
        "the call is still running"
    );
    slow.permits.add_permits(4);
    timeout(SOON, off).await.unwrap();

    assert_eq!((slow.begun.all().len(), slow.handled.all().len()), (1, 1));
}
