//! A steady flow of events from one node to another while servers fail.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidings::{Bus, BusBuilder};
use tidings_testkit::{Collected, Node};
use tokio::task::JoinHandle;
use tokio::time::interval;

/// A subscriber of ticks, and a sender of one tick every 5 ms.
pub(crate) struct Traffic {
    pub(crate) subscriber: Node,
    pub(crate) sender: Node,
    ticks: Collected<u64>,
    stop: Arc<AtomicBool>,
    sending: JoinHandle<u64>,
}

impl Traffic {
    /// Starts both nodes with these options, and waits until ticks are received.
    pub(crate) async fn start(builder: impl Fn() -> BusBuilder) -> Self {
        let subscriber = Node::start(builder()).await;
        let sender = Node::start(builder()).await;
        let ticks = subscriber.collect("tick");
        let stop = Arc::new(AtomicBool::new(false));
        let sending = tokio::spawn(send(sender.bus().clone(), Arc::clone(&stop)));
        let traffic = Self {
            subscriber,
            sender,
            ticks,
            stop,
            sending,
        };
        traffic.goes_on().await;
        traffic
    }

    /// Waits until more ticks are received.
    pub(crate) async fn goes_on(&self) {
        self.ticks.wait_for_len(self.ticks.all().len() + 10).await;
    }

    /// Checks that no tick was handled twice or out of order, and that each missing one was
    /// reported. Returns the number of missing ones.
    pub(crate) async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sending.await.unwrap();
        self.ticks.wait_for(|tick| *tick == sent).await;
        let received: Vec<u64> = self.ticks.all().iter().map(|tick| **tick).collect();
        assert!(received.is_sorted());
        let different: BTreeSet<_> = received.iter().collect();
        assert_eq!(different.len(), received.len());
        let missed = sent - received.len() as u64;
        assert_eq!(self.subscriber.health().missed, missed);
        missed
    }
}

/// Sends until it is told to stop, and returns the number of ticks.
async fn send(bus: Bus, stop: Arc<AtomicBool>) -> u64 {
    let mut clock = interval(Duration::from_millis(5));
    let mut tick = 0;
    while !stop.load(Ordering::Relaxed) {
        clock.tick().await;
        tick += 1;
        // A send that waits for a failover must not delay the next one.
        bus.feed("tick", &tick).await.unwrap();
    }
    bus.flush().await.unwrap();
    tick
}
