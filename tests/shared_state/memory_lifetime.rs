//! What is kept in memory lasts as long as somebody is there.

use tidings::{Bus, GapReason};
use tidings_testkit::{Node, memory_url};

/// More than may wait for one bus.
const TOO_MUCH: usize = 33 << 20;

#[tokio::test]
async fn what_is_kept_outlives_the_connection_of_a_bus_that_is_alone() {
    let url = memory_url();
    // A member that renews its lease holds on to the place meanwhile.
    let node = Node::start(Bus::builder(&url).membership(false)).await;
    let visits = node.counter("visits").unwrap();
    visits.add(7).await.unwrap();

    let name = url.strip_prefix("memory:").unwrap();
    tidings::memory::publish(name, "default", vec![b' '; TOO_MUCH]).await;

    let is_back = |gap: &tidings::Gap| gap.reason == GapReason::Reconnected;
    node.gaps().wait_for(is_back).await;
    node.send_to_all("tick", &1).await.unwrap();
    assert_eq!(visits.get().await.unwrap(), 7);
}
