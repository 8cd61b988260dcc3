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
    pub(crate) hearer: Node,
    /// The events received, with their numbers.
    heard: Collected<(u64, u64)>,
    stop: Arc<Notify>,
    sending: JoinHandle<Vec<Fate>>,
}

impl Traffic {
    pub(crate) fn start(sender: Node, hearer: Node) -> Self {
        let heard = collect_numbers(&hearer);
        let stop = Arc::new(Notify::new());
        let sending = send_all_the_time(sender.bus().clone(), Arc::clone(&stop));
        let sending = tokio::spawn(sending);
        Self {
            sender,
            hearer,
            heard,
            stop,
            sending,
        }
    }

    /// Waits until more than this many further events are received.
    pub(crate) async fn goes_on(&self, events: usize) {
        let enough = self.heard.all().len() + events;
        wait_for("events are heard", SOON, async || {
            self.heard.all().len() > enough
        })
        .await;
    }

    /// Stops sending and checks the account; returns the results of the sends, and the subscriber.
    pub(crate) async fn end(self) -> (Vec<Fate>, Node) {
        self.stop.notify_one();
        let fates = self.sending.await.unwrap();
        check_account(&self.sender, &self.hearer, &self.heard, &fates).await;
        (fates, self.hearer)
    }
}

/// Sends until it is stopped, and records each result.
async fn send_all_the_time(sender: Bus, stop: Arc<Notify>) -> Vec<Fate> {
    let mut fates = Vec::new();
    let stopped = stop.notified();
    tokio::pin!(stopped);
    loop {
        let tick = fates.len() as u64;
        let sent = sender.send_to_all("tick", &tick).await;
        fates.push(match sent {
            Ok(receipt) => Fate::Sent(receipt.sequence),
            Err(error) if error.is_unknown() => Fate::Unknown,
            Err(SendError::NotSent { .. }) => Fate::NotSent,
            Err(error) => panic!("{error}"),
        });
        if futures_util::poll!(&mut stopped).is_ready() {
            return fates;
        }
    }
}

/// The result of one send.
#[derive(Debug, PartialEq)]
pub(crate) enum Fate {
    Sent(u64),
    NotSent,
    Unknown,
}

/// Checks that each number was received once, in order, or counted in a gap.
async fn check_account(
    sender: &Node,
    hearer: &Node,
    heard: &Collected<(u64, u64)>,
    fates: &[Fate],
) {
    let receipt = sender.send_to_all("tick", &u64::MAX).await.unwrap();
    heard.wait_for(|(tick, _)| *tick == u64::MAX).await;
    let all = heard.all();
    let numbers: BTreeSet<u64> = all.iter().map(|heard| heard.1).collect();
    assert_eq!(numbers.len(), all.len(), "something was handled twice");
    assert!(
        all.iter().map(|heard| heard.1).is_sorted(),
        "something was handled out of order"
    );
    let missed = missed_of(sender, &hearer.gaps().all());
    assert_eq!(
        numbers.len() as u64 + missed,
        receipt.sequence,
        "something is unaccounted for"
    );
    let ticks: BTreeSet<u64> = all.iter().map(|heard| heard.0).collect();
    assert_eq!(ticks.len(), all.len(), "something got two numbers");
    let heard_all_the_time = hearer.health().reconnects == 0;
    for (tick, fate) in fates.iter().enumerate() {
        let was_heard = ticks.contains(&(tick as u64));
        assert!(
            *fate != Fate::NotSent || !was_heard,
            "{tick} was heard and said not to be sent"
        );
        if let Fate::Sent(number) = fate {
            assert_eq!(was_heard, numbers.contains(number));
            assert!(
                was_heard || !heard_all_the_time,
                "{tick} was acknowledged and never heard"
            );
        }
    }
    let sent = fates
        .iter()
        .filter(|fate| matches!(fate, Fate::Sent(_)))
        .count() as u64;
    assert!(sent > 0 && sent < numbers.len() as u64 + missed);
}

fn collect_numbers(hearer: &Node) -> Collected<(u64, u64)> {
    let heard = Collected::default();
    let put = heard.clone();
    let handler = move |tick: u64, context: Context| {
        put.push((
            tick,
            context.sequence().expect("a bus numbers what it sends"),
        ));
        std::future::ready(())
    };
    hearer.on("tick", handler).expect("the handler is in order");
    heard
}

fn missed_of(sender: &Node, gaps: &[Arc<Gap>]) -> u64 {
    gaps.iter()
        .filter(|gap| gap.sender == Some(sender.id()))
        .filter_map(|gap| gap.missed)
        .sum()
}
