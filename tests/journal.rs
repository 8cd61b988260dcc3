//! The journal: what was missed is received, and what Redis itself has lost is reported.

use tidings::{BusBuilder, Journal};
use tidings_testkit::{Collected, Node, Redis};

mod confirm;
mod divergence;
mod durable;
mod loss;
mod moments;
mod outcomes;
mod replay;
mod soak;
mod start;
mod tap;
mod topologies;
mod warnings;

/// The connections of a journaled node behind a proxy, in the order in which it opens them, after
/// those of pub/sub.
const FOLLOWING: usize = 2;
const APPENDING: usize = 3;

fn journaled(builder: BusBuilder) -> BusBuilder {
    builder.journal(Journal::default())
}

/// Two journaled nodes, which can be cut off: one to send, and one to receive.
async fn two_nodes(redis: &Redis) -> (Node, Node) {
    (
        redis.node_with(journaled).await,
        redis.node_with(journaled).await,
    )
}

/// Sends ticks with these numbers.
async fn send(sender: &Node, ticks: std::ops::RangeInclusive<u64>) {
    for tick in ticks {
        sender.send_to_all("tick", &tick).await.unwrap();
    }
}

/// Waits until the ticks up to this one are received, and checks that they are in order, without
/// another one.
async fn has_received(ticks: &Collected<u64>, last: u64) {
    let received = ticks.wait_for_len(usize::try_from(last).unwrap()).await;
    assert!(
        received.iter().map(|tick| **tick).eq(1..=last),
        "{received:?}"
    );
}
