//! How the bus is doing: connected or not, since when and why, and what was counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::watch;

use crate::metrics::{Counter, Level};

/// How a bus is doing at this moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Whether it hears.
    pub connection: Connection,
    /// Where it is connected, or tries to: the address without its password.
    pub address: String,
    /// Events sent and acknowledged.
    pub sent: u64,
    /// Events heard for the first time, this bus's own included, wanted here or not.
    pub heard: u64,
    /// Events that came again and were dropped: retries after an unknown outcome.
    pub repeated: u64,
    /// Events that certainly did not arrive here; each was reported as a gap.
    pub missed: u64,
    /// Events dropped because a handler's queue was full; each was reported as a gap.
    pub overflowed: u64,
    /// Failures reported: bad frames, bad payloads, handlers that failed.
    pub failures: u64,
    /// How often the connection was lost and came back.
    pub reconnects: u64,
    /// Bytes that wait for Redis to take them.
    pub outgoing: usize,
}

/// Whether a bus hears.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Connection {
    /// Not yet.
    Connecting,
    /// Subscribed, and Redis confirmed it.
    Up {
        /// Since when.
        since: Instant,
    },
    /// The connection is lost, and another attempt is under way.
    Down {
        /// Since when.
        since: Instant,
        /// What happened at the last attempt.
        why: String,
    },
    /// Shut down.
    Closed,
}

impl Health {
    /// Whether the bus hears: what a readiness probe asks.
    pub fn is_up(&self) -> bool {
        matches!(self.connection, Connection::Up { .. })
    }
}

/// What the parts of the bus count.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) sent: Count,
    pub(crate) heard: Count,
    pub(crate) repeated: Count,
    pub(crate) missed: Count,
    pub(crate) overflowed: Count,
    /// Metrics know them by their kinds.
    pub(crate) failures: AtomicU64,
    pub(crate) reconnects: Count,
}

/// A count of this bus, and what it adds to the metrics of the process.
#[derive(Debug)]
pub(crate) struct Count {
    sum: AtomicU64,
    metric: Counter,
}

impl Counts {
    pub(crate) fn new() -> Self {
        Self {
            sent: Count::new("tidings_events_sent_total", "events that Redis took"),
            heard: Count::new(
                "tidings_events_heard_total",
                "events heard for the first time",
            ),
            repeated: Count::new("tidings_events_repeated_total", "events that came again"),
            missed: Count::new("tidings_events_missed_total", "events that did not arrive"),
            overflowed: Count::new(
                "tidings_events_overflowed_total",
                "events dropped because a handler's queue was full",
            ),
            failures: AtomicU64::new(0),
            reconnects: Count::new(
                "tidings_reconnects_total",
                "how often a lost connection came back",
            ),
        }
    }

    pub(crate) fn add(count: &Count, more: u64) {
        // Numbers come from strangers, too: a count ends at its largest.
        let sum = |count: u64| Some(count.saturating_add(more));
        let before = count
            .sum
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum)
            .unwrap_or_default();
        count.metric.add(more.min(u64::MAX - before));
    }
}

impl Count {
    fn new(metric: &'static str, what: &'static str) -> Self {
        Self {
            sum: AtomicU64::new(0),
            metric: Counter::new(metric, what),
        }
    }

    fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }
}

/// Where the link says how it is, and others look.
#[derive(Debug)]
pub(crate) struct Pulse {
    pub(crate) counts: Arc<Counts>,
    pub(crate) connection: watch::Sender<Connection>,
    pub(crate) level: Level,
    pub(crate) address: String,
}

impl Pulse {
    pub(crate) fn new(address: String, counts: Arc<Counts>) -> Self {
        Self {
            counts,
            connection: watch::Sender::new(Connection::Connecting),
            level: Level::of_hearing(),
            address,
        }
    }

    pub(crate) fn up(&self) {
        let since = Instant::now();
        self.connection.send_replace(Connection::Up { since });
        self.level.set(1);
    }

    /// Down since the first of several failures in a row, for the reason of the last.
    pub(crate) fn down(&self, why: String) {
        self.level.set(0);
        self.connection.send_modify(|connection| {
            let since = match connection {
                Connection::Down { since, .. } => *since,
                _ => Instant::now(),
            };
            *connection = Connection::Down { since, why };
        });
    }

    pub(crate) fn health(&self, outgoing: usize) -> Health {
        Health {
            connection: self.connection.borrow().clone(),
            address: self.address.clone(),
            sent: self.counts.sent.sum(),
            heard: self.counts.heard.sum(),
            repeated: self.counts.repeated.sum(),
            missed: self.counts.missed.sum(),
            overflowed: self.counts.overflowed.sum(),
            failures: self.counts.failures.load(Ordering::Relaxed),
            reconnects: self.counts.reconnects.sum(),
            outgoing,
        }
    }
}
