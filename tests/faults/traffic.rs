//! A continuous sender, a subscriber, and the account of every event.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tidings::{Bus, Context, Gap, SendError};
use tidings_testkit::{Collected, Node, wait_for};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(30);

/// Sends events until it is ended.
pub(crate) struct Traffic {
    pub(crate) sender: Node,
    pub(crate) subscriber: Node,
    /// The events received, with their numbers.
    received: Collected<(u64, u64)>,
    stop: Arc<Notify>,
    sending: JoinHandle<Vec<SendResult>>,
}

impl Traffic {
    pub(crate) fn start(sender: Node, subscriber: Node) -> Self {
        let received = collect_numbers(&subscriber);
        let stop = Arc::new(Notify::new());
        let sending = send_all_the_time(sender.bus().clone(), Arc::clone(&stop));
        let sending = tokio::spawn(sending);
        Self {
            sender,
            subscriber,
            received,
            stop,
            sending,
        }
    }

    /// Waits until more than this many further events are received.
    pub(crate) async fn goes_on(&self, events: usize) {
        let enough = self.received.all().len() + events;
        wait_for("events are received", SOON, async || {
            self.received.all().len() > enough
        })
        .await;
    }

    /// Stops sending and checks the account; returns the results of the sends, and the subscriber.
    pub(crate) async fn end(self) -> (Vec<SendResult>, Node) {
        self.stop.notify_one();
        let results = self.sending.await.unwrap();
        check_account(&self.sender, &self.subscriber, &self.received, &results).await;
        (results, self.subscriber)
    }
}

/// Sends until it is stopped, and records each result.
async fn send_all_the_time(sender: Bus, stop: Arc<Notify>) -> Vec<SendResult> {
    let mut results = Vec::new();
    let stopped = stop.notified();
    tokio::pin!(stopped);
    loop {
        let tick = results.len() as u64;
        let sent = sender.send_to_all("tick", &tick).await;
        results.push(match sent {
            Ok(receipt) => SendResult::Sent(receipt.sequence),
            Err(error) if error.is_unknown() => SendResult::Unknown,
            Err(SendError::NotSent { .. }) => SendResult::NotSent,
            Err(error) => panic!("{error}"),
        });
        if futures_util::poll!(&mut stopped).is_ready() {
            return results;
        }
    }
}

/// The result of one send.
#[derive(Debug, PartialEq)]
pub(crate) enum SendResult {
    Sent(u64),
    NotSent,
    Unknown,
}

/// Checks that each number was received once, in order, or counted in a gap.
async fn check_account(
    sender: &Node,
    subscriber: &Node,
    received: &Collected<(u64, u64)>,
    results: &[SendResult],
) {
    let receipt = sender.send_to_all("tick", &u64::MAX).await.unwrap();
    received.wait_for(|(tick, _)| *tick == u64::MAX).await;
    let all = received.all();
    let numbers: BTreeSet<u64> = all.iter().map(|received| received.1).collect();
    assert_eq!(numbers.len(), all.len(), "something was handled twice");
    assert!(
        all.iter().map(|received| received.1).is_sorted(),
        "something was handled out of order"
    );
    let missed = missed_of(sender, &subscriber.gaps().all());
    assert_eq!(
        numbers.len() as u64 + missed,
        receipt.sequence,
        "something is unaccounted for"
    );
    let ticks: BTreeSet<u64> = all.iter().map(|received| received.0).collect();
    assert_eq!(ticks.len(), all.len(), "something got two numbers");
    let heard_all_the_time = subscriber.health().reconnects == 0;
    for (tick, result) in results.iter().enumerate() {
        let was_heard = ticks.contains(&(tick as u64));
        assert!(
            *result != SendResult::NotSent || !was_heard,
            "{tick} was received and reported as not sent"
        );
        if let SendResult::Sent(number) = result {
            assert_eq!(was_heard, numbers.contains(number));
            assert!(
                was_heard || !heard_all_the_time,
                "{tick} was acknowledged and never received"
            );
        }
    }
    let sent = results
        .iter()
        .filter(|result| matches!(result, SendResult::Sent(_)))
        .count() as u64;
    assert!(sent > 0 && sent < numbers.len() as u64 + missed);
}

fn collect_numbers(subscriber: &Node) -> Collected<(u64, u64)> {
    let received = Collected::default();
    let sink = received.clone();
    let handler = move |tick: u64, context: Context| {
        sink.push((tick, context.sequence().expect("a bus numbers its events")));
        std::future::ready(())
    };
    subscriber
        .on("tick", handler)
        .expect("the handler is in order");
    received
}

fn missed_of(sender: &Node, gaps: &[Arc<Gap>]) -> u64 {
    gaps.iter()
        .filter(|gap| gap.sender == Some(sender.id()))
        .filter_map(|gap| gap.missed)
        .sum()
}
