//! State in memory lives as long as one bus does.

use tidings::{Bus, GapReason};
use tidings_testkit::{Node, memory_url};

/// More than a bus can queue.
const TOO_MUCH: usize = 33 << 20;

#[tokio::test]
async fn shared_state_in_memory_outlives_a_disconnect_of_the_only_bus() {
    let url = memory_url();
    // A member that renews its lease keeps the state alive.
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
